//! Cluster trust bundles are authorities that workloads trust, of one signer
//! or of nobody in particular. A signer's name is the front of its bundles' names.

use meta::{FieldError, FieldErrors, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::certificates::GROUP;
use crate::check::{at, text};

/// Cluster trust bundles as served in `v1beta1`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        columns: vec![Column::name(), Column::string("SignerName")],
        selectable_fields: vec!["spec.signerName".into()],
        // Bundles of a signer have colons in their names; the strategy judges them.
        name_validation: meta::validation::NameValidation::PathSegment,
        unconditional_update: false,
        enabled_by_default: false,
        ..ResourceDef::stored(
            GROUP,
            "v1beta1",
            "clustertrustbundles",
            "ClusterTrustBundle",
            ClusterTrustBundleStrategy,
        )
    }
}

struct ClusterTrustBundleStrategy;

impl Strategy for ClusterTrustBundleStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = validate(object);
        crate::check::immutable(&mut errors, "spec.signerName", object, old);
        errors
    }

    fn field(&self, object: &Value, label: &str) -> String {
        match label {
            "spec.signerName" => text(object, &["spec", "signerName"]).to_owned(),
            _ => String::new(),
        }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let signer = Some(text(object, &["spec", "signerName"])).filter(|signer| !signer.is_empty());
        vec![print.name(object).into(), signer.unwrap_or(crate::print::NONE).into()]
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let name = ObjectMeta::of(object).name();
    let signer = text(object, &["spec", "signerName"]);
    let path = at("metadata.name");
    if signer.is_empty() {
        if name.contains(':') {
            let detail = "ClusterTrustBundle without signer name must not have \":\" in its name";
            errors.push(FieldError::invalid_str(&path, name, detail));
        }
    } else {
        let prefix = format!("{}:", signer.replace('/', ":"));
        if !name.starts_with(&prefix) {
            let detail =
                format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}");
            errors.push(FieldError::invalid_str(&path, name, detail));
        }
    }
    let bundle = text(object, &["spec", "trustBundle"]);
    if !bundle.contains("-----BEGIN CERTIFICATE-----") {
        let detail = "at least one trust anchor must be provided";
        errors.push(FieldError::invalid_str(&at("spec.trustBundle"), "<value omitted>", detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems};

    #[test]
    fn a_bundle_of_a_signer_carries_its_name() {
        let pem = "-----BEGIN CERTIFICATE-----";
        for (name, signer, expected) in [
            ("a", "", None),
            ("example.com:s:a", "example.com/s", None),
            (
                "a:b",
                "",
                Some(
                    "metadata.name: Invalid value: \"a:b\": ClusterTrustBundle without signer name must not have \":\" in its name",
                ),
            ),
            (
                "a",
                "example.com/s",
                Some(
                    "metadata.name: Invalid value: \"a\": ClusterTrustBundle for signerName example.com/s must be named with prefix example.com:s:",
                ),
            ),
        ] {
            let bundle = object(&format!(
                r#"{{"metadata":{{"name":"{name}"}},"spec":{{"signerName":"{signer}","trustBundle":"{pem}"}}}}"#
            ));
            assert_eq!(problems(&definition(), &bundle), expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_bundle_holds_an_authority() {
        let bundle = object(r#"{"metadata":{"name":"a"},"spec":{"trustBundle":"x"}}"#);
        assert_eq!(
            problems(&definition(), &bundle),
            [
                "spec.trustBundle: Invalid value: \"<value omitted>\": at least one trust anchor must be provided"
            ]
        );
    }
}
