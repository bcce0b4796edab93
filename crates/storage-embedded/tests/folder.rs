//! The store on real files: what survives a reopen, what is refused, what is reported.

#![allow(clippy::unwrap_used, reason = "a file of tests: what is wrong must panic")]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use environment::real;
use meta::Revision;
use storage::backend::{
    Backend, BackendError, Compare, KeyValue, LeaseId, Op, RangeRequest, Txn, TxnResponse, WatchRequest,
};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions, OpenError, repair};

async fn open(folder: &Path) -> EmbeddedBackend {
    try_open(folder).await.expect("the folder opens")
}

async fn try_open(folder: &Path) -> Result<EmbeddedBackend, OpenError> {
    EmbeddedBackend::open(real::environment(), folder, EmbeddedOptions::default()).await
}

/// Small files, so that a few writes make many.
async fn open_small(folder: &Path) -> EmbeddedBackend {
    let options = EmbeddedOptions {
        segment_bytes: 4 << 10,
        checkpoint_log_bytes_min: 16 << 10,
        ..EmbeddedOptions::default()
    };
    EmbeddedBackend::open(real::environment(), folder, options).await.expect("the folder opens")
}

fn put(key: &str, value: &[u8], lease: LeaseId) -> Txn {
    let put =
        Op::Put { key: Bytes::copy_from_slice(key.as_bytes()), value: Bytes::copy_from_slice(value), lease };
    Txn { success: vec![put], ..Txn::default() }
}

async fn set(store: &EmbeddedBackend, key: &str, value: &[u8]) -> Revision {
    store.txn(put(key, value, LeaseId(0))).await.expect("the write succeeds").revision
}

async fn remove(store: &EmbeddedBackend, key: &str) -> TxnResponse {
    let delete = Op::Delete { key: Bytes::copy_from_slice(key.as_bytes()) };
    store.txn(Txn { success: vec![delete], ..Txn::default() }).await.expect("the delete succeeds")
}

async fn all(store: &EmbeddedBackend, revision: u64) -> Result<Vec<KeyValue>, BackendError> {
    let request = RangeRequest {
        key: Bytes::from_static(b"\0"),
        end: Some(Bytes::from_static(b"\xff")),
        revision: Revision(revision),
        ..RangeRequest::default()
    };
    store.range(request).await.map(|response| response.kvs)
}

/// Everything that can be seen: each revision's content, and all events.
async fn history(store: &EmbeddedBackend) -> (Vec<Vec<KeyValue>>, Vec<String>) {
    let status = store.status().await.unwrap();
    let mut contents = Vec::new();
    for revision in status.compacted.0.max(1)..=status.revision.0 {
        contents.push(all(store, revision).await.unwrap());
    }
    let request = WatchRequest {
        key: Bytes::from_static(b"\0"),
        end: Some(Bytes::from_static(b"\xff")),
        start: Revision(status.compacted.0 + 1),
        previous: true,
        progress: false,
    };
    let mut watch = store.watch(request).await.unwrap();
    store.request_progress().await.unwrap();
    let mut events = Vec::new();
    loop {
        let batch = watch.next().await.unwrap().unwrap();
        if batch.events.is_empty() {
            return (contents, events);
        }
        events.extend(batch.events.iter().map(|event| format!("{event:?}")));
    }
}

async fn some_writes(store: &EmbeddedBackend) {
    for round in 0..20_u8 {
        for key in ["/a", "/b", "/c"] {
            set(store, key, &[round; 100]).await;
        }
        remove(store, "/b").await;
    }
}

fn files(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_reopened_store_has_the_same_content_history_and_revision() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    some_writes(&store).await;
    let before = history(&store).await;
    store.close().await;
    let store = open(folder.path()).await;
    assert_eq!(history(&store).await, before);
    assert_eq!(set(&store, "/a", b"on").await, Revision(82));
}

