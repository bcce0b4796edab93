//! What merges and who owns what in the kinds of lists and maps there are.

use crate::harness::Stored;

fn config_map(metadata: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a",{metadata}}}}}"#)
}

fn deployment(containers: &str) -> String {
    format!(
        r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"d"}},
            "spec":{{"template":{{"spec":{{"containers":[{containers}]}}}}}}}}"#
    )
}

fn names(stored: &Stored, path: &[&str]) -> Vec<String> {
    stored
        .object
        .list_at(path)
        .iter()
        .map(|item| item.str_at(&["name"]).unwrap_or_default().to_owned())
        .collect()
}

const CONTAINERS: &[&str] = &["spec", "template", "spec", "containers"];

#[test]
fn an_update_owns_what_it_adds_with_the_lists_and_maps_on_the_way() {
    let mut stored = Stored::deployment();
    stored.update("kubectl", &deployment(r#"{"name":"c","image":"i"}"#));
    assert_eq!(
        stored.managers(),
        [concat!(
            r#"kubectl Update {"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":"#,
            r#"{".":{},"f:image":{},"f:name":{},"f:resources":{}}}}}}}"#
        )]
    );
}

#[test]
fn items_of_a_keyed_list_belong_to_whoever_names_them() {
    let mut stored = Stored::deployment();
    stored
        .apply("m1", false, &deployment(r#"{"name":"a","image":"1"},{"name":"b","image":"1"}"#))
        .expect("new");
    stored.apply("m2", false, &deployment(r#"{"name":"s","image":"1"}"#)).expect("disjoint");
    assert_eq!(names(&stored, CONTAINERS), ["a", "b", "s"]);
    let refusal = stored.apply("m2", false, &deployment(r#"{"name":"b","image":"2"}"#)).expect_err("owned");
    assert_eq!(
        refusal,
        r#"Apply failed with 1 conflict: conflict with "m1": .spec.template.spec.containers[name="b"].image"#
    );
    stored.apply("m1", false, &deployment(r#"{"name":"b","image":"1"}"#)).expect("its own");
    assert_eq!(names(&stored, CONTAINERS), ["b", "s"], "what nobody applies any more goes");
}

#[test]
fn the_configuration_orders_the_items_it_names() {
    let mut stored = Stored::deployment();
    let apply = |stored: &mut Stored, order: &str| {
        let items: Vec<String> = order.chars().map(|c| format!(r#"{{"name":"{c}","image":"i"}}"#)).collect();
        stored.apply("m1", false, &deployment(&items.join(","))).expect("its own");
        names(stored, CONTAINERS).concat()
    };
    assert_eq!(apply(&mut stored, "abc"), "abc");
    assert_eq!(apply(&mut stored, "cab"), "cab");
    assert_eq!(apply(&mut stored, "cdab"), "cdab");
    stored
        .apply("m2", false, &deployment(r#"{"name":"x","image":"i"},{"name":"d","image":"i"}"#))
        .expect("shared");
    assert_eq!(names(&stored, CONTAINERS).concat(), "cxdab");
}

#[test]
fn keys_that_are_left_out_have_their_defaults() {
    let mut stored = Stored::new("", "v1", "Service", "v1");
    let service = |ports: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"s"}},"spec":{{"ports":[{ports}]}}}}"#
        )
    };
    stored.apply("m1", false, &service(r#"{"port":80,"name":"h"}"#)).expect("new");
    stored.apply("m2", false, &service(r#"{"port":80,"name":"u","protocol":"UDP"}"#)).expect("another port");
    assert_eq!(names(&stored, &["spec", "ports"]), ["h", "u"]);
    assert_eq!(
        stored.managers()[0],
        r#"m1 Apply {"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}}}}}"#
    );
    stored.apply("m2", false, &service("")).expect("gives up");
    assert_eq!(names(&stored, &["spec", "ports"]), ["h"]);
    assert_eq!(stored.managers().len(), 1);
}

#[test]
fn sets_share_values_and_refuse_repeated_ones() {
    let mut stored = Stored::config_map();
    stored.apply("m1", false, &config_map(r#""finalizers":["e.com/a","e.com/b"]"#)).expect("new");
    stored.apply("m2", false, &config_map(r#""finalizers":["e.com/c","e.com/b"]"#)).expect("shared");
    let finalizers = |stored: &Stored| {
        let items = stored.object.list_at(&["metadata", "finalizers"]);
        items.iter().map(|item| item.as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(finalizers(&stored), ["e.com/a", "e.com/c", "e.com/b"]);
    stored.apply("m1", false, &config_map(r#""finalizers":["e.com/a"]"#)).expect("its own");
    assert_eq!(finalizers(&stored), ["e.com/a", "e.com/c", "e.com/b"], "m2 holds b still");
    stored.apply("m2", false, &config_map(r#""labels":{}"#)).expect("gives up");
    assert_eq!(finalizers(&stored), ["e.com/a"]);
    let refusal = stored.apply("m1", false, &config_map(r#""finalizers":["x","x"]"#)).expect_err("repeated");
    assert_eq!(
        refusal,
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .metadata.finalizers: duplicate entries for key \
         [=\"x\"]"
    );
}

#[test]
fn an_item_in_the_place_of_repeated_ones_is_taken_from_who_repeated_it() {
    let env = |items: &str| deployment(&format!(r#"{{"name":"c","env":[{items}]}}"#));
    let item = |name: &str, value: u8| format!(r#"{{"name":"{name}","value":"{value}"}}"#);
    let both = [item("A", 1), item("A", 2), item("B", 3)].join(",");
    let mut stored = Stored::deployment();
    stored.update("u", &env(&both));
    let repeated =
        r#""f:env":{".":{},"k:{\"name\":\"A\"}":{},"k:{\"name\":\"B\"}":{".":{},"f:name":{},"f:value":{}}}"#;
    assert!(stored.managers()[0].contains(repeated), "{:?}", stored.managers());
    stored.apply("m", false, &env(&item("B", 3))).expect("shared");
    let values = |stored: &Stored| -> Vec<String> {
        let containers = stored.object.list_at(CONTAINERS);
        let items = containers[0].list_at(&["env"]).iter();
        items.map(|item| item.str_at(&["value"]).unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(values(&stored), ["1", "2", "3"], "what is not named stays as it is");
    let refusal = stored.apply("m", false, &env(&item("A", 9))).expect_err("repeated by u");
    assert_eq!(
        refusal,
        r#"Apply failed with 1 conflict: conflict with "u" using apps/v1: .spec.template.spec.containers[name="c"].env[name="A"]"#
    );
    stored.apply("m", true, &env(&item("A", 9))).expect("forced");
    assert_eq!(values(&stored), ["9", "3"]);
    assert!(!stored.managers()[1].contains(r#"k:{\"name\":\"A\"}"#), "{:?}", stored.managers());
    stored.update("u", &env(&both));
    let managers = stored.managers();
    assert!(!managers[0].contains("f:env"), "m owns nothing of it: {managers:?}");
    assert!(managers[1].contains(r#""k:{\"name\":\"A\"}":{}"#), "{managers:?}");
}

#[test]
fn atomic_lists_and_items_change_hands_as_a_whole() {
    let mut stored = Stored::deployment();
    stored.apply("m1", false, &deployment(r#"{"name":"a","args":["x","y"]}"#)).expect("new");
    let refusal = stored.apply("m2", false, &deployment(r#"{"name":"a","args":["x"]}"#)).expect_err("owned");
    assert!(refusal.ends_with(r#"containers[name="a"].args"#), "{refusal}");
    stored.apply("m2", true, &deployment(r#"{"name":"a","args":["x"]}"#)).expect("by force");
    assert!(!stored.managers()[0].contains("f:args") && stored.managers()[1].contains("f:args"));

    let mut owned = Stored::config_map();
    let owner = |uid: &str| {
        config_map(&format!(
            r#""ownerReferences":[{{"apiVersion":"v1","kind":"X","name":"x","uid":"{uid}"}}]"#
        ))
    };
    owned.apply("m1", false, &owner("u1")).expect("new");
    owned.apply("m2", false, &owner("u2")).expect("another");
    assert_eq!(
        owned.managers()[0],
        r#"m1 Apply {"f:metadata":{"f:ownerReferences":{"k:{\"uid\":\"u1\"}":{}}}}"#
    );
    assert_eq!(owned.object.list_at(&["metadata", "ownerReferences"]).len(), 2);
}

#[test]
fn what_does_not_fit_the_type_is_refused_in_go_s_words() {
    let mut stored = Stored::config_map();
    for (body, fault) in [
        (r#""data":{"x":1}"#, ".data.x: expected string, got &value.valueUnstructured{Value:1}"),
        (r#""data":["x"]"#, ".data: expected map, got &{[x]}"),
        (r#""bogus":1"#, ".bogus: field not declared in schema"),
        (r#""immutable":"yes""#, ".immutable: expected boolean, got &{yes}"),
        (
            r#""data":{"x":1},"bogus":2"#,
            "errors:\n  .bogus: field not declared in schema\n  .data.x: expected string, got &value.valueUnstructured{Value:1}",
        ),
    ] {
        let text = format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},{body}}}"#);
        let refusal = stored.apply("m", false, &text).expect_err(body);
        assert_eq!(
            refusal,
            format!("failed to create typed patch object (/a; /v1, Kind=ConfigMap): {fault}")
        );
    }
}

#[test]
fn null_and_empty_are_owned_and_told_apart() {
    let mut stored = Stored::config_map();
    let data = |data: &str| {
        format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{data}}}"#)
    };
    stored.apply("m1", false, &data("null")).expect("null");
    assert_eq!(stored.managers(), [r#"m1 Apply {"f:data":{}}"#]);
    stored.apply("m1", false, &data(r#"{"x":"1","y":null}"#)).expect("a null member");
    assert_eq!(stored.managers(), [r#"m1 Apply {"f:data":{"f:x":{},"f:y":{}}}"#]);
    assert_eq!(stored.object.str_at(&["data", "y"]), Some(""));
}
