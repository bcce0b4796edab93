//! The event log that all watches share, and the watches.
//!
//! A watch is a cursor: the first revision at or after which there may be
//! something for it, or nothing if it is up to date. A publication looks at the
//! distinct ranges that are watched and touches only the watches it concerns, so
//! those of quiet resources neither wake nor fall behind, and a slow one costs nobody else anything.
//! Only durable events come here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use meta::Revision;
use parking_lot::Mutex;
use storage::backend::{
    BackendError, BackendEvent, BackendEventKind, BackendWatch, KeyValue, Position, Tracker, WatchBatch,
    WatchRequest,
};
use tokio::sync::Notify;

use crate::index::within;
use crate::state::{Event, Events};

/// Events in one batch; a batch ends with the revision that reaches this. Bounds
/// how long the log is locked for one watch.
const WATCH_BATCH_EVENTS_MAX: usize = 512;

/// Revisions looked through for one batch, for the same reason.
const WATCH_BATCH_REVISIONS_MAX: u64 = 8192;

/// A watch that asked for progress hears of it at least once in so many revisions.
const PROGRESS_EVERY_REVISIONS: u64 = 1000;

/// See the module.
pub(crate) struct EventLog(Mutex<Log>);

struct Log {
    /// Revision of the first entry. Before it nothing can be delivered.
    base: u64,
    /// One entry per revision, without gaps.
    entries: VecDeque<Events>,
    compacted: Revision,
    /// Watches by range.
    watchers: BTreeMap<Range, BTreeMap<u64, Watcher>>,
    next_watcher: u64,
    closed: bool,
}

type Range = (Bytes, Option<Bytes>);

struct Watcher {
    /// First revision wanted.
    start: u64,
    /// First revision that may hold something not delivered yet; 0 if there is none.
    pending: u64,
    /// Wants progress unasked.
    progress: bool,
    /// Is owed a progress notification.
    announce: bool,
    /// Revision of the last batch.
    announced: u64,
    /// Revision of the last batch with events; before the first one, what the watch began after.
    delivered: u64,
    wake: Arc<Notify>,
}

impl EventLog {
    /// A log that goes on after `revision`, with the events of the revisions just before it.
    pub fn new(entries: VecDeque<Events>, revision: Revision, compacted: Revision) -> EventLog {
        let base = revision.0 + 1 - entries.len() as u64;
        let (watchers, next_watcher, closed) = (BTreeMap::new(), 0, false);
        EventLog(Mutex::new(Log { base, entries, compacted, watchers, next_watcher, closed }))
    }

    /// Appends the events of the next revisions and wakes the watches they concern.
    pub fn publish(&self, revisions: Vec<Events>) {
        let mut log = self.0.lock();
        for events in revisions {
            log.append(events);
        }
        log.announce_unasked();
    }

    /// From now on, watches start at `compacted` or later.
    pub fn compact(&self, compacted: Revision) {
        self.0.lock().compacted = compacted;
    }

    /// Takes up to `max` revisions below `revision` off the log's start and
    /// gives them to the caller to drop, outside the lock.
    pub fn drop_before(&self, revision: Revision, max: usize) -> Vec<Events> {
        let mut log = self.0.lock();
        let count = (revision.0.saturating_sub(log.base) as usize).min(log.entries.len()).min(max);
        log.base += count as u64;
        log.entries.drain(..count).collect()
    }

    /// The keys changed at one revision.
    pub fn keys_at(&self, revision: Revision) -> Vec<Bytes> {
        let log = self.0.lock();
        let at = revision.0.checked_sub(log.base).and_then(|at| log.entries.get(at as usize));
        at.map(|events| events.iter().map(|event| event.key.clone()).collect()).unwrap_or_default()
    }

    /// Sends every watch a progress notification.
    pub fn announce(&self) {
        let mut log = self.0.lock();
        for watcher in log.watchers.values_mut().flat_map(BTreeMap::values_mut) {
            watcher.announce = true;
            watcher.wake.notify_one();
        }
    }

