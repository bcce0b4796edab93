//! A Store over the in-memory model, with a clock the test turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use environment::{Clock, Environment, Random};
use futures::future::BoxFuture;
use jiff::Timestamp;
use meta::options::{DeleteOptions, GetOptions, Preconditions, WriteOptions};
use meta::{ApiError, ObjectMeta};
use registry::{
    Admission, AdmissionAttributes, AuthorizationAttributes, Authorizer, Decision, Deleted, NoAdmission,
    Operation, Outcome, RequestContext, ResourceDef, Store, StoreConfig, Strategy, Subresource, UpdateKind,
    UpdatedObject, UserInfo,
};
use schema::{Map, Value, builtin};
use storage::{Identity, JsonCodec, LeaseOptions, Model, ObjectStore, ObjectStoreConfig};

/// When the clock starts: 2024-01-01T00:00:00Z.
const START_SECONDS: i64 = 1_704_067_200;

pub struct Harness {
    pub store: Store,
    pub context: RequestContext,
    pub backend: Model,
    clock: Arc<TestClock>,
}

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).expect("within the range of time")
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs((self.0.load(Ordering::SeqCst) - START_SECONDS).unsigned_abs())
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(futures::future::pending())
    }
}

/// Draws names in a row: five times the first letter, five times the second, and so on.
pub struct Counting(pub AtomicI64);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
        // Only numbers are drawn for names, eight bytes each, five to a name.
        if out.len() == 8 {
            out[0] = (self.0.fetch_add(1, Ordering::SeqCst) / 5) as u8;
        }
    }
}

struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    async fn authorize(&self, _: &AuthorizationAttributes<'_>) -> Decision {
        Decision::Allow(String::new())
    }
}

/// Refuses one operation.
pub struct Refuses(pub Operation);

#[async_trait]
impl Admission for Refuses {
    async fn admit(
        &self,
        _: &RequestContext,
        _: &AdmissionAttributes<'_>,
        _: &mut Value,
    ) -> Result<(), ApiError> {
        Ok(())
    }

    async fn validate(
        &self,
        _: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        _: Option<&Value>,
    ) -> Result<(), ApiError> {
        if attributes.operation == self.0 {
            return Err(ApiError::BadRequest("refused by admission".to_owned()));
        }
        Ok(())
    }
}

impl Harness {
    pub fn new(def: ResourceDef) -> Harness {
        Harness::with_random(def, environment::real::environment().random)
    }

    pub fn with_random(def: ResourceDef, random: Arc<dyn Random>) -> Harness {
        let clock = Arc::new(TestClock(AtomicI64::new(START_SECONDS)));
        let environment = Environment { clock: clock.clone(), random, ..environment::real::environment() };
        let stored = def.storage().expect("a stored resource").clone();
        let backend = Model::new(&environment);
        let config = ObjectStoreConfig {
            backend: Arc::new(backend.clone()),
            environment: environment.clone(),
            path_prefix: "/registry".into(),
            resource_prefix: format!("/{}", stored.prefix),
            group_resource: def.group_resource(),
            codec: Arc::new(JsonCodec),
            transformer: Arc::new(Identity),
            leases: LeaseOptions::default(),
            compactor: None,
            allow_unsafe_deletion: true,
        };
        let ty = builtin().kind(&stored.kind.group, &stored.kind.version, &stored.kind.kind);
        let mut context =
            RequestContext::new(UserInfo::default(), Arc::new(NoAdmission), Arc::new(AllowAll), environment);
        context.resource = def.group_resource();
        if def.namespaced {
            context.namespace = "ns".into();
        }
        let store = Store::new(StoreConfig {
            definition: Arc::new(def),
            storage: Arc::new(ObjectStore::new(config).expect("a good prefix")),
            schema: builtin().into(),
            stored_ty: ty.expect("a built-in kind"),
            delete_collection_workers: 2,
            garbage_collection: true,
        });
        let store = store.with_unsafe_deletion(true);
        Harness { store, context, backend, clock }
    }

