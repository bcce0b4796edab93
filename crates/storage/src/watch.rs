//! Watch (B): the state at the start, then every change, seen through one
//! watcher's selector.
//!
//! A watch is a state machine that its reader drives; it has no task of its
//! own, so a watcher that nobody reads costs nothing. Objects are handed on
//! undecoded unless a selector must look into them.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use environment::Clock;
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use meta::{ApiError, Revision};

use crate::Error;
use crate::backend::{
    BackendError, BackendEvent, BackendEventKind, BackendWatch, KeyValue, RangeRequest, RangeResponse,
    Tracker, WatchBatch, WatchRequest,
};
use crate::bookmarks::Bookmarks;
use crate::interface::{EventType, ListRequest, Object, Predicate, Watch, WatchEvent};
use crate::keys::range_of;
use crate::metrics::Operation;
use crate::store::{Inner, too_large};

/// Objects read at once while the initial state is sent (B-26).
const SYNC_PAGE_KEYS: usize = 10_000;
/// Opens a watch on `key` (which ends in a slash if recursive). Whatever fails
/// after the options are understood is told on the stream.
pub(crate) async fn watch(
    store: Arc<Inner>,
    key: &str,
    options: ListRequest,
) -> Result<Box<dyn Watch>, Error> {
    let asked = options.resource_version.parse().map_err(|error| {
        // B-47: an error without a status of its own.
        ApiError::Unknown(format!("resourceVersion: Invalid value: {:?}: {error}", error.text))
    })?;
    let (key, end) = match options.recursive {
        true => range_of(key),
        false => (Bytes::copy_from_slice(key.as_bytes()), None),
    };
    let initial_events = options.send_initial_events.unwrap_or(asked.0 == 0);
    let end_bookmark = options.send_initial_events == Some(true) && options.allow_watch_bookmarks;
    let clock = store.environment.clock.clone();
    let bookmarks = Bookmarks::new(clock.monotonic(), options.lifetime);
    let timer = options.allow_watch_bookmarks.then(|| bookmark_timer(bookmarks, clock.as_ref())).flatten();
    let mut watch = StoreWatch {
        stage: Stage::Opening,
        ready: VecDeque::new(),
        events: VecDeque::new(),
        batch_reached: Revision(0),
        sent: asked,
        reached: asked,
        bookmarks,
        bookmark_timer: timer,
        bookmark_due: false,
        end_bookmark,
        progress_notify: options.progress_notify,
        predicate: options.predicate,
        key,
        end,
        store,
    };
    if initial_events {
        let lower_bound = if options.send_initial_events == Some(true) { asked } else { Revision(0) };
        watch.first_page(lower_bound).await;
    } else if asked.0 == 0 {
        watch.sent = watch.store.current_revision().await?;
        watch.reached = watch.sent;
    }
    if options.progress_notify && matches!(watch.stage, Stage::Opening) {
        // Whoever follows progress asks the stream for its tracker before reading from it.
        watch.open().await;
    }
    Ok(Box::new(watch))
}

fn bookmark_timer(bookmarks: Bookmarks, clock: &dyn Clock) -> Option<BoxFuture<'static, ()>> {
    bookmarks.next(clock.monotonic()).map(|time| clock.sleep(time))
}

struct StoreWatch {
    store: Arc<Inner>,
    key: Bytes,
    end: Option<Bytes>,
    predicate: Predicate,
    stage: Stage,
    /// Events ready to be taken.
    ready: VecDeque<WatchEvent>,
    /// Changes of one batch that are not ready yet.
    events: VecDeque<BackendEvent>,
    /// How far the backend was with that batch.
    batch_reached: Revision,
    /// Highest revision the reader knows to have been reached: of an event, a bookmark or the start.
    sent: Revision,
    /// Every change up to here has been put into `ready`.
    reached: Revision,
    bookmarks: Bookmarks,
    /// Runs out when the next bookmark is due; none if none is to come.
    bookmark_timer: Option<BoxFuture<'static, ()>>,
    /// A bookmark goes out as soon as there is a new revision to tell.
    bookmark_due: bool,
    /// The initial events end with a bookmark.
    end_bookmark: bool,
    /// Every progress of the backend becomes a bookmark.
    progress_notify: bool,
}

