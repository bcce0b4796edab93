//! Create and delete (A.3, A.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use meta::options::Preconditions;
use meta::{ApiError, Revision};
use schema::Value;

use super::fixture::{Suite, key_of, labelled, pod, recursive, rv};
use crate::Error;
use crate::interface::{EventType, ListRequest, Object, ValidateDelete};

const KEY: &str = "/pods/test-ns/foo";

fn foo() -> Value {
    pod("test-ns", "foo")
}

fn uid(uid: &str) -> Preconditions {
    Preconditions { uid: Some(uid.into()), resource_version: None }
}

fn accept(_: &Value) -> Result<(), Error> {
    Ok(())
}

fn refusal() -> Error {
    ApiError::BadRequest("not now".into()).into()
}

/// A-CRE-1, A-CRE-2.
pub async fn create(suite: &Suite) {
    assert!(suite.get(KEY).await.is_none());
    let object = suite.create(&foo()).await;
    assert_eq!(object.revision, suite.revision().await);
    assert_eq!(object.key, format!("/registry{KEY}"));
    let mut want = foo();
    want.set(&["metadata", "resourceVersion"], object.revision.to_string());
    assert_eq!(suite.tree(&object), want);
    assert_eq!(suite.tree(&suite.get(KEY).await.expect("it was made")), want);

    let mut with_version = pod("test-ns", "bar");
    with_version.set(&["metadata", "resourceVersion"], "1");
    let error = suite.storage.create(&key_of(&with_version), &with_version, 0).await.unwrap_err();
    assert_eq!(error, Error::ResourceVersionSet);
    assert!(suite.get(&key_of(&with_version)).await.is_none());
    // Zero is as good as none.
    with_version.set(&["metadata", "resourceVersion"], "0");
    suite.create(&with_version).await;
}

/// A-CRE-4, A-LEA-4: watchers see it go.
pub async fn create_with_ttl(suite: &Suite) {
    let object = suite.storage.create(KEY, &foo(), 1).await.expect("a creation");
    let mut watch = suite
        .watch(KEY, ListRequest { resource_version: rv(object.revision), ..ListRequest::default() })
        .await;
    let event = watch.next().await;
    let Some(crate::WatchEvent::Change(EventType::Deleted, gone)) = &event else { panic!("{event:?}") };
    assert!(gone.revision > object.revision);
    assert!(suite.get(KEY).await.is_none());
}

/// A-CRE-3.
pub async fn create_with_key_exist(suite: &Suite) {
    let object = suite.create(&foo()).await;
    let error = suite.storage.create(KEY, &labelled("test-ns", "foo", "other"), 0).await.unwrap_err();
    assert_eq!(error, Error::KeyExists { key: format!("/registry{KEY}"), revision: Revision(0) });
    let found = suite.get(KEY).await.expect("it was made");
    assert_eq!((found.revision, &found.data), (object.revision, &object.data));
}

/// A-CRE-6, A-VER-3.
pub async fn stored_bytes_carry_no_resource_version(suite: &Suite) {
    let mut object = foo();
    object.set(&["metadata", "selfLink"], "/somewhere");
    object.set(&["metadata", "resourceVersion"], "0");
    suite.create(&object).await;
    suite.set(KEY, &["spec", "value"], "x").await;
    let stored = suite.stored(KEY).await;
    let text = String::from_utf8_lossy(&stored);
    assert!(text.contains("\"value\":\"x\""), "{text}");
    assert!(!text.contains("resourceVersion") && !text.contains("selfLink"), "{text}");
    let found = suite.get(KEY).await.expect("it was made");
    assert!(!String::from_utf8_lossy(&found.data).contains("resourceVersion"));
}

