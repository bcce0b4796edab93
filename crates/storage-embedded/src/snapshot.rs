//! Snapshots: a store at one revision as a stream of bytes, to be kept in a
//! file, sent over a wire, and made a store again by [`Restore`](crate::Restore).
//!
//! A snapshot holds what a checkpoint holds, all retained versions and leases,
//! and is independent of the log and the folder it was taken from. Every frame
//! has a checksum and the last one says that it is the last, so a damaged or cut
//! snapshot is known as such. Opens no file.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use meta::Revision;
use storage::backend::{KeyValue, LeaseId};

use crate::checkpoint;
use crate::entries::{Entry, EntryWriter};
use crate::format::{
    FILE_HEADER_BYTES, FORMAT_VERSION, FRAME_HEADER_BYTES, FileHeader, FileKind, FrameHeader, Reader,
};

/// Longest frame that is believed in, in bytes: a frame holds at most one entry
/// beyond its usual size, and an entry is bounded by a request.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// What a snapshot says before its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHead {
    /// The store's revision.
    pub revision: Revision,
    /// Its highest compacted revision, 0 if none.
    pub compacted: Revision,
    /// Keys in it, roughly: for whoever shows how far a copy is.
    pub keys: u64,
}

/// One thing a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotEntry {
    /// A lease. Stands before the versions that use it.
    Lease {
        /// Its id.
        lease: LeaseId,
        /// Its time to live.
        ttl_seconds: i64,
    },
    /// A version of a key; version 0 is a deletion, of which key and mod revision count. Versions
    /// come in key order, those of a key oldest first.
    Version(KeyValue),
}

/// Why bytes are no snapshot that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It does not begin as one.
    #[error("this is no snapshot of an embedded store, or its first bytes are damaged")]
    NotASnapshot,
    /// A newer program made it.
    #[error(
        "the snapshot has format {found}, this program understands formats up to {supported}: use a newer program"
    )]
    NewerFormat {
        /// Its format.
        found: u32,
        /// The newest format this program understands.
        supported: u32,
    },
    /// Bytes are not what was written.
    #[error("the snapshot is damaged at byte {offset}: {reason}")]
    Damaged {
        /// Where the damage starts.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// It ends before its end.
    #[error("the snapshot is incomplete: it ends at byte {offset}, in the middle")]
    Cut {
        /// Its length.
        offset: u64,
    },
}

/// Makes a snapshot from entries: for content that comes from elsewhere. Bytes
/// are to be put together in the order in which they are handed out.
pub struct SnapshotWriter(EntryWriter);

impl SnapshotWriter {
    /// Begins a snapshot; returns its first bytes too. The salt should be random.
    pub fn new(head: &SnapshotHead, salt: u64) -> (SnapshotWriter, Bytes) {
        let header = FileHeader {
            version: FORMAT_VERSION,
            number: head.keys,
            first_frame: 0,
            salt,
            revision: head.revision,
            compacted: head.compacted,
        };
        (SnapshotWriter(EntryWriter::new(salt, 0, 0)), header.encode(FileKind::Snapshot))
    }

    /// Goes on behind what `reader` has read, which must be the whole frames of an unfinished snapshot.
    pub fn resume(reader: &SnapshotReader) -> SnapshotWriter {
        SnapshotWriter(EntryWriter::new(reader.salt, reader.frames, reader.versions))
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: &SnapshotEntry) {
        match entry {
            SnapshotEntry::Lease { lease, ttl_seconds } => self.0.lease(*lease, *ttl_seconds),
            SnapshotEntry::Version(kv) => self.0.version(kv),
        }
    }

    /// True if enough was added for a frame. More is no error until it is 64 MiB.
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Everything added since the last call, as a frame that can be read without what follows.
    pub fn cut(&mut self) -> Bytes {
        self.0.cut()
    }

    /// Ends the snapshot.
    pub fn finish(self) -> Bytes {
        self.0.finish()
    }
}

