//! Tests of strategic merge patch, on built-in types.

use super::*;
use codec::json::decode_any;
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};

const DEPLOYMENT: &str = r#"{"metadata":{"finalizers":["e.com/a","e.com/b","e.com/c"],"labels":{"l":"1"}},"spec":{
    "strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}},
    "template":{"spec":{"nodeSelector":{"s":"1"},"volumes":[{"name":"v1","emptyDir":{}}],"containers":[
    {"name":"a","image":"a:1","args":["x","y"],"env":[{"name":"E1","value":"1"},{"name":"E2","value":"2"}]},
    {"name":"b","image":"b:1"}]}}}}"#;

fn value(text: &str) -> Value {
    decode_any(text.as_bytes()).expect("good JSON")
}

fn patched(document: &str, patch: &str) -> Result<Value, PatchError> {
    let schema = schema::builtin();
    let deployment = schema.kind("apps", "v1", "Deployment").expect("a built-in kind");
    apply(schema, deployment, &value(document), patch.as_bytes())
}

/// A patch of the pod template's spec.
fn pod_spec(patch: &str) -> Result<Value, PatchError> {
    let all = patched(DEPLOYMENT, &format!(r#"{{"spec":{{"template":{{"spec":{patch}}}}}}}"#))?;
    Ok(all.at(&["spec", "template", "spec"]).cloned().unwrap_or_default())
}

#[track_caller]
fn check_containers(patch: &str, expected: &[&str]) {
    let spec = pod_spec(patch).expect("a good patch");
    let found: Vec<String> = spec
        .list_at(&["containers"])
        .iter()
        .map(|container| {
            format!(
                "{}={}",
                container.str_at(&["name"]).unwrap_or("?"),
                container.str_at(&["image"]).unwrap_or("?")
            )
        })
        .collect();
    assert_eq!(found, expected, "{patch}");
}

#[track_caller]
fn check_error(patch: &str, expected: PatchError) {
    assert_eq!(pod_spec(patch), Err(expected), "{patch}");
}

#[track_caller]
fn check_500(patch: &str, expected: &str) {
    check_error(patch, PatchError::Strategic(expected.to_owned()));
}

fn finalizers(metadata_patch: &str) -> Vec<String> {
    let patch = format!(r#"{{"metadata":{metadata_patch}}}"#);
    let all = patched(DEPLOYMENT, &patch).expect("a good patch");
    all.list_at(&["metadata", "finalizers"])
        .iter()
        .map(|item| item.as_str().unwrap_or("?").to_owned())
        .collect()
}

#[test]
fn lists_with_a_merge_key_merge_by_it() {
    check_containers(r#"{"containers":[{"name":"b","image":"b:2"}]}"#, &["a=a:1", "b=b:2"]);
    check_containers(r#"{"containers":[{"name":"c","image":"c:1"}]}"#, &["c=c:1", "a=a:1", "b=b:1"]);
    check_containers(r#"{"containers":[{"name":"b","$patch":"delete"}]}"#, &["a=a:1"]);
    check_containers(r#"{"containers":[{"$patch":"replace"},{"name":"z","image":"z:1"}]}"#, &["z=z:1"]);
    check_containers(r#"{"containers":null}"#, &[]);
    let args = pod_spec(r#"{"containers":[{"name":"a","args":["z"],"env":[{"name":"E2","value":"n"}]}]}"#)
        .expect("good");
    let container = &args.list_at(&["containers"])[0];
    assert_eq!(container.at(&["args"]), Some(&value(r#"["z"]"#)), "a list without a merge key is replaced");
    assert_eq!(
        container.at(&["env"]),
        Some(&value(r#"[{"name":"E1","value":"1"},{"name":"E2","value":"n"}]"#))
    );
}

#[test]
fn set_element_order_gives_the_order() {
    check_containers(r#"{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]}"#, &["b=b:1", "a=a:1"]);
    check_containers(
        r#"{"$setElementOrder/containers":[{"name":"c"},{"name":"b"},{"name":"a"}],"containers":[{"name":"c","image":"c:1"}]}"#,
        &["c=c:1", "b=b:1", "a=a:1"],
    );
    check_containers(
        r#"{"$setElementOrder/containers":[{"name":"c"},{"name":"a"}],"containers":[{"name":"c","image":"c:1"}]}"#,
        &["c=c:1", "a=a:1", "b=b:1"],
    );
    check_500(
        r#"{"$setElementOrder/containers":[{"name":"b"}],"containers":[{"name":"a","image":"a:2"}]}"#,
        "The order in patch list:\n[map[image:a:2 name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
    );
}

#[test]
fn lists_of_scalars_merge_as_sets() {
    assert_eq!(
        finalizers(r#"{"finalizers":["e.com/d","e.com/b"]}"#),
        ["e.com/d", "e.com/a", "e.com/b", "e.com/c"]
    );
    assert_eq!(finalizers(r#"{"finalizers":["e.com/d"]}"#), ["e.com/d", "e.com/a", "e.com/b", "e.com/c"]);
    assert_eq!(
        finalizers(r#"{"$deleteFromPrimitiveList/finalizers":["e.com/a","e.com/none"]}"#),
        ["e.com/b", "e.com/c"]
    );
    assert_eq!(
        finalizers(r#"{"$deleteFromPrimitiveList/finalizers":["e.com/b"],"finalizers":["e.com/n"]}"#),
        ["e.com/n", "e.com/a", "e.com/c"]
    );
    assert_eq!(
        finalizers(r#"{"$setElementOrder/finalizers":["e.com/c","e.com/a"]}"#),
        ["e.com/b", "e.com/c", "e.com/a"]
    );
    assert_eq!(finalizers(r#"{"finalizers":null}"#), [""; 0]);
}

#[test]
fn maps_merge_and_directives_replace_or_empty_them() {
    let selector = |patch: &str| pod_spec(patch).expect("good").at(&["nodeSelector"]).cloned();
    assert_eq!(selector(r#"{"nodeSelector":{"t":"2"}}"#), Some(value(r#"{"s":"1","t":"2"}"#)));
    assert_eq!(selector(r#"{"nodeSelector":{"s":null}}"#), Some(Value::map()));
    assert_eq!(selector(r#"{"nodeSelector":{"$patch":"replace","t":"2"}}"#), Some(value(r#"{"t":"2"}"#)));
    assert_eq!(selector(r#"{"nodeSelector":{"$patch":"delete"}}"#), Some(Value::map()));
}

#[test]
fn retain_keys_drops_what_it_does_not_name() {
    let strategy = |patch: &str| {
        let patch = format!(r#"{{"spec":{{"strategy":{patch}}}}}"#);
        patched(DEPLOYMENT, &patch).map(|all| all.at(&["spec", "strategy"]).cloned().unwrap_or_default())
    };
    assert_eq!(
        strategy(r#"{"$retainKeys":["type"],"type":"Recreate"}"#),
        Ok(value(r#"{"type":"Recreate"}"#))
    );
    let bad = || Err(PatchError::Malformed("invalid patch format of retainKeys".to_owned()));
    assert_eq!(strategy(r#"{"$retainKeys":["rollingUpdate"],"type":"Recreate"}"#), bad());
    assert_eq!(strategy(r#"{"$retainKeys":"x"}"#), bad());
    let volumes = pod_spec(
        r#"{"volumes":[{"name":"v1","$retainKeys":["name","configMap"],"configMap":{"name":"c"}}]}"#,
    );
    assert_eq!(
        volumes.expect("good").at(&["volumes"]),
        Some(&value(r#"[{"name":"v1","configMap":{"name":"c"}}]"#))
    );
}

#[test]
fn new_values_lose_their_nulls_and_directives() {
    let spec =
        pod_spec(r#"{"affinity":{"nodeAffinity":null,"podAffinity":{"$patch":"delete"}}}"#).expect("good");
    assert_eq!(spec.at(&["affinity"]), Some(&Value::map()));
    let spec = pod_spec(r#"{"securityContext":{"$patch":"replace","runAsUser":1}}"#).expect("good");
    assert_eq!(spec.at(&["securityContext"]), None);
}

#[test]
fn nonsense_is_refused_in_the_originals_words() {
    check_500(
        r#"{"containers":[{"name":"a","$patch":"bogus"}]}"#,
        "unknown patch type: bogus in map: map[$patch:bogus name:a]",
    );
    check_500(r#"{"$patch":"bogus"}"#, "unknown patch type: bogus in map: map[$patch:bogus]");
    check_500(
        r#"{"containers":[{"image":"no-name"}]}"#,
        "map: map[image:no-name] does not contain declared merge key: name",
    );
    check_500(
        r#"{"containers":[{"name":"a","$patch":"merge","image":"a:9"}]}"#,
        "merging lists cannot yet be specified in the patch",
    );
    check_500(
        r#"{"volumes":["x"]}"#,
        "list element types are not identical: [[map[emptyDir:map[] name:v1]] [x]]",
    );
    check_error(
        r#"{"$deleteFromPrimitiveList":["x"]}"#,
        PatchError::Malformed("invalid patch format of primitive list".to_owned()),
    );
    check_500(r#"{"$setElementOrder/containers":"x"}"#, "expected a []interface {}, but received a string");
    check_500(
        r#"{"$setElementOrder/bogus":[]}"#,
        "unable to find api field in struct PodSpec for the json field \"bogus\"",
    );
}

#[test]
fn what_fits_no_type_is_named_as_the_original_names_it() {
    let schema = schema::builtin();
    let pod = schema.kind("", "v1", "Pod").expect("a built-in kind");
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(unconvertible(schema, pod, &value(text)).as_deref(), expected, "{text}");
    };
    check(r#"{"spec":{"containers":{"name":"x"}}}"#, Some("cannot restore slice from map"));
    check(r#"{"spec":{"containers":["x"]}}"#, Some("cannot restore struct from: string"));
    check(r#"{"metadata":{"labels":["x"]}}"#, Some("cannot restore map from slice"));
    check(r#"{"metadata":{"name":1}}"#, Some("cannot convert int64 to string"));
    check(r#"{"metadata":{"generation":"x"}}"#, Some("unrecognized type: int64"));
    check(r#"{"metadata":{"name":"a","labels":{"x":"y"}},"spec":{"containers":[{"name":"c"}]}}"#, None);
}

#[test]
fn a_document_patched_with_itself_stays() {
    assert_eq!(patched(DEPLOYMENT, DEPLOYMENT), Ok(value(DEPLOYMENT)));
}

fn patches() -> impl Strategy<Value = Value> {
    let key = "(spec|template|containers|name|env|volumes|metadata|finalizers|labels|\\$patch|\\$retainKeys|\
        \\$setElementOrder/containers|\\$setElementOrder/finalizers|\\$deleteFromPrimitiveList/finalizers|x)";
    let leaf = prop_oneof![
        Just(Value::Null),
        (0..3i64).prop_map(Value::from),
        "(a|b|delete|replace|merge|e.com/a)".prop_map(Value::from)
    ];
    leaf.prop_recursive(6, 48, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..4)
                .prop_map(|map| Value::Map(map.into_iter().collect()))
        ]
    })
}

proptest! {
    #[test]
    fn no_patch_makes_it_panic(patch in patches()) {
        let schema = schema::builtin();
        let deployment = schema.kind("apps", "v1", "Deployment").expect("a built-in kind");
        if let Value::Map(map) = patch {
            let _ = StrategicPatch(map.clone()).apply(schema, deployment, value(DEPLOYMENT));
            let wrapped: Map = [("spec", Value::Map([("template", Value::Map([("spec", map)].into()))].into()))].into();
            let _ = StrategicPatch(wrapped).apply(schema, deployment, value(DEPLOYMENT));
        }
    }
}
