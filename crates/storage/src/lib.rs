//! Two contracts and what is built on them.
//!
//! [`Backend`] is the key-value contract with etcd's semantics (contract A.13);
//! [`Storage`] is object storage as kube-apiserver's `storage.Interface`
//! (A.1-A.12, B). [`ObjectStore`] implements the second over the first and is
//! written once for every backend. Implementations of a backend live in crates
//! of their own; the in-memory [`Model`] that tests compare with lives here.

pub mod backend;
mod bookmarks;
mod builtin_codec;
mod compaction;
#[cfg(feature = "conformance")]
pub mod conformance;
mod continue_token;
mod delete;
mod error;
mod interface;
mod keys;
mod lease;
mod list;
pub mod metrics;
mod model;
mod object_codec;
mod predicate;
mod shared_compaction;
mod store;
#[cfg(test)]
mod testing;
mod transformer;
mod turn;
mod update;
mod watch;

pub use backend::Backend;
pub use bookmarks::Bookmarks;
pub use builtin_codec::{BuiltinCodec, Convert, StorageMedia};
pub use compaction::{Compactor, DEFAULT_COMPACTION_INTERVAL};
pub use continue_token::{ContinueToken, ContinueTokenError};
pub use error::Error;
pub use interface::{
    Attributes, DeleteRequest, Encodings, EventType, List, ListItems, ListRequest, Object, Predicate, Stats,
    Storage, TryUpdate, UpdateRequest, Updated, ValidateDelete, Watch, WatchEvent,
};
pub use keys::{Keys, PrefixError};
pub use lease::{DEFAULT_LEASE_MAX_OBJECTS, DEFAULT_LEASE_REUSE_SECONDS, LeaseOptions};
pub use model::Model;
pub use object_codec::{JsonCodec, ObjectCodec};
pub use store::{ObjectStore, ObjectStoreConfig};
pub use transformer::{Identity, TransformError, Transformed, Transformer};
