//! The rules of field ownership.
//!
//! Whoever updates owns what the update changed and takes it from everybody
//! else. Whoever applies owns what the configuration names, gives up what it
//! no longer names, and meets a conflict where it would change what others
//! own. The order of steps is the original's, because clients see its results.

use std::borrow::Cow;
use std::collections::BTreeMap;

use meta::ApiError;
use meta::object::{ObjectMeta, ObjectMetaMut};
use schema::Value;

use super::compare::{Comparison, compare};
use super::conflict::{self, Conflict};
use super::field_set::FieldSet;
use super::fields::{Fields, Needle, needles};
use super::last_applied;
use super::managers::{Manager, Managers, Operation};
use super::shape::Typed;
use super::{merge, owned_fields, remove, validate};

/// Who owns what stood in an object before anybody was tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The manager kubectl applies as; it may take over what it applied on the client's side.
const KUBECTL: &str = "kubectl";

/// Who writes what, through which endpoint, when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Name of the manager; empty counts as `unknown`.
    pub manager: &'a str,
    /// Version of the request.
    pub api_version: &'a str,
    /// Kind of the object, for texts.
    pub kind: &'a str,
    /// Subresource of the request; empty for the object itself.
    pub subresource: &'a str,
    /// Now, RFC 3339 in seconds.
    pub now: &'a str,
    /// Fields that this endpoint resets, so that nobody owns them through it.
    pub reset: &'a FieldSet,
    /// Paths of fields below which alone this endpoint writes, `*` for any
    /// item; none if it writes everything but `reset`.
    pub only: &'a [&'a [&'a str]],
}

impl Writer<'_> {
    /// The fields of a set that the endpoint writes.
    fn writable(&self, fields: FieldSet) -> FieldSet {
        let fields = fields.recursive_difference(self.reset);
        if self.only.is_empty() { fields } else { fields.along(self.only) }
    }

    /// What an update or apply through the endpoint changes.
    fn changes(&self, typed: Typed<'_>, old: &Value, new: &Value) -> Comparison {
        let Comparison { added, modified, removed } = compare(typed, old, new);
        let [added, modified, removed] = [added, modified, removed].map(|fields| self.writable(fields));
        Comparison { added, modified, removed }
    }
}

/// The versions of a kind. Objects are in normal form.
pub trait Versions {
    /// The type of the kind in a version; none if there is no such version.
    fn typed(&self, api_version: &str) -> Option<Typed<'_>>;

    /// An object of the stored version in another one that exists.
    #[expect(clippy::wrong_self_convention, reason = "the pair to_stored, from_stored says it best")]
    fn from_stored<'v>(&self, api_version: &str, object: &'v Value) -> Result<Cow<'v, Value>, ApiError>;

    /// An object of a version that exists in the stored one.
    fn to_stored(&self, api_version: &str, object: Value) -> Result<Value, ApiError>;
}

/// Tracks who owns which field of the objects of one kind.
pub struct FieldManager<'a> {
    versions: &'a dyn Versions,
    writer: Writer<'a>,
}

/// What applying came to.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The object as a document of the request's version, `managedFields` apart;
    /// none if the configuration changed nothing.
    pub object: Option<Value>,
    /// The new `managedFields`; none if nobody owns anything.
    pub managed_fields: Option<Value>,
}

/// Why a configuration cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields that it would change.
    #[error("conflicts with {} managers", .0.len())]
    Conflicts(Vec<Conflict>),
    /// Anything else, as clients are told.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl From<ApplyError> for ApiError {
    fn from(error: ApplyError) -> ApiError {
        match error {
            ApplyError::Conflicts(conflicts) => conflict::refusal(conflicts),
            ApplyError::Api(error) => error,
        }
    }
}

