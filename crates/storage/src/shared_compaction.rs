//! Compaction where several servers use one backend (E-CMP-1, E-CMP-2): in
//! each interval one of them compacts, and all learn how far.
//!
//! The servers meet at one key, kube-apiserver's own, so that the two kinds
//! take turns with each other too. Its version is a clock that a
//! compare-and-swap moves on; whoever moves it compacts to what was the newest
//! revision at the tick before, which it leaves as the value for the others.
//!
//! ```text
//! tick          1          2           3           4
//! server A      writes 0   -           writes 25   -
//! server B      -          writes 10   -           writes 31
//! compacts      -          B to 10     A to 25     B to 31
//! ```
//!
//! Guarantee: a revision can be read for at least one interval after it was
//! the newest, at most for two.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use environment::Environment;
use futures::future::{Either, select};
use meta::Revision;
use tokio::sync::watch;

use crate::backend::{
    Backend, BackendError, BackendEventKind, Compare, KeyValue, LeaseId, Op, RangeRequest, Txn, WatchRequest,
};

/// Where the servers meet; below no prefix.
const KEY: Bytes = Bytes::from_static(b"compact_rev_key");

/// Pause before the key is read again after its watch broke.
const REREAD_PAUSE: Duration = Duration::from_secs(1);

/// Takes turns with other servers until `dropped` closes.
pub(crate) async fn run(
    backend: Arc<dyn Backend>,
    environment: Environment,
    interval: Duration,
    observed: Arc<AtomicU64>,
    mut dropped: watch::Receiver<()>,
) {
    let mut turn = Turn::default();
    loop {
        let stop = std::pin::pin!(dropped.changed());
        if let Either::Left(_) = select(stop, environment.clock.sleep(interval)).await {
            return;
        }
        if let Err(error) = turn.take(backend.as_ref(), &observed).await {
            // The next round tries again; until then history is kept longer, which harms nobody.
            tracing::warn!(%error, "compaction failed");
        }
    }
}

/// Hears of other servers' compactions as they happen until `dropped` closes.
pub(crate) async fn observe(
    backend: Arc<dyn Backend>,
    environment: Environment,
    observed: Arc<AtomicU64>,
    mut dropped: watch::Receiver<()>,
) {
    loop {
        let follow = async {
            if let Err(error) = follow(backend.as_ref(), &observed).await {
                tracing::debug!(%error, "the watch for compactions of others broke");
            }
            environment.clock.sleep(REREAD_PAUSE).await;
        };
        let stop = std::pin::pin!(dropped.changed());
        if let Either::Left(_) = select(stop, std::pin::pin!(follow)).await {
            return;
        }
    }
}

async fn follow(backend: &dyn Backend, observed: &AtomicU64) -> Result<(), BackendError> {
    let now = backend.range(RangeRequest { key: KEY, ..RangeRequest::default() }).await?;
    now.kvs.first().inspect(|kv| hear(kv, observed));
    let start = Revision(now.revision.0 + 1);
    let request = WatchRequest { key: KEY, end: None, start, previous: false, progress: false };
    let mut watch = backend.watch(request).await?;
    while let Some(batch) = watch.next().await {
        let events = batch?.events;
        events.iter().filter(|event| event.kind == BackendEventKind::Put).for_each(|event| {
            hear(&event.kv, observed);
        });
    }
    Ok(())
}

/// Takes the value of the key for what it says; one that is no number says nothing.
fn hear(kv: &KeyValue, observed: &AtomicU64) {
    if let Some(revision) = std::str::from_utf8(&kv.value).ok().and_then(|text| text.parse().ok()) {
        observed.fetch_max(revision, Ordering::AcqRel);
    }
}

/// What one server knows between two rounds.
#[derive(Default)]
struct Turn {
    /// Version of the key as last seen.
    time: i64,
    /// The newest revision one round ago, 0 before the first.
    remembered: Revision,
}

