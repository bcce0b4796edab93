//! The watch cache over a storage that can be cut off and that can lose an
//! event, in simulated time: what it does when its stream breaks (C-INI-4,
//! C-INI-5), while it is away (C-INI-6), and when it is wrong (C-CON-1).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use environment::Environment;
use meta::options::Preconditions;
use meta::{ApiError, ResourceVersion, Revision};
use schema::Value;
use simulation::Simulation;
use storage::conformance::{Suite, pod};
use storage::{
    DeleteRequest, Error, EventType, List, ListRequest, Model, Object, Stats, Storage, UpdateRequest,
    Updated, Watch, WatchEvent,
};
use tokio::sync::watch;
use watch_cache::{CacheConfig, CacheMetrics, WatchCache};

/// What is done to the storage under the cache.
struct Faults {
    /// Each change cuts all watches that are open.
    cut: watch::Sender<u64>,
    /// Lists and watches fail.
    away: AtomicBool,
    /// The next event of a watch is lost.
    lose_one: AtomicBool,
}

/// A storage with faults.
struct Faulty {
    inner: Arc<dyn Storage>,
    faults: Arc<Faults>,
}

struct FaultyWatch {
    inner: Box<dyn Watch>,
    cut: watch::Receiver<u64>,
    faults: Arc<Faults>,
}

impl FaultyWatch {
    fn pass(&self, event: WatchEvent) -> Option<WatchEvent> {
        let change = matches!(event, WatchEvent::Change(..));
        let lost = change && self.faults.lose_one.swap(false, Ordering::Relaxed);
        (!lost).then_some(event)
    }
}

#[async_trait]
impl Watch for FaultyWatch {
    async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if self.cut.has_changed().unwrap_or(true) {
                return None;
            }
            let event = {
                let cut = std::pin::pin!(self.cut.changed());
                match futures::future::select(self.inner.next(), cut).await {
                    futures::future::Either::Left((event, _)) => event?,
                    futures::future::Either::Right(_) => return None,
                }
            };
            if let Some(event) = self.pass(event) {
                return Some(event);
            }
        }
    }

    fn try_next(&mut self) -> Option<WatchEvent> {
        if self.cut.has_changed().unwrap_or(true) {
            return None;
        }
        let event = self.inner.try_next()?;
        self.pass(event)
    }
}

impl Faulty {
    fn check(&self, key: &str) -> Result<(), Error> {
        if self.faults.away.load(Ordering::Relaxed) {
            return Err(Error::Unreachable { key: key.to_owned(), message: "cut off".to_owned() });
        }
        Ok(())
    }
}

#[async_trait]
impl Storage for Faulty {
    async fn create(&self, key: &str, object: &Value, ttl_seconds: i64) -> Result<Arc<Object>, Error> {
        self.inner.create(key, object, ttl_seconds).await
    }

    async fn delete(&self, key: &str, request: DeleteRequest<'_>) -> Result<Arc<Object>, Error> {
        self.inner.delete(key, request).await
    }

    async fn get(&self, key: &str, version: &ResourceVersion) -> Result<Option<Arc<Object>>, Error> {
        self.inner.get(key, version).await
    }

    async fn list(&self, key: &str, options: ListRequest) -> Result<List, Error> {
        self.check(key)?;
        self.inner.list(key, options).await
    }

    async fn guaranteed_update(&self, key: &str, request: UpdateRequest<'_>) -> Result<Updated, Error> {
        self.inner.guaranteed_update(key, request).await
    }

    async fn watch(&self, key: &str, options: ListRequest) -> Result<Box<dyn Watch>, Error> {
        self.check(key)?;
        let inner = self.inner.watch(key, options).await?;
        let cut = self.faults.cut.subscribe();
        Ok(Box::new(FaultyWatch { inner, cut, faults: self.faults.clone() }))
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.inner.stats().await
    }

    async fn current_revision(&self) -> Result<Revision, Error> {
        self.inner.current_revision().await
    }

    fn readiness(&self) -> Result<(), Error> {
        self.inner.readiness()
    }

    fn compact_revision(&self) -> Revision {
        self.inner.compact_revision()
    }

    fn preview(&self, object: &Value, revision: Revision) -> Result<Arc<Object>, Error> {
        self.inner.preview(object, revision)
    }

    async fn request_progress(&self) -> Result<(), Error> {
        self.inner.request_progress().await
    }

    fn decode(&self, object: &Object) -> Result<Value, Error> {
        self.inner.decode(object)
    }
}