enum Stage {
    /// Reading the initial state at a revision, from a key on.
    Syncing { next: Bytes, revision: Revision },
    /// Everything up to `sent` is accounted for; changes after it are to come.
    Opening,
    /// Following the backend.
    Live(Box<dyn BackendWatch>),
    /// Nothing comes after what is ready.
    Ended,
}

enum Step {
    Batch(Option<Result<WatchBatch, BackendError>>),
    BookmarkDue,
}

#[async_trait]
impl Watch for StoreWatch {
    async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if let Some(event) = self.events.front().cloned() {
                self.take_event(event).await;
                continue;
            }
            match &mut self.stage {
                Stage::Ended => return None,
                Stage::Syncing { next, revision } => {
                    let (next, revision) = (next.clone(), *revision);
                    let page = self.read_page(next, revision).await;
                    self.take_page(page, Revision(0)).await;
                }
                Stage::Opening => self.open().await,
                Stage::Live(watch) => {
                    let step = match &mut self.bookmark_timer {
                        None => Step::Batch(watch.next().await),
                        Some(timer) => match select(watch.next(), timer).await {
                            Either::Left((batch, _)) => Step::Batch(batch),
                            Either::Right(((), _)) => Step::BookmarkDue,
                        },
                    };
                    match step {
                        Step::Batch(batch) => self.take_batch(batch),
                        Step::BookmarkDue => self.bookmark_due().await,
                    }
                }
            }
        }
    }

    fn try_next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if let Some(event) = self.events.front().cloned() {
                self.take_event(event).now_or_never()?;
                continue;
            }
            // Before the live stage there are only answers to wait for.
            let Stage::Live(watch) = &mut self.stage else { return None };
            let batch = watch.next().now_or_never()?;
            self.take_batch(batch);
        }
    }

    fn tracker(&self) -> Option<Arc<dyn Tracker>> {
        match &self.stage {
            Stage::Live(watch) => watch.tracker(),
            _ => None,
        }
    }
}

impl StoreWatch {
    async fn first_page(&mut self, lower_bound: Revision) {
        let page = self.read_page(self.key.clone(), Revision(0)).await;
        self.take_page(page, lower_bound).await;
    }

    async fn read_page(&mut self, key: Bytes, revision: Revision) -> Result<RangeResponse, BackendError> {
        let end = self.end.clone();
        let request = RangeRequest { key, end, revision, limit: SYNC_PAGE_KEYS, ..RangeRequest::default() };
        let operation = if self.end.is_some() { Operation::List } else { Operation::Get };
        self.store.range(operation, request).await
    }

    async fn take_page(&mut self, page: Result<RangeResponse, BackendError>, lower_bound: Revision) {
        let page = match page {
            Ok(page) => page,
            Err(error) => return self.fail(backend_failure(error)),
        };
        let revision = match self.stage {
            Stage::Syncing { revision, .. } => revision,
            _ => page.revision,
        };
        if lower_bound > revision {
            // Spread over 1 to 3 seconds, so that watchers do not come back all at once.
            let retry = 1 + self.store.environment.random.below(3) as u32;
            return self.fail(api_error(too_large(lower_bound, revision, retry)));
        }
        let next = page.kvs.last().map(|kv| [&kv.key[..], &[0]].concat());
        // Nothing is ready before all is: who stops waiting reads the page anew.
        let mut ready = VecDeque::new();
        let mut failure = None;
        let view = self.view();
        for kv in page.kvs {
            match view.seen(kv, None).await {
                Ok(Some(object)) => ready.push_back(WatchEvent::Change(EventType::Added, object)),
                Ok(None) => {}
                Err(error) => {
                    failure = Some(api_error(error));
                    break;
                }
            }
        }
        self.ready.append(&mut ready);
        if let Some(error) = failure {
            return self.fail(error);
        }
        self.stage = match next {
            Some(next) if page.more => Stage::Syncing { next: next.into(), revision },
            _ => {
                self.sent = revision;
                self.reached = revision;
                if self.end_bookmark {
                    self.ready.push_back(WatchEvent::Bookmark { revision, initial_events_end: true });
                }
                Stage::Opening
            }
        };
    }

    async fn open(&mut self) {
        let request = WatchRequest {
            key: self.key.clone(),
            end: self.end.clone(),
            start: Revision(self.sent.0.saturating_add(1)),
            previous: true,
            progress: self.bookmark_timer.is_some() || self.progress_notify,
        };
        match self.store.backend.watch(request).await {
            Ok(watch) => self.stage = Stage::Live(watch),
            Err(error) => self.fail(backend_failure(error)),
        }
    }

