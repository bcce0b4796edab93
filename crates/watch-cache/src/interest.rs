//! Who wants to hear of which change: watchers by what their selectors must
//! see, so that an update costs only those it concerns.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use futures::task::AtomicWaker;

/// What a watcher must hear of. Coarser than its selector, never finer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Interest {
    /// Everything.
    All,
    /// Everything in a namespace.
    Namespace(Box<str>),
    /// One name, in whatever namespace.
    Name(Box<str>),
    /// One object: namespace and name.
    Object(Box<str>, Box<str>),
    /// Objects whose trigger field has or had this value.
    Trigger(Box<str>),
}

/// Tells a watcher that there is something for it. Set by the feeder, taken by the watcher.
#[derive(Default)]
pub(crate) struct Signal {
    /// Number of the first event not seen yet, plus 1; 0 if there is none.
    pending: AtomicU64,
    nudged: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    /// There is an event with this number.
    pub(crate) fn raise(&self, event: u64) {
        if self.pending.compare_exchange(0, event + 1, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.waker.wake();
        }
    }

    /// Wakes the watcher without an event.
    pub(crate) fn nudge(&self) {
        self.nudged.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// The number of the first event not seen, if any; from now on there is none.
    pub(crate) fn take(&self) -> Option<u64> {
        self.pending.swap(0, Ordering::AcqRel).checked_sub(1)
    }

    /// True if an event waits.
    pub(crate) fn is_raised(&self) -> bool {
        self.pending.load(Ordering::Acquire) != 0
    }

    /// Completes when there is an event or a nudge; only the watcher itself may wait.
    pub(crate) async fn raised(&self) {
        poll_fn(|context| {
            if !self.is_ready() {
                self.waker.register(context.waker());
                // What came in between did not find the waker.
                if !self.is_ready() {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    fn is_ready(&self) -> bool {
        self.is_raised() || self.nudged.swap(false, Ordering::AcqRel)
    }
}

/// All watchers of a resource.
#[derive(Default)]
pub(crate) struct Interests {
    watchers: BTreeMap<Interest, BTreeMap<u64, Arc<Signal>>>,
    triggers: usize,
    next: u64,
}

/// What an event is found by.
pub(crate) struct Subject<'a> {
    /// Namespace and name, if the key tells.
    pub(crate) names: Option<(&'a str, &'a str)>,
    /// Values of the trigger field before and after the change; none if unknown, which concerns
    /// everybody who selects by it.
    pub(crate) triggers: Option<[Option<&'a str>; 2]>,
}

impl Interests {
    pub(crate) fn add(&mut self, interest: Interest, signal: Arc<Signal>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.triggers += usize::from(matches!(interest, Interest::Trigger(_)));
        self.watchers.entry(interest).or_default().insert(id, signal);
        id
    }

    pub(crate) fn remove(&mut self, interest: &Interest, id: u64) {
        let Some(same) = self.watchers.get_mut(interest) else { return };
        if same.remove(&id).is_some() && matches!(interest, Interest::Trigger(_)) {
            self.triggers -= 1;
        }
        if same.is_empty() {
            self.watchers.remove(interest);
        }
    }

    /// True if somebody selects by the trigger field.
    pub(crate) fn want_triggers(&self) -> bool {
        self.triggers > 0
    }

    /// Tells everybody whom an event concerns. Returns how many.
    pub(crate) fn raise(&self, event: u64, subject: &Subject<'_>) -> usize {
        let Some((namespace, name)) = subject.names else {
            return self.raise_all(event);
        };
        let mut told = self.raise_one(event, &Interest::All);
        if self.watchers.len() == usize::from(told > 0) {
            return told;
        }
        told += self.raise_one(event, &Interest::Namespace(namespace.into()));
        told += self.raise_one(event, &Interest::Name(name.into()));
        told += self.raise_one(event, &Interest::Object(namespace.into(), name.into()));
        if self.triggers == 0 {
            return told;
        }
        let Some([old, new]) = subject.triggers else {
            let by_trigger = Interest::Trigger("".into())..;
            let same = self.watchers.range(by_trigger).map(|(_, same)| raise_each(event, same));
            return told + same.sum::<usize>();
        };
        told += old.map_or(0, |value| self.raise_one(event, &Interest::Trigger(value.into())));
        if new != old {
            told += new.map_or(0, |value| self.raise_one(event, &Interest::Trigger(value.into())));
        }
        told
    }

    fn raise_all(&self, event: u64) -> usize {
        self.watchers.values().map(|same| raise_each(event, same)).sum()
    }

    fn raise_one(&self, event: u64, interest: &Interest) -> usize {
        self.watchers.get(interest).map_or(0, |same| raise_each(event, same))
    }

    /// Wakes everybody, e.g. because the log ends.
    pub(crate) fn nudge_all(&self) {
        self.watchers.values().flat_map(BTreeMap::values).for_each(|signal| signal.nudge());
    }
}

fn raise_each(event: u64, watchers: &BTreeMap<u64, Arc<Signal>>) -> usize {
    watchers.values().for_each(|signal| signal.raise(event));
    watchers.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject<'a>(old: Option<&'a str>, new: Option<&'a str>) -> Subject<'a> {
        Subject { names: Some(("ns", "a")), triggers: Some([old, new]) }
    }

    #[test]
    fn an_event_concerns_those_whose_selector_could_match() {
        let mut interests = Interests::default();
        let mut add = |interest: Interest| {
            let signal = Arc::new(Signal::default());
            interests.add(interest, signal.clone());
            signal
        };
        let concerned = [
            add(Interest::All),
            add(Interest::Namespace("ns".into())),
            add(Interest::Name("a".into())),
            add(Interest::Object("ns".into(), "a".into())),
            add(Interest::Trigger("n1".into())),
            add(Interest::Trigger("n2".into())),
        ];
        let others = [
            add(Interest::Namespace("other".into())),
            add(Interest::Name("b".into())),
            add(Interest::Object("other".into(), "a".into())),
            add(Interest::Trigger("n3".into())),
        ];
        assert_eq!(interests.raise(7, &subject(Some("n1"), Some("n2"))), 6);
        assert!(concerned.iter().all(|signal| signal.take() == Some(7)));
        assert!(others.iter().all(|signal| signal.take().is_none()));
        assert_eq!(interests.raise(8, &Subject { names: None, ..subject(None, None) }), 10);
    }

    #[test]
    fn an_unknown_trigger_concerns_all_who_select_by_it() {
        let mut interests = Interests::default();
        let signal = Arc::new(Signal::default());
        let interest = Interest::Trigger("n1".into());
        let id = interests.add(interest.clone(), signal.clone());
        interests.raise(1, &Subject { triggers: None, ..subject(None, None) });
        assert_eq!(signal.take(), Some(1));
        interests.remove(&interest, id);
        assert!(interests.watchers.is_empty() && !interests.want_triggers());
    }

    #[test]
    fn the_first_event_not_seen_is_kept() {
        let signal = Signal::default();
        signal.raise(3);
        signal.raise(4);
        assert_eq!((signal.take(), signal.take()), (Some(3), None));
    }
}
