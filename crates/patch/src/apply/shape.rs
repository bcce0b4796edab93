//! What the schema table says about a place in an object, in the words of
//! structured merge: scalar, list (set, map by keys, atomic) or map (granular,
//! atomic), declared or deduced.
//!
//! Also the zero values: an object of a Go type has fields that are written
//! although nobody set them, and they are owned like any other.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use schema::{Field, FieldFlags, Kind, ListType, Map, MapType, Scalar, Schema, Type, TypeId, Value};

use super::element::PathElement;

/// The type of an object, and how its fields are read.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'s> {
    /// The table.
    pub schema: &'s Schema,
    /// The object's type in it.
    pub ty: TypeId,
    /// The object is in normal form and of a Go type: what Go would write as a
    /// zero value is there although the tree does not have it. False for
    /// documents and for custom resources, where only what stands there is there.
    pub zeros: bool,
}

/// A place in an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'s> {
    schema: &'s Schema,
    nature: Nature<'s>,
    zeros: bool,
}

#[derive(Clone, Copy, Debug)]
enum Nature<'s> {
    /// Of a type of the table; the field that led here says how it merges.
    Declared(TypeId, Option<&'s Field>),
    /// Nothing is known: objects merge, lists are atomic.
    Deduced,
    /// Owned as a whole.
    Atomic,
}

/// What a place is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Atom {
    Scalar(ScalarKind),
    /// Any JSON, owned as a whole.
    Untyped,
    Map {
        atomic: bool,
    },
    List(ListKind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    Numeric,
    String,
    Boolean,
    Untyped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListKind {
    Atomic,
    Set,
    Keyed,
}

impl<'s> Typed<'s> {
    pub(crate) fn root(self) -> Place<'s> {
        Place { schema: self.schema, nature: Nature::Declared(self.ty, None), zeros: self.zeros }
    }
}

impl<'s> Place<'s> {
    fn with(self, nature: Nature<'s>) -> Place<'s> {
        Place { nature, ..self }
    }

    /// The type, if the table has one for this place.
    pub(crate) fn ty(self) -> Option<&'s Type> {
        match self.nature {
            Nature::Declared(ty, _) => Some(self.schema.ty(ty)),
            Nature::Deduced | Nature::Atomic => None,
        }
    }

    /// What the place is made of. Where nothing is declared the value decides.
    pub(crate) fn atom(self, value: &Value) -> Atom {
        let (ty, field) = match self.nature {
            Nature::Atomic => return Atom::Untyped,
            Nature::Deduced => return deduced(value),
            Nature::Declared(ty, field) => (self.schema.ty(ty), field),
        };
        match &ty.kind {
            Kind::Scalar(scalar) => scalar_atom(*scalar, value),
            Kind::List(_) => Atom::List(list_kind(field)),
            Kind::Map(_) | Kind::Struct { .. } => {
                let atomic = ty.map_type == MapType::Atomic
                    || field.is_some_and(|field| field.map_type == MapType::Atomic);
                Atom::Map { atomic }
            }
        }
    }

    /// The place of a member of a map, and whether it is a declared field.
    pub(crate) fn member(self, name: &str) -> (Place<'s>, bool) {
        let Nature::Declared(ty, _) = self.nature else { return (self.free_member(), false) };
        match &self.schema.ty(ty).kind {
            Kind::Map(item) => (self.with(Nature::Declared(*item, None)), false),
            Kind::Struct { .. } => match self.schema.ty(ty).field(name) {
                Some(field) => (self.field(field), true),
                None => (self.with(Nature::Atomic), false),
            },
            Kind::Scalar(_) | Kind::List(_) => (self.free_member(), false),
        }
    }

