//! A type made at run time: the same code, no zero values, and free-form parts
//! that are deduced.

use std::borrow::Cow;

use patch::apply::{Typed, compare, merge, owned_fields, remove, validate};
use schema::{
    Field, FieldFlags, Kind, ListType, MapType, PatchStrategy, Scalar, Schema, Type, TypeId, Value,
};

use crate::harness::json;

fn ty(kind: Kind) -> Type {
    Type {
        name: Cow::Borrowed(""),
        message: Cow::Borrowed(""),
        kind,
        map_type: MapType::Unset,
        has_defaults: false,
    }
}

fn field(
    name: &'static str,
    ty: u32,
    list_type: ListType,
    keys: &[&'static str],
    default: &'static str,
) -> Field {
    Field {
        name: Cow::Borrowed(name),
        ty: TypeId(ty),
        flags: FieldFlags(0),
        default: Cow::Borrowed(default),
        list_type,
        list_map_keys: keys.iter().map(|key| Cow::Borrowed(*key)).collect::<Vec<_>>().into(),
        map_type: MapType::Unset,
        patch_strategy: PatchStrategy::default(),
        patch_merge_key: Cow::Borrowed(""),
    }
}

fn structure(fields: Vec<Field>) -> Type {
    let mut by_name: Vec<u16> = (0u16..).take(fields.len()).collect();
    by_name.sort_by(|a, b| fields[usize::from(*a)].name.cmp(&fields[usize::from(*b)].name));
    ty(Kind::Struct { fields: fields.into(), by_name: by_name.into(), wire: Vec::new().into() })
}

/// `{free: any object, set: [string], items: [{name, port = 80, val}]}`
fn widget() -> Schema {
    let unset = ListType::Unset;
    let types = vec![
        structure(vec![
            field("free", 1, unset, &[], ""),
            field("set", 3, ListType::Set, &[], ""),
            field("items", 5, ListType::Map, &["port", "name"], ""),
        ]),
        ty(Kind::Scalar(Scalar::Object)),
        ty(Kind::Scalar(Scalar::String)),
        ty(Kind::List(TypeId(2))),
        structure(vec![
            field("name", 2, unset, &[], ""),
            field("port", 6, unset, &[], "80"),
            field("val", 2, unset, &[], ""),
        ]),
        ty(Kind::List(TypeId(4))),
        ty(Kind::Scalar(Scalar::Int64)),
    ];
    Schema { types: types.into(), kinds: Vec::new().into() }
}

fn typed(schema: &Schema) -> Typed<'_> {
    Typed { schema, ty: TypeId(0), zeros: false }
}

#[test]
fn free_form_objects_merge_by_key_and_their_lists_are_atomic() {
    let schema = widget();
    let merged = merge(
        typed(&schema),
        &json(r#"{"free":{"a":{"x":1},"list":[1,2]}}"#),
        &json(r#"{"free":{"a":{"y":2},"list":[3]}}"#),
    );
    assert_eq!(merged, json(r#"{"free":{"a":{"x":1,"y":2},"list":[3]}}"#));
    let owned = owned_fields(typed(&schema), &json(r#"{"free":{"a":{"y":2},"list":[3]}}"#));
    assert_eq!(owned.to_fields_v1(), r#"{"f:free":{"f:a":{".":{},"f:y":{}},"f:list":{}}}"#);
}

#[test]
fn items_are_found_by_all_their_keys_with_defaults() {
    let schema = widget();
    let live = json(r#"{"items":[{"name":"x","port":80,"val":"1"},{"name":"x","port":81,"val":"2"}]}"#);
    let merged = merge(typed(&schema), &live, &json(r#"{"items":[{"name":"x","val":"3"}]}"#));
    let values = |object: &Value| -> Vec<String> {
        object
            .list_at(&["items"])
            .iter()
            .map(|item| item.str_at(&["val"]).unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(values(&merged), ["3", "2"]);
    let comparison = compare(typed(&schema), &live, &merged);
    assert_eq!(
        comparison.modified.to_fields_v1(),
        r#"{"f:items":{"k:{\"name\":\"x\",\"port\":80}":{"f:val":{}}}}"#
    );
    let gone = owned_fields(typed(&schema), &json(r#"{"items":[{"name":"x","val":"3"}]}"#));
    assert_eq!(values(&remove(typed(&schema), &merged, &gone)), ["2"]);
}

#[test]
fn repeated_and_nameless_items_are_refused() {
    let schema = widget();
    let fault = |text: &str| validate(typed(&schema), &json(text)).expect_err(text);
    assert_eq!(
        fault(r#"{"items":[{"name":"q"},{"name":"q"}]}"#),
        r#".items: duplicate entries for key [name="q",port=80]"#
    );
    assert_eq!(fault(r#"{"set":["z","z"]}"#), r#".set: duplicate entries for key [="z"]"#);
    assert_eq!(fault(r#"{"nope":1}"#), ".nope: field not declared in schema");
    assert!(fault(r#"{"items":[null]}"#).starts_with(".items: element 0: "));
    assert_eq!(validate(typed(&schema), &json(r#"{"items":[{"val":"q"}],"free":{"any":[1]}}"#)), Ok(()));
}

#[test]
fn a_list_that_repeats_itself_already_is_compared_as_it_is() {
    let schema = widget();
    let twice = json(r#"{"set":["a","a","b"]}"#);
    assert!(compare(typed(&schema), &twice, &twice).is_empty());
    let comparison = compare(typed(&schema), &twice, &json(r#"{"set":["b","c"]}"#));
    assert_eq!(comparison.removed.to_fields_v1(), r#"{"f:set":{"v:\"a\"":{}}}"#);
    assert_eq!(comparison.added.to_fields_v1(), r#"{"f:set":{"v:\"c\"":{}}}"#);
}
