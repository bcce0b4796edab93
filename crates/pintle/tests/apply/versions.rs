//! Ownership across versions of a kind: whoever applies in one version owns
//! fields of that version, and conflicts are found and told in it.

use serde_json::{Value, json};
use test_server::TestServer;
use test_server::client::{Answer, Client};

use crate::runtime_types::send;

async fn apply(client: &Client, version: &str, manager: &str, spec: Value) -> Answer {
    let mut spec = spec;
    spec["scaleTargetRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let body = json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
                      "metadata": {"name": "h"}, "spec": spec});
    let path = format!(
        "/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers/h?fieldManager={manager}"
    );
    send(client, "PATCH", &path, "application/apply-patch+yaml", &body.to_string()).await
}

fn cpu(utilization: u8) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": utilization});
    json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}])
}

/// `manager version` of who owns metrics, in whatever form the version has them.
fn owners_of_metrics(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let entries = body["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let owns = |entry: &&Value| {
        let spec = &entry["fieldsV1"]["f:spec"];
        !spec["f:metrics"].is_null() || !spec["f:targetCPUUtilizationPercentage"].is_null()
    };
    let shown = |entry: &Value| {
        let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("manager"), word("apiVersion"))
    };
    entries.iter().filter(owns).map(shown).collect()
}

#[tokio::test]
async fn a_field_is_owned_in_the_version_it_was_applied_in() {
    let server = TestServer::start().await.unwrap();
    let client = server.client().unwrap();
    let created = apply(&client, "v2", "two", json!({"maxReplicas": 5, "metrics": cpu(50)})).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(owners_of_metrics(&created), ["two autoscaling/v2"]);

    // The same in the words of another version is shared, not taken.
    let shared =
        apply(&client, "v1", "one", json!({"maxReplicas": 5, "targetCPUUtilizationPercentage": 50})).await;
    assert_eq!(shared.status, 200, "{}", shared.text());
    assert_eq!(owners_of_metrics(&shared), ["one autoscaling/v1", "two autoscaling/v2"]);

    let conflict =
        apply(&client, "v1", "one", json!({"maxReplicas": 5, "targetCPUUtilizationPercentage": 60})).await;
    assert_eq!(
        (conflict.status, conflict.message().as_str()),
        (409, "Apply failed with 1 conflict: conflict with \"two\": .spec.metrics")
    );
    let other = apply(&client, "v2", "two", json!({"maxReplicas": 5, "metrics": cpu(70)})).await;
    assert_eq!(
        (other.status, other.message().as_str()),
        (409, "Apply failed with 1 conflict: conflict with \"one\": .spec.targetCPUUtilizationPercentage")
    );

    // Given up by one, still held by the other; given up by both, it has its default again.
    let given_up = apply(&client, "v1", "one", json!({"maxReplicas": 5})).await;
    assert_eq!(owners_of_metrics(&given_up), ["two autoscaling/v2"]);
    assert_eq!(given_up.json()["spec"]["targetCPUUtilizationPercentage"], 50);
    let moved = apply(&client, "v1", "two", json!({"maxReplicas": 5})).await;
    assert_eq!((owners_of_metrics(&moved), moved.status), (Vec::new(), 200), "{}", moved.text());
    assert_eq!(moved.json()["spec"]["targetCPUUtilizationPercentage"], 80);
}

#[tokio::test]
async fn an_update_in_one_version_takes_what_it_changes_in_all() {
    let server = TestServer::start().await.unwrap();
    let client = server.client().unwrap();
    apply(&client, "v2", "two", json!({"maxReplicas": 5, "metrics": cpu(50)})).await;
    let path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/h?fieldManager=one";
    let patch = json!({"spec": {"targetCPUUtilizationPercentage": 60}}).to_string();
    let updated = send(&client, "PATCH", path, "application/merge-patch+json", &patch).await;
    assert_eq!(updated.status, 200, "{}", updated.text());
    assert_eq!(owners_of_metrics(&updated), ["one autoscaling/v1"]);
}
