//! `events`: what happened to an object, kept for an hour.
//!
//! Served in two groups over one storage: as `v1 Event` here and as
//! `events.k8s.io/v1 Event`, which names the same fields differently
//! (`crate::events`). Stored in the core form. Nothing collects garbage after them.

use meta::FieldErrors;
use meta::validation::NameValidation;
use registry::{Column, DefaultGarbageCollection, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::print;

/// `events` of the core group.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["ev".into()],
        selectable_fields: FIELDS.iter().map(|(label, _)| (*label).into()).chain(["source".into()]).collect(),
        ..common("", "Event")
    }
}

/// What both groups have in common.
pub(crate) fn common(group: &'static str, kind: &'static str) -> ResourceDef {
    ResourceDef {
        columns: vec![
            Column::string("Last Seen"),
            Column::string("Type"),
            Column::string("Reason"),
            Column::string("Object"),
            Column::string("Subobject").wide(),
            Column::string("Source").wide(),
            Column::string("Message"),
            Column::string("First Seen").wide(),
            Column::string("Count").wide(),
            Column::name().wide(),
        ],
        // The newer group is stricter, in its validation.
        name_validation: NameValidation::PathSegment,
        create_on_update: true,
        garbage_collection: DefaultGarbageCollection::Unsupported,
        ttl_seconds: TTL_SECONDS,
        ..ResourceDef::stored(group, "v1", "events", kind, Event)
    }
}

/// How long an event is kept.
const TTL_SECONDS: i64 = 3600;

/// Selectable fields and where they stand in the stored form.
const FIELDS: [(&str, &[&str]); 10] = [
    ("involvedObject.apiVersion", &["involvedObject", "apiVersion"]),
    ("involvedObject.fieldPath", &["involvedObject", "fieldPath"]),
    ("involvedObject.kind", &["involvedObject", "kind"]),
    ("involvedObject.name", &["involvedObject", "name"]),
    ("involvedObject.namespace", &["involvedObject", "namespace"]),
    ("involvedObject.resourceVersion", &["involvedObject", "resourceVersion"]),
    ("involvedObject.uid", &["involvedObject", "uid"]),
    ("reason", &["reason"]),
    ("reportingComponent", &["reportingComponent"]),
    ("type", &["type"]),
];

/// The strategy of both groups.
pub(crate) struct Event;

impl Strategy for Event {
    fn validate(&self, context: &RequestContext, object: &Value) -> FieldErrors {
        super::event_validation::create(object, requested_version(context))
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        super::event_validation::update(object, old, requested_version(context))
    }

    fn field(&self, object: &Value, label: &str) -> String {
        let label = label.replace("regarding.", "involvedObject.");
        let label = if label == "reportingController" { "reportingComponent" } else { label.as_str() };
        if label == "source" {
            let component = print::text(object, &["source", "component"]);
            return if component.is_empty() {
                print::text(object, &["reportingComponent"])
            } else {
                component
            };
        }
        let path = FIELDS.iter().find(|(known, _)| *known == label).map(|(_, path)| *path);
        path.map(|path| print::text(object, path)).unwrap_or_default()
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let age = |path: &[&str]| object.str_at(path).map(|time| print.since(time));
        let first = age(&["firstTimestamp"]).or_else(|| age(&["eventTime"]));
        let first = first.unwrap_or_else(|| "<unknown>".to_owned());
        let series = object.at(&["series"]).filter(|series| !series.is_null());
        let last = match series {
            Some(_) => age(&["series", "lastObservedTime"]),
            None => age(&["lastTimestamp"]),
        };
        let count = match series {
            Some(series) => print::int(series, &["count"]),
            None => print::int(object, &["count"]).max(1),
        };
        vec![
            last.unwrap_or_else(|| first.clone()).into(),
            print::text(object, &["type"]).into(),
            print::text(object, &["reason"]).into(),
            involved_object(object).into(),
            print::text(object, &["involvedObject", "fieldPath"]).into(),
            source(object).into(),
            print::text(object, &["message"]).trim().into(),
            first.into(),
            count.into(),
            print.name(object).into(),
        ]
    }
}

/// The version asked for, which decides how strictly an event is validated.
fn requested_version(context: &RequestContext) -> &str {
    if context.resource.group.is_empty() { "v1" } else { "events.k8s.io/v1" }
}

fn involved_object(object: &Value) -> String {
    let kind = print::text(object, &["involvedObject", "kind"]).to_lowercase();
    match object.str_at(&["involvedObject", "name"]).filter(|name| !name.is_empty()) {
        Some(name) => format!("{kind}/{name}"),
        None => kind,
    }
}

fn source(object: &Value) -> String {
    let first = |paths: [&[&str]; 2]| {
        let texts = paths.map(|path| print::text(object, path));
        texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
    };
    let component = first([&["source", "component"], &["reportingComponent"]]);
    let instance = first([&["source", "host"], &["reportingInstance"]]);
    if instance.is_empty() { component } else { format!("{component}, {instance}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use schema::Map;

    #[test]
    fn an_event_is_shown_with_its_object_source_and_count() {
        let mut object = Value::from(Map::from([
            ("eventTime", "2024-01-01T00:00:00.000001Z"),
            ("message", "n\n"),
            ("reason", "Test"),
            ("reportingComponent", "golden.example/c"),
            ("reportingInstance", "i"),
            ("type", "Normal"),
        ]));
        object.set(&["metadata", "name"], "a");
        object.set(&["involvedObject"], Map::from([("kind", "Pod"), ("name", "p")]));
        let now: Timestamp = "2024-01-01T00:00:30Z".parse().expect("a timestamp");
        let cells = Event.cells(&object, &PrintContext { now });
        let texts = ["30s", "Normal", "Test", "pod/p", "", "golden.example/c, i", "n", "30s"];
        let mut expected: Vec<Value> = texts.map(Value::from).to_vec();
        expected.extend([Value::from(1), Value::from("a")]);
        assert_eq!(cells, expected);
    }

    #[test]
    fn fields_are_found_under_the_names_of_both_groups() {
        let mut object = Value::map();
        object.set(&["involvedObject", "name"], "p");
        object.set(&["reportingComponent"], "c");
        for (label, expected) in [
            ("involvedObject.name", "p"),
            ("regarding.name", "p"),
            ("reportingController", "c"),
            ("source", "c"),
        ] {
            assert_eq!(Event.field(&object, label), expected, "{label}");
        }
    }
}
