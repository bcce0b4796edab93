//! `replicasets`: a number of equal pods.

use meta::{FieldErrors, FieldPath};
use registry::{PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::{Map, Value};

use crate::{check, defaults, print, workload};

/// `replicasets`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["rs".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::scale(), Subresource::status()],
        columns: workload::replica_columns(),
        generation: true,
        ..ResourceDef::stored("apps", "v1", "replicasets", "ReplicaSet", ReplicaSet)
    }
}

struct ReplicaSet;

impl Strategy for ReplicaSet {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        defaults::pointer(spec, "replicas", 1);
        defaults::pod::template(defaults::ensure(spec, "template"));
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        object.set(&["status"], Map::from([("replicas", 0)]));
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let spec = FieldPath::root("spec");
        check::not_negative(&mut errors, &spec.child("replicas"), object.int_at(&["spec", "replicas"]));
        check::not_negative(
            &mut errors,
            &spec.child("minReadySeconds"),
            object.int_at(&["spec", "minReadySeconds"]),
        );
        // The original names the wrong kind in one text about it.
        workload::required_selector(object, "deployment", &mut errors);
        workload::template_for_selector(
            object,
            object.at(&["spec", "selector"]).filter(|s| !s.is_null()),
            &mut errors,
        );
        workload::always_restarted(object, "ReplicaSet", &mut errors);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = self.validate(context, object);
        check::immutable(&mut errors, "spec.selector", object, old);
        errors
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        let mut warnings = workload::name_warnings(object);
        warnings.extend(workload::template_warnings(object, "spec.template"));
        warnings
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, old: &Value) -> Vec<String> {
        workload::changed_template_warnings(object, old, "spec.template")
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        workload::replica_status(object)
    }

    fn field(&self, object: &Value, label: &str) -> String {
        workload::replicas_field(object, label)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        workload::replica_cells(object, print, print::label_selector(object.at(&["spec", "selector"])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems, update_problems};

    const SET: &str = r#"{"metadata":{"name":"a"},"spec":{"selector":{"matchLabels":{"app":"a"}},
        "template":{"metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}}}"#;

    #[test]
    fn one_pod_is_wanted_and_printed() {
        let set = defaulted(&definition(), SET);
        let cells = cells(&definition(), &set);
        assert_eq!(cells[1..4], [1, 0, 0].map(Value::from));
        assert_eq!(cells[5..], ["c", "i:1", "app=a"].map(Value::from));
        assert!(problems(&definition(), &set).is_empty());
    }

    #[test]
    fn the_selector_stays() {
        let old = defaulted(&definition(), SET);
        let mut new = old.clone();
        new.set(&["spec", "selector", "matchLabels"], Map::from([("app", "z")]));
        assert_eq!(
            update_problems(&definition(), &new, &old),
            [
                "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template \
                 `labels`",
                "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"z\"}}: field is immutable",
            ]
        );
    }
}
