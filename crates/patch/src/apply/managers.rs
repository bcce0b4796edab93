//! `metadata.managedFields`: who owns what, since when.
//!
//! Owns reading and writing the entries, their order, and the limit on how
//! many managers of updates are kept apart.

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
        let mut managers = Managers::default();
        for (index, entry) in entries.iter().enumerate() {
            managers.put(Manager::decode(index, entry, trusted)?);
        }
        Ok(managers)
    }

    /// The entries in the original's order; none for no managers.
    pub fn encode(mut self) -> Option<Value> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.sort_by(|a, b| {
            let seconds = |manager: &Manager| manager.time.as_deref().and_then(unix_seconds).unwrap_or(0);
            let order = a.operation.cmp(&b.operation).then_with(|| seconds(a).cmp(&seconds(b)));
            let order = order.then_with(|| a.name.cmp(&b.name));
            let order = order.then_with(|| a.fields_version.cmp(&b.fields_version));
            order.then_with(|| a.subresource.cmp(&b.subresource))
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
        self.entries.iter().find(|other| other.is_same(manager))
    }

    /// Puts an entry in the place of that of the same manager.
    pub fn put(&mut self, manager: Manager) {
        self.take(&manager);
        self.entries.push(manager);
    }

    /// Takes out the entry of a manager.
    pub fn take(&mut self, manager: &Manager) -> Option<Manager> {
        let found = self.entries.iter().position(|other| other.is_same(manager))?;
        Some(self.entries.swap_remove(found))
    }

    /// Changes each entry; those whose manager owns nothing afterwards, or for
    /// which `change` says no, are dropped.
    pub(crate) fn change(&mut self, mut change: impl FnMut(&mut Manager) -> bool) {
        self.entries.retain_mut(|manager| change(manager) && !manager.fields.is_empty());
    }

    /// Merges the oldest managers of updates where there are too many.
    pub(crate) fn cap(&mut self) {
        let mut updaters: Vec<Manager> =
            self.entries.iter().filter(|manager| manager.operation == Operation::Update).cloned().collect();
        if updaters.len() <= UPDATE_MANAGERS_MAX {
            return;
        }
        let seconds = |manager: &Manager| manager.time.as_deref().and_then(unix_seconds).unwrap_or(0);
        updaters.sort_by(|a, b| {
            seconds(a).cmp(&seconds(b)).then_with(|| {
                (&a.name, &a.api_version, &a.subresource).cmp(&(&b.name, &b.api_version, &b.subresource))
            })
        });
        let mut length = updaters.len();
        let mut firsts: Vec<&Manager> = Vec::new();
        for manager in &updaters {
            if length <= UPDATE_MANAGERS_MAX {
                return;
            }
            match firsts.iter().find(|first| first.fields_version == manager.fields_version) {
                Some(first) => {
                    self.merge_into_bucket(first, manager);
                    length -= 1;
                }
                None => firsts.push(manager),
            }
        }
    }

    /// Moves what `manager` owns to the bucket of its version, made of what
    /// `first` owns where there is none.
    fn merge_into_bucket(&mut self, first: &Manager, manager: &Manager) {
        let bucket = Manager {
            name: ANCIENT_CHANGES.to_owned(),
            api_version: manager.fields_version.clone(),
            subresource: String::new(),
            fields: Fields::default(),
            ..manager.clone()
        };
        let gathered = match self.take(&bucket) {
            Some(bucket) => bucket.fields,
            None => self.take(first).map(|first| first.fields).unwrap_or_default(),
        };
        let merged = self.take(manager).map(|manager| manager.fields).unwrap_or_default();
        let fields = gathered.set().clone().union(merged.set().clone()).into();
        self.put(Manager { fields, ..bucket });
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
