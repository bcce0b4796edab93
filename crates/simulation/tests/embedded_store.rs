//! The embedded store in a simulated world: clients that write, read, lease and
//! compact while the machine crashes and the disk fails, and a ledger that remembers what
//! was promised.
//!
//! Checked after every crash: what was acknowledged is there; what was seen by a reader
//! or watcher has not changed; revisions have no gap and never went back; the content follows from the events.
//!
//! `PINTLE_SIMULATION_SEEDS` sets how many seeds are run, e.g. 10000 over night.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use environment::Environment;
use meta::Revision;
use parking_lot::Mutex;
use simulation::Simulation;
use storage::backend::{
    Backend, BackendError, Compare, KeyValue, LeaseId, Op, RangeRequest, Txn, WatchBatch, WatchRequest,
};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions, OpenError};

const FOLDER: &str = "/data";
const CLIENTS: u64 = 6;
const KEYS: u64 = 8;
/// Lives of the machine in one run.
const LIVES: u64 = 5;

/// A change of a key: its value, or none if it was deleted.
type Change = (Bytes, Option<Bytes>);

/// What everyone knows for certain.
#[derive(Default)]
struct Ledger {
    /// Changes by revision, as watchers saw them.
    seen: BTreeMap<Revision, Vec<Change>>,
    /// Changes that were acknowledged.
    acknowledged: Vec<(Revision, Change)>,
    /// Highest revision anyone heard of.
    highest: Revision,
    compacted: Revision,
}

impl Ledger {
    fn see(&mut self, batch: &WatchBatch) {
        let mut revisions: BTreeMap<Revision, Vec<Change>> = BTreeMap::new();
        for event in &batch.events {
            let deleted = event.kind == storage::backend::BackendEventKind::Delete;
            let value = Some(event.kv.value.clone()).filter(|_| !deleted);
            revisions.entry(event.kv.mod_revision).or_default().push((event.kv.key.clone(), value));
        }
        for (revision, mut changes) in revisions {
            changes.sort();
            let first = self.seen.entry(revision).or_insert_with(|| changes.clone());
            assert_eq!(*first, changes, "revision {revision} changed after it was seen");
        }
        self.highest = self.highest.max(batch.revision);
    }

    fn acknowledge(&mut self, revision: Revision, change: Change) {
        self.highest = self.highest.max(revision);
        self.acknowledged.push((revision, change));
    }

    /// Compares a store with everything known.
    fn check(&self, revision: Revision, content: &[KeyValue]) {
        assert!(revision >= self.highest, "revision {} went back to {revision}", self.highest);
        let revisions: Vec<u64> = self.seen.keys().map(|revision| revision.0).collect();
        assert_eq!(revisions, (2..=revision.0).collect::<Vec<_>>(), "the events have a gap");
        for (revision, change) in &self.acknowledged {
            assert!(self.seen[revision].contains(change), "the write acknowledged at {revision} is lost");
        }
        let mut expected: BTreeMap<Bytes, Bytes> = BTreeMap::new();
        for (key, value) in self.seen.values().flatten().cloned() {
            match value {
                Some(value) => drop(expected.insert(key, value)),
                None => drop(expected.remove(&key)),
            }
        }
        let content: BTreeMap<Bytes, Bytes> =
            content.iter().map(|kv| (kv.key.clone(), kv.value.clone())).collect();
        assert_eq!(content, expected, "the content does not follow from the events");
    }
}

#[derive(Clone)]
struct World {
    simulation: Simulation,
    environment: Environment,
    ledger: Arc<Mutex<Ledger>>,
}

