//! Object storage over any backend: [`ObjectStore`], its parts, and the
//! operations that fit in a few lines. List, update, delete and watch have
//! files of their own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use environment::Environment;
use meta::options::Preconditions;
use meta::{ApiError, GroupResource, ObjectMeta, ObjectMetaMut, ResourceVersion, Revision};
use parking_lot::Mutex;
use schema::Value;

use crate::backend::{
    Backend, BackendError, Compare, KeyValue, LeaseId, Op, RangeRequest, RangeResponse, Txn, TxnResponse,
};
use crate::compaction::Compactor;
use crate::interface::{
    DeleteRequest, List, ListRequest, Object, Stats, Storage, UpdateRequest, Updated, Watch,
};
use crate::keys::{Keys, PrefixError, range_of};
use crate::lease::{LeaseOptions, Leases};
use crate::metrics::{Operation, StoreMetrics};
use crate::object_codec::ObjectCodec;
use crate::transformer::Transformer;
use crate::{Error, delete, list, update, watch};

/// What an [`ObjectStore`] is made of.
pub struct ObjectStoreConfig {
    /// Where the bytes lie.
    pub backend: Arc<dyn Backend>,
    /// Clock and randomness.
    pub environment: Environment,
    /// Put before every key, e.g. `/registry`.
    pub path_prefix: String,
    /// What the keys of this resource begin with, e.g. `/pods`.
    pub resource_prefix: String,
    /// The resource, for error texts.
    pub group_resource: GroupResource,
    /// Objects to bytes and back.
    pub codec: Arc<dyn ObjectCodec>,
    /// Bytes to stored values and back.
    pub transformer: Arc<dyn Transformer>,
    /// How objects with a time to live share leases.
    pub leases: LeaseOptions,
    /// Whose observed compactions `compact_revision` reports; none reports 0.
    pub compactor: Option<Arc<Compactor>>,
    /// Gate AllowUnsafeMalformedObjectDeletion: unreadable objects are told apart from other failures.
    pub allow_unsafe_deletion: bool,
}

/// Objects of one resource in a backend.
///
/// Get, list and watch hand out values as they are stored, past the
/// transformer but undecoded unless a selector must look into them. A value
/// that passes the transformer and cannot be decoded is noticed by whoever
/// decodes it ([`Storage::decode`]), except where
/// [`ObjectStoreConfig::allow_unsafe_deletion`] asks for every such value by name.
pub struct ObjectStore {
    pub(crate) inner: Arc<Inner>,
}

/// Shared with the watches, which may outlive a borrow of the store.
pub(crate) struct Inner {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) environment: Environment,
    pub(crate) keys: Keys,
    pub(crate) group_resource: GroupResource,
    pub(crate) codec: Arc<dyn ObjectCodec>,
    pub(crate) transformer: Arc<dyn Transformer>,
    pub(crate) allow_unsafe_deletion: bool,
    leases: Leases,
    compactor: Option<Arc<Compactor>>,
    progress_requested: Mutex<Option<Duration>>,
    pub(crate) metrics: Arc<StoreMetrics>,
}

/// An object as it stands in the backend, readable.
pub(crate) struct State {
    /// Mod revision; 0 if there is no object.
    pub(crate) revision: Revision,
    /// After the transformer; empty if there is no object.
    pub(crate) data: Bytes,
    /// To be written even if nothing changes.
    pub(crate) stale: bool,
    /// With its resourceVersion; an empty map if there is no object.
    pub(crate) tree: Value,
    /// False for a caller's hint.
    pub(crate) live: bool,
}

/// Watches of one store ask the backend for progress at most once in this time, together.
const PROGRESS_REQUEST_INTERVAL: Duration = Duration::from_secs(1);

impl ObjectStore {
    /// Fails on an unusable resource prefix (A-KEY-2). Touches nothing.
    pub fn new(config: ObjectStoreConfig) -> Result<ObjectStore, PrefixError> {
        let keys = Keys::new(&config.path_prefix, &config.resource_prefix)?;
        let metrics = Arc::<StoreMetrics>::default();
        let leases = Leases::new(config.environment.clock.clone(), config.leases, metrics.clone());
        let inner = Inner {
            backend: config.backend,
            environment: config.environment,
            keys,
            group_resource: config.group_resource,
            codec: config.codec,
            transformer: config.transformer,
            allow_unsafe_deletion: config.allow_unsafe_deletion,
            leases,
            compactor: config.compactor,
            progress_requested: Mutex::new(None),
            metrics,
        };
        Ok(ObjectStore { inner: Arc::new(inner) })
    }

