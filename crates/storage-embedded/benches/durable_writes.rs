//! Durable puts of 1 KiB per second, with 1, 16 and 256 writers: this store
//! against an etcd server on the same disk, in one run. Then what reading all and opening again cost. Prints; asserts nothing.
//!
//! `cargo bench -p storage-embedded`; the folders are made under `PINTLE_BENCH_FOLDER`, or where
//! temporary files go (which should then be a real disk). The etcd is the one the tests of
//! `storage-etcd` use; without one its column is left out.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

#[path = "../../storage-etcd/tests/it/servers.rs"]
#[allow(dead_code, reason = "shared with tests, which use the rest")]
mod servers;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use environment::real;
use storage::backend::{Backend, LeaseId, Op, RangeRequest, Txn};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions};
use storage_etcd::{EtcdBackend, EtcdOptions};

const WRITERS: [usize; 3] = [1, 16, 256];
const VALUE_BYTES: usize = 1024;
const KEYS_PER_WRITER: usize = 50;
/// One measurement. The two stores take turns, because disks have moods.
const RUN: Duration = Duration::from_secs(1);
const TURNS: usize = 9;
/// Time for what goes on in the background before a measurement.
const PAUSE: Duration = Duration::from_millis(300);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let base = std::env::var("PINTLE_BENCH_FOLDER").map_or_else(|_| std::env::temp_dir(), Into::into);
        let folder = tempfile::tempdir_in(base).expect("a folder");
        let own = folder.path().join("store");
        let (store, empty) = open(&own).await;
        println!("open an empty folder {empty:.1?}");
        let etcd = Etcd::start(&folder.path().join("etcd")).await;
        println!("\ndurable puts of {VALUE_BYTES} bytes per second\nwriters   embedded       etcd   ratio (median of turns)");
        for writers in WRITERS {
            compare(writers, store.clone(), etcd.as_ref().map(|etcd| etcd.backend.clone())).await;
        }
        drop(etcd);
        list(&store).await;
        let revision = store.status().await.expect("a status").revision;
        store.compact(revision).await.expect("a compaction");
        store.close().await;
        let (store, full) = open(&own).await;
        println!("open it again after {revision} revisions {full:.1?}");
        store.close().await;
    });
}

async fn compare(writers: usize, store: Arc<dyn Backend>, etcd: Option<Arc<dyn Backend>>) {
    let (mut own, mut other, mut ratios) = (0.0, 0.0, Vec::new());
    for _ in 0..TURNS {
        let turn = write(&store, writers).await;
        own += turn / TURNS as f64;
        if let Some(etcd) = &etcd {
            let etcds = write(etcd, writers).await;
            other += etcds / TURNS as f64;
            ratios.push(turn / etcds);
        }
    }
    ratios.sort_by(f64::total_cmp);
    match ratios.get(TURNS / 2) {
        Some(median) => println!("{writers:>7} {own:>10.0} {other:>10.0} {median:>7.1}"),
        None => println!("{writers:>7} {own:>10.0}"),
    }
}

async fn open(folder: &Path) -> (Arc<EmbeddedBackend>, Duration) {
    let start = Instant::now();
    let store = EmbeddedBackend::open(real::environment(), folder, EmbeddedOptions::default()).await;
    (Arc::new(store.expect("the folder opens")), start.elapsed())
}

async fn write(store: &Arc<dyn Backend>, writers: usize) -> f64 {
    // As an API server does it all the time; what was measured before shall cost nothing now.
    let revision = store.status().await.expect("a status").revision;
    store.compact(revision).await.expect("a compaction");
    tokio::time::sleep(PAUSE).await;
    let start = Instant::now();
    let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, value) = (store.clone(), value.clone());
            tokio::spawn(async move {
                let mut count = 0;
                while start.elapsed() < RUN {
                    let key = format!("/registry/pods/{writer}/{}", count % KEYS_PER_WRITER).into();
                    let put = Op::Put { key, value: value.clone(), lease: LeaseId(0) };
                    store.txn(Txn { success: vec![put], ..Txn::default() }).await.expect("a write");
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut written = 0;
    for task in tasks {
        written += task.await.expect("a writer");
    }
    written as f64 / start.elapsed().as_secs_f64()
}

async fn list(store: &EmbeddedBackend) {
    let start = Instant::now();
    let (key, end) = (Bytes::from_static(b"/"), Some(Bytes::from_static(b"0")));
    let response = store.range(RangeRequest { key, end, ..RangeRequest::default() }).await.expect("a range");
    println!("\nlist {} keys {:.1?}", response.kvs.len(), start.elapsed());
}

/// A server with its defaults, as it would run in production on one machine.
struct Etcd {
    backend: Arc<dyn Backend>,
    process: Child,
}

impl Etcd {
    /// None, after a word about it, where there is no etcd.
    async fn start(folder: &Path) -> Option<Etcd> {
        let binary = servers::server(servers::Age::New)?;
        let port = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("a port").port()
        };
        let (client, peer) = (format!("http://127.0.0.1:{}", port()), format!("http://127.0.0.1:{}", port()));
        let process = Command::new(binary)
            .arg("--data-dir")
            .arg(folder)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd can be started");
        let options = EtcdOptions { endpoints: vec![client], ..EtcdOptions::default() };
        let backend = EtcdBackend::open(real::environment(), options).await.expect("good endpoints");
        let any = RangeRequest { key: "any".into(), ..RangeRequest::default() };
        while backend.range(any.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Some(Etcd { backend: Arc::new(backend), process })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