impl Turn {
    /// One round: moves the clock and compacts, or learns who did.
    async fn take(&mut self, backend: &dyn Backend, observed: &AtomicU64) -> Result<(), BackendError> {
        let value = self.remembered.0.to_string().into();
        let txn = Txn {
            compare: vec![Compare::Version(KEY, self.time)],
            success: vec![Op::Put { key: KEY, value, lease: LeaseId(0) }],
            failure: vec![Op::Get { key: KEY }],
        };
        let response = backend.txn(txn).await?;
        let remembered = std::mem::replace(&mut self.remembered, response.revision);
        if !response.succeeded {
            let found = response.gets.into_iter().next().flatten();
            found.iter().for_each(|kv| hear(kv, observed));
            self.time = found.map_or(0, |kv| kv.version);
            return Ok(());
        }
        self.time += 1;
        if remembered.0 == 0 {
            return Ok(());
        }
        match backend.compact(remembered).await {
            Ok(()) => observed.fetch_max(remembered.0, Ordering::AcqRel),
            // Somebody compacts without taking turns.
            Err(BackendError::Compacted { compacted }) => observed.fetch_max(compacted.0, Ordering::AcqRel),
            Err(error) => return Err(error),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{manual_environment, put};
    use crate::{Compactor, Model};

    const MINUTE: Duration = Duration::from_secs(60);

    async fn value(model: &Model) -> Option<(Bytes, i64)> {
        let response = model.range(RangeRequest { key: KEY, ..RangeRequest::default() }).await.unwrap();
        response.kvs.into_iter().next().map(|kv| (kv.value, kv.version))
    }

    async fn compacted(model: &Model) -> Revision {
        model.status().await.unwrap().compacted
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_first_round_only_writes_the_key() {
        let (environment, _) = manual_environment();
        let model = Model::new(&environment);
        put(&model, "a", "0").await;
        let (mut turn, observed) = (Turn::default(), AtomicU64::new(0));
        turn.take(&model, &observed).await.unwrap();
        assert_eq!(value(&model).await, Some(("0".into(), 1)));
        let remembered = turn.remembered;
        assert_eq!(
            (compacted(&model).await, remembered),
            (Revision(0), model.status().await.unwrap().revision)
        );
        put(&model, "a", "1").await;
        turn.take(&model, &observed).await.unwrap();
        assert_eq!(value(&model).await, Some((remembered.0.to_string().into(), 2)));
        assert_eq!(compacted(&model).await, remembered);
        assert_eq!(observed.into_inner(), remembered.0);
    }

    #[tokio::test]
    async fn of_two_servers_one_compacts_in_each_round_and_both_know() {
        let (environment, _) = manual_environment();
        let model = Model::new(&environment);
        let (mut a, mut b) = (Turn::default(), Turn::default());
        let (heard_by_a, heard_by_b) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut last = Revision(0);
        for round in 0..6 {
            let newest_before = model.status().await.unwrap().revision;
            put(&model, "a", "x").await;
            // Whoever comes first wins the round.
            if round % 2 == 0 {
                a.take(&model, &heard_by_a).await.unwrap();
                b.take(&model, &heard_by_b).await.unwrap();
            } else {
                b.take(&model, &heard_by_b).await.unwrap();
                a.take(&model, &heard_by_a).await.unwrap();
            }
            assert_eq!(
                value(&model).await.map(|(_, version)| version),
                Some(round + 1),
                "one write per round"
            );
            let now = compacted(&model).await;
            assert!(now <= newest_before, "what was newest one round ago can be read");
            assert!(round == 0 || now > last, "round {round}: {now} after {last}");
            last = now;
        }
        assert_eq!((heard_by_a.into_inner(), heard_by_b.into_inner()), (last.0, last.0));
    }

    #[tokio::test]
    async fn compactions_of_others_are_heard_at_once() {
        let (environment, clock) = manual_environment();
        let model = Arc::new(Model::new(&environment));
        put(model.as_ref(), "compact_rev_key", "7").await;
        let compactor = Compactor::start_shared(model.clone(), &environment, MINUTE);
        settle().await;
        assert_eq!(compactor.compacted(), Revision(7), "what was there before");
        put(model.as_ref(), "compact_rev_key", "9").await;
        settle().await;
        assert_eq!(compactor.compacted(), Revision(9));
        put(model.as_ref(), "compact_rev_key", "8").await;
        put(model.as_ref(), "compact_rev_key", "nonsense").await;
        settle().await;
        assert_eq!(compactor.compacted(), Revision(9), "it never goes back");
        drop(compactor);
        clock.advance(MINUTE);
        settle().await;
        assert_eq!(Arc::strong_count(&model), 1, "the tasks have let go of the backend");
    }

    #[tokio::test]
    async fn no_interval_is_no_compaction_and_nothing_is_heard() {
        let (environment, _) = manual_environment();
        let model = Arc::new(Model::new(&environment));
        put(model.as_ref(), "compact_rev_key", "7").await;
        let compactor = Compactor::start_shared(model.clone(), &environment, Duration::ZERO);
        settle().await;
        assert_eq!((compactor.compacted(), Arc::strong_count(&model)), (Revision(0), 1));
    }
}
