//! HTTP: serving connections, the filter column every request passes, content
//! negotiation, and the verbs over the registry's stores.
//!
//! Read [`filters`] first: it is the path of a request. The door is [`Server`]
//! for sockets, and [`handle`] for requests that come another way. Errors
//! become a `Status` in [`status`] and nowhere else.

pub mod authentication;
mod body;
mod connections;
mod duration;
mod encode;
pub mod filters;
pub mod negotiation;
mod options;
mod paths;
pub mod query;
pub mod request_info;
pub mod respond;
mod router;
pub mod services;
pub mod status;
mod stream;
mod table;
mod verbs;
mod warnings;
mod wire;

pub use authentication::{AuthenticationError, AuthenticationRequest, Authenticator};
pub use connections::{ConnectionLimits, Server, Stopper, stopper};
pub use filters::{Connection, RequestBody, handle};
pub use services::{ApiServices, Counters, RequestLimits};
