//! From etcd into a data folder, with the revisions of etcd.
//!
//! What was read so far lies beside the store as an unfinished snapshot, pinned
//! to one revision of etcd. Run again, the copy goes on behind its last whole
//! frame, or begins anew if etcd has compacted that revision meanwhile.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use environment::Environment;
use meta::Revision;
use storage::Backend;
use storage::backend::{BackendError, KeyValue, LeaseId, RangeRequest, prefix_end};
use storage_embedded::{SnapshotEntry, SnapshotHead, SnapshotReader, SnapshotWriter};

use super::live_keys::EtcdKeys;
use super::new_store::NewStore;
use super::place::EtcdPlace;
use super::progress::Progress;
use super::say;
use super::snapshot::restore_into;
use super::source::Bytestream;
use super::tally::Tally;

/// Times a copy begins anew because etcd compacted under it. etcd keeps five minutes by default.
const ATTEMPTS_MAX: usize = 5;

/// Copies everything below the prefix.
pub async fn copy(
    environment: &Environment,
    source: &EtcdPlace,
    folder: &Path,
    replace: bool,
) -> anyhow::Result<()> {
    let place = NewStore::begin(environment, folder, replace).await?;
    let files = Files::below(folder);
    files.claim(source)?;
    let mut attempts = 1;
    while let Err(error) = fetch(environment, source, &files.snapshot).await {
        let compacted = matches!(error.downcast_ref(), Some(BackendError::Compacted { .. }));
        if !compacted || attempts == ATTEMPTS_MAX {
            return Err(error.context("the copy is not finished; run the command again to go on"));
        }
        say("etcd has compacted the revision that was being copied: beginning anew at its newest one");
        fs::remove_file(&files.snapshot)?;
        attempts += 1;
    }
    let bytes = Bytestream::of_file(&files.snapshot)?;
    restore_into(place, bytes, folder, &source.prefix, Some(source)).await?;
    files.remove()
}

