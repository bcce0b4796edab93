//! Get, list, watch.

use meta::ApiError;
use meta::options::ListOptions;
use meta::selector::{FieldSelector, LabelSelector};
use storage::{EventType, WatchEvent};

use crate::harness::{Harness, config_map, config_maps, labels};

async fn names(harness: &Harness, options: &ListOptions) -> Vec<String> {
    let list = harness.store.list(&harness.context, options).await.expect("listed");
    let keys = list.items.map(|object| String::from_utf8(object.key.to_vec()).expect("UTF-8"));
    keys.map(|key| key.trim_start_matches("/registry/configmaps/").to_owned()).collect()
}

fn selecting(fields: &str, label: &str) -> ListOptions {
    ListOptions {
        field_selector: FieldSelector::parse(fields).expect("a field selector"),
        label_selector: LabelSelector::parse(label).expect("a label selector"),
        ..ListOptions::default()
    }
}

async fn three_in_two_namespaces() -> Harness {
    let mut harness = Harness::new(config_maps());
    for (namespace, name) in [("ns", "a"), ("ns", "b"), ("other", "a")] {
        harness.context.namespace = namespace.into();
        let mut object = config_map(name);
        object.set(&["metadata", "labels"], labels(&[("name", name)]));
        harness.create(object).await.expect("created");
    }
    harness.context.namespace = "ns".into();
    harness
}

#[tokio::test]
async fn a_list_holds_the_namespace_of_the_request_or_all() {
    let mut harness = three_in_two_namespaces().await;
    assert_eq!(names(&harness, &ListOptions::default()).await, ["ns/a", "ns/b"]);
    harness.context.namespace.clear();
    assert_eq!(names(&harness, &ListOptions::default()).await, ["ns/a", "ns/b", "other/a"]);
}

#[tokio::test]
async fn name_and_namespace_selectors_narrow_and_still_select() {
    let mut harness = three_in_two_namespaces().await;
    assert_eq!(names(&harness, &selecting("metadata.name=a", "")).await, ["ns/a"]);
    assert_eq!(names(&harness, &selecting("metadata.name=a", "name=b")).await, [""; 0]);
    assert_eq!(names(&harness, &selecting("metadata.namespace=other", "")).await, [""; 0]);
    harness.context.namespace.clear();
    assert_eq!(names(&harness, &selecting("metadata.namespace=other", "")).await, ["other/a"]);
    assert_eq!(names(&harness, &selecting("metadata.namespace=ns,metadata.name=b", "")).await, ["ns/b"]);
    assert_eq!(names(&harness, &selecting("metadata.name=a", "")).await, ["ns/a", "other/a"]);
}

#[tokio::test]
async fn names_that_are_no_path_segments_are_bad_requests() {
    let harness = Harness::new(config_maps());
    for name in ["", ".", "..", "a/b", "a%2fb"] {
        assert!(matches!(harness.get(name).await, Err(ApiError::BadRequest(_))), "{name}");
    }
    assert_eq!(harness.get("nope").await, Err(ApiError::not_found(&harness.context.resource, "nope")));
}

#[tokio::test]
async fn a_watch_of_one_name_sees_only_that_object() {
    let harness = Harness::new(config_maps());
    let first = harness.create(config_map("a")).await.expect("created");
    let mut options = selecting("metadata.name=b", "");
    options.resource_version = meta::ObjectMeta::of(&first).resource_version();
    let mut watch = harness.store.watch(&harness.context, &options).await.expect("open");
    harness.create(config_map("c")).await.expect("created");
    harness.create(config_map("b")).await.expect("created");
    let Some(WatchEvent::Change(EventType::Added, object)) = watch.next().await else { panic!("added") };
    assert!(object.key.ends_with(b"/ns/b"));
}
