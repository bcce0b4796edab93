//! Writes JSON byte for byte as Go does.
//!
//! Owns what Go's declarations make of absent fields: `omitempty` leaves them
//! out, everything that is not a pointer is otherwise written as its zero
//! value, structs and their fields included.

use super::pretty;
use crate::members::Members;
use schema::{Field, FieldFlags, Kind, Map, Scalar, Schema, TypeId, Value};

/// Appends an object of type `ty`, without a line end. Members that the type
/// does not have are left out.
pub fn encode(schema: &Schema, ty: TypeId, value: &Value, out: &mut Vec<u8>) {
    Encoder { schema, props: ty }.value(ty, value, out);
}

/// Appends a value of any shape, keys sorted, without a line end.
pub fn encode_any(value: &Value, out: &mut Vec<u8>) {
    any(value, out, true);
}

/// As [`encode_any`], but `<`, `>` and `&` stay as they are: for text that is
/// read back and not sent.
pub fn encode_plain(value: &Value, out: &mut Vec<u8>) {
    any(value, out, false);
}

fn any(value: &Value, out: &mut Vec<u8>, html: bool) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(n) => out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
        Value::Float(n) => float(*n, out),
        Value::String(text) => string(text, out, html),
        Value::Raw(text) if html => pretty::compact(text.as_bytes(), out),
        Value::Raw(text) => out.extend_from_slice(text.as_bytes()),
        Value::List(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                comma(i > 0, out);
                any(item, out, html);
            }
            out.push(b']');
        }
        Value::Map(map) => {
            out.push(b'{');
            for (i, (key, value)) in map.iter().enumerate() {
                comma(i > 0, out);
                string(key, out, html);
                out.push(b':');
                any(value, out, html);
            }
            out.push(b'}');
        }
    }
}

struct Encoder<'s> {
    schema: &'s Schema,
    /// The struct type around the current place: what a schema inside a schema is.
    props: TypeId,
}

impl Encoder<'_> {
    fn value(&mut self, ty: TypeId, value: &Value, out: &mut Vec<u8>) {
        match (&self.schema.ty(ty).kind, value) {
            (_, Value::Null) => self.zero(ty, out),
            (Kind::Struct { fields, .. }, Value::Map(map)) => self.structure(ty, fields, map, out),
            (Kind::List(item), Value::List(items)) => {
                out.push(b'[');
                for (i, value) in items.iter().enumerate() {
                    comma(i > 0, out);
                    self.value(*item, value, out);
                }
                out.push(b']');
            }
            (Kind::Map(item), Value::Map(map)) => {
                out.push(b'{');
                for (i, (key, value)) in map.iter().enumerate() {
                    comma(i > 0, out);
                    string(key, out, true);
                    out.push(b':');
                    self.value(*item, value, out);
                }
                out.push(b'}');
            }
            (Kind::Scalar(Scalar::JsonSchemaOr), Value::Map(_)) => self.value(self.props, value, out),
            (Kind::Scalar(Scalar::JsonSchemaOr), Value::List(items)) => self.json_schemas(items, out),
            (_, value) => any(value, out, true),
        }
    }

    /// Schemas or strings.
    fn json_schemas(&mut self, items: &[Value], out: &mut Vec<u8>) {
        out.push(b'[');
        for (i, item) in items.iter().enumerate() {
            comma(i > 0, out);
            match item {
                Value::Map(_) => self.value(self.props, item, out),
                item => any(item, out, true),
            }
        }
        out.push(b']');
    }

    fn structure(&mut self, ty: TypeId, fields: &[Field], map: &Map, out: &mut Vec<u8>) {
        let members = Members::new(self.schema.ty(ty), map);
        let outer = std::mem::replace(&mut self.props, ty);
        out.push(b'{');
        let mut first = true;
        for (i, field) in fields.iter().enumerate() {
            let value = members.get(i);
            if !self.is_written(field, value) {
                continue;
            }
            comma(!first, out);
            first = false;
            out.push(b'"');
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b"\":");
            match value {
                Some(value) => self.value(field.ty, value, out),
                None if field.flags.has(FieldFlags::POINTER) => out.extend_from_slice(b"null"),
                None => self.zero(field.ty, out),
            }
        }
        out.push(b'}');
        self.props = outer;
    }

    fn is_written(&self, field: &Field, value: Option<&Value>) -> bool {
        if field.flags.has(FieldFlags::ALWAYS) {
            return true;
        }
        if field.flags.has(FieldFlags::POINTER) {
            return value.is_some();
        }
        let empty = match value {
            None => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Int(n)) => *n == 0,
            Some(Value::Float(n)) => *n == 0.0,
            Some(Value::Bool(b)) => !b,
            Some(Value::List(items)) => items.is_empty(),
            Some(Value::Map(map)) => map.is_empty(),
            Some(_) => false,
        };
        if !empty || field.flags.has(FieldFlags::OMITZERO) {
            return !empty;
        }
        // `omitempty` does nothing for what is a struct in Go.
        match &self.schema.ty(field.ty).kind {
            Kind::Struct { .. } => true,
            Kind::List(_) | Kind::Map(_) => false,
            Kind::Scalar(scalar) => matches!(
                scalar,
                Scalar::Time
                    | Scalar::MicroTime
                    | Scalar::Quantity
                    | Scalar::IntOrString
                    | Scalar::RawExtension
                    | Scalar::FieldsV1
                    | Scalar::Json
            ),
        }
    }

    /// The zero value of a type.
    fn zero(&mut self, ty: TypeId, out: &mut Vec<u8>) {
        let text: &[u8] = match &self.schema.ty(ty).kind {
            Kind::Struct { fields, .. } => return self.structure(ty, fields, &Map::new(), out),
            Kind::List(_) | Kind::Map(_) => b"null",
            Kind::Scalar(scalar) => match scalar {
                Scalar::String => b"\"\"",
                Scalar::Int32 | Scalar::Int64 | Scalar::Float64 | Scalar::IntOrString => b"0",
                Scalar::Bool => b"false",
                Scalar::Quantity => b"\"0\"",
                Scalar::Object => b"{}",
                Scalar::Bytes
                | Scalar::Time
                | Scalar::MicroTime
                | Scalar::RawExtension
                | Scalar::FieldsV1
                | Scalar::Json
                | Scalar::JsonSchemaOr => b"null",
            },
        };
        out.extend_from_slice(text);
    }
}

