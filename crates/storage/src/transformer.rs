//! What stands between an object's bytes and the backend's: nothing, or
//! encryption. Only the identity lives here.

use bytes::Bytes;
use futures::future::BoxFuture;

/// Turns encoded objects into stored values and back (A.10).
///
/// Some transformers must ask somebody for a key now and then. The store calls
/// the methods that may wait; what never waits implements the other two only.
pub trait Transformer: Send + Sync {
    /// The value to store for `data`. `context` is the full storage key;
    /// authenticating transformers bind the value to it (A-TRF-1). An error if
    /// that is not possible without waiting.
    fn to_storage(&self, data: Bytes, context: &[u8]) -> Result<Bytes, TransformError>;

    /// The data behind a stored value, and whether it should be written anew
    /// although it has not changed, e.g. after a key rotation (A-UPD-8). An
    /// error if that is not possible without waiting.
    #[allow(clippy::wrong_self_convention, reason = "named after the direction, as its twin")]
    fn from_storage(&self, value: Bytes, context: &[u8]) -> Result<(Bytes, bool), TransformError>;

    /// [`Transformer::to_storage`] for who can wait.
    fn to_storage_or_wait(&self, data: Bytes, context: &[u8]) -> Transformed<Bytes> {
        Transformed::Now(self.to_storage(data, context))
    }

    /// [`Transformer::from_storage`] for who can wait.
    #[allow(clippy::wrong_self_convention, reason = "named after the direction, as its twin")]
    fn from_storage_or_wait(&self, value: Bytes, context: &[u8]) -> Transformed<(Bytes, bool)> {
        Transformed::Now(self.from_storage(value, context))
    }
}

/// A result, or the way to it. Costs no allocation where nothing is waited for.
pub enum Transformed<T> {
    /// Done.
    Now(Result<T, TransformError>),
    /// Somebody must be asked first.
    Later(BoxFuture<'static, Result<T, TransformError>>),
}

impl<T> Transformed<T> {
    /// Waits if it must.
    pub async fn wait(self) -> Result<T, TransformError> {
        match self {
            Transformed::Now(result) => result,
            Transformed::Later(result) => result.await,
        }
    }

    /// The result, unless it must be waited for.
    pub fn now(self) -> Option<Result<T, TransformError>> {
        match self {
            Transformed::Now(result) => Some(result),
            Transformed::Later(_) => None,
        }
    }
}

/// The value cannot be transformed. The text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransformError(pub String);

/// Stores data as it is, and refuses to read what another transformer wrote (E-ENC-2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

const ENCRYPTED_PREFIX: &[u8] = b"k8s:enc:";

impl Transformer for Identity {
    fn to_storage(&self, data: Bytes, _context: &[u8]) -> Result<Bytes, TransformError> {
        Ok(data)
    }

    fn from_storage(&self, value: Bytes, _context: &[u8]) -> Result<(Bytes, bool), TransformError> {
        if value.starts_with(ENCRYPTED_PREFIX) {
            return Err(TransformError("identity transformer tried to read encrypted data".into()));
        }
        Ok((value, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_refuses_encrypted_values() {
        assert!(Identity.from_storage(Bytes::from_static(b"k8s:enc:aescbc:v1:x"), b"").is_err());
        let (data, stale) = Identity.from_storage(Bytes::from_static(b"{}"), b"").unwrap();
        assert_eq!((data.as_ref(), stale), (b"{}".as_slice(), false));
    }
}
