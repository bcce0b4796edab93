//! `metadata.managedFields`: who owns what, since when.
//!
//! Owns reading and writing the entries, their order, and the limit on how
//! many managers of updates are kept apart.

use std::collections::BTreeMap;
use std::fmt::Write;

use meta::object::ObjectMeta;
use schema::{Key, Map, Value};

use super::field_set::FieldSet;
use super::fields::Fields;

/// Managers of updates kept apart on one object; older ones are merged.
const UPDATE_MANAGERS_MAX: usize = 10;
/// Who owns what older managers of updates owned.
const ANCIENT_CHANGES: &str = "ancient-changes";

/// How fields came to be owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Everything else.
    Update,
}

/// A manager with what it owns: one entry of `managedFields`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Name, e.g. `kubectl`.
    pub name: String,
    /// How it writes.
    pub operation: Operation,
    /// Part of who it is for updates; whoever applies is the same in every version.
    pub api_version: String,
    /// Through which subresource it writes; empty for the object itself.
    pub subresource: String,
    /// The version its fields are of.
    pub fields_version: String,
    /// Its fields.
    pub fields: Fields,
    /// When its fields last changed, RFC 3339 in seconds.
    pub time: Option<String>,
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managers {
    /// Sorted by who they are: clients may send thousands.
    entries: Vec<Manager>,
}

/// Entries that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManagedFieldsError {
    /// The operation is neither Apply nor Update.
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    /// There is no apiVersion.
    #[error("apiVersion must not be empty")]
    ApiVersion,
    /// The type of the fields is unknown.
    #[error("invalid fieldsType {1:?} in managed fields entry {0}")]
    FieldsType(usize, String),
    /// There is no type of the fields.
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    /// The fields are no field set.
    #[error("error decoding manager from {manager}: {error}")]
    Fields {
        /// Whose fields.
        manager: String,
        /// Why.
        error: String,
    },
}

impl Manager {
    /// True if both are the same manager, whatever they own.
    pub fn is_same(&self, other: &Manager) -> bool {
        self.identity() == other.identity()
    }

    fn identity(&self) -> (&str, Operation, &str, &str) {
        (&self.name, self.operation, &self.api_version, &self.subresource)
    }

    /// True for the one that owns what older managers of its version owned.
    fn is_bucket(&self) -> bool {
        self.name == ANCIENT_CHANGES && self.api_version == self.fields_version && self.subresource.is_empty()
    }

    /// Seconds of its time, for the order only.
    fn seconds(&self) -> i64 {
        self.time.as_deref().and_then(unix_seconds).unwrap_or(0)
    }

    /// Reads an entry. Of one that is `trusted` to be a server's own the fields are not looked into.
    fn decode(index: usize, entry: &Value, trusted: bool) -> Result<Manager, ManagedFieldsError> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err(ManagedFieldsError::Operation),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err(ManagedFieldsError::ApiVersion);
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(ManagedFieldsError::NoFieldsType(index)),
            other => return Err(ManagedFieldsError::FieldsType(index, other.to_owned())),
        }
        let fields = match entry.get("fieldsV1") {
            None | Some(Value::Null) => Ok(Fields::default()),
            Some(Value::Raw(text)) if trusted => Ok(Fields::of_text(text)),
            Some(Value::Raw(text)) => FieldSet::from_fields_v1(text).map(Fields::from),
            Some(tree) => FieldSet::from_fields_tree(tree).map(Fields::from),
        };
        let fields = fields.map_err(|error| ManagedFieldsError::Fields {
            manager: text("manager").to_owned(),
            error: error.to_string(),
        })?;
        Ok(Manager {
            name: text("manager").to_owned(),
            operation,
            api_version: if operation == Operation::Apply { String::new() } else { api_version.to_owned() },
            subresource: text("subresource").to_owned(),
            fields_version: api_version.to_owned(),
            fields,
            time: entry.get("time").and_then(Value::as_str).map(str::to_owned),
        })
    }

    fn encode(self) -> Value {
        let operation = match self.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let mut entry = Map::with_capacity(7);
        let mut set = |key: &'static str, value: Value| {
            entry.insert(Key::borrowed(key), value);
        };
        set("apiVersion", Value::from(self.fields_version.as_str()));
        set("fieldsType", Value::from("FieldsV1"));
        set("fieldsV1", Value::Raw(self.fields.into_text()));
        if !self.name.is_empty() {
            set("manager", Value::from(self.name.as_str()));
        }
        set("operation", Value::from(operation));
        if !self.subresource.is_empty() {
            set("subresource", Value::from(self.subresource.as_str()));
        }
        if let Some(time) = &self.time {
            set("time", Value::from(time.as_str()));
        }
        Value::Map(entry)
    }

    /// As conflicts name it.
    pub(crate) fn shown(&self) -> String {
        let mut text = meta::field::quoted(&self.name);
        if !self.subresource.is_empty() {
            let _ = write!(text, " with subresource {}", meta::field::quoted(&self.subresource));
        }
        if self.operation == Operation::Update {
            let _ = write!(text, " using {}", self.api_version);
        }
        text
    }
}

