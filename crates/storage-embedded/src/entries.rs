//! The entries of a checkpoint or a snapshot as frames of bytes. Opens no file
//! and does not judge what the entries mean.

use bytes::{BufMut, Bytes};
use meta::Revision;
use storage::backend::{KeyValue, LeaseId};

use crate::format::{FrameBuilder, Malformed, Reader, put_bytes};

/// Payload of a frame at which it is closed. The memory that writing takes beside the snapshot.
pub(crate) const FRAME_BYTES: usize = 256 << 10;

const VERSION: u8 = 1;
const LEASE: u8 = 2;
const END: u8 = 3;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A version of a key; version 0 is a deletion.
    Version(KeyValue),
    Lease {
        lease: LeaseId,
        ttl_seconds: i64,
    },
    /// Nothing follows. Holds the count of versions before it.
    End(u64),
}

impl Entry {
    /// Reads one entry off a frame's payload.
    pub fn decode(input: &mut Reader<'_>) -> Result<Entry, Malformed> {
        Ok(match input.u8()? {
            VERSION => {
                let (create_revision, mod_revision) = (Revision(input.u64()?), Revision(input.u64()?));
                let (version, lease) = (input.i64()?, LeaseId(input.i64()?));
                let (key, value) = (input.bytes()?, input.bytes()?);
                Entry::Version(KeyValue { key, value, create_revision, mod_revision, version, lease })
            }
            LEASE => Entry::Lease { lease: LeaseId(input.i64()?), ttl_seconds: input.i64()? },
            END => Entry::End(input.u64()?),
            _ => return Err(Malformed),
        })
    }
}

/// Makes frames of entries, numbered from 1.
pub(crate) struct EntryWriter {
    salt: u64,
    frame: FrameBuilder,
    /// Number of the frame that is being filled.
    number: u64,
    versions: u64,
}

impl EntryWriter {
    /// Goes on behind `frames` frames that hold `versions` versions.
    pub fn new(salt: u64, frames: u64, versions: u64) -> EntryWriter {
        EntryWriter { salt, frame: FrameBuilder::with_capacity(FRAME_BYTES), number: frames + 1, versions }
    }

    pub fn lease(&mut self, lease: LeaseId, ttl_seconds: i64) {
        let out = self.frame.payload();
        out.put_u8(LEASE);
        out.put_i64_le(lease.0);
        out.put_i64_le(ttl_seconds);
    }

    pub fn version(&mut self, kv: &KeyValue) {
        self.versions += 1;
        let out = self.frame.payload();
        out.put_u8(VERSION);
        out.put_u64_le(kv.create_revision.0);
        out.put_u64_le(kv.mod_revision.0);
        out.put_i64_le(kv.version);
        out.put_i64_le(kv.lease.0);
        put_bytes(out, &kv.key);
        put_bytes(out, &kv.value);
    }

    /// True if the frame is large enough to be written.
    pub fn is_full(&self) -> bool {
        self.frame.payload_bytes() >= FRAME_BYTES
    }

    /// The frame as far as it is filled; the next entries go into a new one.
    pub fn cut(&mut self) -> Bytes {
        let next = FrameBuilder::with_capacity(FRAME_BYTES);
        let frame = std::mem::replace(&mut self.frame, next).finish(self.number, self.salt);
        self.number += 1;
        frame
    }

    /// The last frame.
    pub fn finish(mut self) -> Bytes {
        let versions = self.versions;
        let out = self.frame.payload();
        out.put_u8(END);
        out.put_u64_le(versions);
        self.cut()
    }
}
