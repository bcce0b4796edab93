//! Group `admissionregistration.k8s.io`: what is asked before a write, webhooks
//! and policies. Shared here: where a webhook is called and what rules match.

pub mod mutating_admission_policy;
pub mod mutating_admission_policy_binding;
pub mod mutating_webhook_configuration;
pub mod validating_admission_policy;
pub mod validating_admission_policy_binding;
pub mod validating_webhook_configuration;

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath};
use registry::ResourceDef;
use schema::Value;

use crate::check::{self, text};
use crate::{defaults, in_version};

const GROUP: &str = "admissionregistration.k8s.io";
const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![
        mutating_admission_policy::definition(),
        mutating_admission_policy_binding::definition(),
        mutating_webhook_configuration::definition(),
        validating_admission_policy::definition(),
        validating_admission_policy_binding::definition(),
        validating_webhook_configuration::definition(),
        in_version(mutating_admission_policy::definition(), "v1beta1"),
        in_version(mutating_admission_policy_binding::definition(), "v1beta1"),
        in_version(mutating_admission_policy::definition(), "v1alpha1"),
        in_version(mutating_admission_policy_binding::definition(), "v1alpha1"),
    ]
}

/// Rules are about any scope, and an absent selector selects everything.
fn default_match_resources(resources: &mut Value) {
    defaults::pointer(resources, "matchPolicy", "Equivalent");
    defaults::pointer(resources, "namespaceSelector", Value::map());
    defaults::pointer(resources, "objectSelector", Value::map());
    for key in ["resourceRules", "excludeResourceRules"] {
        default_rules(resources, key);
    }
}

fn default_rules(parent: &mut Value, key: &str) {
    for rule in defaults::items(parent, key) {
        defaults::pointer(rule, "scope", "*");
    }
}

/// `resourceRules` of a policy must name something, exclusions need not.
fn validate_match_resources(
    errors: &mut FieldErrors,
    path: &FieldPath,
    resources: &Value,
    rules_required: bool,
) {
    let policy = text(resources, &["matchPolicy"]);
    if !policy.is_empty() {
        check::one_of(errors, &path.child("matchPolicy"), policy, MATCH_POLICIES);
    }
    for key in ["namespaceSelector", "objectSelector"] {
        crate::validation::label_selector(resources.get(key), &path.child(key), errors);
    }
    if rules_required && resources.list_at(&["resourceRules"]).is_empty() {
        errors.push(FieldError::required(&path.child("resourceRules"), ""));
    }
    for key in ["resourceRules", "excludeResourceRules"] {
        for (i, rule) in resources.list_at(&[key]).iter().enumerate() {
            let path = path.child(key).index(i);
            validate_rule(errors, &path, rule);
            validate_resource_names(errors, &path, rule.list_at(&["resourceNames"]));
        }
    }
}

fn validate_resource_names(errors: &mut FieldErrors, path: &FieldPath, names: &[Value]) {
    let mut seen = BTreeSet::new();
    for (i, name) in names.iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("resourceNames").index(i);
        check::messages(errors, &path, name, meta::validation::is_path_segment_name(name));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        }
    }
}

/// A rule names operations, groups, versions and resources; `*` stands alone.
fn validate_rule(errors: &mut FieldErrors, path: &FieldPath, rule: &Value) {
    validate_operations(errors, &path.child("operations"), rule.list_at(&["operations"]));
    for (key, what) in [("apiGroups", "groups"), ("apiVersions", "versions")] {
        let values = rule.list_at(&[key]);
        let path = path.child(key);
        if values.is_empty() {
            errors.push(FieldError::required(&path, ""));
        }
        if values.len() > 1 && has_star(values) {
            let detail = format!("if '*' is present, must not specify other API {what}");
            errors.push(FieldError::invalid(&path, &Value::List(values.to_vec()), detail));
        }
        for (i, value) in values.iter().enumerate().filter(|_| key == "apiVersions") {
            if value.as_str() == Some("") {
                errors.push(FieldError::required(&path.index(i), ""));
            }
        }
    }
    validate_resources(errors, &path.child("resources"), rule.list_at(&["resources"]));
    if let Some(scope) = rule.str_at(&["scope"]) {
        check::one_of(errors, &path.child("scope"), scope, SCOPES);
    }
}

