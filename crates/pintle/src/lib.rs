//! The server as a library: [`Server`] starts one in any tokio program.
//!
//! Owns flags, wiring, certificates, the data folder and bootstrap; the binary
//! is this plus signals. Several servers in one process work: there are no globals.

mod bootstrap;
mod certificates;
mod data_folder;
mod dependencies;
pub mod flags;
mod server;
mod tls;
mod wiring;

pub use server::{Builder, Server};

/// Version of Kubernetes whose API is served.
pub const KUBERNETES_VERSION: &str = ::server::KUBERNETES_VERSION;
