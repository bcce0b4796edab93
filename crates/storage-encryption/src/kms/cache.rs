//! Opened keys by their sealed form, bounded in number and, if wanted, in time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use environment::Clock;
use parking_lot::Mutex;

/// Keeps what was used last; everything is lost with the process.
pub(crate) struct Cache<T: ?Sized> {
    clock: Arc<dyn Clock>,
    entries_max: usize,
    /// Age at which an entry is not used any more.
    age_max: Option<Duration>,
    inner: Mutex<Inner<T>>,
}

struct Inner<T: ?Sized> {
    entries: HashMap<Arc<[u8]>, Entry<T>>,
    /// Keys by their last use.
    uses: BTreeMap<u64, Arc<[u8]>>,
    use_count: u64,
}

struct Entry<T: ?Sized> {
    cipher: Arc<T>,
    used: u64,
    set: Duration,
}

impl<T: ?Sized> Cache<T> {
    /// `entries_max` of 0 keeps nothing.
    pub(crate) fn new(clock: Arc<dyn Clock>, entries_max: usize, age_max: Option<Duration>) -> Cache<T> {
        let inner = Inner { entries: HashMap::new(), uses: BTreeMap::new(), use_count: 0 };
        Cache { clock, entries_max, age_max, inner: Mutex::new(inner) }
    }

    /// Keys held.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().entries.len()
    }

    /// The key, if it is here and young enough.
    pub(crate) fn get(&self, sealed: &[u8]) -> Option<Arc<T>> {
        let now = self.clock.monotonic();
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let (key, _) = inner.entries.get_key_value(sealed)?;
        let key = key.clone();
        let entry = inner.entries.get_mut(&key)?;
        if self.age_max.is_some_and(|age_max| now.saturating_sub(entry.set) > age_max) {
            return None;
        }
        inner.use_count += 1;
        inner.uses.remove(&entry.used);
        entry.used = inner.use_count;
        inner.uses.insert(entry.used, key);
        Some(entry.cipher.clone())
    }

    /// Keeps a key, at the price of what was not used for longest.
    pub(crate) fn set(&self, sealed: &[u8], cipher: Arc<T>) {
        let set = self.clock.monotonic();
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        inner.use_count += 1;
        let key: Arc<[u8]> = sealed.into();
        let entry = Entry { cipher, used: inner.use_count, set };
        if let Some(before) = inner.entries.insert(key.clone(), entry) {
            inner.uses.remove(&before.used);
        }
        inner.uses.insert(inner.use_count, key);
        while inner.uses.len() > self.entries_max {
            let Some((_, oldest)) = inner.uses.pop_first() else { break };
            inner.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let clock = simulation::Simulation::new(1).environment().clock;
        let cache = Cache::new(clock, 2, None);
        let cipher = Arc::new(());
        assert_eq!(cache.len(), 0);
        cache.set(b"a", cipher.clone());
        cache.set(b"b", cipher.clone());
        assert!(cache.get(b"a").is_some());
        cache.set(b"c", cipher.clone());
        cache.set(b"c", cipher);
        assert!(cache.get(b"b").is_none());
        assert!(cache.get(b"a").is_some() && cache.get(b"c").is_some());
    }
}
