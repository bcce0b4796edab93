//! Which store objects lie in, and in what form.

use std::time::Duration;

use clap::{Arg, ArgMatches};
use registry::{ServersOverride, parse_servers_overrides};
use storage::StorageMedia;

use super::{EtcdFlags, FlagError, duration, flag, number, text};

/// The store and the form of what is in it.
#[derive(Clone, Debug)]
pub struct BackendFlags {
    /// Put before every key.
    pub path_prefix: String,
    /// How new objects of built-in kinds are encoded.
    pub media: StorageMedia,
    /// The cluster objects lie in; none is the embedded store.
    pub etcd: Option<EtcdFlags>,
    /// Time in which the store has to answer `/healthz` and `/livez`.
    pub healthcheck_timeout: Duration,
    /// The same of `/readyz`.
    pub readycheck_timeout: Duration,
    /// Resources that lie in a cluster of their own.
    pub servers_overrides: Vec<ServersOverride>,
    /// Longest time a lease is given to new objects, in seconds.
    pub lease_reuse_seconds: i64,
    /// Zero switches the count of objects off. Any other value switches it on:
    /// objects are counted when metrics are read, not by the clock, so that an
    /// idle server stays idle.
    pub count_metric_poll_period: Duration,
    /// The same for the size of the store.
    pub db_metric_poll_interval: Duration,
}

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Values of `--storage-media-type`, in the order the original lists them.
const MEDIA_TYPES: [(&str, StorageMedia); 3] = [
    ("application/json", StorageMedia::Json),
    (PROTOBUF, StorageMedia::Protobuf),
    ("application/yaml", StorageMedia::Yaml),
];

pub(super) fn flags() -> Vec<Arg> {
    vec![
        flag(
            "storage-backend",
            "NAME",
            "",
            "Store of all objects: embedded or etcd3 (the default with --etcd-servers)",
        ),
        flag(
            "storage-media-type",
            "TYPE",
            PROTOBUF,
            "Encoding of stored objects of built-in kinds; all encodings are read whatever is written",
        ),
        flag("etcd-prefix", "PATH", "/registry", "Put before all keys of the store"),
        flag(
            "etcd-healthcheck-timeout",
            "DURATION",
            "2s",
            "Time in which the store has to answer a health check",
        ),
        flag(
            "etcd-readycheck-timeout",
            "DURATION",
            "2s",
            "Time in which the store has to answer a readiness check",
        ),
        flag(
            "etcd-servers-overrides",
            "LIST",
            "",
            "Resources in clusters of their own: group/resource#url;url, comma separated (etcd3 only)",
        ),
        flag(
            "lease-reuse-duration-seconds",
            "SECONDS",
            "60",
            "How long new objects with a lifetime share one lease",
        ),
        flag(
            "etcd-count-metric-poll-period",
            "DURATION",
            "1m0s",
            "0 leaves the number of objects out of the metrics; else they are counted as metrics are read",
        ),
        flag(
            "etcd-db-metric-poll-interval",
            "DURATION",
            "30s",
            "0 leaves the size of the store out of the metrics; else it is asked for as metrics are read",
        ),
    ]
}

impl BackendFlags {
    pub(super) fn read(matches: &ArgMatches) -> Result<BackendFlags, FlagError> {
        let etcd = EtcdFlags::read(matches)?;
        check_backend(text(matches, "storage-backend"), etcd.is_some())?;
        Ok(BackendFlags {
            path_prefix: text(matches, "etcd-prefix").unwrap_or_default().to_owned(),
            media: media(text(matches, "storage-media-type").unwrap_or(PROTOBUF))?,
            servers_overrides: servers_overrides(matches, etcd.is_some())?,
            etcd,
            healthcheck_timeout: duration(matches, "etcd-healthcheck-timeout")?,
            readycheck_timeout: duration(matches, "etcd-readycheck-timeout")?,
            lease_reuse_seconds: number(matches, "lease-reuse-duration-seconds", "number of seconds")?,
            count_metric_poll_period: duration(matches, "etcd-count-metric-poll-period")?,
            db_metric_poll_interval: duration(matches, "etcd-db-metric-poll-interval")?,
        })
    }
}

