//! What is made of objects on request: Tables for people, and metadata without
//! the rest (F-NEG-2, F-NEG-3). Everything here is JSON, or a protobuf message
//! without its envelope; `encode` and `stream` put it into an answer.

use std::borrow::Cow;

use bytes::Bytes;
use meta::{ApiError, FieldError, FieldPath, GroupVersionKind, ObjectMeta};
use registry::{Column, PrintContext, ResourceDef, RowCondition, ServedResource};
use schema::Value;

use crate::encode::{self, Item, Known};
use crate::negotiation::{MetaVersion, Output};
use crate::query::Query;
use crate::status::Failure;
use crate::stream::ListMetadata;

/// What stands beside the cells of a row: `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The object's metadata.
    #[default]
    Metadata,
    /// The object.
    Object,
}

impl IncludeObject {
    /// Reads the query.
    pub fn parse(query: &Query) -> Result<IncludeObject, Failure> {
        match query.text("includeObject") {
            "" | "Metadata" => Ok(IncludeObject::Metadata),
            "None" => Ok(IncludeObject::None),
            "Object" => Ok(IncludeObject::Object),
            other => {
                let detail = "must be 'Metadata', 'Object', 'None', or empty";
                let error = FieldError::invalid_str(&FieldPath::root("includeObject"), other, detail);
                Err(Failure::bad_request(format!("Unable to convert to Table as requested: {error}")))
            }
        }
    }
}

/// How the rows of a Table are made.
pub struct TableStyle {
    /// Version of the Table.
    pub version: MetaVersion,
    /// What stands beside the cells.
    pub include: IncludeObject,
    /// Now, for ages.
    pub print: PrintContext,
}

/// Opens a Table up to its rows: `list_metadata` is JSON; without `columns`
/// they are null, as in all but the first event of a watch.
pub fn open(version: MetaVersion, list_metadata: &[u8], columns: Option<&[Column]>, out: &mut Vec<u8>) {
    encode::put_kind(&meta_kind(version, "Table"), version.api_version(), out);
    out.extend_from_slice(b",\"metadata\":");
    out.extend_from_slice(list_metadata);
    out.extend_from_slice(b",\"columnDefinitions\":");
    match columns {
        Some(columns) => put_columns(columns, out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"rows\":");
}

/// Appends one row. What it says of a stored object is made once, but for the ages.
pub fn put_row(
    resource: &ServedResource,
    item: Item<'_>,
    style: &TableStyle,
    out: &mut Vec<u8>,
) -> Result<(), ApiError> {
    out.push(b'{');
    match encode::row(resource, item)? {
        Some(row) => style.print.fill_ages(&row, out),
        None => put_cells(resource, &*encode::stored_tree(resource, item)?, &style.print, out),
    }
    out.extend_from_slice(b",\"object\":");
    match style.include {
        IncludeObject::None => out.extend_from_slice(b"null"),
        IncludeObject::Metadata if style.version == MetaVersion::V1 => {
            out.extend_from_slice(&encode::partial_json(resource, item)?);
        }
        IncludeObject::Metadata => {
            put_partial(&resource.definition, &*encode::stored_tree(resource, item)?, style.version, out);
        }
        IncludeObject::Object => {
            out.extend_from_slice(&encode::object_json(resource, item, &resource.definition.gvk())?);
        }
    }
    out.push(b'}');
    Ok(())
}

/// Appends cells and condition of a row.
pub fn put_cells(resource: &ServedResource, tree: &Value, print: &PrintContext, out: &mut Vec<u8>) {
    let strategy = &resource.definition.strategy;
    out.extend_from_slice(b"\"cells\":");
    codec::json::encode_any(&Value::List(strategy.cells(tree, print)), out);
    if let Some(condition) = strategy.row_condition(tree) {
        put_condition(condition, out);
    }
}

/// A Table of one `Scale`.
pub fn of_scale(scale: Value, gvk: &GroupVersionKind, style: &TableStyle, output: Output) -> Bytes {
    const COLUMNS: [Column; 4] = [
        Column::string("Name"),
        Column::integer("Desired"),
        Column::integer("Available"),
        Column::string("Age"),
    ];
    let revision = ObjectMeta::of(&scale).resource_version().parse().unwrap_or_default();
    let count = |path: &[&str]| Value::Int(scale.int_at(path).unwrap_or_default());
    let cells: Vec<Value> = vec![
        style.print.name(&scale).into(),
        count(&["spec", "replicas"]),
        count(&["status", "replicas"]),
        style.print.age(&scale).into(),
    ];
    let mut out = Vec::with_capacity(1024);
    open(style.version, &ListMetadata::at(revision).json(), Some(&COLUMNS), &mut out);
    out.extend_from_slice(b"[{\"cells\":");
    codec::json::encode_any(&Value::List(cells), &mut out);
    out.extend_from_slice(b",\"object\":");
    match style.include {
        IncludeObject::None => out.extend_from_slice(b"null"),
        IncludeObject::Metadata => {
            encode::put_kind(
                &meta_kind(style.version, "PartialObjectMetadata"),
                style.version.api_version(),
                &mut out,
            );
            out.extend_from_slice(b",\"metadata\":");
            let metadata = scale.get("metadata").cloned().unwrap_or_default();
            codec::json::encode(schema::builtin(), Known::ObjectMeta.ty(), &metadata, &mut out);
            out.push(b'}');
        }
        IncludeObject::Object => {
            encode::put_kind(gvk, &gvk.api_version(), &mut out);
            let mut json = Vec::new();
            codec::json::encode(schema::builtin(), Known::Scale.ty(), &scale, &mut json);
            out.push(b',');
            out.extend_from_slice(&json[1..]);
        }
    }
    out.extend_from_slice(b"}]}");
    encode::finish_json(Bytes::from(out), output)
}

/// True if an empty Table of these columns has `rows: null`: resources without
/// a printer of their own do, those with one have an empty list.
pub fn empty_rows_are_null(columns: &[Column]) -> bool {
    matches!(columns, [name, created] if name.name == "Name" && created.name == "Created At")
}

/// Appends a PartialObjectMetadata of an object.
pub fn put_partial(def: &ResourceDef, tree: &Value, version: MetaVersion, out: &mut Vec<u8>) {
    encode::put_kind(&meta_kind(version, "PartialObjectMetadata"), version.api_version(), out);
    out.extend_from_slice(b",\"metadata\":");
    codec::json::encode(schema::builtin(), Known::ObjectMeta.ty(), &metadata(def, tree), out);
    out.push(b'}');
}

/// The protobuf message of a PartialObjectMetadata.
pub fn partial_protobuf(def: &ResourceDef, tree: &Value) -> Vec<u8> {
    let mut metadata_message = Vec::with_capacity(256);
    let metadata = metadata(def, tree);
    codec::protobuf::encode(schema::builtin(), Known::ObjectMeta.ty(), &metadata, &mut metadata_message);
    let mut out = Vec::with_capacity(metadata_message.len() + 4);
    crate::wire::put_bytes(1, &metadata_message, &mut out);
    out
}

/// A kind of `meta.k8s.io`.
pub fn meta_kind(version: MetaVersion, kind: &'static str) -> GroupVersionKind {
    let version = match version {
        MetaVersion::V1 => "v1",
        MetaVersion::V1beta1 => "v1beta1",
    };
    GroupVersionKind::new("meta.k8s.io", version, kind)
}

/// Metadata as it is shown alone: without the annotations that stand for fields.
fn metadata<'a>(def: &ResourceDef, tree: &'a Value) -> Cow<'a, Value> {
    const EMPTY: &Value = &Value::map();
    let metadata = tree.get("metadata").unwrap_or(EMPTY);
    let annotations = metadata.map_at(&["annotations"]);
    if !annotations.is_some_and(|map| def.field_annotations.iter().any(|key| map.contains_key(key))) {
        return Cow::Borrowed(metadata);
    }
    let mut shown = metadata.clone();
    let left = shown.ensure_map(&["annotations"]);
    left.retain(|key, _| !def.field_annotations.iter().any(|hidden| hidden == key));
    if left.is_empty() {
        shown.remove(&["annotations"]);
    }
    Cow::Owned(shown)
}

