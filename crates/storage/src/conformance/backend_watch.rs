//! A-KV-6 and A-KV-7: watches of a backend.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::join;
use meta::Revision;

use super::fixture::{BackendSuite, delete, key, put, within};
use crate::backend::{
    BackendError, BackendEvent, BackendEventKind, BackendWatch, LeaseId, Op, Txn, WatchBatch, WatchRequest,
};

impl BackendSuite {
    async fn open(&self, from: &str, end: Option<&str>, start: Revision) -> Box<dyn BackendWatch> {
        let request =
            WatchRequest { key: key(from), end: end.map(key), start, previous: true, progress: false };
        self.backend.watch(request).await.expect("a watch")
    }

    async fn now(&self) -> Revision {
        self.backend.status().await.expect("a status").revision
    }

    async fn batch(&self, watch: &mut Box<dyn BackendWatch>) -> WatchBatch {
        let batch = within(&self.environment, "a batch", watch.next()).await;
        let batch = batch.expect("the stream goes on").expect("a batch");
        assert!(
            batch.events.iter().all(|event| event.kv.mod_revision <= batch.revision),
            "a batch reaches as far as its last event"
        );
        batch
    }

    /// The next `n` events, whatever the batches.
    async fn events(&self, watch: &mut Box<dyn BackendWatch>, n: usize) -> Vec<BackendEvent> {
        let mut events = Vec::new();
        while events.len() < n {
            events.extend(self.batch(watch).await.events);
        }
        assert_eq!(events.len(), n, "no more than what was done: {events:?}");
        events
    }
}

fn brief(events: &[BackendEvent]) -> Vec<(BackendEventKind, Bytes, Revision)> {
    events.iter().map(|event| (event.kind, event.kv.key.clone(), event.kv.mod_revision)).collect()
}

/// A-KV-6: history first, then live, with what was before.
pub async fn a_watch_delivers_every_change_once(suite: &BackendSuite) {
    let first = put(suite, "a", "1").await;
    let second = put(suite, "a", "2").await;
    let mut watch = suite.open("a", Some("z"), first).await;
    let third = delete(suite, "a").await;
    let fourth = put(suite, "a", "3").await;
    let events = suite.events(&mut watch, 4).await;
    use BackendEventKind::{Delete, Put};
    let a = || key("a");
    assert_eq!(
        brief(&events),
        [(Put, a(), first), (Put, a(), second), (Delete, a(), third), (Put, a(), fourth)]
    );
    let created: Vec<bool> =
        events.iter().map(|event| event.kv.create_revision == event.kv.mod_revision).collect();
    assert_eq!((created[0], created[1], created[3]), (true, false, true));
    let previous: Vec<_> =
        events.iter().map(|event| event.previous.as_ref().map(|kv| kv.value.clone())).collect();
    assert_eq!(previous, [None, Some(key("1")), Some(key("2")), None]);
    assert_eq!(events[2].previous.as_ref().map(|kv| kv.mod_revision), Some(second));
    assert_eq!((events[3].kv.value.clone(), events[3].kv.version), (key("3"), 1));
}

/// A-KV-6.
pub async fn a_watch_sees_its_range_only(suite: &BackendSuite) {
    let start = Revision(suite.now().await.0 + 1);
    let mut range = suite.open("b", Some("c"), start).await;
    let mut single = suite.open("b", None, start).await;
    for at in ["a", "b", "b/x", "c", "bz", "b"] {
        put(suite, at, "1").await;
    }
    let keys =
        |events: Vec<BackendEvent>| -> Vec<Bytes> { events.into_iter().map(|event| event.kv.key).collect() };
    assert_eq!(keys(suite.events(&mut range, 4).await), ["b", "b/x", "bz", "b"]);
    assert_eq!(keys(suite.events(&mut single, 2).await), ["b", "b"]);
}

/// A-KV-6: the changes of one transaction come in one batch.
pub async fn a_revision_is_not_split(suite: &BackendSuite) {
    let mut watch = suite.open("a", Some("z"), Revision(0)).await;
    let put = |at: &str| Op::Put { key: key(at), value: key("1"), lease: LeaseId(0) };
    for _ in 0..20 {
        let success = vec![put("a"), put("b"), put("c")];
        suite.backend.txn(Txn { success, ..Txn::default() }).await.expect("a transaction");
    }
    let mut seen = 0;
    while seen < 60 {
        let batch = suite.batch(&mut watch).await;
        assert!(batch.events.len().is_multiple_of(3), "{batch:?}");
        seen += batch.events.len();
    }
}

/// A-KV-6: a start in the future skips what comes before it.
pub async fn a_watch_may_start_in_the_future(suite: &BackendSuite) {
    let now = put(suite, "a", "0").await;
    let mut watch = suite.open("a", None, Revision(now.0 + 3)).await;
    for value in ["1", "2", "3", "4"] {
        put(suite, "a", value).await;
    }
    let events = suite.events(&mut watch, 2).await;
    assert_eq!(events[0].kv.mod_revision.0, now.0 + 3);
    assert_eq!(events[1].kv.mod_revision.0, now.0 + 4);
}

/// Start 0 is "after now".
pub async fn a_watch_from_zero_starts_after_now(suite: &BackendSuite) {
    put(suite, "a", "before").await;
    let mut watch = suite.open("a", None, Revision(0)).await;
    put(suite, "a", "after").await;
    let events = suite.events(&mut watch, 1).await;
    assert_eq!(events[0].kv.value, key("after"));
}

