//! Watches that outlive their streams, fragments, progress.

use std::time::Duration;

use bytes::Bytes;
use environment::real;
use meta::Revision;
use storage::backend::{
    Backend, BackendError, BackendEvent, BackendWatch, LeaseId, Op, Txn, WatchRequest, prefix_end,
};
use storage_etcd::{EtcdBackend, EtcdOptions};

use crate::etcd::{Etcd, World, backend_over, put, within};
use crate::proxy::Proxy;
use crate::servers::{Age, server};

async fn open(backend: &dyn Backend, prefix: &str, start: Revision) -> Box<dyn BackendWatch> {
    let key = Bytes::copy_from_slice(prefix.as_bytes());
    let end = prefix_end(&key);
    let request = WatchRequest { key, end, start, previous: true, progress: false };
    backend.watch(request).await.expect("a watch")
}

async fn events(watch: &mut Box<dyn BackendWatch>, n: usize) -> Vec<BackendEvent> {
    let mut events = Vec::new();
    while events.len() < n {
        let batch = within(watch.next()).await.expect("the watch goes on").expect("a batch");
        events.extend(batch.events);
    }
    assert_eq!(events.len(), n, "no more than what was done");
    events
}

/// Writes three keys at once.
async fn put_three(backend: &dyn Backend, value: impl Into<Bytes>) -> Revision {
    let value = value.into();
    let put = |key: &'static str| Op::Put { key: key.into(), value: value.clone(), lease: LeaseId(0) };
    let success = vec![put("/a/1"), put("/a/2"), put("/a/3")];
    backend.txn(Txn { success, ..Txn::default() }).await.expect("a transaction").revision
}

async fn no_gap_and_no_duplicate(age: Age) {
    const WRITES: u64 = 300;
    let etcd = Etcd::start(age).await;
    let proxy = Proxy::new(etcd.address()).await;
    let direct = etcd.backend().await;
    let broken = backend_over(vec![proxy.url()]).await;
    let mut watch = open(broken.as_ref(), "/a/", Revision(0)).await;
    let start = direct.status().await.expect("a status").revision.0;
    let write = async {
        for n in 0..WRITES {
            put_three(direct.as_ref(), n.to_string()).await;
            if n % 10 == 0 {
                proxy.cut();
                // Long enough for a new stream to come up, so that many of them are cut in use.
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        }
    };
    let (seen, ()) = tokio::join!(events(&mut watch, 3 * WRITES as usize), write);
    let revisions: Vec<u64> = seen.iter().map(|event| event.kv.mod_revision.0).collect();
    let want: Vec<u64> = (1..=WRITES).flat_map(|n| [start + n; 3]).collect();
    assert_eq!(revisions, want);
    let previous = seen.iter().skip(3).all(|event| event.previous.is_some());
    assert!(previous, "previous values come over new streams too");
}

#[test]
fn a_broken_stream_resumes_without_a_gap_or_a_duplicate() {
    World(Age::New).run(no_gap_and_no_duplicate(Age::New));
}

#[test]
fn a_broken_stream_of_an_old_etcd_resumes_too() {
    World(Age::Old).run(no_gap_and_no_duplicate(Age::Old));
}

#[test]
fn a_watch_from_now_keeps_its_now_over_a_break() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let proxy = Proxy::new(etcd.address()).await;
        let direct = etcd.backend().await;
        let broken = backend_over(vec![proxy.url()]).await;
        put(direct.as_ref(), "/a/1", "before").await.unwrap();
        let mut watch = open(broken.as_ref(), "/a/", Revision(0)).await;
        proxy.refuse();
        put(direct.as_ref(), "/a/1", "while broken").await.unwrap();
        proxy.heal();
        assert_eq!(events(&mut watch, 1).await[0].kv.value, "while broken");
    });
}

#[test]
fn a_watch_that_was_compacted_while_it_was_broken_ends() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let proxy = Proxy::new(etcd.address()).await;
        let direct = etcd.backend().await;
        let broken = backend_over(vec![proxy.url()]).await;
        let mut watch = open(broken.as_ref(), "/a/", Revision(0)).await;
        proxy.refuse();
        put(direct.as_ref(), "/a/1", "1").await.unwrap();
        let compacted = put(direct.as_ref(), "/a/1", "2").await.unwrap();
        put(direct.as_ref(), "/a/1", "3").await.unwrap();
        direct.compact(compacted).await.unwrap();
        proxy.heal();
        let error = within(watch.next()).await.expect("an error").unwrap_err();
        assert_eq!(error, BackendError::Compacted { compacted });
        assert!(within(watch.next()).await.is_none());
    });
}

