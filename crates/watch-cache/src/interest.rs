//! Who wants to hear of which change: watchers by what their selectors must
//! see, so that an update costs only those it concerns.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::task::AtomicWaker;
use parking_lot::Mutex;

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
///
/// They are told of events in two steps, so that nobody who reads the log
/// waits for the telling: [`owe`](Interests::owe) as an event is appended, and
/// [`tell`](Interests::tell) when the log is unlocked again.
#[derive(Default)]
pub(crate) struct Interests {
    audiences: BTreeMap<Interest, Audience>,
    /// Audiences that are owed news.
    owing: Mutex<Vec<Interest>>,
    triggers: usize,
    next: u64,
}

/// Watchers with the same interest. They are told together, in rounds.
#[derive(Default)]
struct Audience {
    signals: BTreeMap<u64, Arc<Signal>>,
    round: Mutex<Round>,
}

#[derive(Default)]
struct Round {
    /// When the last one was, on the monotonic clock.
    last: Option<Duration>,
    /// The first event they have not been told of.
    owed: Option<u64>,
}

/// Shortest time between two rounds for each watcher told. To deliver costs each watcher a wake-up and
/// a write, whatever the number of events; when events come faster than rounds, the events
/// of a round share them, and telling the same to everybody takes no more than a part of one processor.
const ROUND_PER_WATCHER: Duration = Duration::from_micros(50);
/// Longest time between two rounds while events are owed, however many watchers there are.
const ROUND_MAX: Duration = Duration::from_millis(20);
/// Rounds that would follow each other faster than timers run are not spaced at all.
const ROUND_MIN: Duration = Duration::from_millis(1);

impl Audience {
    /// When the next round may be.
    fn due(&self, round: &Round) -> Duration {
        let watchers = u32::try_from(self.signals.len()).unwrap_or(u32::MAX);
        let pace = ROUND_PER_WATCHER.saturating_mul(watchers).min(ROUND_MAX);
        match round.last {
            Some(last) if pace >= ROUND_MIN => last + pace,
            _ => Duration::ZERO,
        }
    }

    fn tell(&self, round: &mut Round, now: Duration) {
        if let Some(event) = round.owed.take() {
            round.last = Some(now);
            self.signals.values().for_each(|signal| signal.raise(event));
        }
    }
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
        self.audiences.entry(interest).or_default().signals.insert(id, signal);
        id
    }

    pub(crate) fn remove(&mut self, interest: &Interest, id: u64) {
        let Some(audience) = self.audiences.get_mut(interest) else { return };
        if audience.signals.remove(&id).is_some() && matches!(interest, Interest::Trigger(_)) {
            self.triggers -= 1;
        }
        if audience.signals.is_empty() {
            self.audiences.remove(interest);
        }
    }

    /// True if somebody selects by the trigger field.
    pub(crate) fn want_triggers(&self) -> bool {
        self.triggers > 0
    }

    /// Everybody whom an event concerns is to be told of it. Returns how many they are.
    pub(crate) fn owe(&mut self, event: u64, subject: &Subject<'_>) -> usize {
        let Some((namespace, name)) = subject.names else {
            return self.owe_range(event, ..);
        };
        let mut concerned = self.owe_one(event, &Interest::All);
        if self.audiences.len() == usize::from(concerned > 0) {
            return concerned;
        }
        concerned += self.owe_one(event, &Interest::Namespace(namespace.into()));
        concerned += self.owe_one(event, &Interest::Name(name.into()));
        concerned += self.owe_one(event, &Interest::Object(namespace.into(), name.into()));
        if self.triggers == 0 {
            return concerned;
        }
        let Some([old, new]) = subject.triggers else {
            return concerned + self.owe_range(event, Interest::Trigger("".into())..);
        };
        concerned += old.map_or(0, |value| self.owe_one(event, &Interest::Trigger(value.into())));
        if new != old {
            concerned += new.map_or(0, |value| self.owe_one(event, &Interest::Trigger(value.into())));
        }
        concerned
    }

    fn owe_range(&mut self, event: u64, range: impl RangeBounds<Interest>) -> usize {
        let owing = self.owing.get_mut();
        let same = self.audiences.range_mut(range);
        same.map(|(interest, audience)| audience.owe(event, interest, owing)).sum()
    }

    fn owe_one(&mut self, event: u64, interest: &Interest) -> usize {
        let owing = self.owing.get_mut();
        self.audiences.get_mut(interest).map_or(0, |audience| audience.owe(event, interest, owing))
    }

    /// Tells everybody whose round is due of what is owed; returns when the next round is due, if
    /// one is, on the monotonic clock.
    pub(crate) fn tell(&self, now: Duration) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        self.owing.lock().retain(|interest| {
            let Some(audience) = self.audiences.get(interest) else { return false };
            let mut round = audience.round.lock();
            let due = audience.due(&round);
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
                return true;
            }
            audience.tell(&mut round, now);
            false
        });
        next
    }

    /// Tells everybody of what is owed, due or not.
    pub(crate) fn tell_all(&self, now: Duration) {
        let mut owing = self.owing.lock();
        for audience in owing.drain(..).filter_map(|interest| self.audiences.get(&interest)) {
            audience.tell(&mut audience.round.lock(), now);
        }
    }

    /// Wakes everybody, e.g. because the log ends.
    pub(crate) fn nudge_all(&self) {
        self.audiences
            .values()
            .flat_map(|audience| audience.signals.values())
            .for_each(|signal| signal.nudge());
    }
}

