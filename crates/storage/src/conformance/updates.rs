//! GuaranteedUpdate (A.6).

use std::sync::Arc;

use async_trait::async_trait;
use meta::options::Preconditions;
use meta::{ApiError, ObjectMeta, Revision};
use schema::Value;

use super::fixture::{Suite, pod, rv};
use crate::Error;
use crate::interface::{EventType, ListRequest, Object, TryUpdate, UpdateRequest, Updated, WatchEvent};

const KEY: &str = "/pods/test-ns/foo";

fn same(tree: Value, _: Revision) -> Result<(Value, Option<i64>), Error> {
    Ok((tree, None))
}

fn refusal(text: &str) -> Error {
    ApiError::BadRequest(text.into()).into()
}

async fn update_if(
    suite: &Suite,
    key: &str,
    uid: Option<&str>,
    ignore_not_found: bool,
    try_update: &mut dyn TryUpdate,
) -> Result<Updated, Error> {
    let preconditions = Preconditions { uid: uid.map(str::to_owned), resource_version: None };
    suite
        .storage
        .guaranteed_update(key, UpdateRequest { ignore_not_found, preconditions, hint: None, try_update })
        .await
}

/// A-UPD-1, A-UPD-2, A-UPD-4, A-UPD-6, A-UPD-8, A-UPD-10.
pub async fn guaranteed_update(suite: &Suite) {
    let error = update_if(suite, KEY, None, false, &mut same).await.unwrap_err();
    assert!(matches!(&error, Error::KeyNotFound { .. }), "{error}");

    // A missing object may be made by an update.
    let mut make = |tree: Value, revision: Revision| {
        assert_eq!((tree, revision), (Value::map(), Revision(0)));
        Ok((pod("test-ns", "foo"), None))
    };
    let made = update_if(suite, KEY, None, true, &mut make).await.expect("a creation");
    assert!(made.written);
    assert_eq!(made.object.revision, suite.revision().await);

    // Nothing changes, nothing is written; neither resourceVersion nor selfLink counts.
    let mut link = |mut tree: Value, revision: Revision| {
        assert_eq!(ObjectMeta::of(&tree).resource_version(), rv(revision));
        tree.set(&["metadata", "selfLink"], "/somewhere");
        tree.set(&["metadata", "resourceVersion"], "12345");
        Ok((tree, None))
    };
    for try_update in [&mut same as &mut dyn TryUpdate, &mut link] {
        let updated = update_if(suite, KEY, None, false, try_update).await.expect("an update");
        assert!(!updated.written);
        assert_eq!(
            (updated.object.revision, &updated.object.data),
            (made.object.revision, &made.object.data)
        );
        assert_eq!(suite.revision().await, made.object.revision);
    }

    // A stale value is written again.
    suite.transformer.set_stale(true);
    let updated = update_if(suite, KEY, None, false, &mut same).await.expect("an update");
    suite.transformer.set_stale(false);
    assert!(updated.written && updated.object.revision > made.object.revision);
    assert_eq!(updated.object.data, made.object.data);

    let mut change = |mut tree: Value, revision: Revision| {
        assert_eq!(revision, updated.object.revision);
        tree.set(&["spec", "value"], "x");
        Ok((tree, None))
    };
    let changed =
        update_if(suite, KEY, Some("uid-test-ns-foo"), false, &mut change).await.expect("an update");
    assert!(changed.written);
    assert_eq!(changed.object.revision, suite.revision().await);
    let tree = suite.tree(&suite.get(KEY).await.expect("it is there"));
    assert_eq!(tree, suite.tree(&changed.object));
    assert_eq!(tree.str_at(&["spec", "value"]), Some("x"));

    let error = update_if(suite, KEY, Some("other"), false, &mut same).await.unwrap_err();
    assert!(matches!(error, Error::InvalidObject { .. }), "{error}");
}

/// A-UPD-9.
pub async fn guaranteed_update_with_ttl(suite: &Suite) {
    let mut make = |_: Value, _: Revision| Ok((pod("test-ns", "foo"), Some(1)));
    let made = update_if(suite, KEY, None, true, &mut make).await.expect("a creation");
    let options = ListRequest { resource_version: rv(made.object.revision), ..ListRequest::default() };
    let mut watch = suite.watch(KEY, options).await;
    let event = watch.next().await;
    assert!(matches!(event, Some(WatchEvent::Change(EventType::Deleted, _))), "{event:?}");
}

