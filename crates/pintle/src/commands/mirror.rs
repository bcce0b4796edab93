//! Makes a prefix of etcd equal to a source: both are walked in key order, and
//! what differs is written or deleted.
//!
//! That makes it resumable by nature: run again, it writes what is missing.
//! A key outside the prefix remembers while a copy is unfinished, so that a
//! target which is not empty is known as our own.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use meta::Revision;
use storage::Backend;
use storage::backend::{
    BackendError, Compare, KeyValue, LeaseId, Op, RangeRequest, Txn, TxnResponse, prefix_end,
};

use super::live_keys::{EtcdKeys, LiveKeys};
use super::place::EtcdPlace;
use super::progress::Progress;
use super::revision;
use super::tally::Tally;

/// There while a copy is unfinished; holds which.
const MARK: &str = "pintle-copy";
/// Writes that wait for an answer at a time.
const CONCURRENT: usize = 64;

/// What a copy is, as the mark in the target tells it.
pub struct Copy<'a> {
    /// The source, in words that are the same when the copy is run again.
    pub source: &'a str,
    /// Revision of the source.
    pub revision: Revision,
    /// About how many keys it has.
    pub keys: u64,
    /// Whether what is in the target may be overwritten and deleted.
    pub replace: bool,
    /// Leaves the target's revision where it is.
    pub keep_revision: bool,
}

/// What was done.
pub struct Mirrored {
    /// The sums of source and target, which are equal.
    pub tally: Tally,
    /// Keys that had to be written or deleted.
    pub changed: u64,
    /// The target's revision now.
    pub revision: Revision,
}

/// Copies; compares both sides before it returns.
pub async fn mirror(
    source: &mut dyn LiveKeys,
    target: &EtcdPlace,
    copy: &Copy<'_>,
) -> anyhow::Result<Mirrored> {
    let backend = &target.backend;
    take(target, copy).await?;
    if !copy.keep_revision {
        // Before the first key is written: a key whose revision equals one that a client
        // remembers would let that client overwrite what it has never seen.
        revision::raise(backend, copy.revision).await?;
    }
    let at = revision::current(backend).await?;
    let existing = EtcdKeys::new(backend, &target.prefix, at, None);
    let (tally, changed) = Mirror::new(target, source, existing, copy.keys).run().await?;
    let revision = revision::current(backend).await?;
    let found = sums(target, revision).await?;
    let differences = tally.differences(&found, false);
    if !differences.is_empty() {
        bail!("source and target differ in {}: does somebody write to one of them?", differences.join(", "));
    }
    // Whoever watches from an older revision is told to list again.
    revision::compact(backend, revision).await?;
    let mark = Op::Delete { key: MARK.into() };
    backend.txn(Txn { success: vec![mark], ..Txn::default() }).await?;
    Ok(Mirrored { tally, changed, revision })
}

/// Refuses a target that holds something else, and marks it as ours.
async fn take(target: &EtcdPlace, copy: &Copy<'_>) -> anyhow::Result<()> {
    let ours = Bytes::from(format!("{} to {}", copy.source, target.prefix));
    let backend = &target.backend;
    let mark = backend.range(RangeRequest { key: MARK.into(), ..RangeRequest::default() }).await?;
    if mark.kvs.first().is_some_and(|mark| mark.value == ours) {
        return Ok(());
    }
    let key = Bytes::copy_from_slice(target.prefix.as_bytes());
    let end = prefix_end(&key);
    let count =
        backend.range(RangeRequest { key, end, count_only: true, ..RangeRequest::default() }).await?.count;
    if count > 0 && !copy.replace {
        let unfinished = match mark.kvs.first() {
            Some(mark) => format!(", from an unfinished copy of {}", String::from_utf8_lossy(&mark.value)),
            None => String::new(),
        };
        bail!(
            "etcd has {count} keys below {} already{unfinished}: copy to an empty one, or --replace what is there",
            target.prefix
        );
    }
    let put = Op::Put { key: MARK.into(), value: ours, lease: LeaseId(0) };
    backend.txn(Txn { success: vec![put], ..Txn::default() }).await?;
    Ok(())
}

async fn sums(target: &EtcdPlace, revision: Revision) -> anyhow::Result<Tally> {
    let mut tally = Tally::new(&target.prefix);
    let mut keys = EtcdKeys::new(&target.backend, &target.prefix, revision, None);
    let mut progress = Progress::new("comparing", "keys", 0);
    loop {
        let page = keys.next_page().await?;
        if page.is_empty() {
            return Ok(tally);
        }
        progress.add(page.len() as u64);
        page.iter().for_each(|kv| tally.add(kv));
    }
}

