//! Where the rooms are put together: backend, one object store per key prefix,
//! one registry Store per resource and version, the admission chain.
//!
//! The only place that knows every room. Adding an admission plugin or a
//! backend is one line here.

use std::collections::HashMap;
use std::sync::Arc;

use admission::{Chain, NamespaceLifecycle, StoredNamespaces};
use anyhow::{Context, anyhow};
use environment::Environment;
use registry::{Admission, KindVersion, ResourceDef, Served, ServedResource, StorageDef, Store, StoreConfig};
use schema::{Schema, TypeId, Value};
use storage::backend::Backend;
use storage::{
    BuiltinCodec, Compactor, Identity, LeaseOptions, ObjectStore, ObjectStoreConfig, Storage, StorageMedia,
};

use crate::flags::StorageFlags;

/// Put before every key, as kube-apiserver's default has it.
const PATH_PREFIX: &str = "/registry";

/// Everything behind HTTP.
pub struct Wired {
    /// The resources served.
    pub served: Arc<Served>,
    /// Admission of all resources.
    pub admission: Arc<dyn Admission>,
}

/// Puts the rooms together over a backend. Starts the compactor.
pub fn wire(
    backend: Arc<dyn Backend>,
    environment: &Environment,
    flags: &StorageFlags,
    definitions: Vec<ResourceDef>,
) -> anyhow::Result<Wired> {
    let compactor = Compactor::start(backend.clone(), environment, flags.compaction_interval);
    let mut wiring = Wiring {
        backend,
        environment,
        flags,
        compactor,
        schema: schema::builtin(),
        storages: HashMap::new(),
        versions: versions(&definitions),
    };
    let resources = definitions.into_iter().map(|definition| {
        let name = format!("{} in {}", definition.resource, definition.group_version());
        wiring.serve(definition).with_context(|| format!("cannot serve {name}"))
    });
    let served = Arc::new(Served::new(resources.collect::<anyhow::Result<Vec<_>>>()?));
    let namespaces = served.lookup("", "v1", "namespaces").and_then(|resource| resource.store.clone());
    let namespaces = namespaces.ok_or_else(|| anyhow!("namespaces are not served"))?;
    let admission =
        Chain::new(vec![Arc::new(NamespaceLifecycle::new(Arc::new(StoredNamespaces(namespaces))))]);
    Ok(Wired { served, admission: Arc::new(admission) })
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
    backend: Arc<dyn Backend>,
    environment: &'a Environment,
    flags: &'a StorageFlags,
    compactor: Arc<Compactor>,
    schema: &'static Schema,
    /// By key prefix: versions and cohabiting resources share one.
    storages: HashMap<String, Arc<dyn Storage>>,
    /// By key prefix: the versions in which the objects below it are served.
    versions: HashMap<String, Vec<KindVersion>>,
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
                let stored_ty = self.type_of(&stored.kind.group, &stored.kind.version, &stored.kind.kind)?;
                let config = StoreConfig {
                    definition: definition.clone(),
                    storage: self.storage(&definition, stored, stored_ty)?,
                    schema: self.schema.into(),
                    stored_ty,
                    delete_collection_workers: self.flags.delete_collection_workers,
                    garbage_collection: self.flags.garbage_collection,
                };
                let versions = self.versions.get(stored.prefix.as_ref()).cloned().unwrap_or_default();
                (Some(Arc::new(Store::new(config).with_versions(versions))), stored_ty)
            }
        };
        Ok(Arc::new(ServedResource { definition, store, schema: self.schema.into(), ty, stored_ty }))
    }

    fn type_of(&self, group: &str, version: &str, kind: &str) -> anyhow::Result<TypeId> {
        let found = self.schema.kind(group, version, kind);
        found.ok_or_else(|| anyhow!("the schema table has no kind {kind} in {group}/{version}"))
    }

    fn storage(
        &mut self,
        definition: &Arc<ResourceDef>,
        stored: &StorageDef,
        stored_ty: TypeId,
    ) -> anyhow::Result<Arc<dyn Storage>> {
        let prefix = format!("/{}", stored.prefix.trim_matches('/'));
        if let Some(storage) = self.storages.get(&prefix) {
            return Ok(storage.clone());
        }
        let kind = &stored.kind;
        let codec = BuiltinCodec::new(self.schema, &kind.group, &kind.version, &kind.kind);
        let mut codec = codec.ok_or_else(|| anyhow!("the schema table has no kind {kind}"))?;
        if JSON_STORED_GROUPS.contains(&kind.group.as_ref()) {
            codec.media = StorageMedia::Json;
        }
        // Defaults are applied to what is read, too: an object may be older than a default.
        let (schema, strategy) = (self.schema, definition.strategy.clone());
        codec.decoded = Some(Arc::new(move |mut object: Value| {
            schema::defaults::apply(schema, stored_ty, &mut object);
            strategy.default(&mut object);
            Ok(object)
        }));
        let storage: Arc<dyn Storage> = Arc::new(ObjectStore::new(ObjectStoreConfig {
            backend: self.backend.clone(),
            environment: self.environment.clone(),
            path_prefix: PATH_PREFIX.to_owned(),
            resource_prefix: prefix.clone(),
            group_resource: definition.group_resource(),
            codec: Arc::new(codec),
            transformer: Arc::new(Identity),
            leases: LeaseOptions::default(),
            compactor: Some(self.compactor.clone()),
            allow_unsafe_deletion: false,
        })?);
        self.storages.insert(prefix, storage.clone());
        Ok(storage)
    }
}

/// Groups whose servers are built from the custom resources' parts in the
/// original; their objects are stored as JSON (E-FAC-8).
const JSON_STORED_GROUPS: [&str; 2] = ["apiextensions.k8s.io", "apiregistration.k8s.io"];