impl<'a> FieldManager<'a> {
    /// A field manager for one request.
    pub fn new(versions: &'a dyn Versions, writer: Writer<'a>) -> FieldManager<'a> {
        FieldManager { versions, writer }
    }

    /// Records what an update makes its writer own. Both objects are of the
    /// stored version; `old` is an empty map for a new object. Entries that the
    /// client sent are taken as the base, unless they make no sense or come
    /// through a subresource. What cannot be tracked is not an error of the
    /// update: the object then has no managers.
    pub fn update(&self, old: &Value, new: &mut Value) {
        let managers = self.base(old, new);
        ObjectMetaMut::of(new).map().remove("managedFields");
        let created = ObjectMeta::of(old).uid().is_empty();
        let managers = if managers.is_empty() && !created {
            // Nobody has asked to track this object.
            managers
        } else {
            self.updated(managers, self.writer.manager, old, new).unwrap_or_default()
        };
        set_managed_fields(new, managers.encode());
    }

    /// The managers before the update.
    fn base(&self, old: &Value, new: &Value) -> Managers {
        let stored = ObjectMeta::of(old).managed_fields();
        let live = || Managers::stored(stored).unwrap_or_default();
        if !self.writer.subresource.is_empty() {
            return live();
        }
        let submitted = ObjectMeta::of(new).managed_fields();
        let wiped = match submitted {
            [] => new.at(&["metadata", "managedFields"]).is_some_and(|entries| !entries.is_null()),
            [Value::Map(entry)] => entry.is_empty(),
            _ => false,
        };
        if wiped {
            return Managers::default();
        }
        if submitted == stored {
            return live();
        }
        match Managers::decode(submitted) {
            Ok(managers) if !managers.is_empty() => managers,
            _ => live(),
        }
    }

    fn updated(
        &self,
        mut managers: Managers,
        name: &str,
        old: &Value,
        new: &Value,
    ) -> Result<Managers, ApiError> {
        let version = self.writer.api_version;
        let typed = self.versions.typed(version).ok_or_else(|| unknown_version(version))?;
        let (old_shown, new_shown) =
            (self.versions.from_stored(version, old)?, self.versions.from_stored(version, new)?);
        let comparison = self.writer.changes(typed, &old_shown, &new_shown);
        self.release(&mut managers, &comparison, old, new)?;
        let taken = strip(comparison.added.union(comparison.modified));
        if !taken.is_empty() {
            let mut manager = self.manager(name, Operation::Update);
            let before = managers.take(&manager).map(|before| before.fields).unwrap_or_default();
            manager.fields = taken.union(before.set().clone()).into();
            manager.time = Some(self.writer.now.to_owned());
            managers.put(manager);
        }
        managers.cap();
        Ok(managers)
    }

    /// Takes from everybody what the update changed or removed, each in the
    /// version of that manager. Managers of versions that are gone are dropped.
    fn release(
        &self,
        managers: &mut Managers,
        comparison: &Comparison,
        old: &Value,
        new: &Value,
    ) -> Result<(), ApiError> {
        let own = Some(Changes::of(comparison));
        let mut others: BTreeMap<String, Option<Changes>> = BTreeMap::new();
        for manager in managers.iter().filter(|manager| manager.fields_version != self.writer.api_version) {
            if others.contains_key(&manager.fields_version) {
                continue;
            }
            let compared = self.compare_in(&manager.fields_version, old, new)?;
            others.insert(manager.fields_version.clone(), compared.as_ref().map(Changes::of));
        }
        managers.change(|manager| {
            let other = others.get(&manager.fields_version);
            let Some(changes) = other.unwrap_or(&own) else { return false };
            if manager.fields.may_touch(&changes.needles) {
                let fields = manager.fields.set().clone();
                manager.fields = fields.difference(&changes.changed).difference(&changes.removed).into();
            }
            true
        });
        Ok(())
    }

    /// Compares two stored objects in a version; none if there is no such version.
    fn compare_in(&self, version: &str, old: &Value, new: &Value) -> Result<Option<Comparison>, ApiError> {
        let Some(typed) = self.versions.typed(version) else { return Ok(None) };
        let old = self.versions.from_stored(version, old)?;
        let new = self.versions.from_stored(version, new)?;
        if !typed.zeros {
            // Versions of a custom resource may declare different fields.
            for (which, object) in [("old", &old), ("new", &new)] {
                validate(typed, object).map_err(|fault| {
                    ApiError::Unknown(format!("failed to convert {which} object: {fault}"))
                })?;
            }
        }
        Ok(Some(self.writer.changes(typed, &old, &new)))
    }

    /// Applies a configuration, a document of the request's version, to the
    /// live object of the stored version (an empty map if there is none).
    /// With `force`, fields are taken from whoever owns them.
    pub fn apply(&self, live: &Value, configuration: &Value, force: bool) -> Result<Applied, ApiError> {
        let managers = Managers::stored(ObjectMeta::of(live).managed_fields())
            .map_err(|error| ApiError::Unknown(format!("failed to decode managed fields: {error}")))?;
        let version = self.writer.api_version;
        let typed = self.versions.typed(version).ok_or_else(|| unknown_version(version))?;
        if configuration.at(&["metadata", "managedFields"]).is_some_and(|entries| !entries.is_null()) {
            return Err(ApiError::BadRequest("metadata.managedFields must be nil".to_owned()));
        }
        let managers = if managers.is_empty() {
            self.updated(managers, BEFORE_FIRST_APPLY, &Value::map(), live)?
        } else {
            managers
        };
        let documents = Typed { zeros: false, ..typed };
        validate(documents, configuration).map_err(|fault| {
            ApiError::Unknown(format!(
                "failed to create typed patch object ({}): {fault}",
                self.shown(configuration)
            ))
        })?;
        let run = Run { manager: self, typed: documents, live: self.document(typed, live)?, configuration };
        let result = match run.apply(managers.clone(), force) {
            Err(ApplyError::Conflicts(conflicts)) if self.writer.manager == KUBECTL => {
                let left = last_applied::not_excused(typed, self.writer.api_version, &run.live, conflicts);
                if left.is_empty() { run.apply(managers, true) } else { Err(ApplyError::Conflicts(left)) }
            }
            result => result,
        };
        let mut applied = result?;
        if self.writer.manager == KUBECTL {
            last_applied::renew(&mut applied.object, &run.live, configuration);
        }
        Ok(applied)
    }

    /// The live object as a document of the request's version, without `managedFields`.
    fn document(&self, typed: Typed<'_>, live: &Value) -> Result<Value, ApiError> {
        let mut shown = self.versions.from_stored(self.writer.api_version, live)?.into_owned();
        if let Some(metadata) = shown.get_mut("metadata").and_then(Value::as_map_mut) {
            metadata.remove("managedFields");
        }
        let mut document = document_of(typed, &shown)?;
        let map =
            document.as_map_mut().ok_or_else(|| ApiError::Internal("an object is no map".to_owned()))?;
        map.insert("apiVersion", self.writer.api_version);
        map.insert("kind", self.writer.kind);
        Ok(document)
    }

    fn manager(&self, name: &str, operation: Operation) -> Manager {
        let version = self.writer.api_version.to_owned();
        Manager {
            name: if name.is_empty() { "unknown".to_owned() } else { name.to_owned() },
            operation,
            api_version: if operation == Operation::Apply { String::new() } else { version.clone() },
            subresource: self.writer.subresource.to_owned(),
            fields_version: version,
            fields: Fields::default(),
            time: None,
        }
    }

    /// `namespace/name; group/version, Kind=kind`, as errors name an object.
    pub fn shown(&self, object: &Value) -> String {
        let meta = ObjectMeta::of(object);
        let (group, version) =
            self.writer.api_version.split_once('/').unwrap_or(("", self.writer.api_version));
        format!("{}/{}; {group}/{version}, Kind={}", meta.namespace(), meta.name(), self.writer.kind)
    }
}

