//! `deployments`: replica sets that follow one another as the template changes.

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta, ObjectMetaMut};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::{check, defaults, print, validation, workload};

/// `deployments`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["deploy".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::scale(), Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Ready"),
            Column::string("Up-to-date"),
            Column::string("Available"),
            Column::string("Age"),
            Column::string("Containers").wide(),
            Column::string("Images").wide(),
            Column::string("Selector").wide(),
        ],
        generation: true,
        status_metadata: StatusMetadata::LabelsKept,
        ..ResourceDef::stored("apps", "v1", "deployments", "Deployment", Deployment)
    }
}

/// Seconds without progress after which a deployment counts as failed.
const PROGRESS_SECONDS: i64 = 600;

struct Deployment;

impl Strategy for Deployment {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        defaults::pod::template(defaults::ensure(spec, "template"));
        defaults::pointer(spec, "replicas", 1);
        defaults::pointer(spec, "revisionHistoryLimit", 10);
        defaults::pointer(spec, "progressDeadlineSeconds", PROGRESS_SECONDS);
        let strategy = defaults::ensure(spec, "strategy");
        defaults::text(strategy, "type", "RollingUpdate");
        if strategy.str_at(&["type"]) == Some("RollingUpdate") {
            let rolling = defaults::ensure(strategy, "rollingUpdate");
            defaults::pointer(rolling, "maxUnavailable", "25%");
            defaults::pointer(rolling, "maxSurge", "25%");
        }
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        object.set(&["status"], Value::map());
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        // Annotations are copied to replica sets, so a change of them counts too.
        let annotations = ["metadata", "annotations"];
        if !check::same(object.at(&annotations), old.at(&annotations)) {
            let generation = ObjectMeta::of(old).generation() + 1;
            ObjectMetaMut::of(object).set_generation(generation);
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let spec = FieldPath::root("spec");
        let number = |key: &str| object.int_at(&["spec", key]);
        check::not_negative(&mut errors, &spec.child("replicas"), number("replicas"));
        workload::required_selector(object, "deployment", &mut errors);
        workload::template_for_selector(
            object,
            object.at(&["spec", "selector"]).filter(|s| !s.is_null()),
            &mut errors,
        );
        workload::always_restarted(object, "ReplicaSet", &mut errors);
        strategy(object, &mut errors);
        check::not_negative(&mut errors, &spec.child("minReadySeconds"), number("minReadySeconds"));
        check::not_negative(&mut errors, &spec.child("revisionHistoryLimit"), number("revisionHistoryLimit"));
        progress_deadline(object, &mut errors);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = self.validate(context, object);
        check::immutable(&mut errors, "spec.selector", object, old);
        errors
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        let path = FieldPath::root("status");
        let number = |key: &str| print::int(object, &["status", key]);
        let mut errors = Vec::new();
        let counts = [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
        ];
        for key in counts {
            check::not_negative(&mut errors, &path.child(key), Some(number(key)));
        }
        let mut bounded = |key: &str, bound: &str, text: &str| {
            if number(key) > number(bound) {
                errors.push(FieldError::invalid(&path.child(key), &number(key).into(), text));
            }
        };
        bounded("updatedReplicas", "replicas", "cannot be greater than status.replicas");
        bounded("readyReplicas", "replicas", "cannot be greater than status.replicas");
        bounded("availableReplicas", "replicas", "cannot be greater than status.replicas");
        bounded("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas");
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let status = |key: &str| print::int(object, &["status", key]);
        let ready = format!("{}/{}", status("readyReplicas"), print::int(object, &["spec", "replicas"]));
        let [names, images] = print::containers(object.at(&["spec", "template", "spec"]));
        vec![
            print.name(object).into(),
            ready.into(),
            status("updatedReplicas").into(),
            status("availableReplicas").into(),
            print.age(object).into(),
            names,
            images,
            print::label_selector(object.at(&["spec", "selector"])).into(),
        ]
    }
}

fn strategy(object: &Value, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec").child("strategy");
    let Some(strategy) = object.at(&["spec", "strategy"]) else { return };
    let rolling = strategy.at(&["rollingUpdate"]).filter(|rolling| !rolling.is_null());
    match check::text(strategy, &["type"]) {
        "Recreate" => {
            if rolling.is_some() {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(FieldError::forbidden(&path.child("rollingUpdate"), detail));
            }
        }
        "RollingUpdate" => match rolling {
            Some(rolling) => rolling_update(rolling, &path.child("rollingUpdate"), errors),
            None => {
                let detail = "this should be defaulted and never be nil";
                errors.push(FieldError::required(&path.child("rollingUpdate"), detail));
            }
        },
        other => {
            let supported = ["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(&path.child("type"), &other.into(), &supported));
        }
    }
}

fn rolling_update(rolling: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let zero = Value::Int(0);
    let [unavailable, surge] = ["maxUnavailable", "maxSurge"].map(|key| rolling.at(&[key]).unwrap_or(&zero));
    validation::int_or_percent(errors, &path.child("maxUnavailable"), unavailable);
    validation::int_or_percent(errors, &path.child("maxSurge"), surge);
    let amount = |value: &Value| match value {
        Value::Int(number) => *number,
        Value::String(text) => validation::percent(text).unwrap_or_default(),
        _ => 0,
    };
    if amount(unavailable) == 0 && amount(surge) == 0 {
        let detail = "may not be 0 when `maxSurge` is 0";
        errors.push(FieldError::invalid(&path.child("maxUnavailable"), unavailable, detail));
    }
    if unavailable.as_str().and_then(validation::percent).is_some_and(|percent| percent > 100) {
        let detail = "must not be greater than 100%";
        errors.push(FieldError::invalid(&path.child("maxUnavailable"), unavailable, detail));
    }
}

fn progress_deadline(object: &Value, errors: &mut FieldErrors) {
    let Some(deadline) = object.int_at(&["spec", "progressDeadlineSeconds"]) else { return };
    let path = FieldPath::root("spec").child("progressDeadlineSeconds");
    check::not_negative(errors, &path, Some(deadline));
    if deadline <= print::int(object, &["spec", "minReadySeconds"]) {
        let detail = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid(&path, &deadline.into(), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn a_quarter_of_the_pods_is_replaced_at_a_time() {
        let mut object = Value::map();
        Deployment.default(&mut object);
        let rolling = object.at(&["spec", "strategy", "rollingUpdate"]).expect("made");
        assert_eq!(rolling, &Value::from(Map::from([("maxSurge", "25%"), ("maxUnavailable", "25%")])));
        let once = object.clone();
        Deployment.default(&mut object);
        assert_eq!(object, once);
    }

    #[test]
    fn recreating_knows_no_rolling_update() {
        let mut object = Value::map();
        object.set(&["spec", "strategy", "type"], "Recreate");
        Deployment.default(&mut object);
        assert!(object.at(&["spec", "strategy", "rollingUpdate"]).is_none());
        object.set(&["spec", "strategy", "rollingUpdate"], Value::map());
        let mut errors = Vec::new();
        strategy(&object, &mut errors);
        assert_eq!(
            errors[0].to_string(),
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"
        );
    }
}
