//! The generic [`Store`]: the verbs of one resource over object storage, with
//! what all resources have in common. Each verb that writes has a file of its
//! own; here are construction, keys and reads.

use std::sync::Arc;

use async_trait::async_trait;
use meta::options::{DeleteOptions, GetOptions, ListOptions, Preconditions, WriteOptions};
use meta::{ApiError, Revision};
use schema::{TypeId, Value};
use storage::{List, Object, Storage, Watch};

use crate::context::RequestContext;
use crate::definition::ResourceDef;
use crate::served::SchemaRef;

/// What a [`Store`] is made of.
#[derive(Clone)]
pub struct StoreConfig {
    /// The resource.
    pub definition: Arc<ResourceDef>,
    /// Where its objects are. Shared by all versions of the resource.
    pub storage: Arc<dyn Storage>,
    /// The table the stored kind stands in.
    pub schema: SchemaRef,
    /// Type of the kind stored.
    pub stored_ty: TypeId,
    /// Deletes in flight for one deletecollection, at least 1 (`--delete-collection-workers`).
    pub delete_collection_workers: usize,
    /// A garbage collector watches: finalizers `orphan` and `foregroundDeletion` are set (`--enable-garbage-collector`).
    pub garbage_collection: bool,
}

/// The verbs of one resource. Objects go in and come out in the stored version.
pub struct Store {
    pub(crate) config: StoreConfig,
}

/// An object a verb came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// As it is stored.
    Stored(Arc<Object>),
    /// As it would be stored (dry run), or as it was when its update removed it.
    Tree(Value),
}

/// What a delete came to.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// The object: its last state if it is gone, else its state now.
    pub outcome: Outcome,
    /// True if the object is gone (or would be: dry run); false while grace or finalizers hold it.
    pub removed: bool,
    /// `metadata.uid` of the object.
    pub uid: String,
}

/// Through which door an update comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateKind {
    /// The object itself.
    Main,
    /// Subresource `status`.
    Status,
    /// A subresource of kind `Part`, by its name.
    Part(String),
}

/// The change of an update: the submitted object, or a patch over what is there.
#[async_trait]
pub trait UpdatedObject: Send {
    /// What the object must be.
    fn preconditions(&self) -> Preconditions;

    /// The object wanted, in the stored version, decoded and defaulted. `old`
    /// is the object as it stands (an empty map if there is none). Called once
    /// per attempt.
    async fn updated(&mut self, context: &RequestContext, old: &Value) -> Result<Value, ApiError>;
}