    fn take_batch(&mut self, batch: Option<Result<WatchBatch, BackendError>>) {
        let batch = match batch {
            None => {
                self.stage = Stage::Ended;
                return;
            }
            Some(Err(error)) => return self.fail(backend_failure(error)),
            Some(Ok(batch)) => batch,
        };
        match batch.events.len() {
            0 => self.store.metrics.bookmarks.add(1),
            events => self.store.metrics.events_received.add(events as u64),
        }
        self.batch_reached = batch.revision;
        self.events = batch.events.into_iter().collect();
        if self.events.is_empty() {
            self.batch_ends();
        }
    }

    /// Makes the next event of a batch ready. Who stops waiting loses none: it
    /// is taken from the batch only when it is done.
    async fn take_event(&mut self, event: BackendEvent) {
        let revision = event.kv.mod_revision;
        let transition = self.view().transition(event).await;
        self.events.pop_front();
        match transition {
            Ok(Some(event)) => {
                self.sent = self.sent.max(revision);
                self.ready.push_back(event);
            }
            Ok(None) => {}
            Err(error) => return self.fail(error),
        }
        if self.events.is_empty() {
            self.batch_ends();
        }
    }

    fn view(&self) -> View<'_> {
        View { store: &self.store, predicate: &self.predicate }
    }

    fn batch_ends(&mut self) {
        self.reached = self.reached.max(self.batch_reached);
        self.bookmark_if_news();
    }

    /// B-31. The backend is asked how far it is; what it answers makes the bookmark.
    async fn bookmark_due(&mut self) {
        self.bookmark_timer = bookmark_timer(self.bookmarks, self.store.environment.clock.as_ref());
        self.bookmark_due = true;
        let asked = self.store.supports_progress() && self.store.request_progress().await.unwrap_or(false);
        if !asked {
            // Another watch asked a moment ago, or nobody can: what is known already has to do.
            self.bookmark_if_news();
        }
    }

    fn bookmark_if_news(&mut self) {
        let due = self.bookmark_due || self.progress_notify;
        if due && self.reached > self.sent {
            self.bookmark_due = false;
            self.sent = self.reached;
            self.ready.push_back(WatchEvent::Bookmark { revision: self.reached, initial_events_end: false });
        }
    }

    /// Ends the stream with an error, after what is ready (B-40).
    fn fail(&mut self, error: ApiError) {
        self.events.clear();
        self.ready.push_back(WatchEvent::Error(error));
        self.stage = Stage::Ended;
    }
}

/// What decides how a watcher sees a change. Apart from the watch, whose parts must not be shared while it waits.
struct View<'w> {
    store: &'w Inner,
    predicate: &'w Predicate,
}

impl View<'_> {
    /// The table of B.2.
    async fn transition(&self, event: BackendEvent) -> Result<Option<WatchEvent>, ApiError> {
        let BackendEvent { kind, kv, previous } = event;
        let revision = kv.mod_revision;
        let created = kind == BackendEventKind::Put && kv.create_revision == kv.mod_revision;
        let previous = match previous {
            _ if created => None,
            Some(previous) => Some(previous),
            None => return Err(missing_previous(&kv)),
        };
        let (new, old) = match (kind, previous) {
            (BackendEventKind::Delete, Some(previous)) => {
                (None, self.seen(previous, Some(revision)).await.map_err(corrupt_deleted)?)
            }
            // Without a selector the object before matched, whatever it was.
            (_, Some(_)) if self.predicate.is_empty() => {
                let new = self.seen(kv, None).await.map_err(api_error)?;
                return Ok(new.map(|object| WatchEvent::Change(EventType::Modified, object)));
            }
            (_, previous) => {
                let new = self.seen(kv, None).await.map_err(api_error)?;
                let old = match previous {
                    Some(previous) => self.seen(previous, Some(revision)).await.map_err(api_error)?,
                    None => None,
                };
                (new, old)
            }
        };
        Ok(match (old, new) {
            (None, None) => None,
            (None, Some(new)) => Some(WatchEvent::Change(EventType::Added, new)),
            (Some(_), Some(new)) => Some(WatchEvent::Change(EventType::Modified, new)),
            (Some(old), None) => Some(WatchEvent::Change(EventType::Deleted, old)),
        })
    }

    /// The object as the watcher sees it, none if it does not match. `revision` overrides the object's own.
    async fn seen(&self, kv: KeyValue, revision: Option<Revision>) -> Result<Option<Arc<Object>>, Error> {
        let revision = revision.unwrap_or(kv.mod_revision);
        let (data, _) = self.store.transform(&kv).await?;
        if !self.predicate.is_empty() || self.store.allow_unsafe_deletion {
            let tree = self.store.decode(&kv.key, &data, revision)?;
            if !self.predicate.matches(&tree) {
                return Ok(None);
            }
        }
        Ok(Some(Arc::new(Object::new(kv.key, revision, data))))
    }
}