/// One application of a configuration to a live object.
struct Run<'r, 'a> {
    manager: &'r FieldManager<'a>,
    typed: Typed<'r>,
    live: Value,
    configuration: &'r Value,
}

impl Run<'_, '_> {
    fn apply(&self, mut managers: Managers, force: bool) -> Result<Applied, ApplyError> {
        let FieldManager { versions, writer } = self.manager;
        let mut own = self.manager.manager(writer.manager, Operation::Apply);
        let named = writer.writable(owned_fields(self.typed, self.configuration));
        own.fields = named.clone().into();
        let last = managers.take(&own);
        own.time = last.as_ref().and_then(|last| last.time.clone());
        managers.put(own.clone());
        let merged = merge(self.typed, &self.live, self.configuration);
        let object = match &last {
            Some(last) if !self.names_all(last, &named) => self.prune(merged, &managers, last)?,
            _ => merged,
        };
        managers.take(&own);
        let comparison = writer.changes(self.typed, &self.live, &object);
        let (old_stored, new_stored);
        let conflicts = if managers.iter().all(|manager| manager.fields_version == writer.api_version) {
            self.conflicts(&managers, |_| Ok(Some(Cow::Borrowed(&comparison))))?
        } else {
            old_stored = versions.to_stored(writer.api_version, self.decode(&self.live)?)?;
            new_stored = versions.to_stored(writer.api_version, self.decode(&object)?)?;
            self.conflicts(&managers, |version| {
                if version == writer.api_version {
                    return Ok(Some(Cow::Borrowed(&comparison)));
                }
                Ok(self.manager.compare_in(version, &old_stored, &new_stored)?.map(Cow::Owned))
            })?
        };
        if !force && !conflicts.lost.is_empty() {
            return Err(ApplyError::Conflicts(conflicts.lost));
        }
        let mut managers = conflicts.left;
        let changed = object != self.live;
        own.fields = strip(named).into();
        if changed {
            own.time = Some(writer.now.to_owned());
        }
        if !own.fields.is_empty() {
            managers.put(own);
        }
        Ok(Applied { object: changed.then_some(object), managed_fields: managers.encode() })
    }

