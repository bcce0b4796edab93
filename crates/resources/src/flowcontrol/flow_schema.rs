//! Flow schemas send requests to a priority level: the one with the lowest
//! precedence that matches wins.

use std::collections::BTreeSet;

use meta::validation::{is_dns1123_label, is_dns1123_subdomain};
use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::flowcontrol::{GROUP, bootstrap};
use crate::print as show;

const PRECEDENCE_DEFAULT: i64 = 1000;
const PRECEDENCE_MAX: i64 = 10_000;
const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// Flow schemas as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("PriorityLevel"),
            Column::string("MatchingPrecedence"),
            Column::string("DistinguisherMethod"),
            Column::string("Age"),
            Column::string("MissingPL"),
        ],
        generation: true,
        status_metadata: StatusMetadata::Kept,
        ..ResourceDef::stored(GROUP, "v1", "flowschemas", "FlowSchema", FlowSchemaStrategy)
    }
}

struct FlowSchemaStrategy;

impl Strategy for FlowSchemaStrategy {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        defaults::number(spec, "matchingPrecedence", PRECEDENCE_DEFAULT);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        validate_conditions(&mut errors, object);
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let distinguisher = object.str_at(&["spec", "distinguisherMethod", "type"]).unwrap_or(show::NONE);
        let between = [
            text(object, &["spec", "priorityLevelConfiguration", "name"]).into(),
            object.int_at(&["spec", "matchingPrecedence"]).unwrap_or_default().into(),
            distinguisher.into(),
        ];
        let mut cells = show::with_name_and_age(object, print, between);
        let conditions = object.list_at(&["status", "conditions"]);
        let dangling = conditions.iter().find(|condition| text(condition, &["type"]) == "Dangling");
        cells.push(dangling.map_or("?", |condition| text(condition, &["status"])).into());
        cells
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let spec = at("spec");
    let precedence = object.int_at(&["spec", "matchingPrecedence"]).unwrap_or_default();
    let path = spec.child("matchingPrecedence");
    if precedence <= 0 {
        errors.push(FieldError::invalid(&path, &precedence.into(), "must be a positive value"));
    }
    if precedence > PRECEDENCE_MAX {
        let detail = format!("must not be greater than {PRECEDENCE_MAX}");
        errors.push(FieldError::invalid(&path, &precedence.into(), detail));
    }
    if precedence == 1 && ObjectMeta::of(object).name() != "exempt" {
        let detail = "only the schema named 'exempt' may have matchingPrecedence 1";
        errors.push(FieldError::invalid(&path, &precedence.into(), detail));
    }
    validate_distinguisher(&mut errors, object.at(&["spec", "distinguisherMethod"]));
    let level = text(object, &["spec", "priorityLevelConfiguration", "name"]);
    let path = spec.child("priorityLevelConfiguration.name");
    if level.is_empty() {
        errors.push(FieldError::required(&path, "must reference a priority level"));
    } else {
        check::messages(&mut errors, &path, level, is_dns1123_subdomain(level));
    }
    for (i, rule) in object.list_at(&["spec", "rules"]).iter().enumerate() {
        validate_rule(&mut errors, &spec.child("rules").index(i), rule);
    }
    if let Some(fixed) = bootstrap::mandatory(object, bootstrap::flow_schemas())
        && !check::same(object.get("spec"), fixed.get("spec"))
    {
        let shown = crate::go_form::show("io.k8s.api.flowcontrol.v1.FlowSchemaSpec", object.get("spec"));
        let detail = format!("spec of '{}' must equal the fixed value", ObjectMeta::of(object).name());
        errors.push(check::invalid_shown(&spec, shown, detail));
    }
    validate_conditions(&mut errors, object);
    errors
}

/// Conditions in a status are of distinct types.
pub(super) fn validate_conditions(errors: &mut FieldErrors, object: &Value) {
    let mut types = BTreeSet::new();
    for (i, condition) in object.list_at(&["status", "conditions"]).iter().enumerate() {
        let (path, kind) = (at("status.conditions").index(i).child("type"), text(condition, &["type"]));
        if !types.insert(kind) {
            errors.push(FieldError::duplicate(&path, &kind.into()));
        }
        check::required(errors, &path, kind);
    }
}

