//! Patches and configurations that mean harm: too many, too large, too deep,
//! or just wrong. Each gets a Status, and the server goes on.

use serde_json::{Map, Value, json};
use test_server::TestServer;
use test_server::client::{Answer, Client};

use crate::runtime_types::send;

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct Api {
    _server: TestServer,
    client: Client,
}

impl Api {
    async fn new() -> Api {
        let server = TestServer::start().await.unwrap();
        let client = server.client().unwrap();
        Api { _server: server, client }
    }

    async fn create(&self, name: &str, data: Value) -> Answer {
        let body = json!({"metadata": {"name": name}, "data": data});
        self.client.post(MAPS, body.to_string()).await.unwrap()
    }

    async fn patch(&self, name: &str, media_type: &str, body: &str) -> Answer {
        send(&self.client, "PATCH", &format!("{MAPS}/{name}?fieldManager=m"), media_type, body).await
    }

    /// Refused with a Status of this code, and the object is what it was.
    async fn refuses(&self, media_type: &str, body: &str, status: u16, message: &str) {
        let before = self.client.get(&format!("{MAPS}/a")).await.unwrap();
        let answer = self.patch("a", media_type, body).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
        assert_eq!(answer.json()["kind"], "Status", "{shown}");
        assert!(answer.message().contains(message), "{shown}: {}", answer.message());
        assert_eq!(self.client.get(&format!("{MAPS}/a")).await.unwrap().text(), before.text());
    }
}

fn keys(count: usize, value: &Value) -> Value {
    let members = (0..count).rev().map(|i| (format!("k{i:06}"), value.clone()));
    Value::Object(members.collect::<Map<_, _>>())
}

#[tokio::test]
async fn an_object_too_large_with_its_owners_is_stored_without_them() {
    let api = Api::new().await;
    // About 1.0 MB of data, and as much of fields to own.
    let data = keys(62_000, &json!("v"));
    let created = api.create("a", data.clone()).await;
    assert_eq!(created.status, 201, "{}", created.message());
    assert!(created.json()["metadata"].get("managedFields").is_none());

    let small = api.create("b", json!({"a": "b"})).await;
    assert!(small.json()["metadata"].get("managedFields").is_some());
    let patched = api.patch("b", MERGE, &json!({"data": data}).to_string()).await;
    assert_eq!(patched.status, 200, "{}", patched.message());
    assert!(patched.json()["metadata"].get("managedFields").is_none());

    let applied = api
        .patch(
            "c",
            APPLY,
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
                .to_string(),
        )
        .await;
    assert_eq!(applied.status, 500, "who applies wants to own");
    assert_eq!(applied.message(), "etcdserver: request is too large");
}

#[tokio::test]
async fn patches_that_explode_are_refused() {
    let api = Api::new().await;
    api.create("a", json!({"k": "v"})).await;
    let operations = |operation: Value, count: usize| Value::Array(vec![operation; count]).to_string();
    let add = json!({"op": "add", "path": "/data/x", "value": ""});
    api.refuses(JSON_PATCH, &operations(add, 10_001), 413, "in a JSON patch is 10000, got 10001").await;
    let copy = |to: usize| json!({"op": "copy", "from": "/data", "path": format!("/data/x{to}")});
    let doubling = Value::Array((0..40).map(copy).collect());
    api.refuses(JSON_PATCH, &doubling.to_string(), 422, "the server rejected our request").await;
    let deep = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    for media_type in [MERGE, STRATEGIC] {
        api.refuses(media_type, &deep, 400, "exceeded max depth").await;
    }
    api.refuses(APPLY, &"[".repeat(5000), 400, "recursion limit exceeded").await;
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for pair in ["ab", "bc", "cd", "de", "ef", "fg", "gh"] {
        let (from, to) = pair.split_at(1);
        bomb.push_str(&format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 10].join(", ")));
    }
    api.refuses(APPLY, &bomb, 400, "excessive aliasing").await;
    let twice = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "finalizers": vec!["a.b/c"; 100_000]}});
    api.refuses(APPLY, &twice.to_string(), 500, "duplicate entries for key [=\"a.b/c\"]").await;
}

