//! `events` of `events.k8s.io`: the same objects as the core group's, stored
//! once in the core form, shown with other field names.

use std::sync::Arc;

use meta::{ApiError, GroupVersionKind};
use registry::{Backing, Conversion, ResourceDef, StorageDef};
use schema::{Key, Value};

/// `events` of `events.k8s.io`.
pub fn definition() -> ResourceDef {
    let stored = StorageDef {
        kind: GroupVersionKind::new("", "v1", "Event"),
        prefix: "events".into(),
        conversion: Some(Arc::new(Renamed)),
    };
    let regarding = ["apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid"];
    let mut fields: Vec<_> = regarding.iter().map(|field| format!("regarding.{field}").into()).collect();
    fields.extend(["reason", "reportingController", "type"].map(Into::into));
    ResourceDef {
        short_names: vec!["ev".into()],
        selectable_fields: fields,
        backing: Backing::Stored(stored),
        ..crate::core::event::common("events.k8s.io", "Event")
    }
}

/// Fields that only differ in name: here, in the core group.
const NAMES: [(&str, &str); 7] = [
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
];

struct Renamed;

impl Conversion for Renamed {
    fn to_stored(&self, object: Value) -> Result<Value, ApiError> {
        Ok(rename(object, NAMES.map(|(here, core)| (here, core))))
    }

    fn from_stored(&self, object: Value) -> Result<Value, ApiError> {
        Ok(rename(object, NAMES.map(|(here, core)| (core, here))))
    }
}

fn rename(mut object: Value, names: [(&'static str, &'static str); NAMES.len()]) -> Value {
    if let Value::Map(map) = &mut object {
        for (from, to) in names {
            if let Some(value) = map.remove(from) {
                map.insert(Key::borrowed(to), value);
            }
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn there_and_back_is_the_same_event() {
        let here = Value::from(Map::from([("note", "n"), ("reason", "r"), ("reportingController", "c")]));
        let core = Value::from(Map::from([("message", "n"), ("reason", "r"), ("reportingComponent", "c")]));
        assert_eq!(Renamed.to_stored(here.clone()), Ok(core.clone()));
        assert_eq!(Renamed.from_stored(core), Ok(here));
    }
}
