//! The reference backend: everything in memory, one lock, nothing clever.
//!
//! [`Model`] is what the durable backends are compared with, and what tests of
//! the layers above run on. It keeps every version until it is compacted and
//! every event for ever; it persists nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use environment::{Clock, Environment};
use futures::future::{Either, select};
use meta::Revision;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::backend::{
    Backend, BackendError, BackendEvent, BackendEventKind, BackendStatus, BackendWatch, Compare, KeyValue,
    LeaseId, Op, RangeRequest, RangeResponse, Txn, TxnResponse, WatchBatch, WatchRequest,
};

/// Revision of an empty store, as etcd's.
const FIRST_REVISION: Revision = Revision(1);

/// An in-memory [`Backend`]. Leases expire by the environment's clock, which
/// is looked at in every call and while a watch waits.
#[derive(Clone)]
pub struct Model {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

struct State {
    revision: Revision,
    compacted: Revision,
    /// All versions of a key, oldest first; a version without content is a deletion.
    keys: BTreeMap<Bytes, Vec<Version>>,
    /// Everything that ever happened, in order.
    events: Vec<BackendEvent>,
    leases: BTreeMap<LeaseId, Lease>,
    next_lease: i64,
    /// Counts progress requests; a watch answers when it has seen fewer.
    progress_requests: u64,
    ranges: u64,
}

struct Version {
    revision: Revision,
    kv: Option<KeyValue>,
}

struct Lease {
    expires: Duration,
    keys: BTreeSet<Bytes>,
}

impl Model {
    /// An empty store at revision 1.
    pub fn new(environment: &Environment) -> Model {
        let state = State {
            revision: FIRST_REVISION,
            compacted: Revision(0),
            keys: BTreeMap::new(),
            events: Vec::new(),
            leases: BTreeMap::new(),
            next_lease: 1,
            progress_requests: 0,
            ranges: 0,
        };
        let shared = Shared {
            clock: environment.clock.clone(),
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
        };
        Model { shared: Arc::new(shared) }
    }

    /// Range requests served so far, for tests that count round trips.
    pub fn ranges_served(&self) -> u64 {
        self.shared.state.lock().ranges
    }

    /// Runs `act` on the state as it is now, that is without what has expired.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let now = self.shared.clock.monotonic();
        let mut state = self.shared.state.lock();
        let before = (state.revision, state.progress_requests);
        state.expire(now);
        let result = act(&mut state);
        let changed = before != (state.revision, state.progress_requests);
        drop(state);
        if changed {
            self.shared.changed.send_replace(());
        }
        result
    }
}

#[async_trait]
impl Backend for Model {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, BackendError> {
        self.with(|state| {
            state.ranges += 1;
            state.range(&request)
        })
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, BackendError> {
        self.with(|state| state.txn(txn))
    }

    async fn watch(&self, request: WatchRequest) -> Result<Box<dyn BackendWatch>, BackendError> {
        let (next, progress_seen) = self.with(|state| {
            let next = if request.start.0 == 0 { Revision(state.revision.0 + 1) } else { request.start };
            (next, state.progress_requests)
        });
        let changed = self.shared.changed.subscribe();
        Ok(Box::new(ModelWatch { model: self.clone(), request, next, progress_seen, changed, ended: false }))
    }

    async fn lease_grant(&self, ttl_seconds: i64) -> Result<LeaseId, BackendError> {
        let now = self.shared.clock.monotonic();
        let ttl = Duration::from_secs(ttl_seconds.max(1).unsigned_abs());
        Ok(self.with(|state| {
            let id = LeaseId(state.next_lease);
            state.next_lease += 1;
            state.leases.insert(id, Lease { expires: now + ttl, keys: BTreeSet::new() });
            id
        }))
    }

    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), BackendError> {
        self.with(|state| state.end_lease(lease))
    }

    async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        self.with(|state| state.compact(revision))
    }

    async fn status(&self) -> Result<BackendStatus, BackendError> {
        Ok(self.with(|state| BackendStatus {
            revision: state.revision,
            compacted: state.compacted,
            size_bytes: 0,
        }))
    }

    fn supports_progress_requests(&self) -> bool {
        true
    }

    async fn request_progress(&self) -> Result<(), BackendError> {
        self.with(|state| state.progress_requests += 1);
        Ok(())
    }
}

