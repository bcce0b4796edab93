//! `replicationcontrollers`: what replica sets were before they had a group.
//! Stored as `controllers`; a delete leaves its pods alone unless told otherwise.

use meta::{FieldErrors, FieldPath, ObjectMeta, ObjectMetaMut};
use registry::{DefaultGarbageCollection, PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::{Key, Map, Value};

use crate::{check, defaults, print, workload};

/// `replicationcontrollers`.
pub fn definition() -> ResourceDef {
    let resource = ResourceDef {
        short_names: vec!["rc".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::scale(), Subresource::status()],
        columns: workload::replica_columns(),
        selectable_fields: vec!["status.replicas".into()],
        generation: true,
        garbage_collection: DefaultGarbageCollection::OrphanDependents,
        repeats_metadata_validation: true,
        ..ResourceDef::stored(
            "",
            "v1",
            "replicationcontrollers",
            "ReplicationController",
            ReplicationController,
        )
    };
    crate::with_prefix(resource, "controllers")
}

struct ReplicationController;

impl Strategy for ReplicationController {
    fn default(&self, object: &mut Value) {
        // Selector and labels left out are those of the pods.
        let labels = object.map_at(&["spec", "template", "metadata", "labels"]);
        if let Some(labels) = labels.filter(|labels| !labels.is_empty()).cloned() {
            if defaults::is_empty(object.at(&["spec", "selector"])) {
                object.set(&["spec", "selector"], labels.clone());
            }
            if ObjectMeta::of(object).labels().is_empty() {
                ObjectMetaMut::of(object).map().insert(Key::borrowed("labels"), labels);
            }
        }
        let spec = defaults::ensure(object, "spec");
        defaults::pointer(spec, "replicas", 1);
        if let Some(template) = defaults::object(spec, "template") {
            defaults::pod::template(template);
        }
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        object.set(&["status"], Map::from([("replicas", 0)]));
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let spec = FieldPath::root("spec");
        check::not_negative(
            &mut errors,
            &spec.child("minReadySeconds"),
            object.int_at(&["spec", "minReadySeconds"]),
        );
        let selector = object.map_at(&["spec", "selector"]).filter(|selector| !selector.is_empty());
        if selector.is_none() {
            errors.push(meta::FieldError::required(&spec.child("selector"), ""));
        }
        check::not_negative(&mut errors, &spec.child("replicas"), object.int_at(&["spec", "replicas"]));
        let as_selector = Value::from(Map::from([("matchLabels", selector.cloned().unwrap_or_default())]));
        workload::template_for_selector(object, Some(&as_selector), &mut errors);
        workload::always_restarted(object, "ReplicationController", &mut errors);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        self.validate(context, object)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        workload::replica_status(object)
    }

    fn field(&self, object: &Value, label: &str) -> String {
        workload::replicas_field(object, label)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let selector = print::labels(object.map_at(&["spec", "selector"]));
        workload::replica_cells(object, print, selector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selector_and_labels_come_from_the_template() {
        let labels = Map::from([("app", "a")]);
        let mut object = Value::map();
        object.set(&["spec", "template", "metadata", "labels"], labels.clone());
        ReplicationController.default(&mut object);
        assert_eq!(object.map_at(&["spec", "selector"]), Some(&labels));
        assert_eq!(ObjectMeta::of(&object).labels(), &labels);
        assert_eq!(object.int_at(&["spec", "replicas"]), Some(1));
    }
}
