//! Pages of a snapshot (C-LST): which objects, what is left, where to go on.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use meta::Revision;
use storage::{ContinueToken, Error, List, ListRequest, Object, Predicate};

use crate::entry::{Entry, Objects};
use crate::metrics::add;
use crate::shared::Shared;

/// Entries taken out of the snapshot at once: one descent of the tree for so many.
const ENTRIES_PER_DESCENT: usize = 128;

/// Objects below a prefix in a snapshot, in key order. Holds the snapshot and
/// nothing that grows with it.
pub(crate) struct Walk {
    objects: Objects,
    /// Ends with a slash, or is empty for everything.
    prefix: String,
    next: Bound<Vec<u8>>,
    ahead: VecDeque<Entry>,
}

impl Walk {
    /// Walks what lies below `prefix`, from the key `start` on.
    pub(crate) fn new(objects: Objects, prefix: String, start: Option<String>) -> Walk {
        let first = start.unwrap_or_else(|| prefix.clone()).into_bytes();
        Walk { objects, prefix, next: Bound::Included(first), ahead: VecDeque::new() }
    }

    fn refill(&mut self) {
        let from = match &self.next {
            Bound::Included(key) => Bound::Included(key.as_slice()),
            Bound::Excluded(key) => Bound::Excluded(key.as_slice()),
            Bound::Unbounded => return,
        };
        let range = self.objects.range::<_, [u8]>((from, Bound::Unbounded));
        let prefix = self.prefix.as_bytes();
        let below = range.take_while(|entry| entry.key().starts_with(prefix)).take(ENTRIES_PER_DESCENT);
        self.ahead.extend(below.cloned());
        self.next = match self.ahead.back() {
            Some(last) if self.ahead.len() == ENTRIES_PER_DESCENT => {
                // The buffer is used again and again, so that a long walk allocates as little as a short one.
                let mut key = match std::mem::replace(&mut self.next, Bound::Unbounded) {
                    Bound::Included(key) | Bound::Excluded(key) => key,
                    Bound::Unbounded => Vec::new(),
                };
                key.clear();
                key.extend_from_slice(last.key());
                Bound::Excluded(key)
            }
            _ => Bound::Unbounded,
        };
    }
}

impl Iterator for Walk {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.ahead.is_empty() {
            self.refill();
        }
        self.ahead.pop_front()
    }
}

/// Where in a snapshot a list looks.
pub(crate) struct Place {
    /// The snapshot.
    pub(crate) all: Objects,
    /// The same, or the part of it an index found.
    pub(crate) objects: Objects,
    /// What it stands for.
    pub(crate) revision: Revision,
    /// What the keys begin with.
    pub(crate) prefix: String,
    /// The key to go on from.
    pub(crate) start: Option<String>,
    /// An index found `objects`.
    pub(crate) indexed: bool,
}

/// Lists what lies in a place.
pub(crate) fn page(shared: &Arc<Shared>, place: Place, request: &ListRequest) -> Result<List, Error> {
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    if limit > 0 {
        return limited(shared, place, request, limit);
    }
    let revision = place.revision;
    let walk = Walk::new(place.objects, place.prefix, place.start);
    let counted = Counted { shared: shared.clone(), indexed: place.indexed, fetched: 0, returned: 0 };
    let predicate = (!request.predicate.is_empty()).then(|| request.predicate.clone());
    let items: storage::ListItems = Box::new(Unlimited { walk, predicate, counted });
    Ok(List { revision, continue_token: String::new(), remaining_item_count: None, items })
}

/// The items of a list without a limit, counted when it is over or given up.
struct Unlimited {
    walk: Walk,
    predicate: Option<Predicate>,
    counted: Counted,
}

impl Iterator for Unlimited {
    type Item = Arc<Object>;

