//! The etcd cluster that takes the embedded store's place, and how to be let in there.

use std::path::PathBuf;

use clap::{Arg, ArgMatches};

use super::{FlagError, flag, text};

/// An etcd cluster. Clusters of `--etcd-servers-overrides` are reached with the same certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdFlags {
    /// URLs of its members, at least one.
    pub servers: Vec<String>,
    /// Authorities (PEM) that may sign the members' certificates; none means the system's.
    pub authorities_file: Option<PathBuf>,
    /// Certificate and key (PEM) this server shows.
    pub identity_files: Option<(PathBuf, PathBuf)>,
}

const SERVERS: &str = "etcd-servers";
const AUTHORITIES: &str = "etcd-cafile";
const CERTIFICATE: &str = "etcd-certfile";
const KEY: &str = "etcd-keyfile";

pub(super) fn flags() -> Vec<Arg> {
    vec![
        flag(
            SERVERS,
            "URLS",
            "",
            "etcd servers to use instead of the embedded store (scheme://ip:port), comma separated",
        ),
        flag(AUTHORITIES, "FILE", "", "Authorities that sign the certificates of etcd"),
        flag(CERTIFICATE, "FILE", "", "Certificate shown to etcd"),
        flag(KEY, "FILE", "", "Its key"),
    ]
}

impl EtcdFlags {
    /// None if no cluster is named.
    pub(super) fn read(matches: &ArgMatches) -> Result<Option<EtcdFlags>, FlagError> {
        let file = |flag| text(matches, flag).map(PathBuf::from);
        let (certificate, key) = (file(CERTIFICATE), file(KEY));
        let Some(servers) = text(matches, SERVERS) else {
            let unused = [AUTHORITIES, CERTIFICATE, KEY].into_iter().find(|flag| file(flag).is_some());
            let message = || format!("does nothing without --{SERVERS}");
            return unused.map_or(Ok(None), |flag| Err(FlagError { flag, message: message() }));
        };
        let servers: Vec<String> = servers.split(',').map(|url| url.trim().to_owned()).collect();
        if servers.iter().any(String::is_empty) {
            return Err(FlagError { flag: SERVERS, message: "a server is empty".to_owned() });
        }
        let identity_files = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(FlagError { flag: CERTIFICATE, message: format!("needs --{KEY}") });
            }
            (None, Some(_)) => {
                return Err(FlagError { flag: KEY, message: format!("needs --{CERTIFICATE}") });
            }
        };
        Ok(Some(EtcdFlags { servers, authorities_file: file(AUTHORITIES), identity_files }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn servers_make_etcd_the_store_and_may_be_divided() {
        assert_eq!(parse(&[]).expect("valid").storage.backend.etcd, None);
        let args = [
            "--etcd-servers=https://a:2379, https://b:2379",
            "--etcd-cafile=ca",
            "--etcd-certfile=cert",
            "--etcd-keyfile=key",
            "--etcd-servers-overrides=/events#https://c:2379",
            "--storage-backend=etcd3",
        ];
        let backend = parse(&args).expect("valid").storage.backend;
        let want = EtcdFlags {
            servers: vec!["https://a:2379".into(), "https://b:2379".into()],
            authorities_file: Some("ca".into()),
            identity_files: Some(("cert".into(), "key".into())),
        };
        assert_eq!(backend.etcd, Some(want));
        assert_eq!(backend.servers_overrides[0].servers, ["https://c:2379"]);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (args, expected) in [
            (vec!["--etcd-servers=http://a,,http://b"], "--etcd-servers: a server is empty"),
            (vec!["--etcd-servers=http://a", "--etcd-keyfile=k"], "--etcd-keyfile: needs --etcd-certfile"),
            (vec!["--etcd-servers=http://a", "--etcd-certfile=c"], "--etcd-certfile: needs --etcd-keyfile"),
            (vec!["--etcd-cafile=c"], "--etcd-cafile: does nothing without --etcd-servers"),
            (
                vec!["--etcd-servers=http://a", "--storage-backend=embedded"],
                "--etcd-servers: cannot be used with --storage-backend=embedded; leave one of them out",
            ),
        ] {
            assert_eq!(parse(&args).expect_err("refused"), expected);
        }
    }
}
