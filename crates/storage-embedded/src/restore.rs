//! A snapshot made a store again, in a folder that is none yet.
//!
//! ```text
//! checkpoint-1.unfinished -> log-1 -> checkpoint-1 -> FORMAT
//! ```
//!
//! A crash in between leaves a folder that is refused when it is opened: a log
//! that begins behind its first frame, or a checkpoint without a format mark.

use std::io;
use std::path::{Path, PathBuf};

use environment::{DiskFile, DiskLock, Environment};

use crate::OpenError;
use crate::entries::EntryWriter;
use crate::folder::{self, checkpoint_path, unfinished_path};
use crate::format::{FILE_HEADER_BYTES, FORMAT_VERSION, FileHeader, FileKind};
use crate::log::create_segment;
use crate::snapshot::{SnapshotEntry, SnapshotHead};

/// The only frame number a restored checkpoint needs: it stands for all frames there ever were.
const FRAME: u64 = 1;

/// Why a snapshot could not be made a store.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder holds a store, or the rest of one.
    #[error("{} is not empty: it holds a store", .folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// Locked, or the system refused a file operation.
    #[error(transparent)]
    Folder(#[from] OpenError),
}

/// A store that is being made from a snapshot. Nothing can be opened there before [`Restore::finish`].
pub struct Restore {
    environment: Environment,
    folder: PathBuf,
    file: Box<dyn DiskFile>,
    writer: EntryWriter,
    at: u64,
    _lock: Box<dyn DiskLock>,
}

impl Restore {
    /// Begins in a folder without a store; makes the folder if it is missing.
    pub async fn begin(
        environment: &Environment,
        folder: &Path,
        head: &SnapshotHead,
    ) -> Result<Restore, RestoreError> {
        let lock = folder::lock(environment, folder).await?;
        let disk = &*environment.disk;
        let contents = folder::contents(disk, folder).await?;
        let has_format = folder::check_format(disk, folder).await?;
        if has_format || !contents.segments.is_empty() || !contents.checkpoints.is_empty() {
            return Err(RestoreError::NotEmpty { folder: folder.to_owned() });
        }
        let path = unfinished_path(&checkpoint_path(folder, FRAME));
        let header = FileHeader {
            version: FORMAT_VERSION,
            number: FRAME,
            first_frame: 0,
            salt: environment.random.u64(),
            revision: head.revision,
            compacted: head.compacted,
        };
        let file = disk.open(&path, true).await.map_err(OpenError::io("create", &path))?;
        let begin = async {
            file.set_len(0).await?;
            file.write_at(0, &[header.encode(FileKind::Checkpoint)]).await
        };
        begin.await.map_err(OpenError::io("write", &path))?;
        Ok(Restore {
            environment: environment.clone(),
            folder: folder.to_owned(),
            file,
            writer: EntryWriter::new(header.salt, 0, 0),
            at: FILE_HEADER_BYTES as u64,
            _lock: lock,
        })
    }

    /// Adds an entry, in the order in which the snapshot has them.
    pub async fn add(&mut self, entry: &SnapshotEntry) -> Result<(), RestoreError> {
        match entry {
            SnapshotEntry::Lease { lease, ttl_seconds } => self.writer.lease(*lease, *ttl_seconds),
            SnapshotEntry::Version(kv) => self.writer.version(kv),
        }
        if self.writer.is_full() {
            let frame = self.writer.cut();
            self.write(frame).await?;
        }
        Ok(())
    }

    /// Makes it a store that can be opened, durably.
    pub async fn finish(mut self) -> Result<(), RestoreError> {
        let last = std::mem::replace(&mut self.writer, EntryWriter::new(0, 0, 0)).finish();
        self.write(last).await?;
        let place = self.put_in_place();
        place.await.map_err(OpenError::io("write the store in", &self.folder))?;
        folder::write_format(&*self.environment.disk, &self.folder).await?;
        let sync = self.environment.disk.sync_folder(&self.folder).await;
        Ok(sync.map_err(OpenError::io("sync folder", &self.folder))?)
    }

    async fn write(&mut self, frame: bytes::Bytes) -> Result<(), RestoreError> {
        let bytes = frame.len() as u64;
        let path = || unfinished_path(&checkpoint_path(&self.folder, FRAME));
        let written = self.file.write_at(self.at, &[frame]).await;
        written.map_err(|error| OpenError::io("write", &path())(error))?;
        self.at += bytes;
        Ok(())
    }

    async fn put_in_place(&self) -> io::Result<()> {
        let disk = &*self.environment.disk;
        self.file.sync().await?;
        drop(create_segment(&self.environment, &self.folder, 1, FRAME + 1).await?);
        disk.sync_folder(&self.folder).await?;
        let path = checkpoint_path(&self.folder, FRAME);
        disk.rename(&unfinished_path(&path), &path).await?;
        disk.sync_folder(&self.folder).await
    }
}