#[tokio::test]
async fn segments_and_checkpoints_change_nothing_that_can_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    let plain = tempfile::tempdir().unwrap();
    let (store, reference) = (open_small(folder.path()).await, open(plain.path()).await);
    for _ in 0..10 {
        some_writes(&store).await;
        some_writes(&reference).await;
    }
    let expected = history(&reference).await;
    assert_eq!(history(&store).await, expected);
    store.close().await;
    assert!(!files(folder.path(), "checkpoint-").is_empty(), "so much log makes a checkpoint");
    let store = open_small(folder.path()).await;
    assert_eq!(history(&store).await, expected);
    store.close().await;
}

#[tokio::test]
async fn compaction_survives_a_reopen_and_keeps_what_is_current() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_small(folder.path()).await;
    some_writes(&store).await;
    let current = all(&store, 0).await.unwrap();
    let at_40 = all(&store, 40).await.unwrap();
    store.compact(Revision(40)).await.unwrap();
    assert_eq!(store.compact(Revision(40)).await, Err(BackendError::Compacted { compacted: Revision(40) }));
    assert_eq!(all(&store, 39).await, Err(BackendError::Compacted { compacted: Revision(40) }));
    for _ in 0..10 {
        some_writes(&store).await;
        store.compact(store.status().await.unwrap().revision).await.unwrap();
    }
    let compacted = store.status().await.unwrap().compacted.0;
    let (last, revision) = (all(&store, 0).await.unwrap(), store.status().await.unwrap().revision.0);
    store.close().await;
    let store = open_small(folder.path()).await;
    assert_eq!(store.status().await.unwrap().compacted.0, compacted);
    assert_eq!((all(&store, 0).await.unwrap(), all(&store, compacted).await.unwrap()), (last.clone(), last));
    assert_eq!(store.status().await.unwrap().revision.0, revision);
    assert_eq!(current.len(), 2);
    assert!(!at_40.is_empty());
}

#[tokio::test]
async fn concurrent_compare_and_swap_loses_no_increment() {
    let folder = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(open(folder.path()).await);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    increment(&store).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let kvs = all(&store, 0).await.unwrap();
    assert_eq!((kvs[0].value.as_ref(), kvs[0].version), (&b"200"[..], 200));
}

async fn increment(store: &EmbeddedBackend) {
    let key = Bytes::from_static(b"/counter");
    let get = || Op::Get { key: key.clone() };
    let mut current =
        store.txn(Txn { success: vec![get()], ..Txn::default() }).await.unwrap().gets.pop().flatten();
    loop {
        let (revision, count) = match &current {
            Some(kv) => (kv.mod_revision, std::str::from_utf8(&kv.value).unwrap().parse::<u32>().unwrap()),
            None => (Revision(0), 0),
        };
        let value = Bytes::from((count + 1).to_string());
        let txn = Txn {
            compare: vec![Compare::ModRevision(key.clone(), revision)],
            success: vec![Op::Put { key: key.clone(), value, lease: LeaseId(0) }],
            failure: vec![get()],
        };
        let response = store.txn(txn).await.unwrap();
        if response.succeeded {
            return;
        }
        current = response.gets.into_iter().next().flatten();
    }
}

#[tokio::test]
async fn a_lease_and_its_keys_survive_a_reopen_and_end_together() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let lease = store.lease_grant(100).await.unwrap();
    store.txn(put("/a", b"x", lease)).await.unwrap();
    store.close().await;
    let store = open(folder.path()).await;
    assert_eq!(all(&store, 0).await.unwrap()[0].lease, lease);
    store.lease_revoke(lease).await.unwrap();
    assert!(all(&store, 0).await.unwrap().is_empty());
    assert_eq!(store.lease_revoke(lease).await, Err(BackendError::LeaseNotFound));
    assert_eq!(store.txn(put("/a", b"x", lease)).await.unwrap_err(), BackendError::LeaseNotFound);
}