    /// Ends all watches.
    pub fn close(&self) {
        let mut log = self.0.lock();
        log.closed = true;
        for watcher in log.watchers.values().flat_map(BTreeMap::values) {
            watcher.wake.notify_one();
        }
    }

    /// Opens a watch.
    pub fn watch(self: &Arc<EventLog>, request: WatchRequest) -> LogWatch {
        let mut log = self.0.lock();
        let wake = Arc::new(Notify::new());
        let start = if request.start.0 == 0 { log.end() } else { request.start.0 };
        let watcher = Watcher {
            start,
            pending: if start < log.end() { start } else { 0 },
            progress: request.progress,
            announce: false,
            announced: log.end() - 1,
            delivered: start - 1,
            wake: wake.clone(),
        };
        let id = log.next_watcher;
        log.next_watcher += 1;
        let range = (request.key, request.end);
        log.watchers.entry(range.clone()).or_default().insert(id, watcher);
        LogWatch { log: self.clone(), range, id, previous: request.previous, wake, ended: false }
    }
}

impl Log {
    /// The revision that comes next.
    fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    fn append(&mut self, events: Events) {
        let revision = self.end();
        for event in &events {
            let concerned =
                self.watchers.iter_mut().filter(|((key, end), _)| within(&event.key, key, end.as_deref()));
            for watcher in concerned.flat_map(|(_, watchers)| watchers.values_mut()) {
                if watcher.pending == 0 && watcher.start <= revision {
                    watcher.pending = revision;
                    watcher.wake.notify_one();
                }
            }
        }
        self.entries.push_back(events);
    }

    fn announce_unasked(&mut self) {
        let revision = self.end() - 1;
        for watcher in self.watchers.values_mut().flat_map(BTreeMap::values_mut) {
            if watcher.progress
                && !watcher.announce
                && watcher.announced + PROGRESS_EVERY_REVISIONS <= revision
            {
                watcher.announce = true;
                watcher.wake.notify_one();
            }
        }
    }

    /// What there is for a watch now, if anything.
    fn poll(&mut self, watch: &LogWatch) -> Option<Result<WatchBatch, BackendError>> {
        let (base, end, compacted) = (self.base, self.end(), self.compacted);
        let watcher = self.watchers.get_mut(&watch.range)?.get_mut(&watch.id)?;
        if watcher.pending != 0 {
            if watcher.pending < base || watcher.pending < compacted.0 {
                return Some(Err(BackendError::Compacted { compacted }));
            }
            let (events, reached) = collect(&self.entries, watcher.pending - base, watch);
            let reached = base + reached;
            watcher.pending = if reached == end { 0 } else { reached };
            if watcher.pending != 0 {
                watcher.wake.notify_one();
            }
            if !events.is_empty() {
                watcher.announced = reached - 1;
                watcher.delivered = reached - 1;
                return Some(Ok(WatchBatch { revision: Revision(reached - 1), events }));
            }
        }
        // Progress is owed only up to date, and not while the start lies in the future (A-KV-7).
        if watcher.announce && watcher.pending == 0 {
            watcher.announce = false;
            if watcher.start <= end {
                watcher.announced = end - 1;
                return Some(Ok(WatchBatch { revision: Revision(end - 1), events: Vec::new() }));
            }
        }
        None
    }
}

/// Events for a watch from entry `from` on, and the entry after the last one looked at.
fn collect(entries: &VecDeque<Events>, from: u64, watch: &LogWatch) -> (Vec<BackendEvent>, u64) {
    let mut found = Vec::new();
    let mut at = from;
    for events in entries.range(from as usize..) {
        if found.len() >= WATCH_BATCH_EVENTS_MAX || at - from >= WATCH_BATCH_REVISIONS_MAX {
            break;
        }
        let (key, end) = &watch.range;
        let matching = events.iter().filter(|event| within(&event.key, key, end.as_deref()));
        found.extend(matching.map(|event| backend_event(event, watch.previous)));
        at += 1;
    }
    (found, at)
}

