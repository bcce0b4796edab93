//! Watches: plain, with bookmarks, and through a restart of the server.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::mpsc;

use crate::{client, config_map, soon, start};

type Watch = BoxStream<'static, kube::Result<WatchEvent<ConfigMap>>>;

/// The next event that tells of a change: bookmarks come when the server likes.
async fn next_change(watch: &mut Watch) -> WatchEvent<ConfigMap> {
    loop {
        let event = soon(watch.try_next()).await.unwrap().expect("the watch goes on");
        if !matches!(event, WatchEvent::Bookmark(_)) {
            return event;
        }
    }
}

#[tokio::test]
async fn a_watch_from_a_list_shows_every_change_after_it() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    config_maps.create(&PostParams::default(), &config_map("before", "1")).await.unwrap();
    let revision = config_maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut watch = config_maps.watch(&WatchParams::default(), &revision).await.unwrap().boxed();

    let created = config_maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let mut changed = created.clone();
    changed.data.as_mut().unwrap().insert("k".into(), "2".into());
    let changed = config_maps.replace("a", &PostParams::default(), &changed).await.unwrap();
    config_maps.delete("a", &DeleteParams::default()).await.unwrap();

    assert!(matches!(next_change(&mut watch).await, WatchEvent::Added(object) if object == created));
    assert!(matches!(next_change(&mut watch).await, WatchEvent::Modified(object) if object == changed));
    let WatchEvent::Deleted(last) = next_change(&mut watch).await else { panic!("not deleted") };
    assert_eq!(last.data, changed.data);
    assert_ne!(last.resource_version(), changed.resource_version(), "a delete has a revision of its own");
}

#[tokio::test]
async fn a_watch_by_label_sees_objects_come_and_go() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    let params = WatchParams::default().labels("seen=yes");
    let mut watch = config_maps.watch(&params, "0").await.unwrap().boxed();
    let mut object = config_maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    object.labels_mut().insert("seen".into(), "yes".into());
    let mut object = config_maps.replace("a", &PostParams::default(), &object).await.unwrap();
    object.labels_mut().clear();
    config_maps.replace("a", &PostParams::default(), &object).await.unwrap();
    let (appeared, gone) = (next_change(&mut watch).await, next_change(&mut watch).await);
    assert!(matches!(appeared, WatchEvent::Added(_)), "{appeared:?}");
    assert!(matches!(gone, WatchEvent::Deleted(_)), "{gone:?}");
}

#[tokio::test]
async fn a_streaming_list_ends_with_a_bookmark() {
    const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    for name in ["a", "b"] {
        config_maps.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
    }
    let mut watch = config_maps.watch(&WatchParams::streaming_lists(), "0").await.unwrap().boxed();
    let mut names = Vec::new();
    let bookmark = loop {
        match soon(watch.try_next()).await.unwrap().expect("the watch goes on") {
            WatchEvent::Added(object) => names.push(object.name_any()),
            WatchEvent::Bookmark(bookmark) => break bookmark,
            other => panic!("{other:?}"),
        }
    };
    names.sort();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(bookmark.metadata.annotations.get(INITIAL_EVENTS_END).map(String::as_str), Some("true"));
    let listed = config_maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(Some(bookmark.metadata.resource_version), listed.metadata.resource_version);
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_over() {
    let (_server, client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client);
    let mut watch = config_maps.watch(&WatchParams::default().timeout(1), "0").await.unwrap().boxed();
    while let Some(event) = soon(watch.try_next()).await.unwrap() {
        assert!(matches!(event, WatchEvent::Bookmark(_)), "{event:?}");
    }
}

#[tokio::test]
async fn a_reflector_survives_a_restart_and_sees_every_change_once() {
    check_restart(watcher::Config::default()).await;
}

#[tokio::test]
async fn a_streaming_reflector_survives_a_restart_and_sees_every_change_once() {
    check_restart(watcher::Config::default().streaming_lists()).await;
}

/// Changes before and after a restart: the reflector resumes where it was,
/// without listing anew, so it misses none and is told none twice.
async fn check_restart(config: watcher::Config) {
    let (mut server, first_client) = start().await;
    let config_maps: Api<ConfigMap> = Api::default_namespaced(first_client.clone());
    for name in ["kept", "removed"] {
        config_maps.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
    }
    let (reader, writer) = reflector::store();
    let (seen, mut events) = mpsc::unbounded_channel();
    let stream = reflector::reflector(writer, watcher(config_maps.clone(), config)).default_backoff();
    let reflecting = tokio::spawn(async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            // Errors while nobody serves are what the backoff is for.
            if let Ok(event) = event {
                seen.send(told(&event)).unwrap();
            }
        }
    });
    soon(reader.wait_until_ready()).await.unwrap();
    config_maps.create(&PostParams::default(), &config_map("before", "1")).await.unwrap();

    server.restart().await.unwrap();
    let config_maps: Api<ConfigMap> = Api::default_namespaced(client(&server).await);
    config_maps.delete("removed", &DeleteParams::default()).await.unwrap();
    let mut kept = config_maps.get("kept").await.unwrap();
    kept.data.as_mut().unwrap().insert("k".into(), "2".into());
    config_maps.replace("kept", &PostParams::default(), &kept).await.unwrap();
    config_maps.create(&PostParams::default(), &config_map("after", "1")).await.unwrap();

    let mut told = Vec::new();
    while told.last().map(String::as_str) != Some("apply after") {
        told.push(soon(events.recv()).await.expect("the reflector goes on"));
    }
    reflecting.abort();
    told[1..3].sort();
    assert_eq!(
        told,
        [
            "init",
            "init kept",
            "init removed",
            "init done",
            "apply before",
            "delete removed",
            "apply kept",
            "apply after"
        ]
    );
    assert_eq!(names(&reader), ["after", "before", "kept"]);
    assert_eq!(found(&reader, "kept").unwrap().data.as_ref().unwrap()["k"], "2");
}

fn told(event: &Event<ConfigMap>) -> String {
    match event {
        Event::Init => "init".to_owned(),
        Event::InitApply(object) => format!("init {}", object.name_any()),
        Event::InitDone => "init done".to_owned(),
        Event::Apply(object) => format!("apply {}", object.name_any()),
        Event::Delete(object) => format!("delete {}", object.name_any()),
    }
}

fn names(store: &Store<ConfigMap>) -> Vec<String> {
    let mut names: Vec<String> = store.state().iter().map(|object| object.name_any()).collect();
    names.sort();
    names
}

fn found(store: &Store<ConfigMap>, name: &str) -> Option<Arc<ConfigMap>> {
    store.get(&ObjectRef::new(name).within("default"))
}
