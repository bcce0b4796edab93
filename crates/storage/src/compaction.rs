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
use crate::shared_compaction;

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

    /// The same for a backend that other servers use too: one of them compacts
    /// in each interval, and each learns how far the others did. An etcd is shared; with kube-apiserver
    /// as well.
    pub fn start_shared(
        backend: Arc<dyn Backend>,
        environment: &Environment,
        interval: Duration,
    ) -> Arc<Compactor> {
        let observed = Arc::new(AtomicU64::new(0));
        let (alive, dropped) = watch::channel(());
        if !interval.is_zero() {
            let turns = shared_compaction::run(
                backend.clone(),
                environment.clone(),
                interval,
                observed.clone(),
                dropped.clone(),
            );
            environment.tasks.spawn("compactor", Box::pin(turns));
            let hearing = shared_compaction::observe(backend, environment.clone(), observed.clone(), dropped);
            environment.tasks.spawn("compaction-observer", Box::pin(hearing));
        }
        Arc::new(Compactor { observed, _alive: alive })
    }

    /// One that compacts nothing and knows only what [`Compactor::tell`] tells it, for tests that compact by hand.
    #[cfg(feature = "conformance")]
    pub fn told() -> Arc<Compactor> {
        Arc::new(Compactor { observed: Arc::default(), _alive: watch::channel(()).0 })
    }

    /// Makes a compaction known, as if it had been observed.
    #[cfg(feature = "conformance")]
    pub fn tell(&self, compacted: Revision) {
        self.observed.fetch_max(compacted.0, Ordering::AcqRel);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;
    use crate::testing::{manual_environment, put};

    const MINUTE: Duration = Duration::from_secs(60);

    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_revision_survives_one_interval_and_goes_after_two() {
        let (environment, clock) = manual_environment();
        let backend = Arc::new(Model::new(&environment));
        let compactor = Compactor::start(backend.clone(), &environment, MINUTE);
        let mut newest = put(backend.as_ref(), "a", "0").await;
        settle().await;
        for round in 0..4 {
            let before = newest;
            clock.advance(MINUTE);
            settle().await;
            let want = if round == 0 { Revision(0) } else { Revision(before.0 - 1) };
            assert_eq!(backend.status().await.unwrap().compacted, want, "round {round}");
            assert_eq!(compactor.compacted(), want);
            newest = put(backend.as_ref(), "a", "1").await;
        }
    }

    #[tokio::test]
    async fn an_idle_store_is_left_alone_and_a_dropped_compactor_stops() {
        let (environment, clock) = manual_environment();
        let backend = Arc::new(Model::new(&environment));
        let last = put(backend.as_ref(), "a", "0").await;
        let compactor = Compactor::start(backend.clone(), &environment, MINUTE);
        settle().await;
        for _ in 0..5 {
            clock.advance(MINUTE);
            settle().await;
        }
        let status = backend.status().await.unwrap();
        assert_eq!((status.revision, status.compacted, compactor.compacted()), (last, last, last));
        drop(compactor);
        settle().await;
        assert_eq!(Arc::strong_count(&backend), 1, "the task has let go of the backend");
    }

    #[tokio::test]
    async fn no_interval_is_no_compaction() {
        let (environment, clock) = manual_environment();
        let backend = Arc::new(Model::new(&environment));
        let compactor = Compactor::start(backend.clone(), &environment, Duration::ZERO);
        put(backend.as_ref(), "a", "0").await;
        clock.advance(MINUTE * 60);
        settle().await;
        assert_eq!(compactor.compacted(), Revision(0));
    }

    #[tokio::test]
    async fn what_another_server_compacted_is_observed() {
        let (environment, _) = manual_environment();
        let backend = Model::new(&environment);
        let old = put(&backend, "a", "0").await;
        let newer = put(&backend, "a", "1").await;
        let newest = put(&backend, "a", "2").await;
        backend.compact(newer).await.unwrap();
        let observed = AtomicU64::new(0);
        assert_eq!(round(&backend, old, &observed).await.unwrap(), newest);
        assert_eq!(observed.into_inner(), newer.0);
    }
}
