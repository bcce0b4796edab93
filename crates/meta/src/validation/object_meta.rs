//! Validation of `metadata` on create and on update.

use std::collections::BTreeSet;

use schema::{Map, Value};

use super::names::{NameValidation, is_dns1123_label, is_label_value, is_qualified_name};
use crate::field::{FieldError, FieldErrorType, FieldErrors, FieldPath, go_code_point, is_printable, quoted};
use crate::names::GroupVersion;
use crate::object::ObjectMeta;

/// All annotations of an object together, keys and values.
pub const TOTAL_ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;
/// Length of a field manager's name.
pub const FIELD_MANAGER_MAX_BYTES: usize = 128;
const SUBRESOURCE_MAX_BYTES: usize = 256;
/// Finalizers that may do without a domain.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// What is wrong with the metadata of a new built-in object. `namespaced` says
/// whether the kind lives in namespaces, `path` is usually `metadata`.
pub fn validate_object_meta(
    meta: ObjectMeta<'_>,
    namespaced: bool,
    name: NameValidation,
    path: &FieldPath,
) -> FieldErrors {
    let mut errors = validate_generic_object_meta(meta, namespaced, name, path);
    errors.extend(validate_finalizer_domains(meta, &path.child("finalizers")));
    errors
}

/// The same without the demand that finalizers carry a domain: what custom
/// resources, their definitions and API services go through.
pub fn validate_generic_object_meta(
    meta: ObjectMeta<'_>,
    namespaced: bool,
    name: NameValidation,
    path: &FieldPath,
) -> FieldErrors {
    let mut errors = validate_names(meta, name, path);
    errors.extend(validate_namespace(meta, namespaced, path));
    if meta.generation() < 0 {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("generation"), &Value::Int(meta.generation()), detail));
    }
    errors.extend(validate_labels(meta.labels(), &path.child("labels")));
    errors.extend(validate_annotations(meta.annotations(), &path.child("annotations")));
    errors.extend(validate_owner_references(meta.owner_references(), &path.child("ownerReferences")));
    errors.extend(validate_finalizers(meta, &path.child("finalizers")));
    errors.extend(validate_managed_fields(meta, &path.child("managedFields")));
    errors
}

/// What is wrong with the metadata of a built-in object that replaces `old`.
pub fn validate_object_meta_update(
    new: ObjectMeta<'_>,
    old: ObjectMeta<'_>,
    path: &FieldPath,
) -> FieldErrors {
    let mut errors = validate_generic_object_meta_update(new, old, path);
    errors.extend(validate_finalizer_domains(new, &path.child("finalizers")));
    errors
}

/// The same without the demand that finalizers carry a domain.
pub fn validate_generic_object_meta_update(
    new: ObjectMeta<'_>,
    old: ObjectMeta<'_>,
    path: &FieldPath,
) -> FieldErrors {
    let mut errors = FieldErrors::new();
    if old.deletion_timestamp().is_some() {
        errors.extend(validate_no_new_finalizers(new, old, &path.child("finalizers")));
    }
    if new.resource_version().is_unset() {
        let detail = "must be specified for an update";
        errors.push(FieldError::invalid_str(&path.child("resourceVersion"), "", detail));
    }
    if new.generation() < old.generation() {
        let value = Value::Int(new.generation());
        errors.push(FieldError::invalid(&path.child("generation"), &value, "must not be decremented"));
    }
    errors.extend(validate_immutable_names(new, old, path));
    errors.extend(validate_labels(new.labels(), &path.child("labels")));
    errors.extend(validate_annotations(new.annotations(), &path.child("annotations")));
    errors.extend(validate_owner_references(new.owner_references(), &path.child("ownerReferences")));
    errors.extend(validate_managed_fields(new, &path.child("managedFields")));
    errors
}

fn validate_names(meta: ObjectMeta<'_>, name: NameValidation, path: &FieldPath) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let generate_name = meta.generate_name();
    if !generate_name.is_empty() {
        let field = path.child("generateName");
        let faults = name.check_prefix(generate_name);
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid_str(&field, generate_name, fault)));
    }
    let field = path.child("name");
    if meta.name().is_empty() {
        errors.push(FieldError::required(&field, "name or generateName is required"));
    } else {
        errors.extend(
            name.check(meta.name()).into_iter().map(|f| FieldError::invalid_str(&field, meta.name(), f)),
        );
    }
    errors
}

