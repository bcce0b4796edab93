//! Checkpoints: everything a snapshot holds, in one file, so that the log
//! before it can go.
//!
//! All retained versions go in and not only the newest, so that a restart
//! keeps the history that watches and reads at a revision may still ask for.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use environment::{Disk, DiskFile, Environment};
use meta::Revision;
use storage::backend::{KeyValue, LeaseId};

use crate::entries::{Entry, EntryWriter};
use crate::error::OpenError;
use crate::folder::{checkpoint_path, unfinished_path};
use crate::format::{
    FILE_HEADER_BYTES, FORMAT_VERSION, FRAME_HEADER_BYTES, FileHeader, FileKind, FrameHeader, Malformed,
    Reader,
};
use crate::index::{self, Index, Version};
use crate::state::{Event, State};

/// A consistent view of the store at the end of a log frame.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub index: Index,
    /// Time to live in seconds by lease.
    pub leases: imbl::OrdMap<LeaseId, i64>,
    pub revision: Revision,
    pub compacted: Revision,
    /// Last log frame in it.
    pub frame: u64,
}

/// Writes a snapshot and makes it durable; returns the file's length. Gives up
/// with `Interrupted` when `stop` is set.
pub(crate) async fn write(
    environment: &Environment,
    folder: &Path,
    snapshot: &Snapshot,
    stop: &AtomicBool,
) -> io::Result<u64> {
    let path = checkpoint_path(folder, snapshot.frame);
    let unfinished = unfinished_path(&path);
    let file = environment.disk.open(&unfinished, true).await?;
    let header = FileHeader {
        version: FORMAT_VERSION,
        number: snapshot.frame,
        first_frame: 0,
        salt: environment.random.u64(),
        revision: snapshot.revision,
        compacted: snapshot.compacted,
    };
    file.set_len(0).await?;
    file.write_at(0, &[header.encode(FileKind::Checkpoint)]).await?;
    let mut writer = EntryWriter::new(header.salt, 0, 0);
    let mut at = FILE_HEADER_BYTES as u64;
    for (lease, ttl_seconds) in &snapshot.leases {
        writer.lease(*lease, *ttl_seconds);
    }
    for (key, entry) in &snapshot.index {
        put_versions(&mut writer, key, entry);
        if writer.is_full() {
            at = append(&*file, at, writer.cut()).await?;
        }
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    let length = append(&*file, at, writer.finish()).await?;
    file.sync().await?;
    environment.disk.rename(&unfinished, &path).await?;
    environment.disk.sync_folder(folder).await?;
    Ok(length)
}

/// Writes a frame at `at`; returns where the next one goes.
async fn append(file: &dyn DiskFile, at: u64, frame: Bytes) -> io::Result<u64> {
    let end = at + frame.len() as u64;
    file.write_at(at, &[frame]).await?;
    Ok(end)
}

/// Adds all versions of a key: oldest first, in the order in which they are put back.
pub(crate) fn put_versions(writer: &mut EntryWriter, key: &Bytes, entry: &index::Entry) {
    let versions: Vec<_> = entry.versions().collect();
    for version in versions.into_iter().rev() {
        writer.version(&version.key_value(key));
    }
}

/// A checkpoint read back.
pub(crate) struct Loaded {
    pub state: State,
    /// Changes after the compacted revision, by key.
    pub events: Vec<Event>,
    /// Last log frame in it.
    pub frame: u64,
    /// Length of the file.
    pub bytes: u64,
}

/// Reads a checkpoint back.
pub(crate) async fn read(disk: &dyn Disk, path: &Path) -> Result<Loaded, OpenError> {
    let file = disk.open(path, false).await.map_err(OpenError::io("open", path))?;
    let bytes = file.len().await.map_err(OpenError::io("read", path))?;
    let head =
        file.read_at(0, FILE_HEADER_BYTES.min(bytes as usize)).await.map_err(OpenError::io("read", path))?;
    let Some(header) = FileHeader::decode(&head, FileKind::Checkpoint) else {
        return Err(OpenError::damaged(path, 0, "the checkpoint's header is unreadable"));
    };
    if header.version > FORMAT_VERSION {
        let (found, supported) = (header.version, FORMAT_VERSION);
        return Err(OpenError::NewerFormat { path: path.to_owned(), found, supported });
    }
    let mut loading = Loading::new(&header);
    let mut at = FILE_HEADER_BYTES as u64;
    let mut number = 1;
    while !loading.complete {
        let (payload, frame_bytes) = read_frame(&*file, path, at, bytes, number, header.salt).await?;
        loading
            .add(&payload)
            .map_err(|Malformed| OpenError::damaged(path, at, "the checkpoint's content makes no sense"))?;
        at += frame_bytes;
        number += 1;
    }
    let mut state = loading.state;
    state.revision = header.revision;
    state.compacted = header.compacted;
    Ok(Loaded { state, events: loading.events, frame: header.number, bytes })
}

async fn read_frame(
    file: &dyn DiskFile,
    path: &Path,
    at: u64,
    file_bytes: u64,
    number: u64,
    salt: u64,
) -> Result<(Bytes, u64), OpenError> {
    let damaged = || OpenError::damaged(path, at, "a part of the checkpoint is missing or unreadable");
    if at + FRAME_HEADER_BYTES as u64 > file_bytes {
        return Err(damaged());
    }
    let head = file.read_at(at, FRAME_HEADER_BYTES).await.map_err(OpenError::io("read", path))?;
    let header =
        FrameHeader::decode(&head, salt).filter(|header| header.number == number).ok_or_else(damaged)?;
    let frame_bytes = header.frame_bytes() as u64;
    if at + frame_bytes > file_bytes {
        return Err(damaged());
    }
    let payload = file
        .read_at(at + FRAME_HEADER_BYTES as u64, header.length as usize)
        .await
        .map_err(OpenError::io("read", path))?;
    if crc32c::crc32c(&payload) != header.payload_crc {
        return Err(damaged());
    }
    Ok((payload, frame_bytes))
}

struct Loading {
    state: State,
    events: Vec<Event>,
    compacted: Revision,
    versions: u64,
    complete: bool,
}

impl Loading {
    fn new(header: &FileHeader) -> Loading {
        let compacted = header.compacted;
        Loading { state: State::empty(), events: Vec::new(), compacted, versions: 0, complete: false }
    }

    fn add(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let mut input = Reader(payload);
        while !input.is_empty() {
            match Entry::decode(&mut input)? {
                Entry::Version(kv) => self.add_version(kv),
                Entry::Lease { lease, ttl_seconds } => self.state.leases.insert(lease, ttl_seconds),
                Entry::End(versions) if versions == self.versions => self.complete = true,
                Entry::End(_) => return Err(Malformed),
            }
        }
        Ok(())
    }

    fn add_version(&mut self, kv: KeyValue) {
        let (created, modified) = (kv.create_revision, kv.mod_revision);
        let version = Version { value: kv.value, created, modified, version: kv.version, lease: kv.lease };
        let event = self.state.restore(kv.key, version);
        if modified > self.compacted {
            self.events.push(event);
        }
        self.versions += 1;
    }
}
