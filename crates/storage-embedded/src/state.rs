//! The store's state as a sequence of records leaves it: index, leases,
//! revision. The one place that says what an operation means; used by
//! transactions as they come in and by replay. No locks, no files, no tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meta::Revision;
use smallvec::SmallVec;
use storage::backend::{BackendError, Compare, KeyValue, LeaseId, Op, Txn, TxnResponse};

use crate::format::{Record, RecordOp};
use crate::index::{Entry, Index, Trimmed, Version};

/// Revision of an empty store, as etcd's.
pub(crate) const FIRST_REVISION: Revision = Revision(1);

/// See the module.
#[derive(Clone)]
pub(crate) struct State {
    pub index: Index,
    pub leases: Leases,
    pub revision: Revision,
    pub compacted: Revision,
    /// Key and value bytes of the versions in the index.
    pub live_bytes: u64,
}

/// A change of one key, as watchers will see it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub key: Bytes,
    pub version: Arc<Version>,
    /// None if the key did not exist.
    pub previous: Option<Arc<Version>>,
}

/// All changes of one revision; mostly one.
pub(crate) type Events = SmallVec<[Event; 1]>;

/// What evaluating a transaction came to.
pub(crate) struct Evaluated {
    pub response: TxnResponse,
    /// What to make durable; none if nothing changed.
    pub written: Option<(Record, Events)>,
}

impl State {
    pub fn empty() -> State {
        State {
            index: Index::new(),
            leases: Leases::default(),
            revision: FIRST_REVISION,
            compacted: Revision(0),
            live_bytes: 0,
        }
    }

