//! Group commit: writers change a speculative state and queue what they did;
//! one task makes everything queued durable with one sync, publishes it, and answers.
//!
//! ```text
//! writer A   evaluate, queue ─┐                     ┌ answered
//! writer B    evaluate, queue ┤                     ├ answered
//! task                        └ take, write, sync, publish, wake watches ┘
//! writer C                          evaluate, queue ── next batch
//! ```
//!
//! Readers see the published snapshot only, so nothing that a crash could take
//! back (A-KV-10), and everything that was acknowledged (A-KV-11).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use environment::DiskLock;
use meta::Revision;
use storage::backend::{BackendError, LeaseId};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::checkpoint::{self, Snapshot};
use crate::compaction;
use crate::format::{FrameBuilder, Record};
use crate::log::Log;
use crate::shared::Shared;
use crate::state::{Events, State};

/// What is said to whoever comes after the close.
pub(crate) const CLOSED: &str = "the store is closed";

/// The state that writers see: ahead of what is durable.
pub(crate) struct Head {
    pub state: State,
    queue: Queue,
    /// A batch is being made durable.
    in_flight: bool,
    /// Why the store takes no writes any more. After a failed write or sync the
    /// end of the log is unknown, and only a reopen can find out.
    failure: Option<String>,
}

/// What the next batch will hold.
#[derive(Default)]
struct Queue {
    records: Vec<Record>,
    /// One per new revision, in order.
    events: Vec<Events>,
    waiters: Vec<Waiter>,
    granted: Vec<LeaseId>,
    compacted: Option<Revision>,
    /// The index was trimmed and should be published even if nothing is written.
    trimmed: bool,
}

struct Waiter {
    answer: oneshot::Sender<Result<(), BackendError>>,
    /// Room in the queue, given back when the write is durable.
    _room: Option<OwnedSemaphorePermit>,
}

/// Completes when what was queued is durable.
pub(crate) type Durable = oneshot::Receiver<Result<(), BackendError>>;

impl Head {
    pub fn new(state: State) -> Head {
        Head { state, queue: Queue::default(), in_flight: false, failure: None }
    }

    /// Fails if the store takes no writes any more.
    pub fn check_usable(&self) -> Result<(), BackendError> {
        match &self.failure {
            None => Ok(()),
            Some(why) => Err(BackendError::Unavailable(why.clone())),
        }
    }

    /// True if everything in the state is durable and published.
    pub fn is_durable(&self) -> bool {
        !self.in_flight && self.queue.records.is_empty()
    }

    pub fn push(&mut self, record: Record, events: Events) {
        self.queue.records.push(record);
        if !events.is_empty() {
            self.queue.events.push(events);
        }
    }

    pub fn push_granted(&mut self, lease: LeaseId) {
        self.queue.granted.push(lease);
    }

    pub fn push_compacted(&mut self, revision: Revision) {
        self.queue.compacted = Some(revision);
    }

    pub fn push_trimmed(&mut self) {
        self.queue.trimmed = true;
    }

    /// Waits for everything queued so far.
    pub fn wait(&mut self, room: Option<OwnedSemaphorePermit>) -> Durable {
        let (answer, durable) = oneshot::channel();
        self.queue.waiters.push(Waiter { answer, _room: room });
        durable
    }

    fn take(&mut self) -> Option<Batch> {
        // The state holds what the failed batch did, so it must never be
        // published, not even for the sake of a compaction that ends only now.
        if self.failure.is_some() {
            return None;
        }
        if self.queue.waiters.is_empty() && self.queue.records.is_empty() && !self.queue.trimmed {
            return None;
        }
        self.in_flight = true;
        let snapshot = Snapshot {
            index: self.state.index.clone(),
            leases: self.state.leases.ttls(),
            revision: self.state.revision,
            compacted: self.state.compacted,
            frame: 0,
        };
        Some(Batch { queue: std::mem::take(&mut self.queue), snapshot, live_bytes: self.state.live_bytes })
    }

    /// Refuses everything from now on, and what is queued.
    fn fail(&mut self, why: &str) {
        self.failure.get_or_insert_with(|| why.to_owned());
        self.in_flight = false;
        std::mem::take(&mut self.queue).answer(&self.check_usable());
    }
}

impl Queue {
    fn answer(self, result: &Result<(), BackendError>) {
        for waiter in self.waiters {
            // Whoever stopped waiting does not want to know.
            let _ = waiter.answer.send(result.clone());
        }
    }
}

struct Batch {
    queue: Queue,
    /// The state after the batch.
    snapshot: Snapshot,
    live_bytes: u64,
}

