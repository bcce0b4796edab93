//! Bytes on disk: frames, records and file headers, as docs/storage-format.md
//! pictures them. Encodes and decodes; opens no file and decides nothing.

use bytes::{BufMut, Bytes};
use meta::Revision;
use smallvec::SmallVec;
use storage::backend::LeaseId;

/// Version of everything in this file. Raised when an older program could no longer read what is written.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// What one transaction, lease operation or compaction did. The unit of replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The store's revision afterwards; of everything the record changed.
    pub revision: Revision,
    pub ops: SmallVec<[RecordOp; 1]>,
}

/// One step of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordOp {
    Put { key: Bytes, value: Bytes, lease: LeaseId },
    Delete { key: Bytes },
    LeaseGrant { lease: LeaseId, ttl_seconds: i64 },
    LeaseEnd { lease: LeaseId },
    Compact { revision: Revision },
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const LEASE_GRANT: u8 = 3;
const LEASE_END: u8 = 4;
const COMPACT: u8 = 5;

impl Record {
    /// Appends the record to a frame's payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.revision.0);
        out.put_u32_le(
            u32::try_from(self.ops.len()).expect("a request limit far below 4 G bounds the operations"),
        );
        for op in &self.ops {
            op.encode(out);
        }
    }

    /// Reads one record. Keys and values get allocations of their own: a
    /// slice would keep the whole segment in memory.
    pub fn decode(input: &mut Reader<'_>) -> Result<Record, Malformed> {
        let revision = Revision(input.u64()?);
        let count = input.u32()?;
        let ops = (0..count).map(|_| RecordOp::decode(input)).collect::<Result<_, _>>()?;
        Ok(Record { revision, ops })
    }

    /// Roughly the bytes the record takes in a frame.
    pub fn size(&self) -> usize {
        12 + self.ops.iter().map(RecordOp::size).sum::<usize>()
    }
}

impl RecordOp {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            RecordOp::Put { key, value, lease } => {
                out.put_u8(PUT);
                out.put_i64_le(lease.0);
                put_bytes(out, key);
                put_bytes(out, value);
            }
            RecordOp::Delete { key } => {
                out.put_u8(DELETE);
                put_bytes(out, key);
            }
            RecordOp::LeaseGrant { lease, ttl_seconds } => {
                out.put_u8(LEASE_GRANT);
                out.put_i64_le(lease.0);
                out.put_i64_le(*ttl_seconds);
            }
            RecordOp::LeaseEnd { lease } => {
                out.put_u8(LEASE_END);
                out.put_i64_le(lease.0);
            }
            RecordOp::Compact { revision } => {
                out.put_u8(COMPACT);
                out.put_u64_le(revision.0);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<RecordOp, Malformed> {
        Ok(match input.u8()? {
            PUT => {
                let lease = LeaseId(input.i64()?);
                RecordOp::Put { lease, key: input.bytes()?, value: input.bytes()? }
            }
            DELETE => RecordOp::Delete { key: input.bytes()? },
            LEASE_GRANT => RecordOp::LeaseGrant { lease: LeaseId(input.i64()?), ttl_seconds: input.i64()? },
            LEASE_END => RecordOp::LeaseEnd { lease: LeaseId(input.i64()?) },
            COMPACT => RecordOp::Compact { revision: Revision(input.u64()?) },
            _ => return Err(Malformed),
        })
    }

    fn size(&self) -> usize {
        match self {
            RecordOp::Put { key, value, .. } => 17 + key.len() + value.len(),
            RecordOp::Delete { key } => 5 + key.len(),
            _ => 17,
        }
    }
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32_le(
        u32::try_from(bytes.len()).expect("a request limit far below 4 GiB bounds keys and values"),
    );
    out.put_slice(bytes);
}

/// The bytes have a good checksum and still make no sense: a bug, or a newer writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads numbers and byte strings off a slice.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = self.u32()? as usize;
        let (head, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(Bytes::copy_from_slice(head))
    }
}

