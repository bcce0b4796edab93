//! Forgets history nobody may ask for any more (E-CMP).
//!
//! ```text
//! round      1        2            3            4
//! revision   10       25           25           25
//! compacts   -        to 10        to 25        -
//! ```
//!
//! Guarantee: a revision can be read for at least one interval after it was
//! the newest, at most for two. A store in which nothing changes is not
//! written to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use environment::Environment;
use futures::future::{Either, select};
use meta::Revision;
use tokio::sync::watch;

use crate::backend::{Backend, BackendError};

/// `--etcd-compaction-interval` when it is not given.
pub const DEFAULT_COMPACTION_INTERVAL: Duration = Duration::from_secs(300);

/// Compacts a backend from time to time until it is dropped.
pub struct Compactor {
    observed: Arc<AtomicU64>,
    /// Closed by being dropped.
    _alive: watch::Sender<()>,
}

impl Compactor {
    /// Starts compacting every `interval`; with an interval of zero nothing is
    /// ever compacted and [`Compactor::compacted`] stays 0.
    pub fn start(backend: Arc<dyn Backend>, environment: &Environment, interval: Duration) -> Arc<Compactor> {
        let observed = Arc::new(AtomicU64::new(0));
        let (alive, dropped) = watch::channel(());
        if !interval.is_zero() {
            let task = run(backend, environment.clone(), interval, observed.clone(), dropped);
            environment.tasks.spawn("compactor", Box::pin(task));
        }
        Arc::new(Compactor { observed, _alive: alive })
    }

    /// Highest compacted revision seen, 0 if none. Never goes back (A-CMP-4).
    pub fn compacted(&self) -> Revision {
        Revision(self.observed.load(Ordering::Acquire))
    }
}

async fn run(
    backend: Arc<dyn Backend>,
    environment: Environment,
    interval: Duration,
    observed: Arc<AtomicU64>,
    mut dropped: watch::Receiver<()>,
) {
    let mut remembered = Revision(0);
    loop {
        let stop = std::pin::pin!(dropped.changed());
        if let Either::Left(_) = select(stop, environment.clock.sleep(interval)).await {
            return;
        }
        match round(backend.as_ref(), remembered, &observed).await {
            Ok(current) => remembered = current,
            // The next round tries again; until then history is kept longer, which harms nobody.
            Err(error) => tracing::warn!(%error, "compaction failed"),
        }
    }
}

/// Compacts to what was the newest revision one round ago and returns what is now.
async fn round(
    backend: &dyn Backend,
    remembered: Revision,
    observed: &AtomicU64,
) -> Result<Revision, BackendError> {
    let status = backend.status().await?;
    observed.fetch_max(status.compacted.0, Ordering::AcqRel);
    if remembered.0 > observed.load(Ordering::Acquire) {
        match backend.compact(remembered).await {
            Ok(()) => observed.fetch_max(remembered.0, Ordering::AcqRel),
            // Another server over the same backend was faster.
            Err(BackendError::Compacted { compacted }) => observed.fetch_max(compacted.0, Ordering::AcqRel),
            Err(error) => return Err(error),
        };
    }
    Ok(status.revision)
}