impl Audience {
    fn owe(&mut self, event: u64, interest: &Interest, owing: &mut Vec<Interest>) -> usize {
        let owed = &mut self.round.get_mut().owed;
        if owed.is_none() {
            *owed = Some(event);
            owing.push(interest.clone());
        }
        self.signals.len()
    }
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
        assert_eq!(interests.owe(7, &subject(Some("n1"), Some("n2"))), 6);
        assert_eq!(interests.tell(Duration::ZERO), None);
        assert!(concerned.iter().all(|signal| signal.take() == Some(7)));
        assert!(others.iter().all(|signal| signal.take().is_none()));
        assert_eq!(interests.owe(8, &Subject { names: None, ..subject(None, None) }), 10);
    }

    #[test]
    fn an_unknown_trigger_concerns_all_who_select_by_it() {
        let mut interests = Interests::default();
        let signal = Arc::new(Signal::default());
        let interest = Interest::Trigger("n1".into());
        let id = interests.add(interest.clone(), signal.clone());
        interests.owe(1, &Subject { triggers: None, ..subject(None, None) });
        interests.tell(Duration::ZERO);
        assert_eq!(signal.take(), Some(1));
        interests.remove(&interest, id);
        assert!(interests.audiences.is_empty() && !interests.want_triggers());
    }

    #[test]
    fn many_watchers_are_told_at_once_and_then_in_rounds() {
        let mut interests = Interests::default();
        let signals: Vec<_> = (0..2000).map(|_| Arc::new(Signal::default())).collect();
        for signal in &signals {
            interests.add(Interest::All, signal.clone());
        }
        let told = || signals.iter().filter_map(|signal| signal.take()).collect::<Vec<_>>();
        let start = Duration::from_secs(1);
        interests.owe(1, &subject(None, None));
        assert_eq!(interests.tell(start), None);
        assert_eq!(told(), [1; 2000]);
        // What comes soon after waits for the round, which tells the first event of several.
        interests.owe(2, &subject(None, None));
        assert_eq!(interests.tell(start + ROUND_MAX / 2), Some(start + ROUND_MAX));
        interests.owe(3, &subject(None, None));
        assert!(told().is_empty());
        assert_eq!(interests.tell(start + ROUND_MAX), None);
        assert_eq!(told(), [2; 2000]);
        interests.owe(4, &subject(None, None));
        interests.tell_all(start + ROUND_MAX);
        assert_eq!(told(), [4; 2000]);
    }

    #[test]
    fn few_watchers_are_told_at_once_every_time() {
        let mut interests = Interests::default();
        let signal = Arc::new(Signal::default());
        interests.add(Interest::All, signal.clone());
        for event in 1..10 {
            interests.owe(event, &subject(None, None));
            assert_eq!(interests.tell(Duration::from_secs(1)), None);
            assert_eq!(signal.take(), Some(event));
        }
    }

    #[test]
    fn the_first_event_not_seen_is_kept() {
        let signal = Signal::default();
        signal.raise(3);
        signal.raise(4);
        assert_eq!((signal.take(), signal.take()), (Some(3), None));
    }
}
