//! A disk in memory that remembers what was synced and what was not.
//!
//! Assumes of a real disk what docs/storage-format.md assumes, and nothing
//! more: what was synced stays; of what was not, any sectors may be there or
//! not; names are durable when their folder was synced, and before that in the order in which they were changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use environment::{Clock, Disk, DiskFile, DiskLock};
use parking_lot::Mutex;

use crate::executor::Executor;
use crate::random::Seeded;
use crate::trace::Trace;

/// What is written as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Longest time an operation takes, in microseconds.
const OPERATION_US_MAX: u64 = 100;
/// Longest time a sync takes, in microseconds.
const SYNC_US_MAX: u64 = 5000;

/// The disk of a simulation.
pub struct SimulatedDisk(Arc<Inner>);

struct Inner {
    random: Seeded,
    clock: Arc<Executor>,
    trace: Arc<Trace>,
    state: Mutex<State>,
}

/// What goes wrong with one operation of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has done nothing. Of a sync: what it should have made durable is lost or torn.
    Error,
    /// A write fails and has written a part.
    ShortWrite,
    /// A bit of a write is flipped on its way to the disk, which notices nothing.
    FlippedBit,
    /// The power goes: it and all later ones fail until [`Simulation::crash`](crate::Simulation::crash),
    /// and what was not synced is lost, torn or there.
    PowerLoss,
}

#[derive(Default)]
struct State {
    /// Operations that change something so far.
    changes: u64,
    /// The operation that goes wrong, counted from 1, and how.
    fault: Option<(u64, Fault)>,
    fault_happened: bool,
    power_is_off: bool,
    /// Counts crashes. Files opened before one are dead.
    generation: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    locks: BTreeSet<PathBuf>,
    failing_syncs: u64,
    failing_writes: u64,
}

struct NameChange {
    folder: PathBuf,
    removed: Option<PathBuf>,
    added: Option<(PathBuf, u64)>,
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        if let Some(removed) = &self.removed {
            names.remove(removed);
        }
        if let Some((path, file)) = &self.added {
            names.insert(path.clone(), *file);
        }
    }
}

