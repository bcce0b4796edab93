//! Objects as bytes, in the version served and the form negotiated.
//!
//! The encoding of a stored object is made once per served version and media
//! type and kept beside the object (D2): JSON without kind and apiVersion, as
//! it stands in lists. Protobuf messages are mostly those stored (`splice`).
//! Single objects and events are spliced from them. Transformations are the business of `table`.

use std::borrow::Cow;

use bytes::Bytes;
use meta::{ApiError, GroupVersionKind};
use registry::{Outcome, PrintContext, SchemaRef, ServedResource};
use schema::{Schema, TypeId, Value};
use storage::Object;

use crate::negotiation::{MediaType, MetaVersion, Output};
use crate::splice::Spliced;
use crate::table;

/// Types of the API itself, in the built-in table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// `meta/v1 Status`
    Status,
    /// `autoscaling/v1 Scale`
    Scale,
    /// `meta/v1 ObjectMeta`
    ObjectMeta,
    /// `meta/v1 DeleteOptions`
    DeleteOptions,
}

impl Known {
    /// Its type in the built-in table.
    pub fn ty(self) -> TypeId {
        let schema = schema::builtin();
        let found = match self {
            Known::Status => schema.kind("", "v1", "Status"),
            Known::Scale => schema.kind("autoscaling", "v1", "Scale"),
            Known::ObjectMeta => {
                let scale = schema.ty(Known::Scale.ty());
                scale.field("metadata").map(|field| field.ty)
            }
            Known::DeleteOptions => schema.named("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
        };
        found.expect(
            "the built-in table holds the types of the API itself (test: known_types_stand_in_the_table)",
        )
    }
}

/// An object on its way out: stored, or a tree in the stored version.
#[derive(Clone, Copy)]
pub enum Item<'a> {
    /// Shared, with its encodings.
    Stored(&'a Object),
    /// Made for this answer alone.
    Tree(&'a Value),
}

impl<'a> From<&'a Outcome> for Item<'a> {
    fn from(outcome: &'a Outcome) -> Item<'a> {
        match outcome {
            Outcome::Stored(object) => Item::Stored(object),
            Outcome::Tree(tree) => Item::Tree(tree),
        }
    }
}

/// True for objects whose types were made at run time: they are written with
/// kind and apiVersion everywhere, keys sorted, and have no protobuf form.
pub fn is_custom(resource: &ServedResource) -> bool {
    matches!(resource.schema, SchemaRef::Shared(_))
}

/// Media types a resource can be written in.
pub fn media_types(resource: &ServedResource) -> &'static [MediaType] {
    if is_custom(resource) { crate::negotiation::CUSTOM_MEDIA_TYPES } else { crate::negotiation::MEDIA_TYPES }
}

/// The whole object, as an answer.
pub fn object(resource: &ServedResource, item: Item<'_>, output: Output) -> Result<Bytes, ApiError> {
    let gvk = resource.definition.gvk();
    match output.media_type {
        MediaType::Json | MediaType::Yaml => Ok(finish_json(object_json(resource, item, &gvk)?, output)),
        MediaType::Protobuf => Ok(envelope(&gvk, &item_protobuf(resource, item)?.into_bytes())),
    }
}

/// JSON of the whole object with kind and apiVersion.
pub fn object_json(
    resource: &ServedResource,
    item: Item<'_>,
    gvk: &GroupVersionKind,
) -> Result<Bytes, ApiError> {
    let body = item_json(resource, item)?;
    if is_custom(resource) { Ok(body) } else { Ok(with_kind(gvk, &body)) }
}

/// JSON of the object as it stands in a list; made once per stored object.
pub fn item_json(resource: &ServedResource, item: Item<'_>) -> Result<Bytes, ApiError> {
    cached(resource, item, Form::Json, |tree| {
        let mut out = Vec::with_capacity(1024);
        if is_custom(resource) {
            codec::json::encode_any(&named(resource, tree), &mut out);
        } else {
            codec::json::encode(&resource.schema, resource.ty, &nameless(tree), &mut out);
        }
        out
    })
}

/// The protobuf message of an object.
pub enum Message<'a> {
    /// In one piece.
    Whole(Bytes),
    /// To be put together of stored bytes.
    Spliced(Spliced<'a>),
}

impl Message<'_> {
    /// Its size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Message::Whole(bytes) => bytes.len(),
            Message::Spliced(spliced) => spliced.len(),
        }
    }

    /// Appends it.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Message::Whole(bytes) => out.extend_from_slice(bytes),
            Message::Spliced(spliced) => spliced.put(out),
        }
    }

    /// It in one piece.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Message::Whole(bytes) => bytes,
            Message::Spliced(spliced) => {
                let mut out = Vec::with_capacity(spliced.len());
                spliced.put(&mut out);
                Bytes::from(out)
            }
        }
    }
}

