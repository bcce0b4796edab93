//! The server as a library: [`Server`] starts one in any tokio program.
//!
//! Owns flags, wiring, certificates, the data folder and bootstrap; the binary
//! is this plus signals. Several servers in one process work: there are no globals.

mod backends;
mod bootstrap;
mod cache_metrics;
mod certificates;
pub mod commands;
mod data_folder;
mod dependencies;
mod encryption_metrics;
mod exposition;
pub mod flags;
mod kubernetes_endpoints;
mod server;
mod service_accounts;
mod store_metrics;
mod stored_form;
mod tls;
mod wiring;

pub use server::{Builder, Server};
pub use storage_embedded::{OpenError, Repaired};
pub use wiring::RuntimeResource;

/// Makes the store of a damaged data folder usable again: keeps everything
/// before the damage and sets the rest aside. Fails while a server uses it.
pub async fn repair(data_folder: &std::path::Path) -> Result<Repaired, OpenError> {
    storage_embedded::repair(&environment::real::environment(), &data_folder::store_below(data_folder)).await
}

/// Where an admin gets a snapshot of the embedded store; 404 over etcd.
pub const SNAPSHOT_PATH: &str = "/pintle/snapshot";

/// Version of Kubernetes whose API is served.
pub const KUBERNETES_VERSION: &str = ::server::KUBERNETES_VERSION;
