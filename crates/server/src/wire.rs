//! The few protobuf fields the server writes around messages it already has:
//! lists, watch events, envelopes' lengths. Messages themselves are the codec's.

/// Appends a length-delimited field.
pub fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_header(number, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends key and length of a length-delimited field.
pub fn put_header(number: u32, length: usize, out: &mut Vec<u8>) {
    put_varint(u64::from(number << 3 | 2), out);
    put_varint(length as u64, out);
}

/// Appends a variable-length integer.
pub fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes a length-delimited field takes with key (numbers below 16) and length.
pub fn field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_foretold_is_the_length_written() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let mut out = Vec::new();
            put_header(2, length, &mut out);
            assert_eq!(out.len() + length, field_len(length), "{length}");
        }
    }
}
