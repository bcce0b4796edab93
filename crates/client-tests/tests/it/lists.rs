//! Lists: pages, selectors, metadata only.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};

use crate::{config_map, refusal, start};

async fn some(config_maps: &Api<ConfigMap>, count: usize) {
    for number in 0..count {
        let mut object = config_map(&format!("c{number:02}"), "v");
        object.labels_mut().insert("even".into(), (number % 2 == 0).to_string());
        config_maps.create(&PostParams::default(), &object).await.unwrap();
    }
}

#[tokio::test]
async fn pages_show_one_revision_each_object_once() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    some(&config_maps, 25).await;
    let mut params = ListParams::default().limit(10);
    let mut names = Vec::new();
    let mut remaining = Vec::new();
    let mut revisions = Vec::new();
    loop {
        let page = config_maps.list(&params).await.unwrap();
        names.extend(page.items.iter().map(ResourceExt::name_any));
        remaining.push(page.metadata.remaining_item_count);
        revisions.push(page.metadata.resource_version);
        // What comes later is on no page.
        let late = config_map(&format!("c00-{}", names.len()), "late");
        config_maps.create(&PostParams::default(), &late).await.unwrap();
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, (0..25).map(|number| format!("c{number:02}")).collect::<Vec<_>>());
    assert_eq!(remaining, [Some(15), Some(5), None]);
    assert!(revisions.iter().all(|revision| revision == &revisions[0]), "{revisions:?}");
}

#[tokio::test]
async fn selectors_choose_by_label_and_by_name() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    some(&config_maps, 4).await;
    let names = async |params: ListParams| -> Vec<String> {
        config_maps.list(&params).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
    };
    assert_eq!(names(ListParams::default().labels("even=true")).await, ["c00", "c02"]);
    assert_eq!(names(ListParams::default().labels("even notin (true)")).await, ["c01", "c03"]);
    assert_eq!(names(ListParams::default().fields("metadata.name=c01")).await, ["c01"]);
    let bad = config_maps.list(&ListParams::default().labels("even in")).await;
    assert_eq!(refusal(bad), (400, "BadRequest".into()));
}

#[tokio::test]
async fn metadata_can_be_listed_alone() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    some(&config_maps, 2).await;
    let listed = config_maps.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["c00", "c01"]);
    let one = config_maps.get_metadata("c01").await.unwrap();
    assert_eq!(one.labels()["even"], "false");
}

#[tokio::test]
async fn a_list_at_an_older_revision_shows_what_was() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    some(&config_maps, 2).await;
    let revision = config_maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    config_maps.delete("c00", &Default::default()).await.unwrap();
    let then = ListParams::default().at(&revision).matching(kube::api::VersionMatch::Exact);
    assert_eq!(config_maps.list(&then).await.unwrap().items.len(), 2);
    assert_eq!(config_maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
}