impl Managers {
    /// Reads the entries of `managedFields`. Of entries of one manager the last counts.
    pub fn decode(entries: &[Value]) -> Result<Managers, ManagedFieldsError> {
        Managers::read(entries, false)
    }

    /// Reads entries that a server has stored: their fields are read when they are needed.
    pub(crate) fn stored(entries: &[Value]) -> Result<Managers, ManagedFieldsError> {
        Managers::read(entries, true)
    }

    fn read(entries: &[Value], trusted: bool) -> Result<Managers, ManagedFieldsError> {
        let decoded = entries.iter().enumerate().map(|(index, entry)| Manager::decode(index, entry, trusted));
        Ok(Managers::of(decoded.collect::<Result<Vec<_>, _>>()?))
    }

    /// The managers of a list. Of entries of one manager the last counts.
    pub(crate) fn of(mut entries: Vec<Manager>) -> Managers {
        // What is kept of entries that are the same is the first, so the last has to be it.
        entries.reverse();
        entries.sort_by(|a, b| a.identity().cmp(&b.identity()));
        entries.dedup_by(|later, kept| later.is_same(kept));
        Managers { entries }
    }

    /// The entries in the original's order; none for no managers.
    pub fn encode(mut self) -> Option<Value> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.sort_by_cached_key(|manager| {
            let Manager { operation, name, fields_version, subresource, .. } = manager;
            (*operation, manager.seconds(), name.clone(), fields_version.clone(), subresource.clone())
        });
        Some(Value::List(self.entries.into_iter().map(Manager::encode).collect()))
    }

    /// True if nobody owns anything.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Manager> {
        self.entries.iter()
    }

    /// The entry of a manager.
    pub fn find(&self, manager: &Manager) -> Option<&Manager> {
        self.position(manager).ok().map(|found| &self.entries[found])
    }

    /// Puts an entry in the place of that of the same manager.
    pub fn put(&mut self, manager: Manager) {
        match self.position(&manager) {
            Ok(found) => self.entries[found] = manager,
            Err(place) => self.entries.insert(place, manager),
        }
    }

    /// Takes out the entry of a manager.
    pub fn take(&mut self, manager: &Manager) -> Option<Manager> {
        self.position(manager).ok().map(|found| self.entries.remove(found))
    }

    fn position(&self, manager: &Manager) -> Result<usize, usize> {
        self.entries.binary_search_by(|other| other.identity().cmp(&manager.identity()))
    }

    /// Changes each entry; those whose manager owns nothing afterwards, or for
    /// which `change` says no, are dropped.
    pub(crate) fn change(&mut self, mut change: impl FnMut(&mut Manager) -> bool) {
        self.entries.retain_mut(|manager| change(manager) && !manager.fields.is_empty());
    }

    /// Merges the oldest managers of updates where there are too many.
    pub(crate) fn cap(&mut self) {
        let is_update = |manager: &Manager| manager.operation == Operation::Update;
        let updates = self.entries.iter().filter(|manager| is_update(manager)).count();
        if updates <= UPDATE_MANAGERS_MAX {
            return;
        }
        let (mut updaters, mut entries): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.entries).into_iter().partition(is_update);
        updaters.sort_by_cached_key(|manager| {
            let Manager { name, api_version, subresource, .. } = manager;
            (manager.seconds(), name.clone(), api_version.clone(), subresource.clone())
        });
        entries.extend(merge_oldest(updaters, updates - UPDATE_MANAGERS_MAX));
        *self = Managers::of(entries);
    }
}

