//! Every single operation of the embedded store's disk goes wrong once, in every
//! way it can: errors, short writes, a power loss that takes what was not
//! synced, flipped bits. Each time the store ends up with correct data, or
//! refuses to open with an error that says where the damage is.
//!
//! Correct is: everything acknowledged is there, and the content is that of one
//! moment of the run. A refusal is correct only for flipped bits.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use meta::Revision;
use simulation::{Fault, Simulation};
use storage::backend::{Backend, BackendError, LeaseId, Op, RangeRequest, Txn};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions, OpenError, repair};

const FOLDER: &str = "/data";
/// Steps of the workload; each writes three keys at once, or does something rarer.
const STEPS: u64 = 24;

/// Content by revision.
type History = BTreeMap<Revision, BTreeMap<Bytes, Bytes>>;

/// What one run did.
#[derive(Default)]
struct Ledger {
    /// What the store holds at each revision, if the revision was reached.
    history: History,
    acknowledged: Revision,
}

impl Ledger {
    fn expect(&mut self, revision: Revision, key: &Bytes, value: Option<Bytes>) {
        let mut content = self.history.values().next_back().cloned().unwrap_or_default();
        match value {
            Some(value) => content.insert(key.clone(), value),
            None => content.remove(key),
        };
        self.history.insert(revision, content);
    }
}

async fn open(simulation: &Simulation) -> Result<EmbeddedBackend, OpenError> {
    // So small that the workload sees new segments and checkpoints.
    let options = EmbeddedOptions {
        segment_bytes: 3 << 10,
        checkpoint_log_bytes_min: 5 << 10,
        ..EmbeddedOptions::default()
    };
    EmbeddedBackend::open(simulation.environment(), Path::new(FOLDER), options).await
}

/// Runs the workload until something fails. The revisions are known beforehand, because it has one client.
async fn work(simulation: &Simulation, ledger: &mut Ledger) -> Result<(), Failed> {
    ledger.history.insert(Revision(1), BTreeMap::new());
    let mut store = open(simulation).await?;
    let mut next = 2;
    for step in 0..STEPS {
        let mut expect = |ledger: &mut Ledger, key: &Bytes, value| {
            ledger.expect(Revision(next), key, value);
            next += 1;
        };
        match step {
            // Opening again writes too.
            8 | 16 => {
                store.close().await;
                store = open(simulation).await?;
            }
            5 | 20 => store.compact(Revision(ledger.acknowledged.0 - 3)).await?,
            11 => drop(store.lease_grant(3600).await?),
            _ if step % 4 == 3 => {
                let key = key(step % 5);
                if ledger.history.values().next_back().is_some_and(|content| content.contains_key(&key)) {
                    expect(ledger, &key, None);
                }
                let delete = Op::Delete { key };
                let response = store.txn(Txn { success: vec![delete], ..Txn::default() }).await?;
                ledger.acknowledged = response.revision;
            }
            _ => {
                let puts = (0..3).map(|n| {
                    let (key, value) = (key((step + n) % 5), value(step * 10 + n));
                    expect(ledger, &key, Some(value.clone()));
                    let put = Op::Put { key, value, lease: LeaseId(0) };
                    store.txn(Txn { success: vec![put], ..Txn::default() })
                });
                let puts: Vec<_> = puts.collect();
                for written in futures::future::join_all(puts).await {
                    ledger.acknowledged = written?.revision.max(ledger.acknowledged);
                }
            }
        }
    }
    store.close().await;
    Ok(())
}

#[derive(Debug)]
enum Failed {
    Open(OpenError),
    #[expect(dead_code, reason = "shown when a run fails that should not")]
    Backend(BackendError),
}

impl From<OpenError> for Failed {
    fn from(error: OpenError) -> Failed {
        Failed::Open(error)
    }
}

impl From<BackendError> for Failed {
    fn from(error: BackendError) -> Failed {
        Failed::Backend(error)
    }
}

fn key(n: u64) -> Bytes {
    format!("/key/{n}").into()
}

/// Without zeros: the store cannot tell a sector of zeros from one that was not written.
fn value(n: u64) -> Bytes {
    (0..100 + n * 37 % 700).map(|at| (at % 200 + n % 50 + 1) as u8).collect::<Vec<u8>>().into()
}

/// Checks an opened store, and that it goes on working.
async fn check(store: EmbeddedBackend, simulation: &Simulation, ledger: &Ledger, complete: bool, what: &str) {
    let (revision, content) = read(&store).await;
    if complete {
        assert!(revision >= ledger.acknowledged, "{what}: {revision} after {}", ledger.acknowledged);
    }
    assert_eq!(Some(&content), ledger.history.get(&revision), "{what}: the content at {revision}");
    let put = Op::Put { key: key(9), value: value(9), lease: LeaseId(0) };
    let written = store.txn(Txn { success: vec![put], ..Txn::default() }).await;
    assert_eq!(written.expect("it takes writes again").revision, Revision(revision.0 + 1), "{what}");
    drop(store);
    simulation.crash();
    let (again, _) = read(&open(simulation).await.expect("it opens after a crash")).await;
    assert_eq!(again, Revision(revision.0 + 1), "{what}");
}