fn put_condition(condition: RowCondition, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"conditions\":[{\"type\":");
    encode::json_string(condition.kind, out);
    out.extend_from_slice(b",\"status\":\"True\",\"reason\":");
    encode::json_string(condition.reason, out);
    out.extend_from_slice(b",\"message\":");
    encode::json_string(condition.message, out);
    out.extend_from_slice(b"}]");
}

fn put_columns(columns: &[Column], out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        encode::json_string(&column.name, out);
        out.extend_from_slice(b",\"type\":");
        encode::json_string(column.kind, out);
        out.extend_from_slice(b",\"format\":");
        encode::json_string(column.format, out);
        out.extend_from_slice(b",\"description\":\"\",\"priority\":");
        out.push(if column.wide { b'1' } else { b'0' });
        out.push(b'}');
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_columns_says_null() {
        let mut out = Vec::new();
        open(MetaVersion::V1, b"{}", None, &mut out);
        let expect =
            r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions":null,"rows":"#;
        assert_eq!(String::from_utf8(out).expect("text"), expect);
    }

    #[test]
    fn columns_tell_type_format_and_priority() {
        let mut out = Vec::new();
        put_columns(&[Column::name(), Column::integer("Ready").wide()], &mut out);
        let expect = concat!(
            r#"[{"name":"Name","type":"string","format":"name","description":"","priority":0},"#,
            r#"{"name":"Ready","type":"integer","format":"","description":"","priority":1}]"#
        );
        assert_eq!(String::from_utf8(out).expect("text"), expect);
    }

    #[test]
    fn include_object_takes_three_words() {
        assert_eq!(IncludeObject::parse(&Query::parse("includeObject=")).ok(), Some(IncludeObject::Metadata));
        assert_eq!(IncludeObject::parse(&Query::parse("includeObject=None")).ok(), Some(IncludeObject::None));
        assert!(IncludeObject::parse(&Query::parse("includeObject=none")).is_err());
    }
}
