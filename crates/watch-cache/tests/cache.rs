//! What only a cache does: pages out of past states, limits that do not count,
//! watchers that are left behind, encodings that are shared.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use meta::options::{Preconditions, ResourceVersionMatch};
use meta::selector::FieldSelector;
use meta::{ApiError, ResourceVersion, Revision};
use schema::Value;
use storage::conformance::{Suite, pod};
use storage::{
    Attributes, Error, EventType, ListRequest, Model, Object, Predicate, Storage, UpdateRequest, Watch,
    WatchEvent,
};
use watch_cache::{CacheConfig, CacheMetrics, WatchCache};

struct NodeName;

impl Attributes for NodeName {
    fn field(&self, object: &Value, _: &str) -> String {
        object.str_at(&["spec", "nodeName"]).unwrap_or_default().to_owned()
    }
}

struct Pods {
    cache: WatchCache,
    model: Model,
    metrics: Arc<CacheMetrics>,
}

impl Pods {
    fn new() -> Pods {
        let environment = environment::real::environment();
        let model = Model::new(&environment);
        let suite = Suite::new(Arc::new(model.clone()), environment.clone(), None);
        let metrics = Arc::new(CacheMetrics::default());
        let config = CacheConfig {
            environment,
            path_prefix: "/registry".into(),
            resource_prefix: "/pods".into(),
            fields: vec!["spec.nodeName".into()],
            attributes: Some(Arc::new(NodeName)),
            trigger: Some("spec.nodeName".into()),
            metrics: metrics.clone(),
        };
        let cache = WatchCache::new(suite.storage, config).expect("a good prefix");
        Pods { cache, model, metrics }
    }

    async fn create(&self, name: &str, node: &str) -> Revision {
        let mut pod = pod("ns", name);
        pod.set(&["spec", "nodeName"], node);
        self.cache.create(&format!("/pods/ns/{name}"), &pod, 0).await.expect("a creation").revision
    }

    async fn change(&self, name: &str, node: &str) -> Arc<Object> {
        let mut change = |mut tree: Value, revision: Revision| {
            tree.set(&["spec", "nodeName"], node);
            tree.set(&["spec", "value"], revision.to_string());
            Ok((tree, None))
        };
        let request = UpdateRequest {
            ignore_not_found: false,
            preconditions: Preconditions::default(),
            hint: None,
            try_update: &mut change,
        };
        self.cache.guaranteed_update(&format!("/pods/ns/{name}"), request).await.expect("an update").object
    }

    async fn names(&self, request: ListRequest) -> (Vec<String>, storage::List) {
        let mut list = self.cache.list("/pods", request).await.expect("a list");
        let name =
            |object: Arc<Object>| String::from_utf8_lossy(&object.key).rsplit('/').next().map(str::to_owned);
        let names = list.items.by_ref().filter_map(name).collect();
        (names, list)
    }

    async fn watch(&self, after: Revision, node: &str) -> Box<dyn Watch> {
        let fields = if node.is_empty() {
            FieldSelector::default()
        } else {
            FieldSelector::equals("spec.nodeName", node)
        };
        let predicate = Predicate { fields, attributes: Some(Arc::new(NodeName)), ..Predicate::default() };
        let request = ListRequest { resource_version: after.into(), predicate, ..recursive() };
        self.cache.watch("/pods", request).await.expect("a watch")
    }
}

fn recursive() -> ListRequest {
    ListRequest { recursive: true, ..ListRequest::default() }
}

