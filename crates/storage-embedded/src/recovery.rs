//! Opening a folder: checkpoint, then log, then the decision what its end means.
//!
//! First everything is read and nothing is written, so that a refusal leaves
//! the folder as it was. Then the end of the log is made certain: what a crash
//! left half written is cut, and what was read is made durable (it may have
//! been in the system's cache only), because it is about to be served.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use environment::{Disk, Environment};
use meta::Revision;

use crate::checkpoint;
use crate::error::OpenError;
use crate::folder::{self, Contents, checkpoint_path, segment_path};
use crate::format::{
    FILE_HEADER_BYTES, FORMAT_VERSION, FRAME_ALIGNMENT, FRAME_HEADER_BYTES, FileHeader, FileKind,
    FrameHeader, Malformed, Reader, Record,
};
use crate::log::{Log, OpenSegment, SealedSegment, create_segment};
use crate::state::{Event, Events, State};

/// A store as it was found.
pub(crate) struct Recovered {
    pub state: State,
    /// Events of the revisions after the compacted one up to the newest.
    pub events: VecDeque<Events>,
    pub log: Log,
    /// Bytes of log behind the checkpoint.
    pub log_bytes: u64,
    /// Last frame and bytes of the checkpoint.
    pub checkpoint: Option<(u64, u64)>,
}

/// Opens the store in a locked folder, making it if the folder is empty.
pub(crate) async fn recover(
    environment: &Environment,
    folder: &Path,
    segment_bytes: u64,
) -> Result<Recovered, OpenError> {
    let disk = &*environment.disk;
    let has_format = folder::check_format(disk, folder).await?;
    let contents = folder::contents(disk, folder).await?;
    let mut replay = Replay::start(disk, folder, &contents).await?;
    let segments = read_headers(disk, folder, &contents, replay.checkpoint_frame != 0).await?;
    if !has_format && (replay.checkpoint_frame != 0 || segments.headers.len() > 1) {
        return Err(OpenError::damaged(&folder.join("FORMAT"), 0, "the file is missing"));
    }
    let end = replay.segments(disk, folder, &segments.headers).await?;

    clean_up(disk, &contents, &segments, folder).await?;
    if !has_format {
        folder::write_format(disk, folder).await?;
    }
    let segment = match end {
        Some(end) => end.make_certain(disk, folder).await?,
        None => {
            let path = segment_path(folder, 1);
            create_segment(environment, folder, 1, 1).await.map_err(OpenError::io("create", &path))?
        }
    };
    disk.sync_folder(folder).await.map_err(OpenError::io("sync folder", folder))?;
    let sealed = std::mem::take(&mut replay.sealed);
    let log =
        Log::new(environment.clone(), folder.to_owned(), segment_bytes, segment, replay.next_frame, sealed);
    log.files()
        .remove_through(environment, folder, replay.checkpoint_frame)
        .await
        .map_err(OpenError::io("remove old segments from", folder))?;
    Ok(replay.finish(log))
}

/// Headers of the segments that count.
struct Segments {
    headers: Vec<FileHeader>,
    /// A segment that a crash interrupted while it was made; it holds nothing.
    stillborn: Option<PathBuf>,
}

async fn read_headers(
    disk: &dyn Disk,
    folder: &Path,
    contents: &Contents,
    has_checkpoint: bool,
) -> Result<Segments, OpenError> {
    let mut segments = Segments { headers: Vec::new(), stillborn: None };
    for (at, &number) in contents.segments.iter().enumerate() {
        let path = segment_path(folder, number);
        let header = read_header(disk, &path).await?;
        match header.filter(|header| header.number == number) {
            Some(header) if header.version > FORMAT_VERSION => {
                let (found, supported) = (header.version, FORMAT_VERSION);
                return Err(OpenError::NewerFormat { path, found, supported });
            }
            Some(header) => segments.headers.push(header),
            None => {
                let last = at + 1 == contents.segments.len();
                let replaceable = at > 0 || !has_checkpoint;
                // A header is durable before the first frame follows it, so a bad one
                // with nothing behind it never held anything.
                if last && replaceable && is_zero_after_header(disk, &path).await? {
                    segments.stillborn = Some(path);
                } else {
                    return Err(OpenError::damaged(&path, 0, "the segment's header is unreadable"));
                }
            }
        }
    }
    if segments.headers.is_empty() && has_checkpoint {
        return Err(OpenError::damaged(folder, 0, "the log behind the checkpoint is missing"));
    }
    Ok(segments)
}

