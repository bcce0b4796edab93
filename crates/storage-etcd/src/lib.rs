//! The key-value contract over etcd v3.
//!
//! [`EtcdBackend`] is etcd as a [`storage::Backend`]: linearizable reads,
//! optimistic transactions, leases, compaction, and watches that outlive their
//! streams. The client is a thin one of our own, so that values share the
//! buffers they were read into and a broken stream or member is this crate's
//! business and nobody else's.
//!
//! Unlike the rooms around it this one opens sockets, and needs a tokio
//! runtime for them: gRPC cannot be had otherwise. Time, randomness and its own
//! tasks still come from the [`environment::Environment`].

mod assembler;
mod backend;
mod cluster;
mod failure;
mod features;
mod health;
mod probe;
mod watch;
mod wire;

pub use backend::EtcdBackend;
pub use cluster::{EtcdOptions, EtcdTls, OpenError, TlsRenewal};
pub use health::{HealthError, HealthProbe};