struct Mirror<'a> {
    target: &'a EtcdPlace,
    source: &'a mut dyn LiveKeys,
    existing: EtcdKeys<'a>,
    /// Leases made in the target, by the source's; none for one that has ended.
    leases: BTreeMap<LeaseId, Option<LeaseId>>,
    progress: Progress,
}

impl<'a> Mirror<'a> {
    fn new(
        target: &'a EtcdPlace,
        source: &'a mut dyn LiveKeys,
        existing: EtcdKeys<'a>,
        keys: u64,
    ) -> Mirror<'a> {
        let progress = Progress::new("copying", "keys", keys);
        Mirror { target, source, existing, leases: BTreeMap::new(), progress }
    }

    async fn run(mut self) -> anyhow::Result<(Tally, u64)> {
        let mut tally = Tally::new(&self.target.prefix);
        let mut writes = FuturesUnordered::new();
        let (mut wanted, mut there) = (self.source.next().await?, self.existing.next().await?);
        let mut changed = 0;
        loop {
            let order = match (&wanted, &there) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(wanted), Some(there)) => wanted.key.cmp(&there.key),
            };
            let txn = match order {
                // Only the target has it.
                std::cmp::Ordering::Greater => there.as_ref().map(delete),
                std::cmp::Ordering::Less => self.put(wanted.as_ref(), None).await?,
                std::cmp::Ordering::Equal => self.put(wanted.as_ref(), there.as_ref()).await?,
            };
            if let Some(txn) = txn {
                changed += 1;
                writes.push(self.target.backend.txn(txn));
                if writes.len() >= CONCURRENT {
                    check(writes.next().await)?;
                }
            }
            if order.is_le() {
                if let Some(kv) = &wanted {
                    tally.add(kv);
                }
                self.progress.add(1);
                wanted = self.source.next().await?;
            }
            if order.is_ge() {
                there = self.existing.next().await?;
            }
        }
        while let Some(written) = writes.next().await {
            check(Some(written))?;
        }
        Ok((tally, changed))
    }

    /// What makes the target's key equal to the source's; none if it is.
    async fn put(
        &mut self,
        wanted: Option<&KeyValue>,
        there: Option<&KeyValue>,
    ) -> anyhow::Result<Option<Txn>> {
        let Some(wanted) = wanted else { return Ok(None) };
        let same = there.is_some_and(|there| {
            there.value == wanted.value && (there.lease == LeaseId(0)) == (wanted.lease == LeaseId(0))
        });
        if same {
            return Ok(None);
        }
        let lease = match wanted.lease {
            LeaseId(0) => LeaseId(0),
            lease => match self.lease(lease).await? {
                Some(lease) => lease,
                // It has ended meanwhile, and so would the key.
                None => return Ok(there.map(delete)),
            },
        };
        let (key, value) = (wanted.key.clone(), wanted.value.clone());
        let before = there.map_or(Revision(0), |there| there.mod_revision);
        Ok(Some(Txn {
            compare: vec![Compare::ModRevision(key.clone(), before)],
            success: vec![Op::Put { key, value, lease }],
            failure: Vec::new(),
        }))
    }

    async fn lease(&mut self, lease: LeaseId) -> anyhow::Result<Option<LeaseId>> {
        if let Some(known) = self.leases.get(&lease) {
            return Ok(*known);
        }
        let made = match self.source.lease_seconds(lease).await? {
            Some(seconds) => Some(self.target.backend.lease_grant(seconds.max(1)).await?),
            None => None,
        };
        self.leases.insert(lease, made);
        Ok(made)
    }
}

fn delete(there: &KeyValue) -> Txn {
    Txn {
        compare: vec![Compare::ModRevision(there.key.clone(), there.mod_revision)],
        success: vec![Op::Delete { key: there.key.clone() }],
        failure: Vec::new(),
    }
}

fn check(written: Option<Result<TxnResponse, BackendError>>) -> anyhow::Result<()> {
    let Some(written) = written else { return Ok(()) };
    let response = written.context("a write to the target failed; run the command again to go on")?;
    if !response.succeeded {
        bail!("somebody else writes to the target: stop the servers that use it, and run the command again");
    }
    Ok(())
}
