//! What unit tests of this crate share: a clock moved by hand, and a store of
//! pods over the model.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use environment::{Clock, Environment};
use futures::FutureExt;
use futures::future::BoxFuture;
use meta::{GroupResource, Revision};
use parking_lot::Mutex;
use schema::Value;
use tokio::sync::oneshot;

use crate::backend::{Backend, LeaseId, Op, Txn};
use crate::interface::Storage;
use crate::{Identity, JsonCodec, LeaseOptions, Model, ObjectStore, ObjectStoreConfig, Transformer};

/// Time passes when told to.
#[derive(Default)]
pub(crate) struct ManualClock(Mutex<Time>);

#[derive(Default)]
struct Time {
    now: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl ManualClock {
    pub(crate) fn advance(&self, by: Duration) {
        let mut time = self.0.lock();
        time.now += by;
        let now = time.now;
        let due = time.sleepers.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>();
        drop(time);
        for (_, sleeper) in due {
            // A sleeper that nobody waits for any more is no concern.
            let _ = sleeper.send(());
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().now
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (sender, receiver) = oneshot::channel();
        let mut time = self.0.lock();
        let at = time.now + duration;
        time.sleepers.push((at, sender));
        receiver.map(|_| ()).boxed()
    }
}

pub(crate) fn manual_environment() -> (Environment, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (Environment { clock: clock.clone(), ..environment::real::environment() }, clock)
}

pub(crate) async fn put(backend: &dyn Backend, key: &str, value: &str) -> Revision {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let success = vec![Op::Put { key: bytes(key), value: bytes(value), lease: LeaseId(0) }];
    backend.txn(Txn { success, ..Txn::default() }).await.unwrap().revision
}

/// A store of pods over the model.
pub(crate) struct Pods {
    pub(crate) store: ObjectStore,
    pub(crate) model: Model,
    pub(crate) clock: Arc<ManualClock>,
}

impl Pods {
    pub(crate) fn new() -> Pods {
        Pods::behind(Arc::new(Identity))
    }

    pub(crate) fn behind(transformer: Arc<dyn Transformer>) -> Pods {
        let (environment, clock) = manual_environment();
        let model = Model::new(&environment);
        let store = ObjectStore::new(ObjectStoreConfig {
            backend: Arc::new(model.clone()),
            environment,
            path_prefix: "/registry".into(),
            resource_prefix: "/pods".into(),
            group_resource: GroupResource::new("", "pods"),
            codec: Arc::new(JsonCodec),
            transformer,
            leases: LeaseOptions::default(),
            compactor: None,
            allow_unsafe_deletion: false,
        });
        Pods { store: store.unwrap(), model, clock }
    }

    pub(crate) async fn create(&self, namespace: &str, name: &str) -> Revision {
        let mut pod = Value::map();
        pod.set(&["metadata", "name"], name);
        pod.set(&["metadata", "namespace"], namespace);
        self.store.create(&format!("/pods/{namespace}/{name}"), &pod, 0).await.unwrap().revision
    }
}
