//! The table: what is known about every type.
//!
//! One structure for the built-in types (statics, borrowed) and for the schema
//! of a custom resource (made at run time, owned). Types refer to each other
//! by [`TypeId`], an index into their own [`Schema`].

use std::borrow::Cow;
use std::collections::HashMap;

/// Index of a [`Type`] in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// A closed set of types.
#[derive(Debug)]
pub struct Schema {
    /// All types; a [`TypeId`] is an index here.
    pub types: Cow<'static, [Type]>,
    /// Served kinds, sorted by (group, version, kind).
    pub kinds: Cow<'static, [(GroupVersionKindRef, TypeId)]>,
}

/// A kind's full name as the table holds it.
pub type GroupVersionKindRef = (Cow<'static, str>, Cow<'static, str>, Cow<'static, str>);

/// One type.
#[derive(Clone, Debug)]
pub struct Type {
    /// OpenAPI name, e.g. `io.k8s.api.apps.v1.Deployment`; empty for lists and maps.
    pub name: Cow<'static, str>,
    /// Protobuf message name, e.g. `k8s.io.api.apps.v1.Deployment`; empty if it has none.
    pub message: Cow<'static, str>,
    /// What it is made of.
    pub kind: Kind,
    /// A struct or map that is owned as a whole by one field manager (`x-kubernetes-map-type: atomic`).
    pub map_type: MapType,
    /// True if a field of it, or anything below, has a default that is not the
    /// zero value. Only such values are walked when defaults are filled in.
    pub has_defaults: bool,
}

/// What a type is made of.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A leaf.
    Scalar(Scalar),
    /// A list of one type.
    List(TypeId),
    /// A map from string to one type.
    Map(TypeId),
    /// Named fields, in the order JSON output has them.
    Struct {
        /// Fields in the order of JSON output.
        fields: Cow<'static, [Field]>,
        /// Indices into `fields`, sorted by field name.
        by_name: Cow<'static, [u16]>,
        /// Protobuf layout in order of field number.
        wire: Cow<'static, [WireNode]>,
    },
}

/// Leaves, with the JSON and protobuf form each has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// UTF-8 text.
    String,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// Double.
    Float64,
    /// Boolean.
    Bool,
    /// Base64 in JSON, raw on the wire.
    Bytes,
    /// RFC 3339 in seconds (`metav1.Time`).
    Time,
    /// RFC 3339 with six digits of fraction (`metav1.MicroTime`).
    MicroTime,
    /// `resource.Quantity`, canonical string.
    Quantity,
    /// `intstr.IntOrString`.
    IntOrString,
    /// `runtime.RawExtension`: any JSON object, kept as it came.
    RawExtension,
    /// `metav1.FieldsV1`: JSON text of a field set.
    FieldsV1,
    /// `apiextensions JSON`: any JSON.
    Json,
    /// `JSONSchemaPropsOrArray`, `...OrBool`, `...OrStringArray`: any JSON, wire forms by name.
    JsonSchemaOr,
    /// Free-form object without fields of its own (`x-kubernetes-preserve-unknown-fields`, empty structs).
    Object,
}

macro_rules! bitfield {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $flag:ident = $bit:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(pub u8);
        impl $name {
            $($(#[$fdoc])* pub const $flag: $name = $name($bit);)*
            /// True if all of `other` is set.
            pub const fn has(self, other: $name) -> bool { self.0 & other.0 == other.0 }
        }
    };
}
bitfield! {
    /// What the Go declaration of a field says.
    FieldFlags {
        /// Written even when zero (no `omitempty`).
        ALWAYS = 1,
        /// A pointer: absent differs from zero.
        POINTER = 2,
        /// `omitzero`: left out when zero, although not a pointer.
        OMITZERO = 4,
        /// Required by the OpenAPI schema.
        REQUIRED = 8,
    }
}

/// One field of a struct.
#[derive(Clone, Debug)]
pub struct Field {
    /// JSON name.
    pub name: Cow<'static, str>,
    /// Its type.
    pub ty: TypeId,
    /// Presence rules.
    pub flags: FieldFlags,
    /// Default as JSON text, e.g. `"TCP"`; empty if none.
    pub default: Cow<'static, str>,
    /// How a list merges.
    pub list_type: ListType,
    /// Keys of a `map` list.
    pub list_map_keys: Cow<'static, [Cow<'static, str>]>,
    /// How a map or struct merges in server-side apply.
    pub map_type: MapType,
    /// Strategic merge: how patched.
    pub patch_strategy: PatchStrategy,
    /// Strategic merge: key of list items; empty if none.
    pub patch_merge_key: Cow<'static, str>,
}

/// Protobuf layout of a struct: fields whose parent JSON inlines are found
/// one message further down on the wire.
#[derive(Clone, Debug)]
pub enum WireNode {
    /// Field `index` of the struct has this protobuf number.
    Field {
        /// Protobuf field number.
        number: u32,
        /// Index into the struct's fields.
        index: u16,
    },
    /// An inlined struct: a message of its own on the wire, its fields stand in the parent in JSON.
    Inline {
        /// Protobuf field number of the message.
        number: u32,
        /// True if the embedded struct is a pointer: absent when none of its fields is set.
        pointer: bool,
        /// Its layout; indices are into the parent's fields.
        nodes: Cow<'static, [WireNode]>,
    },
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Not declared: atomic for server-side apply.
    #[default]
    Unset,
    /// Replaced as a whole.
    Atomic,
    /// Distinct scalars.
    Set,
    /// Items identified by keys.
    Map,
}

/// `x-kubernetes-map-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapType {
    /// Not declared: granular.
    #[default]
    Unset,
    /// Replaced as a whole.
    Atomic,
    /// Merged by key.
    Granular,
}

/// `x-kubernetes-patch-strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// `merge`: lists merge by key or as sets, instead of being replaced.
    pub merge: bool,
    /// `retainKeys`: fields not named by `$retainKeys` are dropped.
    pub retain_keys: bool,
    /// `replace`, said explicitly.
    pub replace: bool,
}

impl Schema {
    /// The type behind an id.
    pub fn ty(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    /// The type of a served kind.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<TypeId> {
        self.kinds
            .binary_search_by(|((g, v, k), _)| {
                (g.as_ref(), v.as_ref(), k.as_ref()).cmp(&(group, version, kind))
            })
            .ok()
            .map(|i| self.kinds[i].1)
    }

    /// The type with an OpenAPI name. Linear: for start-up and tests.
    pub fn named(&self, name: &str) -> Option<TypeId> {
        self.types.iter().position(|ty| ty.name == name).map(|i| TypeId(i as u32))
    }

    /// OpenAPI names of all named types. For start-up and tests.
    pub fn names(&self) -> HashMap<&str, TypeId> {
        (0u32..)
            .zip(self.types.iter())
            .filter(|(_, ty)| !ty.name.is_empty())
            .map(|(i, ty)| (ty.name.as_ref(), TypeId(i)))
            .collect()
    }
}

impl Type {
    /// The last part of the OpenAPI name, e.g. `Deployment`.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// Fields of a struct in JSON order; empty for anything else.
    pub fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Struct { fields, .. } => fields,
            _ => &[],
        }
    }

    /// The field with a JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.field_index(name).map(|i| &self.fields()[i])
    }

    /// Index of the field with a JSON name.
    pub fn field_index(&self, name: &str) -> Option<usize> {
        let Kind::Struct { fields, by_name, .. } = &self.kind else { return None };
        by_name
            .binary_search_by(|&i| fields[i as usize].name.as_ref().cmp(name))
            .ok()
            .map(|i| by_name[i] as usize)
    }
}
