//! Built-in types as they are stored: protobuf in its envelope, JSON or YAML.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use codec::protobuf::envelope;
use codec::{DecodeError, StrictError};
use meta::{ApiError, GroupVersion};
use schema::{Schema, TypeId, Value};

use crate::Error;
use crate::object_codec::{ObjectCodec, undecodable};

/// Turns an object, whose `apiVersion` and `kind` tell what it is, into another version.
pub type Convert = Arc<dyn Fn(Value) -> Result<Value, Error> + Send + Sync>;

/// How new values are encoded (`--storage-media-type`). Every form is read, whichever is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageMedia {
    /// `application/vnd.kubernetes.protobuf`
    #[default]
    Protobuf,
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
}

/// Objects of one built-in kind, written in its storage version.
#[derive(Clone)]
pub struct BuiltinCodec {
    /// The table; any registered version in it can be read (E-FAC-7).
    pub schema: &'static Schema,
    /// Type of the storage version.
    pub ty: TypeId,
    /// Storage version, e.g. `apps/v1`.
    pub api_version: String,
    /// E.g. `Deployment`.
    pub kind: String,
    /// How values are encoded.
    pub media: StorageMedia,
    /// Applied to what was read, e.g. to bring other versions to the one that
    /// is worked with. None: objects are handed out in the version they are stored in.
    pub decoded: Option<Convert>,
    /// Applied to what is written, where the version that is worked with is not the storage version.
    pub encoded: Option<Convert>,
}

impl BuiltinCodec {
    /// A codec for a kind that is worked with in the version it is stored in;
    /// none if the table does not have it.
    pub fn new(schema: &'static Schema, group: &str, version: &str, kind: &str) -> Option<BuiltinCodec> {
        let ty = schema.kind(group, version, kind)?;
        let api_version = GroupVersion::new(group.to_owned(), version.to_owned()).to_string();
        let media = StorageMedia::default();
        Some(BuiltinCodec {
            schema,
            ty,
            api_version,
            kind: kind.to_owned(),
            media,
            decoded: None,
            encoded: None,
        })
    }

    /// The type of whatever version a value says it is.
    fn type_of(&self, api_version: &str, kind: &str) -> Result<TypeId, Error> {
        if api_version == self.api_version && kind == self.kind {
            return Ok(self.ty);
        }
        GroupVersion::parse(api_version)
            .and_then(|gv| self.schema.kind(&gv.group, &gv.version, kind))
            .ok_or_else(|| unknown(format!("no kind {kind:?} is registered for version {api_version:?}")))
    }

    /// An object in any of the three forms.
    fn decode_form(&self, data: &[u8]) -> Result<Value, Error> {
        if data.starts_with(envelope::MAGIC) {
            self.decode_protobuf(data)
        } else if data.trim_ascii_start().starts_with(b"{") {
            self.decode_text(data, codec::json::decode)
        } else {
            self.decode_text(data, codec::yaml::decode)
        }
    }

    fn decode_protobuf(&self, data: &[u8]) -> Result<Value, Error> {
        let unwrapped = envelope::unwrap(data).map_err(undecodable)?;
        let ty = self.type_of(&unwrapped.api_version, &unwrapped.kind)?;
        let mut object = codec::protobuf::decode(self.schema, ty, unwrapped.raw).map_err(undecodable)?;
        object.set(&["apiVersion"], unwrapped.api_version);
        object.set(&["kind"], unwrapped.kind);
        Ok(object)
    }

    fn decode_text(&self, data: &[u8], decode: DecodeText) -> Result<Value, Error> {
        let decode = |ty| decode(self.schema, ty, data, None).map_err(undecodable);
        let object = decode(self.ty)?;
        let text = |key| object.str_at(&[key]).unwrap_or_default();
        let named = [("kind", "Kind"), ("apiVersion", "apiVersion")];
        if let Some((_, name)) = named.into_iter().find(|(key, _)| text(key).is_empty()) {
            return Err(unknown(format!(
                "Object '{name}' is missing in '{}'",
                String::from_utf8_lossy(data)
            )));
        }
        match self.type_of(text("apiVersion"), text("kind"))? {
            ty if ty == self.ty => Ok(object),
            ty => decode(ty),
        }
    }

    /// The object with the names of its storage version, which only text carries.
    fn named(&self, object: &Value) -> Value {
        let mut named = object.clone();
        named.set(&["apiVersion"], self.api_version.as_str());
        named.set(&["kind"], self.kind.as_str());
        named
    }
}