#[derive(Default)]
struct Content {
    /// What reads see.
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => write(content, *offset, bytes),
            Change::Length(length) => content.resize(*length, 0),
        }
    }

    /// Applies what a crash in the middle left of the change.
    fn apply_torn(&self, content: &mut Vec<u8>, random: &Seeded) {
        match self {
            Change::Write { offset, bytes } => {
                let mut at = 0;
                while at < bytes.len() {
                    // Up to the next sector boundary of the disk, not of the write.
                    let end = (at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES).min(bytes.len());
                    if random.one_in(2) {
                        write(content, offset + at, &bytes[at..end]);
                    }
                    at = end;
                }
            }
            Change::Length(_) if random.one_in(2) => self.apply(content),
            Change::Length(_) => {}
        }
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

impl Content {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Makes some of what was not synced durable: nothing, all, or any sectors.
    fn lose(&mut self, random: &Seeded) {
        let mode = random.below(3);
        for change in self.unsynced.drain(..) {
            match mode {
                0 => {}
                1 => change.apply(&mut self.durable),
                _ => change.apply_torn(&mut self.durable, random),
            }
        }
    }
}

impl SimulatedDisk {
    pub(crate) fn new(random: Seeded, clock: Arc<Executor>, trace: Arc<Trace>) -> SimulatedDisk {
        SimulatedDisk(Arc::new(Inner { random, clock, trace, state: Mutex::default() }))
    }

    /// Lets the next `count` syncs of files fail. As on real systems, what they
    /// should have made durable is still read, may or may not be on the disk, and no later sync tries again.
    pub fn fail_syncs(&self, count: u64) {
        self.0.state.lock().failing_syncs = count;
    }

    /// Lets the next `count` writes fail, each having written a part.
    pub fn fail_writes(&self, count: u64) {
        self.0.state.lock().failing_writes = count;
    }

    /// Lets one operation go wrong: the one after which [`SimulatedDisk::changes`] is `change`.
    /// A fault that does not go with that operation does not happen.
    pub fn inject(&self, change: u64, fault: Fault) {
        let mut state = self.0.state.lock();
        state.fault = Some((change, fault));
        state.fault_happened = false;
    }

    /// True once the injected fault has happened.
    pub fn fault_happened(&self) -> bool {
        self.0.state.lock().fault_happened
    }

    /// How many operations that change something there were so far: writes, syncs,
    /// changes of length, new files, renames, removals and syncs of folders.
    pub fn changes(&self) -> u64 {
        self.0.state.lock().changes
    }

    /// Flips a bit of a file, as a failing disk might. Returns false if there is no such byte.
    pub fn flip_bit(&self, path: &Path, offset: u64) -> bool {
        let mut state = self.0.state.lock();
        let Some(file) = state.names.get(path).copied() else { return false };
        let Some(content) = state.files.get_mut(&file) else { return false };
        for bytes in [&mut content.seen, &mut content.durable] {
            match bytes.get_mut(offset as usize) {
                Some(byte) => *byte ^= 1,
                None => return false,
            }
        }
        true
    }

    pub(crate) fn crash(&self) {
        let Inner { random, .. } = &*self.0;
        let mut state = self.0.state.lock();
        let state = &mut *state;
        state.generation += 1;
        state.power_is_off = false;
        state.locks.clear();
        let kept = random.below(state.unsynced_names.len() as u64 + 1) as usize;
        for change in &state.unsynced_names[..kept] {
            change.apply(&mut state.durable_names);
        }
        state.unsynced_names.clear();
        state.names = state.durable_names.clone();
        let named: BTreeSet<u64> = state.names.values().copied().collect();
        state.files.retain(|file, _| named.contains(file));
        for content in state.files.values_mut() {
            content.lose(random);
            content.seen = content.durable.clone();
        }
    }
}

impl Inner {
    /// Takes time, then acts, unless the machine crashed in between.
    async fn act<T>(
        &self,
        what: &str,
        us_max: u64,
        generation: Option<u64>,
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let us = self.random.below(us_max);
        self.clock.sleep(Duration::from_micros(us)).await;
        self.trace.add(what, us);
        let mut state = self.state.lock();
        if generation.is_some_and(|generation| generation != state.generation) {
            return Err(io::Error::other("the machine crashed after this file was opened"));
        }
        act(&mut state)
    }

    /// Takes its time over an operation on names.
    async fn act_on_names<T>(
        &self,
        what: &str,
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.act(what, OPERATION_US_MAX, None, act).await
    }
}

fn failed(fault: Fault) -> io::Error {
    io::Error::other(format!("simulated {fault:?}"))
}

impl State {
    /// Counts an operation that changes something; the fault that befalls it.
    fn change(&mut self, takes: &[Fault]) -> Option<Fault> {
        if self.power_is_off {
            return Some(Fault::PowerLoss);
        }
        self.changes += 1;
        let (_, fault) = self.fault.filter(|(at, fault)| *at == self.changes && takes.contains(fault))?;
        self.fault_happened = true;
        self.power_is_off = fault == Fault::PowerLoss;
        Some(fault)
    }

    /// The same for operations that are done or not done.
    fn change_whole(&mut self) -> io::Result<()> {
        match self.change(&[Fault::Error, Fault::PowerLoss]) {
            None => Ok(()),
            Some(fault) => Err(failed(fault)),
        }
    }

    fn change_names(&mut self, path: &Path, removed: Option<&Path>, added: Option<(&Path, u64)>) {
        let change = NameChange {
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            removed: removed.map(Path::to_owned),
            added: added.map(|(path, file)| (path.to_owned(), file)),
        };
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn file(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[async_trait]
impl Disk for SimulatedDisk {
    // Folders are names' prefixes, so there is nothing to make.
    async fn create_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let list = |state: &mut State| {
            let names = state.names.keys().filter(|name| name.parent() == Some(path));
            Ok(names.filter_map(|name| name.file_name()).map(PathBuf::from).collect())
        };
        self.0.act_on_names("list", list).await
    }

    async fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let open = |state: &mut State| {
            let file = match state.file(path) {
                Err(_) if create => {
                    state.change_whole()?;
                    let file = state.next_file;
                    state.next_file += 1;
                    state.files.insert(file, Content::default());
                    state.change_names(path, None, Some((path, file)));
                    file
                }
                found => found?,
            };
            Ok((file, state.generation))
        };
        let (file, generation) = self.0.act_on_names("open", open).await?;
        Ok(Box::new(SimulatedFile { disk: self.0.clone(), file, generation }))
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let rename = |state: &mut State| {
            let file = state.file(from)?;
            state.change_whole()?;
            state.change_names(to, Some(from), Some((to, file)));
            Ok(())
        };
        self.0.act_on_names("rename", rename).await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        let remove = |state: &mut State| {
            state.file(path)?;
            state.change_whole()?;
            state.change_names(path, Some(path), None);
            Ok(())
        };
        self.0.act_on_names("remove", remove).await
    }

    async fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let sync = |state: &mut State| {
            state.change_whole()?;
            let State { unsynced_names, durable_names, .. } = state;
            unsynced_names.retain(|change| {
                let synced = change.folder == path;
                if synced {
                    change.apply(durable_names);
                }
                !synced
            });
            Ok(())
        };
        self.0.act("sync folder", SYNC_US_MAX, None, sync).await
    }

    async fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let lock = |state: &mut State| match state.locks.insert(path.to_owned()) {
            true => Ok(state.generation),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        let generation = self.0.act_on_names("lock", lock).await?;
        Ok(Box::new(SimulatedLock { disk: self.0.clone(), path: path.to_owned(), generation }))
    }
}

struct SimulatedLock {
    disk: Arc<Inner>,
    path: PathBuf,
    generation: u64,
}

impl DiskLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.generation == self.generation {
            state.locks.remove(&self.path);
        }
    }
}

