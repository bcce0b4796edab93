//! Field ownership outside the store: of objects that are answered and not
//! stored, and through `scale`, where a client owns a field of a `Scale` and
//! with it the replicas.

use std::borrow::Cow;

use meta::options::WriteOptions;
use meta::{ApiError, GroupVersionKind, ObjectMeta};
use patch::apply::scale::{ReplicasPath, to_parent, to_scale};
use patch::apply::{FieldManager, FieldSet, Typed, Versions, Writer};
use registry::{RequestContext, ServedResource};
use schema::{Key, Schema, TypeId, Value};

use crate::encode::Known;

const SCALE_VERSION: &str = "autoscaling/v1";
const MANAGED_FIELDS: &[u8] = b"managedFields";

/// Puts `managedFields` in place of what stands there; none removes it.
pub fn set_managed_fields(object: &mut Value, entries: Option<Value>) {
    let metadata = object.ensure_map(&["metadata"]);
    match entries {
        Some(entries) => {
            metadata.insert(Key::borrowed("managedFields"), entries);
        }
        None => {
            metadata.remove("managedFields");
        }
    }
}

/// Keeps an empty list of `managedFields` that a client sent: it wipes them,
/// although objects have no empty lists otherwise.
pub fn keep_wiping(document: Option<&Value>, object: &mut Value) {
    let entries = document.and_then(|document| document.at(&["metadata", "managedFields"]));
    if entries.and_then(Value::as_list).is_some_and(<[Value]>::is_empty) {
        set_managed_fields(object, Some(Value::List(Vec::new())));
    }
}

/// The document in a body, if it is one that might wipe `managedFields`.
pub fn wiping_document(body: &[u8], object: &Value) -> Option<Value> {
    let silent = ObjectMeta::of(object).managed_fields().is_empty();
    let named = || body.windows(MANAGED_FIELDS.len()).any(|window| window == MANAGED_FIELDS);
    // JSON is YAML, and what is neither has no empty lists.
    (silent && named()).then(|| codec::yaml::decode_any(body).ok()).flatten()
}

/// Tracks the create of an object that is answered and not stored (reviews).
pub fn track_question(
    resource: &ServedResource,
    context: &RequestContext,
    options: &WriteOptions,
    object: &mut Value,
) {
    let kind = resource.definition.gvk();
    let written = Written { schema: &resource.schema, ty: resource.ty, kind: &kind, subresource: "" };
    track_body(&written, context, options, object);
}

/// What a body that is not stored is.
pub struct Written<'a> {
    /// The table of its type.
    pub schema: &'a Schema,
    /// Its type.
    pub ty: TypeId,
    /// Its kind.
    pub kind: &'a GroupVersionKind,
    /// The subresource it was sent to, empty if none.
    pub subresource: &'a str,
}

/// Tracks a body that is not stored.
pub fn track_body(written: &Written<'_>, context: &RequestContext, options: &WriteOptions, body: &mut Value) {
    let api_version = written.kind.api_version();
    let version = OnlyVersion { api_version: &api_version, schema: written.schema, ty: written.ty };
    let (now, reset) = (meta::time::rfc3339(context.environment.clock.now()), FieldSet::new());
    let writer = Writer {
        manager: &options.field_manager,
        api_version: &api_version,
        kind: &written.kind.kind,
        subresource: written.subresource,
        now: &now,
        reset: &reset,
        only: &[],
    };
    FieldManager::new(&version, writer).update(&Value::map(), body);
}

/// Tracks a write through `scale`.
pub struct ScaleOwnership<'a> {
    options: &'a WriteOptions,
    now: String,
    api_version: String,
    /// `managedFields` of the object.
    parent: &'a [Value],
}

impl<'a> ScaleOwnership<'a> {
    /// For a write to `old`, an object of the stored version.
    pub fn new(
        resource: &ServedResource,
        context: &RequestContext,
        options: &'a WriteOptions,
        old: &'a Value,
    ) -> Result<ScaleOwnership<'a>, ApiError> {
        Ok(ScaleOwnership {
            options,
            now: meta::time::rfc3339(context.environment.clock.now()),
            api_version: resource.definition.group_version().to_string(),
            parent: ObjectMeta::of(old).managed_fields(),
        })
    }

    /// `managedFields` of the object after its `Scale` has become `new`.
    pub fn update(&self, old: &Value, new: &Value) -> Result<Option<Value>, ApiError> {
        let (mut old, mut new) = (old.clone(), new.clone());
        set_managed_fields(&mut old, self.scale_entries()?);
        set_managed_fields(&mut new, None);
        self.with_manager(|manager| manager.update(&old, &mut new));
        self.parent_entries(&new)
    }

    /// The `Scale` after a configuration is applied to `old`, and
    /// `managedFields` of the object.
    pub fn apply(&self, old: &Value, configuration: &Value) -> Result<(Value, Option<Value>), ApiError> {
        let mut old = old.clone();
        set_managed_fields(&mut old, self.scale_entries()?);
        let applied = self.with_manager(|manager| manager.apply(&old, configuration, self.options.force))?;
        let mut scale = match applied.object {
            None => old,
            Some(document) => codec::json::typed(schema::builtin(), Known::Scale.ty(), &document, None)
                .map_err(|error| ApiError::Unknown(error.to_string()))?,
        };
        set_managed_fields(&mut scale, applied.managed_fields);
        let entries = self.parent_entries(&scale)?;
        Ok((scale, entries))
    }

    fn with_manager<R>(&self, work: impl FnOnce(FieldManager<'_>) -> R) -> R {
        let reset = FieldSet::new();
        let writer = Writer {
            manager: &self.options.field_manager,
            api_version: SCALE_VERSION,
            kind: "Scale",
            subresource: "scale",
            now: &self.now,
            reset: &reset,
            only: &[],
        };
        let version =
            OnlyVersion { api_version: SCALE_VERSION, schema: schema::builtin(), ty: Known::Scale.ty() };
        work(FieldManager::new(&version, writer))
    }

    fn replicas(&self) -> ReplicasPath<'_> {
        ReplicasPath { path: &["spec", "replicas"], api_version: &self.api_version }
    }

    fn scale_entries(&self) -> Result<Option<Value>, ApiError> {
        to_scale(self.parent, self.replicas()).map_err(|error| ApiError::Unknown(error.to_string()))
    }

    fn parent_entries(&self, scale: &Value) -> Result<Option<Value>, ApiError> {
        to_parent(self.parent, ObjectMeta::of(scale).managed_fields(), self.replicas())
            .map_err(|error| ApiError::Unknown(error.to_string()))
    }
}

/// A kind that is served in one version, which is that of its objects.
struct OnlyVersion<'a> {
    api_version: &'a str,
    schema: &'a Schema,
    ty: TypeId,
}

impl Versions for OnlyVersion<'_> {
    fn typed(&self, api_version: &str) -> Option<Typed<'_>> {
        let OnlyVersion { schema, ty, .. } = *self;
        (api_version == self.api_version).then_some(Typed { schema, ty, zeros: true })
    }

    fn from_stored<'v>(&self, _: &str, object: &'v Value) -> Result<Cow<'v, Value>, ApiError> {
        Ok(Cow::Borrowed(object))
    }

    fn to_stored(&self, _: &str, object: Value) -> Result<Value, ApiError> {
        Ok(object)
    }
}
