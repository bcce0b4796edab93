//! Whatever the bytes, every decoder answers: it never panics, and what it
//! accepts it can write and read again.

use codec::{json, protobuf, yaml};
use proptest::prelude::*;
use schema::{Schema, TypeId, Value};

fn kinds() -> Vec<(&'static Schema, TypeId)> {
    let schema = schema::builtin();
    let kind = |group: &str, version: &str, kind: &str| {
        schema.kind(group, version, kind).expect("a kind of the table")
    };
    [
        kind("", "v1", "Pod"),
        kind("apps", "v1", "Deployment"),
        kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        kind("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy"),
        kind("authentication.k8s.io", "v1", "TokenReview"),
        kind("", "v1", "Secret"),
    ]
    .map(|ty| (schema, ty))
    .into()
}

/// Text that often is nearly JSON or YAML of the right shape.
fn near_json() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\"spec\":",
        "\"metadata\":",
        "\"labels\":",
        "\"containers\":[",
        "\"name\":",
        "\"replicas\":",
        "\"creationTimestamp\":",
        "\"2024-01-02T03:04:05Z\"",
        "\"openAPIV3Schema\":",
        "\"items\":",
        "\"properties\":",
        "\"data\":",
        "\"YQ==\"",
        "\"resources\":{\"limits\":{\"cpu\":",
        "\"1.5Gi\"",
        "\"1e999999999\"",
        "null",
        "true",
        "-1",
        "1e400",
        "99999999999999999999",
        "\"\\ud800\"",
        "\u{2028}",
        "é",
        " ",
        "\n",
        "- ",
        "&a ",
        "*a",
        "<<: ",
        "? ",
        "| ",
        "> ",
        "!!int ",
        "0x1F",
        "'",
        "#",
        "---\n",
        "a: ",
        "\t",
        "%",
    ]);
    prop::collection::vec(words, 0..40).prop_map(|words| words.concat())
}

/// Bytes that often are nearly protobuf.
fn near_protobuf() -> impl Strategy<Value = Vec<u8>> {
    let field = (0_u8..20, 0_u8..6, prop::collection::vec(any::<u8>(), 0..12), any::<u8>());
    prop::collection::vec(field, 0..12).prop_map(|fields| {
        let mut out = Vec::new();
        for (number, wire_type, content, odd) in fields {
            out.push(number << 3 | wire_type);
            if wire_type == 2 {
                out.push(if odd < 16 { odd } else { content.len() as u8 });
            }
            out.extend(content);
        }
        out
    })
}

/// A value that a decoder accepted survives every encoding.
fn check_stable(schema: &Schema, ty: TypeId, value: &Value) {
    let mut text = Vec::new();
    json::encode(schema, ty, value, &mut text);
    let again = json::decode(schema, ty, &text, None).expect("our own JSON");
    let mut second = Vec::new();
    json::encode(schema, ty, &again, &mut second);
    assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&second));
    let mut raw = Vec::new();
    protobuf::encode(schema, ty, value, &mut raw);
    protobuf::decode(schema, ty, &raw).expect("our own protobuf");
    yaml::encode(schema, ty, value).expect("our own YAML");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (schema, ty) in kinds() {
            let _ = json::decode(schema, ty, &bytes, Some(&mut Vec::new()));
            let _ = yaml::decode(schema, ty, &bytes, Some(&mut Vec::new()));
            if let Ok(value) = protobuf::decode(schema, ty, &bytes) {
                check_stable(schema, ty, &value);
            }
        }
        let _ = json::decode_any(&bytes);
        let _ = json::type_meta(&bytes);
        let _ = protobuf::envelope::unwrap(&bytes);
        json::pretty(&bytes, &mut Vec::new());
        json::compact(&bytes, &mut Vec::new());
    }

    #[test]
    fn nearly_json_never_panics(text in near_json()) {
        if let Ok(value) = json::decode_any(text.as_bytes()) {
            let mut out = Vec::new();
            json::encode_any(&value, &mut out);
            prop_assert_eq!(json::decode_any(&out).expect("our own JSON"), value);
        }
        if let Ok(value) = yaml::decode_any(text.as_bytes()) {
            let written = yaml::encode_any(&value);
            prop_assert_eq!(yaml::decode_any(written.as_bytes()).expect(&written), value, "{}", written);
        }
        for (schema, ty) in kinds() {
            if let Ok(value) = json::decode(schema, ty, text.as_bytes(), Some(&mut Vec::new())) {
                check_stable(schema, ty, &value);
            }
        }
    }

    #[test]
    fn nearly_protobuf_never_panics(bytes in near_protobuf()) {
        for (schema, ty) in kinds() {
            if let Ok(value) = protobuf::decode(schema, ty, &bytes) {
                check_stable(schema, ty, &value);
            }
        }
    }

    #[test]
    fn text_survives_yaml(text in "[ -~\\n\\té\u{85}\u{2028}😀]{0,120}", key in "\\PC{0,140}") {
        let value = Value::Map([(key, Value::from(text))].into_iter().collect());
        let written = yaml::encode_any(&value);
        prop_assert_eq!(yaml::decode_any(written.as_bytes()).expect(&written), value, "{}", written);
    }
}
