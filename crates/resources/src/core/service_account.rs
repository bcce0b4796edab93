//! `serviceaccounts`: identities of pods. `token` issues tokens for one.

use meta::{GroupVersionKind, ObjectMeta};
use registry::{RequestContext, ResourceDef, Strategy, Subresource};
use schema::Value;

/// `serviceaccounts`.
pub fn definition() -> ResourceDef {
    let token = GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest");
    ResourceDef {
        short_names: vec!["sa".into()],
        subresources: vec![Subresource::action("token", token)],
        returns_deleted_object: true,
        ..ResourceDef::stored("", "v1", "serviceaccounts", "ServiceAccount", ServiceAccount)
    }
}

struct ServiceAccount;

/// Secrets to mount, which nothing writes any more.
const SECRETS: &str = "secrets";
/// Limits which secrets a pod of the account may mount.
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

impl Strategy for ServiceAccount {
    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        // Secrets in a new account would be left from a copied one.
        let _ = object.remove(&[SECRETS]);
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        warnings(object)
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, old: &Value) -> Vec<String> {
        let annotated = |object| ObjectMeta::of(object).annotations().contains_key(ENFORCE);
        if annotated(old) { Vec::new() } else { warnings(object) }
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let annotated = ObjectMeta::of(object).annotations().contains_key(ENFORCE);
    let text = "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; \
                prefer separate namespaces to isolate access to mounted secrets";
    if annotated { vec![text.to_owned()] } else { Vec::new() }
}
