//! Who owns which field, and configurations that are applied.

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Answer, Api};

const A: &str = "/api/v1/namespaces/n/configmaps/a";
const D: &str = "/apis/apps/v1/namespaces/n/deployments/d";
const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");
const APPLY: (&str, &str) = ("content-type", "application/apply-patch+yaml");

/// `manager operation subresource` of each entry.
fn managers(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let entries = body["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap_or("-").to_owned();
    entries
        .iter()
        .map(|entry| ["manager", "operation", "subresource"].map(|key| word(entry, key)).join(" "))
        .collect()
}

async fn apply(api: &Api, manager: &str, body: &str) -> Answer {
    api.send("PATCH", &format!("{A}?fieldManager={manager}"), &[APPLY], body.to_owned()).await
}

#[tokio::test]
async fn a_configuration_makes_an_object_and_changes_it_where_nobody_else_owns() {
    let api = Api::new();
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \"1\"}\n";
    let created = apply(&api, "m1", yaml).await;
    assert_eq!(created.code, StatusCode::CREATED, "{created:?}");
    let again = apply(&api, "m1", yaml).await;
    assert_eq!(again.code, StatusCode::OK);
    assert_eq!(again.json(), created.json(), "nothing is written");
    let conflict = apply(&api, "m2", &yaml.replace('1', "2").replace("v2", "v1")).await;
    assert_eq!(conflict.code, StatusCode::CONFLICT, "{conflict:?}");
    assert_eq!(conflict.json()["details"]["causes"][0]["field"], ".data.x");
    let forced = apply(&api, "m2&force=true", &yaml.replace("\"1\"", "\"2\"")).await;
    assert_eq!((forced.code, managers(&forced)), (StatusCode::OK, vec!["m2 Apply -".to_owned()]));
    let nameless = apply(&api, "", yaml).await;
    assert_eq!(nameless.code, StatusCode::UNPROCESSABLE_ENTITY, "{nameless:?}");
    let foreign = apply(&api, "m1", &yaml.replace("ConfigMap", "Secret")).await;
    assert_eq!(
        (foreign.code, foreign.message().as_str()),
        (StatusCode::BAD_REQUEST, "invalid object type: /v1, Kind=Secret")
    );
}

#[tokio::test]
async fn an_empty_list_of_managers_wipes_them_by_put_and_by_patch() {
    let api = Api::new();
    for entries in [json!([]), json!([{}])] {
        api.send("DELETE", A, &[], "").await;
        let created = api.create_config_map("a", "v").await;
        assert_eq!(managers(&created), ["unknown Update -"]);
        let mut body = created.json();
        body["metadata"]["managedFields"] = entries.clone();
        let replaced = api.send("PUT", A, &[], body.to_string()).await;
        assert_eq!(managers(&replaced), Vec::<String>::new(), "{entries}: {replaced:?}");

        api.send("DELETE", A, &[], "").await;
        api.create_config_map("a", "v").await;
        let patch = json!({"metadata": {"managedFields": entries}}).to_string();
        let patched = api.send("PATCH", A, &[MERGE], patch).await;
        assert_eq!(managers(&patched), Vec::<String>::new(), "{entries}: {patched:?}");
    }
}

#[tokio::test]
async fn status_and_scale_have_entries_of_their_own() {
    let api = Api::new();
    let body = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1}, "status": {"replicas": 9}});
    let url = "/apis/apps/v1/namespaces/n/deployments?fieldManager=creator";
    let created = api.send("POST", url, &[], body.to_string()).await;
    assert_eq!(created.code, StatusCode::CREATED, "{created:?}");
    assert!(
        created.json()["metadata"]["managedFields"][0]["fieldsV1"]["f:status"].is_null(),
        "reset is not owned"
    );
    let status = json!({"spec": {"replicas": 7}, "status": {"replicas": 1}}).to_string();
    let updated = api.send("PATCH", &format!("{D}/status?fieldManager=ctl"), &[MERGE], status).await;
    assert!(managers(&updated).contains(&"ctl Update status".to_owned()), "{updated:?}");
    let scale = json!({"spec": {"replicas": 3}}).to_string();
    let scaled = api.send("PATCH", &format!("{D}/scale?fieldManager=hpa"), &[MERGE], scale).await;
    assert_eq!(scaled.code, StatusCode::OK, "{scaled:?}");
    let read = api.send("GET", D, &[], "").await;
    let found = managers(&read);
    assert!(found.contains(&"hpa Update scale".to_owned()), "{found:?}");
    let apply = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 4}});
    let url = format!("{D}/scale?fieldManager=other");
    let conflict = api.send("PATCH", &url, &[APPLY], apply.to_string()).await;
    assert_eq!(conflict.code, StatusCode::CONFLICT, "{conflict:?}");
    let forced = api.send("PATCH", &format!("{url}&force=true"), &[APPLY], apply.to_string()).await;
    assert_eq!(forced.json()["spec"]["replicas"], 4, "{forced:?}");
    let found = managers(&api.send("GET", D, &[], "").await);
    assert!(
        found.contains(&"other Apply scale".to_owned()) && !found.contains(&"hpa Update scale".to_owned()),
        "{found:?}"
    );
}