impl World {
    async fn open(&self) -> Arc<EmbeddedBackend> {
        let options = EmbeddedOptions {
            segment_bytes: 3 << 10,
            checkpoint_log_bytes_min: 6 << 10,
            ..EmbeddedOptions::default()
        };
        // The disk may still be failing; it never fails for ever.
        loop {
            let opened =
                EmbeddedBackend::open(self.environment.clone(), Path::new(FOLDER), options.clone()).await;
            match opened {
                Ok(store) => return Arc::new(store),
                Err(OpenError::Io { .. }) => self.simulation.note("opening failed"),
                Err(error) => panic!("a folder that only crashed opens: {error}"),
            }
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.environment.random.below(bound)
    }

    async fn pause(&self, us_max: u64) {
        let us = self.below(us_max);
        self.environment.clock.sleep(Duration::from_micros(us)).await;
    }

    /// One life of the machine: clients at work until a crash or a failing disk ends it.
    async fn live(&self) {
        let store = self.open().await;
        self.verify(&store).await;
        for client in 0..CLIENTS {
            let (world, store) = (self.clone(), store.clone());
            let task = async move {
                let mut step = 0;
                while world.act(&store, client, step).await.is_ok() {
                    step += 1;
                }
            };
            self.environment.tasks.spawn("client", Box::pin(task));
        }
        let (world, watched) = (self.clone(), store.clone());
        self.environment.tasks.spawn("watcher", Box::pin(async move { world.watch(&watched).await }));
        self.pause(300_000).await;
        match self.below(3) {
            0 => self.simulation.disk().fail_syncs(1),
            1 => self.simulation.disk().fail_writes(1),
            _ => {}
        }
        self.pause(50_000).await;
        if self.below(4) == 0 {
            store.close().await;
        } else {
            drop(store);
            self.simulation.crash();
        }
    }

    /// One step of a client; an error ends it.
    async fn act(&self, store: &EmbeddedBackend, client: u64, step: u64) -> Result<(), BackendError> {
        self.pause(3000).await;
        match self.below(20) {
            0 => self.compact(store).await,
            1 => self.lease(store, client, step).await,
            2..6 => self.delete(store).await,
            6..9 => self.read(store).await,
            _ => self.write(store, LeaseId(0), client, step).await,
        }
    }

    fn some_key(&self) -> Bytes {
        format!("/key/{}", self.below(KEYS)).into()
    }

    /// Compares and swaps, so that a lost race runs the other branch.
    async fn write(
        &self,
        store: &EmbeddedBackend,
        lease: LeaseId,
        client: u64,
        step: u64,
    ) -> Result<(), BackendError> {
        let key = self.some_key();
        let current = get(store, &key).await?;
        let revision = current.map_or(Revision(0), |kv| kv.mod_revision);
        let mut value = format!("{client}/{step}/").into_bytes();
        value.resize(value.len() + self.below(700) as usize, b'.');
        let value = Bytes::from(value);
        let txn = Txn {
            compare: vec![Compare::ModRevision(key.clone(), revision)],
            success: vec![Op::Put { key: key.clone(), value: value.clone(), lease }],
            failure: vec![Op::Get { key: key.clone() }],
        };
        let response = store.txn(txn).await?;
        if response.succeeded {
            self.ledger.lock().acknowledge(response.revision, (key, Some(value)));
        } else {
            let now = response.gets[0].as_ref().map_or(Revision(0), |kv| kv.mod_revision);
            assert_ne!(now, revision, "the swap failed though nobody was in between");
            // What was told is durable, or a crash could take it back.
            let mut ledger = self.ledger.lock();
            ledger.highest = ledger.highest.max(response.revision);
        }
        Ok(())
    }

    async fn delete(&self, store: &EmbeddedBackend) -> Result<(), BackendError> {
        let key = self.some_key();
        let response =
            store.txn(Txn { success: vec![Op::Delete { key: key.clone() }], ..Txn::default() }).await?;
        if response.deleted[0].is_some() {
            self.ledger.lock().acknowledge(response.revision, (key, None));
        }
        Ok(())
    }

    async fn read(&self, store: &EmbeddedBackend) -> Result<(), BackendError> {
        let (revision, _) = all(store, Revision(0)).await?;
        let mut ledger = self.ledger.lock();
        assert!(
            revision >= ledger.acknowledged.iter().map(|(revision, _)| *revision).max().unwrap_or_default()
        );
        ledger.highest = ledger.highest.max(revision);
        Ok(())
    }

    async fn lease(&self, store: &EmbeddedBackend, client: u64, step: u64) -> Result<(), BackendError> {
        let lease = store.lease_grant(1).await?;
        match self.write(store, lease, client, step).await {
            // It ran out before it was used.
            Err(BackendError::LeaseNotFound) => Ok(()),
            written => written,
        }
    }

    async fn compact(&self, store: &EmbeddedBackend) -> Result<(), BackendError> {
        let status = store.status().await?;
        // The watcher should keep up with it.
        let revision = Revision(status.revision.0.saturating_sub(40));
        if revision > status.compacted && revision < self.watched() {
            match store.compact(revision).await {
                Ok(()) => {
                    let mut ledger = self.ledger.lock();
                    ledger.compacted = ledger.compacted.max(revision);
                }
                Err(BackendError::Compacted { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn watched(&self) -> Revision {
        self.ledger.lock().seen.keys().next_back().copied().unwrap_or_default()
    }

    async fn watch(&self, store: &EmbeddedBackend) {
        let mut watch = everything(store, Revision(self.watched().0 + 1)).await;
        while let Some(Ok(batch)) = watch.next().await {
            self.ledger.lock().see(&batch);
        }
    }

    /// Reads all events that the ledger lacks and compares.
    async fn verify(&self, store: &EmbeddedBackend) {
        let status = store.status().await.expect("an open store has a status");
        assert!(status.compacted >= self.ledger.lock().compacted, "a compaction was forgotten");
        let start = Revision(status.compacted.0 + 1).max(Revision(2));
        assert!(self.watched() >= status.compacted, "the test compacts only what was watched");
        let mut watch = everything(store, start).await;
        store.request_progress().await.expect("an open store takes requests");
        let mut reached = Revision(start.0 - 1);
        while reached < status.revision {
            let batch = watch.next().await.expect("the stream goes on").expect("the history is there");
            assert!(batch.revision >= reached);
            reached = batch.revision;
            self.ledger.lock().see(&batch);
        }
        let (revision, content) = all(store, status.revision).await.expect("the newest revision can be read");
        self.simulation.note(&format!("verified {revision}"));
        self.ledger.lock().check(revision, &content);
    }
}

async fn get(store: &EmbeddedBackend, key: &Bytes) -> Result<Option<KeyValue>, BackendError> {
    let request = RangeRequest { key: key.clone(), ..RangeRequest::default() };
    Ok(store.range(request).await?.kvs.pop())
}

async fn all(store: &EmbeddedBackend, revision: Revision) -> Result<(Revision, Vec<KeyValue>), BackendError> {
    let (key, end) = (Bytes::from_static(b"/"), Some(Bytes::from_static(b"0")));
    let response = store.range(RangeRequest { key, end, revision, ..RangeRequest::default() }).await?;
    Ok((response.revision, response.kvs))
}

async fn everything(store: &EmbeddedBackend, start: Revision) -> Box<dyn storage::backend::BackendWatch> {
    let (key, end) = (Bytes::from_static(b"/"), Some(Bytes::from_static(b"0")));
    let request = WatchRequest { key, end, start, previous: true, progress: false };
    store.watch(request).await.expect("a watch opens")
}

/// Runs a seed; returns the digest of all that happened and the last revision.
fn run(seed: u64) -> (u64, u64) {
    let simulation = Simulation::new(seed);
    let environment = simulation.environment();
    let world = World { simulation: simulation.clone(), environment, ledger: Arc::default() };
    let last = simulation.run(async move {
        for _ in 0..LIVES {
            world.live().await;
        }
        let store = world.open().await;
        world.verify(&store).await;
        store.status().await.expect("an open store has a status").revision
    });
    (simulation.digest(), last.0)
}

#[test]
fn nothing_promised_is_lost_in_any_crash() {
    let seeds =
        std::env::var("PINTLE_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        let result = std::panic::catch_unwind(|| run(seed));
        match result {
            Ok((_, revision)) => assert!(revision > 20, "seed {seed} did nothing"),
            Err(panic) => {
                println!("seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run_and_others_are_not() {
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).0, run(4).0);
}
