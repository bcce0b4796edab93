//! Durable writes per second, and what opening costs. Prints; asserts nothing.
//!
//! `cargo bench -p storage-embedded`; the folder is made under `PINTLE_BENCH_FOLDER`, or where
//! temporary files go (which should then be a real disk).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use environment::real;
use storage::backend::{Backend, LeaseId, Op, RangeRequest, Txn};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions};

const WRITERS: usize = 64;
const VALUE_BYTES: usize = 1500;
const KEYS_PER_WRITER: usize = 200;
const RUN: Duration = Duration::from_secs(3);

#[allow(clippy::print_stdout, reason = "printing is what it is for")]
fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let base = std::env::var("PINTLE_BENCH_FOLDER").map_or_else(|_| std::env::temp_dir(), Into::into);
        let folder = tempfile::tempdir_in(base).expect("a folder");
        let (store, empty) = open(folder.path()).await;
        println!("open an empty folder             {empty:>10.1?}");
        let writes = write(&store, WRITERS).await;
        println!("{WRITERS} writers of {VALUE_BYTES} bytes       {writes:>10.0} writes/s");
        let writes = write(&store, 1).await;
        println!("1 writer of {VALUE_BYTES} bytes          {writes:>10.0} writes/s");
        list(&store).await;
        let revision = store.status().await.expect("a status").revision.0;
        let compacting = Instant::now();
        store.compact(meta::Revision(revision)).await.expect("a compaction");
        println!("compact {revision:>9} revisions      {:>10.1?}", compacting.elapsed());
        store.close().await;
        let (store, full) = open(folder.path()).await;
        println!("open it again                    {full:>10.1?}");
        store.close().await;
    });
}

async fn open(folder: &Path) -> (Arc<EmbeddedBackend>, Duration) {
    let start = Instant::now();
    let store = EmbeddedBackend::open(real::environment(), folder, EmbeddedOptions::default()).await;
    (Arc::new(store.expect("the folder opens")), start.elapsed())
}

async fn write(store: &Arc<EmbeddedBackend>, writers: usize) -> f64 {
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while start.elapsed() < RUN {
                    let key = format!("/registry/pods/{writer}/{}", count % KEYS_PER_WRITER).into();
                    let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
                    let put = Op::Put { key, value, lease: LeaseId(0) };
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

#[allow(clippy::print_stdout, reason = "printing is what it is for")]
async fn list(store: &EmbeddedBackend) {
    let start = Instant::now();
    let (key, end) = (Bytes::from_static(b"/"), Some(Bytes::from_static(b"0")));
    let response = store.range(RangeRequest { key, end, ..RangeRequest::default() }).await.expect("a range");
    println!("list {:>9} keys              {:>10.1?}", response.kvs.len(), start.elapsed());
}