fn validate_distinguisher(errors: &mut FieldErrors, method: Option<&Value>) {
    let Some(method) = method else { return };
    if !matches!(text(method, &["type"]), "ByNamespace" | "ByUser") {
        // The original shows the whole method, not its type.
        let shown = crate::go_form::show("io.k8s.api.flowcontrol.v1.FlowDistinguisherMethod", Some(method));
        let kind = meta::field::FieldErrorType::NotSupported;
        let detail = "supported values: \"ByNamespace\", \"ByUser\"";
        errors.push(FieldError::new(kind, &at("spec.distinguisherMethod.type"), shown, detail));
    }
}

fn validate_rule(errors: &mut FieldErrors, path: &FieldPath, rule: &Value) {
    let subjects = rule.list_at(&["subjects"]);
    if subjects.is_empty() {
        let detail = "subjects must contain at least one value";
        errors.push(FieldError::required(&path.child("subjects"), detail));
    }
    for (i, subject) in subjects.iter().enumerate() {
        validate_subject(errors, &path.child("subjects").index(i), subject);
    }
    let (resources, others) = (rule.list_at(&["resourceRules"]), rule.list_at(&["nonResourceRules"]));
    if resources.is_empty() && others.is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, detail));
    }
    for (i, rule) in resources.iter().enumerate() {
        validate_resource_rule(errors, &path.child("resourceRules").index(i), rule);
    }
    for (i, rule) in others.iter().enumerate() {
        validate_non_resource_rule(errors, &path.child("nonResourceRules").index(i), rule);
    }
}

fn validate_subject(errors: &mut FieldErrors, path: &FieldPath, subject: &Value) {
    const MEMBERS: [(&str, &str); 3] =
        [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = text(subject, &["kind"]);
    let Some((_, own)) = MEMBERS.iter().find(|(known, _)| *known == kind) else {
        check::one_of(errors, &path.child("kind"), kind, &["Group", "ServiceAccount", "User"]);
        return;
    };
    match subject.get(own) {
        None => {
            let detail = format!("{own} is required when subject kind is '{kind}'");
            errors.push(FieldError::required(&path.child(own), detail));
        }
        Some(member) => validate_member(errors, &path.child(own), kind, member),
    }
    for (_, other) in MEMBERS.iter().filter(|(_, other)| other != own && subject.get(other).is_some()) {
        let detail = format!("{other} is forbidden when subject kind is not '{}'", capitalized(other));
        errors.push(FieldError::forbidden(&path.child(other), detail));
    }
}

fn validate_member(errors: &mut FieldErrors, path: &FieldPath, kind: &str, member: &Value) {
    let (name, namespace) = (text(member, &["name"]), text(member, &["namespace"]));
    let name_path = path.child("name");
    let given = check::required(errors, &name_path, name);
    if kind != "ServiceAccount" {
        return;
    }
    if given && name != "*" {
        check::messages(errors, &name_path, name, is_dns1123_subdomain(name));
    }
    let path = path.child("namespace");
    if namespace.is_empty() {
        errors.push(FieldError::required(&path, "must specify namespace for service account"));
    } else {
        check::messages(errors, &path, namespace, is_dns1123_label(namespace));
    }
}

fn capitalized(member: &str) -> &'static str {
    match member {
        "serviceAccount" => "ServiceAccount",
        "user" => "User",
        _ => "Group",
    }
}

fn validate_resource_rule(errors: &mut FieldErrors, path: &FieldPath, rule: &Value) {
    validate_verbs(errors, path, rule);
    for (key, what) in [("apiGroups", "api group"), ("resources", "resource")] {
        let values = rule.list_at(&[key]);
        let path = path.child(key);
        if values.is_empty() {
            errors
                .push(FieldError::required(&path, format!("resource rules must supply at least one {what}")));
        } else if values.len() > 1 && values.contains(&"*".into()) {
            let shown = Value::List(values.to_vec());
            let detail = format!("if '*' is present, must not specify other {what}s");
            errors.push(FieldError::invalid(&path, &shown, detail));
        }
    }
    let namespaces = rule.list_at(&["namespaces"]);
    let cluster = rule.bool_at(&["clusterScope"]).unwrap_or_default();
    let path = path.child("namespaces");
    if namespaces.is_empty() && !cluster {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(FieldError::required(&path, detail));
    } else if namespaces.contains(&"*".into()) {
        if namespaces.len() > 1 {
            let detail = "if '*' is present, must not specify other namespaces";
            errors.push(FieldError::invalid(&path, &Value::List(namespaces.to_vec()), detail));
        }
    } else {
        for (i, name) in namespaces.iter().filter_map(Value::as_str).enumerate() {
            for message in is_dns1123_label(name) {
                let detail = format!("each member of this list must be '*' or a DNS-1123 label; {message}");
                errors.push(FieldError::invalid_str(&path.index(i), name, detail));
            }
        }
    }
}