async fn read(store: &EmbeddedBackend) -> (Revision, BTreeMap<Bytes, Bytes>) {
    let (key, end) = (Bytes::from_static(b"/"), Some(Bytes::from_static(b"0")));
    let found = store.range(RangeRequest { key, end, ..RangeRequest::default() }).await.expect("it is read");
    (found.revision, found.kvs.into_iter().map(|kv| (kv.key, kv.value)).collect())
}

/// What came of one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The fault does not go with that operation.
    NoFault,
    Correct,
    Refused,
}

fn run(seed: u64, change: u64, fault: Fault, crash: bool) -> Outcome {
    let simulation = Simulation::new(seed);
    simulation.disk().inject(change, fault);
    let what = format!("{fault:?} at {change}, seed {seed}, crash {crash}");
    simulation.run(async {
        let mut ledger = Ledger::default();
        let worked = work(&simulation, &mut ledger).await;
        if !simulation.disk().fault_happened() {
            worked.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            return Outcome::NoFault;
        }
        if let Err(Failed::Open(error)) = &worked {
            judge(error, fault, &what);
        }
        if crash || fault == Fault::PowerLoss {
            simulation.crash();
        }
        // Errors do not last; whoever was not there to close may still hold the lock for a moment.
        let mut opened = open(&simulation).await;
        for _ in 0..100 {
            if !matches!(opened, Err(OpenError::Locked { .. })) {
                break;
            }
            simulation.environment().clock.sleep(std::time::Duration::from_millis(10)).await;
            opened = open(&simulation).await;
        }
        match opened {
            Ok(store) => {
                check(store, &simulation, &ledger, true, &what).await;
                Outcome::Correct
            }
            Err(error) => {
                assert_eq!(fault, Fault::FlippedBit, "{what}: {error}");
                judge(&error, fault, &what);
                // What a repair leaves is a moment of the run too, if there is something to repair.
                if repair(&simulation.environment(), Path::new(FOLDER)).await.is_ok() {
                    let store = open(&simulation).await.expect("a repaired store opens");
                    check(store, &simulation, &ledger, false, &what).await;
                }
                Outcome::Refused
            }
        }
    })
}

/// A refusal is of use to somebody: it names the file and the damage, or the operation that failed.
fn judge(error: &OpenError, fault: Fault, what: &str) {
    let text = error.to_string();
    match error {
        OpenError::Damaged { .. } | OpenError::NewerFormat { .. } => {
            assert_eq!(fault, Fault::FlippedBit, "{what}: {text}");
        }
        OpenError::Io { .. } => assert_ne!(fault, Fault::FlippedBit, "{what}: {text}"),
        OpenError::Locked { .. } => panic!("{what}: {text}"),
    }
    assert!(text.contains(FOLDER), "{what}: {text}");
}

/// Runs the workload once for each operation of it; counts what came of it.
fn every_operation(fault: Fault) -> (u64, u64) {
    let (mut correct, mut refused) = (0, 0);
    for seed in 0..2 {
        let undisturbed = Simulation::new(seed);
        let worked = undisturbed.run(async { work(&undisturbed, &mut Ledger::default()).await });
        worked.expect("nothing goes wrong by itself");
        let changes = undisturbed.disk().changes();
        assert!(changes > 100, "{changes} operations");
        for change in 1..=changes {
            for crash in [false, true] {
                match run(seed, change, fault, crash) {
                    Outcome::NoFault => {}
                    Outcome::Correct => correct += 1,
                    Outcome::Refused => refused += 1,
                }
            }
        }
    }
    (correct, refused)
}

#[test]
fn an_io_error_at_any_operation_loses_nothing() {
    let (correct, refused) = every_operation(Fault::Error);
    assert!(correct > 400 && refused == 0, "{correct} correct, {refused} refused");
}

#[test]
fn a_short_write_anywhere_loses_nothing() {
    let (correct, refused) = every_operation(Fault::ShortWrite);
    assert!(correct > 100 && refused == 0, "{correct} correct, {refused} refused");
}

#[test]
fn power_lost_at_any_operation_takes_only_what_was_not_acknowledged() {
    let (correct, refused) = every_operation(Fault::PowerLoss);
    assert!(correct > 400 && refused == 0, "{correct} correct, {refused} refused");
}

#[test]
fn a_bit_flipped_in_any_write_is_harmless_or_refused() {
    let (correct, refused) = every_operation(Fault::FlippedBit);
    assert!(correct > 20 && refused > 20, "{correct} correct, {refused} refused");
}
