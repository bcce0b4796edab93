//! Reads protobuf.
//!
//! Owns the normal form of what it reads (see the crate's page). Unknown
//! fields are skipped; whatever is not protobuf is an error, whatever its bytes.

use super::{BYTES, FIXED32, FIXED64, GROUP_END, GROUP_START, VARINT, json_schema_or_numbers};
use crate::json::{normal, zero};
use crate::{DEPTH_MAX, DecodeError, scalar};
use schema::{Field, Kind, Scalar, Schema, Type, TypeId, Value, WireNode, quantity};

/// Reads the message of an object of type `ty`.
pub fn decode(schema: &Schema, ty: TypeId, bytes: &[u8]) -> Result<Value, DecodeError> {
    Decoder { schema, props: ty, depth: 0 }.message(ty, Wire { rest: bytes })
}

struct Decoder<'s> {
    schema: &'s Schema,
    /// The struct type around the current place: what a schema inside a schema is.
    props: TypeId,
    depth: usize,
}

/// Fields read so far, by index into the struct's fields.
type Entries = Vec<(u16, Value)>;

/// A map from its keys and values in the order they came, by turns. They are
/// sorted together: one by one each would move all that belong behind it.
fn map_of(keys_and_values: Value) -> Value {
    let Value::List(parts) = keys_and_values else { return keys_and_values };
    let mut parts = parts.into_iter();
    let mut entries = Vec::with_capacity(parts.len() / 2);
    while let (Some(Value::String(key)), Some(value)) = (parts.next(), parts.next()) {
        entries.push((key, value));
    }
    Value::Map(entries.into_iter().collect())
}

