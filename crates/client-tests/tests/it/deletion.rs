//! Deletes that wait, that ask first, and that take many.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::{config_map, refusal, start};

#[tokio::test]
async fn an_object_with_a_finalizer_stays_until_it_is_taken_off() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    let mut object = config_map("a", "1");
    object.finalizers_mut().push("example.com/mine".into());
    config_maps.create(&PostParams::default(), &object).await.unwrap();

    let deleting =
        config_maps.delete("a", &DeleteParams::default()).await.unwrap().left().expect("the object");
    assert!(deleting.metadata.deletion_timestamp.is_some());
    // The second delete changes nothing.
    config_maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(config_maps.get("a").await.unwrap().finalizers(), ["example.com/mine"]);
    let more = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/mine", "example.com/new"]}}));
    let refused = config_maps.patch("a", &PatchParams::default(), &more).await;
    assert_eq!(refusal(refused), (422, "Invalid".into()));

    let off = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    config_maps.patch("a", &PatchParams::default(), &off).await.unwrap();
    assert_eq!(config_maps.get_opt("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_delete_of_another_object_of_the_name_is_a_conflict() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    let created = config_maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let of_uid = |uid: String| {
        DeleteParams::default().preconditions(Preconditions { uid: Some(uid), resource_version: None })
    };
    let other = config_maps.delete("a", &of_uid("another".into())).await;
    assert_eq!(refusal(other), (409, "Conflict".into()));
    config_maps.delete("a", &of_uid(created.uid().unwrap())).await.unwrap();
    let again = config_maps.delete("a", &DeleteParams::default()).await;
    assert_eq!(refusal(again), (404, "NotFound".into()));
}

#[tokio::test]
async fn a_collection_is_deleted_by_its_labels() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    for name in ["a", "b", "c"] {
        let mut object = config_map(name, "1");
        object.labels_mut().insert("keep".into(), (name == "b").to_string());
        config_maps.create(&PostParams::default(), &object).await.unwrap();
    }
    let gone = ListParams::default().labels("keep=false");
    let deleted = config_maps.delete_collection(&DeleteParams::default(), &gone).await.unwrap();
    assert_eq!(deleted.left().expect("a list").items.len(), 2);
    let left = config_maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["b"]);
}
