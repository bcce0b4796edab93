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
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate(object)
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

pub(super) fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    for (i, webhook) in object.list_at(&["webhooks"]).iter().enumerate() {
        let path = at("webhooks").index(i);
        validate_webhook(&mut errors, &path, webhook);
        let name = text(webhook, &["name"]);
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
        }
    }
    errors
}

fn validate_webhook(errors: &mut FieldErrors, path: &FieldPath, webhook: &Value) {
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
    let effects = text(webhook, &["sideEffects"]);
    if effects.is_empty() {
        let detail = "must specify one of None, NoneOnDryRun";
        errors.push(FieldError::required(&path.child("sideEffects"), detail));
    } else {
        check::one_of(errors, &path.child("sideEffects"), effects, &["None", "NoneOnDryRun"]);
    }
    if let Some(seconds) = webhook.int_at(&["timeoutSeconds"]).filter(|seconds| !(1..=30).contains(seconds)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(&path.child("timeoutSeconds"), &seconds.into(), detail));
    }
    for key in ["namespaceSelector", "objectSelector"] {
        crate::validation::label_selector(webhook.get(key), &path.child(key), errors);
    }
    let config = webhook.get("clientConfig").unwrap_or(&Value::Null);
    shared::validate_client_config(errors, &path.child("clientConfig"), config);
    validate_review_versions(errors, &path.child("admissionReviewVersions"), webhook);
    let conditions = webhook.list_at(&["matchConditions"]);
    shared::validate_match_conditions(errors, &path.child("matchConditions"), conditions);
}

fn validate_name(errors: &mut FieldErrors, path: &FieldPath, name: &str) {
    if !check::required(errors, path, name) {
        return;
    }
    check::messages(errors, path, name, meta::validation::is_dns1123_subdomain(name));
    if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid_str(path, name, detail));
    }
}

fn validate_review_versions(errors: &mut FieldErrors, path: &FieldPath, webhook: &Value) {
    const KNOWN: [&str; 2] = ["v1", "v1beta1"];
    let versions: Vec<&str> =
        webhook.list_at(&["admissionReviewVersions"]).iter().filter_map(Value::as_str).collect();
    if versions.is_empty() {
        let detail = "must specify one of v1, v1beta1";
        errors.push(FieldError::required(path, detail));
        return;
    }
    let mut seen = BTreeSet::new();
    for (i, version) in versions.iter().enumerate() {
        if !seen.insert(version) {
            errors.push(FieldError::invalid_str(&path.index(i), version, "duplicate version"));
        } else {
            let messages = meta::validation::is_dns1035_label(version);
            check::messages(errors, &path.index(i), version, messages);
        }
    }
    if !versions.iter().any(|version| KNOWN.contains(version)) {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(path, &versions.into(), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems};

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
}
