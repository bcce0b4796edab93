//! What the schema table says about how a field is patched.

use schema::{Kind, Scalar, Schema, TypeId};

use crate::PatchError;

/// A type, seen as the place a patch has reached.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    schema: &'a Schema,
    ty: TypeId,
}

/// `patchStrategy` of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// None given: objects merge, lists are replaced.
    Unset,
    /// `merge`
    Merge,
    /// `replace`
    Replace,
}

impl<'a> Node<'a> {
    pub(super) fn new(schema: &'a Schema, ty: TypeId) -> Node<'a> {
        Node { schema, ty }
    }

    /// A field and how it is patched. Fails on what is no struct or has no such field.
    pub(super) fn field(self, key: &str) -> Result<(Node<'a>, Strategy), PatchError> {
        let field = self.find(key)?;
        Ok((Node::new(self.schema, field.ty), strategy(field)))
    }

    /// The items of a list field, how it is patched, and its merge key (empty if none).
    pub(super) fn list(self, key: &str) -> Result<(Node<'a>, Strategy, &'a str), PatchError> {
        let field = self.find(key)?;
        let kind = self.schema.ty(field.ty);
        let Kind::List(item) = kind.kind else {
            let text = format!("expected slice or array type, but got: {}", go_kind(&kind.kind));
            return Err(PatchError::Strategic(text));
        };
        if matches!(self.schema.ty(item).kind, Kind::List(_)) {
            return Err(PatchError::Strategic("unexpected slice of slice".to_owned()));
        }
        Ok((Node::new(self.schema, item), strategy(field), &field.patch_merge_key))
    }

    /// `struct`, `map`, `slice`, `string`, ... as Go names the kind of the type.
    pub(super) fn go_kind(self) -> &'static str {
        go_kind(&self.schema.ty(self.ty).kind)
    }

    fn find(self, key: &str) -> Result<&'a schema::Field, PatchError> {
        let ty = self.schema.ty(self.ty);
        if self.go_kind() != "struct" {
            let text = format!(
                "merging an object in json but data type is not struct, instead is: {}",
                self.go_kind()
            );
            return Err(PatchError::Strategic(text));
        }
        ty.field(key).ok_or_else(|| {
            let name = go_name(ty);
            PatchError::Strategic(format!(
                "unable to find api field in struct {name} for the json field {key:?}"
            ))
        })
    }
}

fn strategy(field: &schema::Field) -> Strategy {
    match field.patch_strategy {
        schema::PatchStrategy { merge: true, .. } => Strategy::Merge,
        schema::PatchStrategy { replace: true, .. } => Strategy::Replace,
        _ => Strategy::Unset,
    }
}

fn go_name(ty: &schema::Type) -> &str {
    match ty.kind {
        Kind::Scalar(Scalar::RawExtension) => "RawExtension",
        Kind::Scalar(Scalar::FieldsV1) => "FieldsV1",
        Kind::Scalar(Scalar::Json) => "JSON",
        _ => ty.short_name(),
    }
}

/// Go's name of a type's kind.
pub(super) fn go_kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::List(_) | Kind::Scalar(Scalar::Bytes) => "slice",
        Kind::Map(_) => "map",
        Kind::Struct { .. } => "struct",
        Kind::Scalar(scalar) => match scalar {
            Scalar::String => "string",
            Scalar::Int32 => "int32",
            Scalar::Int64 => "int64",
            Scalar::Float64 => "float64",
            Scalar::Bool => "bool",
            Scalar::Bytes => "slice",
            Scalar::Time
            | Scalar::MicroTime
            | Scalar::Quantity
            | Scalar::IntOrString
            | Scalar::RawExtension
            | Scalar::FieldsV1
            | Scalar::Json
            | Scalar::JsonSchemaOr
            | Scalar::Object => "struct",
        },
    }
}