/// Sums of etcd at a revision; none if it was compacted.
pub async fn sums(source: &EtcdPlace, revision: Revision) -> anyhow::Result<Option<Tally>> {
    let mut tally = Tally::new(&source.prefix);
    let mut keys = EtcdKeys::new(&source.backend, &source.prefix, revision, None);
    loop {
        match keys.next_page().await {
            Ok(page) if page.is_empty() => return Ok(Some(tally)),
            Ok(page) => page.iter().for_each(|kv| tally.add(kv)),
            Err(BackendError::Compacted { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// What lies in the data folder while a copy is unfinished.
struct Files {
    /// What was read so far.
    snapshot: PathBuf,
    /// Where from.
    claim: PathBuf,
}

impl Files {
    fn below(folder: &Path) -> Files {
        Files { snapshot: folder.join("copy.unfinished"), claim: folder.join("copy.source") }
    }

    /// Forgets what was read from elsewhere.
    fn claim(&self, source: &EtcdPlace) -> anyhow::Result<()> {
        let ours = format!("etcd cluster {:x}, prefix {}\n", source.cluster, source.prefix);
        if fs::read_to_string(&self.claim).is_ok_and(|claim| claim == ours) {
            return Ok(());
        }
        if self.snapshot.exists() {
            say("an unfinished copy from elsewhere is thrown away");
            fs::remove_file(&self.snapshot)?;
        }
        fs::write(&self.claim, ours).with_context(|| format!("cannot write {}", self.claim.display()))
    }

    fn remove(&self) -> anyhow::Result<()> {
        fs::remove_file(&self.snapshot)?;
        Ok(fs::remove_file(&self.claim)?)
    }
}

/// Completes the unfinished snapshot at `path`.
async fn fetch(environment: &Environment, source: &EtcdPlace, path: &Path) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let mut fetch = match Fetch::resume(source, file)? {
        Resumed::Complete => return Ok(()),
        Resumed::Unfinished(fetch) => *fetch,
        Resumed::Nothing(file) => Fetch::begin(environment, source, file).await?,
    };
    loop {
        let page = fetch.keys.next_page().await?;
        if page.is_empty() {
            return fetch.finish();
        }
        fetch.add(page).await?;
    }
}

struct Fetch<'a> {
    source: &'a EtcdPlace,
    file: File,
    writer: SnapshotWriter,
    keys: EtcdKeys<'a>,
    leases: BTreeSet<LeaseId>,
    progress: Progress,
}

enum Resumed<'a> {
    Nothing(File),
    Unfinished(Box<Fetch<'a>>),
    Complete,
}

impl<'a> Fetch<'a> {
    async fn begin(
        environment: &Environment,
        source: &'a EtcdPlace,
        mut file: File,
    ) -> anyhow::Result<Fetch<'a>> {
        let key = Bytes::copy_from_slice(source.prefix.as_bytes());
        let end = prefix_end(&key);
        let request = RangeRequest { key, end, count_only: true, ..RangeRequest::default() };
        let now = source.backend.range(request).await?;
        if now.count == 0 {
            bail!("etcd has no keys below {}: is --etcd-prefix what its servers use?", source.prefix);
        }
        // Nothing older can be read from the copy, and who asks for it must be told so.
        let head = SnapshotHead { revision: now.revision, compacted: now.revision, keys: now.count };
        let (writer, first) = SnapshotWriter::new(&head, environment.random.u64());
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&first)?;
        Ok(Fetch {
            source,
            file,
            writer,
            keys: EtcdKeys::new(&source.backend, &source.prefix, now.revision, None),
            leases: BTreeSet::new(),
            progress: Progress::new("copying", "keys", now.count),
        })
    }

    /// Reads what is there; whatever is not whole counts as nothing.
    fn resume(source: &'a EtcdPlace, mut file: File) -> anyhow::Result<Resumed<'a>> {
        let mut reader = SnapshotReader::new();
        let (mut leases, mut last, mut done) = (BTreeSet::new(), None, 0);
        let mut piece = Vec::new();
        loop {
            piece.clear();
            Read::by_ref(&mut file).take(1 << 20).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            reader.push(&piece);
            loop {
                match reader.next_entry() {
                    Ok(Some(SnapshotEntry::Lease { lease, .. })) => drop(leases.insert(lease)),
                    Ok(Some(SnapshotEntry::Version(kv))) => {
                        last = Some(kv.key);
                        done += 1;
                    }
                    Ok(None) => break,
                    Err(_) => return Ok(Resumed::Nothing(file)),
                }
            }
        }
        if reader.is_complete() {
            return Ok(Resumed::Complete);
        }
        let (Some(head), Some(last)) = (reader.head(), last) else { return Ok(Resumed::Nothing(file)) };
        file.set_len(reader.whole_bytes())?;
        file.seek(SeekFrom::End(0))?;
        let mut progress = Progress::new("copying", "keys", head.keys);
        progress.add(done);
        say(&format!("going on with {done} of {} keys at revision {}", head.keys, head.revision));
        Ok(Resumed::Unfinished(Box::new(Fetch {
            source,
            file,
            writer: SnapshotWriter::resume(&reader),
            keys: EtcdKeys::new(&source.backend, &source.prefix, head.revision, Some(&last)),
            leases,
            progress,
        })))
    }

    async fn add(&mut self, page: Vec<KeyValue>) -> anyhow::Result<()> {
        let count = page.len() as u64;
        for kv in page {
            if !self.lease(kv.lease).await? {
                continue;
            }
            self.writer.add(&SnapshotEntry::Version(kv));
            if self.writer.is_full() {
                self.file.write_all(&self.writer.cut())?;
            }
        }
        self.file.write_all(&self.writer.cut())?;
        self.progress.add(count);
        Ok(())
    }

    /// Adds a lease the first time it is met; false if it has ended, and its keys with it.
    async fn lease(&mut self, lease: LeaseId) -> anyhow::Result<bool> {
        if lease == LeaseId(0) || self.leases.contains(&lease) {
            return Ok(true);
        }
        let Some(ttl_seconds) = self.source.backend.lease_seconds_left(lease).await? else {
            return Ok(false);
        };
        self.writer.add(&SnapshotEntry::Lease { lease, ttl_seconds: ttl_seconds.max(1) });
        self.leases.insert(lease);
        Ok(true)
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.file.write_all(&self.writer.finish())?;
        Ok(self.file.sync_all()?)
    }
}