    pub fn pass_seconds(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub async fn create(&self, object: Value) -> Result<Value, ApiError> {
        self.tree(self.store.create(&self.context, object, &WriteOptions::default()).await?)
    }

    pub async fn get(&self, name: &str) -> Result<Value, ApiError> {
        let object = self.store.get(&self.context, name, &GetOptions::default()).await?;
        self.store.decode(&object)
    }

    pub async fn put(&self, object: Value) -> Result<(Value, bool), ApiError> {
        self.put_through(UpdateKind::Main, object).await
    }

    pub async fn put_through(&self, kind: UpdateKind, object: Value) -> Result<(Value, bool), ApiError> {
        self.put_with(kind, object, &WriteOptions::default()).await
    }

    pub async fn put_with(
        &self,
        kind: UpdateKind,
        object: Value,
        options: &WriteOptions,
    ) -> Result<(Value, bool), ApiError> {
        let name = ObjectMeta::of(&object).name().to_owned();
        let mut updated = Put(object);
        let (outcome, created) =
            self.store.update(&self.context, &name, kind, &mut updated, options, false).await?;
        Ok((self.tree(outcome)?, created))
    }

    pub async fn put_at(&self, name: &str, object: Value) -> Result<(Value, bool), ApiError> {
        let (mut updated, options) = (Put(object), WriteOptions::default());
        let done =
            self.store.update(&self.context, name, UpdateKind::Main, &mut updated, &options, false).await?;
        Ok((self.tree(done.0)?, done.1))
    }

    pub async fn delete(&self, name: &str, options: DeleteOptions) -> Result<Deleted, ApiError> {
        self.store.delete(&self.context, name, options).await
    }

    pub fn tree(&self, outcome: Outcome) -> Result<Value, ApiError> {
        match outcome {
            Outcome::Stored(object) => self.store.decode(&object),
            Outcome::Tree(tree) => Ok(tree),
        }
    }
}

/// A submitted object, as PUT brings it.
struct Put(Value);

#[async_trait]
impl UpdatedObject for Put {
    fn preconditions(&self) -> Preconditions {
        let uid = ObjectMeta::of(&self.0).uid();
        Preconditions { uid: (!uid.is_empty()).then(|| uid.to_owned()), resource_version: None }
    }

    async fn updated(&mut self, _: &RequestContext, _: &Value) -> Result<Value, ApiError> {
        Ok(self.0.clone())
    }
}

pub fn config_maps() -> ResourceDef {
    config_maps_with(registry::Plain)
}

pub fn config_maps_with(strategy: impl Strategy + 'static) -> ResourceDef {
    ResourceDef {
        repeats_metadata_validation: true,
        ..ResourceDef::stored("", "v1", "configmaps", "ConfigMap", strategy)
    }
}

pub fn deployments() -> ResourceDef {
    ResourceDef {
        generation: true,
        subresources: vec![Subresource::status()],
        ..ResourceDef::stored("apps", "v1", "deployments", "Deployment", registry::Plain)
    }
}

pub fn config_map(name: &str) -> Value {
    let mut object = Value::map();
    object.set(&["apiVersion"], "v1");
    object.set(&["kind"], "ConfigMap");
    object.set(&["metadata", "name"], name);
    object
}

pub fn with_data(mut object: Value, key: &'static str, value: &str) -> Value {
    object.set(&["data", key], value);
    object
}

pub fn with_finalizers(mut object: Value, finalizers: &[&str]) -> Value {
    object.set(&["metadata", "finalizers"], finalizers.to_vec());
    object
}

pub fn deployment(name: &str, replicas: i64) -> Value {
    let mut object = config_map(name);
    object.set(&["apiVersion"], "apps/v1");
    object.set(&["kind"], "Deployment");
    object.set(&["spec", "replicas"], replicas);
    object
}

pub fn finalizers(object: &Value) -> Vec<&str> {
    ObjectMeta::of(object).finalizers().collect()
}

pub fn labels(entries: &[(&str, &str)]) -> Map {
    entries.iter().map(|(key, value)| (*key, *value)).collect()
}
