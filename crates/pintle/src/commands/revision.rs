//! Raises the revision of an etcd cluster, so that no revision a client
//! remembers from the source is ever given out a second time.
//!
//! etcd has no request for it (`etcdutl snapshot restore --bump-revision` is
//! for members that are down), but every write takes one revision.

use anyhow::bail;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use meta::Revision;
use storage::Backend;
use storage::backend::{BackendError, LeaseId, Op, RangeRequest, Txn};
use storage_etcd::EtcdBackend;

use super::progress::Progress;

/// Written again and again, then deleted. Outside of every API server's prefix.
const SCRATCH: &str = "pintle-copy-revision";
/// Writes that wait for an answer at a time.
const CONCURRENT: usize = 256;
/// Revisions after which etcd may forget the scratch writes, so that they do not fill its quota.
const COMPACT_EVERY: u64 = 100_000;
/// Most revisions that are raised by writing; some minutes of etcd's time.
const GAP_MAX: u64 = 5_000_000;

/// Current revision of a cluster.
pub async fn current(backend: &EtcdBackend) -> Result<Revision, BackendError> {
    let request = RangeRequest { key: SCRATCH.into(), count_only: true, ..RangeRequest::default() };
    Ok(backend.range(request).await?.revision)
}

/// Writes until the cluster's revision is at least `wanted`.
pub async fn raise(backend: &EtcdBackend, wanted: Revision) -> anyhow::Result<()> {
    let mut now = current(backend).await?;
    if now >= wanted {
        return Ok(());
    }
    let gap = wanted.0 - now.0;
    if gap > GAP_MAX {
        bail!(
            "the source is at revision {wanted}, etcd at {now}, and {gap} revisions are too many to be raised by writing: save a snapshot of the etcd with etcdctl, restore it with `etcdutl snapshot restore --bump-revision {gap} --mark-compacted`, and copy again; or copy with --keep-revision and restart every client"
        );
    }
    let mut progress = Progress::new("raising the revision", "revisions", gap);
    while now < wanted {
        let count = (wanted.0 - now.0).min(COMPACT_EVERY);
        let writes = stream::iter(0..count).map(|_| async { backend.txn(scratch(false)).await });
        writes
            .buffer_unordered(CONCURRENT)
            .try_for_each(|_| {
                progress.add(1);
                futures::future::ready(Ok(()))
            })
            .await?;
        now = current(backend).await?;
        compact(backend, now).await?;
    }
    backend.txn(scratch(true)).await?;
    Ok(())
}

/// Compacts; that somebody else was first is as good.
pub async fn compact(backend: &EtcdBackend, revision: Revision) -> Result<(), BackendError> {
    match backend.compact(revision).await {
        Err(BackendError::Compacted { .. }) => Ok(()),
        other => other,
    }
}

fn scratch(delete: bool) -> Txn {
    let key = Bytes::from_static(SCRATCH.as_bytes());
    let op = match delete {
        true => Op::Delete { key },
        false => Op::Put { key, value: Bytes::new(), lease: LeaseId(0) },
    };
    Txn { success: vec![op], ..Txn::default() }
}
