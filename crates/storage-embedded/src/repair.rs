//! Repair of a damaged folder: cuts the log at the damage and sets the rest
//! aside, under names that start with `damaged-`. Nothing is deleted.
//!
//! What was cut may have been acknowledged: a repaired store has lost writes.
//! A damaged checkpoint cannot be repaired, because the log before it is gone.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use environment::{Disk, Environment};
use meta::Revision;

use crate::OpenError;
use crate::folder::{self, segment_path};
use crate::log::create_segment;
use crate::recovery;

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The store's revision now; what came after it is lost.
    pub revision: Revision,
    /// Files that hold what was cut off. They are not used any more. Empty if nothing was damaged.
    pub set_aside: Vec<PathBuf>,
}

/// Makes a folder that [`EmbeddedBackend::open`](crate::EmbeddedBackend::open)
/// refuses as damaged fit to be opened, with everything before the damage.
///
/// Fails with [`OpenError::Locked`] while the store is open, and with [`OpenError::Damaged`] if a
/// checkpoint is what is damaged; the folder has then to come from a backup.
pub async fn repair(environment: &Environment, folder: &Path) -> Result<Repaired, OpenError> {
    let _lock = folder::lock(environment, folder).await?;
    let disk = &*environment.disk;
    let mut set_aside = Vec::new();
    loop {
        let options = crate::EmbeddedOptions::default();
        let damage = match recovery::recover(environment, folder, options.segment_bytes).await {
            Ok(recovered) => return Ok(Repaired { revision: recovered.state.revision, set_aside }),
            Err(OpenError::Damaged { path, offset, reason }) => (path, offset, reason),
            Err(other) => return Err(other),
        };
        let before = set_aside.len();
        cut(environment, folder, &damage.0, damage.1, &mut set_aside).await?;
        disk.sync_folder(folder).await.map_err(OpenError::io("sync folder", folder))?;
        if set_aside.len() == before {
            // Not a segment: nothing more that could be cut.
            return Err(OpenError::damaged(&damage.0, damage.1, damage.2));
        }
    }
}

/// Sets aside what stands at and behind `offset` of the segment at `path`, and all later segments.
async fn cut(
    environment: &Environment,
    folder: &Path,
    path: &Path,
    offset: u64,
    set_aside: &mut Vec<PathBuf>,
) -> Result<(), OpenError> {
    let disk = &*environment.disk;
    let contents = folder::contents(disk, folder).await?;
    let Some(&number) = contents.segments.iter().find(|&&number| segment_path(folder, number) == path) else {
        return Ok(());
    };
    for &later in contents.segments.iter().filter(|&&other| other > number) {
        set_aside.push(move_aside(disk, folder, &segment_path(folder, later)).await?);
    }
    let content = folder::read_all(disk, path).await.map_err(OpenError::io("read", path))?;
    let rest = content.slice((offset as usize).min(content.len())..);
    if offset > 0 && rest.iter().any(|&byte| byte != 0) {
        set_aside.push(copy_aside(disk, folder, path, offset, rest).await?);
        return Ok(());
    }
    if offset > 0 && contents.segments.last() != Some(&number) {
        // All that was missing is the segment behind this one.
        return Ok(());
    }
    // Nothing of the segment is of use: its start is damaged, or it ends before the checkpoint.
    set_aside.push(move_aside(disk, folder, path).await?);
    if let (Some(&frame), true) = (contents.checkpoints.last(), contents.segments.first() == Some(&number)) {
        let next = contents.segments.last().map_or(number, |last| *last) + 1;
        create_segment(environment, folder, next, frame + 1)
            .await
            .map_err(OpenError::io("create", folder))?;
    }
    Ok(())
}

async fn move_aside(disk: &dyn Disk, folder: &Path, path: &Path) -> Result<PathBuf, OpenError> {
    let aside = aside_path(folder, path, "");
    disk.rename(path, &aside).await.map_err(OpenError::io("rename", path))?;
    Ok(aside)
}

async fn copy_aside(
    disk: &dyn Disk,
    folder: &Path,
    path: &Path,
    offset: u64,
    rest: Bytes,
) -> Result<PathBuf, OpenError> {
    let aside = aside_path(folder, path, &format!("-from-{offset}"));
    let copy = disk.open(&aside, true).await.map_err(OpenError::io("create", &aside))?;
    copy.set_len(0).await.map_err(OpenError::io("write", &aside))?;
    copy.write_at(0, &[rest]).await.map_err(OpenError::io("write", &aside))?;
    copy.sync().await.map_err(OpenError::io("sync", &aside))?;
    disk.sync_folder(folder).await.map_err(OpenError::io("sync folder", folder))?;
    let file = disk.open(path, false).await.map_err(OpenError::io("open", path))?;
    file.set_len(offset).await.map_err(OpenError::io("cut", path))?;
    file.sync().await.map_err(OpenError::io("sync", path))?;
    Ok(aside)
}

fn aside_path(folder: &Path, path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder.join(format!("damaged-{name}{suffix}"))
}