fn backend_event(event: &Event, previous: bool) -> BackendEvent {
    let kind = if event.version.is_deletion() { BackendEventKind::Delete } else { BackendEventKind::Put };
    let previous: Option<KeyValue> =
        event.previous.as_ref().filter(|_| previous).map(|version| version.key_value(&event.key));
    BackendEvent { kind, kv: event.version.key_value(&event.key), previous }
}

/// An open watch.
pub(crate) struct LogWatch {
    log: Arc<EventLog>,
    range: Range,
    id: u64,
    previous: bool,
    wake: Arc<Notify>,
    ended: bool,
}

#[async_trait]
impl BackendWatch for LogWatch {
    // Cancel-safe: a batch is taken and returned without waiting in between,
    // and `Notify` keeps a wake-up that nobody waited for.
    async fn next(&mut self) -> Option<Result<WatchBatch, BackendError>> {
        while !self.ended {
            let batch = {
                let mut log = self.log.0.lock();
                let batch = log.poll(self);
                if log.closed && batch.is_none() {
                    return None;
                }
                batch
            };
            if let Some(batch) = batch {
                self.ended = batch.is_err();
                return Some(batch);
            }
            self.wake.notified().await;
        }
        None
    }

    fn tracker(&self) -> Option<Arc<dyn Tracker>> {
        let (log, range, id) = (self.log.clone(), self.range.clone(), self.id);
        Some(Arc::new(LogTracker { log, range, id }))
    }
}

/// How far a watch is. Says nothing more once the watch is gone.
struct LogTracker {
    log: Arc<EventLog>,
    range: Range,
    id: u64,
}

impl Tracker for LogTracker {
    fn position(&self) -> Position {
        let log = self.log.0.lock();
        let watcher = log.watchers.get(&self.range).and_then(|watchers| watchers.get(&self.id));
        let Some(watcher) = watcher else {
            return Position { delivered: Revision(u64::MAX), reached: Revision(0) };
        };
        let next = if watcher.pending == 0 { log.end() } else { watcher.pending };
        Position { delivered: Revision(watcher.delivered), reached: Revision(next.saturating_sub(1)) }
    }
}

