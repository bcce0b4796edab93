//! Why a store could not be opened. Names files and says what to do; knows no request.

use std::io;
use std::path::{Path, PathBuf};

/// Why a folder could not be opened as a store. Nothing has been changed in it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this one, works on the folder.
    #[error("{} is in use by another process", .folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The system refused a file operation, for example because the folder is not writable.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A newer program wrote the folder.
    #[error(
        "{} has format {found}, this program understands formats up to {supported}: use a newer program, or another data folder",
        .path.display()
    )]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format this program understands.
        supported: u32,
    },
    /// A file is not what was written: lost or changed bytes before the end of the log.
    #[error(
        "{} is damaged at byte {offset}: {reason}. Nothing was changed. Restore its folder from a backup, start with another --data-dir, or run `pintle repair`, which keeps everything before the damage and sets the rest aside",
        .path.display()
    )]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// Where the damage starts.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
}

impl OpenError {
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> OpenError + 'a {
        move |source| OpenError::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, offset: u64, reason: &'static str) -> OpenError {
        OpenError::Damaged { path: path.to_owned(), offset, reason }
    }
}