    /// What this store counts.
    pub fn metrics(&self) -> &Arc<StoreMetrics> {
        &self.inner.metrics
    }
}

#[async_trait]
impl Storage for ObjectStore {
    async fn create(&self, key: &str, object: &Value, ttl_seconds: i64) -> Result<Arc<Object>, Error> {
        let store = &self.inner;
        let key = store.keys.prepare(key, false)?;
        // A resource version that is no number counts as none here: the original does not look at the error.
        if ObjectMeta::of(object).resource_version().parse().is_ok_and(|revision| revision.0 != 0) {
            return Err(Error::ResourceVersionSet);
        }
        let data = store.encode(object)?;
        let lease = store.lease(&key, ttl_seconds).await?;
        let response = store.put_if(Operation::Create, &key, Revision(0), data.clone(), lease).await?;
        if !response.succeeded {
            return Err(Error::KeyExists { key, revision: Revision(0) });
        }
        Ok(Arc::new(Object::new(key.into(), response.revision, data)))
    }

    async fn delete(&self, key: &str, request: DeleteRequest<'_>) -> Result<Arc<Object>, Error> {
        let key = self.inner.keys.prepare(key, false)?;
        delete::delete(&self.inner, &key, request).await
    }

    async fn get(
        &self,
        asked: &str,
        resource_version: &ResourceVersion,
    ) -> Result<Option<Arc<Object>>, Error> {
        let store = &self.inner;
        let key = store.keys.prepare(asked, false)?;
        let request = RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..RangeRequest::default() };
        let response =
            store.range(Operation::Get, request).await.map_err(|error| backend_error(&key, error))?;
        check_lower_bound(resource_version, response.revision)?;
        let Some(kv) = response.kvs.into_iter().next() else { return Ok(None) };
        let object = store.readable_object(kv).await.map_err(|error| match error {
            // Named as the caller named it.
            Error::Corrupt { message, .. } => Error::Corrupt { key: asked.to_owned(), message },
            error => error,
        })?;
        Ok(Some(object))
    }

    async fn list(&self, key: &str, options: ListRequest) -> Result<List, Error> {
        let key = self.inner.keys.prepare(key, options.recursive)?;
        list::list(&self.inner, &key, options).await
    }

    async fn guaranteed_update(&self, key: &str, request: UpdateRequest<'_>) -> Result<Updated, Error> {
        let key = self.inner.keys.prepare(key, false)?;
        update::guaranteed_update(&self.inner, &key, request).await.map_err(|error| match error {
            // Only who reads learns that the object is corrupt; an update fails as it does without the gate.
            Error::Corrupt { message, .. } => Error::Internal(message),
            error => error,
        })
    }

    async fn watch(&self, key: &str, options: ListRequest) -> Result<Box<dyn Watch>, Error> {
        let key = self.inner.keys.prepare(key, options.recursive)?;
        watch::watch(self.inner.clone(), &key, options).await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        let (key, end) = self.inner.keys.resource_range();
        let request = RangeRequest { key, end, count_only: true, ..RangeRequest::default() };
        let response = self.inner.range(Operation::ListWithCount, request).await;
        let response = response.map_err(|error| backend_error("", error))?;
        Ok(Stats { object_count: response.count, average_size_bytes: 0 })
    }

    async fn current_revision(&self) -> Result<Revision, Error> {
        self.inner.current_revision().await
    }

    fn readiness(&self) -> Result<(), Error> {
        Ok(())
    }

    fn compact_revision(&self) -> Revision {
        self.inner.compactor.as_ref().map_or(Revision(0), |compactor| compactor.compacted())
    }

    fn preview(&self, object: &Value, revision: Revision) -> Result<Arc<Object>, Error> {
        Ok(Arc::new(Object::new(Bytes::new(), revision, self.inner.encode(object)?)))
    }

    async fn request_progress(&self) -> Result<(), Error> {
        self.inner.backend.request_progress().await.map_err(|error| backend_error("", error))
    }

    fn supports_progress(&self) -> bool {
        self.inner.supports_progress()
    }

    fn decode(&self, object: &Object) -> Result<Value, Error> {
        self.inner.decode(&object.key, &object.data, object.revision)
    }
}

