//! The feeder: fills the cache from the storage below and follows it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use meta::{ApiError, Revision};
use storage::{Error, ListRequest, Watch, WatchEvent};
use tokio::sync::watch;

use crate::consistency;
use crate::entry::{Entry, Objects};
use crate::shared::{Generation, Phase, Shared};

/// Time between attempts to fill the cache (C-INI-4).
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Events taken together. More wait for the next turn.
const BATCH_EVENTS_MAX: usize = 512;

/// Keeps the cache filled until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>, mut dropped: watch::Receiver<()>) {
    let stop = std::pin::pin!(async move {
        // The sender never sends; it is dropped with the cache.
        let _ = dropped.changed().await;
    });
    let fed = std::pin::pin!(feed(&shared));
    select(stop, fed).await;
    if let Some(generation) = shared.generation.swap(None) {
        generation.close(shared.environment.clock.monotonic());
    }
    shared.phase.send_replace(Phase::Failed);
}

async fn feed(shared: &Shared) {
    let mut failures = 0_u32;
    loop {
        shared.phase.send_replace(Phase::Filling);
        match fill(shared).await {
            Ok((generation, watch)) => {
                failures = 0;
                shared.generation.store(Some(generation.clone()));
                shared.phase.send_replace(Phase::Ready);
                crate::metrics::add(&shared.metrics.initializations_total, 1);
                let why = follow(shared, &generation, watch).await;
                tracing::info!(resource = shared.resource_prefix, %why, "the watch cache is filled anew");
                shared.generation.store(None);
                shared.begins_to_be_away();
                generation.close(shared.environment.clock.monotonic());
            }
            Err(error) => {
                // A store that closes with its server fails once; one that stays away is news.
                failures += 1;
                if failures > 1 {
                    tracing::warn!(resource = shared.resource_prefix, %error, "the watch cache cannot be filled");
                }
                let away =
                    matches!(error, Error::Unreachable { .. } | Error::Timeout { .. } | Error::NotReady);
                shared.phase.send_replace(if away { Phase::Failed } else { Phase::Unreadable });
                shared.environment.clock.sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

async fn fill(shared: &Shared) -> Result<(Arc<Generation>, Box<dyn Watch>), Error> {
    let request = ListRequest { recursive: true, ..ListRequest::default() };
    let list = shared.inner.list(&shared.resource_prefix, request).await?;
    let objects: Objects = list.items.map(Entry::new).collect();
    let watch = open(shared, list.revision).await?;
    Ok((Arc::new(Generation::new(objects, list.revision, watch.tracker())), watch))
}

async fn open(shared: &Shared, after: Revision) -> Result<Box<dyn Watch>, Error> {
    let request = ListRequest {
        resource_version: after.into(),
        recursive: true,
        progress_notify: true,
        ..ListRequest::default()
    };
    shared.inner.watch(&shared.resource_prefix, request).await
}

/// Applies events until the cache has to be filled anew; returns why.
async fn follow(shared: &Shared, generation: &Generation, mut watch: Box<dyn Watch>) -> ApiError {
    let mut held = None;
    let mut check = consistency::Schedule::new(&shared.environment);
    let mut rounds = Rounds::default();
    loop {
        let turn = match held.take() {
            Some(event) => Turn::Event(Some(event)),
            None => {
                let round = pin!(rounds.due());
                match select(watch.next(), select(check.due(), round)).await {
                    Either::Left((event, _)) => Turn::Event(event),
                    Either::Right((Either::Left(_), _)) => Turn::Check,
                    Either::Right((Either::Right(_), _)) => Turn::Round,
                }
            }
        };
        let first = match turn {
            Turn::Event(event) => event,
            Turn::Check => {
                if let Err(why) = consistency::check(shared, generation, &mut check).await {
                    return why;
                }
                continue;
            }
            Turn::Round => {
                rounds.tell(shared, generation);
                continue;
            }
        };
        let Some(first) = first else {
            return ApiError::Internal("the watch of the storage ended".to_owned());
        };
        let batch = gather(first, watch.as_mut(), &mut held);
        if let Err(error) = shared.apply(generation, batch) {
            return error;
        }
        rounds.tell(shared, generation);
    }
}

/// What the feeder has to do next.
enum Turn {
    /// Take an event in; none if there will be no more.
    Event(Option<WatchEvent>),
    /// Compare the cache with the storage.
    Check,
    /// Tell watchers.
    Round,
}

/// The rounds in which watchers are told of events.
#[derive(Default)]
struct Rounds {
    /// Runs out when the next one is due.
    timer: Option<BoxFuture<'static, ()>>,
    /// When that is, on the monotonic clock.
    next: Option<Duration>,
}

impl Rounds {
    /// Tells the watchers whose round is due.
    fn tell(&mut self, shared: &Shared, generation: &Generation) {
        let clock = &shared.environment.clock;
        let now = clock.monotonic();
        let next = generation.tell(now);
        if next != self.next {
            self.timer = next.map(|next| clock.sleep(next.saturating_sub(now)));
            self.next = next;
        }
    }

    /// Completes when a round is due. Cancel-safe.
    async fn due(&mut self) {
        match &mut self.timer {
            Some(timer) => timer.await,
            None => futures::future::pending().await,
        }
        *self = Rounds::default();
    }
}

/// What is ready now, whole revisions only: a revision must not be seen in part.
fn gather(first: WatchEvent, watch: &mut dyn Watch, held: &mut Option<WatchEvent>) -> Vec<WatchEvent> {
    let mut last = revision_of(&first);
    let mut batch = vec![first];
    while let Some(event) = watch.try_next() {
        let revision = revision_of(&event);
        if batch.len() >= BATCH_EVENTS_MAX && revision != last {
            *held = Some(event);
            break;
        }
        last = revision;
        batch.push(event);
    }
    batch
}

fn revision_of(event: &WatchEvent) -> Option<Revision> {
    match event {
        WatchEvent::Change(_, object) => Some(object.revision),
        WatchEvent::Bookmark { .. } | WatchEvent::Error(_) => None,
    }
}