/// Length of a frame's header.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;
/// Frames start at multiples of this.
pub(crate) const FRAME_ALIGNMENT: usize = 8;
const FRAME_MAGIC: &[u8; 4] = b"PFrm";

/// The header of a frame: what is written with one sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of payload.
    pub length: u32,
    /// Frames are numbered without gaps.
    pub number: u64,
    pub payload_crc: u32,
}

impl FrameHeader {
    /// The header at the start of `input`; none if there is no whole one.
    ///
    /// The salt is mixed into the checksum so that a value which happens to
    /// hold the image of a log cannot be taken for frames of this one.
    pub fn decode(input: &[u8], salt: u64) -> Option<FrameHeader> {
        let header = input.first_chunk::<FRAME_HEADER_BYTES>()?;
        let mut reader = Reader(&header[4..]);
        let length = reader.u32().ok()?;
        let number = reader.u64().ok()?;
        let payload_crc = reader.u32().ok()?;
        let good = header.starts_with(FRAME_MAGIC) && reader.u32() == Ok(header_crc(&header[..20], salt));
        good.then_some(FrameHeader { length, number, payload_crc })
    }

    /// Bytes of the whole frame, with padding.
    pub fn frame_bytes(&self) -> usize {
        (FRAME_HEADER_BYTES + self.length as usize).next_multiple_of(FRAME_ALIGNMENT)
    }
}

fn header_crc(header: &[u8], salt: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), header)
}

/// Builds a frame in one buffer.
pub(crate) struct FrameBuilder {
    buffer: Vec<u8>,
}

impl FrameBuilder {
    pub fn with_capacity(payload: usize) -> FrameBuilder {
        let mut buffer = Vec::with_capacity(FRAME_HEADER_BYTES + payload + FRAME_ALIGNMENT);
        buffer.resize(FRAME_HEADER_BYTES, 0);
        FrameBuilder { buffer }
    }

    /// Where the payload is appended.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub fn payload_bytes(&self) -> usize {
        self.buffer.len() - FRAME_HEADER_BYTES
    }

    /// Bytes of the finished frame.
    pub fn frame_bytes(&self) -> u64 {
        self.buffer.len().next_multiple_of(FRAME_ALIGNMENT) as u64
    }

    /// Checksums, pads and numbers it.
    pub fn finish(mut self, number: u64, salt: u64) -> Bytes {
        let length = u32::try_from(self.payload_bytes()).expect("the queue limit bounds a frame");
        let payload_crc = crc32c::crc32c(&self.buffer[FRAME_HEADER_BYTES..]);
        let mut header = Vec::with_capacity(FRAME_HEADER_BYTES);
        header.put_slice(FRAME_MAGIC);
        header.put_u32_le(length);
        header.put_u64_le(number);
        header.put_u32_le(payload_crc);
        let crc = header_crc(&header, salt);
        header.put_u32_le(crc);
        self.buffer[..FRAME_HEADER_BYTES].copy_from_slice(&header);
        self.buffer.resize(self.buffer.len().next_multiple_of(FRAME_ALIGNMENT), 0);
        self.buffer.into()
    }
}

/// Length of the header of a segment, checkpoint or snapshot.
pub(crate) const FILE_HEADER_BYTES: usize = 64;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Segment,
    Checkpoint,
    Snapshot,
}

impl FileKind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            FileKind::Segment => b"PintlLog",
            FileKind::Checkpoint => b"PintlCkp",
            FileKind::Snapshot => b"PintlSnp",
        }
    }
}

/// The header of a segment, checkpoint or snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub version: u32,
    /// Segment: its place in the sequence. Checkpoint: the last log frame it contains.
    /// Snapshot: keys in it.
    pub number: u64,
    /// Segment: its first frame. Others: not used.
    pub first_frame: u64,
    pub salt: u64,
    /// The store's revision. Segment: not used.
    pub revision: Revision,
    /// The highest compacted revision. Segment: not used.
    pub compacted: Revision,
}

