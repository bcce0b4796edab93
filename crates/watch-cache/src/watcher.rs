//! A watch on the cache: a cursor in the shared log, driven by its reader. It
//! has no task and no queue of its own beyond a few events taken together, so a
//! watcher that nobody reads costs nobody anything. When the log has gone on without it, its
//! stream ends (B-46).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use environment::Clock;
use futures::future::{BoxFuture, Either, select};
use meta::{ApiError, Revision};
use storage::{Bookmarks, EventType, Predicate, Watch, WatchEvent};

use crate::interest::{Interest, Signal};
use crate::list::{Walk, matching};
use crate::log::Event;
use crate::metrics::add;
use crate::shared::{Generation, Shared};

/// Events taken out of the log at once; bounds how long the log is locked, and
/// what a watcher holds.
const EVENTS_PER_TURN: usize = 64;
/// How long a bookmark that is due waits for a moment without events.
const BOOKMARK_PAUSE: Duration = Duration::from_millis(100);
/// How long a bookmark waits for the progress it asked for.
const BOOKMARK_PATIENCE: Duration = Duration::from_secs(1);

/// Which keys a watch is about.
pub(crate) struct Scope {
    /// Full key, or prefix that ends in a slash.
    pub(crate) key: String,
    /// Everything below the prefix, or the one key.
    pub(crate) recursive: bool,
    /// Which of it.
    pub(crate) predicate: Predicate,
}

/// Where a watch begins.
pub(crate) enum Start {
    /// With the newest state; then perhaps with a bookmark.
    State {
        /// The state ends with a bookmark.
        end_bookmark: bool,
    },
    /// With the changes after a revision.
    After(Revision),
}

/// See the module.
pub(crate) struct CacheWatch {
    shared: Arc<Shared>,
    generation: Arc<Generation>,
    scope: Scope,
    interest: Interest,
    id: u64,
    signal: Arc<Signal>,
    /// Objects of the initial state that are still to be shown.
    initial: Option<Walk>,
    /// Revision of the bookmark that ends the initial state, if it is owed.
    end_bookmark: Option<Revision>,
    /// Number of the first event not taken yet.
    cursor: u64,
    /// There are events after `cursor` that no signal will tell of.
    behind: bool,
    taken: VecDeque<Arc<Event>>,
    /// Events up to here are not shown; may lie in the future.
    from: Revision,
    /// Highest revision the reader knows to have been reached.
    sent: Revision,
    /// None if none are wanted.
    bookmarks: Option<Bookmarks>,
    /// Runs out when the next bookmark is due; none if none is to come.
    timer: Option<BoxFuture<'static, ()>>,
    /// Progress was asked for, for the sake of a bookmark.
    asked: bool,
    ended: bool,
}

impl CacheWatch {
    /// Opens a watch; none if the log does not reach back to its start.
    pub(crate) fn open(
        shared: Arc<Shared>,
        generation: Arc<Generation>,
        scope: Scope,
        start: Start,
        bookmarks: Option<Bookmarks>,
    ) -> Option<CacheWatch> {
        let interest = interest_of(&scope, &shared);
        let signal = Arc::new(Signal::default());
        let mut log = generation.log.write();
        let (mut initial, mut end_bookmark) = (None, None);
        let (cursor, sent) = match start {
            Start::State { end_bookmark: wanted } => {
                let (view, revision) = generation.newest();
                end_bookmark = wanted.then_some(revision);
                initial = Some(Walk::new(view.objects.clone(), scope.key.clone(), None));
                (log.end(), revision)
            }
            Start::After(revision) => (log.first_after(revision)?, revision),
        };
        let behind = cursor < log.end();
        let id = log.interests.add(interest.clone(), signal.clone());
        drop(log);
        shared.metrics.watchers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let clock = &shared.environment.clock;
        let timer = bookmarks.and_then(|bookmarks| bookmark_timer(bookmarks, clock.as_ref()));
        Some(CacheWatch {
            shared,
            generation,
            scope,
            interest,
            id,
            signal,
            initial,
            end_bookmark,
            cursor,
            behind,
            taken: VecDeque::new(),
            from: sent,
            sent,
            bookmarks,
            timer,
            asked: false,
            ended: false,
        })
    }

    /// What there is now.
    fn poll(&mut self) -> Option<WatchEvent> {
        if let Some(event) = self.next_initial() {
            return Some(event);
        }
        while !self.ended {
            while let Some(event) = self.taken.pop_front() {
                if event.revision <= self.from {
                    continue;
                }
                if let Some(seen) = event.seen(&self.scope.predicate, &self.shared.extractor) {
                    self.sent = event.revision;
                    return Some(seen);
                }
            }
            if !self.take() {
                return None;
            }
        }
        None
    }

    fn next_initial(&mut self) -> Option<WatchEvent> {
        let Scope { key, recursive, predicate } = &self.scope;
        if let Some(walk) = &mut self.initial {
            let wanted = walk
                .filter(|entry| *recursive || entry.key() == key.as_bytes())
                .find_map(|entry| matching(&entry, predicate, &self.shared));
            if let Some(object) = wanted {
                add(&self.shared.metrics.init_events_total, 1);
                return Some(WatchEvent::Change(EventType::Added, object));
            }
            self.initial = None;
        }
        let revision = self.end_bookmark.take()?;
        Some(WatchEvent::Bookmark { revision, initial_events_end: true })
    }

