//! The key-value contract (A.13): revisions, compare-and-swap transactions,
//! range at a revision, watch from a revision with progress, leases and
//! compaction. Two durable implementations and one model; what stands above
//! cannot tell them apart.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use meta::Revision;

/// A key-value store with one global revision.
///
/// Reads see every write acknowledged to any client (A-KV-11) and nothing that
/// is not durable yet (A-KV-10).
#[async_trait]
pub trait Backend: Send + Sync {
    /// Reads a range at a revision.
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, BackendError>;

    /// Runs one transaction; returns when its outcome is durable. A failed
    /// compare is no error: see [`TxnResponse::succeeded`].
    async fn txn(&self, txn: Txn) -> Result<TxnResponse, BackendError>;

    /// Opens a stream of changes. Errors that concern the start revision arrive on the stream.
    async fn watch(&self, request: WatchRequest) -> Result<Box<dyn BackendWatch>, BackendError>;

    /// Grants a lease; attached keys are deleted when it expires.
    async fn lease_grant(&self, ttl_seconds: i64) -> Result<LeaseId, BackendError>;

    /// Ends a lease now, deleting its keys.
    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), BackendError>;

    /// Drops superseded versions up to and including `revision` (A-KV-9).
    async fn compact(&self, revision: Revision) -> Result<(), BackendError>;

    /// Size and state, for metrics and probes.
    async fn status(&self) -> Result<BackendStatus, BackendError>;

    /// True if [`BackendWatch`] answers progress requests at once (C-FRE-4).
    fn supports_progress_requests(&self) -> bool;

    /// Asks every open watch for a progress notification (A-STA-7). Best effort.
    async fn request_progress(&self) -> Result<(), BackendError>;
}

/// A stored key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// Key bytes.
    pub key: Bytes,
    /// Value bytes; empty when only keys were asked for.
    pub value: Bytes,
    /// Revision of the key's creation.
    pub create_revision: Revision,
    /// Revision of the last change.
    pub mod_revision: Revision,
    /// Changes since creation, starting at 1.
    pub version: i64,
    /// Lease attached, 0 if none.
    pub lease: LeaseId,
}

/// Identifies a lease; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub i64);

/// Which keys, as of when.
#[derive(Clone, Debug, Default)]
pub struct RangeRequest {
    /// First key.
    pub key: Bytes,
    /// First key after the range; none reads `key` alone.
    pub end: Option<Bytes>,
    /// Revision to read at; 0 is newest.
    pub revision: Revision,
    /// Most keys to return; 0 is no limit.
    pub limit: usize,
    /// Leaves values empty.
    pub keys_only: bool,
    /// Returns the count alone.
    pub count_only: bool,
}

/// What a range held.
#[derive(Clone, Debug, Default)]
pub struct RangeResponse {
    /// The store's current revision, whatever revision was read at.
    pub revision: Revision,
    /// In key order.
    pub kvs: Vec<KeyValue>,
    /// True if the limit cut the answer.
    pub more: bool,
    /// Keys in the range, whatever the limit.
    pub count: u64,
}

/// If `compare` holds run `success`, else run `failure`; all in one revision.
/// A branch writes a key at most once: etcd refuses a second time, the others need not.
#[derive(Clone, Debug, Default)]
pub struct Txn {
    /// Conditions, all of which must hold.
    pub compare: Vec<Compare>,
    /// Run if they hold.
    pub success: Vec<Op>,
    /// Run if they do not.
    pub failure: Vec<Op>,
}

/// One condition of a transaction. A missing key has mod revision and version 0.
#[derive(Clone, Debug)]
pub enum Compare {
    /// The key's mod revision equals.
    ModRevision(Bytes, Revision),
    /// The key's version equals.
    Version(Bytes, i64),
}

