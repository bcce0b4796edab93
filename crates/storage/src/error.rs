//! What object storage can fail with (contract 0.1).

use meta::{ApiError, Revision};

/// Why an operation on object storage failed. The registry adds resource and
/// name and turns it into an [`ApiError`] (0.2).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// ERR-1: no such key.
    #[error(
        "StorageError: key not found, Code: 1, Key: {key}, ResourceVersion: {revision}, AdditionalErrorMsg: "
    )]
    KeyNotFound {
        /// Full key.
        key: String,
        /// Revision known, 0 from a store.
        revision: Revision,
    },
    /// ERR-2: the key exists.
    #[error(
        "StorageError: key exists, Code: 2, Key: {key}, ResourceVersion: {revision}, AdditionalErrorMsg: "
    )]
    KeyExists {
        /// Full key.
        key: String,
        /// Always 0.
        revision: Revision,
    },
    /// ERR-3: the resource version differs.
    #[error(
        "StorageError: resource version conflicts, Code: 3, Key: {key}, ResourceVersion: {revision}, AdditionalErrorMsg: "
    )]
    Conflict {
        /// Full key.
        key: String,
        /// Revision found.
        revision: Revision,
    },
    /// ERR-4: a precondition failed.
    #[error(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {message}"
    )]
    InvalidObject {
        /// Full key.
        key: String,
        /// Which precondition, in words.
        message: String,
    },
    /// ERR-5: the backend cannot be reached, or its answer is unknown.
    #[error(
        "StorageError: server unreachable, Code: 5, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {message}"
    )]
    Unreachable {
        /// Full key.
        key: String,
        /// Cause, for the log.
        message: String,
    },
    /// ERR-6: the request's deadline passed within a list.
    #[error("StorageError: request timeout, Code: 6, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: ")]
    Timeout {
        /// Full key.
        key: String,
    },
    /// ERR-7: the stored value cannot be transformed or decoded (gate AllowUnsafeMalformedObjectDeletion).
    #[error(
        "StorageError: corrupt object, Code: 7, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {message}"
    )]
    Corrupt {
        /// Full key.
        key: String,
        /// Inner error.
        message: String,
    },
    /// ERR-9: a failure inside the storage layer.
    #[error("{0}")]
    Internal(String),
    /// ERR-12: a resource version was set on create.
    #[error("resourceVersion should not be set on objects to be created")]
    ResourceVersionSet,
    /// ERR-13: not ready yet.
    #[error("storage is (re)initializing")]
    NotReady,
    /// Already an API error (expired, too large a resource version, a callback's own); passes unchanged.
    #[error(transparent)]
    Api(#[from] ApiError),
}
