//! What reads cost in allocations: a list must not allocate for each object, a
//! get and a delivery only for themselves. A program of its own, because all
//! that runs in it is counted.

#[path = "it/harness.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it has what the other tests need, and is a test's")]
mod harness;

use std::alloc::System;
use std::sync::Arc;

use http_body_util::BodyExt;
use server::RequestLimits;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use storage::Storage;
use watch_cache::{CacheConfig, WatchCache};

use harness::Api;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LISTED: usize = 2000;
const COLLECTION: &str = "/api/v1/namespaces/n/configmaps";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Allocations since the region began.
fn counted(region: &Region<'_, System>) -> usize {
    let stats = region.change();
    stats.allocations + stats.reallocations
}

/// A server whose resources are cached.
fn cached() -> Api {
    let wrap = |definition: &registry::ResourceDef, storage: Arc<dyn Storage>| -> Arc<dyn Storage> {
        let config = CacheConfig {
            environment: environment::real::environment(),
            path_prefix: "/registry".to_owned(),
            resource_prefix: format!("/{}", definition.resource),
            fields: Vec::new(),
            attributes: None,
            trigger: None,
            metrics: Arc::default(),
        };
        Arc::new(WatchCache::new(storage, config).expect("a prefix that can be used"))
    };
    Api::over(wrap, RequestLimits::default())
}

/// Reads an answer to its end and forgets it; returns its bytes and the allocations it took.
async fn read(api: &Api, url: &str, accept: &str) -> (usize, usize) {
    let region = Region::new(ALLOCATOR);
    let mut body = api.open(url, &[("accept", accept)]).await.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.expect("a whole body").data_ref().map_or(0, |data| data.len());
    }
    (bytes, counted(&region))
}

#[tokio::test(flavor = "current_thread")]
async fn reads_do_not_allocate_for_each_object() {
    let api = cached();
    for i in 0..LISTED {
        api.create_config_map(&format!("a-{i:05}"), &"v".repeat(1000)).await;
    }
    lists(&api).await;
    gets(&api).await;
    deliveries(&api).await;
}

/// A list of thousands allocates what a list of one does, and a chunk now and then.
async fn lists(api: &Api) {
    for accept in ["application/json", PROTOBUF] {
        read(api, COLLECTION, accept).await;
        let (one_bytes, one) = read(api, &format!("{COLLECTION}?limit=1"), accept).await;
        let (bytes, all) = read(api, COLLECTION, accept).await;
        assert!(bytes > LISTED * 1000 && one_bytes < 4000, "{bytes} and {one_bytes} bytes");
        assert!(all < one + LISTED / 10, "{accept}: {all} allocations for {LISTED} objects, {one} for one");
    }
}

/// A get of a large object allocates no more often than one of a small object.
async fn gets(api: &Api) {
    api.create_config_map("large", &"v".repeat(100_000)).await;
    let (large, small) = (format!("{COLLECTION}/large"), format!("{COLLECTION}/a-00007"));
    for accept in ["application/json", PROTOBUF] {
        read(api, &large, accept).await;
        read(api, &small, accept).await;
        let (bytes, of_large) = read(api, &large, accept).await;
        let (_, of_small) = read(api, &small, accept).await;
        assert!(bytes > 100_000);
        assert!(of_large <= of_small + 2, "{accept}: {of_large} allocations, {of_small} for a small object");
    }
}

/// To one watcher more, an event costs a few allocations, which do not depend
/// on the object; to watchers after the first it is not encoded again.
async fn deliveries(api: &Api) {
    const WATCHERS: usize = 50;
    const EVENTS: usize = 20;
    let mut bodies = Vec::new();
    for _ in 0..WATCHERS {
        let url = format!("{COLLECTION}?watch=1&fieldSelector=metadata.name%3Dwatched");
        bodies.push(api.open(&url, &[]).await.into_body());
    }
    api.create_config_map("watched", &"v".repeat(1000)).await;
    let mut most = 0;
    for i in 0..EVENTS {
        let patch = format!(r#"{{"data":{{"k":"{}{i}"}}}}"#, "v".repeat(1000));
        let content = [("content-type", "application/merge-patch+json")];
        let answer = api.send("PATCH", &format!("{COLLECTION}/watched"), &content, patch).await;
        assert_eq!(answer.code, http::StatusCode::OK, "{answer:?}");
        // The first encodes for all.
        let mut rest = bodies.iter_mut();
        let first = rest.next().expect("there are watchers");
        first.frame().await.expect("a watch goes on").expect("a frame");
        if i == 0 {
            // Every watcher has seen the creation, too.
            for body in rest {
                body.frame().await.expect("a watch goes on").expect("a frame");
            }
            continue;
        }
        let region = Region::new(ALLOCATOR);
        for body in rest {
            body.frame().await.expect("a watch goes on").expect("a frame");
        }
        most = most.max(counted(&region));
    }
    // The frame, and what waits for the next event.
    assert!(most <= 4 * (WATCHERS - 1), "{most} allocations for {} deliveries", WATCHERS - 1);
}
