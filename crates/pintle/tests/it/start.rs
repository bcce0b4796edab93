//! The first minute with the binary: no configuration, one folder, a kubeconfig.

use crate::process::{Pintle, contents};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn an_empty_folder_is_enough_and_the_block_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    // A folder that does not exist yet is made.
    let data = folder.path().join("new/data");
    let pintle = Pintle::start(&data).await;
    let data = data.canonicalize().unwrap();
    assert!(pintle.block[0].starts_with("Pintle "), "{}", pintle.block[0]);
    let version = format!(" serves Kubernetes {} at https://127.0.0.1:", pintle::KUBERNETES_VERSION);
    assert!(pintle.block[0].contains(&version), "{}", pintle.block[0]);
    assert!(pintle.block[1].ends_with(data.to_str().unwrap()), "{}", pintle.block[1]);
    let kubeconfig = data.join("kubeconfig");
    let hint = format!("kubectl --kubeconfig {} get namespaces", kubeconfig.display());
    assert!(pintle.block[2].ends_with(&hint), "{}", pintle.block[2]);

    let admin = pintle.admin();
    let listed = admin.get("/api/v1/namespaces").await.unwrap().json();
    let names: Vec<&str> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);
    assert_eq!(admin.get("/readyz").await.unwrap().text(), "ok");
    pintle.stop().await;
}

#[tokio::test]
async fn a_second_start_finds_objects_credentials_and_revisions_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = Pintle::start(folder.path()).await;
    let body = r#"{"metadata":{"name":"kept"},"data":{"k":"v"}}"#;
    let created = first.admin().post(CONFIG_MAPS, body).await.unwrap();
    assert_eq!(created.status, 201, "{}", created.text());
    let kept: Vec<_> = contents(&folder.path().join("pki")).into_values().collect();
    first.stop().await;

    let second = Pintle::start(folder.path()).await;
    let found = second.admin().get(&format!("{CONFIG_MAPS}/kept")).await.unwrap();
    assert_eq!(found.json(), created.json());
    assert_eq!(contents(&folder.path().join("pki")).into_values().collect::<Vec<_>>(), kept);
    let next = second.admin().post(CONFIG_MAPS, r#"{"metadata":{"name":"next"}}"#).await.unwrap().json();
    assert!(revision(&next) > revision(&created.json()), "{next}");
    second.stop().await;
}

#[tokio::test]
async fn flow_schemas_are_there_lead_somewhere_and_are_not_written_again() {
    const EXEMPT: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/exempt";
    let folder = tempfile::tempdir().unwrap();
    let first = Pintle::start(folder.path()).await;
    let exempt = first.admin().get(EXEMPT).await.unwrap().json();
    let condition = &exempt["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&"Dangling".into(), &"False".into()), "{exempt}");
    first.stop().await;
    let second = Pintle::start(folder.path()).await;
    assert_eq!(second.admin().get(EXEMPT).await.unwrap().json(), exempt);
    second.stop().await;
}

#[tokio::test]
async fn secrets_of_the_folder_are_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let pintle = Pintle::start(&data).await;
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o077;
    assert_eq!(mode(&data), 0, "the folder is open to others");
    for secret in ["kubeconfig", "admin.token", "pki/ca.key", "pki/apiserver.key", "pki/admin.key"] {
        assert_eq!(mode(&data.join(secret)), 0, "{secret} can be read by others");
    }
    pintle.stop().await;
}

fn revision(object: &serde_json::Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}
