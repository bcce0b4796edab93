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
        selectable_fields: vec!["status.replicas".into()],
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
