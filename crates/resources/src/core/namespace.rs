//! `namespaces`: the rooms other objects live in.
//!
//! Odd in how they go: a delete only marks a namespace Terminating; whoever
//! empties it takes its own name off `spec.finalizers` through `finalize`, and
//! when that list is empty the namespace can be removed. Finalizers in the
//! spec cannot be changed in any other way. There is no deletecollection.

use meta::validation::{NameValidation, is_qualified_name};
use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta, ObjectMetaMut};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource, VERBS};
use schema::{Key, Map, Value};

use crate::print;

/// `namespaces`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        verbs: VERBS.iter().filter(|verb| **verb != "deletecollection").map(|verb| (*verb).into()).collect(),
        short_names: vec!["ns".into()],
        subresources: vec![Subresource::part("finalize", &["update"]), Subresource::status()],
        columns: vec![Column::name(), Column::string("Status"), Column::string("Age")],
        selectable_fields: vec!["status.phase".into()],
        name_validation: NameValidation::Dns1123Label,
        returns_deleted_object: true,
        ..ResourceDef::stored("", "v1", "namespaces", "Namespace", Namespace)
    }
}

/// Label that always holds the namespace's name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The finalizer of the namespace controller.
const FINALIZER: &str = "kubernetes";

struct Namespace;

impl Strategy for Namespace {
    fn default(&self, object: &mut Value) {
        set_name_label(object);
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        object.set(&["status"], Map::from([("phase", "Active")]));
        let finalizers =
            object.ensure_map(&["spec"]).entry(Key::borrowed("finalizers"), || Value::List(Vec::new()));
        if finalizers.is_null() {
            *finalizers = Value::List(Vec::new());
        }
        if let Some(list) = finalizers.as_list_mut()
            && !list.iter().any(|name| name.as_str() == Some(FINALIZER))
        {
            list.push(FINALIZER.into());
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        finalizer_errors(object)
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        keep(object, old, &["spec", "finalizers"]);
    }

    fn prepare_for_part_update(&self, _: &str, _: &RequestContext, object: &mut Value, old: &Value) {
        keep(object, old, &["status"]);
    }

    fn validate_part_update(&self, _: &str, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        finalizer_errors(object)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        let phase = object.str_at(&["status", "phase"]).unwrap_or_default();
        let wanted =
            if ObjectMeta::of(object).deletion_timestamp().is_some() { "Terminating" } else { "Active" };
        if phase == wanted {
            return Vec::new();
        }
        let detail = if wanted == "Active" {
            "may only be 'Active' if `deletionTimestamp` is empty"
        } else {
            "may only be 'Terminating' if `deletionTimestamp` is not empty"
        };
        vec![FieldError::invalid_str(&FieldPath::root("status").child("Phase"), phase, detail)]
    }

    fn canonicalize(&self, object: &mut Value) {
        // A generated name is only known by now.
        set_name_label(object);
    }

    fn may_be_removed(&self, object: &Value) -> bool {
        ObjectMeta::of(object).deletion_timestamp().is_some()
            && object.list_at(&["spec", "finalizers"]).is_empty()
    }

    fn begin_deletion(&self, object: &mut Value) {
        object.set(&["status", "phase"], "Terminating");
    }

    fn field(&self, object: &Value, label: &str) -> String {
        match label {
            "status.phase" => print::text(object, &["status", "phase"]),
            _ => String::new(),
        }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        print::with_name_and_age(object, print, [print::text(object, &["status", "phase"]).into()])
    }
}

fn keep(object: &mut Value, old: &Value, path: &[&'static str]) {
    match old.at(path) {
        Some(value) => object.set(path, value.clone()),
        None => drop(object.remove(path)),
    }
}

fn set_name_label(object: &mut Value) {
    let name = ObjectMeta::of(object).name().to_owned();
    if !name.is_empty() && ObjectMeta::of(object).labels().str(NAME_LABEL) != Some(&name) {
        let mut meta = ObjectMetaMut::of(object);
        let labels = meta.map().entry(Key::borrowed("labels"), Value::map);
        if labels.is_null() {
            *labels = Value::map();
        }
        if let Some(labels) = labels.as_map_mut() {
            labels.insert(Key::borrowed(NAME_LABEL), name);
        }
    }
}

fn finalizer_errors(object: &Value) -> FieldErrors {
    let path = FieldPath::root("spec").child("finalizers");
    let mut errors = Vec::new();
    for (i, name) in object.list_at(&["spec", "finalizers"]).iter().enumerate() {
        let (name, path) = (name.as_str().unwrap_or_default(), path.index(i));
        let faults = is_qualified_name(name);
        errors.extend(faults.iter().map(|fault| FieldError::invalid_str(&path, name, fault.as_str())));
        if faults.is_empty() && !name.contains('/') && name != FINALIZER {
            let text = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid_str(&path, name, text));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Value {
        let mut object = Value::map();
        object.set(&["metadata", "name"], name);
        object
    }

    #[test]
    fn a_namespace_carries_its_name_as_a_label_whatever_was_sent() {
        let mut object = namespace("a");
        object.set(&["metadata", "labels"], Map::from([(NAME_LABEL, "other")]));
        Namespace.default(&mut object);
        assert_eq!(ObjectMeta::of(&object).labels().str(NAME_LABEL), Some("a"));
    }

    #[test]
    fn a_namespace_stays_until_it_is_marked_and_emptied() {
        let mut object = namespace("a");
        assert!(!Namespace.may_be_removed(&object), "not marked");
        object.set(&["metadata", "deletionTimestamp"], "2024-01-01T00:00:00Z");
        object.set(&["spec", "finalizers"], vec![FINALIZER]);
        assert!(!Namespace.may_be_removed(&object), "not emptied");
        object.set(&["spec", "finalizers"], Vec::<Value>::new());
        assert!(Namespace.may_be_removed(&object));
    }

    #[test]
    fn finalizers_of_the_spec_are_qualified_or_well_known() {
        let mut object = namespace("a");
        object.set(&["spec", "finalizers"], ["kubernetes", "a.example/f", "x"]);
        let errors = finalizer_errors(&object);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].field.as_str(), "spec.finalizers[2]");
    }
}
