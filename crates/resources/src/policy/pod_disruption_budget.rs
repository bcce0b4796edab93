//! `poddisruptionbudgets`: how many pods of a set may be evicted at once.
//! Names are hardly checked, and a PUT must say which version it replaces.

use meta::validation::NameValidation;
use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::{Key, Map, Value};

use crate::{check, go_form, print, validation};

/// `poddisruptionbudgets`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["pdb".into()],
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Min Available"),
            Column::string("Max Unavailable"),
            Column::integer("Allowed Disruptions"),
            Column::string("Age"),
        ],
        name_validation: NameValidation::PathSegment,
        generation: true,
        unconditional_update: false,
        ..ResourceDef::stored(
            "policy",
            "v1",
            "poddisruptionbudgets",
            "PodDisruptionBudget",
            PodDisruptionBudget,
        )
    }
}

struct PodDisruptionBudget;

/// Counters of the status.
const COUNTERS: [&str; 4] = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];

impl Strategy for PodDisruptionBudget {
    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        object.set(&["status"], COUNTERS.into_iter().map(|key| (Key::borrowed(key), 0)).collect::<Map>());
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        spec(object, &mut errors);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        self.validate(context, object)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        let path = FieldPath::root("status");
        let mut errors = Vec::new();
        for key in COUNTERS {
            check::not_negative(&mut errors, &path.child(key), object.int_at(&["status", key]));
        }
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let bound = |key: &str| Value::from(print::scalar_or(object.at(&["spec", key]), "N/A"));
        let allowed = print::int(object, &["status", "disruptionsAllowed"]);
        print::with_name_and_age(
            object,
            print,
            [bound("minAvailable"), bound("maxUnavailable"), allowed.into()],
        )
    }
}

fn spec(object: &Value, errors: &mut FieldErrors) {
    const TYPE: &str = "io.k8s.api.policy.v1.PodDisruptionBudgetSpec";
    let path = FieldPath::root("spec");
    let bound = |key: &str| object.at(&["spec", key]).filter(|value| !value.is_null());
    if bound("minAvailable").is_some() && bound("maxUnavailable").is_some() {
        let shown = go_form::show(TYPE, object.at(&["spec"]));
        errors.push(check::invalid_shown(&path, shown, "minAvailable and maxUnavailable cannot be both set"));
    }
    for key in ["minAvailable", "maxUnavailable"] {
        let Some(value) = bound(key) else { continue };
        let path = path.child(key);
        validation::int_or_percent(errors, &path, value);
        if value.as_str().and_then(validation::percent).is_some_and(|percent| percent > 100) {
            errors.push(FieldError::invalid(&path, value, "must not be greater than 100%"));
        }
    }
    validation::label_selector(bound("selector"), &path.child("selector"), errors);
    if let Some(policy) = bound("unhealthyPodEvictionPolicy").and_then(Value::as_str) {
        let path = path.child("unhealthyPodEvictionPolicy");
        check::one_of(errors, &path, policy, &["AlwaysAllow", "IfHealthyBudget"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_numbers_or_percentages_up_to_a_hundred() {
        for (bound, message) in [
            (Value::from(-1), "Invalid value: -1: must be greater than or equal to 0"),
            (Value::from("101%"), "Invalid value: \"101%\": must not be greater than 100%"),
        ] {
            let mut object = Value::map();
            object.set(&["spec", "minAvailable"], bound);
            let mut errors = Vec::new();
            spec(&object, &mut errors);
            assert_eq!(errors.iter().map(FieldError::body).collect::<Vec<_>>(), [message]);
        }
    }

    #[test]
    fn only_one_bound_can_be_set() {
        let mut object = Value::map();
        object.set(&["spec"], Map::from([("minAvailable", 1), ("maxUnavailable", 1)]));
        let mut errors = Vec::new();
        spec(&object, &mut errors);
        assert_eq!(errors[0].detail, "minAvailable and maxUnavailable cannot be both set");
        assert!(errors[0].bad_value.starts_with("{\"MinAvailable\":1,"), "{}", errors[0].bad_value);
    }
}
