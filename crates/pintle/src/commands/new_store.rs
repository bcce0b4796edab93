//! A store for a data folder, made beside the one that is there and put in its
//! place when it is whole.
//!
//! ```text
//! store        locked from the beginning, so that no server starts or runs on it
//! store.new    is filled, opened and compared; then the two change names in one step
//! store-replaced-<n>   what was there before, if that was a store
//! ```
//!
//! Killed at any moment, `store` is the old one or the new one, never a part.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use environment::{DiskLock, Environment};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use storage::Backend;
use storage::backend::{RangeRequest, prefix_end};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions, Restore, SnapshotEntry, SnapshotHead};

use super::tally::Tally;
use crate::data_folder::store_below;

/// Keys read at a time when a store is read back.
const PAGE_KEYS: usize = 1000;

/// A data folder that gets a store. Nobody else can use it meanwhile.
pub struct NewStore {
    environment: Environment,
    store: PathBuf,
    new: PathBuf,
    /// A store is there that will be set aside.
    replaces: bool,
    _lock: Box<dyn DiskLock>,
}

impl NewStore {
    /// Takes the data folder. Refuses one in use, and one that has a store unless that is to be replaced.
    pub async fn begin(
        environment: &Environment,
        data_folder: &Path,
        replace: bool,
    ) -> anyhow::Result<NewStore> {
        let store = store_below(data_folder);
        let make = fs::DirBuilder::new().recursive(true).mode(0o700).create(&store);
        make.with_context(|| format!("cannot make {}", store.display()))?;
        let lock = match environment.disk.lock(&store).await {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::WouldBlock => bail!(
                "the data folder {} is in use: a server serves from it, and would write over what is restored; stop it first, or name another folder",
                data_folder.display()
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot lock {}", store.display())),
        };
        let replaces = holds_a_store(&store)?;
        if replaces && !replace {
            bail!(
                "the data folder {} has a store already: name another folder, or --replace it (it is set aside, not deleted)",
                data_folder.display()
            );
        }
        let new = store.with_added_extension("new");
        remove(&new)?;
        Ok(NewStore { environment: environment.clone(), store, new, replaces, _lock: lock })
    }

    /// Begins to fill it.
    pub async fn fill(&self, head: &SnapshotHead) -> anyhow::Result<Restore> {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&self.new)
            .with_context(|| format!("cannot make {}", self.new.display()))?;
        Ok(Restore::begin(&self.environment, &self.new, head).await?)
    }

    /// Opens what was filled and reads it back.
    pub async fn tally(&self, root: &str) -> anyhow::Result<Tally> {
        let options = EmbeddedOptions::default();
        let backend = EmbeddedBackend::open(self.environment.clone(), &self.new, options).await?;
        let mut tally = Tally::new(root);
        let mut request = RangeRequest {
            key: Bytes::from_static(b"\0"),
            end: prefix_end(b"\xfe\xff\xff\xff\xff\xff\xff\xff"),
            limit: PAGE_KEYS,
            ..RangeRequest::default()
        };
        loop {
            let page = backend.range(request.clone()).await?;
            page.kvs.iter().for_each(|kv| tally.add(kv));
            match page.kvs.last().filter(|_| page.more) {
                Some(last) => request.key = [&last.key[..], b"\0"].concat().into(),
                None => break,
            }
        }
        backend.close().await;
        Ok(tally)
    }

    /// Puts the new store in place; returns where the old one is now, if there was one.
    pub fn put_in_place(self) -> anyhow::Result<Option<PathBuf>> {
        let context = || format!("cannot put the new store in place at {}", self.store.display());
        exchange(&self.new, &self.store).with_context(context)?;
        let aside = match self.replaces {
            true => {
                let aside = free_name(&self.store);
                fs::rename(&self.new, &aside).with_context(context)?;
                Some(aside)
            }
            false => {
                remove(&self.new)?;
                None
            }
        };
        let parent = self.store.parent().unwrap_or(Path::new("."));
        fs::File::open(parent).and_then(|folder| folder.sync_all()).with_context(context)?;
        Ok(aside)
    }
}

/// Both names are there at every moment, where the file system can do that.
fn exchange(new: &Path, old: &Path) -> std::io::Result<()> {
    match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            let between = old.with_added_extension("old");
            fs::rename(old, &between)?;
            fs::rename(new, old)?;
            fs::rename(&between, new)
        }
        Err(error) => Err(error.into()),
    }
}

fn holds_a_store(store: &Path) -> anyhow::Result<bool> {
    let entries = fs::read_dir(store).with_context(|| format!("cannot read {}", store.display()))?;
    let mut names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    Ok(names.any(|name| name != "LOCK" && !name.ends_with(".unfinished")))
}

fn free_name(store: &Path) -> PathBuf {
    let name = |n: u64| PathBuf::from(format!("{}-replaced-{n}", store.display()));
    (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Fills a new store from entries and sums up the newest versions on the way.
pub struct Filling {
    restore: Restore,
    tally: Tally,
    /// The newest version of the last key so far.
    newest: Option<storage::backend::KeyValue>,
}

impl Filling {
    /// Begins.
    pub fn new(restore: Restore, root: &str) -> Filling {
        Filling { restore, tally: Tally::new(root), newest: None }
    }

    /// Adds an entry; true if it begins a new key.
    pub async fn add(&mut self, entry: SnapshotEntry) -> anyhow::Result<bool> {
        self.restore.add(&entry).await?;
        let SnapshotEntry::Version(kv) = entry else { return Ok(false) };
        let next_key = self.newest.as_ref().is_none_or(|newest| newest.key != kv.key);
        let before = self.newest.replace(kv);
        if let Some(before) = before.filter(|before| next_key && before.version != 0) {
            self.tally.add(&before);
        }
        Ok(next_key)
    }

    /// Ends; returns the sums.
    pub async fn finish(mut self) -> anyhow::Result<Tally> {
        if let Some(last) = self.newest.take().filter(|last| last.version != 0) {
            self.tally.add(&last);
        }
        self.restore.finish().await?;
        Ok(self.tally)
    }
}
