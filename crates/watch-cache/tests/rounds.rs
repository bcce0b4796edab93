//! Many watchers are told of events in rounds: each sees every event once, in
//! order, also the last ones before the cache ends.

use std::sync::Arc;

use meta::options::Preconditions;
use meta::{ResourceVersion, Revision};
use schema::Value;
use storage::conformance::{Suite, pod};
use storage::{ListRequest, Model, Storage, UpdateRequest, Watch, WatchEvent};
use watch_cache::{CacheConfig, WatchCache};

/// So many that rounds are as far apart as they get.
const WATCHERS: usize = 1500;
const UPDATES: usize = 60;
const KEY: &str = "/pods/ns/a";

fn cache() -> WatchCache {
    let environment = environment::real::environment();
    let suite = Suite::new(Arc::new(Model::new(&environment)), environment.clone(), None);
    let config = CacheConfig {
        environment,
        path_prefix: "/registry".into(),
        resource_prefix: "/pods".into(),
        fields: Vec::new(),
        attributes: None,
        trigger: None,
        metrics: Arc::default(),
    };
    WatchCache::new(suite.storage, config).expect("a good prefix")
}

async fn change(cache: &WatchCache, value: usize) -> Revision {
    let mut change = |mut tree: Value, _: Revision| {
        tree.set(&["spec", "value"], value.to_string());
        Ok((tree, None))
    };
    let request = UpdateRequest {
        ignore_not_found: false,
        preconditions: Preconditions::default(),
        hint: None,
        try_update: &mut change,
    };
    cache.guaranteed_update(KEY, request).await.expect("an update").object.revision
}

async fn seen(mut watch: Box<dyn Watch>) -> Vec<Revision> {
    let mut revisions = Vec::new();
    while let Some(event) = watch.next().await {
        match event {
            WatchEvent::Change(_, object) => revisions.push(object.revision),
            WatchEvent::Bookmark { .. } => {}
            WatchEvent::Error(error) => panic!("the watch failed: {error}"),
        }
    }
    revisions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_every_event_once_and_the_last_before_the_end() {
    let cache = cache();
    let created = cache.create(KEY, &pod("ns", "a"), 0).await.expect("a creation").revision;
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..WATCHERS {
        let request = ListRequest {
            resource_version: ResourceVersion::from(created),
            recursive: true,
            ..ListRequest::default()
        };
        watchers.spawn(seen(cache.watch("/pods", request).await.expect("a watch")));
    }
    let mut wanted = Vec::new();
    for value in 0..UPDATES {
        wanted.push(change(&cache, value).await);
    }
    // A read that is as new as the last update waits until the cache has all of them.
    let last = ResourceVersion::from(*wanted.last().expect("there were updates"));
    cache.get(KEY, &last).await.expect("a read");
    // Nobody waits for the round: what is owed is told before the end.
    drop(cache);
    while let Some(revisions) = watchers.join_next().await {
        assert_eq!(revisions.expect("no panic"), wanted);
    }
}
