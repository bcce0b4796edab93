//! Single failures and long waits of the embedded store, in a simulated world.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use meta::Revision;
use simulation::Simulation;
use storage::backend::{
    Backend, BackendError, BackendEventKind, LeaseId, Op, RangeRequest, Txn, WatchRequest,
};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions, OpenError};

async fn open(simulation: &Simulation) -> Result<EmbeddedBackend, OpenError> {
    EmbeddedBackend::open(simulation.environment(), Path::new("/data"), EmbeddedOptions::default()).await
}

fn put(key: &'static str, lease: LeaseId) -> Txn {
    let put = Op::Put { key: Bytes::from_static(key.as_bytes()), value: Bytes::from_static(b"x"), lease };
    Txn { success: vec![put], ..Txn::default() }
}

async fn exists(store: &EmbeddedBackend, key: &'static str) -> bool {
    let key = Bytes::from_static(key.as_bytes());
    let response = store.range(RangeRequest { key, ..RangeRequest::default() }).await;
    response.expect("reads go on").count == 1
}

#[test]
fn a_failed_sync_refuses_all_writes_until_the_store_is_reopened() {
    for seed in 0..20 {
        let simulation = Simulation::new(seed);
        simulation.run(async {
            let store = open(&simulation).await.unwrap();
            store.txn(put("a", LeaseId(0))).await.unwrap();
            simulation.disk().fail_syncs(1);
            let (first, waiting) =
                futures::join!(store.txn(put("b", LeaseId(0))), store.txn(put("c", LeaseId(0))));
            assert!(matches!(first, Err(BackendError::Unavailable(_))), "{first:?}");
            assert!(matches!(waiting, Err(BackendError::Unavailable(_))), "{waiting:?}");
            let later = store.txn(put("d", LeaseId(0))).await;
            assert!(matches!(later, Err(BackendError::Unavailable(_))), "the disk is well, the store is not");
            assert!(store.lease_grant(1).await.is_err());
            assert!(exists(&store, "a").await);
            assert!(!exists(&store, "b").await, "what is not known to be durable is not shown");
            store.close().await;
            let store = open(&simulation).await.unwrap();
            assert!(exists(&store, "a").await);
            assert!(!exists(&store, "d").await);
            let known = store.txn(put("e", LeaseId(0))).await.unwrap().revision;
            simulation.crash();
            let store = open(&simulation).await.unwrap();
            assert_eq!(store.status().await.unwrap().revision, known);
        });
    }
}

/// Compaction changes the same state that writers do, so after a failure its
/// result must not be published: it would show writes that are on no disk.
#[test]
fn a_compaction_that_ends_after_a_failed_sync_shows_nothing_of_the_failed_write() {
    for seed in 0..20 {
        let simulation = Simulation::new(seed);
        let clock = simulation.environment().clock;
        simulation.run(async {
            let store = open(&simulation).await.unwrap();
            let puts = (0..3000).map(|_| store.txn(put("a", LeaseId(0))));
            futures::future::join_all(puts).await;
            store.compact(Revision(3000)).await.unwrap();
            simulation.disk().fail_syncs(1);
            assert!(store.txn(put("b", LeaseId(0))).await.is_err());
            clock.sleep(Duration::from_secs(1)).await;
            assert!(!exists(&store, "b").await, "seed {seed}");
        });
    }
}

#[test]
fn an_idle_store_does_nothing_at_all() {
    let simulation = Simulation::new(1);
    let clock = simulation.environment().clock;
    simulation.run(async {
        let store = open(&simulation).await.unwrap();
        store.txn(put("a", LeaseId(0))).await.unwrap();
        let key = Bytes::from_static(b"a");
        let request = WatchRequest { key, end: None, start: Revision(0), previous: false, progress: true };
        let _watch = store.watch(request).await.unwrap();
        clock.sleep(Duration::from_secs(1)).await;
        let before = simulation.steps();
        clock.sleep(Duration::from_secs(24 * 3600)).await;
        assert_eq!(simulation.steps() - before, 1, "only the sleep of this test ends");
    });
}

#[test]
fn a_lease_lasts_its_time_and_not_less_also_over_a_crash() {
    let simulation = Simulation::new(1);
    let clock = simulation.environment().clock;
    simulation.run(async {
        let store = open(&simulation).await.unwrap();
        let lease = store.lease_grant(60).await.unwrap();
        store.txn(put("a", lease)).await.unwrap();
        store.txn(put("b", lease)).await.unwrap();
        clock.sleep(Duration::from_secs(50)).await;
        drop(store);
        simulation.crash();
        let store = open(&simulation).await.unwrap();
        let key = Bytes::from_static(b"a");
        let request = WatchRequest { key, end: None, start: Revision(0), previous: true, progress: false };
        let mut watch = store.watch(request).await.unwrap();
        let start = clock.monotonic();
        let batch = watch.next().await.unwrap().unwrap();
        let lived = clock.monotonic() - start;
        assert!(lived >= Duration::from_secs(59) && lived < Duration::from_secs(61), "{lived:?}");
        assert_eq!((batch.events[0].kind, batch.revision), (BackendEventKind::Delete, Revision(4)));
        assert_eq!(batch.events[0].previous.as_ref().unwrap().lease, lease);
        assert!(!exists(&store, "b").await, "all keys go in one revision");
    });
}

#[test]
fn a_flipped_bit_in_a_durable_write_is_never_served() {
    let (mut refused, mut served) = (0, 0);
    for offset in 64..400 {
        let simulation = Simulation::new(offset);
        simulation.run(async {
            let store = open(&simulation).await.unwrap();
            for _ in 0..4 {
                store.txn(put("a", LeaseId(0))).await.unwrap();
            }
            store.close().await;
            let segment = Path::new("/data/log-00000000000000000001");
            assert!(simulation.disk().flip_bit(segment, offset));
            match open(&simulation).await {
                Err(OpenError::Damaged { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
                Ok(store) => {
                    // In padding, or behind the last frame.
                    let revision = store.status().await.unwrap().revision;
                    assert_eq!(revision, Revision(5), "at {offset}");
                    served += 1;
                }
            }
        });
    }
    assert!(refused > 200, "{refused} refused, {served} served");
}

#[test]
fn a_second_store_on_the_folder_is_refused_until_the_first_is_closed() {
    let simulation = Simulation::new(1);
    simulation.run(async {
        let store = open(&simulation).await.unwrap();
        assert!(matches!(open(&simulation).await, Err(OpenError::Locked { .. })));
        store.close().await;
        assert!(open(&simulation).await.is_ok());
    });
}