    fn free_member(self) -> Place<'s> {
        match self.nature {
            Nature::Atomic => self,
            Nature::Deduced | Nature::Declared(..) => self.with(Nature::Deduced),
        }
    }

    /// The place of a field.
    pub(crate) fn field(self, field: &'s Field) -> Place<'s> {
        self.with(Nature::Declared(field.ty, Some(field)))
    }

    /// True if a member of this name may stand here.
    pub(crate) fn may_have(self, name: &str) -> bool {
        match self.ty().map(|ty| &ty.kind) {
            Some(Kind::Struct { .. }) => self.member(name).1,
            _ => true,
        }
    }

    /// Fields in the order of their names, where the place is a struct whose
    /// zero values count.
    pub(crate) fn fields_with_zeros(self) -> Option<impl Iterator<Item = &'s Field>> {
        let Kind::Struct { fields, by_name, .. } = &self.ty().filter(|_| self.zeros)?.kind else {
            return None;
        };
        Some(by_name.iter().map(|i| &fields[usize::from(*i)]))
    }

    /// The place of the items of a list.
    pub(crate) fn item(self) -> Place<'s> {
        match self.ty().map(|ty| &ty.kind) {
            Some(Kind::List(item)) => self.with(Nature::Declared(*item, None)),
            _ => self.with(Nature::Atomic),
        }
    }

    /// What identifies an item of the list that stands at this place; the
    /// error says why nothing does.
    pub(crate) fn element_of(self, kind: ListKind, item: &Value) -> Result<PathElement, NoElement<'s>> {
        match kind {
            ListKind::Atomic => Err(NoElement::Text("an atomic list has no items of its own")),
            ListKind::Set => set_element(item).map_err(NoElement::Text),
            ListKind::Keyed => self.keyed_element(item),
        }
    }

    fn keyed_element(self, item: &Value) -> Result<PathElement, NoElement<'s>> {
        const NULL: &str = "associative list with keys may not have a null element";
        const NO_MAP: &str = "associative list with keys may not have non-map elements";
        let map = match item {
            Value::Map(map) => map,
            Value::Null => return Err(NoElement::Text(NULL)),
            _ => return Err(NoElement::Text(NO_MAP)),
        };
        let Nature::Declared(_, Some(field)) = self.nature else { return Err(NoElement::Text(NO_MAP)) };
        let item = self.item();
        let names = match field.list_map_keys.as_ref() {
            [] => std::slice::from_ref(&field.patch_merge_key),
            names => names,
        };
        let known = names.iter().filter_map(|name| {
            let value = item.key_value(map, name)?;
            Some((schema::Key::from(name.clone()), value.into_owned()))
        });
        let mut keys: Vec<_> = known.collect();
        if keys.is_empty() {
            return Err(NoElement::NoKeys(names));
        }
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(PathElement::Key(keys))
    }

    /// The value of a key of an item: what stands there, or its default.
    fn key_value<'v>(self, item: &'v Map, name: &str) -> Option<Cow<'v, Value>> {
        let field = self.ty().and_then(|ty| ty.field(name));
        if let Some(value) = self.present(field, item.get(name)) {
            return Some(Cow::Borrowed(value));
        }
        let default = field?.default.as_ref();
        codec::json::decode_any(default.as_bytes()).ok().filter(|value| !value.is_null()).map(Cow::Owned)
    }

    /// What counts as the value of a member: what stands there, or the zero
    /// value that Go would write.
    pub(crate) fn present<'v>(self, field: Option<&Field>, value: Option<&'v Value>) -> Option<&'v Value> {
        let (true, Some(field)) = (self.zeros, field) else { return value };
        match value.filter(|value| !value.is_null()) {
            Some(value) => Some(value),
            None => zero(self.schema, field),
        }
    }

    /// True if nothing is in a list or a map, and for null.
    pub(crate) fn is_empty(self, value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::List(items) => items.is_empty(),
            Value::Map(map) if map.is_empty() => match self.fields_with_zeros() {
                Some(mut fields) => fields.all(|field| zero(self.schema, field).is_none()),
                None => true,
            },
            _ => false,
        }
    }
}

/// Why an item of an associative list cannot be identified.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoElement<'s> {
    Text(&'static str),
    /// None of these keys stands in it or has a default.
    NoKeys(&'s [Cow<'static, str>]),
}

