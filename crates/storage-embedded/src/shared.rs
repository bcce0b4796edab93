//! What the backend, the writer and the background tasks share, and the ways
//! to queue a write. Owns no task.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use environment::Environment;
use meta::Revision;
use parking_lot::Mutex;
use storage::backend::{BackendError, LeaseId, Op, Txn, TxnResponse};
use tokio::sync::{Notify, Semaphore, watch};

use crate::EmbeddedOptions;
use crate::checkpoint::Snapshot;
use crate::events::EventLog;
use crate::log::LogFiles;
use crate::state::Events;
use crate::writer::{Durable, Head};

/// Bytes of keys and values that may wait to be written. Bounds memory, the size
/// of a frame, and what one sync has to carry; writers beyond it wait in order.
pub(crate) const QUEUE_BYTES_MAX: usize = 8 << 20;

/// Unit in which the queue's room is handed out.
const ROOM_UNIT_BYTES: usize = 1 << 10;

/// See the module.
pub(crate) struct Shared {
    pub environment: Environment,
    pub folder: PathBuf,
    pub options: EmbeddedOptions,
    pub head: Mutex<Head>,
    /// Newest durable state.
    pub published: ArcSwap<Snapshot>,
    pub events: Arc<EventLog>,
    pub files: Arc<LogFiles>,
    /// Last frame and bytes of the newest checkpoint.
    pub checkpoint: Mutex<Option<(u64, u64)>>,
    pub room: Arc<Semaphore>,
    /// Wakes the writer.
    pub queued: Notify,
    /// Wakes the task that ends leases.
    pub leases_changed: Notify,
    pub closed: AtomicBool,
    /// True when the writer has ended and the folder is free.
    pub stopped: watch::Sender<bool>,
}

/// Room in the queue as handed out at the start.
pub(crate) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(QUEUE_BYTES_MAX / ROOM_UNIT_BYTES))
}

impl Shared {
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Begins to close: queued writes are finished, later ones refused.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.queued.notify_one();
        self.leases_changed.notify_one();
        self.events.close();
    }

    pub async fn txn(&self, txn: Txn) -> Result<TxnResponse, BackendError> {
        let bytes = request_bytes(&txn);
        if bytes > self.options.request_bytes_max {
            return Err(BackendError::TooLarge);
        }
        let room = if bytes == 0 { None } else { Some(self.acquire_room(bytes).await?) };
        let (response, durable) = {
            let mut head = self.head.lock();
            head.check_usable()?;
            let evaluated = head.state.evaluate(txn)?;
            if let Some((record, events)) = evaluated.written {
                head.push(record, events);
            }
            // What was only read may not be durable yet, and then must not be told yet.
            let durable = if head.is_durable() { None } else { Some(head.wait(room)) };
            (evaluated.response, durable)
        };
        if let Some(durable) = durable {
            self.finish(durable).await?;
        }
        Ok(response)
    }

    pub async fn grant(&self, ttl_seconds: i64) -> Result<LeaseId, BackendError> {
        // Ids are positive and not 0, which means none.
        let lease = LeaseId((self.environment.random.u64() >> 1).max(1) as i64);
        let durable = {
            let mut head = self.head.lock();
            head.check_usable()?;
            let record = head.state.grant(lease, ttl_seconds.max(1));
            head.push(record, Events::new());
            head.push_granted(lease);
            head.wait(None)
        };
        self.finish(durable).await?;
        Ok(lease)
    }

    pub async fn end_lease(&self, lease: LeaseId) -> Result<(), BackendError> {
        let durable = {
            let mut head = self.head.lock();
            head.check_usable()?;
            let (record, events) = head.state.end_lease(lease)?;
            head.push(record, events);
            head.wait(None)
        };
        self.finish(durable).await
    }

    pub async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        let durable = {
            let mut head = self.head.lock();
            head.check_usable()?;
            let record = head.state.compact(revision)?;
            head.push(record, Events::new());
            head.push_compacted(revision);
            head.wait(None)
        };
        self.finish(durable).await
    }

    async fn finish(&self, durable: Durable) -> Result<(), BackendError> {
        self.queued.notify_one();
        durable
            .await
            .unwrap_or_else(|_| Err(BackendError::Unavailable("the store's writer has ended".into())))
    }

    async fn acquire_room(&self, bytes: usize) -> Result<tokio::sync::OwnedSemaphorePermit, BackendError> {
        let units = bytes.div_ceil(ROOM_UNIT_BYTES).min(QUEUE_BYTES_MAX / ROOM_UNIT_BYTES) as u32;
        match self.room.clone().acquire_many_owned(units).await {
            Ok(room) => Ok(room),
            // Closed by the failure that the head knows of.
            Err(_) => {
                self.head.lock().check_usable()?;
                Err(BackendError::Unavailable("the store takes no writes".into()))
            }
        }
    }
}

/// Bytes of the larger branch: what may have to be written.
fn request_bytes(txn: &Txn) -> usize {
    let branch = |ops: &[Op]| -> usize {
        ops.iter()
            .map(|op| match op {
                Op::Put { key, value, .. } => key.len() + value.len(),
                Op::Delete { key } => key.len(),
                Op::Get { .. } => 0,
            })
            .sum()
    };
    branch(&txn.success).max(branch(&txn.failure))
}