/// Reads JSON or YAML by a type.
type DecodeText = fn(&Schema, TypeId, &[u8], Option<&mut Vec<StrictError>>) -> Result<Value, DecodeError>;

impl ObjectCodec for BuiltinCodec {
    fn encode(&self, object: &Value) -> Result<Bytes, Error> {
        let converted = self.encoded.as_ref().map(|convert| convert(object.clone())).transpose()?;
        let object = converted.as_ref().unwrap_or(object);
        let mut out = Vec::new();
        match self.media {
            StorageMedia::Protobuf => {
                let mut raw = Vec::new();
                codec::protobuf::encode(self.schema, self.ty, object, &mut raw);
                envelope::wrap(&self.api_version, &self.kind, &raw, &mut out);
            }
            StorageMedia::Json => {
                codec::json::encode(self.schema, self.ty, &self.named(object), &mut out);
                out.push(b'\n');
            }
            StorageMedia::Yaml => {
                let text =
                    codec::yaml::encode(self.schema, self.ty, &self.named(object)).map_err(undecodable)?;
                out = text.into_bytes();
            }
        }
        // Copied, so that what is kept as long as the object has no spare room.
        Ok(Bytes::copy_from_slice(&out))
    }

    fn decode(&self, data: &[u8]) -> Result<Value, Error> {
        let object = match self.decode_form(data) {
            Ok(object) => object,
            // Last of all the original takes what it cannot make sense of for a value wrapped in base64.
            Err(error) => {
                let unwrapped = STANDARD.decode(data.trim_ascii()).map_err(|_| error.clone())?;
                self.decode_form(&unwrapped).map_err(|_| error)?
            }
        };
        match &self.decoded {
            Some(convert) => convert(object),
            None => Ok(object),
        }
    }
}

fn unknown(message: String) -> Error {
    ApiError::Unknown(message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(media: StorageMedia) -> BuiltinCodec {
        let codec = BuiltinCodec::new(schema::builtin(), "coordination.k8s.io", "v1", "Lease").unwrap();
        BuiltinCodec { media, ..codec }
    }

    fn object() -> Value {
        let mut object = Value::map();
        object.set(&["apiVersion"], "coordination.k8s.io/v1");
        object.set(&["kind"], "Lease");
        object.set(&["metadata", "name"], "a");
        object.set(&["spec", "holderIdentity"], "me");
        object
    }

    #[test]
    fn every_form_is_read_whichever_is_written() {
        let all = [StorageMedia::Protobuf, StorageMedia::Json, StorageMedia::Yaml];
        for written in all {
            let data = lease(written).encode(&object()).unwrap();
            assert_eq!(data.starts_with(b"k8s\0"), written == StorageMedia::Protobuf);
            for reader in all {
                assert_eq!(lease(reader).decode(&data).unwrap(), object());
                // E-FAC-7: wrapped, too.
                assert_eq!(lease(reader).decode(STANDARD.encode(&data).as_bytes()).unwrap(), object());
            }
        }
    }

    #[test]
    fn a_value_of_another_version_is_read_and_converted() {
        let data = br#"{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"a"},"spec":{"targetCPUUtilizationPercentage":50}}"#;
        let mut codec =
            BuiltinCodec::new(schema::builtin(), "autoscaling", "v2", "HorizontalPodAutoscaler").unwrap();
        let as_stored = codec.decode(data).unwrap();
        assert_eq!(as_stored.int_at(&["spec", "targetCPUUtilizationPercentage"]), Some(50));
        codec.decoded = Some(Arc::new(|mut object| {
            assert_eq!(object.str_at(&["apiVersion"]), Some("autoscaling/v1"));
            object.set(&["apiVersion"], "autoscaling/v2");
            Ok(object)
        }));
        assert_eq!(codec.decode(data).unwrap().str_at(&["apiVersion"]), Some("autoscaling/v2"));
    }

    #[test]
    fn what_is_no_object_of_a_known_kind_is_refused() {
        for (data, want) in [
            (r#"{"kind":"Lease"}"#, "Object 'apiVersion' is missing in '{\"kind\":\"Lease\"}'"),
            (r#"{"apiVersion":"v9","kind":"Lease"}"#, "no kind \"Lease\" is registered for version \"v9\""),
        ] {
            assert_eq!(lease(StorageMedia::Json).decode(data.as_bytes()).unwrap_err().to_string(), want);
        }
        assert!(lease(StorageMedia::Json).decode(b"k8s\0\xff").is_err());
        assert!(lease(StorageMedia::Json).decode(b"").is_err());
    }
}
