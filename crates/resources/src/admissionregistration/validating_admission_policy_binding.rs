//! Validating admission policy bindings say where a policy holds, with which
//! parameters, and what follows from a denial.

use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::admissionregistration::{self as shared, GROUP};
use crate::check::{self, at, text};
use crate::defaults;
use crate::print as show;

/// Validating admission policy bindings as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        categories: vec!["api-extensions".into()],
        columns: columns(),
        generation: true,
        unconditional_update: false,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "validatingadmissionpolicybindings",
            "ValidatingAdmissionPolicyBinding",
            ValidatingAdmissionPolicyBindingStrategy,
        )
    }
}

struct ValidatingAdmissionPolicyBindingStrategy;

impl Strategy for ValidatingAdmissionPolicyBindingStrategy {
    fn default(&self, object: &mut Value) {
        default(object);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = validate_binding(object);
        validate_actions(&mut errors, object.list_at(&["spec", "validationActions"]));
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        self.validate(context, object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        cells(object, print)
    }
}

pub(super) fn columns() -> Vec<Column> {
    vec![Column::name(), Column::string("PolicyName"), Column::string("ParamRef"), Column::string("Age")]
}

pub(super) fn default(object: &mut Value) {
    let spec = object.get_mut("spec");
    if let Some(resources) = spec.and_then(|spec| defaults::object(spec, "matchResources")) {
        shared::default_match_resources(resources);
    }
}

pub(super) fn cells(object: &Value, print: &PrintContext) -> Vec<Value> {
    let policy = text(object, &["spec", "policyName"]);
    show::with_name_and_age(object, print, [policy.into(), param_ref(object).into()])
}

fn param_ref(object: &Value) -> String {
    let Some(reference) = object.at(&["spec", "paramRef"]) else { return "<unset>".to_owned() };
    match (text(reference, &["namespace"]), text(reference, &["name"]), reference.get("selector")) {
        ("", "", Some(selector)) => selector_as_go(selector),
        ("", "", None) => "<unset>".to_owned(),
        ("", name, _) => name.to_owned(),
        (namespace, name, _) => format!("{namespace}/{name}"),
    }
}

/// The original prints the selector as Go prints a protobuf message.
fn selector_as_go(selector: &Value) -> String {
    let labels: String = selector
        .map_at(&["matchLabels"])
        .into_iter()
        .flat_map(|labels| labels.iter())
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or_default()))
        .collect();
    let requirement = |requirement: &Value| {
        let values: Vec<&str> = requirement.list_at(&["values"]).iter().filter_map(Value::as_str).collect();
        let (key, operator) = (text(requirement, &["key"]), text(requirement, &["operator"]));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    };
    let expressions: String = selector.list_at(&["matchExpressions"]).iter().map(requirement).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

/// What the two kinds of binding have in common.
pub(super) fn validate_binding(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let spec = at("spec");
    let policy = text(object, &["spec", "policyName"]);
    if check::required(&mut errors, &spec.child("policyName"), policy) {
        let messages = meta::validation::is_dns1123_subdomain(policy);
        check::messages(&mut errors, &spec.child("policyName"), policy, messages);
    }
    if let Some(reference) = check::given(object, &["spec", "paramRef"]) {
        validate_param_ref(&mut errors, &spec.child("paramRef"), reference);
    }
    if let Some(resources) = check::given(object, &["spec", "matchResources"]) {
        shared::validate_match_resources(&mut errors, &spec.child("matchResources"), resources, false);
    }
    errors
}

fn validate_param_ref(errors: &mut FieldErrors, path: &FieldPath, reference: &Value) {
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    let (name, selector) = (text(reference, &["name"]), check::given(reference, &["selector"]));
    let both = !name.is_empty() && selector.is_some();
    if !name.is_empty() {
        check::messages(errors, &path.child("name"), name, meta::validation::is_path_segment_name(name));
    }
    if both {
        errors.push(FieldError::forbidden(&path.child("name"), EXCLUSIVE));
    }
    crate::validation::label_selector(selector, &path.child("selector"), errors);
    if both {
        errors.push(FieldError::forbidden(&path.child("selector"), EXCLUSIVE));
    }
    if name.is_empty() && selector.is_none() {
        errors.push(FieldError::required(path, "one of name or selector must be specified"));
    }
    let action = text(reference, &["parameterNotFoundAction"]);
    let path = path.child("parameterNotFoundAction");
    check::required_one_of(errors, &path, action, &["Deny", "Allow"]);
}

fn validate_actions(errors: &mut FieldErrors, actions: &[Value]) {
    let path = at("spec.validationActions");
    let named: Vec<&str> = actions.iter().filter_map(Value::as_str).collect();
    for (i, action) in named.iter().enumerate() {
        check::one_of(errors, &path.index(i), action, &["Audit", "Deny", "Warn"]);
        if named[..i].contains(action) {
            errors.push(FieldError::duplicate(&path.index(i), &(*action).into()));
        }
    }
    if named.contains(&"Deny") && named.contains(&"Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the \
                      API response and headers serves no purpose)";
        errors.push(FieldError::invalid(&path, &Value::List(actions.to_vec()), detail));
    }
    if actions.is_empty() {
        errors.push(FieldError::required(&path, "at least one validation action is required"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, object, problems};

    fn binding(spec: &str) -> Value {
        object(&format!(
            r#"{{"metadata":{{"name":"b"}},"spec":{{"policyName":"p","validationActions":["Deny"]{spec}}}}}"#
        ))
    }

    #[test]
    fn parameters_are_found_by_name_or_by_selector() {
        for (reference, expected) in [
            (r#"{"name":"a","parameterNotFoundAction":"Deny"}"#, None),
            (
                r#"{"parameterNotFoundAction":"Deny"}"#,
                Some("spec.paramRef: Required value: one of name or selector must be specified"),
            ),
            (r#"{"name":"a"}"#, Some("spec.paramRef.parameterNotFoundAction: Required value")),
        ] {
            let binding = binding(&format!(r#","paramRef":{reference}"#));
            assert_eq!(problems(&definition(), &binding), expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn parameters_are_printed() {
        assert_eq!(cells(&definition(), &binding(""))[1..3], ["p", "<unset>"].map(Value::from));
        let named = binding(r#","paramRef":{"namespace":"n","name":"a"}"#);
        assert_eq!(cells(&definition(), &named)[2], Value::from("n/a"));
    }

    #[test]
    fn a_denial_does_not_warn_as_well() {
        let both = object(r#"{"spec":{"policyName":"p","validationActions":["Deny","Warn"]}}"#);
        assert_eq!(problems(&definition(), &both).len(), 1);
    }
}
