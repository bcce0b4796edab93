//! JSON as Go reads and writes it.
//!
//! Owns the doors; `reader` knows the syntax, `typed` the types, `encode` the
//! output. Reading by a type goes straight to the value, guided by the table.

mod encode;
mod pretty;
mod reader;
mod typed;

use crate::{DecodeError, StrictError};
use reader::Reader;
use schema::{Schema, TypeId, Value};

pub use encode::{encode, encode_any, encode_plain};
pub use pretty::{compact, pretty};
pub(crate) use typed::{normal, zero};

/// Reads an object of type `ty`. With `strict`, fields that the type does not
/// have and fields that stand twice are collected there; they are dropped in
/// any case, and of two values the last counts.
pub fn decode(
    schema: &Schema,
    ty: TypeId,
    bytes: &[u8],
    strict: Option<&mut Vec<StrictError>>,
) -> Result<Value, DecodeError> {
    typed::Decoder::new(schema, bytes, strict).document(ty)
}

/// Reads JSON of any shape. Of duplicate keys the last counts.
pub fn decode_any(bytes: &[u8]) -> Result<Value, DecodeError> {
    Reader::new(bytes).document_any(None)
}

/// Reads JSON of any shape and collects the keys that stand twice.
pub fn decode_any_strict(bytes: &[u8], strict: &mut Vec<StrictError>) -> Result<Value, DecodeError> {
    Reader::new(bytes).document_any(Some(strict))
}

/// What an object says it is, without reading the rest: `apiVersion` and
/// `kind`, empty where it does not say. The whole text must be JSON.
pub fn type_meta(bytes: &[u8]) -> Result<(String, String), DecodeError> {
    Reader::new(bytes).type_meta()
}

