//! What is done by a POST that stores no object of its own: `pods/binding`,
//! `pods/eviction`. The contract of an [`Action`], and the one write that
//! actions make past strategy and field management.

use std::sync::Arc;

use async_trait::async_trait;
use meta::options::{Preconditions, WriteOptions};
use meta::{ApiError, GroupVersionKind, ResourceVersion, Revision};
use schema::Value;
use storage::{Error, Object, TryUpdate, UpdateRequest};

use crate::admission::{AdmissionAttributes, Operation};
use crate::context::RequestContext;
use crate::errors::{Verb, interpret};
use crate::served::Served;
use crate::store::Store;
use crate::update::check_preconditions;

/// Something done to an object, or to several, by a POST with a body of its own kind.
#[async_trait]
pub trait Action: Send + Sync {
    /// Fills in what the body leaves out, beyond the defaults of the schema table.
    fn default_body(&self, body: &mut Value) {
        let _ = body;
    }

    /// Does it. The body has been decoded and defaulted and has passed
    /// mutating admission; the action asks for the validating half itself,
    /// with [`ActionRequest::validate_admission`], once it has judged the body.
    async fn act(&self, request: ActionRequest<'_>) -> Result<Acted, ApiError>;
}

/// What an action came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Acted {
    /// Nothing to show: the answer is a Status of success.
    Done,
    /// An object of the body's kind.
    Object(Value),
}

/// A request for an [`Action`].
pub struct ActionRequest<'a> {
    /// Who asks, and how.
    pub context: &'a RequestContext,
    /// Name of the object in the path; empty where the resource itself is an action.
    pub name: &'a str,
    /// The body.
    pub body: Value,
    /// Kind of the body.
    pub kind: &'a GroupVersionKind,
    /// Dry run, and who writes.
    pub options: &'a WriteOptions,
    /// Where the stores are that the action works on.
    pub served: &'a Served,
}

impl ActionRequest<'_> {
    /// What admission may know of the action.
    fn attributes(&self) -> AdmissionAttributes<'_> {
        AdmissionAttributes {
            operation: Operation::Create,
            kind: self.kind,
            name: self.name,
            namespace: &self.context.namespace,
            old: None,
            dry_run: self.options.dry_run,
        }
    }

    /// Lets mutating admission change the body.
    pub async fn admit(&mut self) -> Result<(), ApiError> {
        let mut body = std::mem::replace(&mut self.body, Value::Null);
        let admitted = self.context.admission.admit(self.context, &self.attributes(), &mut body).await;
        self.body = body;
        admitted
    }

    /// Asks validating admission about the body.
    pub async fn validate_admission(&self) -> Result<(), ApiError> {
        self.context.admission.validate(self.context, &self.attributes(), Some(&self.body)).await
    }

    /// The store of a resource that the action works on. 405 if it is not served.
    pub fn store(&self, group: &str, version: &str, resource: &str) -> Result<Arc<Store>, ApiError> {
        let found = self.served.lookup(group, version, resource);
        found.and_then(|resource| resource.store.clone()).ok_or(ApiError::MethodNotAllowed)
    }
}

/// A change made by [`Store::change_directly`]: the object as it stands, to the object wanted.
pub type Change<'a> = &'a mut (dyn FnMut(Value) -> Result<Value, ApiError> + Send);

impl Store {
    /// Changes an object past strategy, validation, admission and field
    /// management, as a binding does. Retried while others change it. A
    /// missing object is 404, a failed precondition 409.
    pub async fn change_directly(
        &self,
        namespace: &str,
        name: &str,
        preconditions: Preconditions,
        dry_run: bool,
        change: Change<'_>,
    ) -> Result<Arc<Object>, ApiError> {
        let key = self.key(namespace, name)?;
        let mut attempt = Direct { store: self, change };
        let changed = if dry_run {
            self.try_directly(&key, &preconditions, &mut attempt).await
        } else {
            let request = UpdateRequest {
                ignore_not_found: false,
                preconditions,
                hint: None,
                try_update: &mut attempt,
            };
            self.storage().guaranteed_update(&key, request).await.map(|updated| updated.object)
        };
        changed.map_err(|error| interpret(error, Verb::Update, &self.definition().group_resource(), name))
    }

    async fn try_directly(
        &self,
        key: &str,
        preconditions: &Preconditions,
        attempt: &mut Direct<'_>,
    ) -> Result<Arc<Object>, Error> {
        let current = self.storage().get(key, &ResourceVersion::default()).await?;
        let current =
            current.ok_or_else(|| Error::KeyNotFound { key: key.to_owned(), revision: Revision(0) })?;
        let tree = self.storage().decode(&current)?;
        check_preconditions(preconditions, &current, &tree)?;
        let (changed, _ttl) = attempt.try_update(tree, current.revision).await?;
        self.storage().preview(&changed, current.revision)
    }
}

struct Direct<'a> {
    store: &'a Store,
    change: Change<'a>,
}

#[async_trait]
impl TryUpdate for Direct<'_> {
    async fn try_update(&mut self, mut current: Value, _: Revision) -> Result<(Value, Option<i64>), Error> {
        self.store.fill_defaults(&mut current);
        Ok(((self.change)(current)?, None))
    }
}