/// One operation of a transaction.
#[derive(Clone, Debug)]
pub enum Op {
    /// Sets a key.
    Put {
        /// Key.
        key: Bytes,
        /// Value.
        value: Bytes,
        /// Lease to attach; 0 detaches.
        lease: LeaseId,
    },
    /// Removes a key; nothing happens if it is missing.
    Delete {
        /// Key.
        key: Bytes,
    },
    /// Reads a key within the transaction.
    Get {
        /// Key.
        key: Bytes,
    },
}

/// Outcome of a transaction.
#[derive(Clone, Debug)]
pub struct TxnResponse {
    /// Which branch ran.
    pub succeeded: bool,
    /// The store's revision after the transaction; its own revision if it wrote.
    pub revision: Revision,
    /// What each `Get` of the branch found, in order.
    pub gets: Vec<Option<KeyValue>>,
    /// What each `Delete` of the branch removed, in order.
    pub deleted: Vec<Option<KeyValue>>,
}

/// Which changes.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// First key.
    pub key: Bytes,
    /// First key after the range; none watches `key` alone.
    pub end: Option<Bytes>,
    /// First revision to deliver; 0 is "after now". May lie in the future.
    pub start: Revision,
    /// Supplies previous values.
    pub previous: bool,
    /// Wants unsolicited progress notifications from time to time.
    pub progress: bool,
}

/// An open stream of changes. Dropping it ends it.
#[async_trait]
pub trait BackendWatch: Send {
    /// The next batch; none after the end of the stream. Cancel-safe: a
    /// dropped call loses nothing.
    async fn next(&mut self) -> Option<Result<WatchBatch, BackendError>>;

    /// A look at how far the stream is that asks nobody, where the backend has one.
    fn tracker(&self) -> Option<Arc<dyn Tracker>> {
        None
    }
}

/// How far a watch is, seen from outside the task that reads it.
pub trait Tracker: Send + Sync {
    /// The position at this moment.
    fn position(&self) -> Position;
}

/// How far a watch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Revision of the last batch that was handed out. Who has not applied it yet knows nothing of `reached`.
    pub delivered: Revision,
    /// There is nothing for this watch after `delivered` up to and including this revision.
    pub reached: Revision,
}

/// Changes of one or more whole revisions, in order; no revision is split over batches.
#[derive(Clone, Debug, Default)]
pub struct WatchBatch {
    /// Every change up to and including this revision has been delivered with this batch (A-KV-7).
    pub revision: Revision,
    /// The changes; empty in a progress notification.
    pub events: Vec<BackendEvent>,
}

/// One change of one key.
#[derive(Clone, Debug)]
pub struct BackendEvent {
    /// Put or delete.
    pub kind: BackendEventKind,
    /// The key after the change; of a delete, key and mod revision (the delete's) only.
    pub kv: KeyValue,
    /// The key before the change, if it existed and was asked for.
    pub previous: Option<KeyValue>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendEventKind {
    /// Created or changed; created if create and mod revision are equal.
    Put,
    /// Removed or expired.
    Delete,
}

/// Size and state.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackendStatus {
    /// Current revision.
    pub revision: Revision,
    /// Highest compacted revision, 0 if none.
    pub compacted: Revision,
    /// Bytes on disk.
    pub size_bytes: u64,
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The revision has been compacted; `compacted` is the highest compacted one.
    #[error("required revision has been compacted (compacted up to {compacted})")]
    Compacted {
        /// Highest compacted revision.
        compacted: Revision,
    },
    /// The revision is not there yet.
    #[error("required revision is a future revision (current {current})")]
    FutureRevision {
        /// Current revision.
        current: Revision,
    },
    /// The request exceeds a size limit.
    #[error("etcdserver: request is too large")]
    TooLarge,
    /// No such lease.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// The store has no room left: nothing was written, and waiting does not help. Reads go on.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// Not reachable, shutting down, or poisoned by a failed sync; the outcome of a write is unknown.
    #[error("storage backend is unavailable: {0}")]
    Unavailable(String),
}

/// The first key after all keys that start with `prefix`; none if there is no such key.
pub fn prefix_end(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|&b| b != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end.into())
}