impl fmt::Display for NoElement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoElement::Text(text) => f.write_str(text),
            NoElement::NoKeys(names) => {
                let names: Vec<String> = names.iter().map(|name| meta::field::quoted(name)).collect();
                let names = names.join(" ");
                write!(
                    f,
                    "associative list with keys has an element that omits all key fields [{names}] (and doesn't have \
                     default values for any key fields)"
                )
            }
        }
    }
}

fn deduced(value: &Value) -> Atom {
    match value {
        Value::Map(_) => Atom::Map { atomic: false },
        _ => Atom::Untyped,
    }
}

fn scalar_atom(scalar: Scalar, value: &Value) -> Atom {
    Atom::Scalar(match scalar {
        Scalar::String => ScalarKind::String,
        Scalar::Int32 | Scalar::Int64 | Scalar::Float64 => ScalarKind::Numeric,
        Scalar::Bool => ScalarKind::Boolean,
        Scalar::Bytes | Scalar::Time | Scalar::MicroTime | Scalar::Quantity | Scalar::IntOrString => {
            ScalarKind::Untyped
        }
        Scalar::Object => return deduced(value),
        Scalar::RawExtension | Scalar::FieldsV1 | Scalar::Json | Scalar::JsonSchemaOr => {
            return Atom::Untyped;
        }
    })
}

fn list_kind(field: Option<&Field>) -> ListKind {
    let Some(field) = field else { return ListKind::Atomic };
    match field.list_type {
        ListType::Atomic => ListKind::Atomic,
        ListType::Set => ListKind::Set,
        ListType::Map => ListKind::Keyed,
        // What strategic merge merges is associative although it does not say so.
        ListType::Unset if field.patch_strategy.merge && field.patch_merge_key.is_empty() => ListKind::Set,
        ListType::Unset if field.patch_strategy.merge => ListKind::Keyed,
        ListType::Unset => ListKind::Atomic,
    }
}

fn set_element(item: &Value) -> Result<PathElement, &'static str> {
    match item {
        Value::Map(_) => Err("associative list without keys has an element that's a map type"),
        Value::List(_) => Err("not supported: associative list with lists as elements"),
        Value::Null => Err("associative list without keys has an element that's an explicit null"),
        scalar => Ok(PathElement::Value(scalar.clone())),
    }
}

/// The value of a field that nobody set, if Go writes one.
fn zero(schema: &Schema, field: &Field) -> Option<&'static Value> {
    static MAP: Value = Value::map();
    static NULL: Value = Value::Null;
    static STRING: Value = Value::String(String::new());
    static INT: Value = Value::Int(0);
    static BOOL: Value = Value::Bool(false);
    static QUANTITY: LazyLock<Value> = LazyLock::new(|| Value::from("0"));
    if field.flags.has(FieldFlags::OMITZERO) {
        return None;
    }
    let always = field.flags.has(FieldFlags::ALWAYS);
    if field.flags.has(FieldFlags::POINTER) {
        return always.then_some(&NULL);
    }
    match &schema.ty(field.ty).kind {
        // `omitempty` does nothing for what is a struct in Go.
        Kind::Struct { .. } => Some(&MAP),
        Kind::List(_) | Kind::Map(_) => always.then_some(&NULL),
        Kind::Scalar(scalar) => match scalar {
            Scalar::Time | Scalar::MicroTime | Scalar::RawExtension | Scalar::FieldsV1 | Scalar::Json => {
                Some(&NULL)
            }
            Scalar::Quantity => Some(&QUANTITY),
            Scalar::IntOrString => Some(&INT),
            Scalar::String => always.then_some(&STRING),
            Scalar::Int32 | Scalar::Int64 | Scalar::Float64 => always.then_some(&INT),
            Scalar::Bool => always.then_some(&BOOL),
            Scalar::Object => always.then_some(&MAP),
            Scalar::Bytes | Scalar::JsonSchemaOr => always.then_some(&NULL),
        },
    }
}
