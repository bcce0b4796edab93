//! The write-ahead log as it is written: frames into preallocated segments,
//! one sync each. Reading it back is `recovery`'s.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use environment::{DiskFile, Environment};
use meta::Revision;
use parking_lot::Mutex;

use crate::folder::{self, segment_path};
use crate::format::{FILE_HEADER_BYTES, FORMAT_VERSION, FileHeader, FileKind, FrameBuilder};

/// Space taken for a new segment at first, so that an empty store is small and opens at once.
const ALLOCATION_BYTES_MIN: u64 = 256 << 10;
/// Most space taken ahead at a time.
const ALLOCATION_BYTES_MAX: u64 = 4 << 20;

/// The end of the log.
pub(crate) struct Log {
    environment: Environment,
    folder: PathBuf,
    segment_bytes: u64,
    segment: OpenSegment,
    next_frame: u64,
    files: Arc<LogFiles>,
}

/// The segment that is written to.
pub(crate) struct OpenSegment {
    pub number: u64,
    pub salt: u64,
    pub file: Box<dyn DiskFile>,
    /// Where the next frame goes.
    pub end: u64,
    /// Length of the file.
    pub allocated: u64,
}

impl Log {
    /// A log that goes on at the end of `segment` with frame `next_frame`.
    pub fn new(
        environment: Environment,
        folder: PathBuf,
        segment_bytes: u64,
        segment: OpenSegment,
        next_frame: u64,
        sealed: Vec<SealedSegment>,
    ) -> Log {
        let bytes = segment.allocated + sealed.iter().map(|segment| segment.bytes).sum::<u64>();
        let files = Arc::new(LogFiles { sealed: Mutex::new(sealed), bytes: AtomicU64::new(bytes) });
        Log { environment, folder, segment_bytes, segment, next_frame, files }
    }

    /// The files, for whoever removes old ones and reports sizes.
    pub fn files(&self) -> Arc<LogFiles> {
        self.files.clone()
    }

    /// Number of the last frame.
    pub fn last_frame(&self) -> u64 {
        self.next_frame - 1
    }

    /// Writes a frame and syncs it; returns its bytes. After an error nothing is
    /// known about the end of the log, and it must not be written to again.
    pub async fn append(&mut self, frame: FrameBuilder) -> io::Result<u64> {
        let bytes = frame.frame_bytes();
        if self.segment.end + bytes > self.segment_bytes && self.segment.end > FILE_HEADER_BYTES as u64 {
            self.rotate().await?;
        }
        let frame: Bytes = frame.finish(self.next_frame, self.segment.salt);
        self.reserve(self.segment.end + bytes).await?;
        if let Err(error) = self.segment.file.write_at(self.segment.end, &[frame]).await {
            // A part of the frame may be there. If it cannot be cut off, whoever
            // opens the folder has to judge it.
            let _ = self.segment.file.set_len(self.segment.end).await;
            return Err(error);
        }
        self.segment.file.sync().await?;
        self.segment.end += bytes;
        self.next_frame += 1;
        Ok(bytes)
    }

    /// Makes sure that the file reaches to `end`. A longer file at most doubles.
    async fn reserve(&mut self, end: u64) -> io::Result<()> {
        let segment = &mut self.segment;
        if end <= segment.allocated {
            return Ok(());
        }
        let step = segment.allocated.clamp(ALLOCATION_BYTES_MIN, ALLOCATION_BYTES_MAX);
        let length = end.next_multiple_of(step).min(self.segment_bytes).max(end);
        segment.file.allocate(length).await?;
        self.files.bytes.fetch_add(length - segment.allocated, Ordering::Relaxed);
        segment.allocated = length;
        Ok(())
    }

    async fn rotate(&mut self) -> io::Result<()> {
        let number = self.segment.number + 1;
        let next = create_segment(&self.environment, &self.folder, number, self.next_frame).await?;
        self.environment.disk.sync_folder(&self.folder).await?;
        self.files.bytes.fetch_add(next.allocated, Ordering::Relaxed);
        let full = std::mem::replace(&mut self.segment, next);
        self.files.sealed.lock().push(SealedSegment {
            number: full.number,
            last_frame: self.next_frame - 1,
            bytes: full.allocated,
        });
        Ok(())
    }
}

/// Makes a segment whose header is durable. Its name is durable after a sync of the folder.
pub(crate) async fn create_segment(
    environment: &Environment,
    folder: &Path,
    number: u64,
    first_frame: u64,
) -> io::Result<OpenSegment> {
    let salt = environment.random.u64();
    let header = FileHeader {
        version: FORMAT_VERSION,
        number,
        first_frame,
        salt,
        revision: Revision(0),
        compacted: Revision(0),
    };
    let file = environment.disk.open(&segment_path(folder, number), true).await?;
    file.set_len(0).await?;
    file.allocate(ALLOCATION_BYTES_MIN).await?;
    file.write_at(0, &[header.encode(FileKind::Segment)]).await?;
    file.sync().await?;
    let (end, allocated) = (FILE_HEADER_BYTES as u64, ALLOCATION_BYTES_MIN);
    Ok(OpenSegment { number, salt, file, end, allocated })
}

/// The segments that are full, and the bytes of all.
pub(crate) struct LogFiles {
    sealed: Mutex<Vec<SealedSegment>>,
    bytes: AtomicU64,
}

/// A full segment.
#[derive(Clone, Debug)]
pub(crate) struct SealedSegment {
    pub number: u64,
    pub last_frame: u64,
    pub bytes: u64,
}

impl LogFiles {
    /// Bytes of all segments on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Removes the segments whose frames are all in a checkpoint up to
    /// `frame`, oldest first, so that a crash leaves no hole.
    pub async fn remove_through(
        &self,
        environment: &Environment,
        folder: &Path,
        frame: u64,
    ) -> io::Result<()> {
        loop {
            let Some(oldest) =
                self.sealed.lock().first().filter(|segment| segment.last_frame <= frame).cloned()
            else {
                break;
            };
            environment.disk.remove(&folder::segment_path(folder, oldest.number)).await?;
            self.sealed.lock().remove(0);
            self.bytes.fetch_sub(oldest.bytes, Ordering::Relaxed);
        }
        environment.disk.sync_folder(folder).await
    }
}
