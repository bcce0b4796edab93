//! Recent events of a resource, shared by all watchers, and the states they led through.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use meta::Revision;
use storage::{EventType, Object, Predicate, WatchEvent};

use crate::entry::{Entry, Extractor, Objects};
use crate::interest::Interests;
use crate::metrics::{CacheMetrics, add};

/// Events a log may hold at first, and at least.
pub(crate) const CAPACITY_EVENTS_MIN: usize = 100;
/// Events a log may ever hold. What is older is answered by the storage below.
const CAPACITY_EVENTS_MAX: usize = 102_400;
/// Stored bytes of new objects a log may hold beyond its minimal capacity.
const LOG_BYTES_MAX: usize = 32 << 20;
/// Events are kept for this time if the capacity allows.
const HISTORY_WINDOW: Duration = Duration::from_secs(75);
/// Every so many events the state after them is kept, so that a past state is
/// never further away than this from one that is there.
const CHECKPOINT_EVENTS: u64 = 512;

/// One change of one object.
pub(crate) struct Event {
    pub(crate) revision: Revision,
    /// When it came, on the monotonic clock.
    at: Duration,
    pub(crate) old: Option<Entry>,
    pub(crate) new: Option<Entry>,
    /// The old object with this event's revision: what those see for whom it is gone.
    gone: OnceLock<Arc<Object>>,
    /// The state after the event, for some events.
    checkpoint: Option<Objects>,
}

impl Event {
    pub(crate) fn put(at: Duration, old: Option<Entry>, new: Entry) -> Event {
        let revision = new.object().revision;
        Event { revision, at, old, new: Some(new), gone: OnceLock::new(), checkpoint: None }
    }

    /// `gone` is the last state with the delete's revision.
    pub(crate) fn delete(at: Duration, old: Option<Entry>, gone: Arc<Object>) -> Event {
        let revision = gone.revision;
        Event { revision, at, old, new: None, gone: OnceLock::from(gone), checkpoint: None }
    }

    pub(crate) fn key(&self) -> &[u8] {
        match (&self.new, &self.old) {
            (Some(entry), _) | (None, Some(entry)) => entry.key(),
            (None, None) => self.gone.get().map_or(&[], |object| &object.key),
        }
    }

    /// The table of B.2.
    pub(crate) fn seen(&self, predicate: &Predicate, extractor: &Extractor) -> Option<WatchEvent> {
        let matches = |entry: &&Entry| entry.matches(predicate, extractor);
        let new = self.new.as_ref().filter(matches);
        let old = self.old.as_ref().filter(matches);
        let (kind, object) = match (old, new) {
            (None, None) => return None,
            (None, Some(new)) => (EventType::Added, new.object().clone()),
            (Some(_), Some(new)) => (EventType::Modified, new.object().clone()),
            (Some(old), None) => (EventType::Deleted, self.gone(old.object())),
        };
        Some(WatchEvent::Change(kind, object))
    }

    fn gone(&self, old: &Object) -> Arc<Object> {
        let make = || Arc::new(Object::new(old.key.clone(), self.revision, old.data.clone()));
        self.gone.get_or_init(make).clone()
    }

    fn bytes(&self) -> usize {
        self.new.as_ref().map_or(0, |entry| entry.object().data.len())
    }
}

/// The events after some revision, without a gap, and who waits for more.
pub(crate) struct Log {
    /// Number of the first event held.
    base: u64,
    events: VecDeque<Arc<Event>>,
    /// All events after this revision are here.
    oldest: Revision,
    capacity: usize,
    bytes: usize,
    pub(crate) interests: Interests,
}

impl Log {
    /// An empty log of what comes after `revision`.
    pub(crate) fn new(revision: Revision) -> Log {
        Log {
            base: 0,
            events: VecDeque::new(),
            oldest: revision,
            capacity: CAPACITY_EVENTS_MIN,
            bytes: 0,
            interests: Interests::default(),
        }
    }

