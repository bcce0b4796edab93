//! Ingress classes name the controller that serves an ingress.

use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::networking::GROUP;
use crate::print as show;

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
        if controller.len() > 250 {
            errors.push(FieldError::too_long(&path, 250));
        }
        check::messages(&mut errors, &path, controller, is_domain_prefixed_path(controller));
        validate_parameters(&mut errors, object);
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        check::immutable(&mut errors, "spec.controller", object, old);
        validate_parameters(&mut errors, object);
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

/// `domain/path`, the syntax of controller names.
fn is_domain_prefixed_path(value: &str) -> Vec<String> {
    const PATH: &str = "must be a domain-prefixed path (such as \"acme.io/foo\")";
    let Some((domain, path)) = value.split_once('/').filter(|(d, p)| !d.is_empty() && !p.is_empty()) else {
        return vec![PATH.to_owned()];
    };
    let invalid_domain = meta::validation::is_dns1123_subdomain(domain);
    if !invalid_domain.is_empty() {
        return invalid_domain.into_iter().map(|message| format!("prefix part {message}")).collect();
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%/@".contains(&b);
    if path.bytes().all(allowed) { Vec::new() } else { vec![PATH_SYNTAX.to_owned()] }
}

const PATH_SYNTAX: &str = "Invalid path (e.g. '/valid/path', regex used for validation is \
                           '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";

fn validate_parameters(errors: &mut FieldErrors, object: &Value) {
    let Some(parameters) = object.at(&["spec", "parameters"]) else { return };
    let path = at("spec.parameters");
    for key in ["kind", "name"] {
        check::required(errors, &path.child(key), text(parameters, &[key]));
    }
    let (scope, namespace) = (text(parameters, &["scope"]), parameters.str_at(&["namespace"]));
    if !scope.is_empty() {
        check::one_of(errors, &path.child("scope"), scope, &["Cluster", "Namespace"]);
    }
    match (scope, namespace) {
        ("Namespace", None) => {
            let detail = "`parameters.scope` is set to 'Namespace'";
            errors.push(FieldError::required(&path.child("namespace"), detail));
        }
        ("Cluster", Some(_)) => {
            let detail = "`parameters.scope` is set to 'Cluster'";
            errors.push(FieldError::forbidden(&path.child("namespace"), detail));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, object, problems};

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
}
