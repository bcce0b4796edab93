//! What the tests of plugins share: objects from JSON, a lister over a fixed
//! set, and a request to send through a plugin.

use std::sync::Arc;

use async_trait::async_trait;
use meta::{ApiError, GroupResource, GroupVersionKind, ObjectMeta};
use registry::{
    Admission, AdmissionAttributes, AuthorizationAttributes, Authorizer, Decision, NoAdmission, Operation,
    RequestContext, UserInfo,
};
use schema::Value;

use crate::lister::{Lister, View};

/// An object from JSON.
pub(crate) fn object(json: &str) -> Value {
    codec::json::decode_any(json.as_bytes()).expect("tests hold valid JSON")
}

/// Knows the objects it was made with.
pub(crate) struct Fixed(Vec<Value>);

/// A lister of objects from JSON.
pub(crate) fn fixed(objects: &[&str]) -> Arc<Fixed> {
    Arc::new(Fixed(objects.iter().map(|json| object(json)).collect()))
}

#[async_trait]
impl<V: View> Lister<V> for Fixed {
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Arc<V>>, ApiError> {
        let matches = |object: &&Value| {
            let meta = ObjectMeta::of(object);
            meta.namespace() == namespace && meta.name() == name
        };
        Ok(self.0.iter().find(matches).map(|object| Arc::new(V::of(object))))
    }

    async fn all(&self) -> Result<Vec<Arc<V>>, ApiError> {
        Ok(self.0.iter().map(|object| Arc::new(V::of(object))).collect())
    }
}

/// Allows what is written down: a verb and a name.
pub(crate) struct Allowed(pub(crate) &'static [(&'static str, &'static str)]);

#[async_trait]
impl Authorizer for Allowed {
    async fn authorize(&self, asked: &AuthorizationAttributes<'_>) -> Decision {
        if asked.resource_request && self.0.contains(&(asked.verb, asked.name)) {
            return Decision::Allow(String::new());
        }
        Decision::NoOpinion(String::new())
    }
}

/// One request.
pub(crate) struct Request {
    pub(crate) context: RequestContext,
    pub(crate) operation: Operation,
    pub(crate) object: Value,
    pub(crate) old: Option<Value>,
}

impl Request {
    /// A creation of the object in namespace `ns`; its resource is given like
    /// `pods`, `ingresses.networking.k8s.io` or `pods/status`.
    pub(crate) fn create(resource: &str, json: &str) -> Request {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let environment = environment::real::environment();
        let mut context = RequestContext::new(
            UserInfo::default(),
            Arc::new(NoAdmission),
            Arc::new(Allowed(&[])),
            environment,
        );
        context.resource = GroupResource::new(group.to_owned(), resource.to_owned());
        context.subresource = subresource.to_owned();
        context.namespace = "ns".to_owned();
        Request { context, operation: Operation::Create, object: object(json), old: None }
    }

    /// An update of `old` to the object.
    pub(crate) fn update(resource: &str, json: &str, old: &str) -> Request {
        let created = Request::create(resource, json);
        Request { operation: Operation::Update, old: Some(object(old)), ..created }
    }

    /// The request of a user who may do what is written down.
    pub(crate) fn allowed(mut self, allowed: &'static [(&'static str, &'static str)]) -> Request {
        self.context.authorizer = Arc::new(Allowed(allowed));
        self
    }

    /// The object after the plugin had it, or the text of the refusal.
    pub(crate) async fn admit(self, plugin: &impl Admission) -> Result<Value, String> {
        let Request { context, operation, mut object, old } = self;
        let name = ObjectMeta::of(&object).name().to_owned();
        let attributes = AdmissionAttributes {
            operation,
            kind: &GroupVersionKind::new("", "v1", "Kind"),
            name: &name,
            namespace: &context.namespace,
            old: old.as_ref(),
            dry_run: false,
        };
        let admitted = plugin.admit(&context, &attributes, &mut object).await;
        admitted.map(|()| object).map_err(|error| error.to_string())
    }

    /// The plugin's last word on the object.
    pub(crate) async fn validate(self, plugin: &impl Admission) -> Result<(), String> {
        let Request { context, operation, object, old } = self;
        let attributes = AdmissionAttributes {
            operation,
            kind: &GroupVersionKind::new("", "v1", "Kind"),
            name: ObjectMeta::of(&object).name(),
            namespace: &context.namespace,
            old: old.as_ref(),
            dry_run: false,
        };
        let verdict = plugin.validate(&context, &attributes, Some(&object)).await;
        verdict.map_err(|error| error.to_string())
    }
}