/// Brings a free-form tree, e.g. a patched object, into the form of a type:
/// the same conversions, checks and strict errors as [`decode`].
pub fn typed(
    schema: &Schema,
    ty: TypeId,
    value: &Value,
    strict: Option<&mut Vec<StrictError>>,
) -> Result<Value, DecodeError> {
    let mut bytes = Vec::new();
    encode::encode_plain(value, &mut bytes);
    decode(schema, ty, &bytes, strict)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(group: &str, version: &str, kind: &str) -> (&'static Schema, TypeId) {
        let schema = schema::builtin();
        (schema, schema.kind(group, version, kind).expect("a kind of the table"))
    }

    /// What comes out after one reading and writing.
    fn round(group: &str, version: &str, kind: &str, json: &str) -> String {
        let (schema, ty) = ty(group, version, kind);
        let value = decode(schema, ty, json.as_bytes(), None).expect(json);
        let mut out = Vec::new();
        encode(schema, ty, &value, &mut out);
        let again = decode(schema, ty, &out, None).expect("our own output");
        assert_eq!(again, value, "the normal form is stable");
        String::from_utf8(out).expect("UTF-8")
    }

    fn error(group: &str, version: &str, kind: &str, json: &str) -> String {
        let (schema, ty) = ty(group, version, kind);
        decode(schema, ty, json.as_bytes(), None).expect_err(json).to_string()
    }

    #[test]
    fn zero_values_are_written_where_go_has_no_pointer() {
        assert_eq!(
            round("", "v1", "Pod", r#"{"spec":{"containers":[{}]}}"#),
            r#"{"metadata":{},"spec":{"containers":[{"name":"","resources":{}}]},"status":{}}"#
        );
        assert_eq!(
            round("apps", "v1", "Deployment", "{}"),
            concat!(
                r#"{"metadata":{},"spec":{"selector":null,"template":{"metadata":{},"spec":{"containers":null}},"#,
                r#""strategy":{}},"status":{}}"#
            )
        );
        assert_eq!(round("", "v1", "ConfigMap", "null"), r#"{"metadata":{}}"#);
    }

    #[test]
    fn what_go_cannot_tell_apart_is_one_value() {
        let (schema, ty) = ty("", "v1", "Pod");
        let read = |json: &str| decode(schema, ty, json.as_bytes(), None).expect(json);
        let empty = read(r#"{"spec":{"containers":[{"name":"c"}]}}"#);
        let spelled = r#"{"metadata":{"labels":{},"name":"","creationTimestamp":null,"generation":0},
            "spec":{"hostNetwork":false,"volumes":[],"nodeName":null,
            "containers":[{"resources":{},"name":"c","env":null,"tty":false}]},"status":{}}"#;
        assert_eq!(read(spelled), empty);
    }

    #[test]
    fn pointers_keep_their_zero_value() {
        assert_eq!(
            round(
                "",
                "v1",
                "Pod",
                r#"{"spec":{"containers":[],"terminationGracePeriodSeconds":0,"automountServiceAccountToken":false}}"#
            ),
            r#"{"metadata":{},"spec":{"containers":[],"terminationGracePeriodSeconds":0,"automountServiceAccountToken":false},"status":{}}"#
        );
    }

    #[test]
    fn leaves_have_one_spelling() {
        let pod = r#"{"metadata":{"creationTimestamp":"2024-01-02T03:04:05.9+01:00"},
            "spec":{"containers":[{"name":"<&>","resources":{"limits":{"cpu":1.5,"memory":"1024Mi"}},
            "livenessProbe":{"httpGet":{"port":"http"}},"readinessProbe":{"tcpSocket":{"port":80}}}]}}"#;
        assert_eq!(
            round("", "v1", "Pod", pod),
            concat!(
                r#"{"metadata":{"creationTimestamp":"2024-01-02T02:04:05Z"},"spec":{"containers":[{"name":"\u003c\u0026\u003e","#,
                r#""resources":{"limits":{"cpu":"1500m","memory":"1Gi"}},"livenessProbe":{"httpGet":{"port":"http"}},"#,
                r#""readinessProbe":{"tcpSocket":{"port":80}}}]},"status":{}}"#
            )
        );
    }

    #[test]
    fn null_items_are_zero_values() {
        assert_eq!(
            round("", "v1", "ConfigMap", r#"{"metadata":{"finalizers":[null,"a"]},"data":{"k":null}}"#),
            r#"{"metadata":{"finalizers":["","a"]},"data":{"k":""}}"#
        );
    }

    #[test]
    fn schemas_inside_schemas_are_schemas_again() {
        let (before, after) = (
            r#"{"metadata":{},"spec":{"group":"","names":{"plural":"","kind":""},"scope":"","versions":[{"name":"","served":false,"storage":false,"schema":{"openAPIV3Schema":"#,
            r#"}}]},"status":{"conditions":null,"acceptedNames":{"plural":"","kind":""},"storedVersions":null}}"#,
        );
        let props = concat!(
            r#"{"default":{"a":1},"maximum":5,"items":{"type":"string"},"properties":{"p":{"enum":["a"],"additionalProperties":false}},"#,
            r#""additionalProperties":{"type":"integer"},"dependencies":{"d":["x","y"]},"additionalItems":true,"x-kubernetes-int-or-string":true}"#
        );
        let crd = format!("{before}{props}{after}");
        assert_eq!(round("apiextensions.k8s.io", "v1", "CustomResourceDefinition", &crd), crd);
    }

    #[test]
    fn strict_errors_have_the_full_path() {
        let (schema, ty) = ty("", "v1", "Pod");
        let mut strict = Vec::new();
        let pod = r#"{"metadata":{"name":"a","name":"b","labels":{"x":"1","x":"2"}},
            "spec":{"bogus":1,"containers":[{"Name":"c","env":[{"vlaue":"x"}]}]}}"#;
        let value = decode(schema, ty, pod.as_bytes(), Some(&mut strict)).expect("a pod");
        let texts: Vec<String> = strict.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                r#"duplicate field "metadata.name""#,
                r#"duplicate field "metadata.labels.x""#,
                r#"unknown field "spec.bogus""#,
                r#"unknown field "spec.containers[0].Name""#,
                r#"unknown field "spec.containers[0].env[0].vlaue""#,
            ]
        );
        assert_eq!(value.str_at(&["metadata", "name"]), Some("b"), "the last one counts");
    }

    #[test]
    fn wrong_shapes_are_told_in_the_words_of_go() {
        let pod = |json: &str| error("", "v1", "Pod", json);
        for (json, expect) in [
            (
                r#"{"metadata":[]}"#,
                "json: cannot unmarshal array into Go struct field Pod.metadata of type v1.ObjectMeta",
            ),
            (
                r#"{"metadata":{"name":5}}"#,
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
            ),
            (
                r#"{"metadata":{"labels":{"x":true}}}"#,
                "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                r#"{"spec":{"containers":"x"}}"#,
                "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                r#"{"spec":{"containers":[{"ports":[{"containerPort":1.5}]}]}}"#,
                "json: cannot unmarshal number 1.5 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
            ),
            (
                r#"{"spec":{"priority":99999999999}}"#,
                "json: cannot unmarshal number 99999999999 into Go struct field PodSpec.spec.priority of type int32",
            ),
            (
                r#"{"spec":{"restartPolicy":1}}"#,
                "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
            ),
            (r#"[]"#, "json: cannot unmarshal array into Go value of type v1.Pod"),
            (
                r#"{"metadata":{"creationTimestamp":1}}"#,
                "json: cannot unmarshal number into Go value of type string",
            ),
            (r#"{"metadata":[],"spec":5"#, "unexpected end of JSON input"),
        ] {
            assert_eq!(pod(json), expect, "{json}");
        }
    }

    #[test]
    fn syntax_errors_are_told_in_the_words_of_go() {
        for (json, expect) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("not json", "invalid character 'o' in literal null (expecting 'u')"),
            ("apiVersion", "invalid character 'a' looking for beginning of value"),
            ("{}tail", "invalid character 't' after top-level value"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":01}", "invalid character '1' after object key:value pair"),
            ("[-]", "invalid character ']' in numeric literal"),
            ("[1.]", "invalid character ']' after decimal point in numeric literal"),
            ("[1e]", "invalid character ']' in exponent of numeric literal"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
        ] {
            assert_eq!(decode_any(json.as_bytes()).expect_err(json).to_string(), expect, "{json}");
        }
    }

    #[test]
    fn values_of_any_shape_survive() {
        let text = r#"{"a":[1,-2,1.5,1e+21,1e-7,true,null,"é\u2028\"\\\b"],"b":{"":{}}}"#;
        let value = decode_any(text.as_bytes()).expect("JSON");
        let mut out = Vec::new();
        encode_any(&value, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), text);
        assert_eq!(decode_any(br#""\ud83d\ude00\ud800x""#), Ok("😀\u{fffd}x".into()));
        let mut strict = Vec::new();
        decode_any_strict(br#"{"a":{"b":1,"b":2}}"#, &mut strict).expect("JSON");
        assert_eq!(strict, [StrictError::Duplicate("a.b".into())]);
    }

    #[test]
    fn kind_and_version_are_found_anywhere() {
        let found = type_meta(br#"{"spec":{"kind":"x"},"kind":"Pod","apiVersion":"v1"}"#);
        assert_eq!(found, Ok(("v1".into(), "Pod".into())));
        let error = |json: &str| type_meta(json.as_bytes()).expect_err(json).to_string();
        assert_eq!(
            error("[]"),
            r#"json: cannot unmarshal array into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#
        );
        assert_eq!(
            error(r#"{"apiVersion":1}"#),
            "json: cannot unmarshal number into Go struct field .apiVersion of type string"
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |open: &str, n: usize| open.repeat(n);
        assert_eq!(decode_any(deep("[", 100_000).as_bytes()), Err(DecodeError::TooDeep));
        let (schema, crd) = ty("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let schema_text = r#"{"spec":{"versions":[{"schema":{"openAPIV3Schema":"#;
        for step in [r#"{"not":"#, r#"{"items":"#, r#"{"items":["#, r#"{"properties":{"a":"#] {
            let text = format!("{schema_text}{}", deep(step, 100_000));
            assert_eq!(decode(schema, crd, text.as_bytes(), None), Err(DecodeError::TooDeep), "{step}");
        }
    }
}
