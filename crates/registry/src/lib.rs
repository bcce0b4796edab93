//! What lies between the verbs of HTTP and object storage: the generic
//! [`Store`], the [`Strategy`] in which resources differ, and the
//! [`ResourceDef`] that says everything else about a resource. Knows storage,
//! not the cache, not a backend, not HTTP.

mod action;
mod admission;
mod allocator;
mod api_resources;
mod authorization;
mod context;
mod create;
mod definition;
mod delete;
mod delete_collection;
mod errors;
mod field_management;
mod lookup;
mod metadata;
mod served;
mod storage_factory;
mod store;
mod strategy;
mod unsafe_delete;
mod update;

pub use action::{Acted, Action, ActionRequest, Change};
pub use admission::{Admission, AdmissionAttributes, NoAdmission, Operation};
pub use allocator::{Allocation, Allocator};
pub use api_resources::{ApiResourceConfig, RuntimeConfig, RuntimeConfigError};
pub use authorization::{AuthorizationAttributes, Authorizer, Decision};
pub use context::{RequestContext, UserInfo};
pub use definition::{
    Backing, Column, Conversion, DefaultGarbageCollection, ResourceDef, StatusMetadata, StorageDef,
    Subresource, SubresourceKind, VERBS,
};
pub use field_management::{FieldManagement, KindVersion};
pub use metadata::generate_name;
pub use served::{SchemaRef, Served, ServedGroup, ServedResource, ServedVersion};
pub use storage_factory::{
    OverrideError, RegisteredVersion, ServersOverride, StorageConfig, StorageDefaults, StorageFactory,
    StorageVersions, parse_servers_overrides,
};
pub use store::{Deleted, Outcome, Store, StoreConfig, UpdateKind, UpdatedObject};
pub use strategy::{Plain, PrintContext, RowCondition, Strategy, VirtualResource};
pub use unsafe_delete::IGNORE_STORE_READ_ERROR;