/// A-KV-6: an error with the compacted revision, then the end.
pub async fn a_watch_below_the_compaction_ends(suite: &BackendSuite) {
    let first = put(suite, "a", "1").await;
    put(suite, "a", "2").await;
    let compacted = put(suite, "a", "3").await;
    let last = put(suite, "a", "4").await;
    suite.backend.compact(compacted).await.expect("a compaction");
    let mut watch = suite.open("a", None, first).await;
    let error = within(&suite.environment, "an error", watch.next()).await.expect("an error").unwrap_err();
    assert_eq!(error, BackendError::Compacted { compacted });
    assert!(within(&suite.environment, "the end", watch.next()).await.is_none());
    let mut watch = suite.open("a", None, last).await;
    assert_eq!(suite.events(&mut watch, 1).await[0].kv.value, key("4"));
}

/// [`WatchRequest::previous`].
pub async fn a_watch_without_previous_values_has_none(suite: &BackendSuite) {
    let first = put(suite, "a", "1").await;
    put(suite, "a", "2").await;
    delete(suite, "a").await;
    let request = WatchRequest { key: key("a"), end: None, start: first, previous: false, progress: false };
    let mut watch = suite.backend.watch(request).await.expect("a watch");
    let events = suite.events(&mut watch, 3).await;
    assert!(events.iter().all(|event| event.previous.is_none()));
}

/// A-KV-7: the global revision, whatever the watch sees.
pub async fn requested_progress_is_answered_when_idle(suite: &BackendSuite) {
    if !suite.backend.supports_progress_requests() {
        return;
    }
    let mut watch = suite.open("a", None, Revision(0)).await;
    for _ in 0..2 {
        let elsewhere = put(suite, "elsewhere", "1").await;
        suite.backend.request_progress().await.expect("a request");
        let batch = loop {
            let batch = suite.batch(&mut watch).await;
            assert!(batch.events.is_empty(), "{batch:?}");
            if batch.revision >= elsewhere {
                break batch;
            }
        };
        assert_eq!(batch.revision, elsewhere);
    }
}

/// A-KV-7: progress R means that everything up to R has been delivered.
pub async fn progress_never_overtakes_events(suite: &BackendSuite) {
    const WRITES: usize = 200;
    let mut watch = suite.open("a", Some("b"), Revision(0)).await;
    let start = suite.now().await;
    let write = async {
        for n in 0..WRITES {
            put(suite, &format!("a{}", n % 7), "1").await;
            put(suite, "elsewhere", "1").await;
            suite.backend.request_progress().await.expect("a request");
        }
    };
    let read = async {
        let mut reached = start;
        let mut seen = Vec::new();
        while seen.len() < WRITES {
            let batch = suite.batch(&mut watch).await;
            assert!(batch.revision >= reached, "progress goes forward");
            assert!(
                batch.events.iter().all(|event| event.kv.mod_revision > reached),
                "{batch:?} after {reached}"
            );
            seen.extend(batch.events.iter().map(|event| event.kv.mod_revision));
            reached = batch.revision;
        }
        seen
    };
    let ((), seen) = join(write, read).await;
    let want: Vec<Revision> = (0..WRITES as u64).map(|n| Revision(start.0 + 1 + 2 * n)).collect();
    assert_eq!(seen, want);
}

/// A-KV-7: a watch that has not begun says nothing.
pub async fn progress_is_not_owed_before_the_start(suite: &BackendSuite) {
    let start = Revision(suite.now().await.0 + 3);
    let mut watch = suite.open("a", None, start).await;
    suite.backend.request_progress().await.expect("a request");
    assert!(watch.next().now_or_never().is_none());
    for value in ["1", "2", "3"] {
        put(suite, "a", value).await;
    }
    let batch = suite.batch(&mut watch).await;
    assert!(batch.revision >= start, "{batch:?}");
}

/// [`BackendWatch::next`] is cancel-safe.
pub async fn a_dropped_wait_loses_nothing(suite: &BackendSuite) {
    let mut watch = suite.open("a", None, Revision(0)).await;
    let mut seen = Vec::new();
    for n in 0..50 {
        put(suite, "a", &n.to_string()).await;
        if let Some(batch) = watch.next().now_or_never() {
            seen.extend(batch.expect("the stream goes on").expect("a batch").events);
        }
    }
    let missing = 50 - seen.len();
    seen.extend(suite.events(&mut watch, missing).await);
    let values: Vec<Bytes> = seen.into_iter().map(|event| event.kv.value).collect();
    let want: Vec<Bytes> = (0..50).map(|n| key(&n.to_string())).collect();
    assert_eq!(values, want);
}

/// A-KV-6: history that was not compacted is there, however much it is.
pub async fn a_reader_that_comes_late_misses_nothing(suite: &BackendSuite) {
    let start = Revision(suite.now().await.0 + 1);
    let mut early = suite.open("a", Some("b"), start).await;
    for n in 0..1000 {
        put(suite, &format!("a{:03}", n % 100), &n.to_string()).await;
    }
    let mut late = suite.open("a", Some("b"), start).await;
    for watch in [&mut early, &mut late] {
        let events = suite.events(watch, 1000).await;
        assert!(events.windows(2).all(|pair| pair[0].kv.mod_revision < pair[1].kv.mod_revision));
    }
}
