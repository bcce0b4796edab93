//! StorageObjectInUseProtection: volumes, claims and volume attributes classes
//! get a finalizer, which a controller takes away when nobody uses them.

use async_trait::async_trait;
use meta::ApiError;
use registry::{Admission, AdmissionAttributes, Operation, RequestContext};
use schema::Value;

use crate::attributes::concerns;
use crate::tree;

/// Group, resource, finalizer.
const PROTECTED: [(&str, &str, &str); 3] = [
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

/// The plugin.
pub struct StorageObjectInUseProtection;

#[async_trait]
impl Admission for StorageObjectInUseProtection {
    async fn admit(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        if attributes.operation != Operation::Create {
            return Ok(());
        }
        if let Some((_, _, finalizer)) =
            PROTECTED.iter().find(|(group, resource, _)| concerns(context, group, resource))
        {
            tree::add_finalizer(object, finalizer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, object};

    #[tokio::test]
    async fn new_storage_objects_get_their_finalizer_behind_their_own() {
        for (resource, expected) in [
            ("persistentvolumes", r#"["a/b","kubernetes.io/pv-protection"]"#),
            ("persistentvolumeclaims", r#"["a/b","kubernetes.io/pvc-protection"]"#),
            ("volumeattributesclasses.storage.k8s.io", r#"["a/b","kubernetes.io/vac-protection"]"#),
            ("storageclasses.storage.k8s.io", r#"["a/b"]"#),
            ("persistentvolumes/status", r#"["a/b"]"#),
        ] {
            let request = Request::create(resource, r#"{"metadata":{"finalizers":["a/b"]}}"#);
            let admitted = request.admit(&StorageObjectInUseProtection).await.expect("never refused");
            assert_eq!(admitted.at(&["metadata", "finalizers"]), Some(&object(expected)), "{resource}");
            let json = format!(r#"{{"metadata":{{"finalizers":{expected}}}}}"#);
            let again = Request::create(resource, &json).admit(&StorageObjectInUseProtection).await;
            assert_eq!(again, Ok(object(&json)), "{resource}");
        }
    }
}