fn has_star(values: &[Value]) -> bool {
    values.iter().any(|value| value.as_str() == Some("*"))
}

fn validate_operations(errors: &mut FieldErrors, path: &FieldPath, operations: &[Value]) {
    if operations.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    if operations.len() > 1 && has_star(operations) {
        let detail = "if '*' is present, must not specify other operations";
        errors.push(FieldError::invalid(path, &Value::List(operations.to_vec()), detail));
    }
    for (i, operation) in operations.iter().filter_map(Value::as_str).enumerate() {
        check::one_of(errors, &path.index(i), operation, OPERATIONS);
    }
}

fn validate_resources(errors: &mut FieldErrors, path: &FieldPath, resources: &[Value]) {
    if resources.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let names: Vec<&str> = resources.iter().filter_map(Value::as_str).collect();
    for (i, name) in names.iter().enumerate().filter(|(_, name)| name.is_empty()) {
        errors.push(FieldError::required(&path.index(i), *name));
    }
    let shown = || Value::List(resources.to_vec());
    if names.len() > 1 && names.contains(&"*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, &shown(), detail));
    }
    if names.contains(&"*") && names.iter().any(|name| *name != "*" && !name.contains('/')) {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, &shown(), detail));
    }
    for (i, name) in names.iter().enumerate() {
        let Some((resource, subresource)) = name.split_once('/') else { continue };
        let all = format!("{resource}/*");
        if *name != "*/*" && *name != all && names.contains(&all.as_str()) {
            let detail = format!("if '{all}' is present, must not specify {name}");
            errors.push(FieldError::invalid_str(&path.index(i), name, detail));
        }
        let every = format!("*/{subresource}");
        if *name != "*/*" && *name != every && names.contains(&every.as_str()) {
            let detail = format!("if '{every}' is present, must not specify {name}");
            errors.push(FieldError::invalid_str(&path.index(i), name, detail));
        }
    }
}

/// Expressions under `matchConditions` have distinct names.
fn validate_match_conditions(errors: &mut FieldErrors, path: &FieldPath, conditions: &[Value]) {
    const MAX: usize = 64;
    if conditions.len() > MAX {
        errors.push(FieldError::too_many(path, conditions.len(), MAX));
    }
    let mut names = BTreeSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let path = path.index(i);
        if text(condition, &["expression"]).trim().is_empty() {
            errors.push(FieldError::required(&path.child("expression"), ""));
        }
        let name = text(condition, &["name"]);
        if check::required(errors, &path.child("name"), name) {
            check::messages(errors, &path.child("name"), name, meta::validation::is_qualified_name(name));
            if !names.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
            }
        }
    }
}

/// Where a webhook is called: by URL or by service, not both.
pub(crate) fn validate_client_config(errors: &mut FieldErrors, path: &FieldPath, config: &Value) {
    match (config.str_at(&["url"]), config.get("service")) {
        (Some(url), None) => validate_url(errors, &path.child("url"), url),
        (None, Some(service)) => validate_service(errors, &path.child("service"), service),
        _ => errors.push(FieldError::required(path, "exactly one of url or service is required")),
    }
}

fn validate_url(errors: &mut FieldErrors, path: &FieldPath, url: &str) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut refuse = |value: &str, detail: String| errors.push(FieldError::invalid_str(path, value, detail));
    if scheme != "https" {
        refuse(scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        refuse(host, format!("host must be specified{FORM}"));
    }
    for (part, what) in
        [(user, "user information is"), (fragment, "fragments are"), (query, "query parameters are")]
    {
        if !part.is_empty() {
            refuse(part, format!("{what} not permitted in the URL"));
        }
    }
}

fn validate_service(errors: &mut FieldErrors, path: &FieldPath, service: &Value) {
    for key in ["name", "namespace"] {
        let value = text(service, &[key]);
        if value.is_empty() {
            errors.push(FieldError::required(&path.child(key), format!("service {key} is required")));
        }
    }
    if let Some(port) = service.int_at(&["port"]).filter(|port| !(1..=65535).contains(port)) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(&path.child("port"), &port.into(), detail));
    }
    if let Some(location) = service.str_at(&["path"]).filter(|location| !location.is_empty()) {
        validate_service_path(errors, &path.child("path"), location);
    }
}

