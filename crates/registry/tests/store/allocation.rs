//! What is taken for an object is kept or given back as its write ends, once.

use std::sync::Arc;

use async_trait::async_trait;
use meta::ApiError;
use meta::options::{DeleteOptions, WriteOptions};
use parking_lot::Mutex;
use registry::{Allocation, Allocator, Operation, RequestContext, ResourceDef, UpdateKind};
use schema::Value;

use crate::harness::{Harness, Refuses, config_map, config_maps, with_data, with_finalizers};

/// Writes down what it is asked.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<&'static str>>>);

impl Record {
    fn add(&self, what: &'static str) {
        self.0.lock().push(what);
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock())
    }
}

#[async_trait]
impl Allocator for Record {
    async fn begin_create(
        &self,
        _: &RequestContext,
        object: &mut Value,
        dry_run: bool,
    ) -> Result<Box<dyn Allocation>, ApiError> {
        object.set(&["data", "given"], "1");
        self.add(if dry_run { "try create" } else { "create" });
        Ok(Box::new(self.clone()))
    }

    async fn begin_update(
        &self,
        _: &RequestContext,
        _: &mut Value,
        _: &Value,
        _: bool,
    ) -> Result<Box<dyn Allocation>, ApiError> {
        self.add("update");
        Ok(Box::new(self.clone()))
    }

    async fn after_delete(&self, _: &RequestContext, _: &Value) {
        self.add("deleted");
    }
}

#[async_trait]
impl Allocation for Record {
    async fn commit(self: Box<Self>) {
        self.add("commit");
    }

    async fn rollback(self: Box<Self>) {
        self.add("rollback");
    }
}

fn recording() -> (Harness, Record) {
    let record = Record::default();
    let definition = ResourceDef { allocator: Some(Arc::new(record.clone())), ..config_maps() };
    (Harness::new(definition), record)
}

#[tokio::test]
async fn a_write_that_happens_is_committed_and_any_other_rolled_back() {
    let (mut harness, record) = recording();
    let created = harness.create(config_map("a")).await.expect("created");
    assert_eq!(created.str_at(&["data", "given"]), Some("1"));
    assert_eq!(record.take(), ["create", "commit"]);
    harness.create(config_map("a")).await.expect_err("exists");
    assert_eq!(record.take(), ["create", "rollback"]);
    harness.create(config_map("-")).await.expect_err("no name");
    assert_eq!(record.take(), ["create", "rollback"]);
    harness.put(with_data(config_map("a"), "k", "v")).await.expect("updated");
    assert_eq!(record.take(), ["update", "commit"]);
    for operation in [Operation::Create, Operation::Update] {
        harness.context.admission = Arc::new(Refuses(operation));
        let (name, begun) = if operation == Operation::Create { ("b", "create") } else { ("a", "update") };
        let done = match operation {
            Operation::Create => harness.create(config_map(name)).await.map(drop),
            _ => harness.put(config_map(name)).await.map(drop),
        };
        done.expect_err("refused by admission");
        assert_eq!(record.take(), [begun, "rollback"]);
    }
}

#[tokio::test]
async fn an_object_that_is_gone_gives_back_what_it_had_and_a_dry_run_never() {
    let (harness, record) = recording();
    let held = with_finalizers(config_map("a"), &["example.org/f"]);
    harness.create(held).await.expect("created");
    record.take();
    harness.delete("a", DeleteOptions::default()).await.expect("begun");
    assert_eq!(record.take(), Vec::<&str>::new());
    let dry = WriteOptions { dry_run: true, ..WriteOptions::default() };
    harness.put_with(UpdateKind::Main, config_map("a"), &dry).await.expect("would be gone");
    assert_eq!(record.take(), ["update", "rollback"]);
    harness.put(config_map("a")).await.expect("gone with its last finalizer");
    assert_eq!(record.take(), ["update", "rollback", "deleted"]);

    harness.create(config_map("b")).await.expect("created");
    record.take();
    let dry = DeleteOptions { dry_run: true, ..DeleteOptions::default() };
    harness.delete("b", dry).await.expect("would be deleted");
    assert_eq!(record.take(), Vec::<&str>::new());
    harness.delete("b", DeleteOptions::default()).await.expect("deleted");
    assert_eq!(record.take(), ["deleted"]);
}