    /// Runs a transaction. On an error nothing has changed.
    pub fn evaluate(&mut self, txn: Txn) -> Result<Evaluated, BackendError> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let ops = if succeeded { txn.success } else { txn.failure };
        self.check_leases(&ops)?;
        let revision = self.revision_of_next_write();
        let mut record = Record { revision, ops: SmallVec::new() };
        let mut events = Events::new();
        let mut response =
            TxnResponse { succeeded, revision: self.revision, gets: Vec::new(), deleted: Vec::new() };
        for op in ops {
            match op {
                Op::Get { key } => response.gets.push(self.get(&key)),
                Op::Put { key, value, lease } => {
                    events.push(self.put(revision, key.clone(), value.clone(), lease));
                    record.ops.push(RecordOp::Put { key, value, lease });
                }
                Op::Delete { key } => {
                    let event = self.delete(revision, &key);
                    response.deleted.push(event.as_ref().and_then(previous_key_value));
                    if let Some(event) = event {
                        events.push(event);
                        record.ops.push(RecordOp::Delete { key });
                    }
                }
            }
        }
        if record.ops.is_empty() {
            return Ok(Evaluated { response, written: None });
        }
        self.revision = revision;
        response.revision = revision;
        Ok(Evaluated { response, written: Some((record, events)) })
    }

    /// Makes a lease. Its time starts when somebody sets its deadline.
    pub fn grant(&mut self, lease: LeaseId, ttl_seconds: i64) -> Record {
        self.leases.insert(lease, ttl_seconds);
        self.record(RecordOp::LeaseGrant { lease, ttl_seconds })
    }

    /// Ends a lease and deletes its keys, all in one revision.
    pub fn end_lease(&mut self, lease: LeaseId) -> Result<(Record, Events), BackendError> {
        let keys = self.leases.remove(lease).ok_or(BackendError::LeaseNotFound)?;
        let revision = self.revision_of_next_write();
        let events: Events = keys.iter().filter_map(|key| self.delete(revision, key)).collect();
        if !events.is_empty() {
            self.revision = revision;
        }
        let mut record = self.record(RecordOp::LeaseEnd { lease });
        record.ops.extend(events.iter().map(|event| RecordOp::Delete { key: event.key.clone() }));
        Ok((record, events))
    }

    /// Forbids reads below `revision`. The versions go later, by [`State::trim`].
    pub fn compact(&mut self, revision: Revision) -> Result<Record, BackendError> {
        if revision <= self.compacted {
            return Err(BackendError::Compacted { compacted: self.compacted });
        }
        if revision > self.revision {
            return Err(BackendError::FutureRevision { current: self.revision });
        }
        self.compacted = revision;
        Ok(self.record(RecordOp::Compact { revision }))
    }

    /// Drops the versions of one key that `compacted` made unreadable.
    pub fn trim(&mut self, key: &Bytes, compacted: Revision) {
        let Some(entry) = self.index.get(key) else { return };
        let trimmed = match entry.trim(compacted) {
            Trimmed::Unchanged => return,
            trimmed => trimmed,
        };
        let before = entry_bytes(key, entry);
        let after = match trimmed {
            Trimmed::Shorter(entry) => {
                let bytes = entry_bytes(key, &entry);
                self.index.insert(key.clone(), entry);
                bytes
            }
            _ => {
                self.index.remove(key);
                0
            }
        };
        self.live_bytes = self.live_bytes.saturating_sub(before - after);
    }

    /// Repeats a durable record.
    pub fn replay(&mut self, record: Record) -> Events {
        let revision = record.revision;
        let mut events = Events::new();
        for op in record.ops {
            match op {
                RecordOp::Put { key, value, lease } => events.push(self.put(revision, key, value, lease)),
                RecordOp::Delete { key } => events.extend(self.delete(revision, &key)),
                RecordOp::LeaseGrant { lease, ttl_seconds } => self.leases.insert(lease, ttl_seconds),
                RecordOp::LeaseEnd { lease } => drop(self.leases.remove(lease)),
                RecordOp::Compact { revision } => self.compacted = revision,
            }
        }
        self.revision = revision;
        events
    }

    /// Puts back a version read from a checkpoint; those of a key come oldest first.
    pub fn restore(&mut self, key: Bytes, version: Version) -> Event {
        self.set(key, Arc::new(version))
    }

    fn revision_of_next_write(&self) -> Revision {
        Revision(self.revision.0 + 1)
    }

    fn record(&self, op: RecordOp) -> Record {
        Record { revision: self.revision, ops: smallvec::smallvec![op] }
    }

    fn get(&self, key: &Bytes) -> Option<KeyValue> {
        Some(self.live(key)?.key_value(key))
    }

    fn live(&self, key: &Bytes) -> Option<&Arc<Version>> {
        self.index.get(key)?.live()
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ModRevision(key, revision) => {
                self.live(key).map_or(Revision(0), |version| version.modified) == *revision
            }
            Compare::Version(key, wanted) => self.live(key).map_or(0, |version| version.version) == *wanted,
        }
    }

    fn check_leases(&self, ops: &[Op]) -> Result<(), BackendError> {
        let missing = ops.iter().any(|op| match op {
            Op::Put { lease, .. } => lease.0 != 0 && !self.leases.contains(*lease),
            Op::Delete { .. } | Op::Get { .. } => false,
        });
        if missing { Err(BackendError::LeaseNotFound) } else { Ok(()) }
    }

    fn put(&mut self, revision: Revision, key: Bytes, value: Bytes, lease: LeaseId) -> Event {
        let (created, version) = match self.live(&key) {
            Some(live) => (live.created, live.version + 1),
            None => (revision, 1),
        };
        self.set(key, Arc::new(Version { value, created, modified: revision, version, lease }))
    }

    fn delete(&mut self, revision: Revision, key: &Bytes) -> Option<Event> {
        self.live(key)?;
        Some(self.set(key.clone(), Arc::new(Version::deletion(revision))))
    }

    fn set(&mut self, key: Bytes, version: Arc<Version>) -> Event {
        self.live_bytes += version_bytes(&key, &version);
        // The key that is there already is kept, so that all versions and events share one.
        let (key, previous, entry) = match self.index.get_key_value(&key) {
            Some((known, entry)) => (known.clone(), entry.live().cloned(), entry.push(version.clone())),
            None => (key, None, Entry::new(version.clone())),
        };
        let old_lease = previous.as_ref().map_or(LeaseId(0), |previous| previous.lease);
        self.leases.move_key(&key, old_lease, version.lease);
        self.index.insert(key.clone(), entry);
        Event { key, version, previous }
    }
}

fn version_bytes(key: &Bytes, version: &Version) -> u64 {
    (key.len() + version.value.len()) as u64
}

fn entry_bytes(key: &Bytes, entry: &Entry) -> u64 {
    entry.versions().map(|version| version_bytes(key, version)).sum()
}

fn previous_key_value(event: &Event) -> Option<KeyValue> {
    Some(event.previous.as_ref()?.key_value(&event.key))
}

/// Leases, the keys attached to them, and when they end.
#[derive(Clone, Default)]
pub(crate) struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    deadlines: BTreeSet<(Duration, LeaseId)>,
    /// Time to live by lease, in a form a checkpoint can take along in a moment.
    ttls: imbl::OrdMap<LeaseId, i64>,
}

#[derive(Clone, Default)]
struct Lease {
    deadline: Option<Duration>,
    keys: BTreeSet<Bytes>,
}

impl Leases {
    /// Time to live in seconds of every lease: a snapshot.
    pub fn ttls(&self) -> imbl::OrdMap<LeaseId, i64> {
        self.ttls.clone()
    }

    pub fn contains(&self, lease: LeaseId) -> bool {
        self.leases.contains_key(&lease)
    }

    pub fn insert(&mut self, lease: LeaseId, ttl_seconds: i64) {
        self.leases.insert(lease, Lease::default());
        self.ttls.insert(lease, ttl_seconds);
    }

