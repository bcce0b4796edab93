//! Reads JSON by the table, straight into the value.
//!
//! Owns the normal form of a value (see the crate's page), strict errors and
//! the words of Go's type errors. As in Go, a value of the wrong shape does
//! not stop the reading: the first such error is told at the end, unless the
//! text turns out not to be JSON at all.

use super::reader::{Number, Reader, float, shape};
use crate::error::push_strict;
use crate::{DecodeError, StrictError, go_names, scalar};
use schema::{Field, FieldFlags, Key, Kind, Map, Scalar, Schema, Type, TypeId, Value, quantity};
use std::borrow::Cow;

/// One typed reading.
pub struct Decoder<'a, 's> {
    schema: &'a Schema,
    reader: Reader<'a>,
    strict: Option<&'s mut Vec<StrictError>>,
    /// The first value of the wrong shape.
    mismatch: Option<DecodeError>,
}

/// Where the reading is: a list linked through the stack, so that it costs
/// nothing until an error needs its text.
pub struct Path<'p> {
    parent: Option<(&'p Path<'p>, Step<'p>)>,
}

/// One step of a path.
#[derive(Clone, Copy)]
pub enum Step<'p> {
    /// A field of a struct type.
    Field(TypeId, &'p str),
    /// A key of a map.
    Key(&'p str),
    /// An item of a list.
    Index(usize),
}

impl<'p> Path<'p> {
    pub const ROOT: Path<'static> = Path { parent: None };

    pub fn below(parent: &'p Path<'p>, step: Step<'p>) -> Path<'p> {
        Path { parent: Some((parent, step)) }
    }

    /// E.g. `spec.containers[0].name`.
    pub fn text(&self) -> String {
        let Some((parent, step)) = &self.parent else { return String::new() };
        let mut text = parent.text();
        match step {
            Step::Index(i) => text.push_str(&format!("[{i}]")),
            Step::Field(_, name) | Step::Key(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
        }
        text
    }

    /// The struct type around this place.
    fn owner(&self) -> Option<TypeId> {
        match self.parent.as_ref()? {
            (_, Step::Field(ty, _)) => Some(*ty),
            (parent, _) => parent.owner(),
        }
    }

    /// The Go type at this place, where the schema does not know its name: of
    /// a field, or of an item of a field that is a list.
    fn go_type(&self, schema: &Schema) -> Option<String> {
        let name = |ty: TypeId, field: &str| go_names::field_type(schema.ty(ty).short_name(), field);
        match self.parent.as_ref()? {
            (_, Step::Field(ty, field)) => name(*ty, field).map(str::to_owned),
            (Path { parent: Some((_, Step::Field(ty, field))) }, Step::Index(_)) => {
                name(*ty, field)?.strip_prefix("[]").map(str::to_owned)
            }
            _ => None,
        }
    }

    /// The place as Go names it: the innermost struct and all field names, without keys and indices.
    fn go_place(&self, schema: &Schema) -> String {
        let Some(owner) = self.owner() else { return "value".into() };
        let mut names = Vec::new();
        let mut here = self;
        while let Some((parent, step)) = &here.parent {
            if let Step::Field(_, name) = step {
                names.push(*name);
            }
            here = parent;
        }
        names.reverse();
        format!("struct field {}.{}", schema.ty(owner).short_name(), names.join("."))
    }
}

impl<'a, 's> Decoder<'a, 's> {
    pub fn new(
        schema: &'a Schema,
        bytes: &'a [u8],
        strict: Option<&'s mut Vec<StrictError>>,
    ) -> Decoder<'a, 's> {
        Decoder { schema, reader: Reader::new(bytes), strict, mismatch: None }
    }

    /// One object and nothing behind it. A document `null` is an empty object.
    pub fn document(mut self, ty: TypeId) -> Result<Value, DecodeError> {
        let value = self.value(ty, &Path::ROOT)?;
        self.reader.end()?;
        match self.mismatch {
            Some(mismatch) => Err(mismatch),
            None if value.is_null() => Ok(zero(self.schema, ty)),
            None => Ok(value),
        }
    }

    /// A value of type `ty` in normal form; null where the text says null or
    /// has another shape.
    fn value(&mut self, ty: TypeId, path: &Path<'_>) -> Result<Value, DecodeError> {
        let schema = self.schema;
        let first = self.reader.peek()?;
        if first == b'n' {
            return self.reader.literal("null").map(|()| Value::Null);
        }
        match &schema.ty(ty).kind {
            Kind::Scalar(scalar) => self.scalar(*scalar, ty, path, first),
            Kind::List(item) if first == b'[' => self.list(*item, path),
            Kind::Map(item) if first == b'{' => self.map(*item, path),
            Kind::Struct { fields, .. } if first == b'{' => self.structure(ty, fields, path),
            _ => self.mismatched(ty, path, first),
        }
    }

    fn list(&mut self, item: TypeId, path: &Path<'_>) -> Result<Value, DecodeError> {
        let mut items = Vec::new();
        self.list_items(|decoder, i| {
            let value = decoder.value(item, &Path::below(path, Step::Index(i)))?;
            items.push(if value.is_null() { zero(decoder.schema, item) } else { value });
            Ok(())
        })?;
        Ok(Value::List(items))
    }

    fn map(&mut self, item: TypeId, path: &Path<'_>) -> Result<Value, DecodeError> {
        let mut entries: Vec<(Key, Value)> = Vec::new();
        self.members(|decoder, key| {
            let value = decoder.value(item, &Path::below(path, Step::Key(&key)))?;
            let value = if value.is_null() { zero(decoder.schema, item) } else { value };
            entries.push((Key::from(key.into_owned()), value));
            Ok(())
        })?;
        let map = Map::from_unsorted(entries, |key| self.duplicate(path, Step::Key(key)));
        Ok(Value::Map(map))
    }

    fn structure(&mut self, ty: TypeId, fields: &'a [Field], path: &Path<'_>) -> Result<Value, DecodeError> {
        let schema = self.schema;
        let type_of = schema.ty(ty);
        // Kept by index: names and order are looked up once, at the end.
        let mut entries: Vec<(u16, Value)> = Vec::with_capacity(fields.len().min(8));
        let mut seen = Seen::default();
        let mut guess = 0;
        self.members(|decoder, key| {
            let Some(index) = find(type_of, fields, &mut guess, &key) else {
                return decoder.unknown(path, &key);
            };
            let field = &fields[index];
            let step = Step::Field(ty, &field.name);
            let before = seen.insert(index);
            if before {
                decoder.duplicate(path, step);
            }
            let value = decoder.value(field.ty, &Path::below(path, step))?;
            if before {
                entries.retain(|(other, _)| usize::from(*other) != index || value.is_null());
            }
            entries.push((index as u16, value));
            Ok(())
        })?;
        Ok(normal(schema, fields, entries))
    }

    fn scalar(&mut self, kind: Scalar, ty: TypeId, path: &Path<'_>, first: u8) -> Result<Value, DecodeError> {
        match (kind, first) {
            (Scalar::String, b'"') => Ok(Value::String(self.reader.string()?.into_owned())),
            (Scalar::Bool, b't') => self.reader.literal("true").map(|()| Value::Bool(true)),
            (Scalar::Bool, b'f') => self.reader.literal("false").map(|()| Value::Bool(false)),
            (Scalar::Int32 | Scalar::Int64 | Scalar::Float64, b'-' | b'0'..=b'9') => self.number(kind, path),
            (Scalar::Bytes, b'"') => self.text(scalar::canonical_base64),
            (Scalar::Time, b'"') => {
                self.text(|text| scalar::canonical_time(text).map(Option::unwrap_or_default))
            }
            (Scalar::MicroTime, b'"') => {
                self.text(|text| scalar::canonical_micro_time(text).map(Option::unwrap_or_default))
            }
            (Scalar::Quantity, _) => self.quantity(),
            (Scalar::IntOrString, b'"') => Ok(Value::String(self.reader.string()?.into_owned())),
            (Scalar::IntOrString, b'-' | b'0'..=b'9') => self.number(Scalar::Int32, &Path::ROOT),
            (Scalar::RawExtension | Scalar::FieldsV1 | Scalar::Json, _) => {
                Ok(Value::Raw(self.reader.raw()?.into_owned().into_boxed_str()))
            }
            (Scalar::JsonSchemaOr, _) => self.json_schema_or(ty, path, first),
            (Scalar::Object, b'{') => self.reader.any(path, &mut self.strict.as_deref_mut()),
            (Scalar::Time | Scalar::MicroTime, _) => self.mismatched_as("string", &Path::ROOT, first),
            (Scalar::IntOrString, _) => self.mismatched_as("int32", &Path::ROOT, first),
            _ => self.mismatched(ty, path, first),
        }
    }

    /// A string with a syntax of its own. Empty canonical text means no value.
    fn text(&mut self, canonical: impl Fn(&str) -> Result<String, String>) -> Result<Value, DecodeError> {
        let text = self.reader.string()?;
        Ok(match canonical(&text) {
            Ok(canonical) => Value::String(canonical),
            Err(problem) => self.failed(DecodeError::Scalar(problem)),
        })
    }

    /// The text of anything is tried as a quantity, in quotes or not.
    fn quantity(&mut self) -> Result<Value, DecodeError> {
        let raw = self.reader.raw()?;
        let text = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&raw);
        Ok(match quantity::canonical(text.trim()) {
            Ok(canonical) => Value::String(canonical.into_owned()),
            Err(problem) => self.failed(DecodeError::Scalar(problem.to_string())),
        })
    }

    fn number(&mut self, kind: Scalar, path: &Path<'_>) -> Result<Value, DecodeError> {
        let number = self.reader.number()?;
        let value = match kind {
            Scalar::Float64 => float(&number).map(Value::Float),
            Scalar::Int32 => integer(&number).filter(|n| i32::try_from(*n).is_ok()).map(Value::Int),
            _ => integer(&number).map(Value::Int),
        };
        Ok(value.unwrap_or_else(|| {
            let place = path.go_place(self.schema);
            let found = format!("number {}", number.text);
            self.failed(DecodeError::mismatch(&found, place, scalar::go_name(kind)))
        }))
    }

    /// `JSONSchemaPropsOrArray` and its kin: what is an object is a schema
    /// again, of the type that holds the field. The original reads these with
    /// a parser of their own, which knows no strictness.
    fn json_schema_or(&mut self, ty: TypeId, path: &Path<'_>, first: u8) -> Result<Value, DecodeError> {
        let Some(props) = path.owner() else { return self.reader.any(path, &mut None) };
        let strict = self.strict.take();
        let or = self.schema.ty(ty).short_name();
        let value = match first {
            b'{' => self.value(props, path),
            b'[' if or.ends_with("OrArray") => self.list(props, path),
            b'[' if or.ends_with("OrStringArray") => self.strings(),
            b't' | b'f' if or.ends_with("OrBool") => self.reader.any(path, &mut None),
            _ if or.ends_with("OrBool") => {
                self.reader.skip()?;
                Ok(self.failed(DecodeError::Scalar("boolean or JSON schema expected".into())))
            }
            _ => self.reader.skip().map(|()| Value::Null),
        };
        self.strict = strict;
        value
    }

    fn strings(&mut self) -> Result<Value, DecodeError> {
        let list = self.reader.any(&Path::ROOT, &mut None)?;
        if list.as_list().unwrap_or_default().iter().all(|item| item.as_str().is_some()) {
            return Ok(list);
        }
        Ok(self.failed(DecodeError::mismatch("value", "value".into(), "[]string")))
    }

    /// Passes over a value of the wrong shape.
    fn mismatched(&mut self, ty: TypeId, path: &Path<'_>, first: u8) -> Result<Value, DecodeError> {
        let expected = path.go_type(self.schema).unwrap_or_else(|| go_type_name(self.schema, ty));
        self.mismatched_as(&expected, path, first)
    }

    fn mismatched_as(&mut self, expected: &str, path: &Path<'_>, first: u8) -> Result<Value, DecodeError> {
        self.reader.skip()?;
        let place = path.go_place(self.schema);
        Ok(self.failed(DecodeError::mismatch(shape(first), place, expected)))
    }

    fn failed(&mut self, error: DecodeError) -> Value {
        self.mismatch.get_or_insert(error);
        Value::Null
    }

    fn unknown(&mut self, path: &Path<'_>, key: &str) -> Result<(), DecodeError> {
        if let Some(errors) = &mut self.strict {
            push_strict(errors, StrictError::Unknown(Path::below(path, Step::Key(key)).text()));
        }
        self.reader.skip()
    }

    fn duplicate(&mut self, path: &Path<'_>, step: Step<'_>) {
        if let Some(errors) = &mut self.strict {
            push_strict(errors, StrictError::Duplicate(Path::below(path, step).text()));
        }
    }

    /// [`Reader::object`] with the decoder at hand.
    fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.reader.begin_object()? {
            return Ok(());
        }
        loop {
            let key = self.reader.key()?;
            member(self, key)?;
            if self.reader.object_ends()? {
                return Ok(());
            }
        }
    }

    /// [`Reader::list`] with the decoder at hand.
    fn list_items(
        &mut self,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.reader.begin_list()? {
            return Ok(());
        }
        for i in 0.. {
            item(self, i)?;
            if self.reader.list_ends()? {
                break;
            }
        }
        Ok(())
    }
}

/// Which fields of a struct have been read.
#[derive(Default)]
struct Seen(u128);

impl Seen {
    /// True if `index` was there already. Structs with more than 128 fields do not exist.
    fn insert(&mut self, index: usize) -> bool {
        let bit = 1_u128.checked_shl(index as u32).unwrap_or(0);
        let before = self.0 & bit != 0;
        self.0 |= bit;
        before
    }
}

/// The index of a field. Objects that a server wrote have their fields in the
/// order of the table, so the one behind the last one is tried first.
fn find(ty: &Type, fields: &[Field], guess: &mut usize, key: &str) -> Option<usize> {
    let index = match fields.get(*guess) {
        Some(field) if field.name == key => *guess,
        _ => ty.field_index(key)?,
    };
    *guess = index + 1;
    Some(index)
}

fn integer(number: &Number<'_>) -> Option<i64> {
    if number.integer { number.text.parse().ok() } else { None }
}

/// A struct from its fields, each by its index: nulls and zero values left out.
pub fn normal(schema: &Schema, fields: &[Field], entries: Vec<(u16, Value)>) -> Value {
    let named = |(index, value): (u16, Value)| {
        let field = &fields[usize::from(index)];
        let keep = !value.is_null() && !is_absent(schema, field, &value);
        keep.then(|| (Key::from(field.name.clone()), value))
    };
    Value::Map(Map::from_unsorted(entries.into_iter().filter_map(named).collect(), |_| {}))
}

/// True if Go could not tell this value of a field from none.
fn is_absent(schema: &Schema, field: &Field, value: &Value) -> bool {
    if let Value::String(text) = value
        && text.is_empty()
        && matches!(schema.ty(field.ty).kind, Kind::Scalar(Scalar::Time | Scalar::MicroTime))
    {
        return true;
    }
    if field.flags.has(FieldFlags::POINTER) {
        return false;
    }
    match (&schema.ty(field.ty).kind, value) {
        (Kind::List(_), Value::List(items)) => items.is_empty() && !field.flags.has(FieldFlags::ALWAYS),
        (Kind::Map(_), Value::Map(map)) => map.is_empty() && !field.flags.has(FieldFlags::ALWAYS),
        (Kind::Struct { .. }, Value::Map(map)) => map.is_empty(),
        (Kind::Scalar(scalar), value) => match (scalar, value) {
            (Scalar::Quantity, Value::String(text)) => text == "0",
            (Scalar::Bytes, Value::String(text)) => text.is_empty() && !field.flags.has(FieldFlags::ALWAYS),
            (Scalar::String, Value::String(text)) => text.is_empty(),
            (Scalar::Int32 | Scalar::Int64 | Scalar::IntOrString, Value::Int(n)) => *n == 0,
            (Scalar::Float64, Value::Float(n)) => *n == 0.0,
            (Scalar::Bool, Value::Bool(b)) => !b,
            _ => false,
        },
        _ => false,
    }
}

/// What stands for null where a value must stand, as in a list.
pub fn zero(schema: &Schema, ty: TypeId) -> Value {
    match &schema.ty(ty).kind {
        Kind::Struct { .. } => Value::map(),
        Kind::Scalar(Scalar::String) => Value::String(String::new()),
        Kind::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::IntOrString) => Value::Int(0),
        Kind::Scalar(Scalar::Float64) => Value::Float(0.0),
        Kind::Scalar(Scalar::Bool) => Value::Bool(false),
        Kind::Scalar(Scalar::Quantity) => Value::String("0".into()),
        _ => Value::Null,
    }
}

/// The Go type as error texts name it, e.g. `[]v1.Container`.
pub fn go_type_name(schema: &Schema, ty: TypeId) -> String {
    let ty = schema.ty(ty);
    match &ty.kind {
        Kind::List(item) => format!("[]{}", go_type_name(schema, *item)),
        Kind::Map(item) => format!("map[string]{}", go_type_name(schema, *item)),
        Kind::Scalar(scalar) => scalar::go_name(*scalar).to_owned(),
        Kind::Struct { .. } => {
            let mut parts = ty.name.rsplit('.');
            let short = parts.next().unwrap_or_default();
            format!("{}.{short}", parts.next().unwrap_or_default())
        }
    }
}
