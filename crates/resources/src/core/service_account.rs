//! `serviceaccounts`: identities of pods. `token` issues tokens for one.

use std::sync::Arc;

use meta::{GroupVersionKind, ObjectMeta};
use registry::{RequestContext, ResourceDef, Strategy, Subresource};
use schema::Value;

use crate::authentication::TokenIssuer;
use crate::core::service_account_token::IssueToken;
use crate::defaults;

/// `serviceaccounts`.
pub fn definition(issuer: &Arc<dyn TokenIssuer>) -> ResourceDef {
    let token = GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest");
    ResourceDef {
        short_names: vec!["sa".into()],
        subresources: vec![Subresource::action("token", token)],
        actions: vec![("token", Arc::new(IssueToken(issuer.clone())))],
        returns_deleted_object: true,
        repeats_metadata_validation: true,
        ..ResourceDef::stored("", "v1", "serviceaccounts", "ServiceAccount", ServiceAccount)
    }
}

struct ServiceAccount;

/// Limits which secrets a pod of the account may mount.
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

impl Strategy for ServiceAccount {
    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        names_only(object);
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, _: &Value) {
        names_only(object);
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        warnings(object)
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, old: &Value) -> Vec<String> {
        let annotated = |object| ObjectMeta::of(object).annotations().contains_key(ENFORCE);
        if annotated(old) { Vec::new() } else { warnings(object) }
    }
}

/// Of the secrets an account may mount, nothing but names is kept.
fn names_only(object: &mut Value) {
    for secret in defaults::items(object, "secrets") {
        if let Some(reference) = secret.as_map_mut() {
            reference.retain(|key, _| key == "name");
        }
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let annotated = ObjectMeta::of(object).annotations().contains_key(ENFORCE);
    let text = "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; \
                prefer separate namespaces to isolate access to mounted secrets";
    if annotated { vec![text.to_owned()] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    #[test]
    fn only_names_of_secrets_are_kept() {
        let mut account = object(r#"{"secrets":[{"name":"x","namespace":"other"}]}"#);
        names_only(&mut account);
        assert_eq!(account, object(r#"{"secrets":[{"name":"x"}]}"#));
    }

    #[test]
    fn limiting_secrets_to_mount_is_deprecated() {
        let account = format!(r#"{{"metadata":{{"annotations":{{"{ENFORCE}":"true"}}}}}}"#);
        assert_eq!(warnings(&object(&account)).len(), 1);
        assert!(warnings(&object("{}")).is_empty());
    }
}
