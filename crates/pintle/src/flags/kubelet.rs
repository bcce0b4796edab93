//! How kubelets are reached, for `exec`, `log` and the like.

use std::path::PathBuf;

use clap::{Arg, ArgMatches};
use kubelet_client::KubeletOptions;

use super::{FeatureFlags, FlagError, duration, flag, number, text};

/// Where kubelets are, whom to trust and what to show them.
#[derive(Clone, Debug, Default)]
pub struct KubeletFlags {
    /// Addresses, port and timeout. Without the PEM, which is in the files.
    pub options: KubeletOptions,
    /// Authorities (PEM) of kubelets' certificates; without it no certificate is checked.
    pub certificate_authority: Option<PathBuf>,
    /// Certificate and key (PEM) to show to kubelets.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

const ADDRESS_TYPES: &str = "kubelet-preferred-address-types";
const PORT: &str = "kubelet-port";
const TIMEOUT: &str = "kubelet-timeout";
const AUTHORITY: &str = "kubelet-certificate-authority";
const CERTIFICATE: &str = "kubelet-client-certificate";
const KEY: &str = "kubelet-client-key";

/// What a node address may be.
const KNOWN_TYPES: [&str; 5] = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"];

pub(super) fn flags() -> Vec<Arg> {
    vec![
        flag(
            ADDRESS_TYPES,
            "TYPE[,TYPE...]",
            "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP",
            "Types of node addresses to reach kubelets at, the preferred first",
        ),
        flag(PORT, "PORT", "10250", "Port of kubelets that do not report theirs"),
        flag(TIMEOUT, "DURATION", "5s", "Longest time until a kubelet is connected"),
        flag(AUTHORITY, "FILE", "", "Authorities (PEM) of kubelets; without it no certificate is checked"),
        flag(CERTIFICATE, "FILE", "", "Certificate (PEM) to show to kubelets"),
        flag(KEY, "FILE", "", "Key of --kubelet-client-certificate (PEM)"),
    ]
}

impl KubeletFlags {
    pub(super) fn read(matches: &ArgMatches, features: &FeatureFlags) -> Result<KubeletFlags, FlagError> {
        let types =
            text(matches, ADDRESS_TYPES).unwrap_or_default().split(',').map(|kind| kind.trim().to_owned());
        let types: Vec<String> = types.collect();
        if let Some(unknown) = types.iter().find(|kind| !KNOWN_TYPES.contains(&kind.as_str())) {
            let message =
                format!("{unknown:?} is no type of address; choose from {}", KNOWN_TYPES.join(", "));
            return Err(FlagError { flag: ADDRESS_TYPES, message });
        }
        let timeout = duration(matches, TIMEOUT)?;
        if timeout.is_zero() {
            return Err(FlagError { flag: TIMEOUT, message: "must be more than 0".to_owned() });
        }
        let client_certificate = match (text(matches, CERTIFICATE), text(matches, KEY)) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            _ => {
                let message = format!("--{CERTIFICATE} and --{KEY} go together; give both or neither");
                return Err(FlagError { flag: CERTIFICATE, message });
            }
        };
        let port = number(matches, PORT, "port between 0 and 65535")?;
        let websockets = features.websockets;
        Ok(KubeletFlags {
            options: KubeletOptions {
                websockets,
                preferred_address_types: types,
                port,
                timeout,
                ..KubeletOptions::default()
            },
            certificate_authority: text(matches, AUTHORITY).map(PathBuf::from),
            client_certificate,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn addresses_are_preferred_in_the_order_given() {
        let flags = parse(&["--kubelet-preferred-address-types=InternalIP,Hostname"]).expect("valid");
        assert_eq!(flags.kubelet.options.preferred_address_types, ["InternalIP", "Hostname"]);
        let default = parse(&[]).expect("valid").kubelet.options;
        assert_eq!((default.port, default.timeout.as_secs()), (10250, 5));
        assert_eq!(default.preferred_address_types.len(), 5);
    }

    #[test]
    fn what_is_done_with_websockets_is_switched_by_gates() {
        let flags = parse(&["--feature-gates=ExtendWebSocketsToKubelet=false"]).expect("valid");
        let websockets = flags.kubelet.options.websockets;
        assert!(!websockets.pass_through && websockets.tunnel && websockets.translate);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        for (given, expected) in [
            (
                "--kubelet-preferred-address-types=Home",
                "--kubelet-preferred-address-types: \"Home\" is no type",
            ),
            ("--kubelet-client-key=k", "--kubelet-client-certificate: --kubelet-client-certificate and"),
            ("--kubelet-timeout=0s", "--kubelet-timeout: must be more than 0"),
        ] {
            let error = parse(&[given]).expect_err("refused");
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