    /// What others would lose, and what is left to them.
    fn conflicts<'c>(
        &self,
        managers: &Managers,
        mut comparison_in: impl FnMut(&str) -> Result<Option<Cow<'c, Comparison>>, ApiError>,
    ) -> Result<Settled, ApiError> {
        let mut settled = Settled { lost: Vec::new(), left: Managers::default() };
        let mut left = Vec::new();
        let mut versions: BTreeMap<&str, Option<Changes>> = BTreeMap::new();
        for manager in managers.iter() {
            let version = manager.fields_version.as_str();
            if !versions.contains_key(version) {
                let compared = comparison_in(version)?;
                versions.insert(version, compared.map(|comparison| Changes::of(&comparison)));
            }
            let Some(Some(changes)) = versions.get(version) else { continue };
            if !manager.fields.may_touch(&changes.needles) {
                left.push(manager.clone());
                continue;
            }
            let fields = manager.fields.set().intersection(&changes.changed);
            let kept = manager.fields.set().clone().difference(&fields).difference(&changes.removed);
            if !fields.is_empty() {
                settled.lost.push(Conflict { manager: manager.clone(), fields });
            }
            if !kept.is_empty() {
                left.push(Manager { fields: kept.into(), ..manager.clone() });
            }
        }
        settled.left = Managers::of(left);
        Ok(settled)
    }

    /// True if the configuration names all that its writer applied last time:
    /// then nothing is given up.
    fn names_all(&self, last: &Manager, named: &FieldSet) -> bool {
        last.fields_version == self.manager.writer.api_version
            && last.fields.set().clone().difference(named).is_empty()
    }

    /// Removes what the writer applied last time, not this time, and nobody else owns.
    fn prune(&self, merged: Value, managers: &Managers, last: &Manager) -> Result<Value, ApiError> {
        let Some(typed) = self.manager.versions.typed(&last.fields_version) else { return Ok(merged) };
        let typed = Typed { zeros: false, ..typed };
        let in_last = self.convert(&merged, self.manager.writer.api_version, &last.fields_version)?;
        let last_fields = last.fields.set().clone().with_declared_fields(typed.root());
        let pruned = remove(typed, &in_last, &last_fields);
        let pruned = self.add_back_owned(&in_last, pruned, &last.fields_version, managers)?;
        // Only what the writer owned may go: everything else comes back.
        let pruned_fields = owned_fields(typed, &pruned).with_declared_fields(typed.root());
        let merged_fields = owned_fields(typed, &in_last).with_declared_fields(typed.root());
        let gone = merged_fields.difference(&pruned_fields).intersection(&last_fields);
        let pruned = remove(typed, &in_last, &gone);
        self.convert(&pruned, &last.fields_version, self.manager.writer.api_version)
    }

    /// Puts back what somebody owns, the writer's new configuration included,
    /// version by version; the version pruned in comes first, since what was
    /// pruned may be needed to convert.
    fn add_back_owned(
        &self,
        merged: &Value,
        pruned: Value,
        pruned_version: &str,
        managers: &Managers,
    ) -> Result<Value, ApiError> {
        let mut versions: Vec<&str> =
            managers.iter().map(|manager| manager.fields_version.as_str()).collect();
        versions.sort_by_key(|version| (*version != pruned_version, *version));
        versions.dedup();
        let (mut merged, mut pruned) = (Cow::Borrowed(merged), pruned);
        let mut version_now = pruned_version;
        for version in versions {
            let Some(typed) = self.manager.versions.typed(version) else { continue };
            let typed = Typed { zeros: false, ..typed };
            if version != version_now {
                merged = Cow::Owned(self.convert(&merged, version_now, version)?);
                pruned = self.convert(&pruned, version_now, version)?;
                version_now = version;
            }
            let declared = |set: FieldSet| set.with_declared_fields(typed.root());
            let of_version = managers.iter().filter(|manager| manager.fields_version == version);
            let owned = FieldSet::union_all(of_version.map(|manager| manager.fields.set().clone()));
            let kept = declared(owned_fields(typed, &pruned)).union(declared(owned));
            let gone = declared(owned_fields(typed, &merged)).difference(&kept);
            pruned = remove(typed, &merged, &gone);
        }
        self.convert(&pruned, version_now, pruned_version)
    }

    /// A document of one version as one of another.
    fn convert(&self, document: &Value, from: &str, to: &str) -> Result<Value, ApiError> {
        if from == to {
            return Ok(document.clone());
        }
        let versions = self.manager.versions;
        let (Some(from_typed), Some(to_typed)) = (versions.typed(from), versions.typed(to)) else {
            return Ok(document.clone());
        };
        let stored = versions.to_stored(from, decoded(from_typed, document)?)?;
        let mut converted = document_of(to_typed, &*versions.from_stored(to, &stored)?)?;
        if let Some(map) = converted.as_map_mut() {
            map.insert("apiVersion", to);
        }
        Ok(converted)
    }

    fn decode(&self, document: &Value) -> Result<Value, ApiError> {
        let version = self.manager.writer.api_version;
        let typed = self.manager.versions.typed(version).ok_or_else(|| unknown_version(version))?;
        decoded(typed, document)
    }
}