async fn read_header(disk: &dyn Disk, path: &Path) -> Result<Option<FileHeader>, OpenError> {
    let file = disk.open(path, false).await.map_err(OpenError::io("open", path))?;
    let length = file.len().await.map_err(OpenError::io("read", path))?;
    if length < FILE_HEADER_BYTES as u64 {
        return Ok(None);
    }
    let head = file.read_at(0, FILE_HEADER_BYTES).await.map_err(OpenError::io("read", path))?;
    Ok(FileHeader::decode(&head, FileKind::Segment))
}

async fn is_zero_after_header(disk: &dyn Disk, path: &Path) -> Result<bool, OpenError> {
    let content = folder::read_all(disk, path).await.map_err(OpenError::io("read", path))?;
    Ok(content.iter().skip(FILE_HEADER_BYTES).all(|&byte| byte == 0))
}

/// Removes what a crash left behind and what a newer checkpoint replaced.
async fn clean_up(
    disk: &dyn Disk,
    contents: &Contents,
    segments: &Segments,
    folder: &Path,
) -> Result<(), OpenError> {
    let replaced = contents.checkpoints.iter().rev().skip(1).map(|&frame| checkpoint_path(folder, frame));
    for path in contents.unfinished.iter().cloned().chain(segments.stillborn.clone()).chain(replaced) {
        disk.remove(&path).await.map_err(OpenError::io("remove", &path))?;
    }
    Ok(())
}

/// The end of the log as it was read.
struct LogEnd {
    header: FileHeader,
    /// Behind the last frame.
    end: u64,
    /// Number of the frame that would come next.
    next_frame: u64,
    /// Length of the file.
    length: u64,
    /// True if something is behind the last frame that is no frame.
    torn: bool,
    /// The last frame and where it stands; it may not have been synced.
    last_frame: Option<(u64, Bytes)>,
}

impl LogEnd {
    async fn make_certain(self, disk: &dyn Disk, folder: &Path) -> Result<OpenSegment, OpenError> {
        let path = segment_path(folder, self.header.number);
        let file = disk.open(&path, false).await.map_err(OpenError::io("open", &path))?;
        let mut allocated = self.length;
        if self.torn {
            tracing::warn!(path = %path.display(), offset = self.end, "cut a write that a crash interrupted");
            file.set_len(self.end).await.map_err(OpenError::io("cut", &path))?;
            allocated = self.end;
        }
        // Written again and not only synced: after a failed sync the system may
        // count pages as clean that never reached the disk.
        let header = self.header.encode(FileKind::Segment);
        file.write_at(0, &[header]).await.map_err(OpenError::io("write", &path))?;
        if let Some((at, frame)) = self.last_frame {
            file.write_at(at, &[frame]).await.map_err(OpenError::io("write", &path))?;
        }
        file.sync().await.map_err(OpenError::io("sync", &path))?;
        Ok(OpenSegment { number: self.header.number, salt: self.header.salt, file, end: self.end, allocated })
    }
}

struct Replay {
    state: State,
    /// Events read from the checkpoint, by key.
    events: Vec<Event>,
    /// Events read from the log, in order.
    logged: Vec<(Revision, Events)>,
    checkpoint_frame: u64,
    checkpoint_bytes: u64,
    next_frame: u64,
    sealed: Vec<SealedSegment>,
    log_bytes: u64,
}

