//! The patches kube-rs can send.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::{config_map, of, refusal, start};

#[tokio::test]
async fn a_merge_patch_sets_and_removes() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    config_maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let patch = Patch::Merge(json!({"metadata": {"labels": {"l": "1"}}, "data": {"k": null, "other": "2"}}));
    let patched = config_maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.labels()["l"], "1");
    assert_eq!(patched.data.unwrap().into_iter().collect::<Vec<_>>(), [("other".to_owned(), "2".to_owned())]);
    let missing = config_maps.patch("missing", &PatchParams::default(), &patch).await;
    assert_eq!(refusal(missing), (404, "NotFound".into()));
}

#[tokio::test]
async fn a_patch_of_an_older_revision_is_a_conflict() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    let first = config_maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let patch = |value: &str| {
        let version = first.resource_version();
        Patch::Merge(json!({"metadata": {"resourceVersion": version}, "data": {"k": value}}))
    };
    config_maps.patch("a", &PatchParams::default(), &patch("2")).await.unwrap();
    let late = config_maps.patch("a", &PatchParams::default(), &patch("3")).await;
    assert_eq!(refusal(late), (409, "Conflict".into()));
}

#[tokio::test]
async fn a_json_patch_tests_and_replaces() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    config_maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let patch = |from: &str, to: &str| -> Patch<()> {
        Patch::Json(of(json!([
            {"op": "test", "path": "/data/k", "value": from},
            {"op": "replace", "path": "/data/k", "value": to},
            {"op": "add", "path": "/metadata/labels", "value": {"l": to}},
        ])))
    };
    let patched = config_maps.patch("a", &PatchParams::default(), &patch("1", "2")).await.unwrap();
    assert_eq!(patched.data.as_ref().unwrap()["k"], "2");
    assert_eq!(patched.labels()["l"], "2");
    let failed = config_maps.patch("a", &PatchParams::default(), &patch("1", "3")).await;
    assert_eq!(refusal(failed), (422, "Invalid".into()));
    assert_eq!(config_maps.get("a").await.unwrap(), patched);
}

#[tokio::test]
async fn a_strategic_merge_patch_merges_lists_by_their_key() {
    let (_server, client) = start().await;
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let deployment: Deployment = of(json!({
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]},
            },
        },
    }));
    deployments.create(&PostParams::default(), &deployment).await.unwrap();
    let containers = json!([{"name": "b", "image": "b:2"}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let images = |deployment: Deployment| -> Vec<String> {
        let spec = deployment.spec.unwrap().template.spec.unwrap();
        spec.containers.into_iter().filter_map(|container| container.image).collect()
    };
    let params = PatchParams::default();
    let merged = deployments.patch("d", &params, &Patch::Strategic(&patch)).await.unwrap();
    assert_eq!(images(merged), ["a:1", "b:2"]);
    let replaced = deployments.patch("d", &params, &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(images(replaced), ["b:2"]);
}

#[tokio::test]
async fn the_status_of_a_pod_is_patched_apart() {
    let (_server, client) = start().await;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let spec =
        json!({"automountServiceAccountToken": false, "containers": [{"name": "c", "image": "busybox:1"}]});
    pods.create(&PostParams::default(), &of(json!({"metadata": {"name": "p"}, "spec": spec}))).await.unwrap();
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    pods.patch_status("p", &PatchParams::default(), &Patch::Strategic(&ready)).await.unwrap();
    let scheduled = json!({"status": {"conditions": [{"type": "PodScheduled", "status": "True"}]}});
    let patched =
        pods.patch_status("p", &PatchParams::default(), &Patch::Strategic(&scheduled)).await.unwrap();
    let conditions = patched.status.unwrap().conditions.unwrap();
    let mut types: Vec<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, ["PodScheduled", "Ready"]);
}