/// A-DEL-1, A-DEL-2.
pub async fn unconditional_delete(suite: &Suite) {
    let error = suite.delete(KEY).await.unwrap_err();
    assert!(matches!(&error, Error::KeyNotFound { key, .. } if *key == format!("/registry{KEY}")), "{error}");
    let made = suite.create(&foo()).await;
    let deleted = suite.delete(KEY).await.expect("a delete");
    assert!(deleted.revision > made.revision);
    assert_eq!(deleted.revision, suite.revision().await);
    let mut want = foo();
    want.set(&["metadata", "resourceVersion"], deleted.revision.to_string());
    assert_eq!(suite.tree(&deleted), want);
    assert!(suite.get(KEY).await.is_none());
}

/// A-DEL-3.
pub async fn conditional_delete(suite: &Suite) {
    let made = suite.create(&foo()).await;
    let error = suite.delete_with(KEY, uid("other"), &accept, None).await.unwrap_err();
    let message = "Precondition failed: UID in precondition: other, UID in object meta: uid-test-ns-foo";
    assert_eq!(error, Error::InvalidObject { key: format!("/registry{KEY}"), message: message.into() });
    let old = Preconditions { uid: None, resource_version: Some("1".into()) };
    let error = suite.delete_with(KEY, old, &accept, None).await.unwrap_err();
    let message = format!(
        "Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta: {}",
        made.revision
    );
    assert_eq!(error, Error::InvalidObject { key: format!("/registry{KEY}"), message });
    let right = Preconditions {
        uid: Some("uid-test-ns-foo".into()),
        resource_version: Some(made.revision.to_string()),
    };
    let deleted = suite.delete_with(KEY, right, &accept, None).await.expect("a delete");
    assert!(deleted.revision > made.revision);
}

/// A-DEL-5: a fresh hint.
pub async fn delete_with_suggestion(suite: &Suite) {
    let made = suite.create(&foo()).await;
    suite.delete_with(KEY, Preconditions::default(), &accept, Some(made)).await.expect("a delete");
    assert!(suite.get(KEY).await.is_none());
}

/// A-DEL-7: a stale hint costs a turn, and the newest version is what was deleted.
pub async fn delete_with_suggestion_and_conflict(suite: &Suite) {
    let made = suite.create(&foo()).await;
    suite.set(KEY, &["spec", "value"], "new").await;
    let deleted =
        suite.delete_with(KEY, Preconditions::default(), &accept, Some(made)).await.expect("a delete");
    assert_eq!(suite.tree(&deleted).str_at(&["spec", "value"]), Some("new"));
    assert!(suite.get(KEY).await.is_none());
}

/// Changes the object while it is judged for the first time.
struct Interfering<'a> {
    suite: &'a Suite,
    calls: AtomicUsize,
}

#[async_trait]
impl ValidateDelete for Interfering<'_> {
    async fn validate(&self, _: &Value) -> Result<(), Error> {
        if self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            self.suite.set(KEY, &["spec", "value"], "meanwhile").await;
        }
        Ok(())
    }
}

/// A-DEL-7: exactly one more judgement.
pub async fn delete_with_conflict(suite: &Suite) {
    suite.create(&foo()).await;
    let validate = Interfering { suite, calls: AtomicUsize::new(0) };
    let deleted = suite.delete_with(KEY, Preconditions::default(), &validate, None).await.expect("a delete");
    assert_eq!(suite.tree(&deleted).str_at(&["spec", "value"]), Some("meanwhile"));
    assert_eq!(validate.calls.load(Ordering::SeqCst), 2);
}

/// A-DEL-8.
pub async fn delete_with_suggestion_of_deleted_object(suite: &Suite) {
    let made = suite.create(&foo()).await;
    suite.delete(KEY).await.expect("a delete");
    let error = suite.delete_with(KEY, Preconditions::default(), &accept, Some(made)).await.unwrap_err();
    assert!(matches!(error, Error::KeyNotFound { .. }), "{error}");
}

/// Refuses objects until `spec.value` says otherwise, and counts.
struct WantsValue {
    want: Option<&'static str>,
    calls: AtomicUsize,
}