impl FileHeader {
    pub fn encode(&self, kind: FileKind) -> Bytes {
        let mut out = Vec::with_capacity(FILE_HEADER_BYTES);
        out.put_slice(kind.magic());
        out.put_u32_le(self.version);
        out.put_u64_le(self.number);
        out.put_u64_le(self.first_frame);
        out.put_u64_le(self.salt);
        out.put_u64_le(self.revision.0);
        out.put_u64_le(self.compacted.0);
        out.resize(FILE_HEADER_BYTES - 4, 0);
        let crc = crc32c::crc32c(&out);
        out.put_u32_le(crc);
        out.into()
    }

    /// The header at the start of `input`; none if it is cut, torn or of another kind.
    pub fn decode(input: &[u8], kind: FileKind) -> Option<FileHeader> {
        let header = input.first_chunk::<FILE_HEADER_BYTES>()?;
        let (content, crc) = header.split_at(FILE_HEADER_BYTES - 4);
        if !header.starts_with(kind.magic()) || crc != crc32c::crc32c(content).to_le_bytes() {
            return None;
        }
        let mut reader = Reader(&header[8..]);
        Some(FileHeader {
            version: reader.u32().ok()?,
            number: reader.u64().ok()?,
            first_frame: reader.u64().ok()?,
            salt: reader.u64().ok()?,
            revision: Revision(reader.u64().ok()?),
            compacted: Revision(reader.u64().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        let key = Bytes::from_static(b"/registry/pods/a");
        let ops: [RecordOp; 5] = [
            RecordOp::Put { key: key.clone(), value: Bytes::from_static(b"value"), lease: LeaseId(7) },
            RecordOp::Delete { key },
            RecordOp::LeaseGrant { lease: LeaseId(-3), ttl_seconds: 10 },
            RecordOp::LeaseEnd { lease: LeaseId(9) },
            RecordOp::Compact { revision: Revision(5) },
        ];
        ops.into_iter().map(|op| Record { revision: Revision(42), ops: smallvec::smallvec![op] }).collect()
    }

    fn frame(number: u64, salt: u64) -> Bytes {
        let mut builder = FrameBuilder::with_capacity(0);
        for record in records() {
            record.encode(builder.payload());
        }
        builder.finish(number, salt)
    }

    #[test]
    fn records_survive_a_frame() {
        let frame = frame(3, 99);
        let header = FrameHeader::decode(&frame, 99).unwrap();
        assert_eq!((header.number, header.frame_bytes()), (3, frame.len()));
        let payload = &frame[FRAME_HEADER_BYTES..][..header.length as usize];
        assert_eq!(crc32c::crc32c(payload), header.payload_crc);
        let mut reader = Reader(payload);
        let mut decoded = Vec::new();
        while !reader.is_empty() {
            decoded.push(Record::decode(&mut reader).unwrap());
        }
        assert_eq!(decoded, records());
    }

    #[test]
    fn a_frame_of_another_log_is_no_frame() {
        assert_eq!(FrameHeader::decode(&frame(3, 99), 98), None);
    }

    #[test]
    fn a_cut_record_is_malformed_and_no_panic() {
        let mut bytes = Vec::new();
        records()[0].encode(&mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(Record::decode(&mut Reader(&bytes[..cut])), Err(Malformed));
        }
    }

    #[test]
    fn a_file_header_is_refused_when_any_bit_flips() {
        let header = FileHeader {
            version: FORMAT_VERSION,
            number: 4,
            first_frame: 17,
            salt: 5,
            revision: Revision(6),
            compacted: Revision(7),
        };
        let bytes = header.encode(FileKind::Segment);
        assert_eq!(FileHeader::decode(&bytes, FileKind::Segment), Some(header));
        assert_eq!(FileHeader::decode(&bytes, FileKind::Checkpoint), None);
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert_eq!(FileHeader::decode(&damaged, FileKind::Segment), None, "byte {at}");
        }
    }
}
