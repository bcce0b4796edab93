//! Object storage over the embedded store in a simulated world: clients count in
//! shared objects while the machine crashes. No acknowledged count is lost, a watch from a list
//! misses nothing, and the same seed is the same run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use environment::Environment;
use meta::options::Preconditions;
use meta::{GroupResource, ObjectMeta, Revision};
use parking_lot::Mutex;
use schema::Value;
use simulation::Simulation;
use storage::{
    Compactor, DeleteRequest, Error, EventType, Identity, JsonCodec, LeaseOptions, ListRequest, ObjectStore,
    ObjectStoreConfig, Storage, UpdateRequest, WatchEvent,
};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions};

const CLIENTS: u64 = 5;
const OBJECTS: u64 = 4;
const LIVES: u64 = 4;

/// Name and count of each object, with its revision.
type Content = BTreeMap<String, (u64, Revision)>;

#[derive(Default)]
struct Ledger {
    /// Counts that were acknowledged, by object; a delete starts anew.
    counted: u64,
    /// Counts whose outcome nobody knows.
    unknown: u64,
    /// Counts that went with a deleted object, as the delete saw them.
    deleted: u64,
    /// Deletes whose outcome nobody knows.
    deletes_unknown: u64,
    highest: Revision,
}

#[derive(Clone)]
struct World {
    simulation: Simulation,
    environment: Environment,
    ledger: Arc<Mutex<Ledger>>,
}

impl World {
    async fn open(&self) -> (Arc<EmbeddedBackend>, Arc<ObjectStore>) {
        let options = EmbeddedOptions {
            segment_bytes: 8 << 10,
            checkpoint_log_bytes_min: 16 << 10,
            ..EmbeddedOptions::default()
        };
        let backend = EmbeddedBackend::open(self.environment.clone(), Path::new("/data"), options).await;
        let backend = Arc::new(backend.expect("a folder that only crashed opens"));
        let compactor = Compactor::start(backend.clone(), &self.environment, Duration::from_millis(80));
        let store = ObjectStore::new(ObjectStoreConfig {
            backend: backend.clone(),
            environment: self.environment.clone(),
            path_prefix: "/registry".into(),
            resource_prefix: "/counters".into(),
            group_resource: GroupResource::new("test", "counters"),
            codec: Arc::new(JsonCodec),
            transformer: Arc::new(Identity),
            leases: LeaseOptions::default(),
            compactor: Some(compactor),
            allow_unsafe_deletion: false,
        });
        (backend, Arc::new(store.expect("a good prefix")))
    }

    async fn live(&self) {
        let (_backend, store) = self.open().await;
        self.verify(&store).await;
        for _ in 0..CLIENTS {
            let (world, store) = (self.clone(), store.clone());
            let task = async move { while world.act(&store).await.is_ok() {} };
            self.environment.tasks.spawn("client", Box::pin(task));
        }
        for _ in 0..2 {
            let (world, store) = (self.clone(), store.clone());
            self.environment.tasks.spawn("watcher", Box::pin(async move { world.follow(&store).await }));
        }
        let us = self.environment.random.below(400_000);
        self.environment.clock.sleep(Duration::from_micros(us)).await;
        self.simulation.crash();
    }

    async fn act(&self, store: &ObjectStore) -> Result<(), Error> {
        let us = self.environment.random.below(5000);
        self.environment.clock.sleep(Duration::from_micros(us)).await;
        let name = format!("counter-{}", self.environment.random.below(OBJECTS));
        let key = format!("/counters/default/{name}");
        if self.environment.random.below(15) == 0 {
            self.remove(store, &key).await
        } else {
            self.count(store, &key, &name).await
        }
    }

    async fn count(&self, store: &ObjectStore, key: &str, name: &str) -> Result<(), Error> {
        let mut change = |mut tree: Value, _: Revision| {
            let count = count_of(&tree) + 1;
            if count == 1 {
                tree = Value::map();
                tree.set(&["metadata", "name"], name);
            }
            tree.set(&["spec", "count"], count.to_string());
            Ok((tree, None))
        };
        let request = UpdateRequest {
            ignore_not_found: true,
            preconditions: Preconditions::default(),
            hint: None,
            try_update: &mut change,
        };
        self.ledger.lock().unknown += 1;
        let updated = store.guaranteed_update(key, request).await?;
        let mut ledger = self.ledger.lock();
        ledger.unknown -= 1;
        ledger.counted += 1;
        ledger.highest = ledger.highest.max(updated.object.revision);
        Ok(())
    }

