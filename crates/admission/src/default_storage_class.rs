//! DefaultStorageClass: a claim that names no class gets the default one. The
//! empty name is a name: it asks for no class.

use std::sync::Arc;

use async_trait::async_trait;
use meta::{ApiError, ObjectMeta};
use registry::{Admission, AdmissionAttributes, Operation, RequestContext};
use schema::Value;

use crate::attributes::concerns;
use crate::default_class::{DefaultClass, default_class};
use crate::lister::{Lister, View};

/// Marks a class as the default, today and formerly.
const IS_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// Where claims named their class formerly. It still counts, and before the field.
pub(crate) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// What the plugin sees of a StorageClass.
pub struct DefaultableStorageClass(DefaultClass);

impl View for DefaultableStorageClass {
    fn of(object: &Value) -> DefaultableStorageClass {
        DefaultableStorageClass(DefaultClass::read(object, &IS_DEFAULT))
    }
}

impl AsRef<DefaultClass> for DefaultableStorageClass {
    fn as_ref(&self) -> &DefaultClass {
        &self.0
    }
}

/// The plugin.
pub struct DefaultStorageClass {
    classes: Arc<dyn Lister<DefaultableStorageClass>>,
}

impl DefaultStorageClass {
    /// Chooses among `classes`.
    pub fn new(classes: Arc<dyn Lister<DefaultableStorageClass>>) -> DefaultStorageClass {
        DefaultStorageClass { classes }
    }
}

#[async_trait]
impl Admission for DefaultStorageClass {
    async fn admit(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        if attributes.operation != Operation::Create
            || !concerns(context, "", "persistentvolumeclaims")
            || has_class(object)
        {
            return Ok(());
        }
        if let Some(name) = default_class(&*self.classes).await? {
            object.set(&["spec", "storageClassName"], name);
        }
        Ok(())
    }
}

fn has_class(claim: &Value) -> bool {
    ObjectMeta::of(claim).annotations().contains_key(CLASS_ANNOTATION)
        || claim.str_at(&["spec", "storageClassName"]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, fixed};

    fn class(name: &str, created: &str, annotation: &str) -> String {
        format!(
            r#"{{"metadata":{{"name":"{name}","creationTimestamp":"2026-01-0{created}T00:00:00Z","annotations":{{{annotation}}}}}}}"#
        )
    }

    async fn class_of(classes: &[String], claim: &str) -> String {
        let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
        let plugin = DefaultStorageClass::new(fixed(&classes));
        let claim = Request::create("persistentvolumeclaims", claim).admit(&plugin).await;
        let claim = claim.expect("never refused");
        claim.str_at(&["spec", "storageClassName"]).unwrap_or("none").to_owned()
    }

    const DEFAULT: &str = r#""storageclass.kubernetes.io/is-default-class":"true""#;
    const FORMERLY: &str = r#""storageclass.beta.kubernetes.io/is-default-class":"true""#;
    const NOT: &str = r#""storageclass.kubernetes.io/is-default-class":"false""#;

    #[tokio::test]
    async fn the_newest_default_is_filled_in() {
        for (classes, expected) in [
            (vec![], "none"),
            (vec![class("a", "1", NOT), class("b", "1", "")], "none"),
            (vec![class("a", "1", NOT), class("b", "1", FORMERLY)], "b"),
            (vec![class("a", "1", DEFAULT), class("b", "2", DEFAULT)], "b"),
            (vec![class("a", "2", DEFAULT), class("b", "1", DEFAULT)], "a"),
            (vec![class("b", "1", DEFAULT), class("a", "1", DEFAULT)], "a"),
        ] {
            assert_eq!(class_of(&classes, "{}").await, expected, "{classes:?}");
        }
    }

    #[tokio::test]
    async fn a_claim_that_says_anything_keeps_it() {
        let classes = [class("a", "1", DEFAULT)];
        assert_eq!(class_of(&classes, r#"{"spec":{"storageClassName":""}}"#).await, "");
        assert_eq!(class_of(&classes, r#"{"spec":{"storageClassName":"x"}}"#).await, "x");
        let annotated = format!(r#"{{"metadata":{{"annotations":{{"{CLASS_ANNOTATION}":"x"}}}}}}"#);
        assert_eq!(class_of(&classes, &annotated).await, "none");
    }
}
