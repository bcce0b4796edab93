//! Priority classes give a number a name. Names that begin with `system-`
//! belong to the system and exist from the start.

use meta::{FieldError, FieldErrors, ObjectMeta, ObjectMetaMut};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::print as show;
use crate::scheduling::GROUP;

/// The highest value a user may give.
const USER_VALUE_MAX: i64 = 1_000_000_000;
const SYSTEM_PREFIX: &str = "system-";

/// What the system's own classes must be: name and value.
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// Priority classes as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        short_names: vec!["pc".into()],
        columns: vec![
            Column::name(),
            Column::integer("Value"),
            show::bool_column("Global-Default"),
            Column::string("Age"),
            Column::string("PreemptionPolicy"),
        ],
        ..ResourceDef::stored(GROUP, "v1", "priorityclasses", "PriorityClass", PriorityClassStrategy)
    }
}

struct PriorityClassStrategy;

impl Strategy for PriorityClassStrategy {
    fn default(&self, object: &mut Value) {
        defaults::pointer(object, "preemptionPolicy", "PreemptLowerPriority");
    }

    /// A class has a generation that never changes.
    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        ObjectMetaMut::of(object).set_generation(1);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let name = ObjectMeta::of(object).name();
        let value = object.int_at(&["value"]).unwrap_or_default();
        if name.starts_with(SYSTEM_PREFIX) {
            if let Some(problem) = problem_of_system_class(name, value, object) {
                let detail = format!(
                    "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {problem}"
                );
                errors.push(FieldError::forbidden(&at("metadata.name"), detail));
            }
        } else if value > USER_VALUE_MAX {
            let detail = format!("maximum allowed value of a user defined priority is {USER_VALUE_MAX}");
            errors.push(FieldError::forbidden(&at("value"), detail));
        }
        let policy = text(object, &["preemptionPolicy"]);
        if !policy.is_empty() {
            let path = at("preemptionPolicy");
            check::one_of(&mut errors, &path, policy, &["PreemptLowerPriority", "Never"]);
        }
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let value = |object: &Value| object.int_at(&["value"]).unwrap_or_default();
        if value(object) != value(old) {
            errors.push(FieldError::forbidden(&at("value"), "may not be changed in an update."));
        }
        check::immutable(&mut errors, "preemptionPolicy", object, old);
        errors
    }

    fn refuse_delete(&self, name: &str) -> Option<&'static str> {
        let is_system = SYSTEM_CLASSES.iter().any(|(known, _)| *known == name);
        is_system.then_some("this is a system priority class and cannot be deleted")
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let between = [
            object.int_at(&["value"]).unwrap_or_default().into(),
            object.bool_at(&["globalDefault"]).unwrap_or_default().into(),
        ];
        let mut cells = show::with_name_and_age(object, print, between);
        cells.push(text(object, &["preemptionPolicy"]).into());
        cells
    }
}

fn problem_of_system_class(name: &str, value: i64, object: &Value) -> Option<String> {
    let Some((_, expected)) = SYSTEM_CLASSES.iter().find(|(known, _)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if value != *expected {
        return Some(format!("value of {name} PriorityClass must be {expected}"));
    }
    let global = object.bool_at(&["globalDefault"]).unwrap_or_default();
    global.then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems, update_problems};

    #[test]
    fn a_class_preempts_by_default() {
        let class = defaulted(&definition(), r#"{"metadata":{"name":"a"},"value":10}"#);
        let printed = cells(&definition(), &class);
        assert_eq!(printed[1..3], [10.into(), Value::Bool(false)]);
        assert_eq!(printed[4], Value::from("PreemptLowerPriority"));
    }

    #[test]
    fn system_names_are_reserved_and_high_values_too() {
        for (class, expected) in [
            (r#"{"metadata":{"name":"system-node-critical"},"value":2000001000}"#, None),
            (
                r#"{"metadata":{"name":"system-x"},"value":1}"#,
                Some(
                    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system \
                     use only. error: system-x is not a known system priority class",
                ),
            ),
            (
                r#"{"metadata":{"name":"a"},"value":1000000001}"#,
                Some("value: Forbidden: maximum allowed value of a user defined priority is 1000000000"),
            ),
        ] {
            let class = defaulted(&definition(), class);
            assert_eq!(problems(&definition(), &class), expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn value_and_policy_stay() {
        let old = defaulted(&definition(), r#"{"value":10}"#);
        let new = defaulted(&definition(), r#"{"value":11,"preemptionPolicy":"Never"}"#);
        assert_eq!(
            update_problems(&definition(), &new, &old),
            [
                "value: Forbidden: may not be changed in an update.",
                "preemptionPolicy: Invalid value: \"Never\": field is immutable",
            ]
        );
    }

    #[test]
    fn the_system_classes_stay() {
        for (name, stays) in [("system-node-critical", true), ("system-x", false), ("mine", false)] {
            assert_eq!(definition().strategy.refuse_delete(name).is_some(), stays, "{name}");
        }
    }
}
