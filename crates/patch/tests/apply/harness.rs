//! An object, written to as a server would: update, apply, scale.

use std::borrow::Cow;

use meta::{ApiError, ObjectMeta};
use patch::apply::{FieldManager, FieldSet, Typed, Versions, Writer};
use schema::{Schema, TypeId, Value};

/// One version of a built-in kind.
pub struct Kind {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub ty: TypeId,
}

impl Versions for Kind {
    fn typed(&self, api_version: &str) -> Option<Typed<'_>> {
        (api_version == self.api_version).then(|| Typed { schema: schema(), ty: self.ty, zeros: true })
    }

    fn from_stored<'v>(&self, _: &str, object: &'v Value) -> Result<Cow<'v, Value>, ApiError> {
        Ok(Cow::Borrowed(object))
    }

    fn to_stored(&self, _: &str, object: Value) -> Result<Value, ApiError> {
        Ok(object)
    }
}

pub fn schema() -> &'static Schema {
    schema::builtin()
}

pub fn json(text: &str) -> Value {
    codec::json::decode_any(text.as_bytes()).expect("JSON")
}

/// A stored object with its history of writes.
pub struct Stored {
    pub kind: Kind,
    pub object: Value,
    pub reset: FieldSet,
    pub subresource: &'static str,
    pub only: &'static [&'static [&'static str]],
    seconds: u32,
}

impl Stored {
    pub fn new(group: &str, version: &str, kind: &'static str, api_version: &'static str) -> Stored {
        let ty = schema().kind(group, version, kind).expect("a kind of the table");
        Stored {
            kind: Kind { api_version, kind, ty },
            object: Value::map(),
            reset: FieldSet::new(),
            subresource: "",
            only: &[],
            seconds: 0,
        }
    }

    pub fn config_map() -> Stored {
        Stored::new("", "v1", "ConfigMap", "v1")
    }

    pub fn deployment() -> Stored {
        Stored::new("apps", "v1", "Deployment", "apps/v1")
    }

    fn with_manager<R>(&mut self, name: &str, work: impl FnOnce(FieldManager<'_>, &Value) -> R) -> R {
        self.seconds += 1;
        let now = format!("2026-01-01T00:{:02}:{:02}Z", self.seconds / 60, self.seconds % 60);
        let writer = Writer {
            manager: name,
            api_version: self.kind.api_version,
            kind: self.kind.kind,
            subresource: self.subresource,
            now: &now,
            reset: &self.reset,
            only: self.only,
        };
        work(FieldManager::new(&self.kind, writer), &self.object)
    }

    /// An update; `body` is what the client sends.
    pub fn update(&mut self, manager: &str, body: &str) {
        let mut new = self.typed(&json(body)).expect("of the type");
        self.with_manager(manager, |manager, old| manager.update(old, &mut new));
        self.store(new);
    }

    /// An apply; the refusal is the text of the error.
    pub fn apply(&mut self, manager: &str, force: bool, configuration: &str) -> Result<(), String> {
        let configuration = json(configuration);
        let applied = self
            .with_manager(manager, |manager, live| manager.apply(live, &configuration, force))
            .map_err(|error| error.to_string())?;
        let mut object = match applied.object {
            None => self.object.clone(),
            Some(document) => self.typed(&document)?,
        };
        let metadata = object.ensure_map(&["metadata"]);
        metadata.remove("managedFields");
        if let Some(entries) = applied.managed_fields {
            metadata.insert("managedFields", entries);
        }
        self.store(object);
        Ok(())
    }

    fn typed(&self, document: &Value) -> Result<Value, String> {
        codec::json::typed(schema(), self.kind.ty, document, None).map_err(|error| error.to_string())
    }

    fn store(&mut self, mut object: Value) {
        object.set(&["metadata", "uid"], "u");
        self.object = object;
    }

    /// `manager operation [subresource] fields`, a line per entry.
    pub fn managers(&self) -> Vec<String> {
        let entries = ObjectMeta::of(&self.object).managed_fields();
        let text =
            |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let line = |entry: &Value| {
            let Some(Value::Raw(fields)) = entry.get("fieldsV1") else { panic!("{entry:?}") };
            let words = [
                text(entry, "manager"),
                text(entry, "operation"),
                text(entry, "subresource"),
                fields.to_string(),
            ];
            words.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(" ")
        };
        entries.iter().map(line).collect()
    }

    /// When a manager's fields last changed; none if it owns nothing.
    pub fn time_of(&self, manager: &str) -> Option<String> {
        let entries = ObjectMeta::of(&self.object).managed_fields();
        let entry = entries.iter().find(|entry| entry.str_at(&["manager"]) == Some(manager))?;
        Some(entry.str_at(&["time"]).unwrap_or_default().to_owned())
    }
}
