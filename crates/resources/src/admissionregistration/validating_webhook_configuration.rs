//! Validating webhooks are asked whether a write may happen.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::admissionregistration::{self as shared, GROUP};
use crate::check::{self, at, text};
use crate::defaults;
use crate::print as show;

/// Validating webhook configurations as served.
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
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration",
            ValidatingWebhookStrategy,
        )
    }
}

struct ValidatingWebhookStrategy;

impl Strategy for ValidatingWebhookStrategy {
    fn default(&self, object: &mut Value) {
        defaults::items(object, "webhooks").for_each(default_webhook);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object, Grace::default())
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        validate(object, Grace::of(object, old))
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        cells(object, print)
    }
}

pub(super) fn columns() -> Vec<Column> {
    vec![Column::name(), Column::integer("Webhooks"), Column::string("Age")]
}

pub(super) fn cells(object: &Value, print: &PrintContext) -> Vec<Value> {
    let webhooks = object.list_at(&["webhooks"]).len() as i64;
    show::with_name_and_age(object, print, [webhooks.into()])
}

pub(super) fn default_webhook(webhook: &mut Value) {
    defaults::pointer(webhook, "failurePolicy", "Fail");
    defaults::pointer(webhook, "matchPolicy", "Equivalent");
    defaults::pointer(webhook, "namespaceSelector", Value::map());
    defaults::pointer(webhook, "objectSelector", Value::map());
    defaults::pointer(webhook, "timeoutSeconds", 10);
    shared::default_rules(webhook, "rules");
    let config = webhook.get_mut("clientConfig");
    if let Some(service) = config.and_then(|config| defaults::object(config, "service")) {
        defaults::pointer(service, "port", 443);
    }
}

/// What webhooks may keep because they had it before.
#[derive(Clone, Copy, Default)]
pub(super) struct Grace {
    conditions: bool,
    side_effects: bool,
    versions: bool,
    names: bool,
}

impl Grace {
    /// What `object` may keep of `old`.
    pub(super) fn of(object: &Value, old: &Value) -> Grace {
        let (new, old) = (object.list_at(&["webhooks"]), old.list_at(&["webhooks"]));
        let same_conditions = |(new, old): (&Value, &Value)| {
            check::same(new.get("matchConditions"), old.get("matchConditions"))
        };
        let unknown_versions = |webhook: &Value| {
            let versions = webhook.list_at(&["admissionReviewVersions"]);
            !versions.is_empty() && !versions.iter().any(is_known_version)
        };
        let mut names = BTreeSet::new();
        Grace {
            conditions: new.len() == old.len() && new.iter().zip(old).all(same_conditions),
            side_effects: old.iter().any(|webhook| !NONE.contains(&text(webhook, &["sideEffects"]))),
            versions: old.iter().any(unknown_versions),
            names: !old.iter().all(|webhook| names.insert(text(webhook, &["name"]))),
        }
    }
}

/// Side effects new webhooks may have.
const NONE: [&str; 2] = ["None", "NoneOnDryRun"];

pub(super) fn validate(object: &Value, grace: Grace) -> FieldErrors {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    for (i, webhook) in object.list_at(&["webhooks"]).iter().enumerate() {
        let path = at("webhooks").index(i);
        validate_webhook(&mut errors, &path, webhook, grace);
        validate_review_versions(&mut errors, &path.child("admissionReviewVersions"), webhook, grace);
        let name = text(webhook, &["name"]);
        if !name.is_empty() && !names.insert(name) && !grace.names {
            errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
        }
    }
    errors
}

fn validate_webhook(errors: &mut FieldErrors, path: &FieldPath, webhook: &Value, grace: Grace) {
    validate_name(errors, &path.child("name"), text(webhook, &["name"]));
    for (i, rule) in webhook.list_at(&["rules"]).iter().enumerate() {
        shared::validate_rule(errors, &path.child("rules").index(i), rule);
    }
    for (key, supported) in
        [("failurePolicy", shared::FAILURE_POLICIES), ("matchPolicy", shared::MATCH_POLICIES)]
    {
        if let Some(policy) = webhook.str_at(&[key]) {
            check::one_of(errors, &path.child(key), policy, supported);
        }
    }
    let allowed: &[&str] =
        if grace.side_effects { &["None", "NoneOnDryRun", "Some", "Unknown"] } else { &NONE };
    let path_of_effects = path.child("sideEffects");
    match webhook.str_at(&["sideEffects"]) {
        None => {
            let detail = format!("must specify one of {}", allowed.join(", "));
            errors.push(FieldError::required(&path_of_effects, detail));
        }
        Some(effects) => check::one_of(errors, &path_of_effects, effects, allowed),
    }
    if let Some(seconds) = webhook.int_at(&["timeoutSeconds"]).filter(|seconds| !(1..=30).contains(seconds)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(&path.child("timeoutSeconds"), &seconds.into(), detail));
    }
    for key in ["namespaceSelector", "objectSelector"] {
        crate::validation::label_selector(webhook.get(key), &path.child(key), errors);
    }
    if let Some(policy) = webhook.str_at(&["reinvocationPolicy"]) {
        check::one_of(errors, &path.child("reinvocationPolicy"), policy, &["IfNeeded", "Never"]);
    }
    let config = webhook.get("clientConfig").unwrap_or(&Value::Null);
    shared::validate_client_config(errors, &path.child("clientConfig"), config);
    if !grace.conditions {
        let conditions = webhook.list_at(&["matchConditions"]);
        shared::validate_match_conditions(errors, &path.child("matchConditions"), conditions);
    }
}

