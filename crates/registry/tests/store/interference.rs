//! What others do while a write is on its way: objects change or go between
//! its steps, and whoever asked may stop waiting.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use meta::options::{DeleteOptions, ListOptions, Preconditions, WriteOptions};
use meta::{ApiError, ObjectMeta, Revision};
use parking_lot::Mutex;
use registry::{
    Admission, AdmissionAttributes, Allocation, Allocator, Operation, RequestContext, ResourceDef,
    UpdateKind, UpdatedObject,
};
use schema::Value;
use storage::{DeleteRequest, Error, EventType, Storage, UpdateRequest, WatchEvent};

use crate::harness::{Harness, config_map, config_maps, with_data};

fn key(name: &str) -> String {
    format!("/configmaps/ns/{name}")
}

/// Changes an object past the store.
async fn touch(storage: &dyn Storage, name: &str, value: &str) {
    let mut change = |mut tree: Value, _: Revision| -> Result<(Value, Option<i64>), Error> {
        tree.set(&["data", "touched"], value);
        Ok((tree, None))
    };
    let request = UpdateRequest {
        ignore_not_found: false,
        preconditions: Preconditions::default(),
        hint: None,
        try_update: &mut change,
    };
    storage.guaranteed_update(&key(name), request).await.expect("touched");
}

/// Removes an object past the store.
async fn remove(storage: &dyn Storage, name: &str) {
    let accept = |_: &Value| Ok(());
    let preconditions = Preconditions::default();
    let request = DeleteRequest { preconditions, validate: &accept, hint: None, ignore_read_error: false };
    storage.delete(&key(name), request).await.expect("removed");
}

