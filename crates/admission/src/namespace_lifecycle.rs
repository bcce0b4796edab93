//! NamespaceLifecycle: nothing is created in a namespace that is missing or
//! going away, and a few namespaces never go.

use std::sync::Arc;

use async_trait::async_trait;
use meta::{ApiError, GroupResource, ObjectMeta};
use registry::{Admission, AdmissionAttributes, Operation, RequestContext, Store};
use schema::Value;

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];
/// Reason of the cause by which controllers recognise the refusal.
const TERMINATING_CAUSE: &str = "NamespaceTerminating";
/// Shown for an object that has neither a name nor a prefix of one.
const NAMELESS: &str = "Unknown!";

/// Answers how a namespace is.
#[async_trait]
pub trait Namespaces: Send + Sync {
    /// The phase of a namespace; none if there is no such namespace. Must see
    /// a namespace as soon as its creation has been acknowledged.
    async fn phase(&self, name: &str) -> Result<Option<NamespacePhase>, ApiError>;
}

/// `status.phase` of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespacePhase {
    /// In use.
    Active,
    /// Going away.
    Terminating,
}

/// [`Namespaces`] read from the store of namespaces.
pub struct StoredNamespaces(pub Arc<Store>);

#[async_trait]
impl Namespaces for StoredNamespaces {
    async fn phase(&self, name: &str) -> Result<Option<NamespacePhase>, ApiError> {
        let namespace = self.0.find("", name).await?;
        Ok(namespace.map(|namespace| match namespace.str_at(&["status", "phase"]) {
            Some("Terminating") => NamespacePhase::Terminating,
            _ => NamespacePhase::Active,
        }))
    }
}

/// The plugin.
pub struct NamespaceLifecycle {
    namespaces: Arc<dyn Namespaces>,
}

impl NamespaceLifecycle {
    /// Judges by what `namespaces` says.
    pub fn new(namespaces: Arc<dyn Namespaces>) -> NamespaceLifecycle {
        NamespaceLifecycle { namespaces }
    }
}

#[async_trait]
impl Admission for NamespaceLifecycle {
    async fn admit(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        if attributes.namespace.is_empty() || is_namespace(attributes) || is_access_review(context) {
            return Ok(());
        }
        if !matches!(attributes.operation, Operation::Create | Operation::Update) {
            return Ok(());
        }
        match self.namespaces.phase(attributes.namespace).await? {
            None => Err(ApiError::not_found(&GroupResource::new("", "namespaces"), attributes.namespace)),
            Some(NamespacePhase::Terminating) if attributes.operation == Operation::Create => {
                Err(terminating(context, attributes, object))
            }
            Some(_) => Ok(()),
        }
    }

    async fn validate(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        _object: Option<&Value>,
    ) -> Result<(), ApiError> {
        let immortal = attributes.operation == Operation::Delete
            && is_namespace(attributes)
            && IMMORTAL.contains(&attributes.name);
        if !immortal {
            return Ok(());
        }
        Err(ApiError::Forbidden {
            resource: context.resource.clone(),
            name: attributes.name.to_owned(),
            message: "this namespace may not be deleted".to_owned(),
            causes: Vec::new(),
        })
    }
}

fn is_namespace(attributes: &AdmissionAttributes<'_>) -> bool {
    attributes.kind.group.is_empty() && attributes.kind.kind == "Namespace"
}

/// Reviews in a namespace are answered always: a refusal would tell about the namespace.
fn is_access_review(context: &RequestContext) -> bool {
    context.resource.group == "authorization.k8s.io"
        && context.resource.resource == "localsubjectaccessreviews"
}

fn terminating(context: &RequestContext, attributes: &AdmissionAttributes<'_>, object: &Value) -> ApiError {
    let namespace = attributes.namespace;
    let meta = ObjectMeta::of(object);
    let names = [attributes.name, meta.name(), meta.generate_name(), NAMELESS];
    let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    let cause = (
        TERMINATING_CAUSE.to_owned(),
        format!("namespace {namespace} is being terminated"),
        "metadata.namespace".to_owned(),
    );
    ApiError::Forbidden {
        resource: context.resource.clone(),
        name: name.to_owned(),
        message: format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        ),
        causes: vec![cause],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meta::GroupVersionKind;
    use registry::{AuthorizationAttributes, Authorizer, Decision, NoAdmission, UserInfo};

    struct Fixed;

    #[async_trait]
    impl Namespaces for Fixed {
        async fn phase(&self, name: &str) -> Result<Option<NamespacePhase>, ApiError> {
            Ok(match name {
                "live" | "default" => Some(NamespacePhase::Active),
                "going" => Some(NamespacePhase::Terminating),
                _ => None,
            })
        }
    }

    struct AllowAll;

    #[async_trait]
    impl Authorizer for AllowAll {
        async fn authorize(&self, _: &AuthorizationAttributes<'_>) -> Decision {
            Decision::Allow(String::new())
        }
    }

    fn context(resource: &'static str) -> RequestContext {
        let environment = environment::real::environment();
        let mut context =
            RequestContext::new(UserInfo::default(), Arc::new(NoAdmission), Arc::new(AllowAll), environment);
        context.resource = GroupResource::new("", resource);
        context
    }

    async fn admit(operation: Operation, namespace: &str) -> Result<(), ApiError> {
        let kind = GroupVersionKind::new("", "v1", "ConfigMap");
        let attributes =
            AdmissionAttributes { operation, kind: &kind, name: "a", namespace, old: None, dry_run: false };
        let plugin = NamespaceLifecycle::new(Arc::new(Fixed));
        plugin.admit(&context("configmaps"), &attributes, &mut Value::map()).await
    }

    #[tokio::test]
    async fn nothing_is_created_in_a_namespace_that_goes_away_but_updates_work() {
        let Err(ApiError::Forbidden { name, message, causes, .. }) = admit(Operation::Create, "going").await
        else {
            panic!("forbidden")
        };
        assert_eq!(name, "a");
        assert_eq!(message, "unable to create new content in namespace going because it is being terminated");
        let cause = ("NamespaceTerminating", "namespace going is being terminated", "metadata.namespace");
        let found: Vec<_> = causes.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
        assert_eq!(found, [cause]);
        assert_eq!(admit(Operation::Update, "going").await, Ok(()));
    }

    #[tokio::test]
    async fn a_missing_namespace_is_404_of_the_namespace() {
        let missing = ApiError::not_found(&GroupResource::new("", "namespaces"), "nowhere");
        assert_eq!(admit(Operation::Create, "nowhere").await, Err(missing.clone()));
        assert_eq!(admit(Operation::Update, "nowhere").await, Err(missing));
        assert_eq!(admit(Operation::Create, "live").await, Ok(()));
    }

    #[tokio::test]
    async fn the_default_namespace_cannot_be_deleted_and_others_can() {
        let kind = GroupVersionKind::new("", "v1", "Namespace");
        let plugin = NamespaceLifecycle::new(Arc::new(Fixed));
        for (name, deletable) in
            [("default", false), ("kube-system", false), ("kube-public", false), ("live", true)]
        {
            let attributes = AdmissionAttributes {
                operation: Operation::Delete,
                kind: &kind,
                name,
                namespace: "",
                old: None,
                dry_run: true,
            };
            let verdict = plugin.validate(&context("namespaces"), &attributes, None).await;
            assert_eq!(verdict.is_ok(), deletable, "{name}");
        }
    }
}
