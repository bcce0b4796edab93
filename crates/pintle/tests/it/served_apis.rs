//! What is served and how it is stored, as flags choose it: `--runtime-config`,
//! `--storage-media-type`, and what `/metrics` tells about the store.

use http::StatusCode;
use registry::RuntimeConfig;
use storage::StorageMedia;
use test_server::TestServer;

use crate::served_set::all_definitions;

fn runtime(pairs: &[(&str, &str)]) -> RuntimeConfig {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn serving(pairs: &[(&str, &str)]) -> TestServer {
    let config = runtime(pairs);
    TestServer::start_with(|flags| flags.api.runtime_config = config).await.unwrap()
}

#[tokio::test]
async fn every_version_can_be_switched_on() {
    let server = serving(&[("api/all", "true")]).await;
    let client = server.client().unwrap();
    for definition in all_definitions() {
        let root = match definition.group.as_ref() {
            "" => format!("/api/{}", definition.version),
            group => format!("/apis/{group}/{}", definition.version),
        };
        let discovered = client.get(&root).await.unwrap().json();
        let listed = discovered["resources"].as_array().expect("a resource list");
        let found = listed.iter().any(|resource| resource["name"] == definition.resource.as_ref());
        assert!(found, "{} is not in discovery of {root}", definition.resource);
        if definition.serves("list") {
            let answer = client.get(&format!("{root}/{}", definition.resource)).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{root}: {}", answer.text());
        }
        if !definition.group.is_empty() && definition.group != "apiregistration.k8s.io" {
            let service = format!("{}.{}", definition.version, definition.group);
            let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{service}");
            assert_eq!(
                client.get(&path).await.unwrap().status,
                StatusCode::OK,
                "{service} has no APIService"
            );
        }
    }
}

#[tokio::test]
async fn a_beta_version_shows_the_objects_of_the_stable_one_in_its_own_form() {
    let server = serving(&[("resource.k8s.io/v1beta1", "true")]).await;
    let client = server.client().unwrap();
    let claim = serde_json::json!({
        "apiVersion": "resource.k8s.io/v1beta1", "kind": "ResourceClaim", "metadata": {"name": "a"},
        "spec": {"devices": {"requests": [{"name": "r", "deviceClassName": "c"}]}}
    });
    let place = |version: &str| format!("/apis/resource.k8s.io/{version}/namespaces/default/resourceclaims");
    let created = client.post(&place("v1beta1"), claim.to_string()).await.unwrap();
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text());
    assert_eq!(created.json()["spec"]["devices"]["requests"][0]["deviceClassName"], "c");
    let stable = client.get(&format!("{}/a", place("v1"))).await.unwrap().json();
    assert_eq!(stable["spec"]["devices"]["requests"][0]["exactly"]["deviceClassName"], "c");
    assert_eq!(client.get("/apis/resource.k8s.io/v1beta2").await.unwrap().status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_single_resource_can_be_switched_off() {
    let server = serving(&[("apps/v1/deployments", "false")]).await;
    let client = server.client().unwrap();
    let get = |path: &'static str| client.get(path);
    assert_eq!(get("/apis/apps/v1/deployments").await.unwrap().status, StatusCode::NOT_FOUND);
    assert_eq!(get("/apis/apps/v1/daemonsets").await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_switched_on() {
    let config = runtime(&[("apps/v9", "true")]);
    let started = TestServer::start_with(|flags| flags.api.runtime_config = config).await;
    let error = format!("{:#}", started.err().expect("refused"));
    assert_eq!(error, "--runtime-config: group version apps/v9 that has not been registered");
}

#[tokio::test]
async fn objects_are_read_back_whatever_media_type_they_were_stored_in() {
    let folder = tempfile::tempdir().unwrap();
    let media = [StorageMedia::Yaml, StorageMedia::Json, StorageMedia::Protobuf];
    for (i, media) in media.into_iter().enumerate() {
        let path = folder.path().to_owned();
        let server = TestServer::start_with(|flags| {
            flags.storage.data_dir = path;
            flags.storage.backend.media = media;
        })
        .await
        .unwrap();
        let client = server.client().unwrap();
        let map = serde_json::json!({"metadata": {"name": format!("map-{i}")}, "data": {"a": "yes"}});
        let maps = "/api/v1/namespaces/default/configmaps";
        assert_eq!(client.post(maps, map.to_string()).await.unwrap().status, StatusCode::CREATED);
        let listed = client.get(maps).await.unwrap().json();
        let items = listed["items"].as_array().expect("a list");
        let own = items.iter().filter(|item| item["data"]["a"] == "yes").count();
        assert_eq!(own, i + 1, "{media:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn metrics_tell_how_much_is_stored_when_they_are_read() {
    let server = TestServer::start().await.unwrap();
    let client = server.client().unwrap();
    let text = client.get("/metrics").await.unwrap().text();
    assert!(text.contains("apiserver_storage_objects{resource=\"namespaces\"} 4"), "{text}");
    assert!(text.contains("apiserver_resource_objects{group=\"\",resource=\"namespaces\"} 4"));
    assert!(text.contains("apiserver_resource_objects{group=\"apps\",resource=\"deployments\"} 0"));
    assert!(text.contains("apiserver_storage_size_bytes{storage_cluster_id=\"etcd-0\"}"));
    let silent = TestServer::start_with(|flags| {
        flags.storage.backend.count_metric_poll_period = std::time::Duration::ZERO;
        flags.storage.backend.db_metric_poll_interval = std::time::Duration::ZERO;
    });
    let text = silent.await.unwrap().client().unwrap().get("/metrics").await.unwrap().text();
    assert!(!text.contains("apiserver_storage_objects") && !text.contains("apiserver_storage_size_bytes"));
}
