//! Get, list, watch.

use meta::options::{GetOptions, ListOptions, ResourceVersionMatch};
use meta::selector::{FieldSelector, LabelSelector};
use meta::{ApiError, ResourceVersion};
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

/// D-GET-1, D-LST-2, D-WAT-1.
#[tokio::test]
async fn versions_pages_and_initial_events_are_asked_of_the_storage() {
    let harness = Harness::new(config_maps());
    let first = harness.create(config_map("a")).await.expect("created");
    let first = meta::ObjectMeta::of(&first).resource_version();
    let last = harness.create(config_map("b")).await.expect("created");
    let last = meta::ObjectMeta::of(&last).resource_version();
    let future = ResourceVersion("1000".into());
    let at = |resource_version: &ResourceVersion, resource_version_match| ListOptions {
        resource_version: resource_version.clone(),
        resource_version_match,
        ..ListOptions::default()
    };
    let not_yet = |error: ApiError| matches!(error, ApiError::TooLargeResourceVersion { .. });
    assert_eq!(names(&harness, &at(&first, ResourceVersionMatch::Exact)).await, ["ns/a"]);
    assert_eq!(names(&harness, &at(&first, ResourceVersionMatch::NotOlderThan)).await, ["ns/a", "ns/b"]);
    for kind in [ResourceVersionMatch::Unset, ResourceVersionMatch::Exact, ResourceVersionMatch::NotOlderThan]
    {
        let error = harness.store.list(&harness.context, &at(&future, kind)).await.err();
        assert!(error.is_some_and(not_yet), "{kind:?}");
    }
    for (resource_version, found) in [(first, true), (last, true), (future, false)] {
        let options = GetOptions { resource_version };
        let got = harness.store.get(&harness.context, "a", &options).await;
        assert_eq!(got.is_ok(), found);
        assert!(got.err().is_none_or(not_yet));
    }
    let mut options = ListOptions { limit: 1, ..ListOptions::default() };
    let page = harness.store.list(&harness.context, &options).await.expect("listed");
    assert_eq!(page.remaining_item_count, Some(1));
    options.continue_token = page.continue_token;
    assert_eq!(names(&harness, &options).await, ["ns/b"]);

    let options = ListOptions {
        send_initial_events: Some(true),
        allow_watch_bookmarks: true,
        resource_version_match: ResourceVersionMatch::NotOlderThan,
        ..ListOptions::default()
    };
    let mut watch = harness.store.watch(&harness.context, &options).await.expect("open");
    for _ in 0..2 {
        assert!(matches!(watch.next().await, Some(WatchEvent::Change(EventType::Added, _))));
    }
    let end = watch.next().await;
    assert!(matches!(end, Some(WatchEvent::Bookmark { initial_events_end: true, .. })), "{end:?}");
}