/// The protobuf message of the object. For a stored object it is made once; if it turns out to be the
/// stored bytes with the resourceVersion set in, only that is remembered.
pub fn item_protobuf<'a>(resource: &ServedResource, item: Item<'a>) -> Result<Message<'a>, ApiError> {
    let spliced = match item {
        Item::Stored(object) => Spliced::new(&object.data, object.revision),
        Item::Tree(_) => None,
    };
    let made = cached(resource, item, Form::Protobuf, |tree| {
        let mut out = Vec::with_capacity(1024);
        codec::protobuf::encode(&resource.schema, resource.ty, &tree, &mut out);
        if spliced.as_ref().is_some_and(|spliced| spliced.makes(&out)) {
            // No object has an empty message: this stands for the splice.
            out.clear();
        }
        out
    })?;
    match spliced {
        Some(spliced) if made.is_empty() => Ok(Message::Spliced(spliced)),
        _ => Ok(Message::Whole(made)),
    }
}

/// JSON of the object's metadata alone, kind and apiVersion `meta.k8s.io/v1`; made once per stored object.
pub fn partial_json(resource: &ServedResource, item: Item<'_>) -> Result<Bytes, ApiError> {
    cached_stored(resource, item, Form::PartialJson, |tree| {
        let mut out = Vec::with_capacity(512);
        table::put_partial(&resource.definition, tree, MetaVersion::V1, &mut out);
        out
    })
}

/// The message of the object's metadata alone; made once per stored object.
pub fn partial_protobuf(resource: &ServedResource, item: Item<'_>) -> Result<Bytes, ApiError> {
    cached_stored(resource, item, Form::PartialProtobuf, |tree| {
        table::partial_protobuf(&resource.definition, tree)
    })
}

/// Cells and condition of the object's row, with open ages; made once per
/// stored object. None if the row has to be made anew every time.
pub fn row(resource: &ServedResource, item: Item<'_>) -> Result<Option<Bytes>, ApiError> {
    let Item::Stored(object) = item else { return Ok(None) };
    let row = cached_stored(resource, item, Form::Row, |tree| {
        let mut out = Vec::new();
        // Text that looks like an open age must not be taken for one.
        if !PrintContext::holds_mark(&object.data) {
            table::put_cells(resource, tree, &PrintContext::OPEN, &mut out);
        }
        out
    })?;
    Ok(Some(row).filter(|row| !row.is_empty()))
}

/// The object as a tree in the version served, with kind and apiVersion.
pub fn tree(resource: &ServedResource, item: Item<'_>) -> Result<Value, ApiError> {
    Ok(named(resource, served(resource, stored_tree(resource, item)?.into_owned())?))
}

/// The object as a tree in the version stored.
pub fn stored_tree<'a>(resource: &ServedResource, item: Item<'a>) -> Result<Cow<'a, Value>, ApiError> {
    match (item, &resource.store) {
        (Item::Tree(tree), _) => Ok(Cow::Borrowed(tree)),
        (Item::Stored(object), Some(store)) => store.decode(object).map(Cow::Owned),
        (Item::Stored(_), None) => {
            Err(ApiError::Internal("a virtual resource has no stored objects".to_owned()))
        }
    }
}

/// From the version stored to the version served.
pub fn served(resource: &ServedResource, tree: Value) -> Result<Value, ApiError> {
    match resource.definition.storage().and_then(|storage| storage.conversion.as_ref()) {
        Some(conversion) => conversion.from_stored(tree),
        None => Ok(tree),
    }
}

/// A tree of one of the API's own types, as an answer. Kind and apiVersion are
/// written whether the tree has them or not.
pub fn known(known: Known, gvk: &GroupVersionKind, mut tree: Value, output: Output) -> Bytes {
    set_kind(&mut tree, gvk);
    typed(schema::builtin(), known.ty(), gvk, tree, output)
}

/// A tree of any type of a table, as an answer.
pub fn typed(schema: &Schema, ty: TypeId, gvk: &GroupVersionKind, tree: Value, output: Output) -> Bytes {
    if output.media_type == MediaType::Protobuf {
        let mut message = Vec::new();
        codec::protobuf::encode(schema, ty, &tree, &mut message);
        return envelope(gvk, &message);
    }
    let mut json = Vec::with_capacity(512);
    codec::json::encode(schema, ty, &nameless(tree), &mut json);
    finish_json(with_kind(gvk, &json), output)
}