#[derive(Clone)]
struct World {
    environment: Environment,
    storage: Arc<dyn Storage>,
    cache: Arc<WatchCache>,
    faults: Arc<Faults>,
    metrics: Arc<CacheMetrics>,
}

impl World {
    fn new(simulation: &Simulation) -> World {
        let environment = simulation.environment();
        let model = Model::new(&environment);
        let storage = Suite::new(Arc::new(model), environment.clone(), None).storage;
        let faults = Arc::new(Faults {
            cut: watch::Sender::new(0),
            away: AtomicBool::new(false),
            lose_one: AtomicBool::new(false),
        });
        let metrics = Arc::new(CacheMetrics::default());
        let config = CacheConfig {
            environment: environment.clone(),
            path_prefix: "/registry".into(),
            resource_prefix: "/pods".into(),
            fields: Vec::new(),
            attributes: None,
            trigger: None,
            metrics: metrics.clone(),
        };
        let faulty = Faulty { inner: storage.clone(), faults: faults.clone() };
        let cache = Arc::new(WatchCache::new(Arc::new(faulty), config).expect("a good prefix"));
        World { environment, storage, cache, faults, metrics }
    }

    fn cut(&self) {
        self.faults.cut.send_modify(|cuts| *cuts += 1);
    }

    async fn sleep(&self, time: Duration) {
        self.environment.clock.sleep(time).await;
    }

    async fn create(&self, name: &str) -> Revision {
        let created = self.storage.create(&format!("/pods/ns/{name}"), &pod("ns", name), 0).await;
        created.expect("a creation").revision
    }

    async fn change(&self, name: &str) -> Revision {
        let mut change = |mut tree: Value, revision: Revision| {
            tree.set(&["spec", "nodeName"], format!("n{}", revision.0));
            Ok((tree, None))
        };
        let request = UpdateRequest {
            ignore_not_found: false,
            preconditions: Preconditions::default(),
            hint: None,
            try_update: &mut change,
        };
        let updated = self.storage.guaranteed_update(&format!("/pods/ns/{name}"), request).await;
        updated.expect("an update").object.revision
    }

    /// What the cache holds at version 0: whatever it has.
    async fn cached(&self) -> Result<Content, Error> {
        let list = self.cache.list("/pods", at("0")).await?;
        Ok(list.items.map(|object| (name(&object), object.revision)).collect())
    }

    async fn stored(&self) -> Content {
        let list = self.storage.list("/pods", at("")).await.expect("a list");
        list.items.map(|object| (name(&object), object.revision)).collect()
    }
}

type Content = BTreeMap<String, Revision>;

fn at(version: &str) -> ListRequest {
    ListRequest {
        resource_version: ResourceVersion(version.into()),
        recursive: true,
        ..ListRequest::default()
    }
}

fn name(object: &Object) -> String {
    String::from_utf8_lossy(&object.key).rsplit('/').next().unwrap_or_default().to_owned()
}