/// A comparison, ready to be held against many managers.
struct Changes {
    /// Added or modified.
    changed: FieldSet,
    removed: FieldSet,
    needles: Vec<Needle>,
}

impl Changes {
    fn of(comparison: &Comparison) -> Changes {
        Changes {
            changed: comparison.modified.clone().union(comparison.added.clone()),
            removed: comparison.removed.clone(),
            needles: needles(&FieldSet::union_all([
                comparison.modified.clone(),
                comparison.added.clone(),
                comparison.removed.clone(),
            ])),
        }
    }
}

struct Settled {
    lost: Vec<Conflict>,
    left: Managers,
}

/// Puts `managedFields` in place of what stands there.
pub(crate) fn set_managed_fields(object: &mut Value, entries: Option<Value>) {
    let mut meta = ObjectMetaMut::of(object);
    match entries {
        Some(entries) => {
            meta.map().insert(schema::Key::borrowed("managedFields"), entries);
        }
        None => {
            meta.map().remove("managedFields");
        }
    }
}

/// An object in normal form as a document.
fn document_of(typed: Typed<'_>, object: &Value) -> Result<Value, ApiError> {
    if !typed.zeros {
        return Ok(object.clone());
    }
    crate::document(typed.schema, typed.ty, object).map_err(|error| ApiError::Internal(error.to_string()))
}

/// A document as an object in normal form. Of types made at run time they are the same.
fn decoded(typed: Typed<'_>, document: &Value) -> Result<Value, ApiError> {
    if !typed.zeros {
        return Ok(document.clone());
    }
    codec::json::typed(typed.schema, typed.ty, document, None)
        .map_err(|error| ApiError::Unknown(error.to_string()))
}

/// Without what no client owns: what the object is and what the server sets.
fn strip(fields: FieldSet) -> FieldSet {
    static STRIPPED: std::sync::LazyLock<FieldSet> = std::sync::LazyLock::new(|| {
        let mut set = FieldSet::new();
        for path in [&["apiVersion"][..], &["kind"], &["metadata"]] {
            set.insert_fields(path);
        }
        for field in [
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        ] {
            set.insert_fields(&["metadata", field]);
        }
        set
    });
    fields.difference(&STRIPPED)
}

fn unknown_version(version: &str) -> ApiError {
    ApiError::Internal(format!("version {version} is not served"))
}
