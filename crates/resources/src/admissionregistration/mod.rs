//! Group `admissionregistration.k8s.io`: what is asked before a write, webhooks
//! and policies. Shared here: where a webhook is called and what rules match.

pub mod mutating_admission_policy;
pub mod mutating_admission_policy_binding;
pub mod mutating_webhook_configuration;
pub mod validating_admission_policy;
pub mod validating_admission_policy_binding;
pub mod validating_webhook_configuration;

use std::collections::BTreeSet;

use meta::validation::{is_dns1035_label, is_dns1123_subdomain};
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
    check::required_one_of(errors, &path.child("matchPolicy"), policy, MATCH_POLICIES);
    for key in ["namespaceSelector", "objectSelector"] {
        let selector = check::given(resources, &[key]);
        if selector.is_none() {
            errors.push(FieldError::required(&path.child(key), ""));
        }
        crate::validation::label_selector(selector, &path.child(key), errors);
    }
    for key in ["resourceRules", "excludeResourceRules"] {
        for (i, rule) in resources.list_at(&[key]).iter().enumerate() {
            let path = path.child(key).index(i);
            validate_resource_names(errors, &path, rule.list_at(&["resourceNames"]));
            validate_rule(errors, &path, rule);
        }
    }
    if rules_required && resources.list_at(&["resourceRules"]).is_empty() {
        errors.push(FieldError::required(&path.child("resourceRules"), ""));
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
    let (mut all_of, mut all_with) = (BTreeSet::new(), BTreeSet::new());
    // The last name without a slash decides, as in the original.
    let mut plain = false;
    for (i, name) in names.iter().enumerate() {
        check::required(errors, &path.index(i), name);
        let Some((resource, subresource)) = name.split_once('/') else {
            plain = *name != "*";
            continue;
        };
        let mut refuse = |present: String| {
            let detail = format!("if '{present}' is present, must not specify {name}");
            errors.push(FieldError::invalid_str(&path.index(i), name, detail));
        };
        if all_of.contains(resource) {
            refuse(format!("{resource}/*"));
        }
        if all_with.contains(subresource) {
            refuse(format!("*/{subresource}"));
        }
        if subresource == "*" {
            all_of.insert(resource);
        }
        if resource == "*" {
            all_with.insert(subresource);
        }
    }
    let shown = || Value::List(resources.to_vec());
    if names.len() > 1 && names.contains(&"*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, &shown(), detail));
    }
    if names.contains(&"*") && plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, &shown(), detail));
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
    if !location.starts_with('/') {
        errors.push(FieldError::invalid_str(path, location, "must start with a '/'"));
    }
    // The first byte is taken for the slash, whatever it is.
    let rest = location.char_indices().nth(1).map_or("", |(at, _)| &location[at..]);
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            errors.push(FieldError::invalid_str(path, location, format!("segment[{i}] may not be empty")));
            continue;
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
                    joined(errors, &path, group, "", is_dns1123_subdomain(group));
                }
                if version.is_empty() {
                    errors.push(FieldError::invalid_str(&path, api_version, "version must be specified"));
                } else {
                    joined(errors, &path, version, "", is_dns1035_label(version));
                }
            }
        }
    }
    let kind = text(param_kind, &["kind"]);
    if check::required(errors, &path.child("kind"), kind) {
        let intro = "may have mixed case, but should otherwise match: ";
        joined(errors, &path.child("kind"), kind, intro, is_dns1035_label(&kind.to_lowercase()));
    }
}

/// One error for all messages about a text.
fn joined(errors: &mut FieldErrors, path: &FieldPath, text: &str, intro: &str, messages: Vec<String>) {
    if !messages.is_empty() {
        errors.push(FieldError::invalid_str(path, text, format!("{intro}{}", messages.join(","))));
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
        if name.trim().is_empty() {
            errors.push(FieldError::required(&path.child("name"), "name is not specified"));
        } else if !is_cel_identifier(name) {
            errors.push(FieldError::invalid_str(&path.child("name"), name, "must be a valid CEL identifier"));
        }
        if text(variable, &["expression"]).trim().is_empty() {
            errors.push(FieldError::required(&path.child("expression"), "expression is not specified"));
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

    #[test]
    fn what_a_star_covers_is_not_named_again() {
        for (resources, expected) in [
            (
                r#"["pods/*","pods/log"]"#,
                "r[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log",
            ),
            (
                r#"["*/scale","a/scale"]"#,
                "r[1]: Invalid value: \"a/scale\": if '*/scale' is present, must not specify a/scale",
            ),
            (
                r#"["*/*","a"]"#,
                "r: Invalid value: [\"*/*\",\"a\"]: if '*/*' is present, must not specify other resources",
            ),
            (r#"[""]"#, "r[0]: Required value"),
            ("[]", "r: Required value"),
        ] {
            let list = object(resources);
            let list = list.as_list().expect("a list");
            assert_eq!(
                texts(|errors| validate_resources(errors, &FieldPath::root("r"), list)),
                [expected],
                "{resources}"
            );
        }
    }

    #[test]
    fn a_service_is_called_at_a_path_of_names() {
        for (location, count) in
            [("/", 0), ("", 0), ("//", 1), ("a", 2), ("/a/b.c/", 0), ("/a//b", 1), ("/A", 1)]
        {
            let found = texts(|errors| {
                let service = object(&format!(r#"{{"name":"s","namespace":"n","path":"{location}"}}"#));
                validate_service(errors, &FieldPath::root("s"), &service);
            });
            assert_eq!(found.len(), count, "{location}: {found:?}");
        }
    }

    #[test]
    fn parameters_have_a_version_and_a_kind() {
        let kind = object(r#"{"apiVersion":"G_/1","kind":"K k"}"#);
        let found = texts(|errors| validate_param_kind(errors, &FieldPath::root("p"), &kind));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[2].starts_with(
            "p.kind: Invalid value: \"K k\": may have mixed case, but should otherwise match: a DNS-1035 label"
        ));
    }
}
