//! NamespaceLifecycle: nothing is created in a namespace that is missing or
//! going away, and a few namespaces never go.

use std::sync::Arc;

use async_trait::async_trait;
use meta::{ApiError, GroupResource};
use registry::{Admission, AdmissionAttributes, Operation, RequestContext};
use schema::Value;

use crate::attributes::{forbidden, shown_name};
use crate::lister::{Lister, View};

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];
/// Reason of the cause by which controllers recognise the refusal.
const TERMINATING_CAUSE: &str = "NamespaceTerminating";

/// `status.phase` of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespacePhase {
    /// In use.
    Active,
    /// Going away.
    Terminating,
}

impl View for NamespacePhase {
    fn of(namespace: &Value) -> NamespacePhase {
        match namespace.str_at(&["status", "phase"]) {
            Some("Terminating") => NamespacePhase::Terminating,
            _ => NamespacePhase::Active,
        }
    }
}

/// The plugin.
pub struct NamespaceLifecycle {
    namespaces: Arc<dyn Lister<NamespacePhase>>,
}

impl NamespaceLifecycle {
    /// Judges by the phase of namespaces.
    pub fn new(namespaces: Arc<dyn Lister<NamespacePhase>>) -> NamespaceLifecycle {
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
        match self.namespaces.find("", attributes.namespace).await?.as_deref() {
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
        Err(forbidden(context, attributes, None, "this namespace may not be deleted"))
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
    let cause = (
        TERMINATING_CAUSE.to_owned(),
        format!("namespace {namespace} is being terminated"),
        "metadata.namespace".to_owned(),
    );
    ApiError::Forbidden {
        resource: context.resource.clone(),
        name: shown_name(attributes, Some(object)).to_owned(),
        message: format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        ),
        causes: vec![cause],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, fixed};
    use meta::GroupVersionKind;

    fn plugin() -> NamespaceLifecycle {
        NamespaceLifecycle::new(fixed(&[
            r#"{"metadata":{"name":"live"},"status":{"phase":"Active"}}"#,
            r#"{"metadata":{"name":"going"},"status":{"phase":"Terminating"}}"#,
        ]))
    }

    async fn admit(operation: Operation, namespace: &str) -> Result<(), ApiError> {
        let context = Request::create("configmaps", "{}").context;
        let kind = GroupVersionKind::new("", "v1", "ConfigMap");
        let attributes =
            AdmissionAttributes { operation, kind: &kind, name: "a", namespace, old: None, dry_run: false };
        plugin().admit(&context, &attributes, &mut Value::map()).await
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
        let context = Request::create("namespaces", "{}").context;
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
            let verdict = plugin().validate(&context, &attributes, None).await;
            assert_eq!(verdict.is_ok(), deletable, "{name}");
        }
    }
}
