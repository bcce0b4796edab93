//! Where and in what form the objects of each resource are stored: the rules
//! of the storage factory, as flags and definitions make them.

use std::sync::Arc;

use anyhow::{anyhow, ensure};
use registry::{
    ApiResourceConfig, KindVersion, ResourceDef, StorageConfig, StorageDef, StorageDefaults, StorageFactory,
    StorageVersions,
};
use schema::{Schema, TypeId, Value};
use storage::{BuiltinCodec, Error};

use crate::flags::BackendFlags;

/// The storage factory of a server, with the storage versions of its kinds.
pub struct StoredForms {
    factory: StorageFactory,
    versions: StorageVersions,
}

impl StoredForms {
    /// The rules for `definitions`, which are all there are, whatever of them
    /// is served: what is stored must not depend on that, cohabitation apart.
    pub fn new(
        flags: &BackendFlags,
        definitions: &[ResourceDef],
        enabled: &ApiResourceConfig,
    ) -> StoredForms {
        let mut factory = StorageFactory::builtin(StorageDefaults {
            servers: Vec::new(),
            path_prefix: flags.path_prefix.clone(),
            media: flags.media,
        });
        factory.apply_servers_overrides(&flags.servers_overrides);
        let served = definitions.iter().filter(|def| enabled.resource_enabled(&def.gvr()));
        factory.set_enabled_groups(served.map(|def| def.group.to_string()));
        let mut versions = StorageVersions::builtin();
        for definition in definitions {
            versions.register(definition.group_kind(), &definition.version);
        }
        StoredForms { factory, versions }
    }

    /// How a resource is stored. Fails if its definition says otherwise.
    pub fn config(&self, definition: &ResourceDef, stored: &StorageDef) -> anyhow::Result<StorageConfig> {
        let config = self.factory.config(&definition.group_resource());
        let name = definition.group_resource();
        let prefix = stored.prefix.trim_matches('/');
        ensure!(
            config.resource_prefix == prefix,
            "{name} are to lie under {}, but their definition says {prefix}",
            config.resource_prefix
        );
        let version = self.versions.version(&config.resource, &stored.kind.kind);
        ensure!(
            version.is_none_or(|version| version == stored.kind.version),
            "{name} are to be stored as {version:?}, but their definition says {}",
            stored.kind
        );
        Ok(config)
    }
}

/// The codec of a stored kind. It reads every version the kind is served in
/// (E-FAC-7) and hands out the stored one, defaults filled in: an object may
/// be older than a default.
pub fn codec(
    schema: &'static Schema,
    definition: &ResourceDef,
    stored: &StorageDef,
    config: &StorageConfig,
    versions: &[KindVersion],
) -> anyhow::Result<BuiltinCodec> {
    let kind = stored.kind.clone();
    let codec = BuiltinCodec::new(schema, &kind.group, &kind.version, &kind.kind);
    let mut codec = codec.ok_or_else(|| anyhow!("the schema table has no kind {kind}"))?;
    codec.media = config.media;
    let stored_version = codec.api_version.clone();
    let others: Vec<KindVersion> =
        versions.iter().filter(|version| version.api_version != stored_version).cloned().collect();
    let (stored_ty, strategy) = (codec.ty, definition.strategy.clone());
    codec.decoded = Some(Arc::new(move |mut object: Value| {
        let version = object.str_at(&["apiVersion"]).unwrap_or_default();
        if let Some(other) = others.iter().find(|other| other.api_version == version) {
            object = to_stored(schema, other, object)?;
            object.set(&["apiVersion"], stored_version.as_str());
            object.set(&["kind"], kind.kind.as_ref());
        }
        fill_defaults(schema, stored_ty, &mut object);
        strategy.default(&mut object);
        Ok(object)
    }));
    Ok(codec)
}

fn to_stored(schema: &Schema, version: &KindVersion, mut object: Value) -> Result<Value, Error> {
    fill_defaults(schema, version.ty, &mut object);
    match &version.conversion {
        Some(conversion) => Ok(conversion.to_stored(object)?),
        None => Ok(object),
    }
}

fn fill_defaults(schema: &Schema, ty: TypeId, object: &mut Value) {
    schema::defaults::apply(schema, ty, object);
}
