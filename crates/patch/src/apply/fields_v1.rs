//! The text of field sets, `fieldsV1`: JSON objects whose keys are path
//! elements, with `.` where a path that goes on is a member itself.

use schema::Value;

use super::element::{ElementError, PathElement};
use super::field_set::{FieldSet, Node};

/// A text that is no field set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsV1Error {
    /// It is not JSON, or nests too deep.
    #[error("{0}")]
    Json(String),
    /// Something in it is not an object.
    #[error("expected object")]
    NoObject,
    /// A key in it makes no sense.
    #[error("{0}")]
    Element(#[from] ElementError),
}

impl FieldSet {
    /// The text, byte for byte as the original writes it.
    pub fn to_fields_v1(&self) -> String {
        let mut out = String::with_capacity(64);
        let mut key = String::new();
        write_set(self, false, &mut key, &mut out);
        out
    }

    /// Reads the text. Keys of a kind nobody knows are skipped with what is below them.
    pub fn from_fields_v1(text: &str) -> Result<FieldSet, FieldsV1Error> {
        let tree = codec::json::decode_any(text.as_bytes())
            .map_err(|error| FieldsV1Error::Json(error.to_string()))?;
        FieldSet::from_fields_tree(&tree)
    }

    /// The same from JSON that has been read.
    pub fn from_fields_tree(tree: &Value) -> Result<FieldSet, FieldsV1Error> {
        read_set(tree).map(|(set, _)| set)
    }
}

fn write_set(set: &FieldSet, member: bool, key: &mut String, out: &mut String) {
    out.push('{');
    let mut first = true;
    if member && !set.is_empty() {
        out.push_str("\".\":{}");
        first = false;
    }
    for node in set.nodes() {
        if !first {
            out.push(',');
        }
        first = false;
        key.clear();
        node.element.write(key);
        push_quoted(key, out);
        out.push(':');
        write_set(&node.below, node.member, key, out);
    }
    out.push('}');
}

/// A key as it stands between quotes.
pub(crate) fn escaped(key: &str) -> String {
    let mut quoted = String::with_capacity(key.len() + 2);
    push_quoted(key, &mut quoted);
    quoted[1..quoted.len() - 1].to_owned()
}

fn push_quoted(text: &str, out: &mut String) {
    let plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    let mut bytes = Vec::with_capacity(text.len() + 8);
    codec::json::encode_plain(&Value::from(text), &mut bytes);
    out.push_str(&String::from_utf8_lossy(&bytes));
}

/// The set below a place, and whether the place itself is a member: where it
/// says so, or where nothing is below.
fn read_set(tree: &Value) -> Result<(FieldSet, bool), FieldsV1Error> {
    let map = match tree {
        Value::Map(map) => map,
        Value::Null => return Ok((FieldSet::new(), true)),
        _ => return Err(FieldsV1Error::NoObject),
    };
    let mut nodes = Vec::with_capacity(map.len());
    let mut member = false;
    for (key, value) in map.iter() {
        if key == "." {
            member = true;
            continue;
        }
        let element = match PathElement::parse(key) {
            Ok(element) => element,
            Err(ElementError::UnknownType) => continue,
            Err(error) => return Err(error.into()),
        };
        let (below, ends_here) = read_set(value)?;
        nodes.push(Node { element, member: ends_here, below });
    }
    let set = FieldSet::from_nodes(nodes);
    let member = member || set.is_empty();
    Ok((set, member))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_set_is_stable() {
        for text in [
            "{}",
            r#"{"f:data":{".":{},"f:x":{},"f:y":{}}}"#,
            r#"{"f:metadata":{"f:finalizers":{".":{},"v:\"e.com/f\"":{}}}}"#,
            r#"{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}}"#,
        ] {
            assert_eq!(FieldSet::from_fields_v1(text).expect(text).to_fields_v1(), text);
        }
    }

    #[test]
    fn odd_texts_are_read_as_the_original_reads_them_or_refused() {
        let read = FieldSet::from_fields_v1;
        assert_eq!(read(r#"{"x:y":{"f:a":{}},"f:b":{}}"#).expect("skips").to_fields_v1(), r#"{"f:b":{}}"#);
        assert_eq!(read(r#"{"f:a":{".":{}}}"#).expect("a member").to_fields_v1(), r#"{"f:a":{}}"#);
        for text in ["[]", "1", r#"{"f:a":1}"#, r#"{"i:x":{}}"#, "{", ""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
