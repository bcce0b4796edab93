//! What the cache, its feeder and its watches share: the generations of the
//! cached state.
//!
//! A generation lives from one initialisation to the next. Its view and its
//! log change together under the log's lock, so that whoever holds the lock
//! sees a log that begins where the view ends; readers of the view alone take no lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use environment::Environment;
use futures::future::{Either, select};
use meta::{ApiError, Revision};
use parking_lot::{Mutex, RwLock};
use storage::backend::Tracker;
use storage::{Error, EventType, Storage, WatchEvent};
use tokio::sync::{Notify, watch};

use crate::entry::{Entry, Extractor, Objects};
use crate::index::Index;
use crate::interest::Subject;
use crate::log::{Event, Log};
use crate::metrics::{CacheMetrics, add};

/// How long a read waits for a revision (C-FRE-1).
const FRESHNESS_PATIENCE: Duration = Duration::from_secs(3);
/// How often progress is asked for while somebody waits (C-FRE-2).
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// How soon a wait looks again where looking costs nothing, and how many times.
const GLANCE_INTERVAL: Duration = Duration::from_millis(1);
const GLANCES_MAX: u32 = 20;
/// Past states kept for lists that go on page by page.
const PINNED_STATES_MAX: usize = 16;

/// See the module.
pub(crate) struct Shared {
    pub(crate) inner: Arc<dyn Storage>,
    pub(crate) environment: Environment,
    /// Key prefix of the resource, as callers give it.
    pub(crate) resource_prefix: String,
    pub(crate) extractor: Extractor,
    /// Selectable field that watchers are indexed by.
    pub(crate) trigger: Option<String>,
    pub(crate) metrics: Arc<CacheMetrics>,
    /// None until initialised, and while it cannot be.
    pub(crate) generation: ArcSwapOption<Generation>,
    pub(crate) phase: watch::Sender<Phase>,
    /// Since when there has been no generation, on the monotonic clock.
    away_since: Mutex<Duration>,
    /// When progress was last asked for, on the monotonic clock.
    progress_asked: Mutex<Option<Duration>>,
}

/// Where the cache stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody has asked for anything yet.
    Idle,
    /// Being filled.
    Filling,
    /// Serves.
    Ready,
    /// Could not be filled, because the storage below is away; tried again after a second.
    Failed,
    /// Could not be filled, because of what is stored; tried again after a second.
    /// The storage below says best what is wrong.
    Unreadable,
}

/// The cached state between two initialisations.
pub(crate) struct Generation {
    view: ArcSwap<View>,
    /// Every change up to this revision is in the view.
    reached: AtomicU64,
    tracker: Option<Arc<dyn Tracker>>,
    /// Tells those who wait for `reached`.
    progressed: Notify,
    pub(crate) log: RwLock<Log>,
    /// Nothing will be appended any more.
    closed: AtomicBool,
    /// States that lists are in the middle of.
    pinned: Mutex<VecDeque<(Revision, Objects)>>,
}

/// The newest state.
pub(crate) struct View {
    /// Of the last change.
    pub(crate) revision: Revision,
    pub(crate) objects: Objects,
    /// The same by the value of the trigger field; none until somebody lists so.
    pub(crate) index: Option<Index>,
}

impl Shared {
    pub(crate) fn new(
        inner: Arc<dyn Storage>,
        environment: Environment,
        resource_prefix: String,
        extractor: Extractor,
        trigger: Option<String>,
        metrics: Arc<CacheMetrics>,
    ) -> Shared {
        Shared {
            inner,
            environment,
            resource_prefix,
            extractor,
            trigger,
            metrics,
            generation: ArcSwapOption::empty(),
            phase: watch::Sender::new(Phase::Idle),
            away_since: Mutex::default(),
            progress_asked: Mutex::new(None),
        }
    }

    /// From now on there is no generation.
    pub(crate) fn begins_to_be_away(&self) {
        *self.away_since.lock() = self.environment.clock.monotonic();
    }

    /// How long there has been no generation; meaningless while there is one.
    pub(crate) fn downtime(&self) -> Duration {
        self.environment.clock.monotonic().saturating_sub(*self.away_since.lock())
    }

