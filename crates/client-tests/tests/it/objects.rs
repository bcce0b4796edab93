//! One object of each of three kinds through its life.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::{config_map, of, refusal, start};

#[tokio::test]
async fn a_config_map_is_created_read_replaced_and_deleted() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    let created = config_maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    assert!(created.uid().is_some() && created.creation_timestamp().is_some());
    assert_eq!(config_maps.get("a").await.unwrap(), created);

    let mut changed = created.clone();
    changed.data.as_mut().unwrap().insert("k".into(), "2".into());
    let replaced = config_maps.replace("a", &PostParams::default(), &changed).await.unwrap();
    assert_eq!(replaced.data, changed.data);
    assert_eq!(replaced.uid(), created.uid());
    assert_ne!(replaced.resource_version(), created.resource_version());

    let listed = config_maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items, [replaced]);
    config_maps.delete("a", &DeleteParams::default()).await.unwrap().right().expect("a Status");
    assert_eq!(refusal(config_maps.get("a").await), (404, "NotFound".into()));
    assert_eq!(config_maps.get_opt("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_replace_of_an_older_revision_is_a_conflict() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    let first = config_maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let mut mine = first.clone();
    mine.data.as_mut().unwrap().insert("k".into(), "mine".into());
    let mut theirs = first;
    theirs.data.as_mut().unwrap().insert("k".into(), "theirs".into());
    config_maps.replace("a", &PostParams::default(), &theirs).await.unwrap();
    let lost = config_maps.replace("a", &PostParams::default(), &mine).await;
    assert_eq!(refusal(lost), (409, "Conflict".into()));
    assert_eq!(config_maps.get("a").await.unwrap().data, theirs.data);
}

#[tokio::test]
async fn a_name_can_be_taken_once_and_a_dry_run_takes_none() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    config_maps.create(&dry, &config_map("a", "1")).await.unwrap();
    assert_eq!(config_maps.get_opt("a").await.unwrap(), None);
    config_maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let again = config_maps.create(&PostParams::default(), &config_map("a", "2")).await;
    assert_eq!(refusal(again), (409, "AlreadyExists".into()));
}

#[tokio::test]
async fn a_pod_gets_its_defaults_and_its_status_is_written_apart() {
    let (_server, client) = start().await;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod: Pod = of(json!({
        "metadata": {"name": "p"},
        "spec": {"automountServiceAccountToken": false, "containers": [{"name": "c", "image": "busybox:1"}]},
        "status": {"phase": "Running"},
    }));
    let created = pods.create(&PostParams::default(), &pod).await.unwrap();
    let spec = created.spec.as_ref().unwrap();
    assert_eq!(spec.restart_policy.as_deref(), Some("Always"));
    assert_eq!(spec.containers[0].image_pull_policy.as_deref(), Some("IfNotPresent"));
    assert_eq!(
        created.status.as_ref().unwrap().phase.as_deref(),
        Some("Pending"),
        "status is not the client's"
    );

    let mut running = created.clone();
    running.status.as_mut().unwrap().phase = Some("Running".into());
    running.spec.as_mut().unwrap().containers[0].image = Some("other:1".into());
    let updated = pods.replace_status("p", &PostParams::default(), &running).await.unwrap();
    assert_eq!(updated.status.unwrap().phase.as_deref(), Some("Running"));
    assert_eq!(updated.spec.unwrap().containers[0].image.as_deref(), Some("busybox:1"), "spec is not status");

    // It runs nowhere, so nobody is waited for.
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    assert_eq!(pods.get_opt("p").await.unwrap(), None);
}

#[tokio::test]
async fn an_invalid_pod_is_refused_with_its_causes() {
    let (_server, client) = start().await;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod: Pod =
        of(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "C", "image": "i"}]}}));
    let Err(kube::Error::Api(status)) = pods.create(&PostParams::default(), &pod).await else {
        panic!("not refused");
    };
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    let details = status.details.as_ref().unwrap();
    assert!(details.causes.iter().any(|cause| cause.field == "spec.containers[0].name"), "{details:?}");
}

#[tokio::test]
async fn a_deployment_counts_its_generations_and_scales() {
    let (_server, client) = start().await;
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let deployment: Deployment = of(json!({
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "c", "image": "busybox:1"}]},
            },
        },
    }));
    let created = deployments.create(&PostParams::default(), &deployment).await.unwrap();
    assert_eq!(created.metadata.generation, Some(1));
    assert_eq!(created.spec.as_ref().unwrap().replicas, Some(1));
    assert_eq!(created.spec.as_ref().unwrap().revision_history_limit, Some(10));

    let mut scale = deployments.get_scale("d").await.unwrap();
    assert_eq!(scale.status.as_ref().unwrap().selector.as_deref(), Some("app=d"));
    scale.spec.as_mut().unwrap().replicas = Some(3);
    deployments.replace_scale("d", &PostParams::default(), &scale).await.unwrap();
    let scaled = deployments.get("d").await.unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(3));
    assert_eq!(scaled.metadata.generation, Some(2));
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_is_missing() {
    let (_server, client) = start().await;
    let there: Api<ConfigMap> = Api::namespaced(client.clone(), "there");
    let missing = there.create(&PostParams::default(), &config_map("a", "1")).await;
    assert_eq!(refusal(missing), (404, "NotFound".into()));
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.create(&PostParams::default(), &of(json!({"metadata": {"name": "there"}}))).await.unwrap();
    there.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
}