fn validate_namespace(meta: ObjectMeta<'_>, namespaced: bool, path: &FieldPath) -> FieldErrors {
    let field = path.child("namespace");
    let namespace = meta.namespace();
    match (namespaced, namespace.is_empty()) {
        (true, true) => vec![FieldError::required(&field, "")],
        (true, false) => is_dns1123_label(namespace)
            .into_iter()
            .map(|f| FieldError::invalid_str(&field, namespace, f))
            .collect(),
        (false, true) => Vec::new(),
        (false, false) => vec![FieldError::forbidden(&field, "not allowed on this type")],
    }
}

/// What is wrong with labels: keys are qualified names, values label values.
pub fn validate_labels(labels: &Map, path: &FieldPath) -> FieldErrors {
    let mut errors = FieldErrors::new();
    for (key, value) in labels.iter() {
        let value = value.as_str().unwrap_or_default();
        errors.extend(is_qualified_name(key).into_iter().map(|f| FieldError::invalid_str(path, key, f)));
        errors.extend(is_label_value(value).into_iter().map(|f| FieldError::invalid_str(path, value, f)));
    }
    errors
}

/// What is wrong with annotations: keys are qualified names in any case, the
/// whole is limited to [`TOTAL_ANNOTATIONS_MAX_BYTES`].
pub fn validate_annotations(annotations: &Map, path: &FieldPath) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let mut total = 0;
    for (key, value) in annotations.iter() {
        total += key.len() + value.as_str().map_or(0, str::len);
        let faults = is_qualified_name(&key.to_lowercase());
        errors.extend(faults.into_iter().map(|f| FieldError::invalid_str(path, key, f)));
    }
    if total > TOTAL_ANNOTATIONS_MAX_BYTES {
        errors.push(FieldError::too_long(path, TOTAL_ANNOTATIONS_MAX_BYTES));
    }
    errors
}

/// What is wrong with owner references: required fields, owners that can own
/// nothing, more than one controller.
pub fn validate_owner_references(references: &[Value], path: &FieldPath) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let mut controller: Option<String> = None;
    for reference in references {
        errors.extend(validate_owner_reference(reference, path));
        if reference.bool_at(&["controller"]) != Some(true) {
            continue;
        }
        let text = |key: &str| reference.str_at(&[key]).unwrap_or_default();
        let current = format!("{}/{}", text("kind"), text("name"));
        match &controller {
            Some(first) => {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and \
                     {current}"
                );
                errors.push(FieldError::invalid(path, &Value::List(references.to_vec()), detail));
            }
            None => controller = Some(current),
        }
    }
    errors
}

fn validate_owner_reference(reference: &Value, path: &FieldPath) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let text = |key: &str| reference.str_at(&[key]).unwrap_or_default();
    // More than one slash is no group version; the original then knows no version either.
    let group_version = GroupVersion::parse(text("apiVersion"));
    if group_version.as_ref().is_none_or(|gv| gv.version.is_empty()) {
        let field = path.child("apiVersion");
        errors.push(FieldError::invalid_str(&field, text("apiVersion"), "version must not be empty"));
    }
    for key in ["kind", "name", "uid"] {
        if text(key).is_empty() {
            errors.push(FieldError::invalid_str(&path.child(key), "", "must not be empty"));
        }
    }
    // An Event goes away by itself, so nothing may hang on it.
    if text("apiVersion") == "v1" && text("kind") == "Event" {
        let detail = "/v1, Kind=Event is disallowed from being an owner";
        errors.push(FieldError::invalid(path, reference, detail));
    }
    errors
}

/// What is wrong with the finalizers of an object: qualified names, and not
/// both ways of garbage collection at once.
pub fn validate_finalizers(meta: ObjectMeta<'_>, path: &FieldPath) -> FieldErrors {
    let mut errors = FieldErrors::new();
    for finalizer in meta.finalizers() {
        let faults = is_qualified_name(finalizer);
        errors.extend(faults.into_iter().map(|f| FieldError::invalid_str(path, finalizer, f)));
    }
    let has = |wanted: &str| meta.finalizers().any(|finalizer| finalizer == wanted);
    if has("orphan") && has("foregroundDeletion") {
        let all: Value = meta.finalizers().collect::<Vec<_>>().into();
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, &all, detail));
    }
    errors
}

fn validate_finalizer_domains(meta: ObjectMeta<'_>, path: &FieldPath) -> FieldErrors {
    let bare = |finalizer: &str| !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer);
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    let at_fault = meta.finalizers().enumerate().filter(|(_, finalizer)| bare(finalizer));
    at_fault.map(|(i, finalizer)| FieldError::invalid_str(&path.index(i), finalizer, detail)).collect()
}