impl State {
    fn range(&self, request: &RangeRequest) -> Result<RangeResponse, BackendError> {
        let at = self.readable(request.revision)?;
        let mut response = RangeResponse { revision: self.revision, ..RangeResponse::default() };
        for (key, versions) in &self.keys {
            let Some(kv) = version_at(versions, at) else { continue };
            if !within(key, &request.key, request.end.as_ref()) {
                continue;
            }
            response.count += 1;
            if request.count_only {
                continue;
            }
            if request.limit > 0 && response.kvs.len() == request.limit {
                response.more = true;
                continue;
            }
            let value = if request.keys_only { Bytes::new() } else { kv.value.clone() };
            response.kvs.push(KeyValue { value, ..kv.clone() });
        }
        Ok(response)
    }

    /// The revision a read at `asked` means, if it can be served.
    fn readable(&self, asked: Revision) -> Result<Revision, BackendError> {
        match asked {
            Revision(0) => Ok(self.revision),
            asked if asked > self.revision => Err(BackendError::FutureRevision { current: self.revision }),
            asked if asked < self.compacted => Err(BackendError::Compacted { compacted: self.compacted }),
            asked => Ok(asked),
        }
    }

    fn current(&self, key: &Bytes) -> Option<&KeyValue> {
        self.keys.get(key)?.last()?.kv.as_ref()
    }

    fn txn(&mut self, txn: Txn) -> Result<TxnResponse, BackendError> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let ops = if succeeded { txn.success } else { txn.failure };
        for op in &ops {
            if let Op::Put { lease, .. } = op
                && lease.0 != 0
                && !self.leases.contains_key(lease)
            {
                return Err(BackendError::LeaseNotFound);
            }
        }
        let revision = Revision(self.revision.0 + 1);
        let mut wrote = false;
        let mut response =
            TxnResponse { succeeded, revision: self.revision, gets: Vec::new(), deleted: Vec::new() };
        for op in ops {
            match op {
                Op::Put { key, value, lease } => {
                    self.put(revision, key, value, lease);
                    wrote = true;
                }
                Op::Delete { key } => {
                    let removed = self.delete(revision, &key);
                    wrote |= removed.is_some();
                    response.deleted.push(removed);
                }
                Op::Get { key } => response.gets.push(self.current(&key).cloned()),
            }
        }
        if wrote {
            self.revision = revision;
            response.revision = revision;
        }
        Ok(response)
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ModRevision(key, revision) => {
                self.current(key).map_or(Revision(0), |kv| kv.mod_revision) == *revision
            }
            Compare::Version(key, version) => self.current(key).map_or(0, |kv| kv.version) == *version,
        }
    }

    fn put(&mut self, revision: Revision, key: Bytes, value: Bytes, lease: LeaseId) {
        let previous = self.current(&key).cloned();
        let kv = KeyValue {
            key: key.clone(),
            value,
            create_revision: previous.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: previous.as_ref().map_or(1, |kv| kv.version + 1),
            lease,
        };
        self.detach(previous.as_ref());
        if let Some(lease) = self.leases.get_mut(&lease) {
            lease.keys.insert(key.clone());
        }
        self.keys.entry(key).or_default().push(Version { revision, kv: Some(kv.clone()) });
        self.events.push(BackendEvent { kind: BackendEventKind::Put, kv, previous });
    }

    fn delete(&mut self, revision: Revision, key: &Bytes) -> Option<KeyValue> {
        let previous = self.current(key).cloned()?;
        self.detach(Some(&previous));
        self.keys.entry(key.clone()).or_default().push(Version { revision, kv: None });
        let kv = KeyValue {
            key: key.clone(),
            value: Bytes::new(),
            create_revision: Revision(0),
            mod_revision: revision,
            version: 0,
            lease: LeaseId(0),
        };
        self.events.push(BackendEvent {
            kind: BackendEventKind::Delete,
            kv,
            previous: Some(previous.clone()),
        });
        Some(previous)
    }

    fn detach(&mut self, kv: Option<&KeyValue>) {
        if let Some(kv) = kv
            && let Some(lease) = self.leases.get_mut(&kv.lease)
        {
            lease.keys.remove(&kv.key);
        }
    }

    fn end_lease(&mut self, id: LeaseId) -> Result<(), BackendError> {
        let keys = match self.leases.get(&id) {
            Some(lease) => lease.keys.clone(),
            None => return Err(BackendError::LeaseNotFound),
        };
        let revision = Revision(self.revision.0 + 1);
        for key in &keys {
            self.delete(revision, key);
        }
        if !keys.is_empty() {
            self.revision = revision;
        }
        self.leases.remove(&id);
        Ok(())
    }

    fn expire(&mut self, now: Duration) {
        let due: Vec<LeaseId> =
            self.leases.iter().filter(|(_, lease)| lease.expires <= now).map(|(id, _)| *id).collect();
        for id in due {
            // The id was just found, so ending it cannot fail.
            let _ = self.end_lease(id);
        }
    }

    fn compact(&mut self, revision: Revision) -> Result<(), BackendError> {
        if revision <= self.compacted {
            return Err(BackendError::Compacted { compacted: self.compacted });
        }
        if revision > self.revision {
            return Err(BackendError::FutureRevision { current: self.revision });
        }
        self.compacted = revision;
        for versions in self.keys.values_mut() {
            let kept = versions.iter().rposition(|version| version.revision <= revision).unwrap_or(0);
            versions.drain(..kept);
            if versions[0].kv.is_none() && versions[0].revision <= revision {
                versions.remove(0);
            }
        }
        self.keys.retain(|_, versions| !versions.is_empty());
        Ok(())
    }
}

