//! Object storage: kube-apiserver's `storage.Interface` in terms of stored
//! objects. Trees are handed in to be written; what is read comes back as
//! shared bytes, and whoever needs the tree decodes it ([`Storage::decode`]).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use meta::options::{Preconditions, ResourceVersionMatch};
use meta::{ResourceVersion, Revision};
use parking_lot::Mutex;
use schema::Value;

use crate::Error;
use crate::backend::Tracker;

/// Objects of one resource. Implemented by the object store and by the cache
/// over it; both pass the same conformance suite.
///
/// Keys are API-server keys relative to the path prefix, e.g.
/// `/configmaps/default/a` (A-KEY). Every object returned is immutable and shared.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Stores a new object (A.3). `object` carries no resourceVersion (else
    /// [`Error::ResourceVersionSet`]). `ttl_seconds` 0 is forever. Returns it
    /// as stored; fails with [`Error::KeyExists`].
    async fn create(&self, key: &str, object: &Value, ttl_seconds: i64) -> Result<Arc<Object>, Error>;

    /// Removes an object (A.5) and returns its last state with the delete's
    /// revision. `validate` sees the live object and must not be kept.
    async fn delete(&self, key: &str, request: DeleteRequest<'_>) -> Result<Arc<Object>, Error>;

    /// Reads one object (A.4), none if missing. `resource_version` is a lower bound.
    async fn get(&self, key: &str, resource_version: &ResourceVersion) -> Result<Option<Arc<Object>>, Error>;

    /// Lists (A.7, A.8) below `key` (`recursive`) or the one object at `key`.
    async fn list(&self, key: &str, options: ListRequest) -> Result<List, Error>;

    /// Reads, lets the callback change, and writes under an optimistic lock,
    /// again and again until no one interfered (A.6).
    async fn guaranteed_update(&self, key: &str, request: UpdateRequest<'_>) -> Result<Updated, Error>;

    /// Streams changes (B).
    async fn watch(&self, key: &str, options: ListRequest) -> Result<Box<dyn Watch>, Error>;

    /// Number and size of objects (A-STA-1).
    async fn stats(&self) -> Result<Stats, Error>;

    /// The backend's current revision (A-STA-4).
    async fn current_revision(&self) -> Result<Revision, Error>;

    /// Fails with [`Error::NotReady`] until reads can be served.
    fn readiness(&self) -> Result<(), Error>;

    /// Highest compacted revision seen, 0 if none (A-CMP-4).
    fn compact_revision(&self) -> Revision;

    /// The object as a read would find it had it been stored at `revision` (0:
    /// none), for answers of dry runs. Nothing is stored.
    fn preview(&self, object: &Value, revision: Revision) -> Result<Arc<Object>, Error>;

    /// Asks for progress on the watches of [`ListRequest::progress_notify`] (A-STA-7). Best effort.
    async fn request_progress(&self) -> Result<(), Error> {
        Ok(())
    }

    /// True if progress that is asked for comes at once (C-FRE-4). Where it does not, waiting until the
    /// watches have reached a revision may be in vain.
    fn supports_progress(&self) -> bool {
        true
    }

    /// The tree of a stored object, `metadata.resourceVersion` set to its revision.
    fn decode(&self, object: &Object) -> Result<Value, Error>;
}

/// A stored object: shared, immutable.
#[derive(Debug)]
pub struct Object {
    /// Full storage key.
    pub key: Bytes,
    /// Revision to report as `resourceVersion`: of the last change, or of the delete.
    pub revision: Revision,
    /// Stored bytes after the transformer: the `k8s\0` envelope or JSON, without resourceVersion.
    pub data: Bytes,
    /// Encodings made so far, shared by all readers of this object.
    pub encodings: Encodings,
}

impl Object {
    /// An object without encodings yet.
    pub fn new(key: Bytes, revision: Revision, data: Bytes) -> Object {
        Object { key, revision, data, encodings: Encodings::default() }
    }
}

/// Encodings of one object in other versions and media types, made on first use (D2).
/// The tag is chosen by whoever makes them (the server); there are only a few.
#[derive(Debug, Default)]
pub struct Encodings(Mutex<Vec<(u32, Bytes)>>);

impl Encodings {
    /// The encoding under `tag`, made if nobody made it yet. Two callers may
    /// make it at the same time; one result is kept.
    pub fn get_or_make<E>(&self, tag: u32, make: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        if let Some(bytes) = self.get(tag) {
            return Ok(bytes);
        }
        let bytes = make()?;
        let mut made = self.0.lock();
        if let Some((_, first)) = made.iter().find(|(t, _)| *t == tag) {
            return Ok(first.clone());
        }
        // Room for one more and not for four: most objects are asked for in one form only.
        made.reserve_exact(1);
        made.push((tag, bytes.clone()));
        Ok(bytes)
    }

    fn get(&self, tag: u32) -> Option<Bytes> {
        self.0.lock().iter().find(|(t, _)| *t == tag).map(|(_, bytes)| bytes.clone())
    }
}

/// What list and watch ask for.
#[derive(Clone, Default)]
pub struct ListRequest {
    /// See A.7 and B.3.
    pub resource_version: ResourceVersion,
    /// See A.7.
    pub resource_version_match: ResourceVersionMatch,
    /// Which objects.
    pub predicate: Predicate,
    /// Everything below the key, or the object at the key.
    pub recursive: bool,
    /// Matching objects per page, 0 is no limit. List only.
    pub limit: u64,
    /// Token of the page before. List only.
    pub continue_token: String,
    /// Watch: bookmarks wanted (B.4).
    pub allow_watch_bookmarks: bool,
    /// Watch: initial state wanted (B.3).
    pub send_initial_events: Option<bool>,
    /// Watch: how long its reader will stay, if that is known. The last bookmark comes shortly before (B-31).
    pub lifetime: Option<Duration>,
    /// Watch, for a cache only: every progress of the backend becomes a bookmark (B-35).
    pub progress_notify: bool,
}

/// Which objects match: selectors over [`Attributes`].
#[derive(Clone, Default)]
pub struct Predicate {
    /// Labels.
    pub labels: meta::selector::LabelSelector,
    /// Fields.
    pub fields: meta::selector::FieldSelector,
    /// Selectable fields of an object beside `metadata.name` and
    /// `metadata.namespace`; none if the resource has no others.
    pub attributes: Option<Arc<dyn Attributes>>,
}

/// Selectable fields of a resource.
pub trait Attributes: Send + Sync {
    /// The value of a selectable field (label as in the selector, e.g.
    /// `spec.nodeName`) of `object`; empty if unset.
    fn field(&self, object: &Value, label: &str) -> String;
}

/// A page.
pub struct List {
    /// resourceVersion of the list.
    pub revision: Revision,
    /// Token of the next page, empty at the end.
    pub continue_token: String,
    /// Objects left, where the contract gives it (A-PAG-7).
    pub remaining_item_count: Option<i64>,
    /// The objects in key order: a snapshot to walk.
    pub items: ListItems,
}

/// Objects of a list, walked once.
pub type ListItems = Box<dyn Iterator<Item = Arc<Object>> + Send>;

/// How a delete may go.
pub struct DeleteRequest<'a> {
    /// What the object must be.
    pub preconditions: Preconditions,
    /// Last word of admission on the live object; its error is returned unchanged.
    pub validate: &'a dyn ValidateDelete,
    /// An object read before, tried first (A-DEL-5).
    pub hint: Option<Arc<Object>>,
    /// Deletes an object that cannot be read, and no other: one that can is
    /// [`Error::InvalidObject`] (A-DEL-10, A-DEL-11). `validate` and `hint` are not looked at.
    pub ignore_read_error: bool,
}

