//! Encryption at rest: what `--encryption-provider-config` names.
//!
//! [`Encryption::load`] reads the file and hands out a transformer for each
//! resource and the health checks of KMS plugins. With reload it watches the
//! file and swaps what stands behind the transformers it has handed out.
//!
//! Owns the file's rules ([`config`]), ciphers and stored layouts, the KMS
//! protocols. Does not know flags, health endpoints, or which resources exist.
//!
//! A value names who can read it by its prefix, e.g. `k8s:enc:aesgcm:v1:key1:`.
//! The first provider writes; what another has read is stale and written anew
//! by the next update.

mod aes;
mod cipher;
pub mod config;
mod encryption;
mod kms;
mod load;
pub mod metrics;
mod prefix;
mod resource;
mod secretbox;
#[cfg(feature = "test-plugin")]
pub mod test_plugin;

pub use config::{ConfigError, EncryptionConfiguration};
pub use encryption::{Encryption, EncryptionOptions, HealthCheck};
pub use kms::wire;
pub use load::LoadError;
pub use metrics::EncryptionMetrics;
