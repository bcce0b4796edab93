//! Feature gates. A gate is known here only when switching it changes something.

use clap::{Arg, ArgAction, ArgMatches};
use kubelet_client::WebSocketFeatures;

use super::FlagError;

/// What `--feature-gates` switches.
#[derive(Clone, Debug, Default)]
pub struct FeatureFlags {
    /// KMSv1: plugins of the first KMS protocol may encrypt.
    pub kms_v1: bool,
    /// AllowUnsafeMalformedObjectDeletion: objects that cannot be read are named and may be deleted.
    pub unsafe_deletion: bool,
    /// What is done with WebSockets to kubelets.
    pub websockets: WebSocketFeatures,
}

const GATES: &str = "feature-gates";

pub(super) fn flags() -> Vec<Arg> {
    // Adds up, as the original merges all it is given.
    vec![
        Arg::new(GATES)
            .long(GATES)
            .value_name("GATE=true|false,...")
            .help("Switches features on or off: AllowUnsafeMalformedObjectDeletion (default false), ExtendWebSocketsToKubelet (default true), KMSv1 (default false), PortForwardWebsockets (default true), TranslateStreamCloseWebsocketRequests (default true)")
            .num_args(1)
            .action(ArgAction::Append),
    ]
}

impl FeatureFlags {
    pub(super) fn read(matches: &ArgMatches) -> Result<FeatureFlags, FlagError> {
        let mut features = FeatureFlags::default();
        let given = matches.get_many::<String>(GATES).unwrap_or_default();
        for pair in given.flat_map(|list| list.split(',')).filter(|pair| !pair.is_empty()) {
            features.set(pair).map_err(|message| FlagError { flag: GATES, message })?;
        }
        Ok(features)
    }

    fn set(&mut self, pair: &str) -> Result<(), String> {
        let (gate, value) = pair.split_once('=').ok_or_else(|| format!("missing bool value for {pair}"))?;
        let (gate, value) = (gate.trim(), value.trim());
        let switched = match gate {
            "AllowUnsafeMalformedObjectDeletion" => &mut self.unsafe_deletion,
            "ExtendWebSocketsToKubelet" => &mut self.websockets.pass_through,
            "KMSv1" => &mut self.kms_v1,
            "PortForwardWebsockets" => &mut self.websockets.tunnel,
            "TranslateStreamCloseWebsocketRequests" => &mut self.websockets.translate,
            _ => return Err(format!("unrecognized feature gate: {gate}")),
        };
        *switched = boolean(value).ok_or_else(|| {
            format!(
                "invalid value of {gate}={value}, err: strconv.ParseBool: parsing {value:?}: invalid syntax"
            )
        })?;
        Ok(())
    }
}

fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn gates_add_up_and_the_last_of_a_gate_counts() {
        let kms_v1 = |args: &[&str]| parse(args).expect("valid").features.kms_v1;
        assert!(!kms_v1(&[]));
        assert!(kms_v1(&["--feature-gates=KMSv1=true", "--feature-gates="]));
        assert!(!kms_v1(&["--feature-gates", "KMSv1=true,KMSv1=0"]));
        let features =
            parse(&["--feature-gates=AllowUnsafeMalformedObjectDeletion=true"]).expect("valid").features;
        assert!(features.unsafe_deletion && !features.kms_v1);
    }

    #[test]
    fn a_gate_that_does_nothing_here_is_refused_by_name() {
        for (given, expected) in [
            ("KMSv1=true,NoSuchGate=true", "--feature-gates: unrecognized feature gate: NoSuchGate"),
            ("KMSv1", "--feature-gates: missing bool value for KMSv1"),
            (
                "KMSv1=maybe",
                "--feature-gates: invalid value of KMSv1=maybe, err: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
        ] {
            assert_eq!(parse(&["--feature-gates", given]).expect_err("refused"), expected);
        }
    }
}