    async fn remove(&self, store: &ObjectStore, key: &str) -> Result<(), Error> {
        let validate = |_: &Value| Ok(());
        let request = DeleteRequest {
            preconditions: Preconditions::default(),
            validate: &validate,
            hint: None,
            ignore_read_error: false,
        };
        self.ledger.lock().deletes_unknown += 1;
        match store.delete(key, request).await {
            Ok(object) => {
                let count = count_of(&store.decode(&object)?);
                let mut ledger = self.ledger.lock();
                ledger.deleted += count;
                ledger.deletes_unknown -= 1;
                ledger.highest = ledger.highest.max(object.revision);
                Ok(())
            }
            Err(Error::KeyNotFound { .. }) => {
                self.ledger.lock().deletes_unknown -= 1;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Lists, follows by watch for a while, and compares with a list at the end.
    async fn follow(&self, store: &ObjectStore) {
        loop {
            let Ok((mut content, revision)) = list(store, Revision(0)).await else { return };
            let options =
                ListRequest { resource_version: revision.into(), recursive: true, ..ListRequest::default() };
            let Ok(mut watch) = store.watch("/counters", options).await else { return };
            let mut last = revision;
            for _ in 0..20 {
                match watch.next().await {
                    Some(WatchEvent::Change(kind, object)) => {
                        assert!(object.revision > last, "an event came late or twice");
                        last = object.revision;
                        let tree = store.decode(&object).expect("an object that was stored");
                        apply(&mut content, kind, &tree, object.revision);
                    }
                    Some(WatchEvent::Bookmark { .. }) => {}
                    Some(WatchEvent::Error(_)) | None => return,
                }
            }
            // Compacted already: begin again.
            let Ok((listed, _)) = list(store, last).await else { continue };
            assert_eq!(content, listed, "the watch missed something up to {last}");
        }
    }

    async fn verify(&self, store: &ObjectStore) {
        let (content, revision) = list(store, Revision(0)).await.expect("an open store lists");
        let mut ledger = self.ledger.lock();
        assert!(revision >= ledger.highest, "the revision went back");
        let standing: u64 = content.values().map(|(count, _)| count).sum();
        let found = standing + ledger.deleted;
        let most = ledger.counted + ledger.unknown;
        assert!(found <= most, "counted {found}, at most {most} were asked for");
        // A delete whose answer was lost took an unknown count with it.
        assert!(
            ledger.deletes_unknown > 0 || found >= ledger.counted,
            "{} acknowledged, {found} found",
            ledger.counted
        );
        // From here on everything is known again.
        *ledger = Ledger { counted: standing, highest: revision, ..Ledger::default() };
        drop(ledger);
        self.simulation.note(&format!("verified {revision} {standing}"));
    }
}

fn count_of(tree: &Value) -> u64 {
    tree.str_at(&["spec", "count"]).map_or(0, |text| text.parse().expect("a count"))
}

fn apply(content: &mut Content, kind: EventType, tree: &Value, revision: Revision) {
    let name = ObjectMeta::of(tree).name().to_owned();
    match kind {
        EventType::Added => assert!(content.insert(name, (count_of(tree), revision)).is_none()),
        EventType::Modified => {
            let before = content.insert(name, (count_of(tree), revision)).expect("was added");
            assert_eq!(before.0 + 1, count_of(tree), "a change was missed");
        }
        EventType::Deleted => assert_eq!(content.remove(&name).expect("was added").0, count_of(tree)),
    }
}

async fn list(store: &ObjectStore, revision: Revision) -> Result<(Content, Revision), Error> {
    let mut options = ListRequest { recursive: true, ..ListRequest::default() };
    if revision != Revision(0) {
        options.resource_version = revision.into();
        options.resource_version_match = meta::options::ResourceVersionMatch::Exact;
    }
    let list = store.list("/counters", options).await?;
    let mut content = Content::new();
    for object in list.items {
        let tree = store.decode(&object)?;
        content.insert(ObjectMeta::of(&tree).name().to_owned(), (count_of(&tree), object.revision));
    }
    Ok((content, list.revision))
}

fn run(seed: u64) -> (u64, u64) {
    let simulation = Simulation::new(seed);
    let world = World {
        environment: simulation.environment(),
        simulation: simulation.clone(),
        ledger: Arc::default(),
    };
    let revision = simulation.run(async move {
        for _ in 0..LIVES {
            world.live().await;
        }
        let (_backend, store) = world.open().await;
        world.verify(&store).await;
        store.current_revision().await.expect("a revision").0
    });
    (simulation.digest(), revision)
}

#[test]
fn no_acknowledged_change_of_an_object_is_lost_and_no_watch_has_a_gap() {
    let seeds =
        std::env::var("PINTLE_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    for seed in 0..seeds {
        match std::panic::catch_unwind(|| run(seed)) {
            Ok((_, revision)) => assert!(revision > 20, "seed {seed} did nothing"),
            Err(panic) => {
                println!("seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run_and_others_are_not() {
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).0, run(6).0);
}