/// A consistent snapshot of an open store, as it is made: writers go on meanwhile.
/// Pieces are about 256 KiB; only the piece being made is in memory twice.
pub struct SnapshotStream {
    snapshot: Arc<checkpoint::Snapshot>,
    writer: Option<EntryWriter>,
    head: Option<Bytes>,
    leases_done: bool,
    /// The key up to which all is written.
    last: Option<Bytes>,
}

impl SnapshotStream {
    pub(crate) fn new(snapshot: Arc<checkpoint::Snapshot>, salt: u64) -> SnapshotStream {
        let head = SnapshotHead {
            revision: snapshot.revision,
            compacted: snapshot.compacted,
            keys: snapshot.index.len() as u64,
        };
        let (writer, first) = SnapshotWriter::new(&head, salt);
        SnapshotStream { snapshot, writer: Some(writer.0), head: Some(first), leases_done: false, last: None }
    }

    /// Revision of the snapshot.
    pub fn revision(&self) -> Revision {
        self.snapshot.revision
    }
}

impl Iterator for SnapshotStream {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        let writer = self.writer.as_mut()?;
        if !std::mem::replace(&mut self.leases_done, true) {
            for (lease, ttl_seconds) in &self.snapshot.leases {
                writer.lease(*lease, *ttl_seconds);
            }
        }
        let start = self.last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        for (key, entry) in self.snapshot.index.range::<_, [u8]>((start, Bound::Unbounded)) {
            checkpoint::put_versions(writer, key, entry);
            if writer.is_full() {
                last = Some(key.clone());
                break;
            }
        }
        match last {
            Some(last) => {
                self.last = Some(last);
                Some(writer.cut())
            }
            None => self.writer.take().map(EntryWriter::finish),
        }
    }
}

/// Reads a snapshot as its bytes come in, and checks all of them.
#[derive(Default)]
pub struct SnapshotReader {
    buffer: BytesMut,
    /// Of the first byte in the buffer.
    offset: u64,
    head: Option<SnapshotHead>,
    salt: u64,
    /// Whole frames read.
    frames: u64,
    versions: u64,
    /// Entries of the newest frame that were not handed out yet.
    payload: Bytes,
    complete: bool,
    leases: BTreeSet<LeaseId>,
    last: Option<(Bytes, Revision)>,
}

impl SnapshotReader {
    /// A reader at the start of a snapshot.
    pub fn new() -> SnapshotReader {
        SnapshotReader::default()
    }

    /// Adds the bytes that follow.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next entry; none if more bytes are needed, or at the end.
    pub fn next_entry(&mut self) -> Result<Option<SnapshotEntry>, SnapshotError> {
        loop {
            if !self.payload.is_empty() {
                match self.entry()? {
                    Some(entry) => return Ok(Some(entry)),
                    None => continue,
                }
            }
            if !self.frame()? {
                return Ok(None);
            }
        }
    }

    /// Reads what it says first; none if more bytes are needed.
    pub fn read_head(&mut self) -> Result<Option<SnapshotHead>, SnapshotError> {
        if self.head.is_none() {
            self.header()?;
        }
        Ok(self.head)
    }

    /// What it says first, as soon as that was read.
    pub fn head(&self) -> Option<&SnapshotHead> {
        self.head.as_ref()
    }

    /// Bytes up to the end of the last whole frame.
    pub fn whole_bytes(&self) -> u64 {
        self.offset
    }

    /// True if the snapshot's end was read.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// To be called when no more bytes come: fails if the end was not among them.
    pub fn finish(&self) -> Result<SnapshotHead, SnapshotError> {
        let length = self.offset + self.buffer.len() as u64;
        match self.head {
            Some(_) if self.complete && !self.buffer.is_empty() => {
                Err(SnapshotError::Damaged { offset: self.offset, reason: "something follows its end" })
            }
            Some(head) if self.complete => Ok(head),
            None if length == 0 => Err(SnapshotError::NotASnapshot),
            _ => Err(SnapshotError::Cut { offset: length }),
        }
    }