impl<'s> Decoder<'s> {
    /// What stands inside the message of a value of type `ty`.
    fn message(&mut self, ty: TypeId, wire: Wire<'_>) -> Result<Value, DecodeError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let schema = self.schema;
        let type_of = schema.ty(ty);
        let value = match &type_of.kind {
            Kind::Struct { fields, wire: nodes, .. } => {
                let outer = std::mem::replace(&mut self.props, ty);
                let mut entries = Entries::new();
                self.structure(fields, nodes, wire, &mut entries)?;
                self.props = outer;
                let is_map =
                    |index: u16| matches!(schema.ty(fields[usize::from(index)].ty).kind, Kind::Map(_));
                for (_, value) in entries.iter_mut().filter(|(index, _)| is_map(*index)) {
                    *value = map_of(std::mem::take(value));
                }
                normal(schema, fields, entries)
            }
            Kind::List(item) => self.wrapped_list(*item, wire)?,
            Kind::Map(_) => Value::map(),
            Kind::Scalar(scalar) => self.scalar_message(*scalar, type_of, wire)?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn structure(
        &mut self,
        fields: &[Field],
        nodes: &[WireNode],
        mut wire: Wire<'_>,
        entries: &mut Entries,
    ) -> Result<(), DecodeError> {
        while let Some((number, content)) = wire.next()? {
            let Ok(at) = nodes.binary_search_by_key(&number, node_number) else { continue };
            match &nodes[at] {
                WireNode::Inline { nodes, .. } => {
                    let inner = content.bytes(number)?;
                    self.structure(fields, nodes, Wire { rest: inner }, entries)?;
                }
                WireNode::Field { index, .. } => {
                    let slot = slot(entries, *index);
                    self.field(&fields[usize::from(*index)], number, content, slot)?;
                }
            }
        }
        Ok(())
    }

    /// Reads one occurrence of a field into its slot.
    fn field(
        &mut self,
        field: &Field,
        number: u32,
        content: Content<'_>,
        slot: &mut Value,
    ) -> Result<(), DecodeError> {
        let schema = self.schema;
        let ty = schema.ty(field.ty);
        match &ty.kind {
            Kind::List(item) if ty.message.is_empty() => {
                if !matches!(slot, Value::List(_)) {
                    *slot = Value::List(Vec::new());
                }
                if let Value::List(items) = slot {
                    self.item(*item, number, content, items)?;
                }
            }
            Kind::Map(item) => {
                let (key, value) = self.entry(*item, content.bytes(number)?)?;
                if !matches!(slot, Value::List(_)) {
                    *slot = Value::List(Vec::new());
                }
                if let Value::List(parts) = slot {
                    parts.extend([Value::from(key), value]);
                }
            }
            _ => *slot = self.value(field.ty, number, content)?,
        }
        Ok(())
    }

    /// One item of a list, or many numbers packed into one field.
    fn item(
        &mut self,
        item: TypeId,
        number: u32,
        content: Content<'_>,
        items: &mut Vec<Value>,
    ) -> Result<(), DecodeError> {
        let packed =
            matches!(self.schema.ty(item).kind, Kind::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Bool));
        if let (true, Content::Bytes(bytes)) = (packed, &content) {
            let mut wire = Wire { rest: bytes };
            while !wire.rest.is_empty() {
                let n = wire.varint()?;
                items.push(self.value(item, number, Content::Varint(n))?);
            }
            return Ok(());
        }
        let value = self.value(item, number, content)?;
        items.push(if value.is_null() { zero(self.schema, item) } else { value });
        Ok(())
    }

    fn wrapped_list(&mut self, item: TypeId, mut wire: Wire<'_>) -> Result<Value, DecodeError> {
        let mut items = Vec::new();
        while let Some((number, content)) = wire.next()? {
            if number == 1 {
                self.item(item, number, content, &mut items)?;
            }
        }
        Ok(if items.is_empty() { Value::Null } else { Value::List(items) })
    }

    fn entry(&mut self, item: TypeId, bytes: &[u8]) -> Result<(String, Value), DecodeError> {
        let mut wire = Wire { rest: bytes };
        let mut key = String::new();
        let mut value = Value::Null;
        while let Some((number, content)) = wire.next()? {
            match number {
                1 => key = text(content.bytes(number)?),
                2 => value = self.value(item, number, content)?,
                _ => {}
            }
        }
        Ok((key, if value.is_null() { zero(self.schema, item) } else { value }))
    }

    /// One value; null for what Go's zero value cannot be told from.
    fn value(&mut self, ty: TypeId, number: u32, content: Content<'_>) -> Result<Value, DecodeError> {
        let Kind::Scalar(scalar) = self.schema.ty(ty).kind else {
            return self.message(ty, Wire { rest: content.bytes(number)? });
        };
        Ok(match scalar {
            Scalar::String => Value::String(text(content.bytes(number)?)),
            Scalar::Bytes => Value::String(scalar::encode_base64(content.bytes(number)?)),
            Scalar::Bool => Value::Bool(content.varint(number)? != 0),
            // The generated code cuts a 32-bit number off, too.
            Scalar::Int32 => Value::Int(i64::from(content.varint(number)? as i32)),
            Scalar::Int64 => Value::Int(content.varint(number)?.cast_signed()),
            Scalar::Float64 => Value::Float(content.float(number)?),
            _ => return self.message(ty, Wire { rest: content.bytes(number)? }),
        })
    }

    fn scalar_message(
        &mut self,
        scalar: Scalar,
        ty: &Type,
        mut wire: Wire<'_>,
    ) -> Result<Value, DecodeError> {
        Ok(match scalar {
            Scalar::Time | Scalar::MicroTime => time(scalar, wire)?,
            Scalar::Quantity => {
                let mut value = Value::Null;
                while let Some((number, content)) = wire.next()? {
                    if number == 1 {
                        let canonical = text(content.bytes(number)?);
                        let canonical = quantity::canonical(&canonical)
                            .map_err(|error| DecodeError::Scalar(error.to_string()))?
                            .into_owned();
                        value = Value::String(canonical);
                    }
                }
                value
            }
            Scalar::IntOrString => int_or_string(wire)?,
            Scalar::JsonSchemaOr => self.json_schema_or(ty.short_name(), wire)?,
            _ => {
                let mut value = Value::Null;
                while let Some((number, content)) = wire.next()? {
                    if number == 1 {
                        value = Value::Raw(text(content.bytes(number)?).into_boxed_str());
                    }
                }
                value
            }
        })
    }

    fn json_schema_or(&mut self, name: &str, mut wire: Wire<'_>) -> Result<Value, DecodeError> {
        let (schema_number, other) = json_schema_or_numbers(name);
        let props = self.props;
        let mut value = Value::Null;
        while let Some((number, content)) = wire.next()? {
            if number == schema_number {
                value = self.message(props, Wire { rest: content.bytes(number)? })?;
            } else if number == other && name.ends_with("OrBool") {
                let allows = content.varint(number)? != 0;
                // With a schema, the boolean says nothing more.
                if !matches!(value, Value::Map(_)) {
                    value = Value::Bool(allows);
                }
            } else if number == other {
                let bytes = content.bytes(number)?;
                let item = match name.ends_with("OrStringArray") {
                    true => Value::String(text(bytes)),
                    false => self.message(props, Wire { rest: bytes })?,
                };
                match &mut value {
                    Value::List(items) => items.push(item),
                    value => *value = Value::List(vec![item]),
                }
            }
        }
        Ok(value)
    }
}

/// The slot of a field. Occurrences of a list stand together, so the last slot
/// is the likely one.
fn slot(entries: &mut Entries, index: u16) -> &mut Value {
    let at = match entries.iter().rposition(|(i, _)| *i == index) {
        Some(at) => at,
        None => {
            entries.push((index, Value::Null));
            entries.len() - 1
        }
    };
    &mut entries[at].1
}

fn node_number(node: &WireNode) -> u32 {
    match node {
        WireNode::Field { number, .. } | WireNode::Inline { number, .. } => *number,
    }
}

fn time(scalar: Scalar, mut wire: Wire<'_>) -> Result<Value, DecodeError> {
    if wire.rest.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((number, content)) = wire.next()? {
        match number {
            1 => seconds = content.varint(number)?.cast_signed(),
            2 => nanos = content.varint(number)? as i32,
            _ => {}
        }
    }
    let text = match scalar {
        Scalar::MicroTime => scalar::micro_time_text(seconds, nanos),
        _ => scalar::time_text(seconds),
    };
    Ok(text.map_or(Value::Null, Value::String))
}

fn int_or_string(mut wire: Wire<'_>) -> Result<Value, DecodeError> {
    let (mut is_string, mut int, mut string) = (false, 0, String::new());
    while let Some((number, content)) = wire.next()? {
        match number {
            1 => is_string = content.varint(number)? != 0,
            2 => int = content.varint(number)? as i32,
            3 => string = text(content.bytes(number)?),
            _ => {}
        }
    }
    Ok(if is_string { Value::String(string) } else { Value::Int(int.into()) })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What stands under a field number.
#[derive(Clone, Copy)]
pub enum Content<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
    Group,
}

impl<'a> Content<'a> {
    pub fn bytes(self, number: u32) -> Result<&'a [u8], DecodeError> {
        match self {
            Content::Bytes(bytes) => Ok(bytes),
            other => Err(other.wrong(number)),
        }
    }

