//! HTTP: serving connections, the filter column every request passes, content
//! negotiation, and the verbs over the registry's stores.
//!
//! Read [`filters`] first: it is the path of a request. The door is [`Server`]
//! for sockets, and [`handle`] for requests that come another way. Errors
//! become a `Status` in [`status`] and nowhere else.

mod body;
mod connections;
mod discovery;
mod documents;
mod dormant;
mod duration;
mod encode;
pub mod filters;
mod health;
mod impersonation;
mod metrics;
pub mod negotiation;
mod openapi;
mod options;
pub mod query;
pub mod request_info;
pub mod respond;
mod router;
pub mod services;
mod splice;
pub mod status;
mod stream;
mod table;
mod token_discovery;
mod verbs;
mod warnings;
mod wire;

pub use connections::{ConnectionLimits, Server, Stopper, stopper};
pub use documents::OpenApi;
pub use filters::{Connection, RequestBody, handle};
pub use health::{AskedBy, HealthCheck};
pub use metrics::{Metrics, WriteMetrics};
pub use services::{ApiServices, RequestLimits};
pub use token_discovery::{JWKS_PATH, TokenDiscovery};

/// Version of Kubernetes whose API is served, as `/version` tells it.
pub const KUBERNETES_VERSION: &str = "v1.36.2";
