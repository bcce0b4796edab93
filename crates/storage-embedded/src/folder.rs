//! The data folder: names of its files, its format mark, and how a new one begins.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use environment::{Disk, DiskLock, Environment};

use crate::error::OpenError;
use crate::format::FORMAT_VERSION;

const FORMAT_FILE: &str = "FORMAT";
const FORMAT_LINE: &str = "pintle embedded store, format ";
const SEGMENT_PREFIX: &str = "log-";
const CHECKPOINT_PREFIX: &str = "checkpoint-";
/// Ends the name of a file that is not finished. Such files are removed when the folder is opened.
const UNFINISHED_SUFFIX: &str = ".unfinished";

/// What lies in a folder.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Numbers of the log segments, ascending.
    pub segments: Vec<u64>,
    /// Last frames of the checkpoints, ascending.
    pub checkpoints: Vec<u64>,
    /// Files a crash left half written.
    pub unfinished: Vec<PathBuf>,
}

pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{SEGMENT_PREFIX}{number:020}"))
}

pub(crate) fn checkpoint_path(folder: &Path, last_frame: u64) -> PathBuf {
    folder.join(format!("{CHECKPOINT_PREFIX}{last_frame:020}"))
}

pub(crate) fn unfinished_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED_SUFFIX);
    name.into()
}

/// Makes the folder if it is missing and takes it for this store.
pub(crate) async fn lock(environment: &Environment, folder: &Path) -> Result<Box<dyn DiskLock>, OpenError> {
    let disk = &environment.disk;
    disk.create_folder(folder).await.map_err(OpenError::io("create folder", folder))?;
    match disk.lock(folder).await {
        Ok(lock) => Ok(lock),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(OpenError::Locked { folder: folder.to_owned() })
        }
        Err(source) => Err(OpenError::io("lock folder", folder)(source)),
    }
}

/// Lists the folder's files. Files of others are left alone.
pub(crate) async fn contents(disk: &dyn Disk, folder: &Path) -> Result<Contents, OpenError> {
    let mut contents = Contents::default();
    for name in disk.list(folder).await.map_err(OpenError::io("list folder", folder))? {
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(UNFINISHED_SUFFIX) {
            contents.unfinished.push(folder.join(name));
        } else if let Some(number) = number_after(name, SEGMENT_PREFIX) {
            contents.segments.push(number);
        } else if let Some(number) = number_after(name, CHECKPOINT_PREFIX) {
            contents.checkpoints.push(number);
        }
    }
    contents.segments.sort_unstable();
    contents.checkpoints.sort_unstable();
    Ok(contents)
}

fn number_after(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Refuses a folder that a newer program wrote. Returns whether it has a format mark at all.
pub(crate) async fn check_format(disk: &dyn Disk, folder: &Path) -> Result<bool, OpenError> {
    let path = folder.join(FORMAT_FILE);
    let text = match read_all(disk, &path).await {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(OpenError::io("read", &path)(error)),
    };
    let text = String::from_utf8_lossy(&text);
    let found: Option<u32> = text.strip_prefix(FORMAT_LINE).and_then(|number| number.trim_end().parse().ok());
    match found {
        Some(found) if found > FORMAT_VERSION => {
            Err(OpenError::NewerFormat { path, found, supported: FORMAT_VERSION })
        }
        Some(_) => Ok(true),
        None => Err(OpenError::damaged(&path, 0, "it does not say which format the store has")),
    }
}

/// Writes the format mark. Durable after a sync of the folder.
pub(crate) async fn write_format(disk: &dyn Disk, folder: &Path) -> Result<(), OpenError> {
    let path = folder.join(FORMAT_FILE);
    let line = format!("{FORMAT_LINE}{FORMAT_VERSION}\n");
    write_whole(disk, &path, line.into()).await.map_err(OpenError::io("write", &path))
}

/// Puts a whole file in place: either it is there with its content or not at
/// all. Durable after a sync of the folder.
async fn write_whole(disk: &dyn Disk, path: &Path, content: Bytes) -> io::Result<()> {
    let unfinished = unfinished_path(path);
    let file = disk.open(&unfinished, true).await?;
    file.set_len(0).await?;
    file.write_at(0, &[content]).await?;
    file.sync().await?;
    disk.rename(&unfinished, path).await
}

/// The whole content of a file.
pub(crate) async fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Bytes> {
    let file = disk.open(path, false).await?;
    let length = file.len().await?;
    file.read_at(0, usize::try_from(length).map_err(io::Error::other)?).await
}
