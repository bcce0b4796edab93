//! Mutating webhooks may change an object before it is written.

use meta::FieldErrors;
use registry::{PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::admissionregistration::GROUP;
use crate::admissionregistration::validating_webhook_configuration::{self as validating, Grace};
use crate::defaults;

/// Mutating webhook configurations as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        categories: vec!["api-extensions".into()],
        columns: validating::columns(),
        generation: true,
        unconditional_update: false,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "mutatingwebhookconfigurations",
            "MutatingWebhookConfiguration",
            MutatingWebhookStrategy,
        )
    }
}

struct MutatingWebhookStrategy;

impl Strategy for MutatingWebhookStrategy {
    fn default(&self, object: &mut Value) {
        for webhook in defaults::items(object, "webhooks") {
            validating::default_webhook(webhook);
            defaults::pointer(webhook, "reinvocationPolicy", "Never");
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validating::validate(object, Grace::default())
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        validating::validate(object, Grace::of(object, old))
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        validating::cells(object, print)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::defaulted;

    #[test]
    fn a_webhook_is_not_asked_again() {
        let configuration = defaulted(&definition(), r#"{"webhooks":[{"name":"a"}]}"#);
        let webhook = &configuration.list_at(&["webhooks"])[0];
        assert_eq!(webhook.str_at(&["reinvocationPolicy"]), Some("Never"));
        assert_eq!(webhook.str_at(&["matchPolicy"]), Some("Equivalent"));
    }
}
