//! One object in the cache, with what selectors ask of it taken out once.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use imbl::OrdSet;
use meta::ObjectMeta;
use schema::Map;
use storage::{Attributes, Object, Predicate, Storage};

/// All objects of the resource at one revision, in key order.
pub(crate) type Objects = OrdSet<Entry>;

/// An object of the cache. Ordered and found by its key.
#[derive(Clone)]
pub(crate) struct Entry(Arc<Cached>);

struct Cached {
    object: Arc<Object>,
    /// Made when the first selector asks; none if the object cannot be decoded.
    facts: OnceLock<Option<Box<Facts>>>,
}

/// What selectors look at.
struct Facts {
    labels: Option<Map>,
    /// Values of [`Extractor::fields`], in their order.
    fields: Box<[Box<str>]>,
}

/// Takes the facts out of objects.
pub(crate) struct Extractor {
    /// Decodes.
    pub(crate) storage: Arc<dyn Storage>,
    /// Labels of selectable fields beside name and namespace.
    pub(crate) fields: Vec<String>,
    /// Reads them.
    pub(crate) attributes: Option<Arc<dyn Attributes>>,
    /// What all keys begin with; ends in a slash.
    pub(crate) root: String,
}

impl Entry {
    pub(crate) fn new(object: Arc<Object>) -> Entry {
        Entry(Arc::new(Cached { object, facts: OnceLock::new() }))
    }

    pub(crate) fn object(&self) -> &Arc<Object> {
        &self.0.object
    }

    pub(crate) fn key(&self) -> &Bytes {
        &self.0.object.key
    }

    /// True if the object is what `predicate` asks for. What cannot be decoded does not match (B-12).
    pub(crate) fn matches(&self, predicate: &Predicate, extractor: &Extractor) -> bool {
        if predicate.is_empty() {
            return true;
        }
        self.labels_match(predicate, extractor) && self.fields_match(predicate, extractor)
    }

    fn labels_match(&self, predicate: &Predicate, extractor: &Extractor) -> bool {
        if predicate.labels.is_empty() {
            return true;
        }
        let Some(facts) = self.facts(extractor) else { return false };
        match &facts.labels {
            Some(labels) => predicate.labels.matches(labels),
            None => predicate.labels.matches(&Map::default()),
        }
    }

    fn fields_match(&self, predicate: &Predicate, extractor: &Extractor) -> bool {
        if predicate.fields.is_empty() {
            return true;
        }
        let Some((namespace, name)) = extractor.names(self.key()) else {
            return self.matches_decoded(predicate, extractor);
        };
        let own = |label: &str| matches!(label, "metadata.name" | "metadata.namespace");
        if predicate.fields.requirements().all(|wanted| own(&wanted.label)) {
            let value = |label: &str| if label == "metadata.name" { name } else { namespace };
            return predicate.fields.matches(value);
        }
        let known = |label: &str| own(label) || extractor.fields.iter().any(|field| field == label);
        if !predicate.fields.requirements().all(|wanted| known(&wanted.label)) {
            return self.matches_decoded(predicate, extractor);
        }
        let Some(facts) = self.facts(extractor) else { return false };
        predicate.fields.matches(|label| match label {
            "metadata.name" => name,
            "metadata.namespace" => namespace,
            label => facts.field(extractor, label),
        })
    }

    /// The long way, for fields nobody announced.
    fn matches_decoded(&self, predicate: &Predicate, extractor: &Extractor) -> bool {
        extractor.storage.decode(self.object()).is_ok_and(|tree| predicate.matches(&tree))
    }

    /// The value of an announced field, empty if unset; none if the object cannot be decoded.
    pub(crate) fn field(&self, extractor: &Extractor, label: &str) -> Option<&str> {
        self.facts(extractor).map(|facts| facts.field(extractor, label))
    }

    fn facts(&self, extractor: &Extractor) -> Option<&Facts> {
        self.0.facts.get_or_init(|| extractor.facts(self.object())).as_deref()
    }
}

impl Facts {
    fn field(&self, extractor: &Extractor, label: &str) -> &str {
        let at = extractor.fields.iter().position(|field| field == label);
        at.and_then(|at| self.fields.get(at)).map_or("", |value| value)
    }
}

impl Extractor {
    fn facts(&self, object: &Object) -> Option<Box<Facts>> {
        let tree = match self.storage.decode(object) {
            Ok(tree) => tree,
            Err(error) => {
                tracing::warn!(%error, "an object cannot be decoded and matches no selector");
                return None;
            }
        };
        let labels = ObjectMeta::of(&tree).labels();
        let field = |label: &String| {
            let value = self.attributes.as_ref().map(|attributes| attributes.field(&tree, label));
            value.unwrap_or_default().into_boxed_str()
        };
        Some(Box::new(Facts {
            labels: (!labels.is_empty()).then(|| labels.clone()),
            fields: self.fields.iter().map(field).collect(),
        }))
    }

    /// Namespace (empty if none) and name as the key has them; none for a key of another shape.
    pub(crate) fn names<'a>(&self, key: &'a [u8]) -> Option<(&'a str, &'a str)> {
        let relative = std::str::from_utf8(key.strip_prefix(self.root.as_bytes())?).ok()?;
        match relative.split_once('/') {
            None => Some(("", relative)),
            Some((namespace, name)) if !name.contains('/') => Some((namespace, name)),
            Some(_) => None,
        }
    }
}

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        self.key().cmp(other.key())
    }
}
