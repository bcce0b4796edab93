//! The embedded store: a durable [`Backend`] inside the process.
//!
//! All versions live in memory, in a persistent map that readers walk without
//! a lock; a segmented write-ahead log with group commit makes them durable,
//! checkpoints keep it short. docs/storage-format.md pictures the bytes on disk. Clock,
//! randomness, files and tasks come in through [`Environment`], so the simulator can run all of it.
//!
//! The door is [`EmbeddedBackend::open`]; [`repair`] is for a folder that it refuses as damaged.

mod checkpoint;
mod compaction;
mod entries;
mod error;
mod events;
mod expiry;
mod folder;
mod format;
mod index;
mod log;
mod recovery;
mod repair;
mod restore;
mod shared;
mod snapshot;
mod state;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use environment::Environment;
use meta::Revision;
use parking_lot::Mutex;
use storage::backend::{
    Backend, BackendError, BackendStatus, BackendWatch, LeaseId, RangeRequest, RangeResponse, Txn,
    TxnResponse, WatchRequest,
};
use tokio::sync::{Notify, watch};

pub use crate::error::OpenError;
pub use crate::repair::{Repaired, repair};
pub use crate::restore::{Restore, RestoreError};
pub use crate::snapshot::{
    SnapshotEntry, SnapshotError, SnapshotHead, SnapshotReader, SnapshotStream, SnapshotWriter,
};

use crate::checkpoint::Snapshot;
use crate::events::EventLog;
use crate::shared::Shared;
use crate::writer::{Head, Writer};

/// A store over one folder. Dropping it closes it; [`EmbeddedBackend::close`]
/// also waits until the folder is free.
///
/// An acknowledged write has been synced. After a failed write or sync every
/// write fails with [`BackendError::Unavailable`] until the store is reopened; reads and watches go on.
pub struct EmbeddedBackend {
    shared: Arc<Shared>,
}

/// Limits of a store. The defaults fit every use but tests.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// Most bytes of keys and values in one transaction; more is [`BackendError::TooLarge`].
    pub request_bytes_max: usize,
    /// Length of a full log segment.
    pub segment_bytes: u64,
    /// Log since the last checkpoint that brings about the next; at least the
    /// bytes of the live data, so that checkpoints at most double what is written.
    pub checkpoint_log_bytes_min: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> EmbeddedOptions {
        EmbeddedOptions {
            // As etcd's --max-request-bytes, so that what one backend stores the other takes.
            request_bytes_max: 1536 << 10,
            segment_bytes: 16 << 20,
            checkpoint_log_bytes_min: 32 << 20,
        }
    }
}