#[tokio::test]
async fn too_large_requests_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let error = store.txn(put("/a", &vec![0; 2 << 20], LeaseId(0))).await.unwrap_err();
    assert_eq!(error, BackendError::TooLarge);
    assert_eq!(store.status().await.unwrap().revision, Revision(1));
}

#[tokio::test]
async fn a_folder_in_use_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let error = try_open(folder.path()).await.err().unwrap();
    assert!(matches!(&error, OpenError::Locked { folder: named } if named == folder.path()), "{error}");
    store.close().await;
    assert!(try_open(folder.path()).await.is_ok());
}

#[tokio::test]
async fn a_newer_format_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("FORMAT"), "pintle embedded store, format 9\n").unwrap();
    let error = try_open(folder.path()).await.err().unwrap();
    assert!(matches!(error, OpenError::NewerFormat { found: 9, supported: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_path_that_cannot_be_a_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "x").unwrap();
    let error = try_open(&path).await.err().unwrap().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn everything_after_the_close_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    set(&store, "/a", b"x").await;
    store.close().await;
    let error = store.txn(put("/a", b"y", LeaseId(0))).await.unwrap_err();
    assert!(matches!(error, BackendError::Unavailable(_)), "{error}");
    let error = all(&store, 0).await.unwrap_err();
    assert!(matches!(error, BackendError::Unavailable(_)), "{error}");
}

/// A folder with `count` writes, each a frame of its own, and where the frames are.
async fn written(folder: &Path, count: usize) -> (PathBuf, Vec<usize>) {
    let store = open(folder).await;
    for _ in 0..count {
        set(&store, "/a", b"0123456789").await;
    }
    store.close().await;
    let path = files(folder, "log-").pop().unwrap();
    let content = fs::read(&path).unwrap();
    let frames = (0..content.len()).filter(|&at| content[at..].starts_with(b"PFrm")).collect();
    (path, frames)
}

#[tokio::test]
async fn a_torn_last_write_is_cut_and_the_rest_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (path, frames) = written(folder.path(), 3).await;
    let store = open(folder.path()).await;
    let last = frames[2] + 72;
    set(&store, "/b", &[7; 3000]).await;
    store.close().await;
    let whole = fs::read(&path).unwrap();
    assert!(whole[last..].starts_with(b"PFrm"));
    // The crash let every sector through but one.
    for sector in [0, 512, 1024, 3072] {
        let mut content = whole.clone();
        content[sector.max(last)..sector + 512].fill(0);
        fs::write(&path, content).unwrap();
        let store = open(folder.path()).await;
        assert_eq!(store.status().await.unwrap().revision, Revision(4), "without the sector at {sector}");
        assert_eq!(set(&store, "/a", b"again").await, Revision(5));
        store.close().await;
        assert_eq!(open(folder.path()).await.status().await.unwrap().revision, Revision(5));
    }
}

/// All of it arrived, so it was acknowledged: to cut it would be to lose it in silence.
#[tokio::test]
async fn a_flipped_bit_in_the_last_write_is_refused_and_can_be_repaired() {
    for byte in [0, 6, 22, 30, 50] {
        let folder = tempfile::tempdir().unwrap();
        let (path, frames) = written(folder.path(), 3).await;
        let mut content = fs::read(&path).unwrap();
        content[frames[2] + byte] ^= 1;
        fs::write(&path, &content).unwrap();
        let error = try_open(folder.path()).await.err().unwrap();
        assert!(
            matches!(&error, OpenError::Damaged { offset, .. } if *offset == frames[2] as u64),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), content);
        let repaired = repair(&real::environment(), folder.path()).await.unwrap();
        assert_eq!((repaired.revision, repaired.set_aside.len()), (Revision(3), 1));
        assert_eq!(open(folder.path()).await.status().await.unwrap().revision, Revision(3));
    }
}