#[test]
fn large_answers_come_in_pieces_of_whole_revisions() {
    World(Age::New).run(async {
        const WRITES: usize = 12;
        let etcd = Etcd::start(Age::New).await;
        let backend = etcd.backend().await;
        let first = put_three(backend.as_ref(), vec![b'x'; 400 << 10]).await;
        for _ in 1..WRITES {
            put_three(backend.as_ref(), vec![b'x'; 400 << 10]).await;
        }
        let mut watch = open(backend.as_ref(), "/a/", first).await;
        let (mut seen, mut batches) = (Vec::new(), 0);
        while seen.len() < 3 * WRITES {
            let batch = within(watch.next()).await.unwrap().unwrap();
            assert!(batch.events.len().is_multiple_of(3), "a revision is not split");
            assert_eq!(batch.events.last().map(|event| event.kv.mod_revision), Some(batch.revision));
            batches += 1;
            seen.extend(batch.events.iter().map(|event| event.kv.mod_revision.0));
        }
        let want: Vec<u64> = (0..WRITES as u64).flat_map(|n| [first.0 + n; 3]).collect();
        assert_eq!(seen, want);
        // Twelve revisions would fit into one answer, but for the size.
        assert!(batches > 1, "etcd sent {batches}");
    });
}

#[test]
fn progress_comes_unasked_to_who_wants_it() {
    World(Age::New).run(async {
        let flags = ["--experimental-watch-progress-notify-interval", "100ms"];
        let etcd = Etcd::start_with(Age::New, 1, &flags, None).await;
        let backend = etcd.backend().await;
        let key = Bytes::from_static(b"/a");
        let request = WatchRequest { key, end: None, start: Revision(0), previous: true, progress: true };
        let mut watch = backend.watch(request).await.unwrap();
        let elsewhere = put(backend.as_ref(), "/elsewhere", "1").await.unwrap();
        let batch = within(watch.next()).await.unwrap().unwrap();
        assert_eq!((batch.revision, batch.events.len()), (elsewhere, 0));
    });
}

#[test]
fn an_old_etcd_is_not_asked_for_progress() {
    World(Age::Old).run(async {
        let etcd = Etcd::start(Age::Old).await;
        let backend = etcd.backend().await;
        assert!(!backend.supports_progress_requests());
        let mut watch = open(backend.as_ref(), "/a/", Revision(0)).await;
        put(backend.as_ref(), "/elsewhere", "1").await.unwrap();
        backend.request_progress().await.unwrap();
        put(backend.as_ref(), "/a/1", "1").await.unwrap();
        let batch = within(watch.next()).await.unwrap().unwrap();
        assert_eq!(batch.events.len(), 1, "the event comes first: {batch:?}");
    });
}

#[test]
fn progress_is_supported_once_every_member_is_known_to_support_it() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let proxy = Proxy::new(etcd.address()).await;
        proxy.refuse();
        let endpoints = vec![etcd.urls().remove(0), proxy.url()];
        let options = EtcdOptions { endpoints, ..EtcdOptions::default() };
        let backend = EtcdBackend::open(real::environment(), options).await.unwrap();
        assert!(!backend.supports_progress_requests(), "one has not told yet");
        proxy.heal();
        within(async {
            while !backend.supports_progress_requests() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    });
}

#[test]
fn one_old_member_speaks_for_all() {
    if server(Age::New).is_none() {
        return;
    }
    World(Age::Old).run(async {
        let (old, new) = (Etcd::start(Age::Old).await, Etcd::start(Age::New).await);
        let endpoints = new.urls().into_iter().chain(old.urls()).collect();
        assert!(!backend_over(endpoints).await.supports_progress_requests());
    });
}

#[test]
fn a_dropped_watch_is_let_go() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let backend = etcd.backend().await;
        let open_streams = async || {
            let text = metrics(&etcd).await;
            let line = text.lines().find(|line| line.starts_with("etcd_debugging_mvcc_watch_stream_total"));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).expect("a count")
        };
        let watch = open(backend.as_ref(), "/a/", Revision(0)).await;
        assert_eq!(open_streams().await, 1);
        drop(watch);
        within(async {
            while open_streams().await > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    });
}

async fn metrics(etcd: &Etcd) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(etcd.address()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}
