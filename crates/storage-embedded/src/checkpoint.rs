//! Checkpoints: everything a snapshot holds, in one file, so that the log
//! before it can go.
//!
//! All retained versions go in and not only the newest, so that a restart
//! keeps the history that watches and reads at a revision may still ask for.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{BufMut, Bytes};
use environment::{Disk, DiskFile, Environment};
use meta::Revision;
use storage::backend::LeaseId;

use crate::error::OpenError;
use crate::folder::{checkpoint_path, unfinished_path};
use crate::format::{
    FILE_HEADER_BYTES, FORMAT_VERSION, FRAME_HEADER_BYTES, FileHeader, FileKind, FrameBuilder, FrameHeader,
    Malformed, Reader, put_bytes,
};
use crate::index::{Index, Version};
use crate::state::{Event, State};

/// Payload of a frame at which it is written. The memory a checkpoint takes beside the snapshot.
const FRAME_BYTES: usize = 256 << 10;

const VERSION: u8 = 1;
const LEASE: u8 = 2;
const END: u8 = 3;

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
    let mut writer = Writer::new(file, header.salt);
    for (lease, ttl_seconds) in &snapshot.leases {
        writer.lease(*lease, *ttl_seconds);
    }
    for (key, entry) in &snapshot.index {
        // Oldest first, in the order in which they are put back.
        let versions: Vec<_> = entry.versions().collect();
        for version in versions.into_iter().rev() {
            writer.version(key, version);
            if writer.frame.payload_bytes() >= FRAME_BYTES {
                writer.flush().await?;
            }
        }
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    let length = writer.finish().await?;
    environment.disk.rename(&unfinished, &path).await?;
    environment.disk.sync_folder(folder).await?;
    Ok(length)
}

struct Writer {
    file: Box<dyn DiskFile>,
    salt: u64,
    frame: FrameBuilder,
    number: u64,
    at: u64,
    versions: u64,
}

impl Writer {
    fn new(file: Box<dyn DiskFile>, salt: u64) -> Writer {
        let frame = FrameBuilder::with_capacity(FRAME_BYTES);
        Writer { file, salt, frame, number: 1, at: FILE_HEADER_BYTES as u64, versions: 0 }
    }

    fn lease(&mut self, lease: LeaseId, ttl_seconds: i64) {
        let out = self.frame.payload();
        out.put_u8(LEASE);
        out.put_i64_le(lease.0);
        out.put_i64_le(ttl_seconds);
    }

    fn version(&mut self, key: &Bytes, version: &Version) {
        self.versions += 1;
        let out = self.frame.payload();
        out.put_u8(VERSION);
        out.put_u64_le(version.created.0);
        out.put_u64_le(version.modified.0);
        out.put_i64_le(version.version);
        out.put_i64_le(version.lease.0);
        put_bytes(out, key);
        put_bytes(out, &version.value);
    }

    async fn flush(&mut self) -> io::Result<()> {
        let next = FrameBuilder::with_capacity(FRAME_BYTES);
        let frame = std::mem::replace(&mut self.frame, next).finish(self.number, self.salt);
        let bytes = frame.len() as u64;
        self.file.write_at(self.at, &[frame]).await?;
        self.number += 1;
        self.at += bytes;
        Ok(())
    }

    async fn finish(mut self) -> io::Result<u64> {
        let versions = self.versions;
        let out = self.frame.payload();
        out.put_u8(END);
        out.put_u64_le(versions);
        self.flush().await?;
        self.file.sync().await?;
        Ok(self.at)
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
            match input.u8()? {
                VERSION => self.add_version(&mut input)?,
                LEASE => self.state.leases.insert(LeaseId(input.i64()?), input.i64()?),
                END if input.u64()? == self.versions => self.complete = true,
                _ => return Err(Malformed),
            }
        }
        Ok(())
    }

    fn add_version(&mut self, input: &mut Reader<'_>) -> Result<(), Malformed> {
        let (created, modified) = (Revision(input.u64()?), Revision(input.u64()?));
        let (version, lease) = (input.i64()?, LeaseId(input.i64()?));
        let (key, value) = (input.bytes()?, input.bytes()?);
        let event = self.state.restore(key, Version { value, created, modified, version, lease });
        if modified > self.compacted {
            self.events.push(event);
        }
        self.versions += 1;
        Ok(())
    }
}
