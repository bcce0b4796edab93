//! Writes protobuf.
//!
//! Owns the presence rules of the generated code: fields in order of number,
//! whatever is no pointer is written even when zero, messages included; lists
//! and maps write their items and nothing else; map entries are sorted by key.

use super::{BYTES, FIXED64, VARINT, json_schema_or_numbers};
use crate::members::Members;
use crate::scalar;
use schema::{Field, FieldFlags, Kind, Map, Scalar, Schema, TypeId, Value, WireNode};

/// Appends the message of an object of type `ty`.
pub fn encode(schema: &Schema, ty: TypeId, value: &Value, out: &mut Vec<u8>) {
    Encoder { schema, props: ty, out }.content(ty, value);
}

struct Encoder<'s, 'o> {
    schema: &'s Schema,
    /// The struct type around the current place: what a schema inside a schema is.
    props: TypeId,
    out: &'o mut Vec<u8>,
}

impl Encoder<'_, '_> {
    /// What stands inside the message of a value.
    fn content(&mut self, ty: TypeId, value: &Value) {
        let type_of = self.schema.ty(ty);
        match &type_of.kind {
            Kind::Struct { fields, wire, .. } => {
                let outer = std::mem::replace(&mut self.props, ty);
                let nothing = Map::new();
                let members = Members::new(type_of, value.as_map().unwrap_or(&nothing));
                self.nodes(fields, wire, &members);
                self.props = outer;
            }
            // Only lists that are messages of their own come here.
            Kind::List(item) => self.items(1, *item, value.as_list().unwrap_or_default()),
            Kind::Map(_) => {}
            Kind::Scalar(scalar) => self.scalar_content(*scalar, type_of.short_name(), value),
        }
    }

    fn nodes(&mut self, fields: &[Field], nodes: &[WireNode], members: &Members<'_, '_>) {
        for node in nodes {
            match node {
                WireNode::Field { number, index } => {
                    let index = usize::from(*index);
                    self.field(*number, &fields[index], members.get(index));
                }
                WireNode::Inline { number, pointer, nodes } => {
                    if !pointer || any_set(nodes, members) {
                        self.message(*number, |encoder| encoder.nodes(fields, nodes, members));
                    }
                }
            }
        }
    }

    fn field(&mut self, number: u32, field: &Field, value: Option<&Value>) {
        if value.is_none() && field.flags.has(FieldFlags::POINTER) {
            return;
        }
        let schema = self.schema;
        let ty = schema.ty(field.ty);
        match (&ty.kind, value) {
            (Kind::List(_) | Kind::Map(_) | Kind::Scalar(Scalar::Bytes), None) => {}
            (Kind::List(item), Some(value)) if ty.message.is_empty() => {
                self.items(number, *item, value.as_list().unwrap_or_default());
            }
            (Kind::Map(item), Some(value)) => {
                if let Some(map) = value.as_map() {
                    self.entries(number, *item, map);
                }
            }
            (_, value) => self.value(number, field.ty, value.unwrap_or(&Value::Null)),
        }
    }

    fn items(&mut self, number: u32, item: TypeId, items: &[Value]) {
        for value in items {
            self.value(number, item, value);
        }
    }

    fn entries(&mut self, number: u32, item: TypeId, map: &Map) {
        let is_bytes = matches!(self.schema.ty(item).kind, Kind::Scalar(Scalar::Bytes));
        for (key, value) in map.iter() {
            self.message(number, |encoder| {
                encoder.bytes(1, key.as_bytes());
                if !(is_bytes && value.is_null()) {
                    encoder.value(2, item, value);
                }
            });
        }
    }

    /// One value under a number, zero if it is null.
    fn value(&mut self, number: u32, ty: TypeId, value: &Value) {
        let Kind::Scalar(scalar) = self.schema.ty(ty).kind else {
            return self.message(number, |encoder| encoder.content(ty, value));
        };
        match scalar {
            Scalar::String => self.bytes(number, value.as_str().unwrap_or_default().as_bytes()),
            Scalar::Bytes => {
                let bytes = scalar::decode_base64(value.as_str().unwrap_or_default());
                self.bytes(number, &bytes.unwrap_or_default());
            }
            Scalar::Bool => self.varint_field(number, u64::from(value.as_bool().unwrap_or_default())),
            // Negative numbers are ten bytes long, 32-bit ones too.
            Scalar::Int32 | Scalar::Int64 => {
                self.varint_field(number, value.as_int().unwrap_or_default().cast_unsigned());
            }
            Scalar::Float64 => {
                self.tag(number, FIXED64);
                self.out.extend_from_slice(&as_float(value).to_le_bytes());
            }
            _ => self.message(number, |encoder| encoder.content(ty, value)),
        }
    }

