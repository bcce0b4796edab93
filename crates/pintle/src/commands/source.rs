//! A snapshot as a source of entries, wherever its bytes come from: a file, a
//! running server, or a data folder that nobody uses.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use environment::Environment;
use storage_embedded::{
    EmbeddedBackend, EmbeddedOptions, OpenError, SnapshotEntry, SnapshotHead, SnapshotReader, SnapshotStream,
};

use super::running_server::Download;
use crate::data_folder::store_below;

/// Bytes of a file that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// The bytes of a snapshot.
pub enum Bytestream {
    /// From a file.
    File(File, PathBuf),
    /// From the server that uses a data folder.
    Server(Download),
    /// From a data folder that nobody uses.
    Folder {
        /// The pieces.
        stream: SnapshotStream,
        /// Keeps servers out until all is read.
        _store: EmbeddedBackend,
    },
}

impl Bytestream {
    /// Those of a file.
    pub fn of_file(path: &Path) -> anyhow::Result<Bytestream> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Bytestream::File(file, path.to_owned()))
    }

    /// A new snapshot of a data folder: taken by the server that uses it, or else here.
    pub async fn of_folder(environment: &Environment, folder: &Path) -> anyhow::Result<Bytestream> {
        let store = store_below(folder);
        if !store.join("FORMAT").exists() {
            bail!(
                "there is no store in the data folder {}; a server over etcd keeps its objects there",
                folder.display()
            );
        }
        match EmbeddedBackend::open(environment.clone(), &store, EmbeddedOptions::default()).await {
            Ok(store) => Ok(Bytestream::Folder { stream: store.snapshot()?, _store: store }),
            Err(OpenError::Locked { .. }) => Ok(Bytestream::Server(Download::begin(folder).await?)),
            Err(error) => Err(error.into()),
        }
    }

    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        match self {
            Bytestream::Server(download) => download.next().await,
            Bytestream::Folder { stream, .. } => Ok(stream.next()),
            Bytestream::File(file, path) => {
                let mut buffer = Vec::with_capacity(READ_BYTES);
                let read = file.take(READ_BYTES as u64).read_to_end(&mut buffer);
                read.with_context(|| format!("cannot read {}", path.display()))?;
                Ok(Some(Bytes::from(buffer)).filter(|bytes| !bytes.is_empty()))
            }
        }
    }
}

/// A snapshot, read entry by entry and checked.
pub struct Source {
    bytes: Bytestream,
    reader: SnapshotReader,
}

impl Source {
    /// Reads as far as the snapshot's head.
    pub async fn begin(bytes: Bytestream) -> anyhow::Result<(Source, SnapshotHead)> {
        let mut source = Source { bytes, reader: SnapshotReader::new() };
        loop {
            if let Some(head) = source.reader.read_head()? {
                return Ok((source, head));
            }
            match source.bytes.next().await? {
                Some(bytes) => source.reader.push(&bytes),
                None => drop(source.reader.finish()?),
            }
        }
    }

    /// The next entry; none at the snapshot's end, which was then seen.
    pub async fn next(&mut self) -> anyhow::Result<Option<SnapshotEntry>> {
        loop {
            if let Some(entry) = self.reader.next_entry()? {
                return Ok(Some(entry));
            }
            match self.bytes.next().await? {
                Some(bytes) => self.reader.push(&bytes),
                None => {
                    self.reader.finish()?;
                    return Ok(None);
                }
            }
        }
    }
}
