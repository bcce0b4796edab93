//! Values that must be unique over all objects of a resource, such as the
//! addresses of services: taken before an object is written, given back when
//! it is not, or when it is gone.
//!
//! A store cannot write two objects at once, so this is a transaction by hand:
//!
//! ```text
//! begin_create / begin_update   takes what is needed, at once and for everybody to see
//!   object judged and written
//! commit                        the write has happened: gives back what it no longer uses
//! rollback                      it has not: gives back what was taken for it
//! ```
//!
//! When it is not known whether the write has happened, neither is called, nor
//! when the request is dropped in the middle: a value taken for nothing is
//! found by a later repair, one given out twice is not.

use async_trait::async_trait;
use meta::ApiError;
use schema::Value;
use storage::Error;

use crate::context::RequestContext;

/// Takes and gives back the values of one resource. Objects are in the stored version.
#[async_trait]
pub trait Allocator: Send + Sync {
    /// Called before a new object, which has its name and namespace, is
    /// completed and judged: fills in what it needs or refuses it. A dry run
    /// takes nothing.
    async fn begin_create(
        &self,
        context: &RequestContext,
        object: &mut Value,
        dry_run: bool,
    ) -> Result<Box<dyn Allocation>, ApiError>;

    /// Called before a changed object is completed and judged, once per
    /// attempt. Not called for subresources.
    async fn begin_update(
        &self,
        context: &RequestContext,
        object: &mut Value,
        old: &Value,
        dry_run: bool,
    ) -> Result<Box<dyn Allocation>, ApiError>;

    /// Called once after `object` was removed from storage.
    async fn after_delete(&self, context: &RequestContext, object: &Value);
}

/// What was taken for one write. Ended once, by either method.
#[async_trait]
pub trait Allocation: Send {
    /// The object is written.
    async fn commit(self: Box<Self>);
    /// The object is not written.
    async fn rollback(self: Box<Self>);
}

/// Ends `allocation` as its write ended.
pub(crate) async fn settle<T>(allocation: Option<Box<dyn Allocation>>, written: &Result<T, Error>) {
    let Some(allocation) = allocation else { return };
    match written {
        Ok(_) => allocation.commit().await,
        Err(error) if may_have_happened(error) => drop(allocation),
        Err(_) => allocation.rollback().await,
    }
}

/// True if the error does not tell whether the write has happened.
fn may_have_happened(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } | Error::Timeout { .. } | Error::Internal(_) => true,
        Error::KeyNotFound { .. }
        | Error::KeyExists { .. }
        | Error::Conflict { .. }
        | Error::InvalidObject { .. }
        | Error::Corrupt { .. }
        | Error::ResourceVersionSet
        | Error::NotReady
        | Error::Api(_) => false,
    }
}