async fn event(watch: &mut dyn Watch) -> Option<(EventType, Revision)> {
    match watch.next().await {
        Some(WatchEvent::Change(kind, object)) => Some((kind, object.revision)),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_limit_of_a_list_at_version_zero_does_not_count() {
    let pods = Pods::new();
    for name in ["a", "b", "c"] {
        pods.create(name, "").await;
    }
    pods.names(recursive()).await;
    let request = ListRequest { resource_version: ResourceVersion("0".into()), limit: 1, ..recursive() };
    let (names, list) = pods.names(request).await;
    assert_eq!((names.len(), list.continue_token), (3, String::new()));
}

#[tokio::test]
async fn pages_and_past_states_are_read_without_the_backend() {
    let pods = Pods::new();
    for name in ["a", "b", "c"] {
        pods.create(name, "").await;
    }
    let (_, first) = pods.names(ListRequest { limit: 1, ..recursive() }).await;
    pods.create("bb", "").await;
    let last = pods.change("c", "n").await.revision;
    pods.names(recursive()).await;
    let before = pods.model.ranges_served();
    let rest = ListRequest { continue_token: first.continue_token.clone(), ..recursive() };
    assert_eq!(pods.names(rest).await.0, ["b", "c"]);
    let exact = |revision: Revision| ListRequest {
        resource_version: revision.into(),
        resource_version_match: ResourceVersionMatch::Exact,
        ..recursive()
    };
    assert_eq!(pods.names(exact(first.revision)).await.0, ["a", "b", "c"]);
    assert_eq!(pods.names(exact(last)).await.0, ["a", "b", "bb", "c"]);
    assert_eq!(pods.model.ranges_served(), before);
}

#[tokio::test]
async fn a_revision_that_does_not_come_is_too_large_after_a_while() {
    let pods = Pods::new();
    let now = pods.create("a", "").await;
    let request = ListRequest { resource_version: Revision(now.0 + 100).into(), ..recursive() };
    match pods.cache.list("/pods", request).await.err() {
        Some(Error::Api(ApiError::TooLargeResourceVersion { requested, retry_after_seconds: 1, .. })) => {
            assert_eq!(requested, now.0 + 100);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_object_that_moves_leaves_one_watcher_and_comes_to_another() {
    let pods = Pods::new();
    let made = pods.create("a", "n1").await;
    let mut first = pods.watch(made, "n1").await;
    let mut second = pods.watch(made, "n2").await;
    let mut third = pods.watch(made, "n3").await;
    let moved = pods.change("a", "n2").await.revision;
    let again = pods.change("a", "n2").await.revision;
    assert_eq!(event(first.as_mut()).await, Some((EventType::Deleted, moved)));
    assert_eq!(event(second.as_mut()).await, Some((EventType::Added, moved)));
    assert_eq!(event(second.as_mut()).await, Some((EventType::Modified, again)));
    assert!(third.next().now_or_never().is_none() && first.next().now_or_never().is_none());
    // Two events, one of which concerned two watchers.
    assert_eq!(pods.metrics.events_dispatched_total.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn watchers_share_the_objects_they_are_shown() {
    let pods = Pods::new();
    let made = pods.create("a", "n1").await;
    let mut watches = [pods.watch(made, "").await, pods.watch(made, "").await, pods.watch(made, "n1").await];
    pods.change("a", "n2").await;
    let mut shown = Vec::new();
    for watch in &mut watches[..2] {
        let Some(WatchEvent::Change(_, object)) = watch.next().await else { panic!("no event") };
        shown.push(object);
    }
    assert!(Arc::ptr_eq(&shown[0], &shown[1]));
    let (_, list) = pods.names(recursive()).await;
    drop(list);
    let found =
        pods.cache.get("/pods/ns/a", &ResourceVersion("0".into())).await.expect("a read").expect("there");
    assert!(Arc::ptr_eq(&found, &shown[0]), "lists, gets and watches share encodings");
}

#[tokio::test]
async fn a_watcher_that_the_log_left_behind_ends_and_leaves_nothing() {
    let pods = Pods::new();
    let made = pods.create("a", "").await;
    let mut slow = pods.watch(made, "").await;
    let mut live = pods.watch(made, "").await;
    // Beyond what the log may hold in bytes, so that time does not matter.
    let big = "x".repeat(1 << 20);
    for _ in 0..140 {
        let mut change = |mut tree: Value, revision: Revision| {
            tree.set(&["spec", "value"], format!("{revision}{big}"));
            Ok((tree, None))
        };
        let request = UpdateRequest {
            ignore_not_found: false,
            preconditions: Preconditions::default(),
            hint: None,
            try_update: &mut change,
        };
        let updated = pods.cache.guaranteed_update("/pods/ns/a", request).await.expect("an update");
        assert_eq!(event(live.as_mut()).await, Some((EventType::Modified, updated.object.revision)));
    }
    assert!(slow.next().await.is_none(), "closed without an error");
    assert_eq!(pods.metrics.terminated_watchers_total.load(Ordering::Relaxed), 1);
    drop((slow, live));
    assert_eq!(pods.metrics.watchers.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_cache_that_nobody_reads_is_not_filled() {
    let pods = Pods::new();
    pods.create("a", "").await;
    assert_eq!(pods.metrics.initializations_total.load(Ordering::Relaxed), 0);
    pods.names(recursive()).await;
    assert_eq!(pods.metrics.initializations_total.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn lists_of_one_node_look_at_its_pods_only_and_find_what_a_scan_finds() {
    let pods = Pods::new();
    for n in 0..40 {
        pods.create(&format!("p{n:02}"), &format!("n{}", n % 4)).await;
    }
    let of_node = |node: &str, limit: u64| {
        let fields = FieldSelector::equals("spec.nodeName", node);
        let predicate = Predicate { fields, attributes: Some(Arc::new(NodeName)), ..Predicate::default() };
        ListRequest { predicate, limit, ..recursive() }
    };
    let fetched = || pods.metrics.indexed_lists.fetched_objects.load(Ordering::Relaxed);
    let (names, list) = pods.names(of_node("n1", 0)).await;
    drop(list);
    assert_eq!(names, ["p01", "p05", "p09", "p13", "p17", "p21", "p25", "p29", "p33", "p37"]);
    assert_eq!(fetched(), 10);
    // The index follows what happens after it was made.
    pods.change("p01", "n9").await;
    pods.create("p99", "n1").await;
    drop(pods.names(recursive()).await);
    let (names, _) = pods.names(of_node("n1", 0)).await;
    assert_eq!(names, ["p05", "p09", "p13", "p17", "p21", "p25", "p29", "p33", "p37", "p99"]);
    assert_eq!(pods.names(of_node("n9", 0)).await.0, ["p01"]);
    assert_eq!(pods.names(of_node("nowhere", 0)).await.0, Vec::<String>::new());
    // Page by page, where only the first page knows of the index.
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListRequest { continue_token: token.clone(), ..of_node("n1", 3) };
        let (names, list) = pods.names(request).await;
        all.extend(names);
        token = list.continue_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(all, ["p05", "p09", "p13", "p17", "p21", "p25", "p29", "p33", "p37", "p99"]);
}