impl WantsValue {
    fn new(want: Option<&'static str>) -> WantsValue {
        WantsValue { want, calls: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl ValidateDelete for WantsValue {
    async fn validate(&self, object: &Value) -> Result<(), Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if object.str_at(&["spec", "value"]) == self.want { Ok(()) } else { Err(refusal()) }
    }
}

/// A-DEL-4, A-DEL-5: the error comes back unchanged; a fresh hint is judged once, a stale one twice.
pub async fn validate_deletion_with_suggestion(suite: &Suite) {
    let made = suite.create(&foo()).await;
    let validate = WantsValue::new(Some("new"));
    let error =
        suite.delete_with(KEY, Preconditions::default(), &validate, Some(made.clone())).await.unwrap_err();
    assert_eq!((error, validate.calls.load(Ordering::SeqCst)), (refusal(), 1));

    suite.set(KEY, &["spec", "value"], "new").await;
    let validate = WantsValue::new(Some("new"));
    suite
        .delete_with(KEY, Preconditions::default(), &validate, Some(made))
        .await
        .expect("the live object is fine");
    assert!(validate.calls.load(Ordering::SeqCst) <= 2);
}

/// A-DEL-6.
pub async fn validate_deletion_with_only_suggestion_valid(suite: &Suite) {
    let made = suite.create(&foo()).await;
    suite.set(KEY, &["spec", "value"], "new").await;
    let validate = WantsValue::new(None);
    let error = suite.delete_with(KEY, Preconditions::default(), &validate, Some(made)).await.unwrap_err();
    assert_eq!(error, refusal());
    assert!(validate.calls.load(Ordering::SeqCst) <= 2);
    assert!(suite.get(KEY).await.is_some());
}

/// A hint and a live object that differ in their uid.
async fn replaced(suite: &Suite) -> Arc<Object> {
    let old = suite.create(&foo()).await;
    suite.set(KEY, &["metadata", "uid"], "uid-new").await;
    old
}

/// A-DEL-5.
pub async fn preconditional_delete_with_suggestion(suite: &Suite) {
    let old = replaced(suite).await;
    suite.delete_with(KEY, uid("uid-new"), &accept, Some(old)).await.expect("the live object fits");
    assert!(suite.get(KEY).await.is_none());
}

/// A-DEL-6.
pub async fn preconditional_delete_with_only_suggestion_pass(suite: &Suite) {
    let old = replaced(suite).await;
    let error = suite.delete_with(KEY, uid("uid-test-ns-foo"), &accept, Some(old)).await.unwrap_err();
    assert!(matches!(error, Error::InvalidObject { .. }), "{error}");
    assert!(suite.get(KEY).await.is_some());
}

/// A-STA-1: siblings that share the prefix as text do not count (A-KEY-7).
pub async fn stats(suite: &Suite) {
    let count = async || suite.storage.stats().await.expect("stats").object_count;
    assert_eq!(count().await, 0);
    suite.create_all(&["test-ns/foo", "test-ns/bar", "other/foo"]).await;
    super::fixture::put_bytes(suite.backend.as_ref(), "/registry/podskey", super::fixture::key("{}")).await;
    assert_eq!(count().await, 3);
    suite.set(KEY, &["spec", "value"], "x").await;
    assert_eq!(count().await, 3);
    suite.delete(KEY).await.expect("a delete");
    assert_eq!(count().await, 2);
}

/// A-STA-4, A-STA-5.
pub async fn reads_do_not_move_the_revision(suite: &Suite) {
    assert!(suite.revision().await.0 > 0);
    let made = suite.create(&foo()).await;
    for _ in 0..3 {
        suite.get(KEY).await.expect("it was made");
        suite.list("/pods", recursive()).await.expect("a list");
        assert_eq!(suite.revision().await, made.revision);
    }
    let elsewhere =
        super::fixture::put_bytes(suite.backend.as_ref(), "/elsewhere", super::fixture::key("x")).await;
    assert_eq!(suite.revision().await, elsewhere, "the revision is that of the whole backend");
    assert_eq!(suite.get(KEY).await.expect("it was made").revision, made.revision);
}
