//! The real outside world: the system's clocks and randomness, tokio tasks,
//! and files through `std::fs`.
//!
//! Times and tasks need a tokio runtime around the caller, with its time
//! driver on; files and randomness need nothing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{Clock, Disk, DiskFile, DiskLock, Environment, Random, Tasks};

/// The real environment. Cheap; each call has a monotonic clock of its own
/// that starts at zero.
pub fn environment() -> Environment {
    Environment {
        clock: Arc::new(RealClock { start: Instant::now() }),
        random: Arc::new(RealRandom),
        tasks: Arc::new(RealTasks),
        disk: Arc::new(RealDisk),
    }
}

struct RealClock {
    start: Instant,
}

impl Clock for RealClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

struct RealRandom;

impl Random for RealRandom {
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out).expect("every supported system has a source of randomness");
    }
}

struct RealTasks;

impl Tasks for RealTasks {
    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    // A plain thread and not tokio's blocking pool: a runtime that shuts down
    // waits for its pool, and would hang on a task that ends with its store.
    fn spawn_with_disk(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(task))
            .expect("the system grants a handful of threads");
    }
}

struct RealDisk;

#[async_trait]
impl Disk for RealDisk {
    async fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(PathBuf::from(entry.file_name()));
            }
        }
        names.sort();
        Ok(names)
    }

    async fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(create).truncate(false).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    async fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(File::open(path)?)))
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    async fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    async fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join("LOCK"))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The system gives the lock back when the file is closed, also when the process is killed.
struct RealLock {
    _file: File,
}

impl DiskLock for RealLock {}

struct RealFile(File);

#[async_trait]
impl DiskFile for RealFile {
    async fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    async fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut buffer = vec![0; length];
        self.0.read_exact_at(&mut buffer, offset)?;
        Ok(buffer.into())
    }

    async fn write_at(&self, offset: u64, parts: &[Bytes]) -> io::Result<()> {
        let mut at = offset;
        for part in parts {
            self.0.write_all_at(part, at)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    async fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    async fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    async fn allocate(&self, length: u64) -> io::Result<()> {
        let current = self.0.metadata()?.len();
        if length <= current {
            return Ok(());
        }
        allocate(&self.0, current, length)
    }
}

/// Extends a file with zeros for which the space is taken already.
#[cfg(target_os = "linux")]
fn allocate(file: &File, current: u64, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), current, length - current) {
        Ok(()) => Ok(()),
        // Some file systems cannot reserve; a longer file still spares later syncs the length.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(length),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(file: &File, _current: u64, length: u64) -> io::Result<()> {
    file.set_len(length)
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("tests have a temporary folder")
    }

    #[test]
    fn what_is_written_in_parts_is_read_as_one() {
        let folder = folder();
        block_on(async {
            let disk = environment().disk;
            let file = disk.open(&folder.path().join("a"), true).await.unwrap();
            file.write_at(2, &[Bytes::from_static(b"ab"), Bytes::from_static(b"c")]).await.unwrap();
            file.sync().await.unwrap();
            assert_eq!(file.read_at(0, 5).await.unwrap(), &b"\0\0abc"[..]);
            assert_eq!(file.read_at(3, 9).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(disk.list(folder.path()).await.unwrap(), [PathBuf::from("a")]);
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_nobody_may_write_can_be_read() {
        // A program that runs cannot be opened for writing, not even by root.
        let program = std::env::current_exe().unwrap();
        block_on(async {
            let disk = environment().disk;
            assert!(disk.open(&program, false).await.is_err());
            let file = disk.open_to_read(&program).await.unwrap();
            assert_eq!(file.read_at(0, 4).await.unwrap(), &b"\x7fELF"[..]);
        });
    }

    #[test]
    fn allocation_keeps_the_content_and_reads_as_zeros_behind_it() {
        let folder = folder();
        block_on(async {
            let file = environment().disk.open(&folder.path().join("a"), true).await.unwrap();
            file.write_at(0, &[Bytes::from_static(b"x")]).await.unwrap();
            file.allocate(4096).await.unwrap();
            assert_eq!(file.len().await.unwrap(), 4096);
            assert_eq!(file.read_at(0, 2).await.unwrap(), &b"x\0"[..]);
            file.allocate(10).await.unwrap();
            assert_eq!(file.len().await.unwrap(), 4096, "allocating less does not cut");
        });
    }

    #[test]
    fn a_folder_is_locked_until_the_guard_is_dropped() {
        let folder = folder();
        block_on(async {
            let disk = environment().disk;
            let first = disk.lock(folder.path()).await.unwrap();
            let second = disk.lock(folder.path()).await.err().map(|error| error.kind());
            assert_eq!(second, Some(io::ErrorKind::WouldBlock));
            drop(first);
            assert!(disk.lock(folder.path()).await.is_ok());
        });
    }

    #[test]
    fn uuids_are_version_4_and_differ() {
        let random = environment().random;
        let uuid = random.uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert_ne!(uuid, random.uuid());
    }

    #[tokio::test]
    async fn a_task_with_disk_runs_and_can_sleep() {
        let environment = environment();
        let (done, wait) = tokio::sync::oneshot::channel();
        let clock = environment.clock.clone();
        environment.tasks.spawn_with_disk(
            "test",
            Box::pin(async move {
                clock.sleep(Duration::from_millis(1)).await;
                let _ = done.send(());
            }),
        );
        wait.await.unwrap();
    }
}
