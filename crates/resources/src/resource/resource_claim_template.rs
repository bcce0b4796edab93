//! Resource claim templates are what claims of pods are made from. Fixed, so
//! that claims made at different times are the same.

use meta::FieldErrors;
use registry::{Column, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at};
use crate::defaults;
use crate::resource::{GROUP, default_claim_spec, validate_claim_spec};

/// Resource claim templates as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        columns: vec![Column::name(), Column::string("Age")],
        returns_deleted_object: true,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "resourceclaimtemplates",
            "ResourceClaimTemplate",
            ResourceClaimTemplateStrategy,
        )
    }
}

struct ResourceClaimTemplateStrategy;

impl Strategy for ResourceClaimTemplateStrategy {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.at_mut(&["spec"]).and_then(|spec| defaults::object(spec, "spec")) {
            default_claim_spec(spec);
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let spec = object.at(&["spec", "spec"]).unwrap_or(&Value::Null);
        validate_claim_spec(&mut errors, &at("spec.spec"), spec);
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let (new, before) = (object.get("spec"), old.get("spec"));
        if check::same(new, before) {
            return Vec::new();
        }
        // Metadata of the template is embedded in the Go struct; the original's text leaves it out when it is empty.
        let spec = "io.k8s.api.resource.v1.ResourceClaimSpec";
        let shown = crate::go_form::show(spec, object.at(&["spec", "spec"]));
        check::invalid_shown(&at("spec"), format!("{{\"Spec\":{shown}}}"), check::IMMUTABLE).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{defaulted, update_problems};

    #[test]
    fn a_template_is_fixed_and_shown_with_all_its_fields() {
        let template = |name: &str| {
            defaulted(
                &definition(),
                &format!(
                    r#"{{"spec":{{"spec":{{"devices":{{"requests":[{{"name":"{name}","exactly":{{"deviceClassName":"x"}}}}]}}}}}}}}"#
                ),
            )
        };
        assert_eq!(
            update_problems(&definition(), &template("z"), &template("r")),
            ["spec: Invalid value: {\"Spec\":{\"Devices\":{\"Requests\":[{\"Name\":\"z\",\"Exactly\":{\
              \"DeviceClassName\":\"x\",\"Selectors\":null,\"AllocationMode\":\"ExactCount\",\"Count\":1,\
              \"AdminAccess\":null,\"Tolerations\":null,\"Capacity\":null},\"FirstAvailable\":null}],\
              \"Constraints\":null,\"Config\":null}}}: field is immutable"]
        );
    }
}
