//! Resources whose types are made at run time: created, replaced, patched,
//! applied, and who owns what. Declared and deduced fields walk the same road.

use http::Request;
use serde_json::{Value, json};
use test_server::TestServer;
use test_server::client::{Answer, Client};

use crate::widgets::{gadgets, widgets};

const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Sends a request with a body.
pub async fn send(client: &Client, method: &str, path: &str, media_type: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", media_type);
    client.request(request.body(body.to_owned().into()).unwrap()).await.unwrap()
}

/// A server of both resources, and requests about one object `x`.
struct Api {
    _server: TestServer,
    client: Client,
    resource: &'static str,
    kind: &'static str,
}

impl Api {
    async fn new(resource: &'static str, kind: &'static str) -> Api {
        let server = TestServer::start_serving(vec![widgets(), gadgets()]).await.unwrap();
        let client = server.client().unwrap();
        Api { _server: server, client, resource, kind }
    }

    fn object(&self, spec: Value) -> Value {
        json!({"apiVersion": "example.com/v1", "kind": self.kind, "metadata": {"name": "x"}, "spec": spec})
    }

    async fn create(&self, spec: Value) -> Answer {
        let path = format!("/apis/example.com/v1/namespaces/default/{}?fieldManager=creator", self.resource);
        send(&self.client, "POST", &path, JSON, &self.object(spec).to_string()).await
    }

    async fn send(&self, method: &str, rest: &str, media_type: &str, body: impl ToString) -> Answer {
        let path = format!("/apis/example.com/v1/namespaces/default/{}/x{rest}", self.resource);
        send(&self.client, method, &path, media_type, &body.to_string()).await
    }

    async fn apply(&self, manager: &str, spec: Value) -> Answer {
        self.send("PATCH", &format!("?fieldManager={manager}"), APPLY, self.object(spec)).await
    }
}

/// `manager operation fields` of each entry.
fn managers(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let entries = body["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap_or("-").to_owned();
    let line = |entry: &Value| {
        format!("{} {} {}", word(entry, "manager"), word(entry, "operation"), entry["fieldsV1"])
    };
    entries.iter().map(line).collect()
}

#[tokio::test]
async fn free_form_content_is_kept_as_it_came_and_metadata_is_that_of_every_object() {
    let api = Api::new("gadgets", "Gadget").await;
    let created =
        api.create(json!({"n": null, "empty": {}, "none": [], "f": 1.5, "deep": [{"a": [1]}]})).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let body = created.json();
    assert_eq!(body["spec"], json!({"n": null, "empty": {}, "none": [], "f": 1.5, "deep": [{"a": [1]}]}));
    assert_eq!(body["metadata"]["generation"], 1);
    let mut wrong = api.object(json!({}));
    wrong["metadata"]["labels"] = json!(5);
    let refused = send(
        &api.client,
        "POST",
        "/apis/example.com/v1/namespaces/default/gadgets",
        JSON,
        &wrong.to_string(),
    )
    .await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.message(),
        "Gadget in version \"v1\" cannot be handled as a Gadget: json: cannot unmarshal number into Go struct \
         field ObjectMeta.labels of type map[string]string"
    );
    let listed = api.client.get("/apis/example.com/v1/gadgets").await.unwrap().json();
    assert_eq!(
        (listed["kind"].as_str(), listed["items"].as_array().map(Vec::len)),
        (Some("GadgetList"), Some(1))
    );
}

