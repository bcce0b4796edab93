//! Which admission plugins run, and what single ones are told.

use admission::{PLUGINS, PluginOptions, Selection, SelectionError};
use clap::{Arg, ArgAction, ArgMatches};

use super::{FlagError, flag, number};

const ENABLE: &str = "enable-admission-plugins";
const DISABLE: &str = "disable-admission-plugins";

/// The admission chain.
#[derive(Clone, Debug)]
pub struct AdmissionFlags {
    /// The plugins that run.
    pub plugins: Selection,
    /// What single plugins are told.
    pub options: PluginOptions,
}

pub(super) fn flags() -> Vec<Arg> {
    let available = PLUGINS.iter().filter(|plugin| plugin.is_available());
    let (on, off): (Vec<_>, Vec<_>) = available.partition(|plugin| plugin.on_by_default);
    let names = |plugins: Vec<&admission::Plugin>| {
        plugins.iter().map(|plugin| plugin.name).collect::<Vec<_>>().join(", ")
    };
    vec![
        list(ENABLE, format!("Plugins that run beside the default ones ({}): {}", names(on), names(off))),
        list(DISABLE, "Plugins that do not run although they are default ones".to_owned()),
        flag(
            "default-not-ready-toleration-seconds",
            "SECONDS",
            "300",
            "How long pods that do not say so themselves stay on a node that is not ready",
        ),
        flag(
            "default-unreachable-toleration-seconds",
            "SECONDS",
            "300",
            "How long pods that do not say so themselves stay on a node out of reach",
        ),
    ]
}

/// A flag with names, separated by commas; given more than once it adds up, as in the original.
fn list(name: &'static str, help: String) -> Arg {
    Arg::new(name).long(name).value_name("NAME,...").help(help).num_args(1).action(ArgAction::Append)
}

impl AdmissionFlags {
    pub(super) fn read(matches: &ArgMatches) -> Result<AdmissionFlags, FlagError> {
        let plugins = Selection::new(&names(matches, ENABLE), &names(matches, DISABLE));
        Ok(AdmissionFlags {
            plugins: plugins
                .map_err(|error| FlagError { flag: at_fault(&error), message: error.to_string() })?,
            options: PluginOptions {
                not_ready_toleration_seconds: number(
                    matches,
                    "default-not-ready-toleration-seconds",
                    "number of seconds",
                )?,
                unreachable_toleration_seconds: number(
                    matches,
                    "default-unreachable-toleration-seconds",
                    "number of seconds",
                )?,
            },
        })
    }
}

fn names(matches: &ArgMatches, flag: &str) -> Vec<String> {
    let given = matches.get_many::<String>(flag).unwrap_or_default();
    given.flat_map(|list| list.split(',')).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn at_fault(error: &SelectionError) -> &'static str {
    match error {
        SelectionError::UnknownEnabled(_) | SelectionError::NotAvailable(_) | SelectionError::Overlap(_) => {
            ENABLE
        }
        SelectionError::UnknownDisabled(_) => DISABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn names_add_up_over_several_flags() {
        let flags = parse(&[
            "--disable-admission-plugins=ServiceAccount,Priority",
            "--disable-admission-plugins",
            "LimitRanger",
            "--enable-admission-plugins=LimitPodHardAntiAffinityTopology",
            "--default-unreachable-toleration-seconds=7",
        ]);
        let admission = flags.expect("valid").admission;
        let names: Vec<&str> = admission.plugins.names().collect();
        assert!(!names.contains(&"ServiceAccount") && !names.contains(&"Priority"), "{names:?}");
        assert_eq!(names[..2], ["NamespaceLifecycle", "LimitPodHardAntiAffinityTopology"]);
        assert_eq!(admission.options.not_ready_toleration_seconds, 300);
        assert_eq!(admission.options.unreachable_toleration_seconds, 7);
    }

    #[test]
    fn a_name_that_is_unknown_or_not_available_is_an_error_of_its_flag() {
        for (flag, why) in [
            ("--enable-admission-plugins=Nope", "plugin \"Nope\" is unknown"),
            ("--disable-admission-plugins=Nope", "plugin \"Nope\" is unknown"),
            (
                "--enable-admission-plugins=NodeRestriction",
                "plugin \"NodeRestriction\" is not available in this version of Pintle",
            ),
        ] {
            let (name, _) = flag.split_once('=').expect("a value");
            assert_eq!(parse(&[flag]).expect_err("refused"), format!("{name}: {why}"));
        }
    }
}
