//! Envelope encryption with a key management plugin: values are sealed with
//! data encryption keys (DEKs), which the plugin seals with a key of its own.
//!
//! [`v2`] has one seed for many values and asks the plugin when its key
//! changes; [`v1`] asks it for every value. [`client`] is the way to the
//! plugin, [`wire`] what goes over it.

mod cache;
pub(crate) mod client;
pub(crate) mod v1;
pub(crate) mod v2;
pub mod wire;

use std::collections::BTreeMap;

use async_trait::async_trait;

/// A plugin that speaks version 2, or something that stands for one.
#[async_trait]
pub(crate) trait KmsV2: Send + Sync {
    async fn status(&self) -> Result<wire::v2::StatusResponse, CallError>;
    async fn encrypt(&self, uid: &str, plaintext: &[u8]) -> Result<wire::v2::EncryptResponse, CallError>;
    async fn decrypt(&self, uid: &str, sealed: &SealedKey) -> Result<Vec<u8>, CallError>;
}

/// A plugin that speaks version 1, or something that stands for one.
#[async_trait]
pub(crate) trait KmsV1: Send + Sync {
    async fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, CallError>;
    async fn decrypt(&self, cipher: &[u8]) -> Result<Vec<u8>, CallError>;
}

/// A key as a plugin sealed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedKey {
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) key_id: String,
    pub(crate) annotations: BTreeMap<String, Vec<u8>>,
}

/// A call to a plugin failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CallError(pub(crate) String);

/// Of a health check: how long an answer is good for.
pub(crate) const HEALTH_GOOD: std::time::Duration = std::time::Duration::from_secs(20);
pub(crate) const HEALTH_BAD: std::time::Duration = std::time::Duration::from_secs(3);