const EMBEDDED: &str = "embedded";

/// Without a name the servers decide.
fn check_backend(name: Option<&str>, servers: bool) -> Result<(), FlagError> {
    let (flag, message) = match (name, servers) {
        (None, _) | (Some(EMBEDDED), false) | (Some("etcd3"), true) => return Ok(()),
        (Some("etcd3"), false) => ("etcd-servers", "must be specified".to_owned()),
        (Some(EMBEDDED), true) => (
            "etcd-servers",
            "cannot be used with --storage-backend=embedded; leave one of them out".to_owned(),
        ),
        (Some("etcd2"), _) => {
            ("storage-backend", "etcd2 is no longer a supported storage backend".to_owned())
        }
        (Some(other), _) => {
            ("storage-backend", format!("unknown storage type: {other}; allowed values: embedded, etcd3"))
        }
    };
    Err(FlagError { flag, message })
}

fn media(name: &str) -> Result<StorageMedia, FlagError> {
    let found = MEDIA_TYPES.iter().find(|(known, _)| *known == name);
    found.map(|(_, media)| *media).ok_or_else(|| {
        let mut known = MEDIA_TYPES.map(|(name, _)| name);
        known.sort_unstable();
        FlagError {
            flag: "storage-media-type",
            message: format!("{name:?} invalid, allowed values: {}", known.join(", ")),
        }
    })
}

/// Judged even where they cannot be used, so that the first error is the right one.
fn servers_overrides(matches: &ArgMatches, etcd: bool) -> Result<Vec<ServersOverride>, FlagError> {
    let refuse = |message| FlagError { flag: "etcd-servers-overrides", message };
    let given = text(matches, "etcd-servers-overrides").unwrap_or_default();
    let overrides = parse_servers_overrides(given).map_err(|error| refuse(format!("invalid, {error}")))?;
    if overrides.is_empty() || etcd {
        return Ok(overrides);
    }
    Err(refuse("the embedded store keeps all resources in one place; only etcd3 can divide them".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn defaults_are_those_of_the_original() {
        let flags = parse(&[]).expect("valid").storage.backend;
        assert_eq!(flags.media, StorageMedia::Protobuf);
        assert_eq!(flags.path_prefix, "/registry");
        assert_eq!(flags.lease_reuse_seconds, 60);
        assert_eq!(flags.count_metric_poll_period, Duration::from_secs(60));
        assert_eq!(flags.db_metric_poll_interval, Duration::from_secs(30));
    }

    #[test]
    fn every_media_type_of_the_original_can_be_chosen() {
        for (name, media) in MEDIA_TYPES {
            let flag = format!("--storage-media-type={name}");
            assert_eq!(parse(&[&flag]).expect("valid").storage.backend.media, media);
        }
    }

    /// TestEtcdOptionsValidate.
    #[test]
    fn what_cannot_be_is_refused_with_the_original_texts() {
        for (flag, expected) in [
            ("--storage-backend=etcd3", "--etcd-servers: must be specified"),
            ("--storage-backend=etcd2", "--storage-backend: etcd2 is no longer a supported storage backend"),
            (
                "--storage-backend=etcd4",
                "--storage-backend: unknown storage type: etcd4; allowed values: embedded, etcd3",
            ),
            (
                "--storage-media-type=text/plain",
                "--storage-media-type: \"text/plain\" invalid, allowed values: application/json, \
                 application/vnd.kubernetes.protobuf, application/yaml",
            ),
            (
                "--etcd-servers-overrides=/events/http://127.0.0.1:4002",
                "--etcd-servers-overrides: invalid, must be of format: group/resource#servers, where servers are \
                 URLs, semicolon separated",
            ),
            (
                "--etcd-servers-overrides=/events#http://127.0.0.1:4002",
                "--etcd-servers-overrides: the embedded store keeps all resources in one place; only etcd3 can \
                 divide them",
            ),
        ] {
            assert_eq!(parse(&[flag]).expect_err(flag), expected);
        }
    }
}
