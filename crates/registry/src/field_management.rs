//! Who owns which field of the objects of a [`Store`]: the versions of its
//! kind, the fields that each endpoint resets, and the hooks into writes.
//!
//! The rules of ownership are those of `patch::apply`; here is only what they
//! must know of a resource.

use std::borrow::Cow;
use std::sync::Arc;

use meta::object::{ObjectMeta, ObjectMetaMut};
use meta::options::WriteOptions;
use meta::time::rfc3339;
use meta::{ApiError, GroupVersionKind};
use patch::apply::{FieldManager, FieldSet, Typed, Versions, Writer};
use schema::{Key, TypeId, Value};
use storage::backend::BackendError;

use crate::context::RequestContext;
use crate::definition::{Conversion, ResourceDef, StatusMetadata};

use crate::served::SchemaRef;
use crate::store::{Store, UpdateKind};

/// A version in which the objects of a store are served.
#[derive(Clone)]
pub struct KindVersion {
    /// Version with its group, e.g. `apps/v1`.
    pub api_version: String,
    /// Type of the kind in it.
    pub ty: TypeId,
    /// Between it and the stored version; none if they have the same fields.
    pub conversion: Option<Arc<dyn Conversion>>,
}

/// All versions in which the objects of a store are served.
#[derive(Clone)]
pub(crate) struct KindVersions {
    schema: SchemaRef,
    versions: Vec<KindVersion>,
    stored: GroupVersionKind,
    /// Annotations that the original shows for fields it keeps elsewhere: there
    /// is always one, of a number.
    field_annotations: Vec<Cow<'static, str>>,
}

/// What tracking one write must know; lives as long as the write.
pub struct FieldManagement<'a> {
    store: &'a Store,
    manager: &'a str,
    subresource: &'a str,
    now: String,
    reset: FieldSet,
    only: &'static [&'static [&'static str]],
    kind: String,
    api_version: String,
}

impl KindVersions {
    /// The versions of a resource that is served in one only.
    pub(crate) fn single(definition: &ResourceDef, schema: &SchemaRef, stored_ty: TypeId) -> KindVersions {
        let stored = definition.storage().expect("a Store is made for stored resources only");
        let served = definition.gvk();
        let version = KindVersion {
            api_version: served.api_version(),
            ty: schema.kind(&served.group, &served.version, &served.kind).unwrap_or(stored_ty),
            conversion: stored.conversion.clone(),
        };
        KindVersions {
            schema: schema.clone(),
            versions: vec![version],
            stored: stored.kind.clone(),
            field_annotations: definition.field_annotations.clone(),
        }
    }

    pub(crate) fn with(mut self, versions: Vec<KindVersion>) -> KindVersions {
        self.versions = versions;
        self
    }

    fn find(&self, api_version: &str) -> Option<&KindVersion> {
        self.versions.iter().find(|version| version.api_version == api_version)
    }

    fn with_field_annotations<'v>(&self, object: &'v Value) -> Cow<'v, Value> {
        let annotations = ObjectMeta::of(object).annotations();
        let missing = |name: &&Cow<'static, str>| !annotations.contains_key(name.as_ref());
        if object.as_map().is_none_or(schema::Map::is_empty)
            || !self.field_annotations.iter().any(|name| missing(&name))
        {
            return Cow::Borrowed(object);
        }
        let mut shown = object.clone();
        for name in self.field_annotations.iter().filter(missing) {
            shown.ensure_map(&["metadata", "annotations"]).insert(name.clone(), "0");
        }
        Cow::Owned(shown)
    }
}