fn version_at(versions: &[Version], at: Revision) -> Option<&KeyValue> {
    versions.iter().rev().find(|version| version.revision <= at)?.kv.as_ref()
}

fn within(key: &Bytes, start: &Bytes, end: Option<&Bytes>) -> bool {
    match end {
        None => key == start,
        Some(end) => key >= start && key < end,
    }
}

struct ModelWatch {
    model: Model,
    request: WatchRequest,
    /// First revision not delivered yet.
    next: Revision,
    progress_seen: u64,
    changed: watch::Receiver<()>,
    ended: bool,
}

impl ModelWatch {
    /// What there is to say now, and when to look again if nobody changes anything.
    fn poll(&mut self) -> (Option<Result<WatchBatch, BackendError>>, Option<Duration>) {
        let model = self.model.clone();
        model.with(|state| (self.batch(state), state.leases.values().map(|lease| lease.expires).min()))
    }

    fn batch(&mut self, state: &State) -> Option<Result<WatchBatch, BackendError>> {
        if self.next < state.compacted {
            self.ended = true;
            return Some(Err(BackendError::Compacted { compacted: state.compacted }));
        }
        if self.next.0 > state.revision.0 + 1 {
            self.progress_seen = state.progress_requests;
            return None;
        }
        let first = state.events.partition_point(|event| event.kv.mod_revision < self.next);
        let events: Vec<BackendEvent> = state.events[first..]
            .iter()
            .filter(|event| within(&event.kv.key, &self.request.key, self.request.end.as_ref()))
            .cloned()
            .map(|event| if self.request.previous { event } else { BackendEvent { previous: None, ..event } })
            .collect();
        let asked = self.progress_seen != state.progress_requests;
        self.progress_seen = state.progress_requests;
        self.next = Revision(state.revision.0 + 1);
        (asked || !events.is_empty()).then_some(Ok(WatchBatch { revision: state.revision, events }))
    }
}

#[async_trait]
impl BackendWatch for ModelWatch {
    async fn next(&mut self) -> Option<Result<WatchBatch, BackendError>> {
        loop {
            if self.ended {
                return None;
            }
            self.changed.mark_unchanged();
            let (batch, look_again) = self.poll();
            if batch.is_some() {
                return batch;
            }
            let clock = self.model.shared.clock.clone();
            let changed = std::pin::pin!(self.changed.changed());
            match look_again {
                Some(at) => {
                    let sleep = clock.sleep(at.saturating_sub(clock.monotonic()));
                    if let Either::Left((result, _)) = select(changed, sleep).await {
                        result.ok()?;
                    }
                }
                None => changed.await.ok()?,
            }
        }
    }
}