    /// Number of the event that comes next.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.events.len() as u64
    }

    /// All events after this revision are here.
    pub(crate) fn oldest(&self) -> Revision {
        self.oldest
    }

    /// Appends an event, `after` being the state it leads to, and returns its number.
    pub(crate) fn push(&mut self, mut event: Event, after: &Objects, metrics: &CacheMetrics) -> u64 {
        self.make_room(event.at, metrics);
        let number = self.end();
        if number.is_multiple_of(CHECKPOINT_EVENTS) {
            event.checkpoint = Some(after.clone());
        }
        self.bytes += event.bytes();
        self.events.push_back(Arc::new(event));
        number
    }

    fn make_room(&mut self, now: Duration, metrics: &CacheMetrics) {
        while self.bytes > LOG_BYTES_MAX && self.events.len() > CAPACITY_EVENTS_MIN {
            self.evict();
        }
        if self.events.len() < self.capacity {
            return;
        }
        let is_old = |event: &Arc<Event>| now.saturating_sub(event.at) >= HISTORY_WINDOW;
        let newest_quarter = self.events.len() - self.capacity / 4;
        if !self.events.front().is_some_and(is_old) && self.capacity < CAPACITY_EVENTS_MAX {
            self.capacity = (self.capacity * 2).min(CAPACITY_EVENTS_MAX);
            add(&metrics.capacity_increase_total, 1);
        } else if self.events.get(newest_quarter).is_some_and(is_old) && self.capacity > CAPACITY_EVENTS_MIN {
            self.capacity = (self.capacity / 2).max(CAPACITY_EVENTS_MIN);
            add(&metrics.capacity_decrease_total, 1);
        }
        metrics.capacity.store(self.capacity as u64, std::sync::atomic::Ordering::Relaxed);
        while self.events.len() >= self.capacity {
            self.evict();
        }
    }

    fn evict(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.base += 1;
            self.oldest = event.revision;
            self.bytes -= event.bytes();
        }
    }

    /// Number of the first event after `revision`; none if some of them are gone.
    pub(crate) fn first_after(&self, revision: Revision) -> Option<u64> {
        (revision >= self.oldest).then(|| self.base + self.index_after(revision) as u64)
    }

    fn index_after(&self, revision: Revision) -> usize {
        self.events.partition_point(|event| event.revision <= revision)
    }

    /// The events from number `from` on; none if some of them are gone.
    pub(crate) fn from(&self, from: u64) -> Option<impl Iterator<Item = &Arc<Event>>> {
        let at = from.checked_sub(self.base)?;
        Some(self.events.range(usize::try_from(at).ok()?.min(self.events.len())..))
    }

    /// The state at `revision`, `newest` being the state after the last event; none if it is too old.
    pub(crate) fn state_at(&self, revision: Revision, newest: &Objects) -> Option<Objects> {
        if revision < self.oldest {
            return None;
        }
        let undo_from = self.index_after(revision);
        let later = self.events.range(undo_from.saturating_sub(1)..).enumerate();
        let found = later.filter_map(|(n, event)| event.checkpoint.as_ref().map(|state| (n, state))).next();
        let (mut state, undo_to) = match found {
            Some((n, state)) => (state.clone(), undo_from.saturating_sub(1) + n + 1),
            None => (newest.clone(), self.events.len()),
        };
        for event in self.events.range(undo_from..undo_to.max(undo_from)).rev() {
            match (&event.old, &event.new) {
                (Some(old), _) => drop(state.insert(old.clone())),
                (None, Some(new)) => drop(state.remove::<[u8]>(new.key())),
                (None, None) => {}
            }
        }
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entry(key: &str, revision: u64) -> Entry {
        Entry::new(Arc::new(Object::new(
            Bytes::copy_from_slice(key.as_bytes()),
            Revision(revision),
            Bytes::new(),
        )))
    }

    fn shown(state: &Objects) -> Vec<(Bytes, Revision)> {
        state.iter().map(|entry| (entry.key().clone(), entry.object().revision)).collect()
    }

    #[test]
    fn every_state_since_the_oldest_event_can_be_had_again() {
        let metrics = CacheMetrics::default();
        let mut log = Log::new(Revision(1));
        let mut state = Objects::new();
        let mut states = Vec::new();
        // Events far apart in time, so that the log stays small, and some that delete.
        for revision in 2..=1500u64 {
            let key = format!("/{:02}", revision * 7 % 40);
            let at = Duration::from_millis(revision * 100);
            let old = state.get::<[u8]>(key.as_bytes()).cloned();
            let event = match old {
                Some(old) if revision % 3 == 0 => {
                    state.remove::<[u8]>(key.as_bytes());
                    let gone = Object::new(old.key().clone(), Revision(revision), Bytes::new());
                    Event::delete(at, Some(old), Arc::new(gone))
                }
                old => {
                    state.insert(entry(&key, revision));
                    Event::put(at, old, entry(&key, revision))
                }
            };
            log.push(event, &state, &metrics);
            states.push((Revision(revision), shown(&state)));
        }
        assert!(log.events.len() < 1500, "some events are gone");
        for (revision, want) in states {
            match log.state_at(revision, &state) {
                Some(got) => assert_eq!(shown(&got), want, "at {revision}"),
                None => assert!(revision < log.oldest()),
            }
        }
    }

    #[test]
    fn the_log_grows_while_events_are_young_and_shrinks_when_they_are_old() {
        let metrics = CacheMetrics::default();
        let mut log = Log::new(Revision(0));
        let state = Objects::new();
        let mut push = |n: u64, at: Duration| {
            log.push(Event::put(at, None, entry("/a", n)), &state, &metrics);
            (log.capacity, log.oldest())
        };
        for n in 1..=100 {
            assert_eq!(push(n, Duration::ZERO), (100, Revision(0)));
        }
        assert_eq!(push(101, Duration::ZERO), (200, Revision(0)));
        for n in 102..=200 {
            push(n, Duration::ZERO);
        }
        let (capacity, oldest) = push(201, HISTORY_WINDOW);
        assert_eq!((capacity, oldest), (100, Revision(101)));
        assert_eq!(log.first_after(Revision(100)), None);
        assert_eq!(log.first_after(Revision(101)), Some(101));
    }
}
