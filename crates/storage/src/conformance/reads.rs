//! Get, key rules, unreadable values (A.2, A.4, A.10).

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use meta::{ApiError, ResourceVersion, Revision};
use schema::Value;

use super::fixture::{Suite, pod, put_bytes, recursive};
use crate::Error;
use crate::interface::{DeleteRequest, ListRequest, Object, UpdateRequest};

const KEY: &str = "/pods/test-ns/foo";

/// A-GET-1 to A-GET-6. All questions at once, so that none prepares the answer of another.
pub async fn get(suite: &Suite) {
    let made = suite.create(&pod("test-ns", "foo")).await;
    let last = suite.set(KEY, &["spec", "value"], "x").await;
    let now = suite.create(&pod("test-ns", "bar")).await.revision;
    let get = async |key: &'static str, version: String| {
        let result = suite.storage.get(key, &ResourceVersion(version.clone())).await;
        (key, version, result)
    };
    let [zero, first, second, newest] =
        [Revision(0), made.revision, last.revision, now].map(|revision| revision.to_string());
    // An older lower bound may be answered with any state since; 0 even with one from before it was made.
    let found = join_all(
        [
            (String::new(), vec![last.revision]),
            (zero, vec![Revision(0), made.revision, last.revision]),
            (first, vec![made.revision, last.revision]),
            (second, vec![last.revision]),
            (newest, vec![last.revision]),
        ]
        .map(async |(version, allowed)| (get(KEY, version).await, allowed)),
    );
    for ((_, version, result), allowed) in found.await {
        let found = result.expect("a read");
        let revision = found.as_ref().map_or(Revision(0), |object| object.revision);
        assert!(allowed.contains(&revision), "{revision} at {version:?}");
        if revision == last.revision {
            assert_eq!(found.map(|object| object.data.clone()), Some(last.data.clone()));
        }
    }
    let missing = "/pods/test-ns/missing";
    for version in ["", "0", "1"] {
        assert!(get(missing, version.into()).await.2.expect("a read").is_none());
    }
    let future = |more: u64| (now.0 + more).to_string();
    let far = (i64::MAX as u64).to_string();
    let questions = [(KEY, future(1000)), (missing, future(1000)), (KEY, far.clone()), (missing, far)];
    for (key, version, result) in join_all(questions.map(|(key, version)| get(key, version))).await {
        let Err(Error::Api(ApiError::TooLargeResourceVersion { requested, .. })) = result else {
            panic!("{key} at {version}: {result:?}")
        };
        assert_eq!(requested.to_string(), version);
    }
    for version in ["abc", "-1", "1.0", " 1"] {
        assert!(get(KEY, version.into()).await.2.is_err(), "{version:?}");
    }
}

/// A-KEY-3, A-KEY-4: every verb refuses the same keys before it does anything.
pub async fn key_schema(suite: &Suite) {
    let before = suite.revision().await;
    for key in [
        "",
        "/",
        ".",
        "..",
        "/pods",
        "/pods.apps",
        "/pods.apps/a",
        "/other/a",
        "/pods/../a",
        "/pods/./a",
        "/pods/a/..",
    ] {
        let object = pod("", "a");
        assert!(suite.storage.create(key, &object, 0).await.is_err(), "create {key:?}");
        assert!(suite.storage.get(key, &ResourceVersion::default()).await.is_err(), "get {key:?}");
        assert!(suite.delete(key).await.is_err(), "delete {key:?}");
        assert!(suite.storage.list(key, ListRequest::default()).await.is_err(), "list {key:?}");
        assert!(suite.storage.watch(key, ListRequest::default()).await.is_err(), "watch {key:?}");
        let mut change = |tree: Value, _: Revision| Ok((tree, None));
        let request = UpdateRequest {
            ignore_not_found: true,
            preconditions: Default::default(),
            hint: None,
            try_update: &mut change,
        };
        assert!(suite.storage.guaranteed_update(key, request).await.is_err(), "update {key:?}");
    }
    assert_eq!(suite.revision().await, before);
    for key in ["", "/", "..", "/pods.apps", "/other/", "/pods/../"] {
        assert!(suite.storage.list(key, recursive()).await.is_err(), "recursive list {key:?}");
        assert!(suite.storage.watch(key, recursive()).await.is_err(), "recursive watch {key:?}");
    }
    for key in ["/pods", "/pods/", "/pods/x", "/pods/x/y"] {
        assert!(suite.storage.list(key, recursive()).await.is_ok(), "recursive list {key:?}");
        assert!(suite.storage.watch(key, recursive()).await.is_ok(), "recursive watch {key:?}");
    }
    suite.create(&pod("ns", "bar..baz")).await;
    assert!(suite.get("/pods/ns/bar..baz").await.is_some());
}

