//! Deleting an object that cannot be read (D-DEL-13), for whoever has lost a
//! key or has a damaged value: behind gate AllowUnsafeMalformedObjectDeletion,
//! a delete option, and a permission of its own.
//!
//! Finalizers, preconditions, admission and what the strategy does after a
//! deletion are skipped: nobody can look into the object. This may break a
//! cluster, which is why an object that can be read is refused.

use meta::field::quoted;
use meta::{ApiError, FieldError, FieldPath, GroupKind};
use schema::Value;
use storage::{DeleteRequest, Error};

use crate::authorization::{AuthorizationAttributes, Decision};
use crate::context::RequestContext;
use crate::errors::{Verb, interpret};
use crate::store::Store;

/// The delete option that asks for it.
pub const IGNORE_STORE_READ_ERROR: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";
/// The verb a user must be allowed beside `delete`.
const PERMISSION: &str = "unsafe-delete-ignore-read-errors";

impl Store {
    /// True if the gate is on. If it is off, the option means nothing and is to be forgotten.
    pub fn allows_unsafe_deletion(&self) -> bool {
        self.unsafe_deletion
    }

    /// Removes an object that cannot be read. 403 without the permission, 422
    /// if the object can be read or is not there. It may be gone by the time
    /// it is removed: no failure.
    pub async fn delete_unreadable(&self, context: &RequestContext, name: &str) -> Result<(), ApiError> {
        let key = self.key(&context.namespace, name)?;
        self.authorize_unsafe_deletion(context, name).await?;
        let resource = self.resource(context);
        if let Some(message) = self.definition().strategy.refuse_delete(name) {
            let (name, message) = (name.to_owned(), message.to_owned());
            return Err(ApiError::Forbidden { resource, name, message, causes: Vec::new() });
        }
        let request = DeleteRequest {
            preconditions: Default::default(),
            validate: &|_: &Value| Ok(()),
            hint: None,
            ignore_read_error: true,
        };
        // The storage judges the state it removes: a check before would speak of another one.
        match self.storage().delete(&key, request).await {
            Ok(_) => Ok(()),
            Err(Error::InvalidObject { .. } | Error::KeyNotFound { .. }) => {
                let path = FieldPath::root(IGNORE_STORE_READ_ERROR);
                let detail =
                    "is exclusively used to delete corrupt object(s), try again by removing this option";
                let error = FieldError::invalid(&path, &Value::Bool(true), detail);
                // The original names the resource where the kind should stand.
                let kind = GroupKind { group: resource.group, kind: resource.resource };
                Err(ApiError::invalid(kind, name, error))
            }
            Err(error) => Err(interpret(error, Verb::Delete, &resource, name)),
        }
    }

    async fn authorize_unsafe_deletion(&self, context: &RequestContext, name: &str) -> Result<(), ApiError> {
        let forbidden = |message: String| ApiError::Forbidden {
            resource: context.resource.clone(),
            name: name.to_owned(),
            message,
            causes: Vec::new(),
        };
        if !context.subresource.is_empty() {
            return Err(forbidden(format!(
                "{IGNORE_STORE_READ_ERROR} delete option is not allowed on a subresource or non-resource request"
            )));
        }
        let attributes = AuthorizationAttributes {
            user: &context.user,
            verb: PERMISSION,
            resource_request: true,
            namespace: &context.namespace,
            group: &context.resource.group,
            version: &context.version,
            resource: &context.resource.resource,
            subresource: "",
            name,
            path: "",
        };
        match context.authorizer.authorize(&attributes).await {
            Decision::Allow(_) => Ok(()),
            Decision::NoOpinion(reason) | Decision::Deny(reason) => {
                Err(forbidden(format!("not permitted to do {}, reason: {reason}", quoted(PERMISSION))))
            }
        }
    }
}