struct SimulatedFile {
    disk: Arc<Inner>,
    file: u64,
    generation: u64,
}

impl SimulatedFile {
    async fn act<T>(
        &self,
        what: &str,
        us_max: u64,
        act: impl FnOnce(&mut Content) -> io::Result<T>,
    ) -> io::Result<T> {
        let file = self.file;
        // A removed file lives on for whoever has it open.
        let act = |state: &mut State| act(state.files.entry(file).or_default());
        self.disk.act(what, us_max, Some(self.generation), act).await
    }

    fn change(&self, takes: &[Fault]) -> Option<Fault> {
        self.disk.state.lock().change(takes)
    }

    fn fails(&self, counter: impl FnOnce(&mut State) -> &mut u64) -> bool {
        let mut state = self.disk.state.lock();
        let left = counter(&mut state);
        let fails = *left > 0;
        *left = left.saturating_sub(1);
        fails
    }
}

#[async_trait]
impl DiskFile for SimulatedFile {
    async fn len(&self) -> io::Result<u64> {
        self.act("length", OPERATION_US_MAX, |content| Ok(content.seen.len() as u64)).await
    }

    async fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let read = |content: &mut Content| {
            let start = offset as usize;
            let bytes = content.seen.get(start..start + length);
            bytes.map(Bytes::copy_from_slice).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        self.act("read", OPERATION_US_MAX, read).await
    }