/// A-GET-7, A-DEL-9, A-TRF-2, A-UPD-12: what cannot be read breaks every verb, and stays.
pub async fn transformation_failure(suite: &Suite) {
    suite.create_all(&["test-ns/good", "test-ns/foo"]).await;
    suite.put_stored(KEY, Bytes::from_static(b"not ours")).await;
    let unreadable = |error: &Error| {
        matches!(error, Error::Internal(_) | Error::Corrupt { .. } | Error::Api(ApiError::StorageRead { .. }))
    };
    let error = suite.storage.get(KEY, &ResourceVersion::default()).await.unwrap_err();
    assert!(unreadable(&error), "{error}");
    let error = suite.list("/pods", recursive()).await.err().expect("one of them is unreadable");
    assert!(unreadable(&error), "{error}");
    if let Error::Api(ApiError::StorageRead { causes, .. }) = &error {
        // A-TRF-3: the client learns which ones.
        let keys: Vec<&str> = causes.iter().map(|(_, _, key)| key.as_str()).collect();
        assert_eq!(keys, ["/registry/pods/test-ns/foo"]);
    }
    let mut change = |tree: Value, _: Revision| Ok((tree, None));
    let error = suite.update(KEY, None, &mut change).await.unwrap_err();
    assert!(unreadable(&error), "{error}");
    let error = suite.delete(KEY).await.unwrap_err();
    assert!(unreadable(&error), "{error}");
    assert_eq!(suite.stored(KEY).await, "not ours");
    assert!(suite.get("/pods/test-ns/good").await.is_some());
    // A value moved under another key is unreadable too (A-TRF-1).
    let moved = suite.stored("/pods/test-ns/good").await;
    suite.put_stored(KEY, moved).await;
    assert!(suite.storage.get(KEY, &ResourceVersion::default()).await.is_err());
    // A-DEL-10.
    let gone = delete_unread(suite, None).await.expect("an unsafe delete");
    assert_eq!(gone.revision, suite.revision().await);
    assert!(suite.get(KEY).await.is_none());
}

async fn delete_unread(suite: &Suite, hint: Option<Arc<Object>>) -> Result<Arc<Object>, Error> {
    let accept = |_: &Value| Ok(());
    let preconditions = Default::default();
    let request = DeleteRequest { preconditions, validate: &accept, hint, ignore_read_error: true };
    suite.storage.delete(KEY, request).await
}

/// A-DEL-11: what can be read is not deleted unread, whatever it was a moment ago and whatever a hint says.
pub async fn unsafe_delete_is_for_what_cannot_be_read(suite: &Suite) {
    let refused = |result: Result<Arc<Object>, Error>| {
        assert!(matches!(result, Err(Error::InvalidObject { .. })), "{result:?}");
    };
    let made = suite.create(&pod("test-ns", "foo")).await;
    let readable = suite.stored(KEY).await;
    refused(delete_unread(suite, None).await);
    refused(delete_unread(suite, Some(made.clone())).await);
    let put = |value: &Bytes| {
        let (backend, value) = (suite.backend.clone(), value.clone());
        async move {
            put_bytes(backend.as_ref(), &format!("/registry{KEY}"), value).await;
        }
    };
    // It becomes readable while it is deleted.
    let (bad, worse) = (Bytes::from_static(b"not ours"), Bytes::from_static(b"not ours either"));
    for hint in [None, Some(made)] {
        put(&bad).await;
        suite.recorder.interject(put(&readable));
        refused(delete_unread(suite, hint).await);
        assert_eq!(suite.stored(KEY).await, readable, "it stays");
    }
    // It is changed, and is as unreadable as before.
    put(&bad).await;
    suite.recorder.interject(put(&worse));
    delete_unread(suite, None).await.expect("an unsafe delete");
    assert!(suite.get(KEY).await.is_none());
    let missing = delete_unread(suite, None).await;
    assert!(matches!(missing, Err(Error::KeyNotFound { .. })), "{missing:?}");
}
