//! Tests of JSON patch.

use super::*;
use codec::json::decode_any;
use proptest::prelude::*;

fn value(text: &str) -> Value {
    decode_any(text.as_bytes()).expect("good JSON")
}

#[track_caller]
fn check(document: &str, patch: &str, expected: &str) {
    assert_eq!(apply(&value(document), patch.as_bytes()), Ok(value(expected)), "{document} {patch}");
}

#[track_caller]
fn check_fails(document: &str, patch: &str) {
    match apply(&value(document), patch.as_bytes()) {
        Err(PatchError::DoesNotApply(_)) => {}
        other => panic!("{patch} on {document} should not apply: {other:?}"),
    }
}

#[test]
fn the_six_operations_work() {
    check(r#"{"a":1}"#, r#"[{"op":"add","path":"/b","value":2}]"#, r#"{"a":1,"b":2}"#);
    check(r#"{"a":1,"b":2}"#, r#"[{"op":"remove","path":"/b"}]"#, r#"{"a":1}"#);
    check(r#"{"a":1}"#, r#"[{"op":"replace","path":"/a","value":{"x":1}}]"#, r#"{"a":{"x":1}}"#);
    check(r#"{"a":{"x":1}}"#, r#"[{"op":"move","from":"/a/x","path":"/b"}]"#, r#"{"a":{},"b":1}"#);
    check(r#"{"a":[1]}"#, r#"[{"op":"copy","from":"/a","path":"/b"}]"#, r#"{"a":[1],"b":[1]}"#);
    check(
        r#"{"a":{"b":[1,null]}}"#,
        r#"[{"op":"test","path":"/a","value":{"b":[1,null]}}]"#,
        r#"{"a":{"b":[1,null]}}"#,
    );
}

#[test]
fn lists_take_indices_from_both_ends() {
    let add = |path: &str| format!(r#"[{{"op":"add","path":"{path}","value":"n"}}]"#);
    check(r#"["a","b"]"#, &add("/-"), r#"["a","b","n"]"#);
    check(r#"["a","b"]"#, &add("/0"), r#"["n","a","b"]"#);
    check(r#"["a","b"]"#, &add("/2"), r#"["a","b","n"]"#);
    check(r#"["a","b"]"#, &add("/-1"), r#"["a","b","n"]"#);
    check(r#"["a","b"]"#, &add("/-3"), r#"["n","a","b"]"#);
    check(r#"["a","b"]"#, r#"[{"op":"remove","path":"/-1"}]"#, r#"["a"]"#);
    check(r#"["a","b"]"#, r#"[{"op":"replace","path":"/-2","value":1}]"#, r#"[1,"b"]"#);
    check(r#"["a","b"]"#, r#"[{"op":"move","from":"/0","path":"/1"}]"#, r#"["b","a"]"#);
    for path in ["/3", "/-4", "/x", "/9223372036854775808"] {
        check_fails(r#"["a","b"]"#, &add(path));
    }
    check_fails(r#"["a"]"#, r#"[{"op":"remove","path":"/1"}]"#);
    check_fails(r#"["a"]"#, r#"[{"op":"replace","path":"/1","value":1}]"#);
    check_fails(r#"["a"]"#, r#"[{"op":"test","path":"/1","value":null}]"#);
}

#[test]
fn missing_keys_are_null_to_test_and_made_by_replace() {
    check(r#"{}"#, r#"[{"op":"test","path":"/a","value":null}]"#, "{}");
    check(r#"{}"#, r#"[{"op":"replace","path":"/a","value":1}]"#, r#"{"a":1}"#);
    check(r#"{}"#, r#"[{"op":"add","path":"/a"}]"#, r#"{"a":null}"#);
    check(r#"{}"#, r#"[{"op":"copy","from":"/x","path":"/a"}]"#, r#"{"a":null}"#);
    check_fails("{}", r#"[{"op":"remove","path":"/a"}]"#);
    check_fails("{}", r#"[{"op":"move","from":"/a","path":"/b"}]"#);
    check_fails("{}", r#"[{"op":"add","path":"/a/b","value":1}]"#);
    check_fails("{}", r#"[{"op":"test","path":"/a","value":1}]"#);
    check_fails(r#"{"a":"text"}"#, r#"[{"op":"add","path":"/a/b","value":1}]"#);
}

#[test]
fn pointers_are_read_as_the_original_reads_them() {
    check(r#"{}"#, r#"[{"op":"add","path":"/a~1b~0c~01~x","value":1}]"#, r#"{"a/b~c~1~x":1}"#);
    check(r#"{}"#, r#"[{"op":"add","path":"/","value":1}]"#, r#"{"":1}"#);
    check(r#"{}"#, r#"[{"op":"add","path":"data/x","value":1}]"#, r#"{"x":1}"#);
    check_fails("{}", r#"[{"op":"add","path":"","value":1}]"#);
    check_fails("{}", r#"[{"op":"remove","path":""}]"#);
    check_fails(r#"{"a":1}"#, r#"[{"op":"test","path":"","value":{}}]"#);
}

#[test]
fn unknown_and_incomplete_operations_do_not_apply() {
    for patch in [
        r#"[{"op":"bogus","path":"/a"}]"#,
        r#"[{"op":"ADD","path":"/a","value":1}]"#,
        r#"[{"path":"/a","value":1}]"#,
        r#"[{"op":"add","value":1}]"#,
        r#"[{"op":"copy","path":"/a"}]"#,
        "[null]",
    ] {
        check_fails("{}", patch);
    }
    check("{}", "[]", "{}");
    check("{}", "null", "{}");
}

#[test]
fn what_is_no_list_of_operations_is_refused_in_the_originals_words() {
    for (patch, expected) in [
        (r#"{"op":"add"}"#, "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        (r#""x""#, "json: cannot unmarshal string into Go value of type []handlers.jsonPatchOp"),
        ("[1]", "json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
        (r#"[{"op":1}]"#, "json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string"),
        ("[", "unexpected end of JSON input"),
        ("", "unexpected end of JSON input"),
    ] {
        let expected = PatchError::Malformed(format!("error decoding patch: {expected}"));
        assert_eq!(apply(&Value::map(), patch.as_bytes()), Err(expected), "{patch}");
    }
}

#[test]
fn strict_reading_reports_keys_that_no_operation_has() {
    let mut strict = Vec::new();
    JsonPatch::parse(br#"[{"op":"add","path":"/a","extra":1,"op":"add"}]"#, Some(&mut strict)).expect("good");
    assert_eq!(strict, [r#"json patch duplicate field "[0].op""#, r#"json patch unknown field "[0].extra""#]);
}

fn repeated(operation: &str, times: usize) -> String {
    format!("[{}]", vec![operation; times].join(","))
}

#[test]
fn operations_and_copies_are_limited() {
    let test = r#"{"op":"test","path":"/a","value":null}"#;
    check("{}", &repeated(test, OPERATIONS_MAX), "{}");
    let too_many = apply(&Value::map(), repeated(test, OPERATIONS_MAX + 1).as_bytes());
    assert_eq!(too_many, Err(PatchError::TooManyOperations(10_001)));
    let message = too_many.expect_err("too many").to_string();
    assert_eq!(message, "The allowed maximum operations in a JSON patch is 10000, got 10001");

    let document = format!(r#"{{"a":"{}","b":[]}}"#, "x".repeat(1000));
    check_fails(&document, &repeated(r#"{"op":"copy","from":"/a","path":"/b/-"}"#, 4000));
    check_fails(r#"{"a":[1]}"#, &repeated(r#"{"op":"copy","from":"/a","path":"/a/-"}"#, 100));
}

/// Two moves wrap a document in one more level, so that a patch of the allowed
/// length builds trees that a recursive drop or comparison does not survive.
#[test]
fn long_lists_are_shifted_only_so_often() {
    let list = format!("[{}]", vec!["0"; 100_000].join(","));
    let document = value(&list);
    let outcome = |path: &str, times: usize| {
        let patch = repeated(&format!(r#"{{"op":"add","path":"{path}","value":1}}"#), times);
        apply(&document, patch.as_bytes()).map(|_| ())
    };
    assert_eq!(outcome("/0", 1000), Ok(()));
    assert!(matches!(outcome("/0", 10_000), Err(PatchError::DoesNotApply(_))));
    assert_eq!(outcome("/-", 10_000), Ok(()), "behind the last there is nothing to shift");
}

#[test]
fn moves_cannot_build_a_document_deeper_than_the_bound() {
    let wrap = r#"{"op":"add","path":"/b","value":{}},{"op":"move","from":"/a","path":"/b/a"},{"op":"move","from":"/b","path":"/a"}"#;
    check_fails(r#"{"a":{}}"#, &repeated(wrap, 3000));
    let removed = format!(r#"[{},{{"op":"remove","path":"/a"}}]"#, vec![wrap; 3000].join(","));
    check(r#"{"a":{}}"#, &removed, "{}");
}

#[test]
fn each_failure_has_its_status() {
    use meta::ApiError;
    let malformed = PatchError::Malformed("x".to_owned());
    assert_eq!(ApiError::from(malformed), ApiError::BadRequest("x".to_owned()));
    let failed = PatchError::DoesNotApply("x".to_owned());
    assert_eq!(ApiError::from(failed), ApiError::Unprocessable { errors: Vec::new() });
    assert!(matches!(ApiError::from(PatchError::TooManyOperations(10_001)), ApiError::TooLarge(_)));
}

fn paths() -> impl Strategy<Value = String> {
    proptest::collection::vec("(a|b|0|1|-1|-|~1|~|)", 0..4)
        .prop_map(|parts| parts.iter().map(|part| format!("/{part}")).collect())
}

proptest! {
    #[test]
    fn no_operations_make_it_panic(
        operations in proptest::collection::vec(("(add|remove|replace|move|copy|test|x)", paths(), paths()), 0..12)
    ) {
        let list: Vec<String> = operations
            .iter()
            .map(|(op, path, from)| format!(r#"{{"op":"{op}","path":"{path}","from":"{from}","value":{{"a":[1]}}}}"#))
            .collect();
        let patch = format!("[{}]", list.join(","));
        let _ = apply(&value(r#"{"a":{"b":[1,{"a":2}]},"b":[]}"#), patch.as_bytes());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = apply(&Value::map(), &bytes);
    }

    #[test]
    fn a_move_there_and_back_changes_nothing(key in "[abc]") {
        let document = value(r#"{"a":1,"b":{"x":[2]},"c":[3]}"#);
        let patch = format!(
            r#"[{{"op":"move","from":"/{key}","path":"/z"}},{{"op":"move","from":"/z","path":"/{key}"}}]"#
        );
        prop_assert_eq!(apply(&document, patch.as_bytes()), Ok(document));
    }
}