#[tokio::test]
async fn large_patches_that_make_sense_are_taken() {
    let api = Api::new().await;
    api.create("a", keys(20_000, &json!(""))).await;
    let removed = api.patch("a", MERGE, &json!({"data": keys(19_999, &Value::Null)}).to_string()).await;
    assert_eq!(removed.json()["data"], json!({"k019999": ""}));
    let added = api.patch("a", STRATEGIC, &json!({"data": keys(20_000, &json!("v"))}).to_string()).await;
    assert_eq!(added.json()["data"].as_object().map(Map::len), Some(20_000));
    let mut yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata:\n".to_owned();
    (0..10_000).rev().for_each(|i| yaml.push_str(&format!("  k{i}: v\n")));
    let applied = api.patch("b", APPLY, &yaml).await;
    assert_eq!(applied.status, 201, "{}", applied.text());
    let entries: Vec<Value> = (0..5_000)
        .map(|i| {
            json!({"manager": format!("m{i}"), "operation": "Update", "apiVersion": format!("v{}", i % 7),
                   "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {format!("f:k{i}"): {}}}})
        })
        .collect();
    let body = json!({"metadata": {"name": "c", "managedFields": entries}, "data": {"a": "b"}});
    let created = api.client.post(MAPS, body.to_string()).await.unwrap();
    let managers = created.json()["metadata"]["managedFields"].as_array().map(Vec::len);
    assert_eq!((created.status, managers), (201, Some(10)), "the newest, and the rest as one");
}

#[tokio::test]
async fn wrong_types_keys_and_names_are_refused_in_the_originals_words() {
    let api = Api::new().await;
    api.create("a", json!({"k": "v"})).await;
    let configuration = |rest: &str| format!("{{apiVersion: v1, kind: ConfigMap, {rest}}}");
    for (rest, status, message) in [
        (
            "metadata: {name: a}, data: {k: 1}",
            500,
            ".data.k: expected string, got &value.valueUnstructured{Value:1}",
        ),
        ("metadata: {name: a}, data: [k]", 500, ".data: expected map, got &{[k]}"),
        ("metadata: {name: a}, nope: 1", 500, ".nope: field not declared in schema"),
        ("metadata: {name: a, finalizers: [null]}", 500, "has an element that's an explicit null"),
        ("metadata: {name: b}", 400, "the name of the object (b) does not match the name on the URL (a)"),
        ("metadata: {name: a, namespace: other}", 400, "does not match the namespace"),
        ("metadata: {name: a, managedFields: []}", 400, "metadata.managedFields must be nil"),
        ("metadata: {name: a, resourceVersion: '1'}", 409, "the object has been modified"),
        ("metadata: {name: a, uid: x}", 422, "metadata.uid: Invalid value: \"x\": field is immutable"),
        ("metadata: [", 400, "error converting YAML to JSON"),
    ] {
        api.refuses(APPLY, &configuration(rest), status, message).await;
    }
    let absent = api.patch("b", APPLY, &configuration("metadata: {name: b, uid: x}")).await;
    assert_eq!(
        (absent.status, absent.message().as_str()),
        (
            409,
            "Operation cannot be fulfilled on configmaps \"b\": uid mismatch: the provided object specified uid x, \
             and no existing object was found"
        )
    );
    let nameless = api.patch("b", APPLY, &configuration("metadata: {generateName: b}")).await;
    assert_eq!(nameless.status, 400, "{}", nameless.text());
    assert!(nameless.message().contains("name must be provided"), "{}", nameless.message());
    let made = api.patch("c", APPLY, &configuration("metadata: {name: c, resourceVersion: '5'}")).await;
    assert_eq!(made.status, 201, "a resourceVersion locks nothing that is not there");
}