    /// Reads the header or the next whole frame; false if it is not there yet.
    fn frame(&mut self) -> Result<bool, SnapshotError> {
        if self.head.is_none() {
            return self.header();
        }
        if self.complete || self.buffer.len() < FRAME_HEADER_BYTES {
            return Ok(false);
        }
        let header = FrameHeader::decode(&self.buffer, self.salt);
        let Some(header) = header.filter(|header| header.number == self.frames + 1) else {
            return Err(self.damaged("a part of it is missing or unreadable"));
        };
        let bytes = header.frame_bytes();
        if bytes > FRAME_BYTES_MAX {
            return Err(self.damaged("a part of it is longer than any that is written"));
        }
        if self.buffer.len() < bytes {
            return Ok(false);
        }
        let payload = &self.buffer[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + header.length as usize];
        if crc32c::crc32c(payload) != header.payload_crc {
            return Err(self.damaged("a part of it is unreadable"));
        }
        self.payload = Bytes::copy_from_slice(payload);
        self.buffer.advance(bytes);
        self.offset += bytes as u64;
        self.frames += 1;
        Ok(true)
    }

    fn header(&mut self) -> Result<bool, SnapshotError> {
        if self.buffer.len() < FILE_HEADER_BYTES {
            return Ok(false);
        }
        let header =
            FileHeader::decode(&self.buffer, FileKind::Snapshot).ok_or(SnapshotError::NotASnapshot)?;
        if header.version > FORMAT_VERSION {
            let (found, supported) = (header.version, FORMAT_VERSION);
            return Err(SnapshotError::NewerFormat { found, supported });
        }
        let FileHeader { number: keys, revision, compacted, .. } = header;
        self.head = Some(SnapshotHead { revision, compacted, keys });
        self.salt = header.salt;
        self.buffer.advance(FILE_HEADER_BYTES);
        self.offset = FILE_HEADER_BYTES as u64;
        Ok(true)
    }

    /// The next entry of the frame; none for the end.
    fn entry(&mut self) -> Result<Option<SnapshotEntry>, SnapshotError> {
        let mut input = Reader(&self.payload);
        let before = input.0.len();
        let entry = Entry::decode(&mut input).map_err(|_| self.damaged("its content makes no sense"))?;
        let used = before - input.0.len();
        self.payload.advance(used);
        match entry {
            Entry::Lease { lease, ttl_seconds } => {
                self.leases.insert(lease);
                Ok(Some(SnapshotEntry::Lease { lease, ttl_seconds }))
            }
            Entry::Version(kv) => {
                self.check(&kv)?;
                self.versions += 1;
                self.last = Some((kv.key.clone(), kv.mod_revision));
                Ok(Some(SnapshotEntry::Version(kv)))
            }
            Entry::End(versions) if versions == self.versions && self.payload.is_empty() => {
                self.complete = true;
                Ok(None)
            }
            Entry::End(_) => Err(self.damaged("its end does not fit what is before it")),
        }
    }

    /// Refuses a version that no store could have had: restored, it would do harm much later.
    fn check(&self, kv: &KeyValue) -> Result<(), SnapshotError> {
        let newest = self.head.map_or(Revision(0), |head| head.revision);
        let ordered = match &self.last {
            None => true,
            Some((key, revision)) => (key, *revision) < (&kv.key, kv.mod_revision),
        };
        let known_lease = kv.lease == LeaseId(0) || self.leases.contains(&kv.lease);
        let whole = kv.version == 0 || (kv.version > 0 && kv.create_revision <= kv.mod_revision);
        if ordered && known_lease && whole && kv.mod_revision <= newest {
            return Ok(());
        }
        Err(self.damaged("a version in it does not fit the others"))
    }

