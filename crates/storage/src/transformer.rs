//! What stands between an object's bytes and the backend's: nothing, or
//! encryption. Only the identity lives here.

use bytes::Bytes;

/// Turns encoded objects into stored values and back (A.10).
pub trait Transformer: Send + Sync {
    /// The value to store for `data`. `context` is the full storage key;
    /// authenticating transformers bind the value to it (A-TRF-1).
    fn to_storage(&self, data: Bytes, context: &[u8]) -> Result<Bytes, TransformError>;

    /// The data behind a stored value, and whether it should be written anew
    /// although it has not changed, e.g. after a key rotation (A-UPD-8).
    #[allow(clippy::wrong_self_convention, reason = "named after the direction, as its twin")]
    fn from_storage(&self, value: Bytes, context: &[u8]) -> Result<(Bytes, bool), TransformError>;
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