fn backend_failure(error: BackendError) -> ApiError {
    match error {
        BackendError::Compacted { .. } => {
            let message = "The resourceVersion for the provided watch is too old.".to_owned();
            ApiError::Expired { message, continue_token: String::new() }
        }
        error => ApiError::Internal(error.to_string()),
    }
}

/// B-41: what is no API error yet becomes an internal one.
fn api_error(error: Error) -> ApiError {
    match error {
        Error::Api(ApiError::Unknown(message)) => ApiError::Internal(message),
        Error::Api(error) => error,
        Error::Corrupt { message, .. } => ApiError::Internal(message),
        error => ApiError::Internal(error.to_string()),
    }
}

/// B-42.
fn corrupt_deleted(error: Error) -> ApiError {
    match error {
        Error::Corrupt { message, .. } => ApiError::StorageRead {
            resource: meta::GroupResource::new("", ""),
            name: String::new(),
            message: format!("saw a DELETED event, but object data is corrupt - {message}"),
            causes: Vec::new(),
        },
        error => api_error(error),
    }
}

/// B-43.
fn missing_previous(kv: &KeyValue) -> ApiError {
    let key = String::from_utf8_lossy(&kv.key);
    ApiError::Internal(format!(
        "the previous value of an event is missing (key={key:?}, modRevision={})",
        kv.mod_revision
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Storage;
    use crate::backend::LeaseId;
    use crate::testing::{ManualClock, Pods, put};
    use crate::{Identity, TransformError, Transformed, Transformer};

    /// Lets every reader wait once before it answers.
    struct Slow;

    impl Transformer for Slow {
        fn to_storage(&self, data: Bytes, context: &[u8]) -> Result<Bytes, TransformError> {
            Identity.to_storage(data, context)
        }

        fn from_storage(&self, _: Bytes, _: &[u8]) -> Result<(Bytes, bool), TransformError> {
            Err(TransformError("this takes time".into()))
        }

        fn from_storage_or_wait(&self, value: Bytes, _context: &[u8]) -> Transformed<(Bytes, bool)> {
            Transformed::Later(Box::pin(async move {
                tokio::task::yield_now().await;
                Ok((value, false))
            }))
        }
    }

    #[tokio::test]
    async fn a_change_survives_readers_that_do_not_wait_for_its_key() {
        let pods = Pods::behind(Arc::new(Slow));
        let mut watch = open(&pods, false).await;
        for name in ["a", "b"] {
            pods.create("ns", name).await;
        }
        for _ in 0..3 {
            assert!(watch.try_next().is_none(), "its key is not here yet");
            assert!(watch.next().now_or_never().is_none(), "its key is not here yet");
        }
        for name in ["/registry/pods/ns/a", "/registry/pods/ns/b"] {
            let Some(WatchEvent::Change(EventType::Added, object)) = watch.next().await else {
                panic!("no event for {name}")
            };
            assert_eq!(object.key, name);
        }
    }

    #[tokio::test]
    async fn a_change_or_a_delete_without_what_was_before_is_an_error() {
        let pods = Pods::new();
        let view = View { store: &pods.store.inner, predicate: &Predicate::default() };
        let event = |kind, created: u64, changed: u64| {
            let revisions = (Revision(created), Revision(changed));
            let kv = KeyValue {
                key: "/registry/pods/ns/a".into(),
                value: "{}".into(),
                create_revision: revisions.0,
                mod_revision: revisions.1,
                version: 1,
                lease: LeaseId(0),
            };
            BackendEvent { kind, kv, previous: None }
        };
        let created = view.transition(event(BackendEventKind::Put, 2, 2)).await;
        assert!(matches!(created, Ok(Some(WatchEvent::Change(EventType::Added, _)))), "{created:?}");
        for kind in [BackendEventKind::Put, BackendEventKind::Delete] {
            let seen = view.transition(event(kind, 2, 3)).await;
            assert!(matches!(seen, Err(ApiError::Internal(_))), "{seen:?}");
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    /// Lets the timer run out with the watch waiting for it.
    async fn minute_passes(watch: &mut dyn Watch, clock: &ManualClock) -> Option<WatchEvent> {
        assert!(watch.next().now_or_never().is_none(), "nothing is ready yet");
        clock.advance(MINUTE);
        watch.next().now_or_never().flatten()
    }

    async fn open(pods: &Pods, bookmarks: bool) -> Box<dyn Watch> {
        let resource_version = pods.store.current_revision().await.unwrap().into();
        let options = ListRequest {
            resource_version,
            recursive: true,
            allow_watch_bookmarks: bookmarks,
            ..ListRequest::default()
        };
        pods.store.watch("/pods/ns", options).await.unwrap()
    }

    #[tokio::test]
    async fn a_bookmark_comes_every_minute_if_there_is_news() {
        let pods = Pods::new();
        let mut watch = open(&pods, true).await;
        assert!(minute_passes(watch.as_mut(), &pods.clock).await.is_none(), "no news");
        let elsewhere = put(&pods.model, "/elsewhere", "x").await;
        let event = minute_passes(watch.as_mut(), &pods.clock).await;
        let Some(WatchEvent::Bookmark { revision, initial_events_end: false }) = event else {
            panic!("{event:?}")
        };
        assert_eq!(revision, elsewhere);
        assert!(minute_passes(watch.as_mut(), &pods.clock).await.is_none(), "no news again");
    }

    #[tokio::test]
    async fn an_event_is_no_news_for_a_bookmark() {
        let pods = Pods::new();
        let mut watch = open(&pods, true).await;
        let made = pods.create("ns", "a").await;
        let event = watch.next().await;
        assert!(
            matches!(&event, Some(WatchEvent::Change(EventType::Added, object)) if object.revision == made)
        );
        assert!(minute_passes(watch.as_mut(), &pods.clock).await.is_none());
    }

    #[tokio::test]
    async fn watches_that_are_due_together_are_all_served() {
        let pods = Pods::new();
        let mut watches = Vec::new();
        for _ in 0..3 {
            watches.push(open(&pods, true).await);
        }
        put(&pods.model, "/elsewhere", "x").await;
        for watch in &mut watches {
            assert!(watch.next().now_or_never().is_none());
        }
        pods.clock.advance(MINUTE);
        for watch in &mut watches {
            // The first one asks for all of them.
            let event = watch.next().now_or_never().flatten();
            assert!(matches!(event, Some(WatchEvent::Bookmark { .. })), "{event:?}");
        }
    }

    #[tokio::test]
    async fn who_did_not_ask_gets_no_bookmarks() {
        let pods = Pods::new();
        let mut watch = open(&pods, false).await;
        put(&pods.model, "/elsewhere", "x").await;
        assert!(minute_passes(watch.as_mut(), &pods.clock).await.is_none());
    }

    #[tokio::test]
    async fn initial_events_come_in_pages_of_one_revision() {
        let pods = Pods::new();
        let objects = SYNC_PAGE_KEYS + 5;
        for n in 0..objects {
            pods.create("ns", &format!("pod-{n:05}")).await;
        }
        let synced = pods.store.current_revision().await.unwrap();
        let options = ListRequest {
            recursive: true,
            send_initial_events: Some(true),
            allow_watch_bookmarks: true,
            ..ListRequest::default()
        };
        let mut watch = pods.store.watch("/pods", options).await.unwrap();
        // Made between the pages: neither early nor twice.
        let late = pods.create("ns", "pod-99999").await;
        for _ in 0..objects {
            let event = watch.next().await;
            assert!(
                matches!(&event, Some(WatchEvent::Change(EventType::Added, object)) if object.revision <= synced)
            );
        }
        let event = watch.next().await;
        let Some(WatchEvent::Bookmark { revision, initial_events_end: true }) = event else {
            panic!("{event:?}")
        };
        assert_eq!(revision, synced);
        let event = watch.next().await;
        assert!(
            matches!(&event, Some(WatchEvent::Change(EventType::Added, object)) if object.revision == late)
        );
    }
}