    async fn write_at(&self, offset: u64, parts: &[Bytes]) -> io::Result<()> {
        let mut bytes = parts.concat();
        let mut fault = self.change(&[Fault::Error, Fault::ShortWrite, Fault::FlippedBit, Fault::PowerLoss]);
        if self.fails(|state| &mut state.failing_writes) {
            fault = Some(Fault::ShortWrite);
        }
        let random = &self.disk.random;
        match fault {
            Some(Fault::Error) => return Err(failed(Fault::Error)),
            Some(Fault::ShortWrite) => {
                // Up to a boundary of the disk's sectors, in any number of them.
                let end = offset as usize + random.below(bytes.len() as u64 + 1) as usize;
                bytes.truncate((end / SECTOR_BYTES * SECTOR_BYTES).saturating_sub(offset as usize));
            }
            Some(Fault::FlippedBit) if !bytes.is_empty() => {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            _ => {}
        }
        let fault = fault.filter(|fault| *fault != Fault::FlippedBit);
        let write = |content: &mut Content| {
            content.change(Change::Write { offset: offset as usize, bytes });
            fault.map_or(Ok(()), |fault| Err(failed(fault)))
        };
        self.act("write", OPERATION_US_MAX, write).await
    }

    async fn sync(&self) -> io::Result<()> {
        let fault = self.change(&[Fault::Error, Fault::PowerLoss]);
        let fails = self.fails(|state| &mut state.failing_syncs);
        let sync = |content: &mut Content| {
            if fault == Some(Fault::PowerLoss) {
                return Err(failed(Fault::PowerLoss));
            }
            if fails || fault.is_some() {
                content.lose(&self.disk.random);
                return Err(io::Error::other("simulated failure of a sync"));
            }
            content.sync();
            Ok(())
        };
        self.act("sync", SYNC_US_MAX, sync).await
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        if let Some(fault) = self.change(&[Fault::Error, Fault::PowerLoss]) {
            return Err(failed(fault));
        }
        let cut = |content: &mut Content| {
            content.change(Change::Length(length as usize));
            Ok(())
        };
        self.act("set length", OPERATION_US_MAX, cut).await
    }

    async fn allocate(&self, length: u64) -> io::Result<()> {
        if let Some(fault) = self.change(&[Fault::Error, Fault::PowerLoss]) {
            return Err(failed(fault));
        }
        let extend = |content: &mut Content| {
            if content.seen.len() < length as usize {
                content.change(Change::Length(length as usize));
            }
            Ok(())
        };
        self.act("allocate", OPERATION_US_MAX, extend).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;

    use super::*;
    use crate::Simulation;

    /// What a crash leaves of a file of 2000 bytes `a`, synced, then overwritten
    /// with `b` and not synced; none if the file is gone.
    fn after_crash(seed: u64, sync_folder: bool, sync_again: bool) -> Option<Vec<u8>> {
        let simulation = Simulation::new(seed);
        let disk = simulation.environment().disk;
        let (folder, path) = (Path::new("/data"), Path::new("/data/file"));
        simulation.run(async {
            let file = disk.open(path, true).await.unwrap();
            file.write_at(0, &[Bytes::from(vec![b'a'; 2000])]).await.unwrap();
            file.sync().await.unwrap();
            if sync_folder {
                disk.sync_folder(folder).await.unwrap();
            }
            file.write_at(0, &[Bytes::from(vec![b'b'; 2000])]).await.unwrap();
            if sync_again {
                file.sync().await.unwrap();
            }
            simulation.crash();
            assert!(file.len().await.is_err(), "files opened before a crash are dead");
            let file = disk.open(path, false).await.ok()?;
            Some(file.read_at(0, 2000).await.unwrap().to_vec())
        })
    }

    #[test]
    fn what_was_synced_survives() {
        for seed in 0..50 {
            assert_eq!(after_crash(seed, true, true), Some(vec![b'b'; 2000]));
        }
    }

    #[test]
    fn what_was_not_synced_is_there_or_not_or_torn_at_sectors() {
        let mut contents = BTreeSet::new();
        for seed in 0..50 {
            let content = after_crash(seed, true, false).unwrap();
            assert!(content.chunks(SECTOR_BYTES).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
            contents.insert(content);
        }
        assert!(contents.len() > 3);
    }

    #[test]
    fn a_name_whose_folder_was_not_synced_may_be_gone() {
        let found: BTreeSet<bool> = (0..50).map(|seed| after_crash(seed, false, true).is_some()).collect();
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_failed_sync_is_not_repaired_by_the_next() {
        let lost = (0..50).filter(|&seed| {
            let simulation = Simulation::new(seed);
            let disk = simulation.environment().disk;
            let path = Path::new("/data/file");
            simulation.run(async {
                let file = disk.open(path, true).await.unwrap();
                file.sync().await.unwrap();
                disk.sync_folder(Path::new("/data")).await.unwrap();
                file.write_at(0, &[Bytes::from_static(b"x")]).await.unwrap();
                simulation.disk().fail_syncs(1);
                assert!(file.sync().await.is_err());
                assert!(file.sync().await.is_ok());
                assert_eq!(file.read_at(0, 1).await.unwrap(), &b"x"[..], "the cache still has it");
                simulation.crash();
                disk.open(path, false).await.unwrap().len().await.unwrap() == 0
            })
        });
        assert!(lost.count() > 5);
    }

    #[test]
    fn a_lock_ends_with_its_guard_or_the_machine() {
        let simulation = Simulation::new(1);
        let disk = simulation.environment().disk;
        simulation.run(async {
            let folder = Path::new("/data");
            let guard = disk.lock(folder).await.unwrap();
            assert!(disk.lock(folder).await.is_err());
            drop(guard);
            let before = disk.lock(folder).await.unwrap();
            simulation.crash();
            let after = disk.lock(folder).await.unwrap();
            drop(before);
            assert!(disk.lock(folder).await.is_err(), "a guard from before the crash frees nothing");
            drop(after);
        });
    }
}
