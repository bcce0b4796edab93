//! The node ports taken, as a RangeAllocation holds them, and the rules by
//! which ports are picked. Owns no storage.
//!
//! `data` of a RangeAllocation is one big number, most significant byte first
//! and without leading zero bytes; its bit *n* stands for the *n*th port of the range.

use std::fmt;

use environment::Random;

/// A range of ports, `30000-32767`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    base: u16,
    size: u16,
}

/// Why a port cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PortError {
    #[error("range is full")]
    Full,
    #[error("provided port is already allocated")]
    Allocated,
    #[error("provided port is not in the valid range. The range of valid ports is {0}")]
    NotInRange(PortRange),
}

impl PortRange {
    /// Reads `first-last`, `first+more` or a single port; none if it is none of them.
    pub fn parse(text: &str) -> Option<PortRange> {
        let text = text.trim();
        let number = |text: &str| text.trim().parse::<u16>().ok();
        let (first, last) = match (text.split_once('-'), text.split_once('+')) {
            (Some((first, last)), _) => (number(first)?, number(last)?),
            (_, Some((first, more))) => (number(first)?, number(first)?.checked_add(number(more)?)?),
            _ => (number(text)?, number(text)?),
        };
        let size = last.checked_sub(first)?.checked_add(1)?;
        (first > 0).then_some(PortRange { base: first, size })
    }

    fn offset(self, port: i64) -> Option<usize> {
        let offset = usize::try_from(port.checked_sub(i64::from(self.base))?).ok()?;
        (offset < usize::from(self.size)).then_some(offset)
    }

    /// Ports at the bottom of the range are given out last, so that whoever
    /// asks for a certain one finds it free.
    fn reserved(self) -> usize {
        const LEAST: usize = 16;
        const MOST: usize = 128;
        match usize::from(self.size) {
            size if size <= LEAST => 0,
            size => (size / 32).clamp(LEAST, MOST),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.base, self.base + (self.size - 1))
    }
}

/// The ports of a range that are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortBitmap {
    range: PortRange,
    /// Bit *n* is bit *n mod 8* of byte *n / 8*.
    bytes: Vec<u8>,
}

impl PortBitmap {
    pub(super) fn new(range: PortRange) -> PortBitmap {
        PortBitmap { range, bytes: vec![0; usize::from(range.size).div_ceil(8)] }
    }

    /// From the bytes of a RangeAllocation of the same range.
    pub(super) fn from_data(range: PortRange, data: &[u8]) -> PortBitmap {
        let mut bitmap = PortBitmap::new(range);
        for (byte, stored) in bitmap.bytes.iter_mut().zip(data.iter().rev()) {
            *byte = *stored;
        }
        bitmap
    }

    /// The bytes of a RangeAllocation.
    pub(super) fn to_data(&self) -> Vec<u8> {
        self.bytes.iter().rev().copied().skip_while(|byte| *byte == 0).collect()
    }

    pub(super) fn has(&self, port: i64) -> bool {
        self.range.offset(port).is_some_and(|offset| self.bit(offset))
    }

    pub(super) fn take(&mut self, port: i64) -> Result<(), PortError> {
        let offset = self.range.offset(port).ok_or(PortError::NotInRange(self.range))?;
        if self.bit(offset) {
            return Err(PortError::Allocated);
        }
        self.bytes[offset / 8] |= 1 << (offset % 8);
        Ok(())
    }

    /// Takes any free port: above the reserved part from a random place on, else within it.
    pub(super) fn take_next(&mut self, random: &(dyn Random + 'static)) -> Result<i64, PortError> {
        let (size, reserved) = (usize::from(self.range.size), self.range.reserved());
        for (start, end) in [(reserved, size), (0, reserved)] {
            if let Some(offset) = self.free_between(start, end, random) {
                let port = i64::from(self.range.base) + i64::try_from(offset).unwrap_or_default();
                self.take(port)?;
                return Ok(port);
            }
        }
        Err(PortError::Full)
    }

    pub(super) fn release(&mut self, port: i64) {
        if let Some(offset) = self.range.offset(port) {
            self.bytes[offset / 8] &= !(1 << (offset % 8));
        }
    }

    /// The ports taken, ascending.
    pub(super) fn ports(&self) -> impl Iterator<Item = i64> {
        let taken = (0..usize::from(self.range.size)).filter(|offset| self.bit(*offset));
        taken.filter_map(|offset| Some(i64::from(self.range.base) + i64::try_from(offset).ok()?))
    }

    fn free_between(&self, start: usize, end: usize, random: &(dyn Random + 'static)) -> Option<usize> {
        let size = end - start;
        if size == 0 {
            return None;
        }
        let first = usize::try_from(random.below(size as u64)).ok()?;
        (0..size).map(|i| start + (first + i) % size).find(|offset| !self.bit(*offset))
    }

    fn bit(&self, offset: usize) -> bool {
        self.bytes[offset / 8] >> (offset % 8) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn range(text: &str) -> PortRange {
        PortRange::parse(text).expect("a range")
    }

    #[test]
    fn ranges_are_read_in_three_forms() {
        for (text, shown) in [
            ("30000-32767", Some("30000-32767")),
            ("30000+10", Some("30000-30010")),
            (" 80 ", Some("80-80")),
            ("9-8", None),
            ("0-8", None),
            ("1-65536", None),
            ("a-b", None),
        ] {
            assert_eq!(PortRange::parse(text).map(|range| range.to_string()).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn data_is_a_number_with_its_highest_byte_first() {
        let mut bitmap = PortBitmap::new(range("30000-32767"));
        assert!(bitmap.to_data().is_empty());
        for port in [30000, 30001, 30009] {
            bitmap.take(port).expect("free");
        }
        assert_eq!(bitmap.to_data(), [0b10, 0b11]);
        assert_eq!(PortBitmap::from_data(range("30000-32767"), &[0b10, 0b11]), bitmap);
        assert_eq!(bitmap.ports().collect::<Vec<_>>(), [30000, 30001, 30009]);
    }

    #[test]
    fn a_port_is_taken_once_and_within_the_range() {
        let mut bitmap = PortBitmap::new(range("30000-30001"));
        assert_eq!(bitmap.take(30001), Ok(()));
        assert_eq!(bitmap.take(30001), Err(PortError::Allocated));
        bitmap.release(30001);
        assert_eq!(bitmap.take(30001), Ok(()));
        let error = bitmap.take(-1).expect_err("outside");
        assert_eq!(
            error.to_string(),
            "provided port is not in the valid range. The range of valid ports is 30000-30001"
        );
    }

    #[test]
    fn any_free_port_comes_from_above_the_reserved_part_until_that_is_full() {
        let environment = environment::real::environment();
        let mut bitmap = PortBitmap::new(range("1000-1099"));
        let mut taken = BTreeSet::new();
        for i in 0..100 {
            let port = bitmap.take_next(&*environment.random).expect("free");
            assert!(taken.insert(port));
            assert_eq!(port < 1016, i >= 84, "{port} as number {i}");
        }
        assert_eq!(bitmap.take_next(&*environment.random), Err(PortError::Full));
    }
}
