//! What the suite runs on: an empty backend, a store of pods over it, and a
//! transformer that notices what did not pass through it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use environment::Environment;
use futures::future::{Either, select};
use meta::options::Preconditions;
use meta::selector::{FieldSelector, LabelSelector};
use meta::{ApiError, GroupResource, ObjectMeta, ResourceVersion, Revision};
use schema::Value;

use super::recorder::Recorder;
use crate::Error;
use crate::backend::{Backend, LeaseId, Op, RangeRequest, Txn};
use crate::compaction::Compactor;
use crate::interface::{
    Attributes, DeleteRequest, EventType, List, ListRequest, Object, Predicate, Storage, TryUpdate,
    UpdateRequest, Updated, ValidateDelete, Watch, WatchEvent,
};
use crate::lease::LeaseOptions;
use crate::object_codec::JsonCodec;
use crate::store::{ObjectStore, ObjectStoreConfig};
use crate::transformer::{TransformError, Transformer};

/// Time after which what has not come will not come any more.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An empty backend under test.
pub struct BackendSuite {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// The environment the backend was made with.
    pub environment: Environment,
    /// Kept while the test runs, e.g. a temporary folder.
    pub guard: Option<Box<dyn Any + Send + Sync>>,
}

/// An empty object storage of pods under test, and what lies below it.
pub struct Suite {
    /// The storage under test, with resource prefix `/pods`.
    pub storage: Arc<dyn Storage>,
    /// The backend at the bottom.
    pub backend: Arc<dyn Backend>,
    /// The environment all were made with.
    pub environment: Environment,
    /// The transformer of the store.
    pub transformer: Arc<TestTransformer>,
    /// Stands between the store and the backend.
    pub recorder: Arc<Recorder>,
    /// Tells the store what the test compacted.
    pub compactor: Arc<Compactor>,
    /// True for a cache, which may answer a read at resource version 0 from
    /// the past, and in one page.
    pub cached: bool,
    /// Kept while the test runs.
    pub guard: Option<Box<dyn Any + Send + Sync>>,
}

impl Suite {
    /// An [`ObjectStore`] over an empty backend.
    pub fn new(
        backend: Arc<dyn Backend>,
        environment: Environment,
        guard: Option<Box<dyn Any + Send + Sync>>,
    ) -> Suite {
        let transformer = Arc::new(TestTransformer::default());
        let recorder = Arc::new(Recorder::new(backend.clone()));
        let compactor = Compactor::told();
        let store = ObjectStore::new(ObjectStoreConfig {
            backend: recorder.clone(),
            environment: environment.clone(),
            path_prefix: "/registry".into(),
            resource_prefix: "/pods".into(),
            group_resource: GroupResource::new("", "pods"),
            codec: Arc::new(JsonCodec),
            transformer: transformer.clone(),
            // A short window, so that what expires expires while the test waits.
            leases: LeaseOptions { reuse_seconds: 1, ..LeaseOptions::default() },
            compactor: Some(compactor.clone()),
            allow_unsafe_deletion: true,
        })
        .expect("a good resource prefix");
        let storage = Arc::new(store);
        Suite { storage, backend, environment, transformer, recorder, compactor, cached: false, guard }
    }

    /// The same with a cache (made by `wrap`) over the object store.
    pub fn cached(self, wrap: impl FnOnce(Arc<dyn Storage>) -> Arc<dyn Storage>) -> Suite {
        Suite { storage: wrap(self.storage), cached: true, ..self }
    }

    pub(super) async fn create(&self, object: &Value) -> Arc<Object> {
        self.storage.create(&key_of(object), object, 0).await.expect("a creation")
    }

    pub(super) async fn create_all(&self, names: &[&str]) -> Vec<Arc<Object>> {
        let mut made = Vec::new();
        for name in names {
            let (namespace, name) = name.split_once('/').expect("namespace/name");
            made.push(self.create(&pod(namespace, name)).await);
        }
        made
    }

