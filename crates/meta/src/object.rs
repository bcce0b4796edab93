//! A view of `metadata` on an object's tree. Reads give empty text or none for
//! what is absent; writes drop what is set to empty, as Go's `omitempty` would.

use schema::{Key, Map, Value};

use crate::revision::{ResourceVersion, Revision};

/// Reads metadata.
#[derive(Clone, Copy, Debug)]
pub struct ObjectMeta<'a>(Option<&'a Map>);

/// Reads and writes metadata.
#[derive(Debug)]
pub struct ObjectMetaMut<'a>(&'a mut Map);

static EMPTY: Map = Map::new();

impl<'a> ObjectMeta<'a> {
    /// The metadata of `object`.
    pub fn of(object: &'a Value) -> ObjectMeta<'a> {
        ObjectMeta(object.map_at(&["metadata"]))
    }

    fn text(&self, key: &str) -> &'a str {
        self.0.and_then(|map| map.str(key)).unwrap_or_default()
    }

    fn map(&self, key: &str) -> &'a Map {
        self.0.and_then(|map| map.get(key)?.as_map()).unwrap_or(&EMPTY)
    }

    fn list(&self, key: &str) -> &'a [Value] {
        self.0.and_then(|map| map.get(key)?.as_list()).unwrap_or_default()
    }

    /// `name`
    pub fn name(&self) -> &'a str {
        self.text("name")
    }

    /// `generateName`
    pub fn generate_name(&self) -> &'a str {
        self.text("generateName")
    }

    /// `namespace`
    pub fn namespace(&self) -> &'a str {
        self.text("namespace")
    }

    /// `uid`
    pub fn uid(&self) -> &'a str {
        self.text("uid")
    }

    /// `resourceVersion`
    pub fn resource_version(&self) -> ResourceVersion {
        ResourceVersion(self.text("resourceVersion").to_owned())
    }

    /// `generation`, 0 if absent.
    pub fn generation(&self) -> i64 {
        self.0.and_then(|map| map.get("generation")?.as_int()).unwrap_or_default()
    }

    /// `creationTimestamp` as RFC 3339, empty if absent.
    pub fn creation_timestamp(&self) -> &'a str {
        self.text("creationTimestamp")
    }

    /// `deletionTimestamp` as RFC 3339.
    pub fn deletion_timestamp(&self) -> Option<&'a str> {
        self.0?.str("deletionTimestamp")
    }

    /// `deletionGracePeriodSeconds`
    pub fn deletion_grace_period_seconds(&self) -> Option<i64> {
        self.0?.get("deletionGracePeriodSeconds")?.as_int()
    }

    /// `labels`
    pub fn labels(&self) -> &'a Map {
        self.map("labels")
    }

    /// `annotations`
    pub fn annotations(&self) -> &'a Map {
        self.map("annotations")
    }

    /// `finalizers`
    pub fn finalizers(&self) -> impl Iterator<Item = &'a str> {
        self.list("finalizers").iter().filter_map(Value::as_str)
    }

    /// `ownerReferences`
    pub fn owner_references(&self) -> &'a [Value] {
        self.list("ownerReferences")
    }

    /// `managedFields`
    pub fn managed_fields(&self) -> &'a [Value] {
        self.list("managedFields")
    }
}

impl<'a> ObjectMetaMut<'a> {
    /// The metadata of `object`, made where it is missing.
    pub fn of(object: &'a mut Value) -> ObjectMetaMut<'a> {
        ObjectMetaMut(object.ensure_map(&["metadata"]))
    }

    /// The same, to read.
    pub fn view(&self) -> ObjectMeta<'_> {
        ObjectMeta(Some(self.0))
    }

    /// The map itself.
    pub fn map(&mut self) -> &mut Map {
        self.0
    }

    fn set(&mut self, key: &'static str, value: Option<Value>) {
        match value {
            Some(value) => {
                self.0.insert(Key::borrowed(key), value);
            }
            None => {
                self.0.remove(key);
            }
        }
    }

    fn set_text(&mut self, key: &'static str, text: impl Into<String>) {
        let text = text.into();
        self.set(key, (!text.is_empty()).then_some(Value::String(text)));
    }

    /// `name`
    pub fn set_name(&mut self, name: impl Into<String>) {
        self.set_text("name", name);
    }

    /// `namespace`
    pub fn set_namespace(&mut self, namespace: impl Into<String>) {
        self.set_text("namespace", namespace);
    }

    /// `uid`
    pub fn set_uid(&mut self, uid: impl Into<String>) {
        self.set_text("uid", uid);
    }

    /// `resourceVersion`; 0 removes it (A-VER-1).
    pub fn set_resource_version(&mut self, revision: Revision) {
        self.set("resourceVersion", (revision.0 != 0).then(|| Value::String(revision.to_string())));
    }

    /// `generation`; 0 removes it.
    pub fn set_generation(&mut self, generation: i64) {
        self.set("generation", (generation != 0).then_some(Value::Int(generation)));
    }

    /// `creationTimestamp`, RFC 3339; empty removes it.
    pub fn set_creation_timestamp(&mut self, time: impl Into<String>) {
        self.set_text("creationTimestamp", time);
    }

    /// `deletionTimestamp`, RFC 3339.
    pub fn set_deletion_timestamp(&mut self, time: Option<String>) {
        self.set("deletionTimestamp", time.map(Value::String));
    }

    /// `deletionGracePeriodSeconds`
    pub fn set_deletion_grace_period_seconds(&mut self, seconds: Option<i64>) {
        self.set("deletionGracePeriodSeconds", seconds.map(Value::Int));
    }

    /// `finalizers`; none removes the list.
    pub fn set_finalizers(&mut self, finalizers: Vec<String>) {
        self.set("finalizers", (!finalizers.is_empty()).then(|| finalizers.into()));
    }
}
