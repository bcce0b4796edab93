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

/// Lists what lies below `prefix` in a snapshot that stands for `revision`.
pub(crate) fn page(
    shared: &Arc<Shared>,
    objects: Objects,
    revision: Revision,
    prefix: String,
    start: Option<String>,
    request: &ListRequest,
) -> Result<List, Error> {
    add(&shared.metrics.list_total, 1);
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    if limit > 0 {
        return limited(shared, objects, revision, prefix, start, request, limit);
    }
    let walk = Walk::new(objects, prefix, start);
    let items: storage::ListItems = if request.predicate.is_empty() {
        Box::new(walk.map(|entry| entry.object().clone()))
    } else {
        let (shared, predicate) = (shared.clone(), request.predicate.clone());
        Box::new(walk.filter_map(move |entry| matching(&entry, &predicate, &shared)))
    };
    Ok(List { revision, continue_token: String::new(), remaining_item_count: None, items })
}

/// The object, if it matches.
pub(crate) fn matching(entry: &Entry, predicate: &Predicate, shared: &Shared) -> Option<Arc<Object>> {
    entry.matches(predicate, &shared.extractor).then(|| entry.object().clone())
}

fn limited(
    shared: &Arc<Shared>,
    objects: Objects,
    revision: Revision,
    prefix: String,
    start: Option<String>,
    request: &ListRequest,
    limit: usize,
) -> Result<List, Error> {
    let mut walk = Walk::new(objects.clone(), prefix.clone(), start);
    let mut items = Vec::with_capacity(limit.min(1000));
    let (mut last, mut looked_at) = (None, 0);
    while items.len() < limit {
        let Some(entry) = walk.next() else { break };
        looked_at += 1;
        items.extend(matching(&entry, &request.predicate, shared));
        last = Some(entry);
    }
    add(&shared.metrics.list_fetched_objects_total, looked_at);
    add(&shared.metrics.list_returned_objects_total, items.len());
    let more = items.len() == limit && walk.next().is_some();
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
