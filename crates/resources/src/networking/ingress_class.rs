//! Ingress classes name the controller that serves an ingress.

use meta::validation::{is_dns1123_label, is_dns1123_subdomain, is_path_segment_name};
use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::networking::GROUP;
use crate::print as show;
use crate::validation;

const CONTROLLER_BYTES_MAX: usize = 250;

/// Ingress classes as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        columns: vec![
            Column::name(),
            Column::string("Controller"),
            Column::string("Parameters"),
            Column::string("Age"),
        ],
        generation: true,
        repeats_metadata_validation: true,
        ..ResourceDef::stored(GROUP, "v1", "ingressclasses", "IngressClass", IngressClassStrategy)
    }
}

struct IngressClassStrategy;

impl Strategy for IngressClassStrategy {
    fn default(&self, object: &mut Value) {
        let spec = object.get_mut("spec");
        if let Some(parameters) = spec.and_then(|spec| defaults::object(spec, "parameters")) {
            defaults::pointer(parameters, "scope", "Cluster");
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let path = at("spec.controller");
        let controller = text(object, &["spec", "controller"]);
        if controller.is_empty() {
            return FieldError::required(&path, "at least one controller is required").into();
        }
        if controller.len() > CONTROLLER_BYTES_MAX {
            errors.push(FieldError::too_long(&path, CONTROLLER_BYTES_MAX));
        }
        validation::domain_prefixed_path(&mut errors, &path, controller);
        validate_parameters(&mut errors, object);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        check::immutable(&mut errors, "spec.controller", object, old);
        errors.extend(self.validate(context, object));
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let between = [show::text(object, &["spec", "controller"]).into(), parameters(object).into()];
        show::with_name_and_age(object, print, between)
    }
}

fn parameters(object: &Value) -> String {
    let Some(parameters) = object.at(&["spec", "parameters"]) else { return show::NONE.to_owned() };
    let (kind, name) = (text(parameters, &["kind"]), text(parameters, &["name"]));
    match parameters.str_at(&["apiGroup"]) {
        Some(group) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

fn validate_parameters(errors: &mut FieldErrors, object: &Value) {
    let Some(parameters) = check::given(object, &["spec", "parameters"]) else { return };
    let path = at("spec.parameters");
    validate_reference(errors, &path, parameters);
    let namespace = parameters.str_at(&["namespace"]);
    let Some(scope) = parameters.str_at(&["scope"]) else {
        errors.push(FieldError::required(&path.child("scope"), ""));
        return;
    };
    check::one_of(errors, &path.child("scope"), scope, &["Cluster", "Namespace"]);
    let path = path.child("namespace");
    match (scope, namespace) {
        ("Namespace", None) => {
            errors.push(FieldError::required(&path, "`parameters.scope` is set to 'Namespace'"));
        }
        ("Namespace", Some(name)) => check::messages(errors, &path, name, is_dns1123_label(name)),
        ("Cluster", Some(_)) => {
            errors.push(FieldError::forbidden(&path, "`parameters.scope` is set to 'Cluster'"));
        }
        _ => {}
    }
}

/// An object named by group, kind and name.
pub(super) fn validate_reference(errors: &mut FieldErrors, path: &FieldPath, reference: &Value) {
    if let Some(group) = reference.str_at(&["apiGroup"]) {
        check::messages(errors, &path.child("apiGroup"), group, is_dns1123_subdomain(group));
    }
    for key in ["kind", "name"] {
        let (path, value) = (path.child(key), text(reference, &[key]));
        if check::required(errors, &path, value) {
            check::messages(errors, &path, value, is_path_segment_name(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, object, problems, refuses, refuses_updates};

    #[test]
    fn parameters_are_cluster_wide_by_default_and_printed_with_their_group() {
        let class = defaulted(
            &definition(),
            r#"{"spec":{"controller":"a.b/c","parameters":{"apiGroup":"g.io","kind":"K","name":"n"}}}"#,
        );
        assert_eq!(class.str_at(&["spec", "parameters", "scope"]), Some("Cluster"));
        assert_eq!(cells(&definition(), &class)[2], Value::from("K.g.io/n"));
    }

    #[test]
    fn a_controller_is_a_domain_and_a_path() {
        let class = object(r#"{"spec":{"controller":"plain"}}"#);
        assert_eq!(problems(&definition(), &class).len(), 1);
        assert!(
            problems(&definition(), &object(r#"{"spec":{"controller":"golden.example/ic"}}"#)).is_empty()
        );
    }

    #[test]
    fn parameters_are_named_in_their_scope() {
        let base =
            r#"{"metadata":{"name":"a"},"spec":{"controller":"a.b/c","parameters":{"kind":"K","name":"n"}}}"#;
        refuses(
            &definition(),
            base,
            &[
                (
                    r#"{"spec":{"controller":null}}"#,
                    &["spec.controller: Required value: at least one controller is required"],
                ),
                (
                    r#"{"spec":{"controller":"c"}}"#,
                    &["spec.controller: Invalid value: \"c\": must be a domain-prefixed path (such as \
                       \"acme.io/foo\")"],
                ),
                (
                    r#"{"spec":{"parameters":{"scope":"Namespace"}}}"#,
                    &["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
                ),
                (
                    r#"{"spec":{"parameters":{"namespace":"n"}}}"#,
                    &["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
                ),
                (
                    r#"{"spec":{"parameters":{"scope":"X","kind":""}}}"#,
                    &[
                        "spec.parameters.kind: Required value",
                        "spec.parameters.scope: Unsupported value: \"X\": supported values: \"Cluster\", \
                         \"Namespace\"",
                    ],
                ),
            ],
        );
        refuses_updates(
            &definition(),
            base,
            &[(
                r#"{"spec":{"controller":"a.b/d"}}"#,
                &["spec.controller: Invalid value: \"a.b/d\": field is immutable"],
            )],
        );
    }
}
