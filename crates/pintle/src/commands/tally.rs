//! What was copied, counted and summed per prefix, so that source and target can be compared.

use std::collections::BTreeMap;
use std::fmt::Write;

use aws_lc_rs::digest::{Context, SHA256};
use storage::backend::{KeyValue, LeaseId};

/// Counts and checksums of the newest versions of all keys, given in key order.
#[derive(Clone)]
pub struct Tally {
    root: String,
    rows: BTreeMap<String, Row>,
    /// Keys that run out by themselves, also while they are copied: counted, not compared.
    leased: u64,
}

#[derive(Clone)]
struct Row {
    keys: u64,
    bytes: u64,
    content: Context,
    revisions: Context,
}

impl Tally {
    /// Keys below `root` are told apart by what follows it.
    pub fn new(root: &str) -> Tally {
        Tally { root: format!("/{}/", root.trim_matches('/')), rows: BTreeMap::new(), leased: 0 }
    }

    /// Adds a key that exists.
    pub fn add(&mut self, kv: &KeyValue) {
        if kv.lease != LeaseId(0) {
            self.leased += 1;
            return;
        }
        let row = self.rows.entry(self.prefix(&kv.key)).or_insert_with(|| Row {
            keys: 0,
            bytes: 0,
            content: Context::new(&SHA256),
            revisions: Context::new(&SHA256),
        });
        row.keys += 1;
        row.bytes += (kv.key.len() + kv.value.len()) as u64;
        for part in [&kv.key, &kv.value] {
            row.content.update(&(part.len() as u64).to_le_bytes());
            row.content.update(part);
        }
        for number in [kv.create_revision.0, kv.mod_revision.0, kv.version.cast_unsigned()] {
            row.revisions.update(&number.to_le_bytes());
        }
    }

    /// Keys in all.
    pub fn keys(&self) -> u64 {
        self.rows.values().map(|row| row.keys).sum::<u64>() + self.leased
    }

    /// The prefixes in which `other` differs; revisions count where they are to be the same.
    pub fn differences(&self, other: &Tally, with_revisions: bool) -> Vec<String> {
        let sums = |tally: &Tally, prefix: &str| tally.rows.get(prefix).map(|row| row.sums(with_revisions));
        let mut prefixes: Vec<&String> = self.rows.keys().chain(other.rows.keys()).collect();
        prefixes.sort();
        prefixes.dedup();
        prefixes.retain(|prefix| sums(self, prefix) != sums(other, prefix));
        prefixes.into_iter().cloned().collect()
    }

    /// A line for each prefix.
    pub fn table(&self) -> String {
        let width = self.rows.keys().map(String::len).max().unwrap_or(0).max("prefix".len());
        let mut text = format!("{:width$} {:>9} {:>12}  sha256\n", "prefix", "keys", "bytes");
        for (prefix, row) in &self.rows {
            let sum: String = row.sums(false).1[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "{prefix:width$} {:>9} {:>12}  {sum}", row.keys, row.bytes)
                .expect("a String takes everything");
        }
        if self.leased > 0 {
            writeln!(text, "{:width$} {:>9}", "with a lease", self.leased)
                .expect("a String takes everything");
        }
        text
    }

    /// `/registry/pods`, or `/registry/example.com/things` where a group comes before the resource.
    fn prefix(&self, key: &[u8]) -> String {
        let key = String::from_utf8_lossy(key);
        let Some(rest) = key.strip_prefix(&self.root) else {
            let end = key[1.min(key.len())..].find('/').map_or(key.len(), |at| at + 1);
            return key.get(..end).unwrap_or_default().to_owned();
        };
        let mut parts = rest.split('/');
        let first = parts.next().unwrap_or_default();
        match parts.next() {
            Some(resource) if first.contains('.') => format!("{}{first}/{resource}", self.root),
            _ => format!("{}{first}", self.root),
        }
    }
}

impl Row {
    fn sums(&self, with_revisions: bool) -> (u64, Vec<u8>, Option<Vec<u8>>) {
        let finish = |context: &Context| context.clone().finish().as_ref().to_vec();
        (self.keys, finish(&self.content), with_revisions.then(|| finish(&self.revisions)))
    }
}

#[cfg(test)]
mod tests {
    use meta::Revision;

    use super::*;

    fn kv(key: &'static str, value: &'static str, revision: u64) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: value.into(),
            create_revision: Revision(1),
            mod_revision: Revision(revision),
            version: 1,
            lease: LeaseId(0),
        }
    }

    fn tally(kvs: &[KeyValue]) -> Tally {
        let mut tally = Tally::new("/registry");
        kvs.iter().for_each(|kv| tally.add(kv));
        tally
    }

    #[test]
    fn keys_are_told_apart_by_resource() {
        let tally = tally(&[
            kv("/other/a", "", 2),
            kv("/registry/apps.example.com/things/a", "", 2),
            kv("/registry/pods/a/b", "x", 2),
            kv("/registry/pods/a/c", "y", 2),
            kv("plain", "", 2),
        ]);
        let prefixes: Vec<&str> = tally.rows.keys().map(String::as_str).collect();
        assert_eq!(prefixes, ["/other", "/registry/apps.example.com/things", "/registry/pods", "plain"]);
        assert_eq!(tally.rows["/registry/pods"].keys, 2);
        assert!(tally.table().contains("/registry/pods                            2           38  "));
    }

    #[test]
    fn a_difference_in_one_byte_or_one_revision_is_found() {
        let one = tally(&[kv("/registry/pods/a", "x", 2), kv("/registry/nodes/a", "x", 2)]);
        let value = tally(&[kv("/registry/pods/a", "y", 2), kv("/registry/nodes/a", "x", 2)]);
        let revision = tally(&[kv("/registry/pods/a", "x", 3), kv("/registry/nodes/a", "x", 2)]);
        let fewer = tally(&[kv("/registry/nodes/a", "x", 2)]);
        assert_eq!(one.differences(&value, false), ["/registry/pods"]);
        assert_eq!(one.differences(&revision, false), [""; 0]);
        assert_eq!(one.differences(&revision, true), ["/registry/pods"]);
        assert_eq!(one.differences(&fewer, false), ["/registry/pods"]);
        assert_eq!(fewer.differences(&one, false), ["/registry/pods"]);
    }

    #[test]
    fn keys_that_run_out_are_not_compared() {
        let leased = KeyValue { lease: LeaseId(5), ..kv("/registry/events/a", "x", 2) };
        let (with, without) = (tally(&[leased]), tally(&[]));
        assert_eq!(with.differences(&without, true), [""; 0]);
        assert_eq!(with.keys(), 1);
    }
}