    /// Takes the next events out of the log; false if there are none.
    fn take(&mut self) -> bool {
        let signalled = self.signal.take();
        if signalled.is_none() && !self.behind {
            return self.end_if_closed();
        }
        if !self.behind {
            // Events between the cursor and the signal were none of this watcher's business.
            self.cursor = self.cursor.max(signalled.unwrap_or(0));
        }
        let generation = self.generation.clone();
        let log = generation.log.read();
        let Some(events) = log.from(self.cursor) else {
            self.ended = true;
            add(&self.shared.metrics.terminated_watchers_total, 1);
            return false;
        };
        for event in events {
            if self.taken.len() == EVENTS_PER_TURN {
                break;
            }
            self.cursor += 1;
            if self.scope.covers(event.key()) {
                self.taken.push_back(event.clone());
            }
        }
        self.behind = self.cursor < log.end();
        true
    }

    fn end_if_closed(&mut self) -> bool {
        // Asked in this order: what was appended before the end has raised the signal.
        self.ended = self.generation.is_closed() && !self.signal.is_raised();
        false
    }

    /// B-31, B-32.
    async fn bookmark_due(&mut self) -> Option<WatchEvent> {
        let clock = &self.shared.environment.clock;
        if !self.generation.tracked() && !self.asked {
            self.asked = true;
            self.timer = Some(clock.sleep(BOOKMARK_PATIENCE));
            self.shared.ask_for_progress().await;
            return None;
        }
        self.asked = false;
        self.timer = self.bookmarks.and_then(|bookmarks| bookmark_timer(bookmarks, clock.as_ref()));
        // The order matters: events up to here are owed, and when told have raised the signal.
        let reached = self.generation.reached();
        self.generation.log.read().interests.tell_all(self.shared.environment.clock.monotonic());
        let idle =
            !self.signal.is_raised() && !self.behind && self.taken.is_empty() && self.initial.is_none();
        if !idle {
            self.timer = Some(clock.sleep(BOOKMARK_PAUSE));
            return None;
        }
        if reached <= self.sent {
            return None;
        }
        self.sent = reached;
        Some(WatchEvent::Bookmark { revision: reached, initial_events_end: false })
    }
}

fn bookmark_timer(bookmarks: Bookmarks, clock: &dyn Clock) -> Option<BoxFuture<'static, ()>> {
    bookmarks.next(clock.monotonic()).map(|time| clock.sleep(time))
}

#[async_trait]
impl Watch for CacheWatch {
    async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(event) = self.poll() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let due = {
                let raised = std::pin::pin!(self.signal.raised());
                match &mut self.timer {
                    None => {
                        raised.await;
                        false
                    }
                    Some(timer) => matches!(select(raised, timer).await, Either::Right(_)),
                }
            };
            if due && let Some(bookmark) = self.bookmark_due().await {
                return Some(bookmark);
            }
        }
    }

    fn try_next(&mut self) -> Option<WatchEvent> {
        self.poll()
    }
}

impl Drop for CacheWatch {
    fn drop(&mut self) {
        self.generation.log.write().interests.remove(&self.interest, self.id);
        self.shared.metrics.watchers.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Scope {
    fn covers(&self, key: &[u8]) -> bool {
        if self.recursive { key.starts_with(self.key.as_bytes()) } else { key == self.key.as_bytes() }
    }
}

/// What a watch must hear of.
fn interest_of(scope: &Scope, shared: &Shared) -> Interest {
    let fields = &scope.predicate.fields;
    let extractor = &shared.extractor;
    if let Some(value) = shared.trigger.as_deref().and_then(|trigger| fields.requires_exact(trigger)) {
        return Interest::Trigger(value.into());
    }
    if !scope.recursive {
        let names = extractor.names(scope.key.as_bytes());
        return names
            .map_or(Interest::All, |(namespace, name)| Interest::Object(namespace.into(), name.into()));
    }
    let name = fields.requires_exact("metadata.name");
    let below = scope.key.strip_prefix(&extractor.root).map(|below| below.trim_end_matches('/'));
    let namespace = match below {
        Some("") => fields.requires_exact("metadata.namespace").filter(|namespace| !namespace.is_empty()),
        Some(namespace) if !namespace.contains('/') => Some(namespace),
        _ => return Interest::All,
    };
    match (namespace, name) {
        (Some(namespace), Some(name)) => Interest::Object(namespace.into(), name.into()),
        (Some(namespace), None) => Interest::Namespace(namespace.into()),
        (None, Some(name)) => Interest::Name(name.into()),
        (None, None) => Interest::All,
    }
}

/// A watch that failed before it began (B-45).
pub(crate) struct FailedWatch(pub(crate) Option<ApiError>);

#[async_trait]
impl Watch for FailedWatch {
    async fn next(&mut self) -> Option<WatchEvent> {
        self.try_next()
    }

    fn try_next(&mut self) -> Option<WatchEvent> {
        self.0.take().map(WatchEvent::Error)
    }
}