    /// Waits until the cache holds everything up to `revision`; fails after a while (C-FRE-1).
    pub(crate) async fn wait_until(&self, generation: &Generation, revision: Revision) -> Result<(), Error> {
        if generation.reached() >= revision {
            if revision.0 > 0 {
                self.metrics.read_wait.observe(Duration::ZERO);
            }
            return Ok(());
        }
        let clock = &self.environment.clock;
        let start = clock.monotonic();
        let mut round = 0;
        loop {
            let progressed = std::pin::pin!(generation.progressed.notified());
            // What happens from here on is not missed.
            let mut progressed = progressed;
            progressed.as_mut().enable();
            let reached = generation.reached();
            let waited = clock.monotonic().saturating_sub(start);
            if reached >= revision {
                self.metrics.read_wait.observe(waited);
                return Ok(());
            }
            if waited >= FRESHNESS_PATIENCE {
                self.metrics.read_wait.observe(waited);
                return Err(too_large(revision, reached));
            }
            let glance = generation.tracker.is_some() && round < GLANCES_MAX;
            if !glance {
                self.ask_for_progress().await;
            }
            round += 1;
            let pause = clock.sleep(if glance { GLANCE_INTERVAL } else { PROGRESS_INTERVAL });
            if let Either::Left(_) = select(progressed, pause).await {
                continue;
            }
        }
    }

    /// Asks for progress, unless somebody just did.
    pub(crate) async fn ask_for_progress(&self) {
        let now = self.environment.clock.monotonic();
        {
            let mut asked = self.progress_asked.lock();
            if asked.is_some_and(|at| now < at + PROGRESS_INTERVAL) {
                return;
            }
            *asked = Some(now);
        }
        if let Err(error) = self.inner.request_progress().await {
            tracing::debug!(%error, "progress could not be asked for");
        }
    }

    /// Takes a batch of events into a generation; the watchers are still to be told. Fails on an
    /// event that ends the stream.
    pub(crate) fn apply(&self, generation: &Generation, batch: Vec<WatchEvent>) -> Result<(), ApiError> {
        let now = self.environment.clock.monotonic();
        let mut log = generation.log.write();
        let view = generation.view.load_full();
        let (mut objects, mut revision) = (view.objects.clone(), view.revision);
        let mut index = view.index.clone();
        let (mut reached, mut failure, mut changes) = (Revision(0), None, 0);
        for event in batch {
            match event {
                WatchEvent::Change(kind, object) => {
                    revision = object.revision;
                    let event = if kind == EventType::Deleted {
                        Event::delete(now, objects.remove::<[u8]>(&object.key), object)
                    } else {
                        let entry = Entry::new(object);
                        Event::put(now, objects.insert(entry.clone()), entry)
                    };
                    if let (Some(index), Some(field)) = (&mut index, &self.trigger) {
                        index.replace(event.old.as_ref(), event.new.as_ref(), field, &self.extractor);
                    }
                    self.dispatch(&mut log, event, &objects);
                    changes += 1;
                }
                WatchEvent::Bookmark { revision, .. } => reached = reached.max(revision),
                WatchEvent::Error(error) => failure = Some(error),
            }
        }
        if changes > 0 {
            generation.view.store(Arc::new(View { revision, objects, index }));
            add(&self.metrics.events_received_total, changes);
        }
        drop(log);
        generation.advance(reached.max(revision));
        self.metrics.resource_version.store(generation.reached.load(Ordering::Relaxed), Ordering::Relaxed);
        failure.map_or(Ok(()), Err)
    }

    /// Appends an event, of which those whom it concerns are to be told.
    fn dispatch(&self, log: &mut Log, event: Event, after: &Objects) {
        let (old, new) = (event.old.clone(), event.new.clone());
        let number = log.push(event, after, &self.metrics);
        let Some(entry) = new.as_ref().or(old.as_ref()) else { return };
        let names = self.extractor.names(entry.key());
        let triggers = match &self.trigger {
            Some(trigger) if log.interests.want_triggers() => self.triggers(trigger, [&old, &new]),
            _ => None,
        };
        let subject = Subject { names, triggers };
        add(&self.metrics.events_dispatched_total, log.interests.owe(number, &subject));
    }

    /// Values of the trigger field before and after; none if an object cannot be decoded.
    fn triggers<'a>(&self, trigger: &str, states: [&'a Option<Entry>; 2]) -> Option<[Option<&'a str>; 2]> {
        let mut values = [None; 2];
        for (value, state) in values.iter_mut().zip(states) {
            if let Some(entry) = state {
                *value = Some(entry.field(&self.extractor, trigger)?);
            }
        }
        Some(values)
    }
}

