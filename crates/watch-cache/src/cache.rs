//! [`WatchCache`]: which reads are answered from memory and which go below (C-RTE).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use environment::Environment;
use futures::future::select;
use meta::options::ResourceVersionMatch;
use meta::{ApiError, ResourceVersion, Revision};
use schema::Value;
use storage::{
    Attributes, Bookmarks, ContinueToken, DeleteRequest, Error, Keys, List, ListRequest, Object, PrefixError,
    Stats, Storage, UpdateRequest, Updated, Watch,
};
use tokio::sync::watch;

use crate::entry::{Extractor, Objects};
use crate::list::{Place, matching, page};
use crate::metrics::{CacheMetrics, add};
use crate::shared::{Generation, Phase, Shared};
use crate::watcher::{CacheWatch, FailedWatch, Scope, Start};

/// Gets after which a cache that nobody has listed or watched is filled.
const GETS_BEFORE_FILLING: u32 = 16;
/// How long a request waits for a cache that is being filled.
const FILLING_PATIENCE: Duration = Duration::from_secs(3);

/// What a [`WatchCache`] is made of.
pub struct CacheConfig {
    /// Clock, randomness, tasks.
    pub environment: Environment,
    /// Put before every key, as the storage below does, e.g. `/registry`.
    pub path_prefix: String,
    /// What the keys of the resource begin with, e.g. `/pods`.
    pub resource_prefix: String,
    /// Selectable fields beside name and namespace, so that each object is decoded once for all selectors.
    pub fields: Vec<String>,
    /// Reads them.
    pub attributes: Option<Arc<dyn Attributes>>,
    /// The field among them that watchers are indexed by, e.g. `spec.nodeName` of pods.
    pub trigger: Option<String>,
    /// Where the cache counts.
    pub metrics: Arc<CacheMetrics>,
}

/// A storage of one resource that answers reads from memory.
///
/// Nothing is read until the first list or watch; the cache is filled then and
/// follows the storage below until it is dropped. Writes pass through.
pub struct WatchCache {
    shared: Arc<Shared>,
    keys: Keys,
    gets: AtomicU32,
    /// Stops the feeder by being dropped.
    alive: watch::Sender<()>,
}

impl WatchCache {
    /// Fails on an unusable resource prefix (A-KEY-2). Touches nothing.
    pub fn new(inner: Arc<dyn Storage>, config: CacheConfig) -> Result<WatchCache, PrefixError> {
        let keys = Keys::new(&config.path_prefix, &config.resource_prefix)?;
        let extractor = Extractor {
            storage: inner.clone(),
            fields: config.fields,
            attributes: config.attributes,
            root: keys.root(),
        };
        let (environment, prefix) = (config.environment, config.resource_prefix);
        let shared = Shared::new(inner, environment, prefix, extractor, config.trigger, config.metrics);
        Ok(WatchCache {
            shared: Arc::new(shared),
            keys,
            gets: AtomicU32::new(0),
            alive: watch::Sender::new(()),
        })
    }

    fn inner(&self) -> &dyn Storage {
        self.shared.inner.as_ref()
    }

    /// Starts the feeder, if nobody did.
    fn start(&self) {
        let start = |phase: &mut Phase| {
            let idle = *phase == Phase::Idle;
            if idle {
                *phase = Phase::Filling;
            }
            idle
        };
        if self.shared.phase.send_if_modified(start) {
            self.shared.begins_to_be_away();
            let feeder = crate::feed::run(self.shared.clone(), self.alive.subscribe());
            self.shared.environment.tasks.spawn("watch-cache", Box::pin(feeder));
        }
    }

    /// The cached state; none if it cannot be had (C-INI-6).
    async fn generation(&self) -> Option<Arc<Generation>> {
        if let Some(generation) = self.shared.generation.load_full() {
            return Some(generation);
        }
        self.start();
        let mut phase = self.shared.phase.subscribe();
        let filled = std::pin::pin!(phase.wait_for(|phase| !matches!(phase, Phase::Filling | Phase::Idle)));
        select(filled, self.shared.environment.clock.sleep(FILLING_PATIENCE)).await;
        self.shared.generation.load_full()
    }

    /// The cached state, if it is as new as the storage below without waiting.
    async fn fresh(&self) -> Result<Option<Arc<Generation>>, Error> {
        let Some(generation) = self.shared.generation.load_full() else {
            if self.gets.fetch_add(1, Ordering::Relaxed) == GETS_BEFORE_FILLING {
                self.start();
            }
            return Ok(None);
        };
        let current = self.inner().current_revision().await?;
        Ok((generation.reached() >= current).then_some(generation))
    }

