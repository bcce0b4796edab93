//! The envelope around a protobuf object: four bytes of magic and a message
//! `runtime.Unknown` with kind, apiVersion and the object's own message.
//!
//! Owns the bytes that stand in the store and on the wire before the object.

use super::decode::Wire;
use crate::DecodeError;

/// The first bytes of every enveloped object.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// An envelope taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// E.g. `apps/v1`.
    pub api_version: String,
    /// E.g. `Deployment`.
    pub kind: String,
    /// The object's message.
    pub raw: &'a [u8],
    /// How `raw` is encoded; empty for protobuf.
    pub content_type: String,
    /// How `raw` is compressed; empty for not at all.
    pub content_encoding: String,
}

/// Appends `raw` in its envelope.
pub fn wrap(api_version: &str, kind: &str, raw: &[u8], out: &mut Vec<u8>) {
    out.reserve(raw.len() + api_version.len() + kind.len() + 32);
    out.extend_from_slice(MAGIC);
    let mut type_meta = Vec::with_capacity(api_version.len() + kind.len() + 4);
    bytes(1, api_version.as_bytes(), &mut type_meta);
    bytes(2, kind.as_bytes(), &mut type_meta);
    bytes(1, &type_meta, out);
    bytes(2, raw, out);
    // Content encoding and type: written though empty.
    bytes(3, b"", out);
    bytes(4, b"", out);
}

/// Takes an envelope apart.
pub fn unwrap(data: &[u8]) -> Result<Unknown<'_>, DecodeError> {
    let rest = data.strip_prefix(MAGIC).ok_or_else(|| {
        DecodeError::Protobuf(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]".into(),
        )
    })?;
    let mut unknown = Unknown::default();
    let mut wire = Wire { rest };
    while let Some((number, content)) = wire.next()? {
        match number {
            1 => type_meta(content.bytes(number)?, &mut unknown)?,
            2 => unknown.raw = content.bytes(number)?,
            3 => unknown.content_encoding = String::from_utf8_lossy(content.bytes(number)?).into_owned(),
            4 => unknown.content_type = String::from_utf8_lossy(content.bytes(number)?).into_owned(),
            _ => {}
        }
    }
    Ok(unknown)
}

fn type_meta(data: &[u8], unknown: &mut Unknown<'_>) -> Result<(), DecodeError> {
    let mut wire = Wire { rest: data };
    while let Some((number, content)) = wire.next()? {
        match number {
            1 => unknown.api_version = String::from_utf8_lossy(content.bytes(number)?).into_owned(),
            2 => unknown.kind = String::from_utf8_lossy(content.bytes(number)?).into_owned(),
            _ => {}
        }
    }
    Ok(())
}

/// A length-delimited field with a number below 16.
fn bytes(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | super::BYTES as u8);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_can_be_taken_apart_again() {
        let mut out = Vec::new();
        wrap("apps/v1", "Deployment", &[7; 300], &mut out);
        let unknown = unwrap(&out).expect("an envelope");
        assert_eq!((unknown.api_version.as_str(), unknown.kind.as_str()), ("apps/v1", "Deployment"));
        assert_eq!(unknown.raw, [7; 300]);
        assert!(out.ends_with(&[0x1a, 0, 0x22, 0]), "encoding and type are written though empty");
    }

    #[test]
    fn what_is_no_envelope_is_an_error() {
        assert!(unwrap(b"{}").is_err());
        assert!(unwrap(b"k8s\0\x0a\x7f").is_err());
    }
}