fn validate_verbs(errors: &mut FieldErrors, path: &FieldPath, rule: &Value) {
    let verbs = rule.list_at(&["verbs"]);
    let path = path.child("verbs");
    if verbs.is_empty() {
        errors.push(FieldError::required(&path, "verbs must contain at least one value"));
    } else if verbs.contains(&"*".into()) {
        if verbs.len() > 1 {
            let detail = "if '*' is present, must not specify other verbs";
            errors.push(FieldError::invalid(&path, &Value::List(verbs.to_vec()), detail));
        }
    } else if !verbs.iter().all(|verb| verb.as_str().is_some_and(|verb| VERBS.contains(&verb))) {
        errors.push(FieldError::not_supported(&path, &Value::List(verbs.to_vec()), VERBS));
    }
}

fn validate_non_resource_rule(errors: &mut FieldErrors, path: &FieldPath, rule: &Value) {
    validate_verbs(errors, path, rule);
    let urls = rule.list_at(&["nonResourceURLs"]);
    let path = path.child("nonResourceURLs");
    if urls.is_empty() {
        errors.push(FieldError::required(&path, "nonResourceURLs must contain at least one value"));
    } else if urls.contains(&"*".into()) {
        if urls.len() > 1 {
            let detail = "if '*' is present, must not specify other non-resource URLs";
            errors.push(FieldError::invalid(&path, &Value::List(urls.to_vec()), detail));
        }
    } else {
        for (i, url) in urls.iter().filter_map(Value::as_str).enumerate() {
            if let Some(detail) = problem_of_url(url) {
                errors.push(FieldError::invalid_str(&path.index(i), url, detail));
            }
        }
    }
}

