//! Frames on the wire: what is in them, not what they mean.
//!
//! ```text
//! control: 1 version(15)=3 | type(16) | flags(8) length(24) | payload
//! data:    0 stream(31)    | flags(8) length(24) | payload
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes in front of every payload.
pub const HEAD_BYTES: usize = 8;
/// No further frames of this stream come from the sender.
pub const FLAG_FIN: u8 = 1;
/// Most bytes of data written in one frame.
pub const DATA_BYTES_MAX: usize = 32 * 1024;

const VERSION: u16 = 0x8003;

/// Types of control frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Opens a stream.
    SynStream,
    /// Accepts one.
    SynReply,
    /// Breaks one off.
    RstStream,
    /// Asks whether the other is there, or says so.
    Ping,
    /// No further streams are accepted.
    GoAway,
    /// More headers.
    Headers,
    /// Anything that is skipped here.
    Other,
}

/// The first eight bytes of a frame, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Of a control frame.
    Control {
        /// What it is.
        kind: Kind,
        /// Flags.
        flags: u8,
        /// Bytes that follow.
        length: usize,
    },
    /// Of data.
    Data {
        /// Stream.
        id: u32,
        /// Flags.
        flags: u8,
        /// Bytes that follow.
        length: usize,
    },
}

impl Head {
    /// Reads a head. None if it is of another version.
    pub fn read(mut bytes: [u8; HEAD_BYTES]) -> Option<Head> {
        let length = usize::from(bytes[5]) << 16 | usize::from(bytes[6]) << 8 | usize::from(bytes[7]);
        let flags = bytes[4];
        if bytes[0] & 0x80 == 0 {
            let id = (&bytes[..4]).get_u32();
            return Some(Head::Data { id, flags, length });
        }
        let mut fields = &mut bytes[..4] as &[u8];
        if fields.get_u16() != VERSION {
            return None;
        }
        let kind = match fields.get_u16() {
            1 => Kind::SynStream,
            2 => Kind::SynReply,
            3 => Kind::RstStream,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::Headers,
            _ => Kind::Other,
        };
        Some(Head::Control { kind, flags, length })
    }
}

/// A frame to be written; header blocks are compressed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Stream.
        id: u32,
        /// Compressed headers.
        block: Bytes,
    },
    /// Accepts a stream.
    SynReply {
        /// Stream.
        id: u32,
        /// Compressed headers.
        block: Bytes,
    },
    /// Breaks a stream off.
    RstStream {
        /// Stream.
        id: u32,
        /// Why.
        status: u32,
    },
    /// Asks or answers.
    Ping {
        /// Odd if a client asked.
        id: u32,
    },
    /// Data of a stream, at most 24 bits of length.
    Data {
        /// Stream.
        id: u32,
        /// It is the last.
        fin: bool,
        /// The bytes.
        bytes: Bytes,
    },
}

impl Frame {
    /// Appends the frame as it goes over the wire.
    pub fn write(&self, out: &mut BytesMut) {
        match self {
            Frame::SynStream { id, block } => {
                control(1, block.len() + 10, out);
                out.put_u32(*id);
                // No stream it belongs to, no priority, no slot.
                out.put_u32(0);
                out.put_u16(0);
                out.put_slice(block);
            }
            Frame::SynReply { id, block } => {
                control(2, block.len() + 4, out);
                out.put_u32(*id);
                out.put_slice(block);
            }
            Frame::RstStream { id, status } => {
                control(3, 8, out);
                out.put_u32(*id);
                out.put_u32(*status);
            }
            Frame::Ping { id } => {
                control(6, 4, out);
                out.put_u32(*id);
            }
            Frame::Data { id, fin, bytes } => {
                out.put_u32(*id);
                out.put_u8(if *fin { FLAG_FIN } else { 0 });
                put_length(bytes.len(), out);
                out.put_slice(bytes);
            }
        }
    }
}

fn control(kind: u16, length: usize, out: &mut BytesMut) {
    out.put_u16(VERSION);
    out.put_u16(kind);
    out.put_u8(0);
    put_length(length, out);
}

fn put_length(length: usize, out: &mut BytesMut) {
    let length = u32::try_from(length).expect("frames are written in pieces of DATA_BYTES_MAX");
    out.put_uint(u64::from(length), 3);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(frame: &Frame) -> Vec<u8> {
        let mut out = BytesMut::new();
        frame.write(&mut out);
        out.to_vec()
    }

    fn head(bytes: &[u8]) -> Option<Head> {
        Head::read(bytes[..HEAD_BYTES].try_into().expect("a head"))
    }

    #[test]
    fn frames_have_the_bytes_of_the_draft() {
        let ping = written(&Frame::Ping { id: 3 });
        assert_eq!(ping, [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 3]);
        let data = written(&Frame::Data { id: 5, fin: true, bytes: Bytes::from_static(b"ab") });
        assert_eq!(data, [0, 0, 0, 5, 1, 0, 0, 2, b'a', b'b']);
        let syn = written(&Frame::SynStream { id: 1, block: Bytes::from_static(b"x") });
        assert_eq!(syn, [0x80, 3, 0, 1, 0, 0, 0, 11, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, b'x']);
    }

    #[test]
    fn heads_are_read_back() {
        let data = written(&Frame::Data { id: 7, fin: true, bytes: Bytes::from(vec![0; 70_000]) });
        assert_eq!(head(&data), Some(Head::Data { id: 7, flags: FLAG_FIN, length: 70_000 }));
        let reset = written(&Frame::RstStream { id: 1, status: 5 });
        assert_eq!(head(&reset), Some(Head::Control { kind: Kind::RstStream, flags: 0, length: 8 }));
        assert_eq!(head(&[0x80, 2, 0, 1, 0, 0, 0, 0]), None, "version 2");
    }
}