/// JSON in the form asked for: on one line with its end, indented, or as YAML.
pub fn finish_json(json: Bytes, output: Output) -> Bytes {
    match (output.media_type, output.pretty) {
        (MediaType::Json | MediaType::Protobuf, false) => {
            let mut line = Vec::from(json);
            line.push(b'\n');
            Bytes::from(line)
        }
        (MediaType::Json | MediaType::Protobuf, true) => {
            let mut out = Vec::with_capacity(json.len() * 2);
            codec::json::pretty(&json, &mut out);
            Bytes::from(out)
        }
        (MediaType::Yaml, _) => match codec::json::decode_any(&json) {
            Ok(tree) => Bytes::from(codec::yaml::encode_any(&tree)),
            Err(error) => {
                tracing::error!(%error, "own JSON cannot be read");
                json
            }
        },
    }
}

/// A message in the envelope that says its kind.
pub fn envelope(gvk: &GroupVersionKind, message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 64);
    codec::protobuf::envelope::wrap(&gvk.api_version(), &gvk.kind, message, &mut out);
    Bytes::from(out)
}

/// JSON text of a string.
pub fn json_string(text: &str, out: &mut Vec<u8>) {
    codec::json::encode_any(&Value::from(text), out);
}

/// Sets kind and apiVersion.
pub fn set_kind(tree: &mut Value, gvk: &GroupVersionKind) {
    tree.set(&["apiVersion"], gvk.api_version());
    tree.set(&["kind"], gvk.kind.as_ref());
}

/// Forms kept beside an object.
#[derive(Clone, Copy)]
enum Form {
    Json = 0,
    Protobuf = 1,
    /// Metadata alone (v1), as JSON.
    PartialJson = 2,
    /// Metadata alone, as a message.
    PartialProtobuf = 3,
    /// What a row says beside the object, as JSON with open ages.
    Row = 4,
}

/// The tag under which a form is kept. Types of the versions of one resource
/// must differ, as they do in the built-in table, or they would share encodings.
fn tag(resource: &ServedResource, form: Form) -> u32 {
    resource.ty.0 << 3 | form as u32
}

fn cached(
    resource: &ServedResource,
    item: Item<'_>,
    form: Form,
    make: impl FnOnce(Value) -> Vec<u8>,
) -> Result<Bytes, ApiError> {
    let encode = || {
        let tree = served(resource, stored_tree(resource, item)?.into_owned())?;
        Ok(exact(make(tree)))
    };
    match item {
        Item::Stored(object) => object.encodings.get_or_make(tag(resource, form), encode),
        Item::Tree(_) => encode(),
    }
}

/// As [`cached`], for forms made of the object as it is stored.
fn cached_stored(
    resource: &ServedResource,
    item: Item<'_>,
    form: Form,
    make: impl FnOnce(&Value) -> Vec<u8>,
) -> Result<Bytes, ApiError> {
    let encode = || Ok(exact(make(&*stored_tree(resource, item)?)));
    match item {
        Item::Stored(object) => object.encodings.get_or_make(tag(resource, form), encode),
        Item::Tree(_) => encode(),
    }
}

/// Bytes without spare room: they are kept as long as the object. Copied, because allocators
/// are content to shrink a buffer in place and leave up to half of it unused.
fn exact(made: Vec<u8>) -> Bytes {
    Bytes::copy_from_slice(&made)
}

fn named(resource: &ServedResource, mut tree: Value) -> Value {
    set_kind(&mut tree, &resource.definition.gvk());
    tree
}

fn nameless(mut tree: Value) -> Value {
    tree.remove(&["kind"]);
    tree.remove(&["apiVersion"]);
    tree
}

/// Puts kind and apiVersion in front of a JSON object that has neither.
fn with_kind(gvk: &GroupVersionKind, body: &[u8]) -> Bytes {
    let api_version = gvk.api_version();
    let mut out = Vec::with_capacity(body.len() + gvk.kind.len() + api_version.len() + 33);
    put_kind(gvk, &api_version, &mut out);
    if body.len() > 2 {
        out.extend_from_slice(b",");
    }
    out.extend_from_slice(&body[1..]);
    Bytes::from(out)
}

/// Opens an object with kind and apiVersion.
pub fn put_kind(gvk: &GroupVersionKind, api_version: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"kind\":");
    json_string(&gvk.kind, out);
    out.extend_from_slice(b",\"apiVersion\":");
    json_string(api_version, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types_stand_in_the_table() {
        for known in [Known::Status, Known::Scale, Known::ObjectMeta, Known::DeleteOptions] {
            assert!(!schema::builtin().ty(known.ty()).fields().is_empty(), "{known:?}");
        }
    }

    #[test]
    fn kind_and_api_version_come_first() {
        let gvk = GroupVersionKind::new("apps", "v1", "Deployment");
        assert_eq!(with_kind(&gvk, b"{\"a\":1}"), r#"{"kind":"Deployment","apiVersion":"apps/v1","a":1}"#);
        assert_eq!(with_kind(&gvk, b"{}"), r#"{"kind":"Deployment","apiVersion":"apps/v1"}"#);
    }
}
