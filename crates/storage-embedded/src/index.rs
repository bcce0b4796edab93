//! The multi-version index: which key had which value at which revision.
//!
//! A persistent ordered map, so that a snapshot is a clone of its root and a
//! reader walks it without a lock. Owns no revision counter and no file.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use meta::Revision;
use storage::backend::{KeyValue, LeaseId};

/// All retained versions of all keys.
pub(crate) type Index = imbl::OrdMap<Bytes, Entry>;

/// A value a key once had, or the mark of its deletion. Shared by the index, the event log and readers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub value: Bytes,
    pub created: Revision,
    pub modified: Revision,
    /// Changes since creation, starting at 1; 0 marks a deletion.
    pub version: i64,
    pub lease: LeaseId,
}

impl Version {
    pub fn deletion(modified: Revision) -> Version {
        Version { value: Bytes::new(), created: Revision(0), modified, version: 0, lease: LeaseId(0) }
    }

    pub fn is_deletion(&self) -> bool {
        self.version == 0
    }

    /// The version in the contract's form. Of a deletion: key and revision.
    pub fn key_value(&self, key: &Bytes) -> KeyValue {
        KeyValue {
            key: key.clone(),
            value: self.value.clone(),
            create_revision: self.created,
            mod_revision: self.modified,
            version: self.version,
            lease: self.lease,
        }
    }
}

/// The versions of one key, newest first.
///
/// A chain and not a vector: a key that is written often between two
/// compactions would copy all its versions with every write.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub newest: Arc<Version>,
    older: Option<Arc<Older>>,
}

#[derive(Debug)]
struct Older {
    version: Arc<Version>,
    older: Option<Arc<Older>>,
}

impl Drop for Older {
    // Link by link: the derived drop would recurse once per version and
    // overflow the stack on a long chain.
    fn drop(&mut self) {
        let mut next = self.older.take();
        while let Some(mut link) = next.and_then(Arc::into_inner) {
            next = link.older.take();
        }
    }
}

/// What trimming leaves of an entry.
pub(crate) enum Trimmed {
    Unchanged,
    Shorter(Entry),
    Nothing,
}

impl Entry {
    pub fn new(version: Arc<Version>) -> Entry {
        Entry { newest: version, older: None }
    }

    /// The entry with a version more.
    pub fn push(&self, version: Arc<Version>) -> Entry {
        let older = Older { version: self.newest.clone(), older: self.older.clone() };
        Entry { newest: version, older: Some(Arc::new(older)) }
    }

    /// The newest version if the key exists.
    pub fn live(&self) -> Option<&Arc<Version>> {
        Some(&self.newest).filter(|version| !version.is_deletion())
    }

    /// The version that was current at `revision`, if the key existed then.
    pub fn at(&self, revision: Revision) -> Option<&Arc<Version>> {
        self.versions().find(|version| version.modified <= revision).filter(|version| !version.is_deletion())
    }

    /// All versions, newest first.
    pub fn versions(&self) -> impl Iterator<Item = &Arc<Version>> {
        let older = std::iter::successors(self.older.as_deref(), |link| link.older.as_deref());
        std::iter::once(&self.newest).chain(older.map(|link| &link.version))
    }

    /// Without what nobody can read any more once `compacted` is compacted: versions
    /// that were superseded by then, and a deletion that nothing came after.
    pub fn trim(&self, compacted: Revision) -> Trimmed {
        let mut kept: Vec<&Arc<Version>> = Vec::new();
        let mut dropped = false;
        for version in self.versions() {
            let superseded = kept.last().is_some_and(|newer: &&Arc<Version>| newer.modified <= compacted);
            if superseded || (version.modified <= compacted && version.is_deletion()) {
                dropped = true;
                break;
            }
            kept.push(version);
        }
        if !dropped {
            return Trimmed::Unchanged;
        }
        match kept.split_last() {
            None => Trimmed::Nothing,
            Some((oldest, newer)) => {
                let start = Entry::new((*oldest).clone());
                Trimmed::Shorter(
                    newer.iter().rev().fold(start, |entry, version| entry.push((*version).clone())),
                )
            }
        }
    }
}