    pub(super) async fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.storage.get(key, &ResourceVersion::default()).await.expect("a read")
    }

    pub(super) fn tree(&self, object: &Object) -> Value {
        self.storage.decode(object).expect("a readable object")
    }

    /// Sets `spec.value` (and so on) whatever stands there.
    pub(super) async fn set(&self, key: &str, path: &'static [&'static str], value: &str) -> Arc<Object> {
        let mut change = |mut tree: Value, _: Revision| {
            tree.set(path, value);
            Ok((tree, None))
        };
        self.update(key, None, &mut change).await.expect("an update").object
    }

    pub(super) async fn update(
        &self,
        key: &str,
        hint: Option<Arc<Object>>,
        try_update: &mut dyn TryUpdate,
    ) -> Result<Updated, Error> {
        let preconditions = Preconditions::default();
        let request = UpdateRequest { ignore_not_found: false, preconditions, hint, try_update };
        self.storage.guaranteed_update(key, request).await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<Arc<Object>, Error> {
        self.delete_with(key, Preconditions::default(), &|_: &Value| Ok(()), None).await
    }

    pub(super) async fn delete_with(
        &self,
        key: &str,
        preconditions: Preconditions,
        validate: &dyn ValidateDelete,
        hint: Option<Arc<Object>>,
    ) -> Result<Arc<Object>, Error> {
        let request = DeleteRequest { preconditions, validate, hint, ignore_read_error: false };
        self.storage.delete(key, request).await
    }

    pub(super) async fn list(&self, key: &str, options: ListRequest) -> Result<Listed, Error> {
        let list = self.storage.list(key, options).await?;
        Ok(Listed::new(list, self))
    }

    pub(super) async fn watch(&self, key: &str, options: ListRequest) -> Watching<'_> {
        self.watching(self.storage.watch(key, options).await.expect("a watch"))
    }

    pub(super) fn watching(&self, watch: Box<dyn Watch>) -> Watching<'_> {
        Watching { watch, suite: self }
    }

    pub(super) async fn revision(&self) -> Revision {
        self.storage.current_revision().await.expect("a revision")
    }

    /// Compacts the backend, and lets the store know as its compactor would.
    pub(super) async fn compact(&self, revision: Revision) {
        self.backend.compact(revision).await.expect("a compaction");
        self.compactor.tell(revision);
    }

    /// What lies in the backend under the key of an object.
    pub(super) async fn stored(&self, key: &str) -> Bytes {
        let request = RangeRequest { key: self::key(&format!("/registry{key}")), ..RangeRequest::default() };
        self.backend.range(request).await.expect("a range").kvs.pop().expect("a value").value
    }

    /// Puts bytes under the key of an object, past the store.
    pub(super) async fn put_stored(&self, key: &str, value: Bytes) -> Revision {
        put_bytes(self.backend.as_ref(), &format!("/registry{key}"), value).await
    }
}

/// A list, walked.
pub(super) struct Listed {
    pub(super) revision: Revision,
    pub(super) continue_token: String,
    pub(super) remaining: Option<i64>,
    pub(super) items: Vec<Arc<Object>>,
    pub(super) names: Vec<String>,
}

impl Listed {
    fn new(list: List, suite: &Suite) -> Listed {
        let items: Vec<Arc<Object>> = list.items.collect();
        let names = items.iter().map(|object| full_name(&suite.tree(object))).collect();
        let List { revision, continue_token, remaining_item_count: remaining, .. } = list;
        Listed { revision, continue_token, remaining, items, names }
    }
}

/// A watch with expectations.
pub(super) struct Watching<'a> {
    pub(super) watch: Box<dyn Watch>,
    suite: &'a Suite,
}

impl Watching<'_> {
    pub(super) async fn next(&mut self) -> Option<WatchEvent> {
        within(&self.suite.environment, "an event", self.watch.next()).await
    }

    /// The next event is this change; returns the tree it carries.
    pub(super) async fn expect(&mut self, kind: EventType, name: &str, revision: Revision) -> Value {
        let event = self.next().await;
        let Some(WatchEvent::Change(got, object)) = &event else {
            panic!("wanted {kind:?} {name}, got {event:?}")
        };
        let tree = self.suite.tree(object);
        let found = (*got, full_name(&tree), object.revision);
        assert_eq!(found, (kind, name.to_owned(), revision));
        assert_eq!(ObjectMeta::of(&tree).resource_version(), revision.into());
        tree
    }

    pub(super) async fn expect_error(&mut self) -> ApiError {
        match self.next().await {
            Some(WatchEvent::Error(error)) => error,
            other => panic!("wanted an error, got {other:?}"),
        }
    }

    pub(super) async fn expect_bookmark(&mut self, at_least: Revision, end: bool) -> Revision {
        match self.next().await {
            Some(WatchEvent::Bookmark { revision, initial_events_end }) if initial_events_end == end => {
                assert!(revision >= at_least, "bookmark {revision}, wanted at least {at_least}");
                revision
            }
            other => panic!("wanted a bookmark, got {other:?}"),
        }
    }

    pub(super) async fn expect_end(&mut self) {
        let event = self.next().await;
        assert!(event.is_none(), "wanted the end, got {event:?}");
    }
}

/// Marks values with their key, so that a value under another key, or one
/// that the store did not hand through, is noticed.
#[derive(Debug, Default)]
pub struct TestTransformer {
    /// What is read counts as stale.
    pub stale: AtomicBool,
    /// Values read.
    pub reads: AtomicUsize,
}