    /// The cached state, not older than `revision`; none if there is no cache.
    async fn not_older(&self, revision: Revision) -> Result<Option<Arc<Generation>>, Error> {
        let Some(generation) = self.generation().await else { return Ok(None) };
        self.shared.wait_until(&generation, revision).await?;
        Ok(Some(generation))
    }

    /// The same, for a revision that is known to be there; none, too, if nobody can tell how far the
    /// cache is: waiting for the next event could be waiting for ever (C-FRE-4, C-RTE-2).
    async fn reached(&self, revision: Revision) -> Result<Option<Arc<Generation>>, Error> {
        if self.inner().supports_progress() {
            return self.not_older(revision).await;
        }
        Ok(self.generation().await.filter(|generation| generation.reached() >= revision))
    }

    /// The cached state, as new as the storage below was when this was called; none if it
    /// cannot be had, and the storage has to be asked (C-RTE-3).
    async fn consistent(&self) -> Result<Option<Arc<Generation>>, Error> {
        let current = self.inner().current_revision().await?;
        let metrics = &self.shared.metrics;
        match self.reached(current).await {
            Ok(Some(generation)) => {
                add(&metrics.consistent_reads_total, 1);
                Ok(Some(generation))
            }
            Ok(None) | Err(Error::Api(ApiError::TooLargeResourceVersion { .. })) => {
                add(&metrics.consistent_reads_fallback_total, 1);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Where a recursive list reads; none if the storage below has to answer.
    async fn source(&self, prefix: &str, options: &ListRequest) -> Result<Option<Source>, Error> {
        let version = &options.resource_version;
        // What is wrong is told by the storage below, in its words.
        let Ok(asked) = version.parse() else { return Ok(None) };
        let kind = &options.resource_version_match;
        if !options.continue_token.is_empty() {
            let Ok(token) = ContinueToken::decode(&options.continue_token, prefix) else { return Ok(None) };
            if asked.0 != 0 || !(version.is_unset() || version.is_zero()) {
                return Ok(None);
            }
            let start = Some(token.start);
            return match u64::try_from(token.revision) {
                Ok(revision) => self.exact(Revision(revision), start).await,
                Err(_) => {
                    let generation = self.consistent().await?;
                    Ok(generation.map(|generation| Source::newest(&self.shared, generation, start, None)))
                }
            };
        }
        let newest = |generation: Option<Arc<Generation>>| {
            let field = self.shared.trigger.as_deref();
            let indexed = field.and_then(|field| options.predicate.fields.requires_exact(field));
            generation.map(|generation| Source::newest(&self.shared, generation, None, indexed))
        };
        if version.is_unset() {
            return Ok(newest(self.consistent().await?));
        }
        if *kind == ResourceVersionMatch::NotOlderThan {
            Ok(newest(self.not_older(asked).await?))
        } else if *kind == ResourceVersionMatch::Exact {
            if asked.0 == 0 { Ok(None) } else { self.exact(asked, None).await }
        } else if *kind == ResourceVersionMatch::Unset {
            if asked.0 > 0 && options.limit > 0 {
                self.exact(asked, None).await
            } else {
                Ok(newest(self.not_older(asked).await?))
            }
        } else {
            Ok(None)
        }
    }

    /// The state at a revision (C-SNP); none if only the storage below may have it.
    async fn exact(&self, revision: Revision, start: Option<String>) -> Result<Option<Source>, Error> {
        if revision < self.inner().compact_revision() {
            return Ok(None);
        }
        let Some(generation) = self.reached(revision).await? else { return Ok(None) };
        let state = generation.state_at(revision);
        Ok(state.map(|all| Source { generation, objects: all.clone(), all, revision, start, indexed: false }))
    }

    /// A list of the one object at `key`.
    async fn single(&self, key: &str, full: &str, options: ListRequest) -> Result<List, Error> {
        let version = &options.resource_version;
        let kind = &options.resource_version_match;
        let generation = match version.parse() {
            _ if *kind == ResourceVersionMatch::Exact || !options.continue_token.is_empty() => None,
            Ok(_) if version.is_unset() => self.consistent().await?,
            Ok(asked)
                if *kind == ResourceVersionMatch::Unset || *kind == ResourceVersionMatch::NotOlderThan =>
            {
                self.not_older(asked).await?
            }
            _ => None,
        };
        let Some(generation) = generation else { return self.inner().list(key, options).await };
        add(&self.shared.metrics.lists(false).total, 1);
        let (view, revision) = generation.newest();
        let found = view.objects.get::<[u8]>(full.as_bytes());
        let found = found.and_then(|entry| matching(entry, &options.predicate, &self.shared));
        Ok(List {
            revision,
            continue_token: String::new(),
            remaining_item_count: None,
            items: Box::new(found.into_iter()),
        })
    }

    /// C-INI-6: come back later.
    fn unready(&self) -> Error {
        ApiError::TooManyRequests {
            message: Error::NotReady.to_string(),
            retry_after: retry_after(self.shared.downtime()),
            causes: Vec::new(),
        }
        .into()
    }

    /// The object of the cache, if it is the same, because others share its encodings.
    fn adopt(&self, object: Arc<Object>) -> Arc<Object> {
        let Some(generation) = self.shared.generation.load_full() else { return object };
        let (view, _) = generation.newest();
        match view.objects.get::<[u8]>(&object.key) {
            Some(entry) if entry.object().revision == object.revision => entry.object().clone(),
            _ => object,
        }
    }
}

/// Where a list reads.
struct Source {
    generation: Arc<Generation>,
    /// The state.
    all: Objects,
    /// What of it has to be looked at.
    objects: Objects,
    revision: Revision,
    start: Option<String>,
    indexed: bool,
}

impl Source {
    /// The newest state, found by the value of the trigger field if one is given.
    fn newest(
        shared: &Shared,
        generation: Arc<Generation>,
        start: Option<String>,
        value: Option<&str>,
    ) -> Source {
        let (view, revision) = match (&shared.trigger, value) {
            (Some(field), Some(_)) => generation.newest_indexed(field, &shared.extractor),
            _ => generation.newest(),
        };
        let all = view.objects.clone();
        let found = value.and_then(|value| Some(view.index.as_ref()?.objects(value)));
        let indexed = found.is_some();
        let objects = found.unwrap_or_else(|| all.clone());
        Source { generation, all, objects, revision, start, indexed }
    }
}

#[async_trait]
impl Storage for WatchCache {
    async fn create(&self, key: &str, object: &Value, ttl_seconds: i64) -> Result<Arc<Object>, Error> {
        self.inner().create(key, object, ttl_seconds).await.map(|object| self.adopt(object))
    }

    async fn delete(&self, key: &str, request: DeleteRequest<'_>) -> Result<Arc<Object>, Error> {
        self.inner().delete(key, request).await
    }

    async fn get(&self, key: &str, resource_version: &ResourceVersion) -> Result<Option<Arc<Object>>, Error> {
        let full = self.keys.prepare(key, false)?;
        let generation = match resource_version.parse() {
            // Asked for the newest, the cache answers only if it is known to have it.
            Ok(_) if resource_version.is_unset() => self.fresh().await?,
            Ok(revision) => self.not_older(revision).await?,
            Err(_) => None,
        };
        let Some(generation) = generation else { return self.inner().get(key, resource_version).await };
        let (view, _) = generation.newest();
        Ok(view.objects.get::<[u8]>(full.as_bytes()).map(|entry| entry.object().clone()))
    }

    async fn list(&self, key: &str, options: ListRequest) -> Result<List, Error> {
        let full = self.keys.prepare(key, options.recursive)?;
        if self.generation().await.is_none() {
            // Only what cannot be big goes below while the cache is not there (C-INI-6).
            let unreadable = *self.shared.phase.borrow() == Phase::Unreadable;
            if !unreadable && (options.limit == 0 || !options.predicate.is_empty()) {
                return Err(self.unready());
            }
            return self.inner().list(key, options).await;
        }
        if !options.recursive {
            return self.single(key, &full, options).await;
        }
        let Some(source) = self.source(&full, &options).await? else {
            return self.inner().list(key, options).await;
        };
        // C-LST-6.
        let limit = if options.resource_version.is_zero() { 0 } else { options.limit };
        let options = ListRequest { limit, ..options };
        let Source { generation, all, objects, revision, start, indexed } = source;
        add(&self.shared.metrics.lists(indexed).total, 1);
        let list = page(
            &self.shared,
            Place { all: all.clone(), objects, revision, prefix: full, start, indexed },
            &options,
        )?;
        if !list.continue_token.is_empty() {
            // The next page asks for the whole state: it does not know of an index.
            generation.pin(revision, &all);
        }
        Ok(list)
    }

    async fn guaranteed_update(&self, key: &str, request: UpdateRequest<'_>) -> Result<Updated, Error> {
        let Updated { object, written } = self.inner().guaranteed_update(key, request).await?;
        Ok(Updated { object: self.adopt(object), written })
    }

    async fn watch(&self, key: &str, options: ListRequest) -> Result<Box<dyn Watch>, Error> {
        let full = self.keys.prepare(key, options.recursive)?;
        let version = &options.resource_version;
        let Ok(asked) = version.parse() else { return self.inner().watch(key, options).await };
        let Some(generation) = self.generation().await else { return Err(self.unready()) };
        let initial = options.send_initial_events.unwrap_or(asked.0 == 0);
        let needed = match options.send_initial_events {
            Some(true) if version.is_unset() => self.inner().current_revision().await?,
            Some(true) => asked,
            Some(false) if asked.0 == 0 => self.inner().current_revision().await?,
            _ => Revision(0),
        };
        if needed > generation.reached() && !self.inner().supports_progress() {
            // The cache may never learn that it is new enough. The storage below knows (B-24 would be an error).
            return self.inner().watch(key, options).await;
        }
        if initial || asked.0 == 0 {
            match self.shared.wait_until(&generation, needed).await {
                Ok(()) => {}
                Err(Error::Api(error)) => return Ok(Box::new(FailedWatch(Some(error)))),
                Err(error) => return Err(error),
            }
        }
        let start = if initial {
            let end_bookmark = options.send_initial_events == Some(true) && options.allow_watch_bookmarks;
            Start::State { end_bookmark }
        } else {
            Start::After(asked.max(needed))
        };
        let scope = Scope { key: full, recursive: options.recursive, predicate: options.predicate.clone() };
        let now = self.shared.environment.clock.monotonic();
        let bookmarks = options.allow_watch_bookmarks.then(|| Bookmarks::new(now, options.lifetime));
        match CacheWatch::open(self.shared.clone(), generation, scope, start, bookmarks) {
            Some(watch) => Ok(Box::new(watch)),
            // The storage below remembers longer, and says 410 when it does not.
            None => self.inner().watch(key, options).await,
        }
    }

    /// Sizes are those of the objects held, as they are behind the transformer: an estimate, as A-STA-2 has it.
    /// Adds them up, which is work enough for metrics and too much for a request.
    async fn stats(&self) -> Result<Stats, Error> {
        let stats = self.inner().stats().await?;
        let Some(generation) = self.shared.generation.load_full() else { return Ok(stats) };
        let (view, _) = generation.newest();
        let bytes: u64 = view.objects.iter().map(|entry| entry.object().data.len() as u64).sum();
        let average = bytes.checked_div(view.objects.len() as u64).unwrap_or(0);
        Ok(Stats { average_size_bytes: average, ..stats })
    }

    async fn current_revision(&self) -> Result<Revision, Error> {
        self.inner().current_revision().await
    }

    fn readiness(&self) -> Result<(), Error> {
        match *self.shared.phase.borrow() {
            Phase::Failed | Phase::Unreadable => Err(Error::NotReady),
            Phase::Idle | Phase::Filling | Phase::Ready => self.inner().readiness(),
        }
    }

    fn compact_revision(&self) -> Revision {
        self.inner().compact_revision()
    }

    fn preview(&self, object: &Value, revision: Revision) -> Result<Arc<Object>, Error> {
        self.inner().preview(object, revision)
    }

    async fn request_progress(&self) -> Result<(), Error> {
        self.inner().request_progress().await
    }

    fn decode(&self, object: &Object) -> Result<Value, Error> {
        self.inner().decode(object)
    }
}

/// After which time a client should come back to a cache that has been away for `downtime` (C-INI-6).
fn retry_after(downtime: Duration) -> Duration {
    const LONGEST_SECONDS: f64 = 30.0;
    let seconds = (0.06 * downtime.as_secs_f64()).exp().floor().clamp(1.0, LONGEST_SECONDS);
    Duration::from_secs(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_cache_is_away_the_later_clients_come_back() {
        for (downtime, wait) in [(0, 1), (11, 1), (12, 2), (30, 6), (56, 28), (57, 30), (10_000, 30)] {
            assert_eq!(
                retry_after(Duration::from_secs(downtime)),
                Duration::from_secs(wait),
                "after {downtime} s"
            );
        }
    }
}
