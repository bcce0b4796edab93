//! The feeder: fills the cache from the storage below and follows it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
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
        generation.close();
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
                generation.close();
            }
            Err(error) => {
                // A store that closes with its server fails once; one that stays away is news.
                failures += 1;
                if failures > 1 {
                    tracing::warn!(resource = shared.resource_prefix, %error, "the watch cache cannot be filled");
                }
                shared.phase.send_replace(Phase::Failed);
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
    loop {
        let first = match held.take() {
            Some(event) => Some(event),
            None => match select(watch.next(), check.due()).await {
                Either::Left((event, _)) => event,
                Either::Right(_) => {
                    if let Err(why) = consistency::check(shared, generation, &mut check).await {
                        return why;
                    }
                    continue;
                }
            },
        };
        let Some(first) = first else {
            return ApiError::Internal("the watch of the storage ended".to_owned());
        };
        let batch = gather(first, watch.as_mut(), &mut held);
        if let Err(error) = shared.apply(generation, batch) {
            return error;
        }
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