impl TestTransformer {
    pub(super) fn set_stale(&self, stale: bool) {
        self.stale.store(stale, Ordering::SeqCst);
    }

    pub(super) fn take_reads(&self) -> usize {
        self.reads.swap(0, Ordering::SeqCst)
    }
}

fn mark(context: &[u8]) -> Vec<u8> {
    [b"test:", context, b":"].concat()
}

impl Transformer for TestTransformer {
    fn to_storage(&self, data: Bytes, context: &[u8]) -> Result<Bytes, TransformError> {
        Ok([&mark(context), &data[..]].concat().into())
    }

    fn from_storage(&self, value: Bytes, context: &[u8]) -> Result<(Bytes, bool), TransformError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let mark = mark(context);
        if !value.starts_with(&mark) {
            return Err(TransformError("value was not transformed for this key".into()));
        }
        Ok((value.slice(mark.len()..), self.stale.load(Ordering::SeqCst)))
    }
}

/// A pod with nothing but names and a uid made of them.
pub fn pod(namespace: &str, name: &str) -> Value {
    let mut pod = Value::map();
    pod.set(&["apiVersion"], "v1");
    pod.set(&["kind"], "Pod");
    pod.set(&["metadata", "name"], name);
    if !namespace.is_empty() {
        pod.set(&["metadata", "namespace"], namespace);
    }
    pod.set(&["metadata", "uid"], format!("uid-{namespace}-{name}"));
    pod
}

pub(super) fn labelled(namespace: &str, name: &str, app: &str) -> Value {
    let mut pod = pod(namespace, name);
    pod.set(&["metadata", "labels", "app"], app);
    pod
}

pub(super) fn on_node(namespace: &str, name: &str, node: &str) -> Value {
    let mut pod = pod(namespace, name);
    pod.set(&["spec", "nodeName"], node);
    pod
}

/// The storage key of a pod.
pub(super) fn key_of(object: &Value) -> String {
    format!("/pods/{}", full_name(object))
}

fn full_name(object: &Value) -> String {
    let meta = ObjectMeta::of(object);
    match meta.namespace() {
        "" => meta.name().to_owned(),
        namespace => format!("{namespace}/{}", meta.name()),
    }
}

struct PodFields;

impl Attributes for PodFields {
    fn field(&self, object: &Value, label: &str) -> String {
        match label {
            "spec.nodeName" => object.str_at(&["spec", "nodeName"]).unwrap_or_default().to_owned(),
            _ => String::new(),
        }
    }
}

pub(super) fn predicate(labels: &str, fields: &str) -> Predicate {
    Predicate {
        labels: LabelSelector::parse(labels).expect("a label selector"),
        fields: FieldSelector::parse(fields).expect("a field selector"),
        attributes: Some(Arc::new(PodFields)),
    }
}

/// What a field selector of pods means, apart from how it is parsed and indexed.
pub(super) fn selects(fields: &str, namespace: &str, name: &str, node: &str) -> bool {
    let value = |label: &str| match label {
        "metadata.name" => name,
        "metadata.namespace" => namespace,
        _ => node,
    };
    fields.split(',').all(|term| match term.split_once("!=") {
        Some((label, other)) => value(label) != other,
        None => term.split_once('=').is_none_or(|(label, other)| value(label) == other),
    })
}

/// Options of a recursive list or watch.
pub(super) fn recursive() -> ListRequest {
    ListRequest { recursive: true, ..ListRequest::default() }
}

pub(super) fn rv(revision: Revision) -> ResourceVersion {
    revision.into()
}

pub(super) fn key(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) async fn put(suite: &BackendSuite, at: &str, value: &str) -> Revision {
    put_bytes(suite.backend.as_ref(), at, key(value)).await
}

pub(super) async fn put_bytes(backend: &dyn Backend, at: &str, value: Bytes) -> Revision {
    let success = vec![Op::Put { key: key(at), value, lease: LeaseId(0) }];
    backend.txn(Txn { success, ..Txn::default() }).await.expect("a put").revision
}

pub(super) async fn delete(suite: &BackendSuite, at: &str) -> Revision {
    let success = vec![Op::Delete { key: key(at) }];
    suite.backend.txn(Txn { success, ..Txn::default() }).await.expect("a delete").revision
}

/// Waits for `future`, but no longer than [`PATIENCE`].
pub(super) async fn within<T>(environment: &Environment, what: &str, future: impl Future<Output = T>) -> T {
    let future = std::pin::pin!(future);
    match select(future, environment.clock.sleep(PATIENCE)).await {
        Either::Left((value, _)) => value,
        Either::Right(_) => panic!("waited too long for {what}"),
    }
}