/// Managers of updates, oldest first, with `excess` of them merged into the
/// buckets of their versions. The first of each version becomes the bucket
/// where there is none.
fn merge_oldest(updaters: Vec<Manager>, mut excess: usize) -> Vec<Manager> {
    let mut buckets = BTreeMap::<String, Bucket>::new();
    for (at, manager) in updaters.iter().enumerate().filter(|(_, manager)| manager.is_bucket()) {
        buckets.insert(manager.fields_version.clone(), Bucket { at: Some(at), ..Bucket::default() });
    }
    let mut left = Vec::with_capacity(updaters.len());
    for (at, manager) in updaters.into_iter().enumerate() {
        let bucket = buckets.entry(manager.fields_version.clone()).or_default();
        let is_first = !std::mem::replace(&mut bucket.version_seen, true);
        if is_first && bucket.at.is_none() {
            bucket.at = Some(at);
        }
        if is_first || excess == 0 || bucket.at == Some(at) {
            left.push((at, manager));
            continue;
        }
        excess -= 1;
        bucket.time = manager.time;
        bucket.gathered.push(manager.fields.into_set());
    }
    let fill = |(at, manager): (usize, Manager)| match buckets
        .get_mut(&manager.fields_version)
        .filter(|bucket| bucket.at == Some(at))
    {
        Some(bucket) if !bucket.gathered.is_empty() => bucket.fill(manager),
        _ => manager,
    };
    left.into_iter().map(fill).collect()
}

/// Who owns what older managers of one version owned.
#[derive(Default)]
struct Bucket {
    /// Place of the manager that is or becomes the bucket.
    at: Option<usize>,
    version_seen: bool,
    gathered: Vec<FieldSet>,
    time: Option<String>,
}

impl Bucket {
    fn fill(&mut self, manager: Manager) -> Manager {
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.push(manager.fields.into_set());
        Manager {
            name: ANCIENT_CHANGES.to_owned(),
            operation: Operation::Update,
            api_version: manager.fields_version.clone(),
            subresource: String::new(),
            fields_version: manager.fields_version,
            fields: FieldSet::union_all(gathered).into(),
            time: self.time.take(),
        }
    }
}

/// True if the objects are the same but for the times in `managedFields` (D-UPD-5).
/// `metadata.resourceVersion` does not count: an update may leave it out.
pub fn differ_in_time_only(new: &Value, old: &Value) -> bool {
    let (new_entries, old_entries) =
        (ObjectMeta::of(new).managed_fields(), ObjectMeta::of(old).managed_fields());
    if new_entries == old_entries || new_entries.len() != old_entries.len() {
        return false;
    }
    let same_entries = new_entries
        .iter()
        .zip(old_entries)
        .all(|(new, old)| same_but_for(new, old, &["time"], |_, _, _| false));
    same_entries
        && same_but_for(new, old, &[], |key, new, old| {
            key == "metadata"
                && same_but_for(new, old, &["managedFields", "resourceVersion"], |_, _, _| false)
        })
}

/// Compares two maps member by member; `excuse` may forgive a difference.
fn same_but_for(
    new: &Value,
    old: &Value,
    ignored: &[&str],
    excuse: impl Fn(&str, &Value, &Value) -> bool,
) -> bool {
    let (Some(new), Some(old)) = (new.as_map(), old.as_map()) else { return new == old };
    let counted = |key: &str| !ignored.contains(&key);
    let in_old = |key: &str, new: &Value| old.get(key).is_some_and(|old| old == new || excuse(key, new, old));
    new.iter().filter(|(key, _)| counted(key)).all(|(key, value)| in_old(key, value))
        && old.keys().filter(|key| counted(key)).all(|key| new.contains_key(key))
}

/// Seconds of an RFC 3339 time as the server writes it, for the order only.
fn unix_seconds(time: &str) -> Option<i64> {
    meta::time::parse_rfc3339(time).map(|time| time.as_second())
}
