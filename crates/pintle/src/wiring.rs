//! Where the rooms are put together: backend, one object store per key prefix,
//! one registry Store per resource and version, the admission chain.
//!
//! The only place that knows every room. Adding a backend is one line
//! here; admission plugins are listed in `admission`.

use std::collections::HashMap;
use std::sync::Arc;

use admission::Parts;
use anyhow::{Context, anyhow};
use environment::Environment;
use registry::{
    Admission, ApiResourceConfig, Backing, KindVersion, Plain, ResourceDef, Served, ServedResource,
    StorageDef, Store, StoreConfig,
};
use resources::core::service_allocation::{ServiceAllocator, ServiceAllocatorConfig};
use schema::{Schema, TypeId, Value};
use storage::{
    Attributes, Identity, JsonCodec, LeaseOptions, ObjectStore, ObjectStoreConfig, Storage, Transformer,
};
use storage_encryption::Encryption;
use watch_cache::{CacheConfig, CacheMetrics, WatchCache};

use crate::backends::Backends;
use crate::cache_metrics::CachesMetrics;
use crate::flags::{ServeFlags, ServiceFlags, StorageFlags};
use crate::store_metrics::StoresMetrics;
use crate::stored_form::{self, StoredForms};

/// Everything behind HTTP.
pub struct Wired {
    /// The resources served.
    pub served: Arc<Served>,
    /// Admission of all resources.
    pub admission: Arc<dyn Admission>,
    /// Addresses and node ports of services. Nothing is prepared yet.
    pub services: ServiceAllocator,
    /// What the watch caches count.
    pub caches: CachesMetrics,
    /// What the object stores below them count.
    pub stores: StoresMetrics,
}

/// A resource whose types are made at run time. Its objects are free-form JSON,
/// stored as such below `/<path prefix>/<group>/<resource>`; the schema says
/// only how they merge and who owns which field.
#[derive(Clone)]
pub struct RuntimeResource {
    /// What it is. The prefix of its storage is set when it is served.
    pub definition: ResourceDef,
    /// The table of its kind: a struct with all its fields, or
    /// [`schema::Scalar::Object`] where fields are deduced from each object.
    pub schema: Arc<Schema>,
    /// Its kind in the table.
    pub ty: TypeId,
}

/// Puts the rooms together over the stores.
pub fn wire(
    backends: Arc<Backends>,
    environment: &Environment,
    flags: &ServeFlags,
    encryption: Option<&Encryption>,
    mut definitions: Vec<ResourceDef>,
    made_at_run_time: Vec<RuntimeResource>,
) -> anyhow::Result<Wired> {
    let mut enabled = ApiResourceConfig::new(&definitions);
    enabled.apply(&flags.api.runtime_config).context("--runtime-config")?;
    let mut wiring = Wiring {
        backends,
        environment,
        flags: &flags.storage,
        encryption,
        unsafe_deletion: flags.features.unsafe_deletion,
        schema: schema::builtin(),
        storages: HashMap::new(),
        versions: versions(&definitions),
        caches: CachesMetrics::new(),
        stores: StoresMetrics::new(),
        forms: StoredForms::new(&flags.storage.backend, &definitions, &enabled),
    };
    let services = wiring.service_allocator(&definitions, &flags.services)?;
    let definition = definitions.iter_mut().find(|def| def.group.is_empty() && def.resource == "services");
    definition.context("services are not served")?.allocator = Some(Arc::new(services.clone()));
    let served = definitions.into_iter().filter(|def| enabled.resource_enabled(&def.gvr()));
    let resources = served.map(|definition| {
        let name = format!("{} in {}", definition.resource, definition.group_version());
        wiring.serve(definition).with_context(|| format!("cannot serve {name}"))
    });
    let mut resources = resources.collect::<anyhow::Result<Vec<_>>>()?;
    for made in made_at_run_time {
        resources.push(wiring.serve_made(made)?);
    }
    let served = Arc::new(Served::new(resources));
    let (caches, stores) = (wiring.caches, wiring.stores);
    let parts = Parts { served: &served, options: &flags.admission.options };
    let admission = flags.admission.plugins.chain(&parts)?;
    Ok(Wired { served, admission: Arc::new(admission), services, caches, stores })
}

/// The versions of each stored kind, by key prefix.
fn versions(definitions: &[ResourceDef]) -> HashMap<String, Vec<KindVersion>> {
    let mut versions: HashMap<String, Vec<KindVersion>> = HashMap::new();
    for definition in definitions {
        let Some(stored) = definition.storage() else { continue };
        let served = definition.gvk();
        let Some(ty) = schema::builtin().kind(&served.group, &served.version, &served.kind) else { continue };
        versions.entry(stored.prefix.to_string()).or_default().push(KindVersion {
            api_version: served.api_version(),
            ty,
            conversion: stored.conversion.clone(),
        });
    }
    versions
}