    /// What stands inside the message of a leaf that is a message on the wire.
    fn scalar_content(&mut self, scalar: Scalar, name: &str, value: &Value) {
        match scalar {
            Scalar::Time | Scalar::MicroTime => {
                let Some((seconds, nanos)) = value.as_str().and_then(scalar::time_parts) else { return };
                let nanos = if scalar == Scalar::MicroTime { nanos / 1000 * 1000 } else { 0 };
                self.varint_field(1, seconds.cast_unsigned());
                self.varint_field(2, u64::from(nanos.cast_unsigned()));
            }
            Scalar::Quantity => self.bytes(1, value.as_str().unwrap_or("0").as_bytes()),
            Scalar::IntOrString => {
                self.varint_field(1, u64::from(value.as_str().is_some()));
                self.varint_field(2, value.as_int().unwrap_or_default().cast_unsigned());
                self.bytes(3, value.as_str().unwrap_or_default().as_bytes());
            }
            Scalar::RawExtension | Scalar::FieldsV1 | Scalar::Json | Scalar::Object => self.raw(value),
            Scalar::JsonSchemaOr => self.json_schema_or(name, value),
            // Plain leaves are no messages.
            Scalar::String
            | Scalar::Int32
            | Scalar::Int64
            | Scalar::Float64
            | Scalar::Bool
            | Scalar::Bytes => {}
        }
    }

    fn raw(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Raw(text) => self.bytes(1, text.as_bytes()),
            // Code that builds an object may put a tree where JSON text belongs.
            tree => {
                let mut json = Vec::new();
                crate::json::encode_any(tree, &mut json);
                self.bytes(1, &json);
            }
        }
    }

    fn json_schema_or(&mut self, name: &str, value: &Value) {
        let (schema_number, other) = json_schema_or_numbers(name);
        let props = self.props;
        if name.ends_with("OrBool") {
            // An object is a schema that allows what matches it.
            let allows = value.as_bool().unwrap_or(matches!(value, Value::Map(_)));
            self.varint_field(other, u64::from(allows));
        }
        match value {
            Value::Map(_) => self.value(schema_number, props, value),
            Value::List(items) => {
                for item in items {
                    match item {
                        Value::String(text) => self.bytes(other, text.as_bytes()),
                        item => self.value(other, props, item),
                    }
                }
            }
            _ => {}
        }
    }

    fn tag(&mut self, number: u32, wire_type: u32) {
        self.varint(u64::from(number << 3 | wire_type));
    }

    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.out.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.out.push(n as u8);
    }

    fn varint_field(&mut self, number: u32, n: u64) {
        self.tag(number, VARINT);
        self.varint(n);
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, BYTES);
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// A message whose length is known only after it is written: most are
    /// short, so one byte is kept free and the rest moved when it is too few.
    fn message(&mut self, number: u32, content: impl FnOnce(&mut Self)) {
        self.tag(number, BYTES);
        let at = self.out.len();
        self.out.push(0);
        content(self);
        let length = self.out.len() - at - 1;
        if length < 0x80 {
            self.out[at] = length as u8;
            return;
        }
        let end = self.out.len();
        self.varint(length as u64);
        let extra = self.out.len() - end - 1;
        let mut prefix = [0; 10];
        prefix[..=extra].copy_from_slice(&self.out[end..]);
        self.out.copy_within(at + 1..end, at + 1 + extra);
        self.out[at..=at + extra].copy_from_slice(&prefix[..=extra]);
        self.out.truncate(end + extra);
    }
}

/// True if a field that an inlined struct holds is set.
fn any_set(nodes: &[WireNode], members: &Members<'_, '_>) -> bool {
    nodes.iter().any(|node| match node {
        WireNode::Field { index, .. } => members.get(usize::from(*index)).is_some(),
        WireNode::Inline { nodes, .. } => any_set(nodes, members),
    })
}

fn as_float(value: &Value) -> f64 {
    match value {
        Value::Float(n) => *n,
        Value::Int(n) => *n as f64,
        _ => 0.0,
    }
}