    /// Starts the time of a lease at `now`, if it is still there.
    pub fn start(&mut self, lease: LeaseId, now: Duration) {
        let (Some(entry), Some(ttl)) = (self.leases.get_mut(&lease), self.ttls.get(&lease)) else { return };
        let deadline = now.saturating_add(Duration::from_secs(ttl.unsigned_abs()));
        if let Some(old) = entry.deadline.replace(deadline) {
            self.deadlines.remove(&(old, lease));
        }
        self.deadlines.insert((deadline, lease));
    }

    /// Starts the time of all leases at `now`, as after a restart.
    pub fn start_all(&mut self, now: Duration) {
        let ids: Vec<LeaseId> = self.leases.keys().copied().collect();
        ids.into_iter().for_each(|lease| self.start(lease, now));
    }

    /// The lease that ends first, and when.
    pub fn next_deadline(&self) -> Option<(Duration, LeaseId)> {
        self.deadlines.first().copied()
    }

    /// Removes a lease and returns its keys, in order.
    fn remove(&mut self, lease: LeaseId) -> Option<BTreeSet<Bytes>> {
        let removed = self.leases.remove(&lease)?;
        self.ttls.remove(&lease);
        if let Some(deadline) = removed.deadline {
            self.deadlines.remove(&(deadline, lease));
        }
        Some(removed.keys)
    }

    fn move_key(&mut self, key: &Bytes, from: LeaseId, to: LeaseId) {
        if from == to {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            lease.keys.insert(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn put(text: &'static str, lease: i64) -> Op {
        Op::Put { key: key(text), value: key("value"), lease: LeaseId(lease) }
    }

    fn run(state: &mut State, ops: Vec<Op>) -> Evaluated {
        state.evaluate(Txn { success: ops, ..Txn::default() }).unwrap()
    }

    #[test]
    fn replaying_the_records_gives_the_same_state() {
        let mut state = State::empty();
        let mut records = vec![state.grant(LeaseId(5), 10)];
        for ops in [vec![put("a", 5), put("b", 0)], vec![put("a", 5)], vec![Op::Delete { key: key("b") }]] {
            records.extend(run(&mut state, ops).written.map(|(record, _)| record));
        }
        records.push(state.end_lease(LeaseId(5)).unwrap().0);
        records.push(state.compact(Revision(3)).unwrap());
        let mut again = State::empty();
        for record in records {
            again.replay(record);
        }
        assert_eq!((again.revision, again.compacted), (state.revision, state.compacted));
        assert_eq!(again.live_bytes, state.live_bytes);
        for (key, entry) in &state.index {
            let versions: Vec<_> = entry.versions().collect();
            assert_eq!(again.index.get(key).unwrap().versions().collect::<Vec<_>>(), versions);
        }
    }

    #[test]
    fn a_transaction_that_changes_nothing_takes_no_revision() {
        let mut state = State::empty();
        let evaluated = run(&mut state, vec![Op::Delete { key: key("a") }, Op::Get { key: key("a") }]);
        assert!(evaluated.written.is_none());
        assert_eq!((evaluated.response.deleted, evaluated.response.gets), (vec![None], vec![None]));
        assert_eq!(state.revision, FIRST_REVISION);
    }

    #[test]
    fn a_put_under_a_missing_lease_changes_nothing() {
        let mut state = State::empty();
        let result = state.evaluate(Txn { success: vec![put("a", 0), put("b", 9)], ..Txn::default() });
        assert_eq!(result.err(), Some(BackendError::LeaseNotFound));
        assert!(state.index.is_empty());
    }

    #[test]
    fn the_end_of_a_lease_deletes_what_is_still_attached_in_one_revision() {
        let mut state = State::empty();
        state.grant(LeaseId(1), 10);
        run(&mut state, vec![put("a", 1), put("b", 1), put("c", 1)]);
        run(&mut state, vec![put("b", 0)]);
        let (record, events) = state.end_lease(LeaseId(1)).unwrap();
        let keys: Vec<_> = events.iter().map(|event| event.key.clone()).collect();
        assert_eq!((record.revision, keys), (Revision(4), vec![key("a"), key("c")]));
        assert_eq!(state.end_lease(LeaseId(1)).err(), Some(BackendError::LeaseNotFound));
    }

    #[test]
    fn trimming_gives_the_bytes_back() {
        let mut state = State::empty();
        run(&mut state, vec![put("a", 0)]);
        run(&mut state, vec![put("a", 0)]);
        assert_eq!(state.live_bytes, 12);
        state.trim(&key("a"), Revision(3));
        assert_eq!(state.live_bytes, 6);
        run(&mut state, vec![Op::Delete { key: key("a") }]);
        state.trim(&key("a"), Revision(4));
        assert_eq!((state.live_bytes, state.index.len()), (0, 0));
    }
}
