//! Two contracts and what is built on them.
//!
//! [`Backend`] is the key-value contract with etcd's semantics (contract A.13);
//! [`Storage`] is object storage as kube-apiserver's `storage.Interface`
//! (A.1-A.12, B). [`ObjectStore`] implements the second over the first and is
//! written once for every backend. Implementations of a backend live in crates
//! of their own; the in-memory model that tests compare with lives here.

pub mod backend;
mod error;
mod interface;

pub use backend::Backend;
pub use error::Error;
pub use interface::{
    Attributes, DeleteRequest, Encodings, EventType, List, ListItems, ListRequest, Object, Predicate, Stats, Storage, TryUpdate, UpdateRequest,
    Updated, ValidateDelete, Watch, WatchEvent,
};
