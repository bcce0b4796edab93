//! The built-in table, made by `build.rs` from `facts/`.
//!
//! Owns the short constructors the generated source is written with, and
//! nothing that is not generated.

use crate::{
    Field, FieldFlags, GroupVersionKindRef, Kind, ListType, MapType, PatchStrategy, Scalar, Schema, Type,
    TypeId, WireNode,
};
use std::borrow::Cow;

/// The table of built-in types.
pub fn builtin() -> &'static Schema {
    &BUILTIN
}

static BUILTIN: Schema = Schema { types: Cow::Borrowed(&TYPES), kinds: Cow::Borrowed(&KINDS) };

const fn ty(
    name: &'static str,
    message: &'static str,
    kind: Kind,
    map_type: MapType,
    has_defaults: bool,
) -> Type {
    Type { name: Cow::Borrowed(name), message: Cow::Borrowed(message), kind, map_type, has_defaults }
}

#[allow(clippy::too_many_arguments, reason = "called by generated source only, one line per field")]
const fn field(
    name: &'static str,
    ty: u32,
    flags: u8,
    default: &'static str,
    list_type: ListType,
    list_map_keys: &'static [Cow<'static, str>],
    map_type: MapType,
    [merge, retain_keys, replace]: [bool; 3],
    patch_merge_key: &'static str,
) -> Field {
    Field {
        name: Cow::Borrowed(name),
        ty: TypeId(ty),
        flags: FieldFlags(flags),
        default: Cow::Borrowed(default),
        list_type,
        list_map_keys: Cow::Borrowed(list_map_keys),
        map_type,
        patch_strategy: PatchStrategy { merge, retain_keys, replace },
        patch_merge_key: Cow::Borrowed(patch_merge_key),
    }
}

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inlined_structs_are_messages_of_their_own_on_the_wire() {
        let schema = builtin();
        let id = schema
            .named("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations")
            .expect("in the facts");
        let Kind::Struct { fields, wire, .. } = &schema.ty(id).kind else { panic!("a struct") };
        let [WireNode::Field { number: 1, .. }, WireNode::Inline { number: 2, nodes: outer, .. }] =
            wire.as_ref()
        else {
            panic!("{wire:?}")
        };
        let [WireNode::Field { number: 1, index }, WireNode::Inline { number: 2, nodes: rule, .. }] =
            outer.as_ref()
        else {
            panic!("{outer:?}")
        };
        assert_eq!(fields[*index as usize].name, "operations");
        assert_eq!(rule.len(), 4, "apiGroups, apiVersions, resources, scope");
    }

    #[test]
    fn served_kinds_are_found_by_name() {
        let schema = builtin();
        let deployment = schema.kind("apps", "v1", "Deployment").expect("served");
        assert_eq!(schema.ty(deployment).name, "io.k8s.api.apps.v1.Deployment");
        let spec = schema.ty(deployment).field("spec").expect("a field");
        let replicas = schema.ty(spec.ty).field("replicas").expect("a field");
        assert!(replicas.flags.has(FieldFlags::POINTER));
        assert!(schema.kinds.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn fields_are_found_by_name_in_every_type() {
        for ty in builtin().types.iter() {
            for (i, field) in ty.fields().iter().enumerate() {
                assert_eq!(ty.field_index(&field.name), Some(i), "{} {}", ty.name, field.name);
            }
        }
    }
}
