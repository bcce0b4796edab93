//! Snapshots of a store that is in use, and stores made from them.

#![allow(clippy::unwrap_used, reason = "a file of tests: what is wrong must panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use environment::real;
use meta::Revision;
use storage::backend::{Backend, BackendError, KeyValue, LeaseId, Op, RangeRequest, Txn};
use storage_embedded::{
    EmbeddedBackend, EmbeddedOptions, OpenError, Restore, RestoreError, SnapshotError, SnapshotHead,
    SnapshotReader,
};

async fn open(folder: &Path) -> EmbeddedBackend {
    EmbeddedBackend::open(real::environment(), folder, EmbeddedOptions::default()).await.unwrap()
}

async fn put(store: &EmbeddedBackend, key: &str, value: &str, lease: LeaseId) -> Revision {
    let put = Op::Put { key: key.to_owned().into(), value: value.to_owned().into(), lease };
    store.txn(Txn { success: vec![put], ..Txn::default() }).await.unwrap().revision
}

async fn delete(store: &EmbeddedBackend, key: &str) {
    let delete = Op::Delete { key: key.to_owned().into() };
    store.txn(Txn { success: vec![delete], ..Txn::default() }).await.unwrap();
}

async fn all(store: &EmbeddedBackend, revision: u64) -> Result<Vec<KeyValue>, BackendError> {
    let (key, end) = (Bytes::from_static(b"\0"), Some(Bytes::from_static(b"\xff")));
    let request = RangeRequest { key, end, revision: Revision(revision), ..RangeRequest::default() };
    Ok(store.range(request).await?.kvs)
}

fn snapshot(store: &EmbeddedBackend) -> Vec<u8> {
    store.snapshot().unwrap().flatten().collect()
}

async fn restore(bytes: &[u8], folder: &Path) -> Result<SnapshotHead, RestoreError> {
    let mut reader = SnapshotReader::new();
    reader.push(bytes);
    let mut entry = reader.next_entry().unwrap();
    let mut restore = Restore::begin(&real::environment(), folder, reader.head().unwrap()).await?;
    while let Some(next) = entry {
        restore.add(&next).await?;
        entry = reader.next_entry().unwrap();
    }
    let head = reader.finish().unwrap();
    restore.finish().await?;
    Ok(head)
}

#[tokio::test]
async fn a_restored_store_has_content_history_revisions_and_leases() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(folder.path()).await;
    let lease = store.lease_grant(1).await.unwrap();
    for n in 0..300 {
        put(&store, &format!("/a/{}", n % 100), &"x".repeat(5000 + n), LeaseId(0)).await;
    }
    delete(&store, "/a/7").await;
    put(&store, "/leased", "value", lease).await;
    store.compact(Revision(150)).await.unwrap();
    let bytes = snapshot(&store);
    assert!(bytes.len() > 1 << 20, "several frames");
    let head = restore(&bytes, target.path()).await.unwrap();
    assert_eq!((head.revision, head.compacted), (Revision(303), Revision(150)));
    let restored = open(target.path()).await;
    for revision in 150..=303 {
        assert_eq!(all(&restored, revision).await, all(&store, revision).await, "at {revision}");
    }
    assert_eq!(all(&restored, 149).await, Err(BackendError::Compacted { compacted: Revision(150) }));
    assert_eq!(put(&restored, "/on", "it goes", LeaseId(0)).await, Revision(304));
    // The lease came along and ends by itself.
    let wait = async {
        while all(&restored, 0).await.unwrap().iter().any(|kv| kv.key == "/leased") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.unwrap();
    restored.close().await;
    let again = open(target.path()).await;
    assert_eq!(all(&again, 0).await.unwrap().len(), 100, "99 of /a and /on");
}