impl Drop for LogWatch {
    fn drop(&mut self) {
        let mut log = self.log.0.lock();
        if let Some(watchers) = log.watchers.get_mut(&self.range) {
            watchers.remove(&self.id);
            if watchers.is_empty() {
                log.watchers.remove(&self.range);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use storage::backend::LeaseId;

    use super::*;
    use crate::index::Version;

    fn log() -> Arc<EventLog> {
        Arc::new(EventLog::new(VecDeque::new(), Revision(1), Revision(0)))
    }

    fn events(keys: &[&'static str], revision: u64) -> Events {
        let version = Arc::new(Version {
            value: Bytes::new(),
            created: Revision(revision),
            modified: Revision(revision),
            version: 1,
            lease: LeaseId(0),
        });
        let event = |key: &&'static str| Event {
            key: Bytes::from_static(key.as_bytes()),
            version: version.clone(),
            previous: None,
        };
        keys.iter().map(event).collect()
    }

    fn request(key: &'static str, end: &'static str, start: u64) -> WatchRequest {
        let end = Some(Bytes::from_static(end.as_bytes())).filter(|end| !end.is_empty());
        let key = Bytes::from_static(key.as_bytes());
        WatchRequest { key, end, start: Revision(start), previous: false, progress: false }
    }

    /// The next batch's revision and keys, if there is one now.
    fn now(watch: &mut LogWatch) -> Option<(u64, Vec<String>)> {
        let batch = watch.next().now_or_never()??.unwrap();
        let keys = batch.events.iter().map(|event| String::from_utf8_lossy(&event.kv.key).into_owned());
        Some((batch.revision.0, keys.collect()))
    }

    #[test]
    fn a_watch_hears_of_its_range_only_and_once() {
        let log = log();
        let mut watch = log.watch(request("b", "c", 0));
        log.publish(vec![events(&["a"], 2), events(&["a", "b1", "b2"], 3), events(&["c"], 4)]);
        assert_eq!(now(&mut watch), Some((4, vec!["b1".into(), "b2".into()])));
        assert_eq!(now(&mut watch), None);
        log.publish(vec![events(&["a"], 5)]);
        assert_eq!(now(&mut watch), None);
    }

    #[test]
    fn a_watch_that_is_up_to_date_survives_any_compaction() {
        let log = log();
        let mut watch = log.watch(request("b", "", 0));
        log.publish((2..100).map(|revision| events(&["a"], revision)).collect());
        log.compact(Revision(90));
        assert_eq!(log.drop_before(Revision(90), 1000).len(), 88);
        log.publish(vec![events(&["b"], 100)]);
        assert_eq!(now(&mut watch), Some((100, vec!["b".into()])));
    }

    #[test]
    fn a_watch_that_is_behind_a_compaction_fails_and_ends() {
        let log = log();
        let mut watch = log.watch(request("a", "", 0));
        log.publish((2..10).map(|revision| events(&["a"], revision)).collect());
        log.compact(Revision(5));
        let error = BackendError::Compacted { compacted: Revision(5) };
        assert_eq!(watch.next().now_or_never().unwrap().unwrap().err(), Some(error));
        assert!(watch.next().now_or_never().unwrap().is_none());
    }

    #[test]
    fn a_start_in_the_past_or_future_is_exact() {
        let log = log();
        log.publish((2..5).map(|revision| events(&["a"], revision)).collect());
        let mut past = log.watch(request("a", "", 3));
        let mut future = log.watch(request("a", "", 6));
        assert_eq!(now(&mut past), Some((4, vec!["a".into(), "a".into()])));
        log.announce();
        assert_eq!(now(&mut future), None, "no progress is owed before the start");
        log.publish(vec![events(&["a"], 5), events(&["a"], 6)]);
        assert_eq!(now(&mut future), Some((6, vec!["a".into()])));
    }

    #[test]
    fn requested_progress_comes_after_everything_due() {
        let log = log();
        let mut watch = log.watch(request("a", "", 0));
        log.publish(vec![events(&["a"], 2)]);
        log.announce();
        assert_eq!(now(&mut watch), Some((2, vec!["a".into()])));
        assert_eq!(now(&mut watch), Some((2, vec![])));
        assert_eq!(now(&mut watch), None);
    }

    #[test]
    fn long_backlogs_come_in_batches_of_whole_revisions() {
        let log = log();
        let mut watch = log.watch(request("a", "b", 0));
        log.publish((2..602).map(|revision| events(&["a1", "a2"], revision)).collect());
        let (revision, keys) = now(&mut watch).unwrap();
        assert_eq!((revision, keys.len()), (257, 512));
        let mut rest = 0;
        while let Some((_, keys)) = now(&mut watch) {
            rest += keys.len();
        }
        assert_eq!(rest, 1200 - 512);
    }

    #[test]
    fn unasked_progress_comes_by_revisions_and_not_by_time() {
        let log = log();
        let mut watch = log.watch(WatchRequest { progress: true, ..request("b", "", 0) });
        log.publish((2..1001).map(|revision| events(&["a"], revision)).collect());
        assert_eq!(now(&mut watch), None);
        log.publish(vec![events(&["a"], 1001)]);
        assert_eq!(now(&mut watch), Some((1001, vec![])));
    }

    #[test]
    fn a_dropped_watch_leaves_nothing_behind() {
        let log = log();
        drop(log.watch(request("a", "", 0)));
        assert!(log.0.lock().watchers.is_empty());
    }
}