/// Bounds of a request's range for the index.
pub(crate) fn bounds<'a>(key: &'a [u8], end: Option<&'a [u8]>) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    match end {
        None => (Bound::Included(key), Bound::Included(key)),
        // An end before the start is an empty range to the contract, an error to the map.
        Some(end) if end <= key => (Bound::Included(key), Bound::Excluded(key)),
        Some(end) => (Bound::Included(key), Bound::Excluded(end)),
    }
}

/// True if `key` lies in the range.
pub(crate) fn within(key: &[u8], start: &[u8], end: Option<&[u8]>) -> bool {
    match end {
        None => key == start,
        Some(end) => start <= key && key < end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(modified: u64, version: i64) -> Arc<Version> {
        Arc::new(Version { version, ..Version::deletion(Revision(modified)) })
    }

    fn entry(versions: &[(u64, i64)]) -> Entry {
        let (first, rest) = versions.split_first().unwrap();
        rest.iter().fold(Entry::new(version(first.0, first.1)), |e, v| e.push(version(v.0, v.1)))
    }

    fn trimmed(versions: &[(u64, i64)], compacted: u64) -> Option<Vec<u64>> {
        match entry(versions).trim(Revision(compacted)) {
            Trimmed::Unchanged => None,
            Trimmed::Nothing => Some(vec![]),
            Trimmed::Shorter(entry) => Some(entry.versions().map(|v| v.modified.0).collect()),
        }
    }

    #[test]
    fn a_read_at_a_revision_finds_what_was_current_then() {
        let entry = entry(&[(2, 1), (5, 2), (7, 0), (9, 1)]);
        let at = |revision| entry.at(Revision(revision)).map(|v| v.modified.0);
        assert_eq!(
            [at(1), at(2), at(4), at(5), at(8), at(9)],
            [None, Some(2), Some(2), Some(5), None, Some(9)]
        );
    }

    #[test]
    fn trimming_keeps_what_was_current_at_the_compacted_revision() {
        assert_eq!(trimmed(&[(2, 1), (5, 2), (7, 3)], 4), None);
        assert_eq!(trimmed(&[(2, 1), (5, 2), (7, 3)], 5), Some(vec![7, 5]));
        assert_eq!(trimmed(&[(2, 1), (5, 2), (7, 3)], 9), Some(vec![7]));
    }

    #[test]
    fn trimming_drops_deletions_up_to_the_compacted_revision() {
        assert_eq!(trimmed(&[(2, 1), (5, 0)], 5), Some(vec![]));
        assert_eq!(trimmed(&[(2, 1), (5, 0)], 4), None);
        assert_eq!(trimmed(&[(2, 1), (5, 0), (7, 1)], 5), Some(vec![7]));
        assert_eq!(trimmed(&[(2, 1), (5, 0), (7, 1)], 6), Some(vec![7]));
    }

    #[test]
    fn a_long_chain_is_dropped_without_recursion() {
        let mut entry = Entry::new(version(1, 1));
        for revision in 2..300_000 {
            entry = entry.push(version(revision, 1));
        }
        drop(entry);
    }

    #[test]
    fn a_range_whose_end_lies_before_its_start_is_empty() {
        let index: Index = [(Bytes::from_static(b"b"), Entry::new(version(1, 1)))].into_iter().collect();
        assert_eq!(index.range::<_, [u8]>(bounds(b"c", Some(b"a"))).count(), 0);
        assert_eq!(index.range::<_, [u8]>(bounds(b"a", Some(b"c"))).count(), 1);
        assert_eq!(index.range::<_, [u8]>(bounds(b"b", None)).count(), 1);
    }
}