impl Inner {
    /// The bytes of an object, which never carry resourceVersion or selfLink (A-VER-3).
    pub(crate) fn encode(&self, object: &Value) -> Result<Bytes, Error> {
        let meta = object.map_at(&["metadata"]);
        if !meta.is_some_and(|meta| meta.contains_key("resourceVersion") || meta.contains_key("selfLink")) {
            return self.codec.encode(object);
        }
        let mut stripped = object.clone();
        stripped.remove(&["metadata", "resourceVersion"]);
        stripped.remove(&["metadata", "selfLink"]);
        self.codec.encode(&stripped)
    }

    /// The tree behind `data`, with its resource version.
    pub(crate) fn decode(&self, key: &[u8], data: &[u8], revision: Revision) -> Result<Value, Error> {
        let mut tree = self.codec.decode(data).map_err(|error| {
            self.metrics.decode_errors.add(1);
            let what = format_args!("object not decodable revision={revision}");
            self.corrupt(key, what, error)
        })?;
        ObjectMetaMut::of(&mut tree).set_resource_version(revision);
        Ok(tree)
    }

    /// The data behind a stored value, and whether it is stale.
    pub(crate) async fn transform(&self, kv: &KeyValue) -> Result<(Bytes, bool), Error> {
        self.transformer.from_storage_or_wait(kv.value.clone(), &kv.key).wait().await.map_err(|error| {
            let what = format_args!("data from the storage is not transformable revision=0");
            self.corrupt(&kv.key, what, Error::Internal(error.to_string()))
        })
    }

    /// A-TRF-4: with the gate, what cannot be read is a kind of error of its own.
    fn corrupt(&self, key: &[u8], what: fmt::Arguments<'_>, error: Error) -> Error {
        if !self.allow_unsafe_deletion {
            return error;
        }
        Error::Corrupt { key: String::from_utf8_lossy(key).into_owned(), message: format!("{what}: {error}") }
    }

    /// The stored object behind a key-value pair.
    pub(crate) async fn object(&self, kv: KeyValue) -> Result<Arc<Object>, Error> {
        let (data, _) = self.transform(&kv).await?;
        Ok(Arc::new(Object::new(kv.key, kv.mod_revision, data)))
    }

    /// The same. With the gate, that it can be decoded is found out now and not by whoever decodes it.
    pub(crate) async fn readable_object(&self, kv: KeyValue) -> Result<Arc<Object>, Error> {
        let object = self.object(kv).await?;
        if self.allow_unsafe_deletion {
            self.decode(&object.key, &object.data, object.revision)?;
        }
        Ok(object)
    }

