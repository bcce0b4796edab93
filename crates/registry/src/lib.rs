//! What lies between the verbs of HTTP and object storage: the generic
//! [`Store`], the [`Strategy`] in which resources differ, and the
//! [`ResourceDef`] that says everything else about a resource. Knows storage,
//! not the cache, not a backend, not HTTP.

mod admission;
mod authorization;
mod context;
mod definition;
mod served;
mod store;
mod strategy;

pub use admission::{Admission, AdmissionAttributes, NoAdmission, Operation};
pub use authorization::{AuthorizationAttributes, Authorizer, Decision};
pub use context::{RequestContext, UserInfo};
pub use definition::{
    Backing, Column, Conversion, DefaultGarbageCollection, ResourceDef, StorageDef, Subresource, SubresourceKind, VERBS,
};
pub use served::{Served, ServedResource};
pub use store::{Deleted, Outcome, Store, StoreConfig, UpdateKind, UpdatedObject};
pub use strategy::{PrintContext, Strategy, VirtualResource};
