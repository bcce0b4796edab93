//! Objects by the value of the field that watchers are indexed by, for lists
//! that ask for one value (C-LST-4). Made when the first such list comes, and
//! kept from then on; a resource nobody lists so pays nothing.

use std::sync::Arc;

use imbl::HashMap;

use crate::entry::{Entry, Extractor, Objects};

/// Objects by value; immutable as [`Objects`] are. What cannot be decoded is in none.
#[derive(Clone, Default)]
pub(crate) struct Index(HashMap<Arc<str>, Objects>);

impl Index {
    /// Of all `objects`, by the value of `field`.
    pub(crate) fn of(objects: &Objects, field: &str, extractor: &Extractor) -> Index {
        let mut index = Index::default();
        for entry in objects {
            index.insert(entry, field, extractor);
        }
        index
    }

    /// The objects with a value, in key order.
    pub(crate) fn objects(&self, value: &str) -> Objects {
        self.0.get(value).cloned().unwrap_or_default()
    }

    /// Puts `new` where `old` was.
    pub(crate) fn replace(
        &mut self,
        old: Option<&Entry>,
        new: Option<&Entry>,
        field: &str,
        extractor: &Extractor,
    ) {
        if let Some(old) = old {
            self.remove(old, field, extractor);
        }
        if let Some(new) = new {
            self.insert(new, field, extractor);
        }
    }

    fn insert(&mut self, entry: &Entry, field: &str, extractor: &Extractor) {
        let Some(value) = entry.field(extractor, field) else { return };
        match self.0.get_mut(value) {
            Some(objects) => drop(objects.insert(entry.clone())),
            None => drop(self.0.insert(value.into(), Objects::unit(entry.clone()))),
        }
    }

    fn remove(&mut self, entry: &Entry, field: &str, extractor: &Extractor) {
        let Some(value) = entry.field(extractor, field) else { return };
        let Some(objects) = self.0.get_mut(value) else { return };
        objects.remove::<[u8]>(entry.key());
        if objects.is_empty() {
            self.0.remove(value);
        }
    }
}
