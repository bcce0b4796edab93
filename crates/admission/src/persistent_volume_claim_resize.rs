//! PersistentVolumeClaimResize: a claim grows only when it is bound and its
//! class allows expansion.

use std::sync::Arc;

use async_trait::async_trait;
use meta::{ApiError, ObjectMeta};
use registry::{Admission, AdmissionAttributes, Operation, RequestContext};
use schema::Value;
use schema::quantity::Quantity;

use crate::attributes::{concerns, forbidden};
use crate::default_storage_class::CLASS_ANNOTATION;
use crate::lister::{Lister, View};

const NOT_BOUND: &str = "Only bound persistent volume claims can be expanded";
const NOT_EXPANDABLE: &str = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";

/// What the plugin sees of a StorageClass.
pub struct Expansion {
    allowed: bool,
}

impl View for Expansion {
    fn of(object: &Value) -> Expansion {
        Expansion { allowed: object.bool_at(&["allowVolumeExpansion"]).unwrap_or_default() }
    }
}

/// The plugin.
pub struct PersistentVolumeClaimResize {
    classes: Arc<dyn Lister<Expansion>>,
}

impl PersistentVolumeClaimResize {
    /// Asks `classes` what they allow.
    pub fn new(classes: Arc<dyn Lister<Expansion>>) -> PersistentVolumeClaimResize {
        PersistentVolumeClaimResize { classes }
    }

    async fn allows(&self, claim: &Value, old: &Value) -> Result<bool, ApiError> {
        let class = class_of(claim);
        if class.is_empty() || class != class_of(old) {
            return Ok(false);
        }
        Ok(self.classes.find("", class).await?.is_some_and(|class| class.allowed))
    }
}

#[async_trait]
impl Admission for PersistentVolumeClaimResize {
    async fn validate(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: Option<&Value>,
    ) -> Result<(), ApiError> {
        let (Operation::Update, Some(claim), Some(old)) = (attributes.operation, object, attributes.old)
        else {
            return Ok(());
        };
        if !concerns(context, "", "persistentvolumeclaims") || size_of(claim) <= size_of(old) {
            return Ok(());
        }
        if old.str_at(&["status", "phase"]) != Some("Bound") {
            return Err(forbidden(context, attributes, claim, NOT_BOUND));
        }
        if !self.allows(claim, old).await? {
            return Err(forbidden(context, attributes, claim, NOT_EXPANDABLE));
        }
        Ok(())
    }
}

/// None, which is less than any, if the claim does not say.
fn size_of(claim: &Value) -> Option<Quantity> {
    let text = claim.str_at(&["spec", "resources", "requests", "storage"])?;
    Quantity::parse(text).ok()
}

fn class_of(claim: &Value) -> &str {
    let annotated = ObjectMeta::of(claim).annotations().str(CLASS_ANNOTATION);
    annotated.or_else(|| claim.str_at(&["spec", "storageClassName"])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, fixed};

    fn claim(class: &str, size: &str, phase: &str) -> String {
        format!(
            r#"{{"metadata":{{"name":"c"}},"spec":{{"storageClassName":"{class}","resources":{{"requests":{{"storage":"{size}"}}}}}},"status":{{"phase":"{phase}"}}}}"#
        )
    }

    async fn resize(old: &str, new: &str) -> Result<(), String> {
        let classes = fixed(&[
            r#"{"metadata":{"name":"grows"},"allowVolumeExpansion":true}"#,
            r#"{"metadata":{"name":"not"}}"#,
        ]);
        let plugin = PersistentVolumeClaimResize::new(classes);
        Request::update("persistentvolumeclaims", new, old).validate(&plugin).await
    }

    #[tokio::test]
    async fn only_a_bound_claim_of_an_expandable_class_grows() {
        let refused = |why: &str| Err(format!("persistentvolumeclaims \"c\" is forbidden: {why}"));
        for (class, size, phase, expected) in [
            ("grows", "2Gi", "Bound", Ok(())),
            ("grows", "2Gi", "Pending", refused(NOT_BOUND)),
            ("not", "2Gi", "Bound", refused(NOT_EXPANDABLE)),
            ("missing", "2Gi", "Bound", refused(NOT_EXPANDABLE)),
            ("", "2Gi", "Bound", refused(NOT_EXPANDABLE)),
            ("not", "1024Mi", "Bound", Ok(())),
            ("not", "1Mi", "Pending", Ok(())),
        ] {
            let verdict = resize(&claim(class, "1Gi", phase), &claim(class, size, phase)).await;
            assert_eq!(verdict, expected, "{class} {size} {phase}");
        }
    }

    #[tokio::test]
    async fn a_claim_does_not_grow_while_its_class_changes() {
        let verdict = resize(&claim("not", "1Gi", "Bound"), &claim("grows", "2Gi", "Bound")).await;
        assert!(verdict.expect_err("refused").ends_with(NOT_EXPANDABLE));
    }
}
