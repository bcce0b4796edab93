//! What kinds with a pod template share: columns, validation of template,
//! selector and replica counts.

use meta::selector::LabelSelector;
use meta::validation::is_dns1123_label;
use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use registry::{Column, PrintContext};
use schema::{Map, Value};

use crate::core::{pod_validation, pod_warnings};
use crate::{check, print, validation};

/// Columns of the kinds that keep a number of pods alive.
pub fn replica_columns() -> Vec<Column> {
    vec![
        Column::name(),
        Column::integer("Desired"),
        Column::integer("Current"),
        Column::integer("Ready"),
        Column::string("Age"),
        Column::string("Containers").wide(),
        Column::string("Images").wide(),
        Column::string("Selector").wide(),
    ]
}

/// Cells of [`replica_columns`].
pub fn replica_cells(object: &Value, print: &PrintContext, selector: String) -> Vec<Value> {
    let [names, images] = print::containers(object.at(&["spec", "template", "spec"]));
    vec![
        print.name(object).into(),
        print::int(object, &["spec", "replicas"]).into(),
        print::int(object, &["status", "replicas"]).into(),
        print::int(object, &["status", "readyReplicas"]).into(),
        print.age(object).into(),
        names,
        images,
        selector.into(),
    ]
}

/// `status.replicas` as a selectable field.
pub fn replicas_field(object: &Value, label: &str) -> String {
    if label == "status.replicas" {
        print::int(object, &["status", "replicas"]).to_string()
    } else {
        String::new()
    }
}

/// What is wrong with a pod template.
pub fn template(template: Option<&Value>, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(template) = template.filter(|template| !template.is_null()) else { return };
    pod_validation::template_metadata(template, &path.child("metadata"), errors);
    pod_validation::spec(
        template.at(&["spec"]),
        &path.child("spec"),
        pod_validation::Place::Template,
        errors,
    );
}

/// What is wrong with `spec.template` under a selector: the pods it makes must
/// be selected. A missing selector selects nothing.
pub fn template_for_selector(object: &Value, selector: Option<&Value>, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec").child("template");
    let Some(found) = object.at(&["spec", "template"]).filter(|template| !template.is_null()) else {
        errors.push(FieldError::required(&path, ""));
        return;
    };
    let empty = Map::new();
    let labels = found.map_at(&["metadata", "labels"]).unwrap_or(&empty);
    let selected = match selector.map(LabelSelector::from_object) {
        // A selector that cannot be read has been refused before.
        Some(Err(_)) => true,
        Some(Ok(selector)) => selector.is_empty() || selector.matches(labels),
        None => false,
    };
    if !selected {
        errors.push(FieldError::invalid(
            &path.child("metadata.labels"),
            found.at(&["metadata", "labels"]).unwrap_or(&Value::Null),
            "`selector` does not match template `labels`",
        ));
    }
    template(Some(found), &path, errors);
}

/// Pods that a controller of this kind keeps alive are restarted for ever.
pub fn always_restarted(object: &Value, kind: &str, errors: &mut FieldErrors) {
    let Some(spec) = object.at(&["spec", "template", "spec"]) else { return };
    let path = FieldPath::root("spec").child("template.spec");
    let policy = check::text(spec, &["restartPolicy"]);
    if policy != "Always" {
        errors.push(FieldError::not_supported(&path.child("restartPolicy"), &policy.into(), &["Always"]));
    }
    if spec.at(&["activeDeadlineSeconds"]).is_some_and(|seconds| !seconds.is_null()) {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(&path.child("activeDeadlineSeconds"), detail));
    }
}

/// A selector that must be there and select something; `kind` stands in the text.
pub fn required_selector(object: &Value, kind: &str, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec").child("selector");
    match object.at(&["spec", "selector"]).filter(|selector| !selector.is_null()) {
        Some(_) => selector(object, kind, errors),
        None => errors.push(FieldError::required(&path, "")),
    }
}

/// A selector that, if it is there, selects something; `kind` stands in the text.
pub fn selector(object: &Value, kind: &str, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec").child("selector");
    let Some(selector) = object.at(&["spec", "selector"]).filter(|selector| !selector.is_null()) else {
        return;
    };
    validation::label_selector(Some(selector), &path, errors);
    if selector.list_at(&["matchExpressions"]).is_empty()
        && selector.map_at(&["matchLabels"]).is_none_or(Map::is_empty)
    {
        let detail = format!("empty selector is invalid for {kind}");
        errors.push(FieldError::invalid(&path, &Value::map(), detail));
    }
}

/// `status.collisionCount` cannot be less than it was.
pub fn collisions_only_grow(object: &Value, old: &Value, errors: &mut FieldErrors) {
    let count = |object: &Value| object.int_at(&["status", "collisionCount"]);
    if count(old) > count(object) {
        let path = FieldPath::root("status").child("collisionCount");
        let shown = count(object).unwrap_or_default();
        errors.push(FieldError::invalid(&path, &shown.into(), "cannot be decremented"));
    }
}

/// A warning about a name that makes a bad name of a host.
pub fn name_warnings(object: &Value) -> Vec<String> {
    let messages = is_dns1123_label(ObjectMeta::of(object).name());
    if messages.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS \
         label is recommended: [{}]",
        messages.join(" ")
    )]
}

/// Warnings about the pods that a new object makes, by the template at `path`.
pub fn template_warnings(object: &Value, path: &str) -> Vec<String> {
    let steps: Vec<&str> = path.split('.').collect();
    let template = check::given(object, &steps);
    template.map(|template| pod_warnings::template(template, &FieldPath::root(path))).unwrap_or_default()
}

/// [`template_warnings`], unless the spec is what it was.
pub fn changed_template_warnings(object: &Value, old: &Value, path: &str) -> Vec<String> {
    if check::same(object.get("spec"), old.get("spec")) {
        return Vec::new();
    }
    template_warnings(object, path)
}

/// Numbers in `status` that cannot be negative or more than there are.
pub fn replica_status(object: &Value) -> FieldErrors {
    let path = FieldPath::root("status");
    let number = |key: &str| print::int(object, &["status", key]);
    let mut errors = Vec::new();
    for key in [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "terminatingReplicas",
        "observedGeneration",
    ] {
        check::not_negative(&mut errors, &path.child(key), Some(number(key)));
    }
    let mut bounded = |key: &str, bound: &str, text: &str| {
        if number(key) > number(bound) {
            errors.push(FieldError::invalid(&path.child(key), &number(key).into(), text));
        }
    };
    bounded("fullyLabeledReplicas", "replicas", "cannot be greater than status.replicas");
    bounded("readyReplicas", "replicas", "cannot be greater than status.replicas");
    bounded("availableReplicas", "replicas", "cannot be greater than status.replicas");
    bounded("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas");
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_cannot_be_ready_than_there_are() {
        let mut object = Value::map();
        object.set(&["status"], Map::from([("replicas", 1), ("readyReplicas", 2)]));
        let texts: Vec<String> = replica_status(&object).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"]);
    }
}