/// Judges an object about to be deleted, without changing it. Async, because
/// admission may ask others. Implemented by closures that need not wait.
#[async_trait]
pub trait ValidateDelete: Send + Sync {
    /// Called on the hint and on each live object the delete meets.
    async fn validate(&self, object: &Value) -> Result<(), Error>;
}

#[async_trait]
impl<F: Fn(&Value) -> Result<(), Error> + Send + Sync> ValidateDelete for F {
    async fn validate(&self, object: &Value) -> Result<(), Error> {
        self(object)
    }
}

/// How an update may go.
pub struct UpdateRequest<'a> {
    /// A missing object is handed to the callback as an empty one with revision 0.
    pub ignore_not_found: bool,
    /// What the object must be.
    pub preconditions: Preconditions,
    /// An object read before, tried first (A.6).
    pub hint: Option<Arc<Object>>,
    /// The change.
    pub try_update: &'a mut dyn TryUpdate,
}

/// The change of an update. Async, because admission may ask others.
/// Implemented by closures that need not wait.
#[async_trait]
pub trait TryUpdate: Send {
    /// Gets the current tree (resourceVersion set, or an empty map when the
    /// object is missing and that is allowed) and its revision (0 if missing);
    /// returns the new tree and its ttl in seconds (none or 0: forever).
    /// Called once per attempt.
    async fn try_update(&mut self, current: Value, revision: Revision)
    -> Result<(Value, Option<i64>), Error>;
}

#[async_trait]
impl<F: FnMut(Value, Revision) -> Result<(Value, Option<i64>), Error> + Send> TryUpdate for F {
    async fn try_update(
        &mut self,
        current: Value,
        revision: Revision,
    ) -> Result<(Value, Option<i64>), Error> {
        self(current, revision)
    }
}

/// What an update came to.
#[derive(Debug)]
pub struct Updated {
    /// The object as it stands now.
    pub object: Arc<Object>,
    /// False if nothing had changed and nothing was written (A-UPD-6).
    pub written: bool,
}

/// An open watch. Dropping it ends it.
#[async_trait]
pub trait Watch: Send {
    /// The next event, none at the end of the stream. Cancel-safe.
    async fn next(&mut self) -> Option<WatchEvent>;
    /// An event that is ready now; none if there is none at the moment. Lets a
    /// server flush only when nothing more is queued.
    fn try_next(&mut self) -> Option<WatchEvent>;
    /// See [`Tracker`]; with `progress_notify` only.
    fn tracker(&self) -> Option<Arc<dyn Tracker>> {
        None
    }
}

/// What happened, from the point of view of one watcher's selector (B.2).
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// An object came, changed or went. The object's revision is the event's.
    Change(EventType, Arc<Object>),
    /// Everything up to this revision has been delivered.
    Bookmark {
        /// The revision.
        revision: Revision,
        /// Marks the end of the initial events (B-21).
        initial_events_end: bool,
    },
    /// The stream failed and ends.
    Error(meta::ApiError),
}

/// Type of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Now matches, did not before.
    Added,
    /// Matched and matches.
    Modified,
    /// Gone, or no longer matches.
    Deleted,
}

/// Number and size of objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Keys under the resource prefix.
    pub object_count: u64,
    /// Mean bytes as stored; 0 if not estimated.
    pub average_size_bytes: u64,
}