#[tokio::test]
async fn updates_are_tracked_field_by_field_without_a_schema() {
    let api = Api::new("gadgets", "Gadget").await;
    let created = api.create(json!({"a": "1", "m": {"k": "v"}, "list": [1, 2], "empty": {}})).await;
    assert_eq!(
        managers(&created),
        [r#"creator Update {"f:spec":{".":{},"f:a":{},"f:empty":{},"f:list":{},"f:m":{".":{},"f:k":{}}}}"#]
    );
    let mut body = created.json();
    body["spec"]["list"] = json!([2, 1]);
    body["spec"]["m"]["j"] = json!({"x": 1});
    let replaced = api.send("PUT", "?fieldManager=second", JSON, &body).await;
    assert_eq!(
        managers(&replaced),
        [
            r#"creator Update {"f:spec":{".":{},"f:a":{},"f:empty":{},"f:m":{".":{},"f:k":{}}}}"#,
            r#"second Update {"f:spec":{"f:list":{},"f:m":{"f:j":{".":{},"f:x":{}}}}}"#,
        ]
    );
    let nothing = api.send("PUT", "?fieldManager=third", JSON, replaced.json()).await;
    assert_eq!(nothing.json(), replaced.json(), "an update that changes nothing writes nothing");
}

#[tokio::test]
async fn json_and_merge_patches_work_and_strategic_ones_are_refused() {
    let api = Api::new("gadgets", "Gadget").await;
    api.create(json!({"a": "1", "list": [{"name": "x"}], "m": {"k": "v"}})).await;
    let merged = api.send("PATCH", "", MERGE, json!({"spec": {"m": {"k": null}, "list": [3]}})).await;
    assert_eq!(merged.json()["spec"], json!({"a": "1", "list": [3], "m": {}}));
    let patch = json!([{"op": "add", "path": "/spec/list/-", "value": {"q": []}}, {"op": "test", "path": "/spec/a", "value": "1"}]);
    let patched = api.send("PATCH", "", JSON_PATCH, &patch).await;
    assert_eq!(patched.json()["spec"]["list"], json!([3, {"q": []}]));
    let refused = api.send("PATCH", "", STRATEGIC, json!({"spec": {}})).await;
    assert_eq!(refused.status, 415);
    assert_eq!(
        refused.message(),
        "the body of the request was in an unknown format - accepted media types include: \
         application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    );
    let wrong = api.send("PATCH", "", MERGE, json!({"metadata": {"labels": {"a": 1}}})).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text());
    let unknown = api.send("PATCH", "?fieldValidation=Strict", MERGE, json!({"metadata": {"nope": 1}})).await;
    assert_eq!(unknown.status, 422, "{}", unknown.text());
    assert!(unknown.message().contains("unknown field \"metadata.nope\""), "{}", unknown.message());
}

#[tokio::test]
async fn deduced_fields_have_owners_conflicts_and_are_given_up() {
    let api = Api::new("gadgets", "Gadget").await;
    let created = api.apply("m1", json!({"a": "1", "list": ["x"], "m": {"k": "v"}})).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(
        managers(&created),
        [r#"m1 Apply {"f:spec":{".":{},"f:a":{},"f:list":{},"f:m":{".":{},"f:k":{}}}}"#]
    );
    let conflict = api.apply("m2", json!({"list": ["y"], "m": {"j": "v"}})).await;
    assert_eq!(conflict.status, 409);
    assert_eq!(conflict.message(), "Apply failed with 1 conflict: conflict with \"m1\": .spec.list");
    let shared = api.apply("m2", json!({"a": "1", "m": {"j": "v"}})).await;
    assert_eq!(shared.json()["spec"], json!({"a": "1", "list": ["x"], "m": {"j": "v", "k": "v"}}));
    let less = api.apply("m1", json!({"m": {}})).await;
    assert_eq!(less.json()["spec"], json!({"a": "1", "m": {"j": "v"}}), "a is m2's still");
    let forced = api
        .send("PATCH", "?fieldManager=m3&force=true", APPLY, api.object(json!({"a": [1, {"b": 2}]})))
        .await;
    assert_eq!(forced.json()["spec"]["a"], json!([1, {"b": 2}]), "a scalar becomes a list");
    assert_eq!(
        managers(&forced)[1..],
        [
            r#"m2 Apply {"f:spec":{".":{},"f:m":{".":{},"f:j":{}}}}"#,
            r#"m3 Apply {"f:spec":{".":{},"f:a":{}}}"#
        ]
    );
    let again = api
        .send("PATCH", "?fieldManager=m3&force=true", APPLY, api.object(json!({"a": [1, {"b": 2}]})))
        .await;
    assert_eq!(again.json(), forced.json(), "applying twice is applying once");
}

#[tokio::test]
async fn status_is_a_door_of_its_own() {
    let api = Api::new("gadgets", "Gadget").await;
    api.apply("m1", json!({"a": "1"})).await;
    let mut configuration = api.object(json!({"a": "9"}));
    configuration["status"] = json!({"s": 1});
    let main = api.send("PATCH", "?fieldManager=m1", APPLY, &configuration).await;
    assert_eq!((&main.json()["status"], &main.json()["spec"]["a"]), (&Value::Null, &json!("9")));
    configuration["spec"] = json!({"a": "no"});
    let status = api.send("PATCH", "/status?fieldManager=ctl", APPLY, &configuration).await;
    assert_eq!(status.json()["status"], json!({"s": 1}), "{}", status.text());
    assert_eq!(status.json()["spec"], json!({"a": "9"}));
    assert!(managers(&status).contains(&r#"ctl Apply {"f:status":{".":{},"f:s":{}}}"#.to_owned()));
}

#[tokio::test]
async fn declared_fields_merge_as_declared() {
    let api = Api::new("widgets", "Widget").await;
    let items = |items: Value| json!({"items": items, "set": ["b"]});
    let created = api.apply("m1", items(json!([{"name": "x", "value": "1"}, {"name": "y"}]))).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let second = api.apply("m2", json!({"items": [{"name": "z"}], "set": ["a"]})).await;
    let names = |answer: &Answer| -> Vec<String> {
        let body = answer.json();
        let items = body["spec"]["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names(&second), ["x", "y", "z"]);
    assert_eq!(second.json()["spec"]["set"], json!(["b", "a"]));
    let wrong = api.apply("m1", items(json!([{"name": "x", "value": 1}]))).await;
    assert_eq!(
        (wrong.status, wrong.message().as_str()),
        (
            500,
            "failed to create typed patch object (/x; example.com/v1, Kind=Widget): .spec.items[name=\"x\"].value: \
             expected string, got &value.valueUnstructured{Value:1}"
        )
    );
    let taken = api.apply("m3", items(json!([{"name": "x", "value": "2"}]))).await;
    assert_eq!(
        (taken.status, taken.message().as_str()),
        (409, "Apply failed with 1 conflict: conflict with \"m1\": .spec.items[name=\"x\"].value")
    );
}
