//! The flags of `pintle serve`, by concern. Names, defaults and meanings are
//! kube-apiserver's wherever it has the flag. A flag that is accepted does what
//! it says; any other is an error.
//!
//! Adding a flag is one line in the `flags` of its concern and one in its `read`.

mod admission;
mod api;
mod authentication;
mod backend;
mod duration;
mod encryption;
mod etcd;
mod features;
mod kubelet;
mod service_accounts;
mod services;
mod serving;
mod storage;

use clap::{Arg, ArgMatches, Command};

pub use admission::AdmissionFlags;
pub use api::ApiFlags;
pub use authentication::AuthenticationFlags;
pub use backend::BackendFlags;
pub use encryption::EncryptionFlags;
pub use etcd::EtcdFlags;
pub use features::FeatureFlags;
pub use kubelet::KubeletFlags;
pub use service_accounts::ServiceAccountFlags;
pub use services::ServiceFlags;
pub use serving::ServingFlags;
pub use storage::{StorageFlags, WatchCacheFlags};

/// Everything `pintle serve` was told.
#[derive(Clone, Debug)]
pub struct ServeFlags {
    /// Address, port, TLS, deadlines.
    pub serving: ServingFlags,
    /// Who may call.
    pub authentication: AuthenticationFlags,
    /// Tokens of service accounts.
    pub service_accounts: ServiceAccountFlags,
    /// What is served.
    pub api: ApiFlags,
    /// What may be written.
    pub admission: AdmissionFlags,
    /// Where objects are and how long.
    pub storage: StorageFlags,
    /// What the store may not show.
    pub encryption: EncryptionFlags,
    /// Addresses and node ports of services.
    pub services: ServiceFlags,
    /// How kubelets are reached.
    pub kubelet: KubeletFlags,
    /// Features switched on or off.
    pub features: FeatureFlags,
}

/// A flag's value does not make sense; the text names flag and value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag}: {message}")]
pub struct FlagError {
    /// Flag without dashes.
    pub flag: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ServeFlags {
    /// The flags, to be shown and parsed.
    pub fn add(command: Command) -> Command {
        command
            .next_help_heading("Serving")
            .args(serving::flags())
            .next_help_heading("Authentication")
            .args(authentication::flags())
            .args(service_accounts::flags())
            .next_help_heading("APIs")
            .args(api::flags())
            .next_help_heading("Admission")
            .args(admission::flags())
            .next_help_heading("Storage")
            .args(storage::flags())
            .args(backend::flags())
            .args(etcd::flags())
            .args(encryption::flags())
            .next_help_heading("Services")
            .args(services::flags())
            .next_help_heading("Kubelets")
            .args(kubelet::flags())
            .next_help_heading("Features")
            .args(features::flags())
    }

    /// Reads and judges what was parsed.
    pub fn read(matches: &ArgMatches) -> Result<ServeFlags, FlagError> {
        let features = FeatureFlags::read(matches)?;
        Ok(ServeFlags {
            serving: ServingFlags::read(matches)?,
            authentication: AuthenticationFlags::read(matches),
            service_accounts: ServiceAccountFlags::read(matches)?,
            api: ApiFlags::read(matches),
            admission: AdmissionFlags::read(matches)?,
            storage: StorageFlags::read(matches)?,
            encryption: EncryptionFlags::read(matches, &features)?,
            services: ServiceFlags::read(matches)?,
            kubelet: KubeletFlags::read(matches, &features)?,
            features,
        })
    }
}

impl Default for ServeFlags {
    fn default() -> ServeFlags {
        let matches = ServeFlags::add(Command::new("serve")).get_matches_from(["serve"]);
        ServeFlags::read(&matches).expect("defaults are valid (test: without_flags_everything_has_a_default)")
    }
}

/// A flag with a value; kube-apiserver's flags may be given more than once, the last counts.
fn flag(name: &'static str, value: &'static str, default: &'static str, help: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).value_name(value).help(help).overrides_with(name).num_args(1);
    if default.is_empty() { arg } else { arg.default_value(default) }
}

/// An on/off flag: `--name`, `--name=true` or `--name=false`.
fn switch(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    flag(name, "true|false", default, help)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(clap::value_parser!(bool))
}

fn text<'a>(matches: &'a ArgMatches, flag: &str) -> Option<&'a str> {
    matches.get_one::<String>(flag).map(String::as_str).filter(|value| !value.is_empty())
}

fn duration(matches: &ArgMatches, flag: &'static str) -> Result<std::time::Duration, FlagError> {
    let value = text(matches, flag).unwrap_or_default();
    duration::parse(value).ok_or_else(|| FlagError {
        flag,
        message: format!("{value:?} is no duration; write it like 30s, 5m or 1h30m"),
    })
}

fn number<N: std::str::FromStr>(
    matches: &ArgMatches,
    flag: &'static str,
    what: &str,
) -> Result<N, FlagError> {
    let value = text(matches, flag).unwrap_or_default();
    value.parse().map_err(|_| FlagError { flag, message: format!("{value:?} is no {what}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn parse(args: &[&str]) -> Result<ServeFlags, String> {
        let command = ServeFlags::add(Command::new("serve").no_binary_name(true));
        let matches = command.try_get_matches_from(args).map_err(|error| error.to_string())?;
        ServeFlags::read(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn without_flags_everything_has_a_default() {
        let flags = parse(&[]).expect("defaults are valid");
        assert_eq!(flags.serving.secure_port, 6443);
        assert_eq!(flags.storage.event_ttl.as_secs(), 3600);
        assert!(flags.storage.garbage_collection);
    }

    #[test]
    fn both_ways_of_giving_a_value_work_and_the_last_counts() {
        let flags = parse(&["--secure-port=1", "--secure-port", "0"]).expect("valid");
        assert_eq!(flags.serving.secure_port, 0);
        assert!(!parse(&["--enable-garbage-collector=false"]).expect("valid").storage.garbage_collection);
    }

    #[test]
    fn an_unknown_flag_and_a_bad_value_are_errors_that_name_the_flag() {
        assert!(parse(&["--admission-control=x"]).expect_err("refused").contains("--admission-control"));
        let error = parse(&["--event-ttl=soon"]).expect_err("refused");
        assert_eq!(error, "--event-ttl: \"soon\" is no duration; write it like 30s, 5m or 1h30m");
        assert!(parse(&["--secure-port=70000"]).expect_err("refused").starts_with("--secure-port:"));
        assert!(parse(&["--tls-cert-file=a"]).expect_err("refused").contains("--tls-private-key-file"));
    }
}