impl Replay {
    async fn start(disk: &dyn Disk, folder: &Path, contents: &Contents) -> Result<Replay, OpenError> {
        let mut replay = Replay {
            state: State::empty(),
            events: Vec::new(),
            logged: Vec::new(),
            checkpoint_frame: 0,
            checkpoint_bytes: 0,
            next_frame: 1,
            sealed: Vec::new(),
            log_bytes: 0,
        };
        if let Some(&newest) = contents.checkpoints.last() {
            let loaded = checkpoint::read(disk, &checkpoint_path(folder, newest)).await?;
            replay.state = loaded.state;
            replay.events = loaded.events;
            replay.checkpoint_frame = loaded.frame;
            replay.checkpoint_bytes = loaded.bytes;
            replay.next_frame = loaded.frame + 1;
        }
        Ok(replay)
    }

    /// Replays what the checkpoint does not hold; none if there is no log yet.
    async fn segments(
        &mut self,
        disk: &dyn Disk,
        folder: &Path,
        headers: &[FileHeader],
    ) -> Result<Option<LogEnd>, OpenError> {
        for (at, header) in headers.iter().enumerate() {
            let path = segment_path(folder, header.number);
            let next = headers.get(at + 1);
            if let Some(next) = next.filter(|next| next.first_frame <= self.checkpoint_frame + 1) {
                self.seal(disk, &path, header, next).await?;
                continue;
            }
            if header.first_frame > self.next_frame {
                return Err(OpenError::damaged(&path, 0, "the segment before it is missing"));
            }
            let content = folder::read_all(disk, &path).await.map_err(OpenError::io("read", &path))?;
            let end = self.segment(&path, *header, &content)?;
            let Some(next) = next else { return end.finish(&path, &content, self.next_frame).map(Some) };
            if next.first_frame != self.next_frame {
                return Err(OpenError::damaged(&path, end.end, "a part of the log is missing or unreadable"));
            }
            self.seal(disk, &path, header, next).await?;
        }
        Ok(None)
    }

    async fn seal(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        header: &FileHeader,
        next: &FileHeader,
    ) -> Result<(), OpenError> {
        let file = disk.open(path, false).await.map_err(OpenError::io("open", path))?;
        let bytes = file.len().await.map_err(OpenError::io("read", path))?;
        self.sealed.push(SealedSegment { number: header.number, last_frame: next.first_frame - 1, bytes });
        Ok(())
    }

    /// Replays the frames of one segment up to the first that is none.
    fn segment(&mut self, path: &Path, header: FileHeader, content: &Bytes) -> Result<LogEnd, OpenError> {
        let length = content.len() as u64;
        let (end, next_frame) = (FILE_HEADER_BYTES as u64, header.first_frame);
        let mut log_end = LogEnd { header, end, next_frame, length, torn: false, last_frame: None };
        while let Some(frame) = whole_frame(content, log_end.end as usize, header.salt, log_end.next_frame) {
            let number = log_end.next_frame;
            if number >= self.next_frame {
                let payload = &frame[FRAME_HEADER_BYTES..];
                self.frame(payload).map_err(|reason| OpenError::damaged(path, log_end.end, reason))?;
                self.next_frame = number + 1;
                self.log_bytes += frame.len() as u64;
            }
            log_end.next_frame += 1;
            let at = log_end.end;
            log_end.end = (at + frame.len() as u64).next_multiple_of(FRAME_ALIGNMENT as u64);
            log_end.last_frame = Some((at, frame));
        }
        Ok(log_end)
    }