impl Batch {
    fn encode(&self) -> FrameBuilder {
        let bytes = self.queue.records.iter().map(Record::size).sum();
        let mut frame = FrameBuilder::with_capacity(bytes);
        for record in &self.queue.records {
            record.encode(frame.payload());
        }
        frame
    }
}

/// The task that makes batches durable.
pub(crate) struct Writer {
    pub shared: Arc<Shared>,
    pub log: Log,
    /// Log written since the newest checkpoint was begun.
    pub log_bytes: u64,
    pub checkpoint: Option<oneshot::Receiver<()>>,
    /// The folder is this store's until the writer has ended.
    pub _lock: Box<dyn DiskLock>,
}

impl Writer {
    /// Runs until the store is closed, then finishes what is queued and gives the folder back.
    pub async fn run(mut self) {
        loop {
            // Asked before the queue is looked at: whatever was queued before
            // the close is then seen below.
            let closed = self.shared.is_closed();
            loop {
                let batch = self.shared.head.lock().take();
                let Some(batch) = batch else { break };
                self.commit(batch).await;
            }
            if closed {
                break;
            }
            self.shared.queued.notified().await;
        }
        self.shared.head.lock().fail(CLOSED);
        if let Some(running) = self.checkpoint.take() {
            let _ = running.await;
        }
        let stopped = self.shared.stopped.clone();
        drop(self);
        stopped.send_replace(true);
    }

    async fn commit(&mut self, mut batch: Batch) {
        if !batch.queue.records.is_empty() {
            match self.log.append(batch.encode()).await {
                Ok(bytes) => self.log_bytes += bytes,
                Err(error) => return self.fail(batch, &error),
            }
        }
        batch.snapshot.frame = self.log.last_frame();
        let live_bytes = batch.live_bytes;
        self.publish(batch);
        let threshold = self.shared.options.checkpoint_log_bytes_min.max(live_bytes);
        if self.log_bytes > threshold && !self.checkpoint_running() {
            self.start_checkpoint();
        }
    }

    fn fail(&self, batch: Batch, error: &std::io::Error) {
        let why = format!("writing the log failed ({error}); the store takes no writes until it is reopened");
        tracing::error!("{why}");
        let mut head = self.shared.head.lock();
        head.fail(&why);
        batch.queue.answer(&head.check_usable());
        drop(head);
        self.shared.room.close();
    }

    fn publish(&self, mut batch: Batch) {
        let shared = &self.shared;
        shared.published.store(Arc::new(batch.snapshot));
        if let Some(revision) = batch.queue.compacted {
            shared.events.compact(revision);
        }
        shared.events.publish(std::mem::take(&mut batch.queue.events));
        {
            let mut head = shared.head.lock();
            head.in_flight = false;
            // A lease's time starts when its grant can be acknowledged: never shorter than asked.
            let now = shared.environment.clock.monotonic();
            batch.queue.granted.iter().for_each(|lease| head.state.leases.start(*lease, now));
        }
        if !batch.queue.granted.is_empty() {
            shared.leases_changed.notify_one();
        }
        let compacted = batch.queue.compacted;
        batch.queue.answer(&Ok(()));
        if let Some(revision) = compacted {
            let task = Box::pin(compaction::trim(shared.clone(), revision));
            shared.environment.tasks.spawn("compaction", task);
        }
    }

    fn checkpoint_running(&mut self) -> bool {
        let running = self.checkpoint.as_mut().map(oneshot::Receiver::try_recv);
        matches!(running, Some(Err(oneshot::error::TryRecvError::Empty)))
    }

    fn start_checkpoint(&mut self) {
        self.log_bytes = 0;
        let (done, running) = oneshot::channel();
        self.checkpoint = Some(running);
        let shared = self.shared.clone();
        let files = self.log.files();
        let task = async move {
            let snapshot = shared.published.load_full();
            let (environment, folder) = (&shared.environment, &shared.folder);
            let result = async {
                let bytes = checkpoint::write(environment, folder, &snapshot, &shared.closed).await?;
                let before = shared.checkpoint.lock().replace((snapshot.frame, bytes));
                if let Some((frame, _)) = before.filter(|(frame, _)| *frame != snapshot.frame) {
                    environment.disk.remove(&crate::folder::checkpoint_path(folder, frame)).await?;
                }
                files.remove_through(environment, folder, snapshot.frame).await
            };
            // The log stays complete without it; the next threshold tries again.
            if let Err(error) = result.await
                && !shared.closed.load(Ordering::Relaxed)
            {
                tracing::warn!(%error, folder = %folder.display(), "writing a checkpoint failed");
            }
            let _ = done.send(());
        };
        self.shared.environment.tasks.spawn_with_disk("checkpoint", Box::pin(task));
    }
}
