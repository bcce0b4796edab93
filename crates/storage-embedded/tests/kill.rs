//! A process with many writers is killed at random moments; whoever opens the
//! folder then finds every write that was acknowledged, whole.
//!
//! The process is this test binary, run again with one test that writes until
//! it is killed. All rounds use the same folder, so rotations, checkpoints and
//! compactions are hit too. `PINTLE_KILL_ROUNDS` sets how many rounds there
//! are; `cargo xtask kill` runs 200.
//!
//! What a killed process has written is still in the system's cache. That
//! unsynced data is lost with the machine is tested in `simulation`.

#![allow(clippy::unwrap_used, reason = "a file of tests: what is wrong must panic")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use environment::real;
use meta::Revision;
use storage::backend::{Backend, KeyValue, LeaseId, Op, RangeRequest, Txn};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions};

const FOLDER: &str = "PINTLE_KILL_FOLDER";
const ROUND: &str = "PINTLE_KILL_ROUND";
const WRITERS: u64 = 16;
const KEYS_PER_WRITER: u64 = 8;
/// Longest time a process lives after its first write was acknowledged, in microseconds.
const LIFE_US_MAX: u64 = 60_000;

/// Small files, so that a short life sees many of them.
fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        segment_bytes: 256 << 10,
        checkpoint_log_bytes_min: 512 << 10,
        ..EmbeddedOptions::default()
    }
}

async fn open(folder: &Path) -> EmbeddedBackend {
    EmbeddedBackend::open(real::environment(), folder, options()).await.expect("the folder opens")
}

fn key(writer: u64, slot: u64) -> String {
    format!("/key/{writer}/{slot}")
}

/// A value that tells whether it is whole: its writer, count and length, then bytes that follow from them.
fn value(writer: u64, count: u64) -> Bytes {
    let length = (writer * 7919 + count * 104_729) % 9000;
    let mut value = format!("{writer} {count} {length} ").into_bytes();
    value.extend((0..length).map(|at| ((writer + count) * 31 + at) as u8));
    value.into()
}

/// The count in a value, after checking every byte of it.
fn count_in(kv: &KeyValue) -> (u64, u64) {
    let text = String::from_utf8_lossy(&kv.value[..kv.value.len().min(60)]).into_owned();
    let mut numbers = text.split(' ').map_while(|number| number.parse::<u64>().ok());
    let (writer, count) = numbers.next().zip(numbers.next()).unwrap_or_else(|| panic!("torn: {text:?}"));
    assert_eq!(kv.value, value(writer, count), "the value of {:?} is torn", kv.key);
    (writer, count)
}

/// Not a test but the process that is killed; does nothing in an ordinary run.
#[test]
fn writing_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(open(Path::new(&folder)).await);
        for writer in 0..WRITERS {
            tokio::spawn(write(store.clone(), writer, round * 1_000_000));
        }
        if round.is_multiple_of(3) {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let revision = store.status().await.unwrap().revision.0.saturating_sub(100);
                let _ = store.compact(Revision(revision)).await;
            }
        }
        futures::future::pending::<()>().await;
    });
}

/// Writes one key after the other, and says so of each when it was acknowledged.
async fn write(store: Arc<EmbeddedBackend>, writer: u64, first: u64) {
    for count in first.. {
        let key = key(writer, count % KEYS_PER_WRITER).into();
        let put = Op::Put { key, value: value(writer, count), lease: LeaseId(0) };
        let revision = store.txn(Txn { success: vec![put], ..Txn::default() }).await.unwrap().revision;
        // One write of a short line to a pipe is whole or not there.
        let line = format!("\nacknowledged {writer} {count} {revision}\n");
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }
}

/// What was acknowledged of a key last: count and revision.
type Acknowledged = BTreeMap<String, (u64, Revision)>;

/// Lets a process write for a while, then kills it; adds what it heard to `acknowledged`.
fn round(folder: &Path, round: u64, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writing_until_killed", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut hear = |line: &str| -> bool {
        let Some(rest) = line.strip_prefix("acknowledged ") else { return false };
        let numbers: Vec<u64> = rest.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [writer, count, revision] = numbers[..] else { return false };
        let newest = acknowledged.entry(key(writer, count % KEYS_PER_WRITER)).or_default();
        *newest = (*newest).max((count, Revision(revision)));
        true
    };
    loop {
        let line = lines.next().expect("the process lives until it is killed").unwrap();
        if hear(&line) {
            break;
        }
    }
    // The pipe is read on, or the writers would wait for it.
    let reader = std::thread::scope(|scope| {
        let reader = scope.spawn(move || lines.map_while(Result::ok).collect::<Vec<String>>());
        std::thread::sleep(Duration::from_micros(real::environment().random.below(LIFE_US_MAX)));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap()
    });
    for line in reader {
        hear(&line);
    }
}

async fn verify(folder: &Path, acknowledged: &Acknowledged) -> usize {
    let store = open(folder).await;
    let (key, end) = (Bytes::from_static(b"/"), Some(Bytes::from_static(b"0")));
    let found = store.range(RangeRequest { key, end, ..RangeRequest::default() }).await.unwrap();
    let found_revision = found.revision;
    let kvs: BTreeMap<String, KeyValue> =
        found.kvs.into_iter().map(|kv| (String::from_utf8(kv.key.to_vec()).unwrap(), kv)).collect();
    for kv in kvs.values() {
        count_in(kv);
    }
    for (key, (count, revision)) in acknowledged {
        let kv = kvs.get(key).unwrap_or_else(|| panic!("{key} was acknowledged at {revision} and is lost"));
        let (_, found) = count_in(kv);
        assert!(found >= *count, "{key}: {count} was acknowledged at {revision}, {found} is there");
        assert_eq!(found == *count, kv.mod_revision == *revision, "{key} at {revision}");
        assert!(found_revision >= *revision, "the revision went back behind {revision}");
    }
    store.close().await;
    kvs.len()
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged_and_leaves_nothing_torn() {
    let rounds = std::env::var("PINTLE_KILL_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut acknowledged = Acknowledged::new();
    for number in 1..=rounds {
        round(folder.path(), number, &mut acknowledged);
        let keys = runtime.block_on(verify(folder.path(), &acknowledged));
        assert!(keys >= acknowledged.len());
    }
    let highest = acknowledged.values().map(|(_, revision)| revision.0).max().unwrap_or_default();
    assert!(highest > rounds * 10, "{rounds} rounds with {highest} writes");
    println!("{rounds} rounds, {highest} revisions");
}
