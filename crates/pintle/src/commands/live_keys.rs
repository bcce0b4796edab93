//! The keys that exist at one revision of a source, in order: from a snapshot
//! or from etcd. What was before that revision does not come along.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use bytes::Bytes;
use meta::Revision;
use storage::Backend;
use storage::backend::{BackendError, KeyValue, LeaseId, RangeRequest, prefix_end};
use storage_embedded::SnapshotEntry;
use storage_etcd::EtcdBackend;

use super::source::Source;

/// Keys asked for at a time. With the largest values etcd stores, a page is some hundred MiB.
const PAGE_KEYS: usize = 256;

/// Keys in order.
#[async_trait]
pub trait LiveKeys: Send {
    /// The next key; none at the end.
    async fn next(&mut self) -> anyhow::Result<Option<KeyValue>>;

    /// Seconds that a lease of one of the keys has to live; none if it has ended.
    async fn lease_seconds(&mut self, lease: LeaseId) -> anyhow::Result<Option<i64>>;
}

/// The newest version of each key of a snapshot.
#[derive(Default)]
pub struct Newest(Option<KeyValue>);

impl Newest {
    /// Takes the next entry; returns the key before it, if that is complete and exists.
    pub fn next(&mut self, entry: SnapshotEntry) -> Option<KeyValue> {
        let SnapshotEntry::Version(kv) = entry else { return None };
        let same = self.0.as_ref().is_some_and(|newest| newest.key == kv.key);
        self.0.replace(kv).filter(|before| !same && before.version != 0)
    }

    /// The last key, if it exists.
    pub fn last(&mut self) -> Option<KeyValue> {
        self.0.take().filter(|last| last.version != 0)
    }
}

/// The keys of a snapshot below a prefix.
pub struct SnapshotKeys {
    source: Source,
    newest: Newest,
    prefix: String,
    leases: BTreeMap<LeaseId, i64>,
}

impl SnapshotKeys {
    /// Begins with a snapshot of which nothing but the head was read.
    pub fn new(source: Source, prefix: &str) -> SnapshotKeys {
        SnapshotKeys { source, newest: Newest::default(), prefix: prefix.to_owned(), leases: BTreeMap::new() }
    }
}

#[async_trait]
impl LiveKeys for SnapshotKeys {
    async fn next(&mut self) -> anyhow::Result<Option<KeyValue>> {
        loop {
            let Some(entry) = self.source.next().await? else {
                return Ok(self.newest.last().filter(|kv| kv.key.starts_with(self.prefix.as_bytes())));
            };
            if let SnapshotEntry::Lease { lease, ttl_seconds } = entry {
                self.leases.insert(lease, ttl_seconds);
            }
            let before = self.newest.next(entry);
            if let Some(kv) = before.filter(|kv| kv.key.starts_with(self.prefix.as_bytes())) {
                return Ok(Some(kv));
            }
        }
    }

    async fn lease_seconds(&mut self, lease: LeaseId) -> anyhow::Result<Option<i64>> {
        Ok(self.leases.get(&lease).copied())
    }
}

/// The keys of etcd below a prefix, at one revision.
pub struct EtcdKeys<'a> {
    backend: &'a EtcdBackend,
    request: Option<RangeRequest>,
    page: VecDeque<KeyValue>,
    leases: BTreeMap<LeaseId, Option<i64>>,
}

impl<'a> EtcdKeys<'a> {
    /// Begins behind `after`, or at the start of the prefix.
    pub fn new(
        backend: &'a EtcdBackend,
        prefix: &str,
        revision: Revision,
        after: Option<&[u8]>,
    ) -> EtcdKeys<'a> {
        let key = match after {
            Some(after) => [after, b"\0"].concat().into(),
            None => Bytes::copy_from_slice(prefix.as_bytes()),
        };
        let end = prefix_end(prefix.as_bytes());
        let request = RangeRequest { key, end, revision, limit: PAGE_KEYS, ..RangeRequest::default() };
        EtcdKeys { backend, request: Some(request), page: VecDeque::new(), leases: BTreeMap::new() }
    }

    /// The rest of the page at hand, or the next page; empty at the end.
    pub async fn next_page(&mut self) -> Result<Vec<KeyValue>, BackendError> {
        if !self.page.is_empty() {
            return Ok(std::mem::take(&mut self.page).into());
        }
        let Some(request) = &mut self.request else { return Ok(Vec::new()) };
        let response = self.backend.range(request.clone()).await?;
        match response.kvs.last().filter(|_| response.more) {
            Some(last) => request.key = [&last.key[..], b"\0"].concat().into(),
            None => self.request = None,
        }
        Ok(response.kvs)
    }
}

#[async_trait]
impl LiveKeys for EtcdKeys<'_> {
    async fn next(&mut self) -> anyhow::Result<Option<KeyValue>> {
        if self.page.is_empty() {
            self.page = self.next_page().await?.into();
        }
        Ok(self.page.pop_front())
    }

    async fn lease_seconds(&mut self, lease: LeaseId) -> anyhow::Result<Option<i64>> {
        if let Some(known) = self.leases.get(&lease) {
            return Ok(*known);
        }
        let left = self.backend.lease_seconds_left(lease).await?;
        self.leases.insert(lease, left);
        Ok(left)
    }
}
