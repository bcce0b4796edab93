//! Which group versions and resources are served.

use clap::{Arg, ArgAction, ArgMatches};
use registry::RuntimeConfig;

/// What is served beside, or instead of, the defaults.
#[derive(Clone, Debug, Default)]
pub struct ApiFlags {
    /// Switches by key: `api/all`, `group/version`, `group/version/resource`.
    pub runtime_config: RuntimeConfig,
}

pub(super) fn flags() -> Vec<Arg> {
    let help = "Switches APIs on or off, comma separated; the core group is empty (/v1): group/version=true|false, \
                group/version/resource=true|false, api/all, api/ga, api/beta, api/alpha=true|false";
    // Unlike other flags this one adds up: the original merges all it is given.
    vec![
        Arg::new("runtime-config")
            .long("runtime-config")
            .value_name("KEY=VALUE,...")
            .help(help)
            .num_args(1)
            .action(ArgAction::Append),
    ]
}

impl ApiFlags {
    pub(super) fn read(matches: &ArgMatches) -> ApiFlags {
        let given = matches.get_many::<String>("runtime-config").unwrap_or_default();
        let pairs = given.flat_map(|list| list.split(',')).filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let runtime_config = pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
        ApiFlags { runtime_config: runtime_config.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn switches_add_up_over_several_flags_and_the_last_of_a_key_counts() {
        let flags =
            parse(&["--runtime-config=api/all=true, apps/v1=false", "--runtime-config", "apps/v1,b/v1=x"]);
        let config = flags.expect("valid").api.runtime_config;
        let pairs: Vec<(&str, &str)> =
            config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("api/all", "true"), ("apps/v1", ""), ("b/v1", "x")]);
    }
}
