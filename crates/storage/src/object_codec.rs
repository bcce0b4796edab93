//! Trees to the bytes that are stored, and back.

use bytes::Bytes;
use meta::ApiError;
use schema::Value;

use crate::Error;

/// Encodes objects of one resource in its storage version.
pub trait ObjectCodec: Send + Sync {
    /// The bytes of an object. Equal objects give equal bytes: no-op updates
    /// are recognised by them.
    fn encode(&self, object: &Value) -> Result<Bytes, Error>;

    /// The object behind bytes that any server of any version may have written.
    fn decode(&self, data: &[u8]) -> Result<Value, Error>;
}

/// Custom resources: JSON as it stands, with a line feed behind it as the original writes it.
/// Nonsense in stored metadata is dropped, so that the object can be mended.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonCodec;

impl ObjectCodec for JsonCodec {
    fn encode(&self, object: &Value) -> Result<Bytes, Error> {
        let mut out = Vec::new();
        codec::json::encode_any(object, &mut out);
        out.push(b'\n');
        Ok(out.into())
    }

    fn decode(&self, data: &[u8]) -> Result<Value, Error> {
        match codec::json::decode_any(data).map_err(undecodable)? {
            object @ Value::Map(_) => Ok(codec::custom::normal_lenient(object)),
            _ => Err(ApiError::Unknown("the stored value is no object".into()).into()),
        }
    }
}

/// An error of the codec reaches the client as it is, without a reason (A-GET-7).
pub(crate) fn undecodable(error: codec::DecodeError) -> Error {
    ApiError::Unknown(error.to_string()).into()
}