    fn varint(self, number: u32) -> Result<u64, DecodeError> {
        match self {
            Content::Varint(n) => Ok(n),
            other => Err(other.wrong(number)),
        }
    }

    fn float(self, number: u32) -> Result<f64, DecodeError> {
        match self {
            // What JSON cannot say is no number of an object.
            Content::Fixed64(bits) => Some(f64::from_bits(bits)).filter(|n| n.is_finite()).ok_or_else(|| {
                DecodeError::Protobuf(format!("proto: field {number} is not a finite number"))
            }),
            other => Err(other.wrong(number)),
        }
    }

    fn wrong(self, number: u32) -> DecodeError {
        let wire_type = match self {
            Content::Varint(_) => VARINT,
            Content::Fixed64(_) => FIXED64,
            Content::Bytes(_) => BYTES,
            Content::Group => GROUP_START,
            Content::Fixed32 => FIXED32,
        };
        DecodeError::Protobuf(format!("proto: wrong wireType = {wire_type} for field {number}"))
    }
}

/// Fields one after another.
pub struct Wire<'a> {
    pub rest: &'a [u8],
}

impl<'a> Wire<'a> {
    /// The next field, none at the end.
    pub fn next(&mut self) -> Result<Option<(u32, Content<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        let content = match wire_type {
            VARINT => Content::Varint(self.varint()?),
            FIXED64 => {
                let bytes = self.take(8)?;
                Content::Fixed64(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
            }
            BYTES => {
                let length = self.varint()?;
                Content::Bytes(self.take(usize::try_from(length).map_err(|_| unexpected_end())?)?)
            }
            FIXED32 => {
                self.take(4)?;
                Content::Fixed32
            }
            GROUP_START => {
                self.skip_group()?;
                Content::Group
            }
            _ => return Err(DecodeError::Protobuf(format!("proto: illegal wireType {wire_type}"))),
        };
        Ok(Some((number, content)))
    }

    fn tag(&mut self) -> Result<(u32, u32), DecodeError> {
        let tag = self.varint()?;
        let (number, wire_type) = (tag >> 3, (tag & 7) as u32);
        match u32::try_from(number) {
            Ok(number) if number > 0 => Ok((number, wire_type)),
            _ => Err(DecodeError::Protobuf(format!("proto: illegal tag {number} (wire type {wire_type})"))),
        }
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut n = 0;
        for (i, b) in self.rest.iter().enumerate() {
            if i == 10 || (i == 9 && *b > 1) {
                return Err(DecodeError::Protobuf("proto: integer overflow".into()));
            }
            n |= u64::from(b & 0x7f) << (7 * i);
            if *b < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(n);
            }
        }
        Err(unexpected_end())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(unexpected_end)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Groups are no longer written by anyone; they are passed over, nested ones included.
    fn skip_group(&mut self) -> Result<(), DecodeError> {
        let mut open = 1;
        while open > 0 {
            let (_, wire_type) = self.tag()?;
            match wire_type {
                VARINT => drop(self.varint()?),
                FIXED64 => drop(self.take(8)?),
                BYTES => {
                    let length = usize::try_from(self.varint()?).map_err(|_| unexpected_end())?;
                    self.take(length)?;
                }
                FIXED32 => drop(self.take(4)?),
                GROUP_START => open += 1,
                GROUP_END => open -= 1,
                _ => return Err(DecodeError::Protobuf(format!("proto: illegal wireType {wire_type}"))),
            }
        }
        Ok(())
    }
}

fn unexpected_end() -> DecodeError {
    DecodeError::Protobuf("unexpected EOF".into())
}