fn validate_no_new_finalizers(new: ObjectMeta<'_>, old: ObjectMeta<'_>, path: &FieldPath) -> FieldErrors {
    let known: BTreeSet<&str> = old.finalizers().collect();
    let extra: BTreeSet<&str> = new.finalizers().filter(|finalizer| !known.contains(finalizer)).collect();
    if extra.is_empty() {
        return Vec::new();
    }
    let list: Vec<String> = extra.into_iter().map(quoted).collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        list.join(", ")
    );
    vec![FieldError::forbidden(path, detail)]
}

/// Absent text and absent pointers differ in what the message shows.
fn validate_immutable_names(new: ObjectMeta<'_>, old: ObjectMeta<'_>, path: &FieldPath) -> FieldErrors {
    let text = |value: &str| Value::String(value.to_owned());
    let pointer = |value: Option<&str>| value.filter(|v| !v.is_empty()).map_or(Value::Null, text);
    let number = |value: Option<i64>| value.map_or(Value::Null, Value::Int);
    let pairs = [
        ("name", text(new.name()), text(old.name())),
        ("namespace", text(new.namespace()), text(old.namespace())),
        ("uid", text(new.uid()), text(old.uid())),
        (
            "creationTimestamp",
            pointer(Some(new.creation_timestamp())),
            pointer(Some(old.creation_timestamp())),
        ),
        ("deletionTimestamp", pointer(new.deletion_timestamp()), pointer(old.deletion_timestamp())),
        (
            "deletionGracePeriodSeconds",
            number(new.deletion_grace_period_seconds()),
            number(old.deletion_grace_period_seconds()),
        ),
    ];
    pairs.iter().flat_map(|(key, new, old)| validate_immutable_field(new, old, &path.child(key))).collect()
}

/// `field is immutable` if the two differ.
pub fn validate_immutable_field(new: &Value, old: &Value, path: &FieldPath) -> FieldErrors {
    if new == old { Vec::new() } else { vec![FieldError::invalid(path, new, "field is immutable")] }
}

fn validate_managed_fields(meta: ObjectMeta<'_>, path: &FieldPath) -> FieldErrors {
    let mut errors = FieldErrors::new();
    for (i, entry) in meta.managed_fields().iter().enumerate() {
        let path = path.index(i);
        let text = |key: &str| entry.str_at(&[key]).unwrap_or_default();
        if !matches!(text("operation"), "Apply" | "Update") {
            let field = path.child("operation");
            errors.push(FieldError::invalid_str(&field, text("operation"), "must be `Apply` or `Update`"));
        }
        if !matches!(text("fieldsType"), "" | "FieldsV1") {
            let field = path.child("fieldsType");
            errors.push(FieldError::invalid_str(&field, text("fieldsType"), "must be `FieldsV1`"));
        }
        errors.extend(validate_field_manager(text("manager"), &path.child("manager")));
        if text("subresource").len() > SUBRESOURCE_MAX_BYTES {
            errors.push(FieldError::too_long(&path.child("subresource"), SUBRESOURCE_MAX_BYTES));
        }
    }
    errors
}

