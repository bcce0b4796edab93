//! Protobuf messages spliced from stored bytes: an object is stored as the
//! message that is served, but for its resourceVersion (INV-2). Setting that in
//! while writing saves keeping the message a second time.
//!
//! Not every object may be answered so: bytes of another program or another
//! time may lack defaults. Whether the splice is what encoding would make is
//! asked once per object, in `encode`.

use meta::Revision;

use crate::wire;

/// Key of `metadata` in every object: field 1, a message.
const METADATA_KEY: u8 = 1 << 3 | 2;
/// Number of `raw` in the envelope.
const RAW: u64 = 2;
/// Number of `resourceVersion` in the metadata.
const RESOURCE_VERSION: u32 = 6;
/// Key and length of a field without content.
const EMPTY_FIELD_BYTES: usize = 2;
/// Digits of the largest revision.
const DIGITS_MAX: usize = 20;

/// The message of a stored object with its resourceVersion.
pub struct Spliced<'a> {
    /// Metadata up to where the resourceVersion belongs.
    before: &'a [u8],
    /// Metadata from there on.
    behind: &'a [u8],
    /// Everything after the metadata.
    rest: &'a [u8],
    digits: [u8; DIGITS_MAX],
    digits_start: usize,
}

impl<'a> Spliced<'a> {
    /// Takes stored bytes apart; none if they are of another shape.
    pub fn new(stored: &'a [u8], revision: Revision) -> Option<Spliced<'a>> {
        let message = raw(stored.strip_prefix(codec::protobuf::envelope::MAGIC)?)?;
        let (&METADATA_KEY, behind_key) = message.split_first()? else { return None };
        let (metadata, rest) = delimited(behind_key)?;
        let mut at = metadata;
        let behind = loop {
            match field(at) {
                // Go writes strings that are empty, too; this one is what is set.
                Some((RESOURCE_VERSION, behind)) if at.len() - behind.len() == EMPTY_FIELD_BYTES => {
                    break behind;
                }
                Some((RESOURCE_VERSION, _)) => return None,
                Some((number, behind)) if number < RESOURCE_VERSION => at = behind,
                _ => break at,
            }
        };
        let before = &metadata[..metadata.len() - at.len()];
        let (digits, digits_start) = digits(revision);
        Some(Spliced { before, behind, rest, digits, digits_start })
    }

    /// Bytes of the message.
    pub fn len(&self) -> usize {
        wire::field_len(self.metadata_len()) + self.rest.len()
    }

    /// True if these bytes are the message.
    pub fn makes(&self, message: &[u8]) -> bool {
        let mut out = Vec::with_capacity(self.len());
        self.put(&mut out);
        out == message
    }

    /// Appends the message.
    pub fn put(&self, out: &mut Vec<u8>) {
        wire::put_header(1, self.metadata_len(), out);
        out.extend_from_slice(self.before);
        wire::put_bytes(RESOURCE_VERSION, self.resource_version(), out);
        out.extend_from_slice(self.behind);
        out.extend_from_slice(self.rest);
    }

    fn resource_version(&self) -> &[u8] {
        &self.digits[self.digits_start..]
    }

    fn metadata_len(&self) -> usize {
        self.before.len() + wire::field_len(self.resource_version().len()) + self.behind.len()
    }
}

/// The decimal digits of a revision, at the end of the array, and where they begin.
fn digits(revision: Revision) -> ([u8; DIGITS_MAX], usize) {
    let (mut digits, mut start, mut left) = ([b'0'; DIGITS_MAX], DIGITS_MAX, revision.raw());
    loop {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            return (digits, start);
        }
    }
}

/// `raw` of an envelope.
fn raw(mut envelope: &[u8]) -> Option<&[u8]> {
    loop {
        let (key, behind) = varint(envelope)?;
        let (bytes, behind) = if key & 7 == 2 { delimited(behind)? } else { return None };
        if key >> 3 == RAW {
            return Some(bytes);
        }
        envelope = behind;
    }
}

/// Number of the first field and what is behind it; none at the end and for what metadata never hold.
fn field(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (key, behind) = varint(bytes)?;
    let behind = match key & 7 {
        0 => varint(behind)?.1,
        2 => delimited(behind)?.1,
        _ => return None,
    };
    Some((u32::try_from(key >> 3).ok()?, behind))
}

/// A length, so many bytes, and what is behind them.
fn delimited(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, behind) = varint(bytes)?;
    behind.split_at_checked(usize::try_from(length).ok()?)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (i, byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"metadata":{"name":"a","generateName":"g","namespace":"n","uid":"u",
        "generation":7,"creationTimestamp":"2024-01-02T03:04:05Z","labels":{"l":"1"}},
        "spec":{"containers":[{"name":"c","image":"i"}]}}"#;

    fn message(json: &str, revision: Option<u64>) -> Vec<u8> {
        let schema = schema::builtin();
        let ty = schema.kind("", "v1", "Pod").expect("pods are built in");
        let mut tree = codec::json::decode_any(json.as_bytes()).expect("JSON");
        if let Some(revision) = revision {
            tree.set(&["metadata", "resourceVersion"], revision.to_string());
        }
        let mut out = Vec::new();
        codec::protobuf::encode(schema, ty, &tree, &mut out);
        out
    }

    fn stored(json: &str) -> Vec<u8> {
        let mut out = Vec::new();
        codec::protobuf::envelope::wrap("v1", "Pod", &message(json, None), &mut out);
        out
    }

    #[test]
    fn a_splice_is_what_encoding_makes() {
        let long = POD.replace("\"n\"", &format!("\"{}\"", "n".repeat(100)));
        for json in [POD, r#"{"metadata":{"labels":{"l":"1"}}}"#, r#"{"metadata":{"name":"a"}}"#, &long] {
            for revision in [0, 9, 10, 12_345, u64::MAX] {
                let stored = stored(json);
                let spliced = Spliced::new(&stored, Revision(revision)).expect("the shape of all objects");
                let mut out = Vec::new();
                spliced.put(&mut out);
                assert_eq!(out, message(json, Some(revision)), "{json} at {revision}");
                assert_eq!(out.len(), spliced.len());
            }
        }
    }

    #[test]
    fn what_is_of_another_shape_is_not_spliced() {
        let whole = stored(POD);
        let with_version = stored(&POD.replace("\"uid\"", "\"resourceVersion\":\"5\",\"uid\""));
        for bytes in [b"{}".as_slice(), b"", b"k8s\0", &whole[..20], &with_version] {
            assert!(Spliced::new(bytes, Revision(7)).is_none(), "{bytes:?}");
        }
    }
}