impl EmbeddedBackend {
    /// Opens the store in `folder`, making both if they are missing, and starts its tasks.
    ///
    /// Uses the disk directly, so call it before serving starts, or where
    /// blocking is allowed. Leases start anew with their full time to live. On an error the
    /// folder is as it was.
    pub async fn open(
        environment: Environment,
        folder: &Path,
        options: EmbeddedOptions,
    ) -> Result<EmbeddedBackend, OpenError> {
        let lock = folder::lock(&environment, folder).await?;
        let mut recovered = recovery::recover(&environment, folder, options.segment_bytes).await?;
        recovered.state.leases.start_all(environment.clock.monotonic());
        let state = recovered.state;
        let snapshot = Snapshot {
            index: state.index.clone(),
            leases: state.leases.ttls(),
            revision: state.revision,
            compacted: state.compacted,
            frame: recovered.log.last_frame(),
        };
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            options,
            events: Arc::new(EventLog::new(recovered.events, state.revision, state.compacted)),
            head: Mutex::new(Head::new(state)),
            published: ArcSwap::from_pointee(snapshot),
            files: recovered.log.files(),
            checkpoint: Mutex::new(recovered.checkpoint),
            room: shared::room(),
            queued: Notify::new(),
            leases_changed: Notify::new(),
            closed: AtomicBool::new(false),
            stopped: watch::Sender::new(false),
            environment,
        });
        let writer = Writer {
            shared: shared.clone(),
            log: recovered.log,
            log_bytes: recovered.log_bytes,
            checkpoint: None,
            _lock: lock,
        };
        let tasks = &shared.environment.tasks;
        tasks.spawn_with_disk("store writer", Box::pin(writer.run()));
        tasks.spawn("lease expiry", Box::pin(expiry::run(shared.clone())));
        Ok(EmbeddedBackend { shared })
    }

    /// Finishes the writes that are queued, refuses everything later, ends all watches, and returns when
    /// the folder can be opened again.
    pub async fn close(&self) {
        self.shared.close();
        let mut stopped = self.shared.stopped.subscribe();
        // The sender lives in `shared`, so waiting cannot fail.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Everything the store holds at this moment, as a stream of bytes. What
    /// is written meanwhile is not in it and does not wait for it. Fails once the store is closed.
    pub fn snapshot(&self) -> Result<SnapshotStream, BackendError> {
        let (snapshot, _) = self.snapshot_at(Revision(0))?;
        Ok(SnapshotStream::new(snapshot, self.shared.environment.random.u64()))
    }

    /// A durable state to read from.
    fn snapshot_at(&self, revision: Revision) -> Result<(Arc<Snapshot>, Revision), BackendError> {
        // Another store may own the folder by now and be ahead of what is known here.
        if self.shared.is_closed() {
            return Err(BackendError::Unavailable(writer::CLOSED.into()));
        }
        let snapshot = self.shared.published.load_full();
        match revision {
            Revision(0) => {
                let newest = snapshot.revision;
                Ok((snapshot, newest))
            }
            asked if asked > snapshot.revision => {
                Err(BackendError::FutureRevision { current: snapshot.revision })
            }
            asked if asked < snapshot.compacted => {
                Err(BackendError::Compacted { compacted: snapshot.compacted })
            }
            asked => Ok((snapshot, asked)),
        }
    }
}

impl Drop for EmbeddedBackend {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[async_trait]
impl Backend for EmbeddedBackend {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, BackendError> {
        let (snapshot, at) = self.snapshot_at(request.revision)?;
        let mut response = RangeResponse { revision: snapshot.revision, ..RangeResponse::default() };
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        let range = index::bounds(&request.key, request.end.as_deref());
        for (key, entry) in snapshot.index.range::<_, [u8]>(range) {
            let Some(version) = entry.at(at) else { continue };
            response.count += 1;
            if request.count_only || response.kvs.len() == limit {
                continue;
            }
            let mut kv = version.key_value(key);
            if request.keys_only {
                kv.value.clear();
            }
            response.kvs.push(kv);
        }
        response.more = !request.count_only && response.count > response.kvs.len() as u64;
        Ok(response)
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, BackendError> {
        self.shared.txn(txn).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<Box<dyn BackendWatch>, BackendError> {
        Ok(Box::new(self.shared.events.watch(request)))
    }

    async fn lease_grant(&self, ttl_seconds: i64) -> Result<LeaseId, BackendError> {
        self.shared.grant(ttl_seconds).await
    }

    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), BackendError> {
        self.shared.end_lease(lease).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        self.shared.compact(revision).await
    }

    async fn status(&self) -> Result<BackendStatus, BackendError> {
        let snapshot = self.shared.published.load();
        let checkpoint_bytes = self.shared.checkpoint.lock().map_or(0, |(_, bytes)| bytes);
        Ok(BackendStatus {
            revision: snapshot.revision,
            compacted: snapshot.compacted,
            size_bytes: self.shared.files.bytes() + checkpoint_bytes,
        })
    }

    fn supports_progress_requests(&self) -> bool {
        true
    }

    async fn request_progress(&self) -> Result<(), BackendError> {
        self.shared.events.announce();
        Ok(())
    }
}
