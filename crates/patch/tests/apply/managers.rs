//! Who is a manager, since when, and how many there may be.

use patch::apply::FieldSet;
use patch::apply::scale::{ReplicasPath, to_parent, to_scale};
use schema::Value;

use crate::harness::{Stored, json};

fn data(data: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{data}}}"#)
}

fn with_managers(entries: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a","managedFields":{entries}}},"data":{{"x":"1"}}}}"#
    )
}

#[test]
fn the_time_moves_only_when_the_fields_do() {
    let mut stored = Stored::config_map();
    stored.apply("m1", false, &data(r#"{"x":"1"}"#)).expect("new");
    let first = stored.time_of("m1").expect("a manager");
    stored.apply("m1", false, &data(r#"{"x":"1"}"#)).expect("the same");
    assert_eq!(stored.time_of("m1").as_ref(), Some(&first));
    stored.apply("m2", false, &data(r#"{"x":"1"}"#)).expect("shared");
    assert_eq!(stored.time_of("m2").as_deref(), Some(""), "a new manager of what stands there has no time");
    stored.update("u", &data(r#"{"x":"1"}"#));
    assert_eq!(stored.time_of("u"), None, "an update that changes nothing owns nothing");
    stored.apply("m1", false, &data(r#"{"x":"1","y":"1"}"#)).expect("its own");
    assert!(stored.time_of("m1") > Some(first));
}

#[test]
fn what_stood_there_before_anybody_applied_has_an_owner() {
    let mut stored = Stored::config_map();
    stored.update("u", &data(r#"{"x":"1"}"#));
    stored.update("u", &with_managers("[{}]"));
    assert_eq!(stored.managers(), Vec::<String>::new(), "wiped");
    stored.update("u", &data(r#"{"x":"2"}"#));
    assert_eq!(stored.managers(), Vec::<String>::new(), "updates alone do not begin tracking");
    let refusal = stored.apply("m1", false, &data(r#"{"x":"3"}"#)).expect_err("owned");
    assert_eq!(
        refusal,
        r#"Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.x"#
    );
    stored.apply("m1", true, &data(r#"{"x":"3"}"#)).expect("by force");
    assert_eq!(
        stored.managers(),
        [r#"m1 Apply {"f:data":{"f:x":{}}}"#, r#"before-first-apply Update {"f:data":{}}"#]
    );
}

#[test]
fn entries_that_clients_send_are_taken_if_they_make_sense() {
    let mut stored = Stored::config_map();
    stored.update("u", &data(r#"{"x":"1"}"#));
    let crafted = r#"[{"manager":"crafted","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:x":{}}}}]"#;
    stored.update("u", &with_managers(crafted));
    let expected = [r#"crafted Apply {"f:data":{"f:x":{}}}"#];
    assert_eq!(stored.managers(), expected);
    for nonsense in [
        r#"[{"manager":"bad","operation":"Nope","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{}}]"#,
        r#"[{"manager":"bad","operation":"Apply","apiVersion":"v1","fieldsType":"X","fieldsV1":{}}]"#,
        r#"[{"manager":"bad","operation":"Apply","fieldsType":"FieldsV1","fieldsV1":{}}]"#,
        r#"[{"manager":"bad","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"i:x":{}}}]"#,
    ] {
        stored.update("u", &with_managers(nonsense));
        assert_eq!(stored.managers(), expected, "{nonsense}");
    }
    let gone = r#"[{"manager":"old","operation":"Update","apiVersion":"bogus/v9","fieldsType":"FieldsV1","fieldsV1":{"f:data":{}}}]"#;
    stored.update("u", &with_managers(gone));
    assert_eq!(stored.managers(), Vec::<String>::new(), "nobody owns fields of a version that is gone");
}

#[test]
fn an_endpoint_owns_only_what_it_can_write() {
    let mut stored = Stored::deployment();
    stored.reset = FieldSet::of_path(&["status"]);
    let body = |replicas: u32, observed: u32| {
        format!(
            r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"d"}},
                "spec":{{"replicas":{replicas}}},"status":{{"replicas":{observed}}}}}"#
        )
    };
    stored.apply("m1", false, &body(1, 5)).expect("new");
    assert_eq!(stored.managers(), [r#"m1 Apply {"f:spec":{"f:replicas":{}}}"#]);
    stored.reset = FieldSet::of_path(&["spec"]);
    stored.subresource = "status";
    stored.apply("ctl", false, &body(9, 2)).expect("the status");
    assert_eq!(
        stored.managers(),
        [r#"ctl Apply status {"f:status":{"f:replicas":{}}}"#, r#"m1 Apply {"f:spec":{"f:replicas":{}}}"#]
            .map(str::to_owned)
            .iter()
            .rev()
            .cloned()
            .collect::<Vec<_>>(),
        "the older entry comes first"
    );
}

#[test]
fn an_endpoint_of_some_fields_owns_only_those() {
    let mut stored = Stored::new("", "v1", "Pod", "v1");
    let pod = |image: &str, cpu: &str| {
        format!(
            r#"{{"metadata":{{"name":"p"}},"spec":{{"containers":[{{"name":"c","image":"{image}",
                "resources":{{"limits":{{"cpu":"{cpu}"}}}}}}]}}}}"#
        )
    };
    stored.update("creator", &pod("i", "1"));
    stored.subresource = "resize";
    stored.only = &[&["spec", "containers", "*", "resources"]];
    stored.update("resizer", &pod("i", "2"));
    let resize =
        r#"{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{"f:resources":{"f:limits":{"f:cpu":{}}}}}}}"#;
    assert_eq!(stored.managers()[1], format!("resizer Update resize {resize}"));
    stored
        .apply(
            "applier",
            true,
            &pod("j", "2").replace("\"metadata\"", r#""apiVersion":"v1","kind":"Pod","metadata""#),
        )
        .expect("its own");
    assert_eq!(
        stored.managers()[0],
        concat!(
            r#"applier Apply resize {"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":"#,
            r#"{".":{},"f:resources":{"f:limits":{"f:cpu":{}}}}}}}"#
        )
    );
}

#[test]
fn the_oldest_managers_of_updates_are_merged_beyond_ten() {
    let mut stored = Stored::config_map();
    let mut members: Vec<String> = Vec::new();
    for i in 0..14 {
        members.push(format!(r#""k{i:02}":"1""#));
        stored.update(&format!("m{i:02}"), &data(&format!("{{{}}}", members.join(","))));
    }
    let managers = stored.managers();
    assert_eq!(managers.len(), 10, "{managers:?}");
    let ancient = managers.iter().find(|line| line.starts_with("ancient-changes ")).expect("a bucket");
    assert!(["k00", "k01", "k02", "k03", "k04"].iter().all(|key| ancient.contains(key)), "{ancient}");
    assert!(!ancient.contains("k05"), "{ancient}");
}

#[test]
fn kubectl_takes_over_what_it_applied_on_the_client_s_side() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let applied = data(r#"{"x":"1","y":"1"}"#).replace('"', "\\\"");
    let body = |y: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a","annotations":{{"{annotation}":"{applied}"}}}},
                "data":{{"x":"1","y":"{y}"}}}}"#
        )
    };
    let mut stored = Stored::config_map();
    stored.update("kubectl-client-side-apply", &body("1"));
    assert!(stored.apply("other", false, &data(r#"{"x":"2","y":"1"}"#)).is_err(), "only kubectl may");
    stored.apply("kubectl", false, &data(r#"{"x":"2","y":"1"}"#)).expect("its own");
    let kept = stored.object.str_at(&["metadata", "annotations", annotation]).expect("kept true");
    assert_eq!(json(kept).str_at(&["data", "x"]), Some("2"));

    let mut changed = Stored::config_map();
    changed.update("kubectl-client-side-apply", &body("1"));
    changed.update("hand", &body("3"));
    let refusal =
        changed.apply("kubectl", false, &data(r#"{"x":"2","y":"2"}"#)).expect_err("y is the hand's");
    assert_eq!(refusal, r#"Apply failed with 1 conflict: conflict with "hand" using v1: .data.y"#);
}

#[test]
fn managers_may_not_be_applied() {
    let mut stored = Stored::config_map();
    for entries in ["[]", "[{}]"] {
        let refusal = stored.apply("m", false, &with_managers(entries)).expect_err(entries);
        assert_eq!(refusal, "metadata.managedFields must be nil");
    }
    stored.apply("m", false, &with_managers("null")).expect("null is nothing");
}

#[test]
fn replicas_are_owned_through_their_scale() {
    let replicas = ReplicasPath { path: &["spec", "replicas"], api_version: "apps/v1" };
    let entry = |manager: &str, operation: &str, version: &str, fields: &str| {
        json(&format!(
            r#"{{"manager":"{manager}","operation":"{operation}","apiVersion":"{version}","fieldsType":"FieldsV1","fieldsV1":{fields}}}"#
        ))
    };
    let parent = [
        entry("creator", "Update", "apps/v1", r#"{"f:spec":{"f:paused":{},"f:replicas":{}}}"#),
        entry("labels", "Update", "apps/v1", r#"{"f:metadata":{"f:labels":{"f:a":{}}}}"#),
    ];
    let shown = to_scale(&parent, replicas).expect("good entries").expect("an owner");
    let shown = shown.as_list().expect("a list");
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].str_at(&["apiVersion"]), Some("autoscaling/v1"));

    let taken = [entry("hpa", "Update", "autoscaling/v1", r#"{"f:spec":{"f:replicas":{}}}"#)];
    let merged = to_parent(&parent, &taken, replicas).expect("good entries").expect("owners");
    let lines: Vec<String> = merged
        .as_list()
        .expect("a list")
        .iter()
        .map(|entry| {
            let Some(Value::Raw(fields)) = entry.get("fieldsV1") else { panic!("{entry:?}") };
            format!(
                "{} {} {fields}",
                entry.str_at(&["manager"]).unwrap_or_default(),
                entry.str_at(&["apiVersion"]).unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            r#"creator apps/v1 {"f:spec":{"f:paused":{}}}"#,
            r#"hpa apps/v1 {"f:spec":{"f:replicas":{}}}"#,
            r#"labels apps/v1 {"f:metadata":{"f:labels":{"f:a":{}}}}"#,
        ]
    );
}
