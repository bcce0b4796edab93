//! The fuzz targets without a fuzzer: examples of each kind of patch, mutated
//! at random. What they check stands in `fuzz/src/lib.rs`.

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use proptest::prelude::*;

const JSON_PATCHES: &[&str] = &[
    r#"[{"op":"add","path":"/metadata/labels/x","value":"y"},{"op":"remove","path":"/spec/replicas"}]"#,
    r#"[{"op":"copy","from":"/spec","path":"/metadata/annotations"},{"op":"move","from":"/spec/template","path":"/spec/template/spec/volumes/-"}]"#,
    r#"[{"op":"test","path":"/metadata/labels/b~1c","value":"2"},{"op":"replace","path":"/spec/template/spec/containers/-1","value":{"name":"z"}}]"#,
    r#"[{"op":"add","path":"/spec/template/spec/containers/0/args/1","value":null},{"op":"replace","path":"","value":{}}]"#,
];

const MERGE_PATCHES: &[&str] = &[
    r#"{"metadata":{"labels":{"a":null,"z":"1"}},"spec":{"replicas":3,"template":{"spec":{"containers":[{"name":"x","env":null}]}}}}"#,
    r#"{"spec":{"template":null,"selector":{"matchLabels":[1,{"a":null}]}},"metadata":"x"}"#,
];

const STRATEGIC_PATCHES: &[&str] = &[
    r#"{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"s"},{"name":"c"}],"containers":[{"name":"c","image":"k","$retainKeys":["name","image"]},{"name":"s","$patch":"delete"}]}}}}"#,
    r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["e.com/x"],"finalizers":["e.com/z"],"labels":{"$patch":"replace","q":"1"}}}"#,
    r#"{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"},"template":{"spec":{"volumes":[{"$patch":"replace"},{"name":"w","hostPath":{"path":"/"}}]}}}}"#,
    r#"{"spec":{"ports":[{"port":80,"name":"x"},{"port":81,"$patch":"delete"}]},"data":{"a":"b"}}"#,
];

const CONFIGURATIONS: &[&str] = &[
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, labels: {a: '1', q: &x z}, finalizers: [e.com/x]}\nspec:\n  replicas: 3\n  template:\n    spec:\n      containers:\n      - {name: c, image: *x, args: [a], env: [{name: A, value: '2'}], ports: [{containerPort: 80}]}\n",
    r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"template":{"spec":{"containers":[{"name":"n","resources":{"limits":{"cpu":"1","memory":1}}}],"volumes":[]}},"selector":null}}"#,
];

const MANAGED_FIELDS: &[&str] = &[
    r#"[{"manager":"m","operation":"Apply","apiVersion":"apps/v1","fieldsType":"FieldsV1","time":"2026-01-01T00:00:00Z","fieldsV1":{"f:spec":{"f:replicas":{},"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:args":{},"i:1":{}}}}}},"f:metadata":{"f:finalizers":{"v:\"e.com/x\"":{}}}}}]"#,
    r#"[{"manager":"a","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:a":{}}},{"manager":"a","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","subresource":"status"},{}]"#,
];

const CUSTOM_OBJECTS: &[&str] = &[
    r#"{"apiVersion":"e.com/v1","kind":"W","metadata":{"name":"w","labels":{"a":"b"},"managedFields":[{"fieldsV1":{"f:a":{}}}],"ownerReferences":[{"uid":"u"}]},"spec":{"a":[1,null,{}]}}"#,
    "metadata:\n  name: w\n  creationTimestamp: 2026-01-01T00:00:00Z\n  generation: 1e3\nspec: [0x1F, ~, yes]\n",
];

/// A change of an example.
#[derive(Clone, Debug)]
enum Mutation {
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    Paste(prop::sample::Index, &'static str),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let index = any::<prop::sample::Index>;
    let scraps = prop::sample::select(vec![
        "null",
        "{}",
        "[]",
        "\"\"",
        "-1",
        "1e999",
        "{\"a\":[{}]}",
        "$patch",
        "\"name\":null,",
        "[[[[",
        "~0",
        "/-",
        "\\u0000",
        ",",
        "\"$patch\":\"merge\",",
        "9223372036854775808",
        "\u{fffd}",
        ".",
        "k:",
        "\"name\":\"c\",",
    ]);
    let mutation = prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        (index(), index()).prop_map(|(from, to)| Mutation::Cut(from, to)),
        (index(), scraps).prop_map(|(at, scrap)| Mutation::Paste(at, scrap)),
        (index(), index()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
    ];
    prop::collection::vec(mutation, 0..6)
}

fn mutated(example: &str, mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = example.as_bytes().to_vec();
    for mutation in mutations {
        if bytes.is_empty() {
            break;
        }
        let range = |from: &prop::sample::Index, to: &prop::sample::Index| {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            from.min(to)..from.max(to)
        };
        match mutation {
            Mutation::Byte(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Mutation::Cut(from, to) => _ = bytes.drain(range(from, to)),
            Mutation::Paste(at, scrap) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, scrap.bytes());
            }
            Mutation::Repeat(from, to) => {
                let part = bytes[range(from, to)].to_vec();
                bytes.extend(part);
            }
        }
    }
    bytes
}

macro_rules! targets {
    ($($(#[$doc:meta])* $name:ident: $target:ident over $examples:ident;)*) => {
        proptest! {
            $($(#[$doc])*
            #[test]
            fn $name(example in prop::sample::select($examples.to_vec()), mutations in mutations()) {
                targets::$target(&mutated(example, &mutations));
            })*
        }

        #[test]
        fn every_example_is_taken_as_it_is() {
            $($examples.iter().for_each(|example| targets::$target(example.as_bytes()));)*
        }
    };
}

targets! {
    json_patches_of_any_bytes_are_applied_or_refused: json_patch over JSON_PATCHES;
    merge_patches_of_any_bytes_are_applied_or_refused: merge_patch over MERGE_PATCHES;
    strategic_patches_of_any_bytes_are_applied_or_refused: strategic_patch over STRATEGIC_PATCHES;
    configurations_of_any_bytes_are_applied_or_refused: apply_configuration over CONFIGURATIONS;
    managed_fields_of_any_bytes_are_taken_or_left: managed_fields over MANAGED_FIELDS;
    custom_objects_of_any_bytes_are_read_or_refused: custom_object over CUSTOM_OBJECTS;
}
