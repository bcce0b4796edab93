//! A Swagger 2.0 document as protobuf, message `openapi.v2.Document`, which
//! is what clients that read schemas in bulk ask for.
//!
//! Written for the documents this module's parent makes: keywords it does not
//! use are not known here, which the test over a whole document watches.

use bytes::Bytes;
use schema::{Map, Value};

/// Encodes a document.
pub fn encode(document: &Value) -> Bytes {
    let mut out = Message::default();
    out.text(1, document.str_at(&["swagger"]));
    if let Some(info) = document.map_at(&["info"]) {
        out.message(2, |message| {
            message.text(1, info.str("title"));
            message.text(2, info.str("version"));
        });
    }
    out.message(8, |message| {
        for (path, item) in entries(document, "paths") {
            message.message(2, |named| {
                named.text(1, Some(path));
                named.message(2, |message| path_item(message, item));
            });
        }
    });
    out.message(9, |message| schemas(message, document.map_at(&["definitions"])));
    out.0.into()
}

/// Fields of a protobuf message, appended in any order.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, number: u32, text: Option<&str>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u32, texts: &[Value]) {
        texts.iter().filter_map(Value::as_str).for_each(|text| self.bytes(number, text.as_bytes()));
    }

    fn flag(&mut self, number: u32, flag: Option<bool>) {
        if flag == Some(true) {
            self.varint(u64::from(number) << 3);
            self.varint(1);
        }
    }

    fn message(&mut self, number: u32, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.bytes(number, &inner.0);
    }
}

fn entries<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    value.get(key).and_then(Value::as_map).into_iter().flat_map(Map::iter)
}

fn path_item(out: &mut Message, item: &Value) {
    for (method, number) in [("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("patch", 8)] {
        if let Some(operation) = item.get(method) {
            out.message(number, |message| self::operation(message, operation));
        }
    }
    parameters(out, 9, item);
}

fn operation(out: &mut Message, operation: &Value) {
    out.texts(1, operation.list_at(&["tags"]));
    out.text(5, operation.str_at(&["operationId"]));
    out.texts(7, operation.list_at(&["consumes"]));
    parameters(out, 8, operation);
    out.message(9, |message| {
        for (code, response) in entries(operation, "responses") {
            message.message(1, |named| {
                named.text(1, Some(code));
                named.message(2, |value| value.message(1, |message| self::response(message, response)));
            });
        }
    });
    extensions(out, 13, operation);
}

fn response(out: &mut Message, response: &Value) {
    out.text(1, response.str_at(&["description"]));
    if let Some(schema) = response.get("schema") {
        out.message(2, |item| item.message(1, |message| self::schema(message, schema)));
    }
}

fn parameters(out: &mut Message, number: u32, holder: &Value) {
    for parameter in holder.list_at(&["parameters"]) {
        out.message(number, |item| item.message(1, |message| self::parameter(message, parameter)));
    }
}

fn parameter(out: &mut Message, parameter: &Value) {
    let required = parameter.bool_at(&["required"]);
    let (name, place, kind) =
        (parameter.str_at(&["name"]), parameter.str_at(&["in"]), parameter.str_at(&["type"]));
    if let Some(schema) = parameter.get("schema") {
        out.message(1, |body| {
            body.text(2, name);
            body.text(3, place);
            body.flag(4, required);
            body.message(5, |message| self::schema(message, schema));
        });
        return;
    }
    let path = place == Some("path");
    out.message(2, |other| {
        other.message(if path { 4 } else { 3 }, |message| {
            message.flag(1, required);
            message.text(2, place);
            message.text(4, name);
            message.text(if path { 5 } else { 6 }, kind);
            message.flag(if path { 19 } else { 20 }, parameter.bool_at(&["uniqueItems"]));
        });
    });
}

/// Named schemas: definitions and properties have the same shape.
fn schemas(out: &mut Message, schemas: Option<&Map>) {
    for (name, schema) in schemas.into_iter().flat_map(Map::iter) {
        out.message(1, |named| {
            named.text(1, Some(name));
            named.message(2, |message| self::schema(message, schema));
        });
    }
}

fn schema(out: &mut Message, schema: &Value) {
    out.text(1, schema.str_at(&["$ref"]));
    out.text(2, schema.str_at(&["format"]));
    if let Some(default) = schema.get("default") {
        out.message(5, |any| yaml(any, default));
    }
    out.texts(19, schema.list_at(&["required"]));
    if let Some(values) = schema.get("additionalProperties") {
        out.message(21, |item| item.message(1, |message| self::schema(message, values)));
    }
    if let Some(kind) = schema.str_at(&["type"]) {
        out.message(22, |item| item.text(1, Some(kind)));
    }
    if let Some(items) = schema.get("items") {
        out.message(23, |item| item.message(1, |message| self::schema(message, items)));
    }
    if let Some(properties) = schema.map_at(&["properties"]) {
        out.message(25, |message| schemas(message, Some(properties)));
    }
    extensions(out, 31, schema);
}

fn extensions(out: &mut Message, number: u32, holder: &Value) {
    for (name, value) in holder.as_map().into_iter().flat_map(Map::iter) {
        if name.starts_with("x-") {
            out.message(number, |named| {
                named.text(1, Some(name));
                named.message(2, |any| yaml(any, value));
            });
        }
    }
}

/// A value of any kind travels as YAML, of which JSON is a part.
fn yaml(out: &mut Message, value: &Value) {
    let mut text = Vec::new();
    codec::json::encode_any(value, &mut text);
    text.push(b'\n');
    out.bytes(2, &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers_are_written_as_protobuf_has_them() {
        let mut document = Value::map();
        document.set(&["swagger"], "2.0");
        document.set(&["info", "title"], "t");
        let bytes = encode(&document);
        assert_eq!(&bytes[..], b"\x0a\x032.0\x12\x03\x0a\x01t\x42\x00\x4a\x00");
    }

    #[test]
    fn long_texts_have_their_length_in_several_bytes() {
        let mut message = Message::default();
        message.text(31, Some(&"x".repeat(300)));
        assert_eq!(&message.0[..4], b"\xfa\x01\xac\x02");
        assert_eq!(message.0.len(), 304);
    }
}