    /// Reads what stands at a key now.
    pub(crate) async fn read(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        let request = RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..RangeRequest::default() };
        let response =
            self.range(Operation::Get, request).await.map_err(|error| backend_error(key, error))?;
        Ok(response.kvs.into_iter().next())
    }

    /// The live state; a missing object is an error unless `ignore_not_found`.
    pub(crate) async fn state(
        &self,
        key: &str,
        kv: Option<KeyValue>,
        ignore_not_found: bool,
    ) -> Result<State, Error> {
        let Some(kv) = kv else {
            if !ignore_not_found {
                return Err(Error::KeyNotFound { key: key.to_owned(), revision: Revision(0) });
            }
            let (revision, data) = (Revision(0), Bytes::new());
            return Ok(State { revision, data, stale: false, tree: Value::map(), live: true });
        };
        let (data, stale) = self.transform(&kv).await?;
        let tree = self.decode(&kv.key, &data, kv.mod_revision)?;
        Ok(State { revision: kv.mod_revision, data, stale, tree, live: true })
    }

    /// The state a hint claims.
    pub(crate) fn hinted(&self, hint: &Object) -> Result<State, Error> {
        let tree = self.decode(&hint.key, &hint.data, hint.revision)?;
        Ok(State { revision: hint.revision, data: hint.data.clone(), stale: false, tree, live: false })
    }

    pub(crate) async fn lease(&self, key: &str, ttl_seconds: i64) -> Result<LeaseId, Error> {
        self.leases.lease(self.backend.as_ref(), ttl_seconds).await.map_err(|error| backend_error(key, error))
    }

    /// Writes `data` if the key's mod revision is `expected`; else reads the key.
    pub(crate) async fn put_if(
        &self,
        operation: Operation,
        key: &str,
        expected: Revision,
        data: Bytes,
        lease: LeaseId,
    ) -> Result<TxnResponse, Error> {
        let value = self
            .transformer
            .to_storage_or_wait(data, key.as_bytes())
            .wait()
            .await
            .map_err(|error| Error::Internal(error.to_string()))?;
        let bytes = Bytes::copy_from_slice(key.as_bytes());
        // A create that loses needs no more than to know that it lost.
        let failure = if expected.0 == 0 { Vec::new() } else { vec![Op::Get { key: bytes.clone() }] };
        self.txn(operation, key, expected, Op::Put { key: bytes, value, lease }, failure).await
    }

    pub(crate) async fn txn(
        &self,
        operation: Operation,
        key: &str,
        expected: Revision,
        op: Op,
        failure: Vec<Op>,
    ) -> Result<TxnResponse, Error> {
        let compare = vec![Compare::ModRevision(Bytes::copy_from_slice(key.as_bytes()), expected)];
        let txn = Txn { compare, success: vec![op], failure };
        self.timed(operation, self.backend.txn(txn)).await.map_err(|error| backend_error(key, error))
    }

    /// Reads from the backend.
    pub(crate) async fn range(
        &self,
        operation: Operation,
        request: RangeRequest,
    ) -> Result<RangeResponse, BackendError> {
        self.timed(operation, self.backend.range(request)).await
    }

    async fn timed<T>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let start = self.environment.clock.monotonic();
        let result = request.await;
        let took = self.environment.clock.monotonic().saturating_sub(start);
        self.metrics.requested(operation, took, result.is_err());
        result
    }

    pub(crate) async fn current_revision(&self) -> Result<Revision, Error> {
        // An empty range: the cheapest read that is ordered after every acknowledged write (A-KV-11).
        let (key, _) = range_of("\0");
        let request = RangeRequest { key, count_only: true, ..RangeRequest::default() };
        let response = self.range(Operation::Get, request).await.map_err(|error| backend_error("", error))?;
        Ok(response.revision)
    }

    /// True if the backend answers progress requests.
    pub(crate) fn supports_progress(&self) -> bool {
        self.backend.supports_progress_requests()
    }

    /// Asks the backend for progress; false if a watch of this store just did.
    pub(crate) async fn request_progress(&self) -> Result<bool, BackendError> {
        let now = self.environment.clock.monotonic();
        {
            let mut last = self.progress_requested.lock();
            if last.is_some_and(|last| now < last + PROGRESS_REQUEST_INTERVAL) {
                return Ok(false);
            }
            *last = Some(now);
        }
        self.backend.request_progress().await?;
        Ok(true)
    }
}

/// A-GET-2, A-LST-5: the answer must not be older than asked for.
pub(crate) fn check_lower_bound(asked: &ResourceVersion, actual: Revision) -> Result<(), Error> {
    let asked = parse_revision(asked)?;
    if asked > actual {
        return Err(too_large(asked, actual, 0));
    }
    Ok(())
}

/// The revision meant, or a 400 (A-GET-6, A-LST-3).
pub(crate) fn parse_revision(resource_version: &ResourceVersion) -> Result<Revision, Error> {
    resource_version.parse().map_err(|error| {
        let invalid = format!("resourceVersion: Invalid value: {:?}: {error}", error.text);
        ApiError::BadRequest(format!("invalid resource version: {invalid}")).into()
    })
}

pub(crate) fn too_large(requested: Revision, current: Revision, retry_after_seconds: u32) -> Error {
    ApiError::TooLargeResourceVersion { requested: requested.0, current: current.0, retry_after_seconds }
        .into()
}

/// A failure of the backend that has no meaning of its own for the operation.
pub(crate) fn backend_error(key: &str, error: BackendError) -> Error {
    match error {
        BackendError::Unavailable(message) => Error::Unreachable { key: key.to_owned(), message },
        BackendError::FutureRevision { .. }
        | BackendError::Compacted { .. }
        | BackendError::TooLarge
        | BackendError::LeaseNotFound
        | BackendError::NoSpace => ApiError::Unknown(error.to_string()).into(),
    }
}

/// A-DEL-3, A-UPD-4.
pub(crate) fn check_preconditions(
    preconditions: &Preconditions,
    key: &str,
    object: &Value,
) -> Result<(), Error> {
    let meta = ObjectMeta::of(object);
    let failed = |field: &str, wanted: &str, found: &str| Error::InvalidObject {
        key: key.to_owned(),
        message: format!(
            "Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {found}"
        ),
    };
    if let Some(uid) = &preconditions.uid
        && uid != meta.uid()
    {
        return Err(failed("UID", uid, meta.uid()));
    }
    let revision = meta.resource_version();
    if let Some(wanted) = &preconditions.resource_version
        && *wanted != revision.0
    {
        return Err(failed("ResourceVersion", wanted, &revision.0));
    }
    Ok(())
}
