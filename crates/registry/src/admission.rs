//! Admission enters the registry as a function over the object. The trait
//! lives here, because the Store calls it; the plugins live above.

use async_trait::async_trait;
use meta::{ApiError, GroupVersionKind};
use schema::Value;

use crate::context::RequestContext;

/// The admission chain, or one plugin of it: mutating first, then validating.
/// A plugin has only the half it needs; the other admits everything.
#[async_trait]
pub trait Admission: Send + Sync {
    /// May change the object. Runs on create and on each attempt of an update; not on delete.
    async fn admit(
        &self,
        _context: &RequestContext,
        _attributes: &AdmissionAttributes<'_>,
        _object: &mut Value,
    ) -> Result<(), ApiError> {
        Ok(())
    }

    /// Has the last word; sees the object as it would be stored (none on delete).
    async fn validate(
        &self,
        _context: &RequestContext,
        _attributes: &AdmissionAttributes<'_>,
        _object: Option<&Value>,
    ) -> Result<(), ApiError> {
        Ok(())
    }
}

/// What a plugin may know of the request, beside the context.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionAttributes<'a> {
    /// What is being done.
    pub operation: Operation,
    /// Kind of the object.
    pub kind: &'a GroupVersionKind,
    /// Name of the object, empty while it is to be generated.
    pub name: &'a str,
    /// Namespace of the object.
    pub namespace: &'a str,
    /// The object before, on update and delete.
    pub old: Option<&'a Value>,
    /// Nothing will be stored.
    pub dry_run: bool,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed object.
    Update,
    /// An object goes.
    Delete,
    /// A stream is opened.
    Connect,
}

/// Admits everything.
pub struct NoAdmission;

impl Admission for NoAdmission {}