impl Versions for KindVersions {
    fn typed(&self, api_version: &str) -> Option<Typed<'_>> {
        let version = self.find(api_version)?;
        // Objects of types made at run time have no zero values of their own.
        let zeros = matches!(self.schema, SchemaRef::Static(_));
        Some(Typed { schema: &self.schema, ty: version.ty, zeros })
    }

    fn from_stored<'v>(&self, api_version: &str, object: &'v Value) -> Result<Cow<'v, Value>, ApiError> {
        match self.find(api_version).and_then(|version| version.conversion.as_ref()) {
            // What is not there yet has nothing to convert.
            Some(conversion) if object.as_map().is_some_and(|map| !map.is_empty()) => {
                conversion.from_stored(object.clone()).map(Cow::Owned)
            }
            _ => Ok(self.with_field_annotations(object)),
        }
    }

    fn to_stored(&self, api_version: &str, object: Value) -> Result<Value, ApiError> {
        let mut stored = match self.find(api_version).and_then(|version| version.conversion.as_ref()) {
            Some(conversion) => conversion.to_stored(object)?,
            None => object,
        };
        if let Some(map) = stored.as_map_mut() {
            map.insert(Key::borrowed("apiVersion"), self.stored.api_version());
            map.insert(Key::borrowed("kind"), self.stored.kind.to_string());
        }
        Ok(stored)
    }
}

impl FieldManagement<'_> {
    /// The field manager of the write.
    pub fn manager(&self) -> FieldManager<'_> {
        let writer = Writer {
            manager: self.manager,
            api_version: &self.api_version,
            kind: &self.kind,
            subresource: self.subresource,
            now: &self.now,
            reset: &self.reset,
            only: self.only,
        };
        FieldManager::new(&self.store.versions, writer)
    }
}

impl Store {
    /// Tracking of a write through an endpoint.
    pub fn field_management<'a>(
        &'a self,
        context: &RequestContext,
        kind: &'a UpdateKind,
        options: &'a WriteOptions,
    ) -> FieldManagement<'a> {
        let def = self.definition();
        FieldManagement {
            store: self,
            manager: &options.field_manager,
            subresource: match kind {
                UpdateKind::Main => "",
                UpdateKind::Status => "status",
                UpdateKind::Part(part) => part,
            },
            now: rfc3339(context.environment.clock.now()),
            reset: reset_fields(def, kind),
            only: def.strategy.only_fields(kind),
            kind: def.kind.to_string(),
            api_version: def.group_version().to_string(),
        }
    }

    /// Records who owns what a write changes. `old` is none for a new object.
    pub(crate) fn track(
        &self,
        context: &RequestContext,
        kind: &UpdateKind,
        options: &WriteOptions,
        old: Option<&Value>,
        object: &mut Value,
    ) {
        let nothing = Value::map();
        self.field_management(context, kind, options).manager().update(old.unwrap_or(&nothing), object);
    }
}

/// Takes the times in `managedFields` from `old` where nothing else differs, so
/// that the write becomes none (D-UPD-5).
pub(crate) fn keep_times(object: &mut Value, old: &Value) {
    if !patch::apply::differ_in_time_only(object, old) {
        return;
    }
    let entries = ObjectMeta::of(old).managed_fields().to_vec();
    object.set(&["metadata", "managedFields"], entries);
}

/// True if the store took none of the object because of its size.
pub(crate) fn is_too_large(error: &ApiError) -> bool {
    let ApiError::Unknown(text) = error else { return false };
    *text == BackendError::TooLarge.to_string()
}

/// Drops `managedFields`; true if there were some.
pub(crate) fn forget_owners(object: &mut Value) -> bool {
    ObjectMetaMut::of(object).map().remove("managedFields").is_some()
}

/// Fields that an endpoint takes from the old object, whatever is sent: nobody
/// owns them through it.
fn reset_fields(def: &ResourceDef, kind: &UpdateKind) -> FieldSet {
    let mut reset = FieldSet::new();
    for path in def.strategy.reset_fields(kind) {
        reset.insert_fields(path);
    }
    if *kind != UpdateKind::Status {
        if def.has_status() && (*kind == UpdateKind::Main || reset.is_empty()) {
            reset.insert_fields(&["status"]);
        }
        return reset;
    }
    reset.insert_fields(&["spec"]);
    let fields: &[&[&'static str]] = match def.status_metadata {
        StatusMetadata::Writable => &[],
        StatusMetadata::LabelsKept => &[&["metadata", "labels"]],
        StatusMetadata::OwnersKept => &[&["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]],
        StatusMetadata::Kept => &[&["metadata"]],
    };
    fields.iter().for_each(|path| reset.insert_fields(path));
    reset
}