/// A-UPD-9: an update without a ttl takes the object off its lease.
pub async fn guaranteed_update_without_ttl_keeps_for_ever(suite: &Suite) {
    suite.storage.create(KEY, &pod("test-ns", "foo"), 1).await.expect("a creation");
    suite.storage.create("/pods/test-ns/other", &pod("test-ns", "other"), 1).await.expect("a creation");
    suite.set(KEY, &["spec", "value"], "x").await;
    let expired = async {
        while suite.get("/pods/test-ns/other").await.is_some() {
            suite.environment.clock.sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    super::fixture::within(&suite.environment, "the other object to expire", expired).await;
    assert!(suite.get(KEY).await.is_some());
}

/// A-UPD-7, A-UPD-8: only stored bytes prove that nothing would change.
pub async fn guaranteed_update_checks_stored_data(suite: &Suite) {
    let made = suite.create(&pod("test-ns", "foo")).await;
    let canonical = suite.stored(KEY).await;
    // The same object in bytes that nobody here would write.
    let spaced = [&canonical[..], b"  "].concat();
    suite.put_stored(KEY, spaced.into()).await;
    let updated = suite.update(KEY, Some(made), &mut same).await.expect("an update");
    assert!(updated.written, "the hint looked unchanged, what is stored was not");
    assert_eq!(suite.stored(KEY).await, canonical);

    let hint = suite.get(KEY).await;
    let unchanged = suite.update(KEY, hint.clone(), &mut same).await.expect("an update");
    assert!(!unchanged.written);
    suite.transformer.set_stale(true);
    let rewritten = suite.update(KEY, hint, &mut same).await.expect("an update");
    suite.transformer.set_stale(false);
    assert!(rewritten.written && rewritten.object.revision > unchanged.object.revision);
}

/// Lets another update win the first time.
struct Overtaken<'a> {
    suite: &'a Suite,
    calls: usize,
}

#[async_trait]
impl TryUpdate for Overtaken<'_> {
    async fn try_update(&mut self, mut tree: Value, _: Revision) -> Result<(Value, Option<i64>), Error> {
        self.calls += 1;
        if self.calls == 1 {
            self.suite.set(KEY, &["spec", "first"], "there").await;
        }
        tree.set(&["spec", "second"], "there");
        Ok((tree, None))
    }
}

/// A-UPD-3.
pub async fn guaranteed_update_with_conflict(suite: &Suite) {
    suite.create(&pod("test-ns", "foo")).await;
    let mut change = Overtaken { suite, calls: 0 };
    let updated = suite.update(KEY, None, &mut change).await.expect("an update");
    assert_eq!(change.calls, 2);
    let tree = suite.tree(&updated.object);
    assert_eq!(
        (tree.str_at(&["spec", "first"]), tree.str_at(&["spec", "second"])),
        (Some("there"), Some("there"))
    );
}

/// Refuses everything and counts.
struct Refusing(usize);

#[async_trait]
impl TryUpdate for Refusing {
    async fn try_update(&mut self, _: Value, _: Revision) -> Result<(Value, Option<i64>), Error> {
        self.0 += 1;
        Err(refusal("no"))
    }
}

async fn change_by_hint(
    suite: &Suite,
    hint: Arc<Object>,
    expect: &str,
    value: &'static str,
) -> Result<Updated, Error> {
    let mut change = |mut tree: Value, _: Revision| {
        if tree.str_at(&["spec", "value"]).unwrap_or_default() != expect {
            return Err(refusal("stale"));
        }
        tree.set(&["spec", "value"], value);
        Ok((tree, None))
    };
    suite.update(KEY, Some(hint), &mut change).await
}

/// A-UPD-5.
pub async fn guaranteed_update_with_suggestion_and_conflict(suite: &Suite) {
    let first = suite.create(&pod("test-ns", "foo")).await;
    let second = change_by_hint(suite, first.clone(), "", "2").await.expect("a fresh hint").object;
    // A stale hint whose error is no error on the live object.
    let third = change_by_hint(suite, first, "2", "3").await.expect("the live object fits").object;
    assert_eq!(suite.tree(&third).str_at(&["spec", "value"]), Some("3"));
    // An error on a fresh hint is the answer.
    let mut refusing = Refusing(0);
    let error = suite.update(KEY, Some(third), &mut refusing).await.unwrap_err();
    assert_eq!((error, refusing.0), (refusal("no"), 1));
    // On a stale one it is asked again, on live data.
    let mut refusing = Refusing(0);
    let error = suite.update(KEY, Some(second), &mut refusing).await.unwrap_err();
    assert_eq!(error, refusal("no"));
    assert!(refusing.0 <= 2);
    // A hint for what is gone.
    let hint = suite.get(KEY).await;
    suite.delete(KEY).await.expect("a delete");
    let error = suite.update(KEY, hint, &mut Refusing(0)).await.unwrap_err();
    assert!(matches!(error, Error::KeyNotFound { .. }), "{error}");
}