/// What is wrong with a field manager's name: at most
/// [`FIELD_MANAGER_MAX_BYTES`], printable characters only. Empty is good.
pub fn validate_field_manager(manager: &str, path: &FieldPath) -> FieldErrors {
    let mut errors = FieldErrors::new();
    if manager.len() > FIELD_MANAGER_MAX_BYTES {
        errors.push(FieldError::too_long(path, FIELD_MANAGER_MAX_BYTES));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| !is_printable(*c)) {
        let detail = format!("invalid character {} (at position {at})", go_code_point(c));
        errors.push(FieldError::new(FieldErrorType::Invalid, path, quoted(manager), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(metadata: Map) -> Value {
        Map::from([("metadata", metadata)]).into()
    }

    fn texts(errors: FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn check(metadata: impl Into<Map>, namespaced: bool) -> Vec<String> {
        let object = object(metadata.into());
        let path = FieldPath::root("metadata");
        texts(validate_object_meta(
            ObjectMeta::of(&object),
            namespaced,
            NameValidation::Dns1123Subdomain,
            &path,
        ))
    }

    fn check_update(new: Map, old: Map) -> Vec<String> {
        let (new, old) = (object(new), object(old));
        let path = FieldPath::root("metadata");
        texts(validate_object_meta_update(ObjectMeta::of(&new), ObjectMeta::of(&old), &path))
    }

    #[test]
    fn an_object_needs_a_name_and_the_right_namespace() {
        assert_eq!(check([("name", "a"), ("namespace", "n")], true), [""; 0]);
        assert_eq!(
            check([("namespace", "n")], true),
            ["metadata.name: Required value: name or generateName is required"]
        );
        assert_eq!(check([("name", "a")], true), ["metadata.namespace: Required value"]);
        assert_eq!(
            check([("name", "a"), ("namespace", "n")], false),
            ["metadata.namespace: Forbidden: not allowed on this type"]
        );
    }

    #[test]
    fn finalizers_need_a_domain_unless_they_are_standard() {
        let with = |finalizers: Vec<&str>| {
            check([("name", Value::from("a")), ("finalizers", finalizers.into())], false)
        };
        assert_eq!(with(vec!["e.com/x", "orphan"]), [""; 0]);
        assert_eq!(
            with(vec!["e.com/x", "noslash"]),
            [
                "metadata.finalizers[1]: Invalid value: \"noslash\": name is neither a standard finalizer name nor is it \
             fully qualified"
            ]
        );
        assert_eq!(
            with(vec!["orphan", "foregroundDeletion"]),
            [
                "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and \
             foregroundDeletion cannot be both set"
            ]
        );
    }

    #[test]
    fn only_one_owner_is_the_controller_and_no_event_owns() {
        let owner = |kind: &str, name: &str| -> Map {
            Map::from([("apiVersion", "v1"), ("kind", kind), ("name", name), ("uid", "u")])
        };
        let controller = |kind, name| {
            let mut map = owner(kind, name);
            map.insert("controller", true);
            map
        };
        let path = FieldPath::root("metadata.ownerReferences");
        let check = |owners: Vec<Map>| {
            let owners: Vec<Value> = owners.into_iter().map(Value::Map).collect();
            texts(validate_owner_references(&owners, &path))
        };
        assert_eq!(check(vec![controller("Pod", "a"), owner("Pod", "b")]), [""; 0]);
        let two = check(vec![controller("Pod", "a"), controller("Pod", "b")]);
        assert!(two[0].ends_with("Found \"true\" in references for Pod/a and Pod/b"), "{two:?}");
        let event = check(vec![owner("Event", "e")]);
        assert!(event[0].ends_with("/v1, Kind=Event is disallowed from being an owner"), "{event:?}");
        assert_eq!(check(vec![Map::new()]).len(), 4);
    }

    #[test]
    fn names_and_identity_do_not_change() {
        let old = Map::from([("name", "a"), ("uid", "u"), ("resourceVersion", "1")]);
        let mut new = old.clone();
        assert_eq!(check_update(new.clone(), old.clone()), [""; 0]);
        new.insert("uid", "other");
        new.insert("deletionTimestamp", "2002-01-01T00:00:00Z");
        assert_eq!(
            check_update(new.clone(), old.clone()),
            [
                "metadata.uid: Invalid value: \"other\": field is immutable",
                "metadata.deletionTimestamp: Invalid value: \"2002-01-01T00:00:00Z\": field is immutable",
            ]
        );
        new.remove("resourceVersion");
        assert_eq!(
            check_update(new, old)[0],
            "metadata.resourceVersion: Invalid value: \"\": must be specified for an update"
        );
    }

    #[test]
    fn a_dying_object_takes_no_new_finalizers() {
        let mut old = Map::from([("name", "a"), ("resourceVersion", "1"), ("deletionTimestamp", "x")]);
        old.insert("finalizers", vec!["e.com/f"]);
        let mut new = old.clone();
        new.insert("finalizers", vec!["e.com/g"]);
        assert_eq!(
            check_update(new, old),
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
             finalizers []string{\"e.com/g\"}"
            ]
        );
    }

    #[test]
    fn annotations_together_are_limited() {
        let path = FieldPath::root("metadata.annotations");
        let annotations = |bytes: usize| Map::from([("a", "x".repeat(bytes))]);
        let max = TOTAL_ANNOTATIONS_MAX_BYTES - 1;
        assert_eq!(texts(validate_annotations(&annotations(max), &path)), [""; 0]);
        assert_eq!(
            texts(validate_annotations(&annotations(max + 1), &path)),
            ["metadata.annotations: Too long: may not be more than 262144 bytes"]
        );
    }

    #[test]
    fn field_managers_are_printable() {
        let path = FieldPath::root("fieldManager");
        assert_eq!(texts(validate_field_manager("kubectl é\"", &path)), [""; 0]);
        assert_eq!(
            texts(validate_field_manager("a\nb", &path)),
            ["fieldManager: Invalid value: \"a\\nb\": invalid character U+000A (at position 1)"]
        );
    }
}
