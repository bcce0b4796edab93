//! Pod certificate requests are made by kubelets for pods: who the pod is, and
//! a key it has. Only the status changes: a signer issues, denies or fails.

use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::certificates::GROUP;
use crate::check::{self, at, text};
use crate::print as show;

const OUTCOMES: [&str; 3] = ["Denied", "Failed", "Issued"];
const EXPIRATION_SECONDS_MIN: i64 = 3600;
const EXPIRATION_SECONDS_MAX: i64 = 91 * 24 * 3600;

/// Pod certificate requests as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("PodName"),
            Column::string("ServiceAccountName"),
            Column::string("NodeName"),
            Column::string("SignerName"),
            Column::string("State"),
            Column::string("Age"),
        ],
        selectable_fields: vec!["spec.signerName".into(), "spec.podName".into(), "spec.nodeName".into()],
        unconditional_update: false,
        status_metadata: StatusMetadata::Kept,
        enabled_by_default: false,
        ..ResourceDef::stored(
            GROUP,
            "v1beta1",
            "podcertificaterequests",
            "PodCertificateRequest",
            PodCertificateRequestStrategy,
        )
    }
}

struct PodCertificateRequestStrategy;

impl Strategy for PodCertificateRequestStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let spec = at("spec");
        for field in [
            "signerName",
            "podName",
            "podUID",
            "serviceAccountName",
            "serviceAccountUID",
            "nodeName",
            "nodeUID",
        ] {
            check::required(&mut errors, &spec.child(field), text(object, &["spec", field]));
        }
        let seconds = object.int_at(&["spec", "maxExpirationSeconds"]);
        let allowed = EXPIRATION_SECONDS_MIN..=EXPIRATION_SECONDS_MAX;
        if let Some(seconds) = seconds.filter(|seconds| !allowed.contains(seconds)) {
            let detail = format!("must be in the range [{EXPIRATION_SECONDS_MIN}, {EXPIRATION_SECONDS_MAX}]");
            errors.push(FieldError::invalid(&spec.child("maxExpirationSeconds"), &seconds.into(), detail));
        }
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        check::immutable(&mut errors, "spec", object, old);
        errors
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let conditions = object.list_at(&["status", "conditions"]);
        let decided = |object| outcome(object).is_some();
        let mut errors = Vec::new();
        if decided(old) && !check::same(object.get("status"), old.get("status")) {
            let path = at("status");
            errors.push(FieldError::invalid_str(&path, "<value omitted>", check::IMMUTABLE));
        }
        for (i, condition) in conditions.iter().enumerate() {
            let path = at("status.conditions").index(i).child("type");
            check::one_of(&mut errors, &path, text(condition, &["type"]), &OUTCOMES);
        }
        errors
    }

    fn field(&self, object: &Value, label: &str) -> String {
        let field = label.strip_prefix("spec.").unwrap_or_default();
        text(object, &["spec", field]).to_owned()
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let cell = |field| text(object, &["spec", field]);
        let [pod, account, node, signer] =
            ["podName", "serviceAccountName", "nodeName", "signerName"].map(cell);
        let state = outcome(object).unwrap_or("Pending");
        show::with_name_and_age(object, print, [pod, account, node, signer, state].map(Value::from))
    }
}

/// How the request ended; none while it has not.
fn outcome(object: &Value) -> Option<&str> {
    let mut types =
        object.list_at(&["status", "conditions"]).iter().map(|condition| text(condition, &["type"]));
    types.find(|condition| OUTCOMES.contains(condition))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, context, object, problems};

    #[test]
    fn a_request_says_whose_certificate_it_is() {
        let found =
            problems(&definition(), &object(r#"{"spec":{"signerName":"a/b","maxExpirationSeconds":1}}"#));
        assert_eq!(found.len(), 7, "{found:?}");
        assert_eq!(found[0], "spec.podName: Required value");
        assert_eq!(
            found[6],
            "spec.maxExpirationSeconds: Invalid value: 1: must be in the range [3600, 7862400]"
        );
    }

    #[test]
    fn an_outcome_is_final() {
        let (new, issued) = (object("{}"), object(r#"{"status":{"conditions":[{"type":"Issued"}]}}"#));
        let denied = object(r#"{"status":{"conditions":[{"type":"Denied"}]}}"#);
        let update = |new, old| definition().strategy.validate_status_update(&context(), new, old).len();
        assert_eq!(update(&issued, &new), 0);
        assert_eq!(update(&denied, &issued), 1);
        assert_eq!(cells(&definition(), &issued)[5], Value::from("Issued"));
    }
}