/// What happens while an object is judged for the first time.
#[derive(Clone, Copy)]
enum Meanwhile {
    /// It is changed.
    Touched,
    /// Another object goes.
    Removed(&'static str),
    /// The judge does not come back when asked about this object.
    Stuck(&'static str),
}

/// An admission that takes notes of deletes, and lets something happen.
struct Judge {
    storage: Arc<dyn Storage>,
    meanwhile: Meanwhile,
    /// Name, and what stood under `data.touched`.
    seen: Mutex<Vec<(String, Option<String>)>>,
}

#[async_trait]
impl Admission for Judge {
    async fn validate(
        &self,
        _: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        _: Option<&Value>,
    ) -> Result<(), ApiError> {
        if attributes.operation != Operation::Delete {
            return Ok(());
        }
        let touched = attributes.old.and_then(|old| old.str_at(&["data", "touched"]));
        let first = {
            let mut seen = self.seen.lock();
            seen.push((attributes.name.to_owned(), touched.map(str::to_owned)));
            seen.len() == 1
        };
        match self.meanwhile {
            Meanwhile::Touched if first => touch(self.storage.as_ref(), attributes.name, "yes").await,
            Meanwhile::Removed(name) if first => remove(self.storage.as_ref(), name).await,
            Meanwhile::Stuck(name) if name == attributes.name => std::future::pending().await,
            _ => {}
        }
        Ok(())
    }
}

fn judged(meanwhile: Meanwhile) -> (Harness, Arc<Judge>) {
    let mut harness = Harness::new(config_maps());
    let storage = harness.store.storage().clone();
    let judge = Arc::new(Judge { storage, meanwhile, seen: Mutex::default() });
    harness.context.admission = judge.clone();
    (harness, judge)
}

/// D-DEL-9.
#[tokio::test]
async fn a_delete_that_is_overtaken_is_judged_again_on_what_is_there_now() {
    let (harness, judge) = judged(Meanwhile::Touched);
    harness.create(config_map("a")).await.expect("created");
    let deleted = harness.delete("a", DeleteOptions::default()).await.expect("deleted");
    assert!(deleted.removed);
    let last = harness.tree(deleted.outcome).expect("a tree");
    assert_eq!(last.str_at(&["data", "touched"]), Some("yes"), "what goes is what was judged last");
    let seen: Vec<_> = judge.seen.lock().iter().map(|(_, touched)| touched.clone()).collect();
    assert_eq!(seen, [None, Some("yes".to_owned())]);
}

/// D-COL-1.
#[tokio::test]
async fn a_collection_is_not_stopped_by_what_went_by_itself() {
    let (harness, judge) = judged(Meanwhile::Removed("c"));
    for name in ["a", "b", "c", "d"] {
        harness.create(config_map(name)).await.expect("created");
    }
    let everything = ListOptions::default();
    let list = harness.store.delete_collection(&harness.context, DeleteOptions::default(), &everything).await;
    assert_eq!(list.expect("deleted").items.count(), 4, "the answer shows what was listed");
    let left = harness.store.list(&harness.context, &everything).await.expect("listed");
    assert_eq!(left.items.count(), 0);
    assert!(judge.seen.lock().iter().all(|(name, _)| name != "c"), "nobody is asked about what is gone");
}

/// D-COL-2.
#[tokio::test]
async fn a_collection_that_nobody_waits_for_goes_no_further() {
    let (harness, _) = judged(Meanwhile::Stuck("b"));
    for name in ["a", "b", "c", "d", "e"] {
        harness.create(config_map(name)).await.expect("created");
    }
    let everything = ListOptions::default();
    let names = async || -> Vec<String> {
        let list = harness.store.list(&harness.context, &everything).await.expect("listed");
        list.items.map(|object| String::from_utf8_lossy(&object.key).into_owned()).collect()
    };
    let mut deleting =
        Box::pin(harness.store.delete_collection(&harness.context, DeleteOptions::default(), &everything));
    assert!((&mut deleting).now_or_never().is_none(), "one of them is stuck");
    drop(deleting);
    let left = names().await;
    assert!(left.iter().any(|name| name.ends_with("/b")), "{left:?}");
    tokio::task::yield_now().await;
    assert_eq!(names().await, left, "nothing goes on behind the caller's back");
}

/// D-COL-3, B-11.
#[tokio::test]
async fn who_watches_a_collection_sees_each_object_go() {
    let harness = Harness::new(config_maps());
    let mut last = None;
    for name in ["a", "b", "c"] {
        last = Some(harness.create(config_map(name)).await.expect("created"));
    }
    let resource_version = ObjectMeta::of(&last.expect("three objects")).resource_version();
    let options = ListOptions { resource_version, ..ListOptions::default() };
    let mut watch = harness.store.watch(&harness.context, &options).await.expect("open");
    let everything = ListOptions::default();
    let deleted = harness.store.delete_collection(&harness.context, DeleteOptions::default(), &everything);
    deleted.await.expect("deleted");
    let (mut names, mut revision) = (Vec::new(), Revision(0));
    while names.len() < 3 {
        let event = watch.next().await;
        let Some(WatchEvent::Change(EventType::Deleted, object)) = event else { panic!("{event:?}") };
        assert!(object.revision > revision, "each has a revision of its own");
        revision = object.revision;
        names.push(String::from_utf8_lossy(&object.key).into_owned());
    }
    names.sort();
    assert_eq!(names, ["a", "b", "c"].map(|name| format!("/registry/configmaps/ns/{name}")));
}

/// Notes how what was taken for an object ends.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<&'static str>>>);

#[async_trait]
impl Allocator for Record {
    async fn begin_create(
        &self,
        _: &RequestContext,
        _: &mut Value,
        _: bool,
    ) -> Result<Box<dyn Allocation>, ApiError> {
        self.0.lock().push("create");
        Ok(Box::new(self.clone()))
    }

    async fn begin_update(
        &self,
        _: &RequestContext,
        _: &mut Value,
        _: &Value,
        _: bool,
    ) -> Result<Box<dyn Allocation>, ApiError> {
        self.0.lock().push("update");
        Ok(Box::new(self.clone()))
    }

    async fn after_delete(&self, _: &RequestContext, _: &Value) {
        self.0.lock().push("deleted");
    }
}

#[async_trait]
impl Allocation for Record {
    async fn commit(self: Box<Self>) {
        self.0.lock().push("commit");
    }

    async fn rollback(self: Box<Self>) {
        self.0.lock().push("rollback");
    }
}

/// A change during which somebody else changes the same object, the first time.
struct Overtaken {
    storage: Arc<dyn Storage>,
    calls: usize,
}

#[async_trait]
impl UpdatedObject for Overtaken {
    fn preconditions(&self) -> Preconditions {
        Preconditions::default()
    }

    async fn updated(&mut self, _: &RequestContext, current: &Value) -> Result<Value, ApiError> {
        self.calls += 1;
        if self.calls == 1 {
            touch(self.storage.as_ref(), "a", "yes").await;
        }
        Ok(with_data(current.clone(), "mine", "too"))
    }
}

/// D-UPD-6.
#[tokio::test]
async fn each_attempt_of_an_update_takes_for_itself_and_only_the_last_keeps() {
    let record = Record::default();
    let harness = Harness::new(ResourceDef { allocator: Some(Arc::new(record.clone())), ..config_maps() });
    harness.create(config_map("a")).await.expect("created");
    record.0.lock().clear();
    let mut change = Overtaken { storage: harness.store.storage().clone(), calls: 0 };
    let options = WriteOptions::default();
    let updated =
        harness.store.update(&harness.context, "a", UpdateKind::Main, &mut change, &options, false).await;
    let (outcome, created) = updated.expect("updated");
    let tree = harness.tree(outcome).expect("a tree");
    assert!(!created);
    assert_eq!(
        (tree.str_at(&["data", "touched"]), tree.str_at(&["data", "mine"])),
        (Some("yes"), Some("too"))
    );
    let wanted = vec!["update", "rollback", "update", "commit"];
    assert_eq!((change.calls, &*record.0.lock()), (2, &wanted));
}

/// D-UPD-2.
#[tokio::test]
async fn an_update_that_creates_takes_and_keeps_as_a_create_does() {
    let record = Record::default();
    let allocator: Option<Arc<dyn Allocator>> = Some(Arc::new(record.clone()));
    let harness = Harness::new(ResourceDef { allocator, create_on_update: true, ..config_maps() });
    let (_, created) = harness.put(config_map("a")).await.expect("created");
    assert!(created);
    assert_eq!(*record.0.lock(), ["create", "commit"]);
    record.0.lock().clear();
    let options = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let (_, created) =
        harness.put_with(UpdateKind::Main, config_map("b"), &options).await.expect("would be created");
    assert!(created, "the options of an update are those of its create");
    assert!(matches!(harness.get("b").await, Err(ApiError::NotFound { .. })));
    // The allocator was told that it is a dry run and has nothing to give back.
    assert_eq!(*record.0.lock(), ["create", "commit"]);
}

/// D-UPD-1, A-UPD-4: who names a uid means that very object, however old what he read.
#[tokio::test]
async fn an_update_names_the_object_it_means() {
    let harness = Harness::new(config_maps());
    let first = harness.create(config_map("a")).await.expect("created");
    remove(harness.store.storage().as_ref(), "a").await;
    harness.create(config_map("a")).await.expect("created again");
    let mut stale = first.clone();
    stale.remove(&["metadata", "resourceVersion"]);
    let refused = harness.put(stale).await;
    assert!(matches!(refused, Err(ApiError::Conflict { .. })), "{refused:?}");
    let meta = ObjectMeta::of(&first);
    for preconditions in [
        Preconditions { uid: Some(meta.uid().to_owned()), resource_version: None },
        Preconditions { uid: None, resource_version: Some(meta.resource_version().0) },
    ] {
        let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
        assert!(matches!(harness.delete("a", options).await, Err(ApiError::Conflict { .. })));
    }
    harness.get("a").await.expect("the new one stays");
}