    fn frame(&mut self, payload: &[u8]) -> Result<(), &'static str> {
        let mut input = Reader(payload);
        while !input.is_empty() {
            let record =
                Record::decode(&mut input).map_err(|Malformed| "a record of the log makes no sense")?;
            let revision = record.revision;
            if revision.0 != self.state.revision.0 && revision.0 != self.state.revision.0 + 1 {
                return Err("a record of the log has a revision out of order");
            }
            let events = self.state.replay(record);
            if !events.is_empty() {
                self.logged.push((revision, events));
            }
        }
        Ok(())
    }

    fn finish(mut self, log: Log) -> Recovered {
        self.trim();
        let events = self.event_log();
        let checkpoint =
            Some((self.checkpoint_frame, self.checkpoint_bytes)).filter(|(frame, _)| *frame != 0);
        Recovered { state: self.state, events, log, log_bytes: self.log_bytes, checkpoint }
    }

    /// Compacts at once; nobody is waiting for the lock yet.
    fn trim(&mut self) {
        let compacted = self.state.compacted;
        let has_garbage =
            |entry: &crate::index::Entry| entry.versions().nth(1).is_some() || entry.newest.is_deletion();
        let index = self.state.index.clone();
        for (key, _) in index.iter().filter(|(_, entry)| has_garbage(entry)) {
            self.state.trim(key, compacted);
        }
    }

    fn event_log(&mut self) -> VecDeque<Events> {
        let compacted = self.state.compacted;
        let count = (self.state.revision.0 - compacted.0) as usize;
        let mut log: VecDeque<Events> = std::iter::repeat_with(Events::new).take(count).collect();
        let mut place = |event: Event| {
            if let Some(at) = event.version.modified.0.checked_sub(compacted.0 + 1) {
                log[at as usize].push(event);
            }
        };
        self.events.drain(..).for_each(&mut place);
        self.logged.drain(..).flat_map(|(_, events)| events).for_each(&mut place);
        log
    }
}

impl LogEnd {
    /// Decides what stands behind the last frame of the log: nothing, a write that was
    /// interrupted, or damage.
    ///
    /// A frame is written when the one before it is durable. So if any later
    /// frame is there, the unreadable one was durable too, and may have been acknowledged.
    fn finish(mut self, path: &Path, content: &Bytes, next_frame: u64) -> Result<LogEnd, OpenError> {
        if self.next_frame < next_frame {
            return Err(OpenError::damaged(path, self.end, "the log ends before the checkpoint does"));
        }
        let rest = &content[(self.end as usize).min(content.len())..];
        if rest.iter().all(|&byte| byte == 0) {
            return Ok(self);
        }
        let later = (0..rest.len())
            .step_by(FRAME_ALIGNMENT)
            .filter_map(|at| FrameHeader::decode(&rest[at..], self.header.salt))
            .any(|header| header.number > next_frame);
        if later {
            return Err(OpenError::damaged(
                path,
                self.end,
                "a part of the log is unreadable, and more follows",
            ));
        }
        if !may_be_interrupted(rest, self.end as usize, self.header.salt) {
            return Err(OpenError::damaged(path, self.end, "the last write to the log is unreadable"));
        }
        self.torn = true;
        Ok(self)
    }
}

/// What the disk writes as a whole or not at all, at least.
const SECTOR_BYTES: usize = 512;

/// True if `rest`, which begins at `at` of the file and is no whole frame, may be
/// the part of a frame that a crash let through. Some sector of it is then as
/// it was before, and behind the end of the log that is zeros; a frame all of
/// whose sectors arrived was whole once, and has been damaged since.
fn may_be_interrupted(rest: &[u8], at: usize, salt: u64) -> bool {
    let written = match FrameHeader::decode(rest, salt) {
        Some(header) => FRAME_HEADER_BYTES + header.length as usize,
        None => FRAME_HEADER_BYTES,
    };
    let Some(written) = rest.get(..written) else { return true };
    let first = (SECTOR_BYTES - at % SECTOR_BYTES).min(written.len());
    let (first, others) = written.split_at(first);
    std::iter::once(first).chain(others.chunks(SECTOR_BYTES)).any(|part| part.iter().all(|&byte| byte == 0))
}

/// The frame at `at`, without padding, if it is whole and has the right number.
fn whole_frame(content: &Bytes, at: usize, salt: u64, number: u64) -> Option<Bytes> {
    let header = FrameHeader::decode(content.get(at..)?, salt).filter(|header| header.number == number)?;
    let payload_at = at + FRAME_HEADER_BYTES;
    let end = payload_at + header.length as usize;
    let payload = content.get(payload_at..end)?;
    (crc32c::crc32c(payload) == header.payload_crc).then(|| content.slice(at..end))
}