    fn damaged(&self, reason: &'static str) -> SnapshotError {
        SnapshotError::Damaged { offset: self.offset, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: SnapshotHead = SnapshotHead { revision: Revision(9), compacted: Revision(3), keys: 2 };

    fn version(key: &'static str, modified: u64, lease: i64) -> SnapshotEntry {
        SnapshotEntry::Version(KeyValue {
            key: key.into(),
            value: "value".into(),
            create_revision: Revision(2),
            mod_revision: Revision(modified),
            version: 1,
            lease: LeaseId(lease),
        })
    }

    fn entries() -> Vec<SnapshotEntry> {
        let lease = SnapshotEntry::Lease { lease: LeaseId(7), ttl_seconds: 10 };
        vec![lease, version("a", 4, 7), version("a", 5, 0), version("b", 9, 0)]
    }

    /// With a frame for each entry.
    fn written(entries: &[SnapshotEntry]) -> Vec<u8> {
        let (mut writer, mut bytes) = {
            let (writer, head) = SnapshotWriter::new(&HEAD, 5);
            (writer, head.to_vec())
        };
        for entry in entries {
            writer.add(entry);
            bytes.extend_from_slice(&writer.cut());
        }
        bytes.extend_from_slice(&writer.finish());
        bytes
    }

    fn read(bytes: &[u8], step: usize) -> Result<Vec<SnapshotEntry>, SnapshotError> {
        let mut reader = SnapshotReader::new();
        let mut entries = Vec::new();
        for piece in bytes.chunks(step) {
            reader.push(piece);
            while let Some(entry) = reader.next_entry()? {
                entries.push(entry);
            }
        }
        assert_eq!(reader.finish()?, HEAD);
        Ok(entries)
    }

    #[test]
    fn what_was_written_is_read_in_pieces_of_any_size() {
        let bytes = written(&entries());
        for step in [1, 7, 64, 1000] {
            assert_eq!(read(&bytes, step), Ok(entries()));
        }
    }

    #[test]
    fn a_snapshot_cut_anywhere_is_refused() {
        let bytes = written(&entries());
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut], 1000).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_is_refused_or_harmless() {
        let bytes = written(&entries());
        let mut harmless = 0;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            match read(&damaged, 1000) {
                Err(_) => {}
                // In the padding behind a frame.
                Ok(read) => {
                    assert_eq!(read, entries(), "at {at}");
                    harmless += 1;
                }
            }
        }
        assert!(harmless < 8 * 5, "{harmless}");
    }

    #[test]
    fn versions_that_no_store_could_have_had_are_refused() {
        for (bad, why) in [
            (vec![version("b", 4, 0), version("a", 5, 0)], "keys out of order"),
            (vec![version("a", 5, 0), version("a", 5, 0)], "the same version twice"),
            (vec![version("a", 10, 0)], "newer than the snapshot"),
            (vec![version("a", 1, 0)], "changed before it was made"),
            (vec![version("a", 4, 1)], "a lease that is not there"),
        ] {
            assert!(matches!(read(&written(&bad), 1000), Err(SnapshotError::Damaged { .. })), "{why}");
        }
    }

    #[test]
    fn an_unfinished_snapshot_goes_on_where_its_whole_frames_end() {
        let all = entries();
        let bytes = written(&all);
        let mut reader = SnapshotReader::new();
        // Two whole frames and a part of the third.
        let (_, first) = all.split_at(0);
        let two = written(&first[..2]).len() - written(&[]).len() + FILE_HEADER_BYTES;
        reader.push(&bytes[..two + 10]);
        let mut read_before = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            read_before.push(entry);
        }
        assert_eq!((read_before.as_slice(), reader.whole_bytes()), (&all[..2], two as u64));
        let mut writer = SnapshotWriter::resume(&reader);
        let mut whole = bytes[..two].to_vec();
        for entry in &all[2..] {
            writer.add(entry);
            whole.extend_from_slice(&writer.cut());
        }
        whole.extend_from_slice(&writer.finish());
        assert_eq!(read(&whole, 1000), Ok(all));
    }
}