impl Generation {
    pub(crate) fn new(objects: Objects, revision: Revision, tracker: Option<Arc<dyn Tracker>>) -> Generation {
        Generation {
            view: ArcSwap::from_pointee(View { revision, objects, index: None }),
            reached: AtomicU64::new(revision.0),
            tracker,
            progressed: Notify::new(),
            log: RwLock::new(Log::new(revision)),
            closed: AtomicBool::new(false),
            pinned: Mutex::default(),
        }
    }

    /// Every change up to this revision is in the view.
    pub(crate) fn reached(&self) -> Revision {
        let position = self.tracker.as_ref().map(|tracker| tracker.position());
        let applied = self.reached.load(Ordering::Acquire);
        match position {
            // What was handed out last has been applied, and nothing follows it up to `reached`.
            Some(position) if position.delivered.0 <= applied && position.reached.0 > applied => {
                self.reached.fetch_max(position.reached.0, Ordering::AcqRel);
                position.reached
            }
            _ => Revision(applied),
        }
    }

    pub(crate) fn tracked(&self) -> bool {
        self.tracker.is_some()
    }

    fn advance(&self, revision: Revision) {
        self.reached.fetch_max(revision.0, Ordering::AcqRel);
        self.progressed.notify_waiters();
    }

    /// The newest state and the revision it stands for.
    pub(crate) fn newest(&self) -> (Arc<View>, Revision) {
        // The order matters: a view loaded later holds everything `reached` tells.
        let reached = self.reached();
        let view = self.view.load_full();
        let revision = reached.max(view.revision);
        (view, revision)
    }

    /// The same as [`Generation::newest`], with the index by `field`.
    pub(crate) fn newest_indexed(&self, field: &str, extractor: &Extractor) -> (Arc<View>, Revision) {
        let (view, revision) = self.newest();
        if view.index.is_some() {
            return (view, revision);
        }
        // The lock keeps the view from changing while its index is made.
        let _log = self.log.write();
        let (view, revision) = self.newest();
        if view.index.is_some() {
            return (view, revision);
        }
        let index = Some(Index::of(&view.objects, field, extractor));
        let view = Arc::new(View { revision: view.revision, objects: view.objects.clone(), index });
        self.view.store(view.clone());
        (view, revision)
    }

    /// The state at `revision`; none if it is too old or not reached yet.
    pub(crate) fn state_at(&self, revision: Revision) -> Option<Objects> {
        if revision > self.reached() {
            return None;
        }
        let log = self.log.read();
        let view = self.view.load();
        if revision >= view.revision {
            return Some(view.objects.clone());
        }
        if revision < log.oldest() {
            return None;
        }
        let pinned =
            self.pinned.lock().iter().find(|(at, _)| *at == revision).map(|(_, state)| state.clone());
        pinned.or_else(|| log.state_at(revision, &view.objects))
    }

    /// Keeps a state at hand for the next page of a list.
    pub(crate) fn pin(&self, revision: Revision, state: &Objects) {
        let mut pinned = self.pinned.lock();
        if pinned.iter().any(|(at, _)| *at == revision) {
            return;
        }
        if pinned.len() == PINNED_STATES_MAX {
            pinned.pop_front();
        }
        pinned.push_back((revision, state.clone()));
    }

    /// Tells the watchers whose round is due of what they are owed; returns when the next round is
    /// due, if one is, on the monotonic clock.
    pub(crate) fn tell(&self, now: Duration) -> Option<Duration> {
        self.log.read().interests.tell(now)
    }

    /// Ends all watches of this generation.
    pub(crate) fn close(&self, now: Duration) {
        // The order matters: a watcher that finds the end has been told of everything before it.
        self.log.read().interests.tell_all(now);
        self.closed.store(true, Ordering::Release);
        self.log.read().interests.nudge_all();
        self.progressed.notify_waiters();
    }

    /// True if nothing will be appended any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

fn too_large(requested: Revision, current: Revision) -> Error {
    ApiError::TooLargeResourceVersion { requested: requested.0, current: current.0, retry_after_seconds: 1 }
        .into()
}