struct Wiring<'a> {
    backends: Arc<Backends>,
    environment: &'a Environment,
    flags: &'a StorageFlags,
    encryption: Option<&'a Encryption>,
    unsafe_deletion: bool,
    schema: &'static Schema,
    /// By key prefix: versions and cohabiting resources share one.
    storages: HashMap<String, Arc<dyn Storage>>,
    /// By key prefix: the versions in which the objects below it are served.
    versions: HashMap<String, Vec<KindVersion>>,
    forms: StoredForms,
    caches: CachesMetrics,
    stores: StoresMetrics,
}

impl Wiring<'_> {
    fn serve(&mut self, mut definition: ResourceDef) -> anyhow::Result<Arc<ServedResource>> {
        if definition.kind == "Event" {
            definition.ttl_seconds = i64::try_from(self.flags.event_ttl.as_secs())?;
        }
        let ty = self.type_of(&definition.group, &definition.version, &definition.kind)?;
        let definition = Arc::new(definition);
        let (store, stored_ty) = match definition.storage() {
            None => (None, ty),
            Some(stored) => {
                let (store, stored_ty) = self.store(&definition, stored)?;
                (Some(store), stored_ty)
            }
        };
        Ok(Arc::new(ServedResource { definition, store, schema: self.schema.into(), ty, stored_ty }))
    }

    /// Serves a resource whose types are made at run time.
    fn serve_made(&mut self, made: RuntimeResource) -> anyhow::Result<Arc<ServedResource>> {
        let RuntimeResource { mut definition, schema, ty } = made;
        let prefix = format!("{}/{}", definition.group, definition.resource);
        let Backing::Stored(stored) = &mut definition.backing else {
            return Err(anyhow!("{} cannot be served: it is not stored", definition.group_resource()));
        };
        stored.prefix = prefix.clone().into();
        let definition = Arc::new(definition);
        let place = self.backends.place(&[])?;
        let path_prefix = self.flags.backend.path_prefix.clone();
        let resource_prefix = format!("/{prefix}");
        let store = ObjectStore::new(ObjectStoreConfig {
            backend: place.backend.clone(),
            environment: self.environment.clone(),
            path_prefix: path_prefix.clone(),
            resource_prefix: resource_prefix.clone(),
            group_resource: definition.group_resource(),
            codec: Arc::new(JsonCodec),
            transformer: match self.encryption {
                Some(encryption) => encryption.transformer(definition.group_resource()),
                None => Arc::new(Identity),
            },
            leases: LeaseOptions::default(),
            compactor: Some(place.compactor.clone()),
            allow_unsafe_deletion: self.unsafe_deletion,
        })?;
        let store = Store::new(StoreConfig {
            definition: definition.clone(),
            storage: self.cached(store, &definition, path_prefix, &resource_prefix)?,
            schema: schema.clone().into(),
            stored_ty: ty,
            delete_collection_workers: self.flags.delete_collection_workers,
            garbage_collection: self.flags.garbage_collection,
        });
        let store = Some(Arc::new(store.with_unsafe_deletion(self.unsafe_deletion)));
        Ok(Arc::new(ServedResource { definition, store, schema: schema.into(), ty, stored_ty: ty }))
    }

    fn store(
        &mut self,
        definition: &Arc<ResourceDef>,
        stored: &StorageDef,
    ) -> anyhow::Result<(Arc<Store>, TypeId)> {
        let stored_ty = self.type_of(&stored.kind.group, &stored.kind.version, &stored.kind.kind)?;
        let config = StoreConfig {
            definition: definition.clone(),
            storage: self.storage(definition, stored)?,
            schema: self.schema.into(),
            stored_ty,
            delete_collection_workers: self.flags.delete_collection_workers,
            garbage_collection: self.flags.garbage_collection,
        };
        let versions = self.versions.get(stored.prefix.as_ref()).cloned().unwrap_or_default();
        let store = Store::new(config).with_versions(versions).with_unsafe_deletion(self.unsafe_deletion);
        Ok((Arc::new(store), stored_ty))
    }

    /// What services are given comes from other resources, whose stores it needs before they are served.
    fn service_allocator(
        &mut self,
        definitions: &[ResourceDef],
        flags: &ServiceFlags,
    ) -> anyhow::Result<ServiceAllocator> {
        let mut store = |group: &str, resource: &str| -> anyhow::Result<Arc<Store>> {
            let found = definitions.iter().find(|def| def.group == group && def.resource == resource);
            let found = found.ok_or_else(|| anyhow!("{resource} are not served"))?;
            let stored = found.storage().ok_or_else(|| anyhow!("{resource} are not stored"))?;
            Ok(self.store(&Arc::new(found.clone()), stored)?.0)
        };
        let networking = "networking.k8s.io";
        let (ip_addresses, service_cidrs) =
            (store(networking, "ipaddresses")?, store(networking, "servicecidrs")?);
        let (services, endpoints) = (store("", "services")?.storage().clone(), store("", "endpoints")?);
        let ranges = range_allocations();
        let stored = ranges.storage().ok_or_else(|| anyhow!("range allocations are not stored"))?;
        Ok(ServiceAllocator::new(ServiceAllocatorConfig {
            cluster_ip_ranges: flags.cluster_ip_ranges.clone(),
            node_port_range: flags.node_port_range,
            ip_addresses,
            service_cidrs,
            endpoints,
            services,
            range_allocations: self.storage(&ranges, stored)?,
            environment: self.environment.clone(),
        }))
    }

    fn type_of(&self, group: &str, version: &str, kind: &str) -> anyhow::Result<TypeId> {
        let found = self.schema.kind(group, version, kind);
        found.ok_or_else(|| anyhow!("the schema table has no kind {kind} in {group}/{version}"))
    }

    fn storage(
        &mut self,
        definition: &Arc<ResourceDef>,
        stored: &StorageDef,
    ) -> anyhow::Result<Arc<dyn Storage>> {
        let prefix = format!("/{}", stored.prefix.trim_matches('/'));
        if let Some(storage) = self.storages.get(&prefix) {
            return Ok(storage.clone());
        }
        let config = self.forms.config(definition, stored)?;
        let versions = self.versions.get(stored.prefix.as_ref()).map(Vec::as_slice).unwrap_or_default();
        let codec = stored_form::codec(self.schema, definition, stored, &config, versions)?;
        let leases =
            LeaseOptions { reuse_seconds: self.flags.backend.lease_reuse_seconds, ..LeaseOptions::default() };
        let transformer: Arc<dyn Transformer> = match self.encryption {
            Some(encryption) => encryption.transformer(config.resource),
            None => Arc::new(Identity),
        };
        let path_prefix = config.path_prefix;
        let place = self.backends.place(&config.servers)?;
        let store = ObjectStore::new(ObjectStoreConfig {
            backend: place.backend.clone(),
            environment: self.environment.clone(),
            path_prefix: path_prefix.clone(),
            resource_prefix: prefix.clone(),
            group_resource: definition.group_resource(),
            codec: Arc::new(codec),
            transformer,
            leases,
            compactor: Some(place.compactor.clone()),
            allow_unsafe_deletion: self.unsafe_deletion,
        })?;
        let storage = self.cached(store, definition, path_prefix, &prefix)?;
        self.storages.insert(prefix, storage.clone());
        Ok(storage)
    }

    /// The storage behind a watch cache, unless the flags say otherwise.
    fn cached(
        &mut self,
        store: ObjectStore,
        definition: &Arc<ResourceDef>,
        path_prefix: String,
        resource_prefix: &str,
    ) -> anyhow::Result<Arc<dyn Storage>> {
        self.stores.push((definition.group_resource(), store.metrics().clone()));
        let storage: Arc<dyn Storage> = Arc::new(store);
        if !self.flags.watch_cache.caches(&definition.group_resource().to_string()) {
            return Ok(storage);
        }
        let metrics = Arc::<CacheMetrics>::default();
        self.caches.push((definition.group_resource(), metrics.clone()));
        let fields: Vec<String> = definition.selectable_fields.iter().map(ToString::to_string).collect();
        let trigger = fields.iter().find(|field| *field == NODE_NAME).cloned();
        let cache = WatchCache::new(
            storage,
            CacheConfig {
                environment: self.environment.clone(),
                path_prefix,
                resource_prefix: resource_prefix.to_owned(),
                fields,
                attributes: Some(Arc::new(Fields(definition.clone()))),
                trigger,
                metrics,
            },
        )?;
        Ok(Arc::new(cache))
    }
}

/// What kubelets select by: watchers are indexed by it where it is selectable (C-DIS-5).
const NODE_NAME: &str = "spec.nodeName";

/// Selectable fields as the strategy reads them.
struct Fields(Arc<ResourceDef>);

impl Attributes for Fields {
    fn field(&self, object: &Value, label: &str) -> String {
        self.0.strategy.field(object, label)
    }
}

/// Allocations of ranges are stored and not served.
fn range_allocations() -> Arc<ResourceDef> {
    let mut definition = ResourceDef::stored("", "v1", "rangeallocations", "RangeAllocation", Plain);
    if let Backing::Stored(stored) = &mut definition.backing {
        stored.prefix = "ranges".into();
    }
    Arc::new(definition)
}