fn validate_name(errors: &mut FieldErrors, path: &FieldPath, name: &str) {
    if !check::required(errors, path, name) {
        return;
    }
    let messages = meta::validation::is_dns1123_subdomain(name);
    if !messages.is_empty() {
        errors.push(FieldError::invalid_str(path, name, messages.join(",")));
    } else if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid_str(path, name, detail));
    }
}

/// Versions of reviews this server speaks.
fn is_known_version(version: &Value) -> bool {
    matches!(version.as_str(), Some("v1" | "v1beta1"))
}

fn validate_review_versions(errors: &mut FieldErrors, path: &FieldPath, webhook: &Value, grace: Grace) {
    let versions = webhook.list_at(&["admissionReviewVersions"]);
    if versions.is_empty() {
        errors.push(FieldError::required(path, "must specify one of v1, v1beta1"));
        return;
    }
    let mut seen = BTreeSet::new();
    for (i, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        if !seen.insert(version) {
            errors.push(FieldError::invalid_str(&path.index(i), version, "duplicate version"));
        } else {
            let messages = meta::validation::is_dns1035_label(version);
            check::messages(errors, &path.index(i), version, messages);
        }
    }
    if !grace.versions && !versions.iter().any(is_known_version) {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(path, &Value::List(versions.to_vec()), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems, update_problems};

    const WEBHOOK: &str = r#"{"webhooks":[{"name":"a.b.c","sideEffects":"None","admissionReviewVersions":["v1"],
        "clientConfig":{"service":{"name":"s","namespace":"n"}},
        "rules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*"]}]}]}"#;

    #[test]
    fn a_webhook_fails_closed_after_ten_seconds() {
        let configuration = defaulted(&definition(), WEBHOOK);
        let webhook = &configuration.list_at(&["webhooks"])[0];
        assert_eq!(webhook.str_at(&["failurePolicy"]), Some("Fail"));
        assert_eq!(webhook.int_at(&["timeoutSeconds"]), Some(10));
        assert_eq!(webhook.int_at(&["clientConfig", "service", "port"]), Some(443));
        assert_eq!(webhook.list_at(&["rules"])[0].str_at(&["scope"]), Some("*"));
        assert!(problems(&definition(), &configuration).is_empty());
        assert_eq!(cells(&definition(), &configuration)[1], Value::Int(1));
    }

    #[test]
    fn side_effects_and_a_domain_name_are_needed() {
        let configuration =
            defaulted(&definition(), &WEBHOOK.replace("a.b.c", "a").replace("\"sideEffects\":\"None\",", ""));
        assert_eq!(
            problems(&definition(), &configuration),
            [
                "webhooks[0].name: Invalid value: \"a\": should be a domain with at least three segments separated by \
                 dots",
                "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
            ]
        );
    }

    #[test]
    fn webhooks_have_names_of_their_own_and_bounds() {
        let one =
            |change: &str| WEBHOOK.replacen("\"name\":\"a.b.c\"", &format!("\"name\":\"a.b.c\",{change}"), 1);
        for (change, expected) in [
            (r#""timeoutSeconds":30"#, None),
            (
                r#""timeoutSeconds":31"#,
                Some(
                    "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
                ),
            ),
            (
                r#""matchConditions":[{"name":"x","expression":" "}]"#,
                Some("webhooks[0].matchConditions[0].expression: Required value"),
            ),
            (
                r#""failurePolicy":"X""#,
                Some(
                    "webhooks[0].failurePolicy: Unsupported value: \"X\": supported values: \"Fail\", \"Ignore\"",
                ),
            ),
        ] {
            let configuration = defaulted(&definition(), &one(change));
            assert_eq!(
                problems(&definition(), &configuration),
                expected.into_iter().collect::<Vec<_>>(),
                "{change}"
            );
        }
    }

    #[test]
    fn old_faults_may_stay() {
        let old = defaulted(
            &definition(),
            &WEBHOOK.replace("\"None\"", "\"Some\"").replace("[\"v1\"]", "[\"v9\"]"),
        );
        assert_eq!(problems(&definition(), &old).len(), 2);
        let mut new = old.clone();
        new.set(&["metadata", "labels"], schema::Map::from([("a", "b")]));
        assert!(update_problems(&definition(), &new, &old).is_empty());
    }
}
