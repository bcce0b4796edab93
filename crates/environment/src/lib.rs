//! The outside world as everything below the server sees it.
//!
//! Nothing below the `server` crate reads a clock, draws a random number,
//! starts a task or opens a file except through an [`Environment`] it was
//! handed. Production hands [`real`]; the simulator hands seeded ones, and the
//! same seed is the same run.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;

pub mod real;

/// Everything a component may use of the outside. Cheap to clone.
#[derive(Clone)]
pub struct Environment {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Tasks.
    pub tasks: Arc<dyn Tasks>,
    /// Files.
    pub disk: Arc<dyn Disk>,
}

/// Reads and waits for time.
pub trait Clock: Send + Sync {
    /// Wall-clock time, for timestamps that users see.
    fn now(&self) -> jiff::Timestamp;
    /// Time since some fixed point; never goes back. For durations and deadlines.
    fn monotonic(&self) -> Duration;
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Draws random bytes.
pub trait Random: Send + Sync {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]);
}

impl dyn Random {
    /// A random 64-bit number.
    pub fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below `bound` (which is not zero). The bias of the remainder is below 2^-32 for bounds that fit 32 bits.
    pub fn below(&self, bound: u64) -> u64 {
        self.u64() % bound
    }

    /// A version 4 UUID in its usual text form.
    pub fn uuid(&self) -> String {
        let mut b = [0; 16];
        self.fill(&mut b);
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// Starts tasks.
pub trait Tasks: Send + Sync {
    /// Runs a future that waits for messages, timers and other futures, never for a file.
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>);
    /// Runs a future on a thread of its own, where it may call [`Disk`], whose real files block.
    fn spawn_with_disk(&self, name: &'static str, task: BoxFuture<'static, ()>);
}

/// A folder tree that survives a crash as far as it was synced.
///
/// Methods are async so that a simulated disk can take time; the real one
/// blocks, which is why it is used only from [`Tasks::spawn_with_disk`] or
/// before serving starts.
#[async_trait]
pub trait Disk: Send + Sync {
    /// Makes a folder and its parents.
    async fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Names of the files in a folder, sorted.
    async fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Opens a file for reading and writing; with `create`, makes it where it is missing.
    async fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that this process may not be allowed to write, such as a configuration.
    async fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path, false).await
    }
    /// Renames over whatever stands at `to`; durable after [`Disk::sync_folder`].
    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    async fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a folder durable.
    async fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Takes the folder for this process until the guard is dropped. `WouldBlock` if another holds it.
    async fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// Held while a folder is in use.
pub trait DiskLock: Send + Sync {}

/// An open file.
#[allow(clippy::len_without_is_empty, reason = "nobody asks a file whether it is empty")]
#[async_trait]
pub trait DiskFile: Send + Sync {
    /// Length in bytes.
    async fn len(&self) -> io::Result<u64>;
    /// Reads exactly `length` bytes at `offset`; `UnexpectedEof` beyond the end.
    async fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes>;
    /// Writes all of `parts` in order, starting at `offset`.
    async fn write_at(&self, offset: u64, parts: &[Bytes]) -> io::Result<()>;
    /// Makes everything written durable. After an error nothing is known about the file any more.
    async fn sync(&self) -> io::Result<()>;
    /// Cuts or extends the file.
    async fn set_len(&self, length: u64) -> io::Result<()>;
    /// Reserves space up to `length` without changing what is read, so that later syncs write data only.
    async fn allocate(&self, length: u64) -> io::Result<()>;
}