fn problem_of_url(url: &str) -> Option<&'static str> {
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ => {
            let star = url.find('*');
            let allowed = star.is_none() || (star == Some(url.len() - 1) && url.ends_with("/*"));
            (!allowed).then_some("wildcard can only do suffix matching")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems, refuses, refuses_status};

    fn schema(rules: &str) -> Value {
        let spec = format!(r#"{{"priorityLevelConfiguration":{{"name":"w"}},"rules":[{rules}]}}"#);
        defaulted(&definition(), &format!(r#"{{"metadata":{{"name":"a"}},"spec":{spec}}}"#))
    }

    #[test]
    fn precedence_is_a_thousand_by_default() {
        let cells = cells(&definition(), &schema(""));
        assert_eq!(cells[1..4], ["w".into(), Value::Int(1000), "<none>".into()]);
        assert_eq!(cells[5], Value::from("?"));
    }

    #[test]
    fn rules_name_subjects_and_requests() {
        for (rules, expected) in [
            (
                r#"{"subjects":[{"kind":"User"}],"nonResourceRules":[{"verbs":["get"],"nonResourceURLs":["/x"]}]}"#,
                "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
            ),
            (
                r#"{"subjects":[{"kind":"Group","group":{"name":"g"}}],"resourceRules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]}"#,
                "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped \
                 must supply at least one namespace",
            ),
            (
                r#"{"subjects":[{"kind":"Group","group":{"name":"g"}}],"nonResourceRules":[{"verbs":["get"],"nonResourceURLs":["x"]}]}"#,
                "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"x\": must start with slash",
            ),
        ] {
            assert_eq!(problems(&definition(), &schema(rules)), [expected]);
        }
    }

    #[test]
    fn an_unknown_distinguisher_is_shown_whole() {
        let mut schema = schema("");
        schema.set(&["spec", "distinguisherMethod", "type"], "ByMood");
        assert_eq!(
            problems(&definition(), &schema),
            ["spec.distinguisherMethod.type: Unsupported value: {\"Type\":\"ByMood\"}: supported values: \
              \"ByNamespace\", \"ByUser\""]
        );
    }

    const GOOD: &str = r#"{"metadata":{"name":"a"},"spec":{"priorityLevelConfiguration":{"name":"w"},"rules":[{
        "subjects":[{"kind":"Group","group":{"name":"g"}}],
        "nonResourceRules":[{"verbs":["*"],"nonResourceURLs":["*"]}]}]}}"#;

    #[test]
    fn precedence_has_bounds_and_the_first_place_is_taken() {
        refuses(
            &definition(),
            GOOD,
            &[
                (r#"{"spec":{"matchingPrecedence":10000}}"#, &[]),
                (
                    r#"{"spec":{"matchingPrecedence":10001}}"#,
                    &["spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"],
                ),
                (
                    r#"{"spec":{"matchingPrecedence":-1}}"#,
                    &["spec.matchingPrecedence: Invalid value: -1: must be a positive value"],
                ),
                (
                    r#"{"spec":{"matchingPrecedence":1}}"#,
                    &["spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have \
                       matchingPrecedence 1"],
                ),
            ],
        );
    }

    #[test]
    fn a_star_stands_alone_and_names_are_names() {
        let rule = |rule: &str| {
            let mut errors = Vec::new();
            validate_rule(&mut errors, &FieldPath::root("r"), &crate::testing::object(rule));
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            rule(
                r#"{"subjects":[{"kind":"ServiceAccount","serviceAccount":{"name":"*","namespace":"A"}}],
                    "resourceRules":[{"verbs":["*","get"],"apiGroups":["*",""],"resources":["pods"],
                    "namespaces":["*","n"]},{"verbs":["smell"],"apiGroups":[""],"resources":[],"namespaces":["N"]}],
                    "nonResourceRules":[{"verbs":["get"],"nonResourceURLs":["/a*","*"]},
                    {"verbs":["get"],"nonResourceURLs":["/a*","/a//b","","/x/*"]}]}"#
            ),
            [
                "r.subjects[0].serviceAccount.namespace: Invalid value: \"A\": a lowercase RFC 1123 label must consist \
                 of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character \
                 (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                "r.resourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, must not specify other \
                 verbs",
                "r.resourceRules[0].apiGroups: Invalid value: [\"*\",\"\"]: if '*' is present, must not specify other \
                 api groups",
                "r.resourceRules[0].namespaces: Invalid value: [\"*\",\"n\"]: if '*' is present, must not specify \
                 other namespaces",
                "r.resourceRules[1].verbs: Unsupported value: [\"smell\"]: supported values: \"create\", \"delete\", \
                 \"deletecollection\", \"get\", \"list\", \"patch\", \"proxy\", \"update\", \"watch\"",
                "r.resourceRules[1].resources: Required value: resource rules must supply at least one resource",
                "r.resourceRules[1].namespaces[0]: Invalid value: \"N\": each member of this list must be '*' or a \
                 DNS-1123 label; a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
                 and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                 validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                "r.nonResourceRules[0].nonResourceURLs: Invalid value: [\"/a*\",\"*\"]: if '*' is present, must not \
                 specify other non-resource URLs",
                "r.nonResourceRules[1].nonResourceURLs[0]: Invalid value: \"/a*\": wildcard can only do suffix \
                 matching",
                "r.nonResourceRules[1].nonResourceURLs[1]: Invalid value: \"/a//b\": must not contain double slash",
                "r.nonResourceRules[1].nonResourceURLs[2]: Invalid value: \"\": must not be empty",
            ]
        );
    }

    #[test]
    fn what_a_cluster_begins_with_is_accepted_and_partly_fixed() {
        for mut schema in bootstrap::flow_schemas() {
            definition().strategy.default(&mut schema);
            assert!(problems(&definition(), &schema).is_empty(), "{schema:?}");
            schema.set(&["spec", "matchingPrecedence"], 77);
            let fixed = matches!(ObjectMeta::of(&schema).name(), "exempt" | "catch-all");
            assert_eq!(problems(&definition(), &schema).len(), usize::from(fixed));
        }
    }

    #[test]
    fn conditions_have_types_of_their_own() {
        refuses_status(
            &definition(),
            GOOD,
            &[(
                r#"{"status":{"conditions":[{"type":"A"},{"type":"A"},{"type":""}]}}"#,
                &[
                    "status.conditions[1].type: Duplicate value: \"A\"",
                    "status.conditions[2].type: Required value",
                ],
            )],
        );
    }
}