/// Writers go on while the snapshot is made; it must be one moment of the store all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_under_writes_is_one_moment_of_the_store() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Arc::new(open(folder.path()).await);
    let stop = Arc::new(AtomicBool::new(false));
    // Both keys of a pair change in one transaction, and never alone.
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    let value = Bytes::from(format!("{count}/{}", "x".repeat(2000)));
                    let put = |side: &str| Op::Put {
                        key: format!("/{side}/{writer}/{}", count % 50).into(),
                        value: value.clone(),
                        lease: LeaseId(0),
                    };
                    let success = vec![put("left"), put("right")];
                    store.txn(Txn { success, ..Txn::default() }).await.unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    while store.status().await.unwrap().revision < Revision(300) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let mut stream = store.snapshot().unwrap();
    let revision = stream.revision();
    let mut bytes = stream.next().unwrap().to_vec();
    for piece in stream {
        bytes.extend_from_slice(&piece);
        let before = store.status().await.unwrap().revision;
        // Nobody waits for the snapshot.
        while store.status().await.unwrap().revision == before {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.unwrap() > 0);
    }
    restore(&bytes, target.path()).await.unwrap();
    let restored = open(target.path()).await;
    assert_eq!(restored.status().await.unwrap().revision, revision);
    let content = all(&restored, 0).await.unwrap();
    assert_eq!(content, all(&store, revision.0).await.unwrap());
    let side = |side: &str| -> BTreeMap<String, Bytes> {
        let text = |kv: &KeyValue| String::from_utf8(kv.key.to_vec()).unwrap();
        let kvs = content.iter().filter_map(|kv| Some((text(kv).strip_prefix(side)?.to_owned(), kv)));
        kvs.map(|(key, kv)| (key, kv.value.clone())).collect()
    };
    assert_eq!(side("/left"), side("/right"));
}

#[tokio::test]
async fn a_folder_with_a_store_is_no_place_to_restore_to() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(folder.path()).await;
    put(&store, "/a", "value", LeaseId(0)).await;
    let bytes = snapshot(&store);
    let used = restore(&bytes, folder.path()).await;
    assert!(matches!(used, Err(RestoreError::Folder(OpenError::Locked { .. }))), "{used:?}");
    restore(&bytes, target.path()).await.unwrap();
    let full = restore(&bytes, target.path()).await;
    assert!(matches!(full, Err(RestoreError::NotEmpty { .. })), "{full:?}");
}

#[tokio::test]
async fn a_restore_that_was_not_finished_is_no_store() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(folder.path()).await;
    put(&store, "/a", "value", LeaseId(0)).await;
    let mut reader = SnapshotReader::new();
    reader.push(&snapshot(&store));
    let entry = reader.next_entry().unwrap().unwrap();
    let mut begun =
        Restore::begin(&real::environment(), target.path(), reader.head().unwrap()).await.unwrap();
    begun.add(&entry).await.unwrap();
    drop(begun);
    // Nothing but an unfinished file: the folder is as good as empty.
    assert_eq!(all(&open(target.path()).await, 0).await.unwrap(), []);
}

#[tokio::test]
async fn a_closed_store_gives_no_snapshot_and_an_empty_one_does() {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(folder.path()).await;
    let bytes = snapshot(&store);
    store.close().await;
    assert!(store.snapshot().is_err());
    // It has no entry, so the head has to be asked for by reading.
    let mut reader = SnapshotReader::new();
    reader.push(&bytes);
    assert_eq!(reader.next_entry(), Ok(None));
    let head = reader.finish().unwrap();
    assert_eq!((head.revision, head.keys), (Revision(1), 0));
    restore(&bytes, target.path()).await.unwrap();
    assert_eq!(open(target.path()).await.status().await.unwrap().revision, Revision(1));
    let mut cut = SnapshotReader::new();
    cut.push(&bytes[..bytes.len() - 8]);
    assert_eq!(cut.next_entry(), Ok(None));
    assert!(matches!(cut.finish(), Err(SnapshotError::Cut { .. })));
}
