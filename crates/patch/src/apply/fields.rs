//! The fields of one manager. Most updates touch the fields of few managers;
//! what the others own stays the text it is stored as and is never read.

use std::sync::OnceLock;

use super::field_set::{FieldSet, Node};

/// A field set, or the text of one that nobody has had to read yet.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    text: Option<Box<str>>,
    set: OnceLock<FieldSet>,
}

/// Changes, in the form in which texts can be searched for them.
#[derive(Debug, Default)]
pub(crate) struct Needle {
    /// Key of `fieldsV1` as it stands between quotes.
    key: String,
    member: bool,
    below: Vec<Needle>,
}

impl Fields {
    /// A text that a server has written. Nonsense counts as the empty set.
    pub(crate) fn of_text(text: &str) -> Fields {
        Fields { text: Some(text.into()), set: OnceLock::new() }
    }

    /// The set.
    pub fn set(&self) -> &FieldSet {
        let read = || FieldSet::from_fields_v1(self.text.as_deref().unwrap_or("{}")).unwrap_or_default();
        self.set.get_or_init(read)
    }

    /// The set, taken out.
    pub(crate) fn into_set(self) -> FieldSet {
        match self.set.into_inner() {
            Some(set) => set,
            None => Fields { text: self.text, set: OnceLock::new() }.set().clone(),
        }
    }

    /// True without members.
    pub fn is_empty(&self) -> bool {
        match (&self.text, self.set.get()) {
            (_, Some(set)) => set.is_empty(),
            (Some(text), None) => text.as_ref() == "{}",
            (None, None) => true,
        }
    }

    /// The text of the set.
    pub(crate) fn into_text(self) -> Box<str> {
        match self.text {
            Some(text) => text,
            None => self.set().to_fields_v1().into_boxed_str(),
        }
    }

    /// False only if no path of the changes is a member.
    pub(crate) fn may_touch(&self, changes: &[Needle]) -> bool {
        match &self.text {
            // An escape can hide a key that is the same.
            Some(text) if !text.contains("\\u") => Search { text: text.as_bytes(), at: 0 }.object(changes),
            _ => true,
        }
    }
}

impl From<FieldSet> for Fields {
    fn from(set: FieldSet) -> Fields {
        Fields { text: None, set: OnceLock::from(set) }
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Fields) -> bool {
        self.set() == other.set()
    }
}

impl Eq for Fields {}

/// The paths of a set to search for, sorted by key.
pub(crate) fn needles(set: &FieldSet) -> Vec<Needle> {
    let needle = |node: &Node| {
        let mut key = String::new();
        node.element.write(&mut key);
        Needle { key: super::fields_v1::escaped(&key), member: node.member, below: needles(&node.below) }
    };
    let mut needles: Vec<Needle> = set.nodes().iter().map(needle).collect();
    needles.sort_by(|a, b| a.key.cmp(&b.key));
    needles
}

/// A search through a text, byte by byte. Anything unexpected ends it with
/// "may be": then the text is read properly.
struct Search<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Search<'t> {
    /// True if a path to search for may be in the object that begins here.
    fn object(&mut self, needles: &[Needle]) -> bool {
        if self.next() != Some(b'{') {
            return true;
        }
        if self.peek() == Some(b'}') {
            self.at += 1;
            return false;
        }
        loop {
            let Some(key) = self.string() else { return true };
            if self.next() != Some(b':') {
                return true;
            }
            let found = needles.binary_search_by(|needle| needle.key.as_bytes().cmp(key));
            match found.ok().and_then(|at| needles.get(at)) {
                Some(needle) => {
                    if needle.member || self.object(&needle.below) {
                        return true;
                    }
                }
                None => {
                    if !self.skip() {
                        return true;
                    }
                }
            }
            match self.next() {
                Some(b',') => {}
                Some(b'}') => return false,
                _ => return true,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    /// The bytes between quotes.
    fn string(&mut self) -> Option<&'t [u8]> {
        if self.next() != Some(b'"') {
            return None;
        }
        let start = self.at;
        loop {
            match self.next()? {
                b'"' => return self.text.get(start..self.at - 1),
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }

    /// Passes an object; false if there is none.
    fn skip(&mut self) -> bool {
        let mut depth = 0u32;
        loop {
            match self.peek() {
                Some(b'{') => depth += 1,
                Some(b'}') => depth = depth.saturating_sub(1),
                Some(b'"') => {
                    if self.string().is_none() {
                        return false;
                    }
                    continue;
                }
                Some(_) => {}
                None => return false,
            }
            self.at += 1;
            if depth == 0 {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_searched_without_being_read() {
        let text = r#"{"f:data":{".":{},"f:a\\b":{},"k:{\"n\":\"x\"}":{"f:y":{}}},"f:spec":{"f:z":{}}}"#;
        let touches = |path: &str| {
            let changes = FieldSet::from_fields_v1(path).expect(path);
            let found = Fields::of_text(text).may_touch(&needles(&changes));
            let truth = !FieldSet::from_fields_v1(text).expect("a set").intersection(&changes).is_empty();
            assert!(found || !truth, "{path} is there");
            found
        };
        assert!(touches(r#"{"f:data":{}}"#));
        assert!(touches(r#"{"f:data":{"f:a\\b":{}}}"#));
        assert!(touches(r#"{"f:data":{"k:{\"n\":\"x\"}":{"f:y":{}}}}"#));
        assert!(touches(r#"{"f:zzz":{},"f:spec":{"f:z":{}}}"#));
        assert!(!touches(r#"{"f:spec":{"f:replicas":{}}}"#));
        assert!(!touches(r#"{"f:data":{"k:{\"n\":\"z\"}":{"f:y":{}}}}"#));
        assert!(!touches("{}"));
    }
}