fn validate_service_path(errors: &mut FieldErrors, path: &FieldPath, location: &str) {
    if location == "/" || location == "//" {
        if location == "//" {
            errors.push(FieldError::invalid_str(path, location, "segment[0] may not be empty"));
        }
        return;
    }
    let Some(rest) = location.strip_prefix('/') else {
        errors.push(FieldError::invalid_str(path, location, "must start with a '/'"));
        return;
    };
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            errors.push(FieldError::invalid_str(path, location, format!("segment[{i}] may not be empty")));
            return;
        }
        for problem in meta::validation::is_dns1123_subdomain(step) {
            errors.push(FieldError::invalid_str(path, location, format!("segment[{i}]: {problem}")));
        }
    }
}

/// Which kind of object parameters are.
fn validate_param_kind(errors: &mut FieldErrors, path: &FieldPath, param_kind: &Value) {
    let api_version = text(param_kind, &["apiVersion"]);
    if check::required(errors, &path.child("apiVersion"), api_version) {
        match meta::GroupVersion::parse(api_version) {
            None => {
                let detail = format!("unexpected GroupVersion string: {api_version}");
                errors.push(FieldError::invalid_str(&path.child("apiVersion"), api_version, detail));
            }
            Some(parsed) => {
                let path = path.child("apiVersion");
                let (group, version) = (parsed.group.as_ref(), parsed.version.as_ref());
                if !group.is_empty() {
                    check::messages(errors, &path, group, meta::validation::is_dns1123_subdomain(group));
                }
                check::messages(errors, &path, version, meta::validation::is_dns1035_label(version));
            }
        }
    }
    let kind = text(param_kind, &["kind"]);
    if check::required(errors, &path.child("kind"), kind) {
        let messages = meta::validation::is_dns1035_label(&kind.to_lowercase());
        check::messages(errors, &path.child("kind"), kind, messages);
    }
}

/// `kind` of a policy's parameters as printed.
fn param_kind(object: &Value) -> String {
    match object.at(&["spec", "paramKind"]) {
        None => "<unset>".to_owned(),
        Some(kind) => match text(kind, &["apiVersion"]) {
            "" => text(kind, &["kind"]).to_owned(),
            api_version => format!("{api_version}/{}", text(kind, &["kind"])),
        },
    }
}

/// Names of policy variables become CEL identifiers; a later one hides an earlier of the same name.
fn validate_variables(errors: &mut FieldErrors, path: &FieldPath, variables: &[Value]) {
    for (i, variable) in variables.iter().enumerate() {
        let path = path.index(i);
        let name = text(variable, &["name"]);
        if check::required(errors, &path.child("name"), name) && !is_cel_identifier(name) {
            errors.push(FieldError::invalid_str(&path.child("name"), name, "must be a valid CEL identifier"));
        }
        if text(variable, &["expression"]).trim().is_empty() {
            errors.push(FieldError::required(&path.child("expression"), ""));
        }
    }
}

fn is_cel_identifier(name: &str) -> bool {
    const RESERVED: [&str; 17] = [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
    ];
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !RESERVED.contains(&name)
        && !matches!(name, "true" | "var" | "void" | "while")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn texts(check: impl FnOnce(&mut FieldErrors)) -> Vec<String> {
        let mut errors = Vec::new();
        check(&mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_star_stands_alone() {
        let rule = object(
            r#"{"operations":["GET"],"apiGroups":["*","a"],"apiVersions":["v1"],"resources":["*","pods"]}"#,
        );
        assert_eq!(
            texts(|errors| validate_rule(errors, &FieldPath::root("r"), &rule)),
            [
                "r.operations[0]: Unsupported value: \"GET\": supported values: \"*\", \"CONNECT\", \"CREATE\", \
                 \"DELETE\", \"UPDATE\"",
                "r.apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other API groups",
                "r.resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources \
                 without subresources",
            ]
        );
    }

    #[test]
    fn a_webhook_is_called_over_https_without_parameters() {
        let config = object(r#"{"url":"http://h/p?q=1"}"#);
        assert_eq!(
            texts(|errors| validate_client_config(errors, &FieldPath::root("c"), &config)),
            [
                "c.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: \
                 https://host[/path]",
                "c.url: Invalid value: \"q=1\": query parameters are not permitted in the URL",
            ]
        );
    }
}
