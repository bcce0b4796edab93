//! Single objects: created, read, replaced, patched, deleted, scaled.

use http::StatusCode;
use serde_json::json;

use crate::harness::{Api, POISON, body_of};

const A: &str = "/api/v1/namespaces/n/configmaps/a";
const TABLE: (&str, &str) = ("accept", "application/json;as=Table;g=meta.k8s.io;v=v1");
const PARTIAL: (&str, &str) = ("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");

#[tokio::test]
async fn an_object_lives_from_post_to_delete() {
    let api = Api::new();
    let created = api.create_config_map("a", "v").await;
    assert!(
        created.body.starts_with(br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a""#),
        "{created:?}"
    );
    assert!(created.body.ends_with(b"}\n"));
    let read = api.send("GET", A, &[], "").await;
    assert_eq!(read.json(), created.json());
    assert_eq!(read.headers["cache-control"], "no-cache, private");
    assert!(read.headers.contains_key("audit-id"));

    let mut changed = read.json();
    changed["data"] = json!({"k": "w"});
    let replaced = api.send("PUT", A, &[], changed.to_string()).await;
    assert_eq!((replaced.code, &replaced.json()["data"]["k"]), (StatusCode::OK, &json!("w")));
    let stale = api.send("PUT", A, &[], changed.to_string()).await;
    assert_eq!(stale.code, StatusCode::CONFLICT, "the resourceVersion is that of the first read");

    let patched = api.send("PATCH", A, &[MERGE], r#"{"data":{"k":null,"x":"y"}}"#).await;
    assert_eq!((patched.code, &patched.json()["data"]), (StatusCode::OK, &json!({"x": "y"})));

    let deleted = api.send("DELETE", A, &[], "").await;
    assert_eq!(deleted.json()["status"], "Success");
    assert_eq!(deleted.json()["details"]["uid"], created.json()["metadata"]["uid"]);
    let gone = api.send("GET", A, &[], "").await;
    assert_eq!((gone.code, gone.message().as_str()), (StatusCode::NOT_FOUND, r#"configmaps "a" not found"#));
}

#[tokio::test]
async fn one_object_has_many_forms() {
    let api = Api::new();
    api.create_config_map("a", "v").await;
    let yaml = api.send("GET", A, &[("accept", "application/yaml")], "").await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    assert!(yaml.body.starts_with(b"apiVersion: v1\ndata:\n  k: v\nkind: ConfigMap\n"), "{yaml:?}");
    let protobuf = api.send("GET", A, &[("accept", "application/vnd.kubernetes.protobuf")], "").await;
    assert!(protobuf.body.starts_with(b"k8s\0"));
    let table = api.send("GET", A, &[TABLE], "").await.json();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let partial = api.send("GET", A, &[PARTIAL], "").await.json();
    assert_eq!(
        (&partial["kind"], &partial["metadata"]["labels"]),
        (&json!("PartialObjectMetadata"), &json!({"l": "1"}))
    );
    assert!(partial.get("data").is_none());
    let pretty = api.send("GET", &format!("{A}?pretty=1"), &[], "").await;
    assert!(pretty.body.starts_with(b"{\n  \"kind\": \"ConfigMap\",\n"), "{pretty:?}");
}

#[tokio::test]
async fn a_protobuf_body_is_as_good_as_json() {
    let api = Api::new();
    api.create_config_map("a", "v").await;
    let protobuf = ("accept", "application/vnd.kubernetes.protobuf");
    let body = api.send("GET", A, &[protobuf], "").await.body;
    let content = ("content-type", "application/vnd.kubernetes.protobuf");
    let replaced = api.send("PUT", A, &[content], body).await;
    assert_eq!((replaced.code, &replaced.json()["data"]["k"]), (StatusCode::OK, &"v".into()), "{replaced:?}");
}

#[tokio::test]
async fn a_scale_reads_and_writes_replicas() {
    let api = Api::new();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "d"}},
                 "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": []}}},
    });
    let collection = "/apis/apps/v1/namespaces/n/deployments";
    let created = api.send("POST", collection, &[], deployment.to_string()).await;
    assert_eq!(created.code, StatusCode::CREATED, "{created:?}");
    let scale = format!("{collection}/d/scale");
    let read = api.send("GET", &scale, &[], "").await.json();
    assert_eq!(
        (&read["kind"], &read["spec"], &read["status"]["selector"]),
        (&json!("Scale"), &json!({"replicas": 1}), &json!("app=d"))
    );
    let patched = api.send("PATCH", &scale, &[MERGE], r#"{"spec":{"replicas":5}}"#).await;
    assert_eq!(
        (patched.code, &patched.json()["spec"]["replicas"]),
        (StatusCode::OK, &json!(5)),
        "{patched:?}"
    );
    let object = api.send("GET", &format!("{collection}/d"), &[], "").await.json();
    assert_eq!((&object["spec"]["replicas"], &object["metadata"]["generation"]), (&json!(5), &json!(2)));
    let negative = api.send("PATCH", &scale, &[MERGE], r#"{"spec":{"replicas":-1}}"#).await;
    assert_eq!(
        negative.message(),
        r#"Scale.autoscaling "d" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#
    );
}

#[tokio::test]
async fn unknown_fields_are_dropped_warned_about_or_refused() {
    let api = Api::new();
    let send = async |name: &str, validation: &str| {
        let body = format!(r#"{{"metadata":{{"name":"{name}"}},"bogus":1}}"#);
        let url = format!("/api/v1/namespaces/n/configmaps?fieldValidation={validation}");
        api.send("POST", &url, &[], body).await
    };
    assert!(!send("ignored", "Ignore").await.headers.contains_key("warning"));
    assert_eq!(send("warned", "Warn").await.headers["warning"], r#"299 - "unknown field \"bogus\"""#);
    let refused = send("refused", "Strict").await;
    assert_eq!(
        refused.message(),
        r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "bogus""#
    );
}

#[tokio::test]
async fn a_panic_costs_one_answer_only() {
    let api = Api::new();
    let body = format!(r#"{{"metadata":{{"name":"{POISON}"}}}}"#);
    let answer = api.send("POST", "/api/v1/namespaces/n/configmaps", &[], body).await;
    assert_eq!(answer.code, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(&answer.body[..], b"This request caused apiserver to panic. Look in the logs for details.\n");
    assert_eq!(api.services.metrics.panics.get(), 1);
    api.create_config_map("a", "v").await;
}

#[tokio::test]
async fn who_may_not_learns_nothing_about_body_or_path() {
    let api = Api::new();
    // A body that would be refused if anybody looked at it: authorization comes first (INV-7).
    let answer = api.send_as_nobody("POST", "/api/v1/namespaces/n/configmaps", body_of("{")).await;
    assert_eq!(answer.code, StatusCode::FORBIDDEN);
    assert_eq!(
        answer.message(),
        r#"configmaps is forbidden: User "nobody" cannot create resource "configmaps" in API group "" in the namespace "n""#
    );
    let unknown = api.send_as_nobody("GET", "/apis/x.y/v1/things", body_of("")).await;
    assert_eq!(unknown.code, StatusCode::FORBIDDEN, "not 404");
}