#[tokio::test]
async fn damage_before_the_last_write_is_refused_and_nothing_is_changed() {
    for byte in [0, 6, 30] {
        let folder = tempfile::tempdir().unwrap();
        let (path, frames) = written(folder.path(), 3).await;
        let mut content = fs::read(&path).unwrap();
        content[frames[1] + byte] ^= 1;
        fs::write(&path, &content).unwrap();
        let error = try_open(folder.path()).await.err().unwrap();
        let at = matches!(&error, OpenError::Damaged { path: named, offset, .. }
            if *named == path && *offset == frames[1] as u64);
        assert!(at, "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn a_log_image_inside_a_value_is_not_taken_for_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (image, _) = written(other.path(), 9).await;
    let image = fs::read(image).unwrap()[..4096].to_vec();
    let store = open(folder.path()).await;
    set(&store, "/a", b"kept").await;
    set(&store, "/a", &image).await;
    store.close().await;
    let path = files(folder.path(), "log-").pop().unwrap();
    let mut content = fs::read(&path).unwrap();
    let frames: Vec<usize> = (0..content.len()).filter(|&at| content[at..].starts_with(b"PFrm")).collect();
    content[frames[1] + 30] ^= 1;
    fs::write(&path, content).unwrap();
    assert_eq!(open(folder.path()).await.status().await.unwrap().revision, Revision(2));
}

#[tokio::test]
async fn a_missing_segment_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { segment_bytes: 1 << 10, ..EmbeddedOptions::default() };
    let store = EmbeddedBackend::open(real::environment(), folder.path(), options).await.unwrap();
    some_writes(&store).await;
    store.close().await;
    let segments = files(folder.path(), "log-");
    assert!(segments.len() > 3);
    fs::remove_file(&segments[1]).unwrap();
    let error = try_open(folder.path()).await.err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn repair_keeps_what_is_before_the_damage_and_sets_the_rest_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (path, frames) = written(folder.path(), 5).await;
    let mut content = fs::read(&path).unwrap();
    content[frames[2] + 30] ^= 1;
    fs::write(&path, &content).unwrap();
    let repaired = repair(&real::environment(), folder.path()).await.unwrap();
    assert_eq!(repaired.revision, Revision(3));
    assert_eq!(fs::read(&repaired.set_aside[0]).unwrap(), content[frames[2]..]);
    let store = open(folder.path()).await;
    assert_eq!(set(&store, "/a", b"on").await, Revision(4));
}

#[tokio::test]
async fn repair_of_a_missing_segment_sets_the_later_ones_aside() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { segment_bytes: 1 << 10, ..EmbeddedOptions::default() };
    let store = EmbeddedBackend::open(real::environment(), folder.path(), options).await.unwrap();
    some_writes(&store).await;
    store.close().await;
    let segments = files(folder.path(), "log-");
    fs::remove_file(&segments[1]).unwrap();
    let repaired = repair(&real::environment(), folder.path()).await.unwrap();
    assert_eq!(repaired.set_aside.len(), segments.len() - 2);
    let store = open(folder.path()).await;
    assert_eq!(store.status().await.unwrap().revision, repaired.revision);
    set(&store, "/a", b"on").await;
}

#[tokio::test]
async fn repair_of_a_log_behind_a_checkpoint_goes_back_to_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_small(folder.path()).await;
    for _ in 0..10 {
        some_writes(&store).await;
    }
    store.close().await;
    assert!(!files(folder.path(), "checkpoint-").is_empty());
    for segment in files(folder.path(), "log-") {
        let mut content = fs::read(&segment).unwrap();
        content[70] ^= 1;
        fs::write(&segment, content).unwrap();
    }
    assert!(matches!(try_open(folder.path()).await.err().unwrap(), OpenError::Damaged { .. }));
    repair(&real::environment(), folder.path()).await.unwrap();
    let store = open(folder.path()).await;
    let before = store.status().await.unwrap().revision;
    assert_eq!(set(&store, "/a", b"on").await.0, before.0 + 1);
    store.close().await;
    assert_eq!(open(folder.path()).await.status().await.unwrap().revision.0, before.0 + 1);
}
