//! Compaction in the background: drops what nobody may read any more.
//!
//! The keys that have something to drop are those that changed up to the
//! compacted revision, and the event log knows them; so the work follows the
//! changes and not the size of the store.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use meta::Revision;

use crate::shared::Shared;

/// Revisions handled at a time. Bounds how long writers wait for the lock.
const SLICE_REVISIONS: usize = 128;

/// Drops the versions and events that a durable compaction at `revision` made unreadable.
pub(crate) async fn trim(shared: Arc<Shared>, revision: Revision) {
    loop {
        let slice = shared.events.drop_before(revision, SLICE_REVISIONS);
        if slice.is_empty() || shared.is_closed() {
            break;
        }
        trim_keys(&shared, slice.iter().flatten().map(|event| event.key.clone()).collect(), revision);
        drop(slice);
        yield_now().await;
    }
    // The compacted revision's own events stay, for a watch that starts exactly there.
    trim_keys(&shared, shared.events.keys_at(revision).into_iter().collect(), revision);
    shared.head.lock().push_trimmed();
    shared.queued.notify_one();
}

fn trim_keys(shared: &Shared, keys: BTreeSet<Bytes>, revision: Revision) {
    let mut head = shared.head.lock();
    for key in &keys {
        head.state.trim(key, revision);
    }
}

/// Lets other tasks run.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use environment::real;
    use meta::Revision;
    use storage::backend::{Backend, LeaseId, Op, Txn};

    use super::*;
    use crate::{EmbeddedBackend, EmbeddedOptions};

    #[tokio::test]
    async fn readers_and_the_event_log_let_go_of_what_was_compacted() {
        let folder = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions::default();
        let store = EmbeddedBackend::open(real::environment(), folder.path(), options).await.unwrap();
        let key = Bytes::from_static(b"a");
        for _ in 0..500 {
            let put = Op::Put { key: key.clone(), value: key.clone(), lease: LeaseId(0) };
            store.txn(Txn { success: vec![put], ..Txn::default() }).await.unwrap();
        }
        let delete = Op::Delete { key: key.clone() };
        let last = store.txn(Txn { success: vec![delete], ..Txn::default() }).await.unwrap().revision;
        let shared = store.shared.clone();
        let versions = || shared.published.load().index.get(&key).map(|entry| entry.versions().count());
        assert_eq!(versions(), Some(501));
        store.compact(Revision(last.0 - 1)).await.unwrap();
        while versions() != Some(2) {
            tokio::task::yield_now().await;
        }
        store.compact(last).await.unwrap();
        while versions().is_some() {
            tokio::task::yield_now().await;
        }
        assert!(shared.events.drop_before(Revision(last.0), usize::MAX).is_empty());
    }
}