fn comma(needed: bool, out: &mut Vec<u8>) {
    if needed {
        out.push(b',');
    }
}

/// A number as Go writes a float64: plain, or with an exponent when it is very small or large.
fn float(n: f64, out: &mut Vec<u8>) {
    let magnitude = n.abs();
    let text = if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{n:e}");
        if text.contains("e-") { text } else { text.replace('e', "e+") }
    } else {
        n.to_string()
    };
    out.extend_from_slice(text.as_bytes());
}

/// A string in quotes. With `html`, also `<`, `>` and `&` are escaped.
pub fn string(text: &str, out: &mut Vec<u8>, html: bool) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (i, b) in bytes.iter().enumerate() {
        if !needs_escape(bytes, i, *b, html) {
            continue;
        }
        out.extend_from_slice(&bytes[start..i]);
        start = i + escape(bytes[i], bytes, i, out);
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

fn needs_escape(bytes: &[u8], i: usize, b: u8, html: bool) -> bool {
    match b {
        0..0x20 | b'"' | b'\\' => true,
        b'<' | b'>' | b'&' => html,
        0xE2 => is_line_separator(&bytes[i..]),
        _ => false,
    }
}

/// U+2028 and U+2029 end a line in JavaScript; Go escapes them.
pub fn is_line_separator(bytes: &[u8]) -> bool {
    matches!(bytes, [0xE2, 0x80, 0xA8 | 0xA9, ..])
}

/// Writes the escape for byte `b` at `i`; returns how many bytes it stands for.
fn escape(b: u8, bytes: &[u8], i: usize, out: &mut Vec<u8>) -> usize {
    let short = match b {
        b'"' | b'\\' => b,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        0xE2 => {
            out.extend_from_slice(if bytes[i + 2] == 0xA8 { b"\\u2028" } else { b"\\u2029" });
            return 3;
        }
        _ => {
            unicode_escape(b, out);
            return 1;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
    1
}

/// `\u00xx`.
pub fn unicode_escape(b: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.extend_from_slice(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
}