    fn next(&mut self) -> Option<Arc<Object>> {
        loop {
            let entry = self.walk.next()?;
            self.counted.fetched += 1;
            let found = match &self.predicate {
                None => Some(entry.object().clone()),
                Some(predicate) => matching(&entry, predicate, &self.counted.shared),
            };
            if found.is_some() {
                self.counted.returned += 1;
                return found;
            }
        }
    }
}

/// How many objects a list has looked at and returned; told when it is dropped.
struct Counted {
    shared: Arc<Shared>,
    indexed: bool,
    fetched: usize,
    returned: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let metrics = &self.shared.metrics;
        add(&metrics.lists(self.indexed).fetched_objects, self.fetched);
        add(&metrics.list_returned_objects_total, self.returned);
    }
}

/// The object, if it matches.
pub(crate) fn matching(entry: &Entry, predicate: &Predicate, shared: &Shared) -> Option<Arc<Object>> {
    entry.matches(predicate, &shared.extractor).then(|| entry.object().clone())
}

fn limited(shared: &Arc<Shared>, place: Place, request: &ListRequest, limit: usize) -> Result<List, Error> {
    let Place { all, objects, revision, prefix, start, indexed } = place;
    let mut counted = Counted { shared: shared.clone(), indexed, fetched: 0, returned: 0 };
    let mut walk = Walk::new(objects, prefix.clone(), start);
    let mut items = Vec::with_capacity(limit.min(1000));
    let mut last = None;
    while items.len() < limit {
        let Some(entry) = walk.next() else { break };
        counted.fetched += 1;
        items.extend(matching(&entry, &request.predicate, shared));
        last = Some(entry);
    }
    counted.returned = items.len();
    // What an index passes over counts too: with and without it the pages are the same.
    let beyond = |last: &Entry| {
        let after = (Bound::Excluded(last.key().as_ref()), Bound::Unbounded);
        all.range::<_, [u8]>(after).next().is_some_and(|next| next.key().starts_with(prefix.as_bytes()))
    };
    let full = items.len() == limit;
    let more = full && (walk.next().is_some() || indexed && last.as_ref().is_some_and(beyond));
    let (mut continue_token, mut remaining_item_count) = (String::new(), None);
    if more && let Some(last) = last {
        continue_token = token(&last, revision, &prefix)?;
        if request.predicate.is_empty() {
            // One was taken already to see whether there is more.
            remaining_item_count = Some(1 + walk.count() as i64);
        }
    }
    Ok(List { revision, continue_token, remaining_item_count, items: Box::new(items.into_iter()) })
}

/// The token of what comes after `last`.
fn token(last: &Entry, revision: Revision, prefix: &str) -> Result<String, Error> {
    let unencodable = || Error::Internal("unable to encode the continue token".into());
    let mut start = String::from_utf8(last.key().to_vec()).map_err(|_| unencodable())?;
    start.push('\0');
    let revision = i64::try_from(revision.0).map_err(|_| unencodable())?;
    ContinueToken { revision, start }.encode(prefix).ok_or_else(unencodable)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn objects(keys: impl Iterator<Item = String>) -> Objects {
        keys.map(|key| Entry::new(Arc::new(Object::new(Bytes::from(key), Revision(1), Bytes::new()))))
            .collect()
    }

    #[test]
    fn a_walk_sees_each_object_below_its_prefix_once_in_order() {
        let all = objects((0..1000).map(|n| format!("/r/a/{n:04}")).chain(["/r/a".into(), "/r/ab/x".into()]));
        for (start, want) in [(None, 0..1000), (Some("/r/a/0128\0"), 129..1000), (Some("/r/a/0999\0"), 0..0)]
        {
            let walk = Walk::new(all.clone(), "/r/a/".into(), start.map(str::to_owned));
            let got: Vec<Bytes> = walk.map(|entry| entry.key().clone()).collect();
            let want: Vec<Bytes> = want.map(|n| Bytes::from(format!("/r/a/{n:04}"))).collect();
            assert_eq!(got, want, "{start:?}");
        }
    }
}