/// Follows the resource as clients do: watches until the stream ends, watches
/// again from the last revision seen, and lists anew only when told to.
async fn follow(world: World, mut content: Content, mut from: Revision, until: Revision) -> Content {
    while from < until {
        let request =
            ListRequest { resource_version: from.into(), recursive: true, ..ListRequest::default() };
        let mut watch = match world.cache.watch("/pods", request).await {
            Ok(watch) => watch,
            Err(Error::Api(ApiError::TooManyRequests { retry_after, .. })) => {
                world.sleep(retry_after).await;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        while let Some(event) = watch.next().await {
            let WatchEvent::Change(kind, object) = event else { panic!("{event:?}") };
            assert!(object.revision > from, "events go forward");
            let before = content.get(&name(&object)).copied();
            match kind {
                EventType::Added => assert_eq!(before, None, "{} came twice", name(&object)),
                EventType::Modified => assert!(before.is_some(), "{} came as a change", name(&object)),
                EventType::Deleted => panic!("nothing is deleted here"),
            }
            from = object.revision;
            content.insert(name(&object), from);
            if from >= until {
                break;
            }
        }
    }
    content
}

#[test]
fn no_watcher_misses_or_repeats_an_event_while_the_cache_is_filled_anew() {
    const WATCHERS: usize = 1000;
    let simulation = Simulation::new(11);
    let world = World::new(&simulation);
    simulation.run(async {
        let start = world.create("p0").await;
        assert_eq!(world.cached().await.expect("filled").len(), 1);
        let (done, mut finished) = watch::channel(0_usize);
        let done = Arc::new(done);
        // The last revision is known beforehand: only this world writes to the model.
        let until = Revision(start.0 + 120);
        for _ in 0..WATCHERS {
            let (follower, done) = (world.clone(), done.clone());
            let task = async move {
                let begin = Content::from([("p0".to_owned(), start)]);
                let content = follow(follower.clone(), begin, start, until).await;
                assert_eq!(content, follower.stored().await);
                done.send_modify(|count| *count += 1);
            };
            world.environment.tasks.spawn("watcher", Box::pin(task));
        }
        let mut now = start;
        for n in 1..=60 {
            world.create(&format!("p{n}")).await;
            now = world.change(&format!("p{}", n / 2)).await;
            world.sleep(Duration::from_millis(7)).await;
            if n % 10 == 0 {
                world.cut();
            }
        }
        assert_eq!(now, until, "every write is one revision");
        finished.wait_for(|count| *count == WATCHERS).await.expect("they run");
        let filled = world.metrics.initializations_total.load(Ordering::Relaxed);
        assert!(filled >= 4, "the cache was filled {filled} times only");
        assert_eq!(world.metrics.watchers.load(Ordering::Relaxed), 0, "nothing is left of them");
    });
}

#[test]
fn a_cache_that_differs_from_the_storage_is_found_and_filled_anew() {
    let simulation = Simulation::new(1);
    let world = World::new(&simulation);
    simulation.run(async {
        world.create("a").await;
        assert_eq!(world.cached().await.expect("filled"), world.stored().await);
        world.faults.lose_one.store(true, Ordering::Relaxed);
        world.create("lost").await;
        world.create("b").await;
        world.sleep(Duration::from_secs(1)).await;
        let wrong = world.cached().await.expect("there");
        assert!(!wrong.contains_key("lost") && wrong.contains_key("b"), "{wrong:?}");
        // The next check is due within seven minutes and a half.
        world.sleep(Duration::from_secs(451)).await;
        assert_eq!(world.cached().await.expect("filled anew"), world.stored().await);
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(count(&world.metrics.consistency_checks_failure_total), 1);
        assert_eq!(count(&world.metrics.initializations_total), 2);
        // What is right is found to be right, once for each state.
        world.sleep(Duration::from_secs(451)).await;
        assert_eq!(count(&world.metrics.consistency_checks_success_total), 1);
        assert_eq!(count(&world.metrics.consistency_checks_failure_total), 1);
    });
}

#[test]
fn while_the_storage_is_away_watches_and_lists_are_told_when_to_come_back_and_then_served() {
    let simulation = Simulation::new(2);
    let world = World::new(&simulation);
    simulation.run(async {
        let made = world.create("a").await;
        world.cached().await.expect("filled");
        let mut open = world
            .cache
            .watch("/pods", ListRequest { resource_version: made.into(), ..at("") })
            .await
            .expect("a watch");
        world.faults.away.store(true, Ordering::Relaxed);
        world.cut();
        assert!(open.next().await.is_none(), "the stream ends without an error");
        let mut waits = Vec::new();
        for _ in 0..4 {
            world.sleep(Duration::from_secs(20)).await;
            let refused = world.cached().await.expect_err("refused");
            let Error::Api(ApiError::TooManyRequests { message, retry_after, .. }) = refused else {
                panic!("{refused}")
            };
            assert!(message.contains("storage is (re)initializing"), "{message}");
            waits.push(retry_after.as_secs());
            let watch = world.cache.watch("/pods", at("0")).await;
            assert!(matches!(watch.err(), Some(Error::Api(ApiError::TooManyRequests { .. }))));
        }
        assert!(waits.is_sorted() && waits[0] >= 2 && waits[3] == 30, "{waits:?}");
        // One object is read below, and so is a page without a selector, which says what is wrong there.
        let found = world.cache.get("/pods/ns/a", &ResourceVersion("0".into())).await;
        assert_eq!(found.expect("read").expect("there").revision, made);
        let page = world.cache.list("/pods", ListRequest { limit: 10, ..at("") }).await;
        assert!(matches!(page.err(), Some(Error::Unreachable { .. })));
        assert!(world.cache.readiness().is_err());
        world.faults.away.store(false, Ordering::Relaxed);
        world.sleep(Duration::from_secs(2)).await;
        assert_eq!(world.cached().await.expect("there again"), world.stored().await);
        assert!(world.cache.readiness().is_ok());
    });
}
