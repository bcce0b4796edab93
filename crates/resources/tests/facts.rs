//! The built-in resources against the facts about the original: every
//! resource served, its columns, and where and as what it is stored. The facts
//! are found through `PINTLE_SHARED`.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use registry::{ResourceDef, Subresource};
use resources::Dependencies;
use resources::authentication::{NoTokenIssuer, NoTokens};
use resources::authorization::NoRules;
use schema::Value;

#[test]
fn what_is_served_is_what_the_original_serves() {
    let Some(facts) = read("resources.json") else { return };
    let definitions = definitions();
    let mut wrong = Vec::new();
    for fact in facts.as_list().unwrap_or_default() {
        let of = |key: &str| fact.str_at(&[key]).unwrap_or_default();
        let name = (of("group"), of("version"), of("resource"));
        let Some(def) = definitions
            .iter()
            .find(|def| (def.group.as_ref(), def.version.as_ref(), def.resource.as_ref()) == name)
        else {
            wrong.push(format!("{name:?} is not defined: add a file and a line in its group"));
            continue;
        };
        let own = [
            describe(&def.kind, &def.singular, def.namespaced),
            texts(&def.verbs),
            texts(&def.short_names),
            texts(&def.categories),
            subresources(def),
        ];
        let namespaced = fact.bool_at(&["namespaced"]).unwrap_or_default();
        let recorded = [
            describe(of("kind"), of("singular"), namespaced),
            list(fact, "verbs"),
            list(fact, "shortNames"),
            list(fact, "categories"),
            recorded_subresources(fact),
        ];
        if own != recorded {
            wrong.push(format!("{name:?}\n  own      {own:?}\n  recorded {recorded:?}"));
        }
    }
    let count = facts.as_list().unwrap_or_default().len();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(definitions.len(), count, "no more is served than the original serves");
}

#[test]
fn columns_are_those_of_the_original() {
    let Some(facts) = read("columns.json") else { return };
    let mut wrong = Vec::new();
    for def in definitions() {
        let key = match def.group.as_ref() {
            "" => format!("{}/{}", def.version, def.resource),
            group => format!("{group}/{}/{}", def.version, def.resource),
        };
        let Some(columns) = facts.get(&key).and_then(Value::as_list) else { continue };
        let recorded: Vec<String> = columns
            .iter()
            .map(|column| {
                let of = |key: &str| column.str_at(&[key]).unwrap_or_default();
                format!(
                    "{} {} {} {}",
                    of("name"),
                    of("type"),
                    of("format"),
                    column.bool_at(&["wide"]).unwrap_or_default()
                )
            })
            .collect();
        let own: Vec<String> =
            def.columns.iter().map(|c| format!("{} {} {} {}", c.name, c.kind, c.format, c.wide)).collect();
        if own != recorded {
            wrong.push(format!("{key}\n  own      {own:?}\n  recorded {recorded:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn objects_are_stored_where_and_as_what_the_original_stores_them() {
    let Some(facts) = read("stored.json") else { return };
    let definitions = definitions();
    let mut wrong = Vec::new();
    for stored in facts.as_list().unwrap_or_default() {
        let of = |path: &[&str]| stored.str_at(path).unwrap_or_default();
        let kind = of(&["object", "kind"]);
        let api_version = of(&["object", "apiVersion"]);
        let Some(def) = definitions.iter().find(|def| {
            def.kind == kind && def.group_version().to_string() == api_version && def.storage().is_some()
        }) else {
            continue;
        };
        let storage = def.storage().expect("found as stored");
        let bytes = STANDARD.decode(of(&["value"])).expect("values are base64");
        // What is stored as JSON in an older form is another file's test.
        if let Ok(envelope) = codec::protobuf::envelope::unwrap(&bytes) {
            let own = (storage.kind.api_version(), storage.kind.kind.to_string());
            let recorded = (envelope.api_version.to_string(), envelope.kind.to_string());
            if own != recorded {
                wrong.push(format!("{kind}: stored as {own:?}, recorded {recorded:?}"));
            }
        }
        let key = of(&["key"]).strip_prefix("/registry/").unwrap_or_default();
        let (namespace, name) =
            (of(&["object", "metadata", "namespace"]), of(&["object", "metadata", "name"]));
        let own = match def.namespaced {
            true => format!("{}/{namespace}/{name}", storage.prefix),
            false => format!("{}/{name}", storage.prefix),
        };
        if own != key {
            wrong.push(format!("{kind}: key {own}, recorded {key}"));
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn describe(kind: &str, singular: &str, namespaced: bool) -> Vec<String> {
    vec![kind.to_owned(), singular.to_owned(), namespaced.to_string()]
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

fn list(fact: &Value, key: &str) -> Vec<String> {
    fact.list_at(&[key]).iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

fn subresources(def: &ResourceDef) -> Vec<String> {
    let one = |sub: &Subresource| {
        let kind = match &sub.body {
            Some(body) if body.group_version() != def.group_version() => {
                format!("{}/{}", body.api_version(), body.kind)
            }
            Some(body) => body.kind.to_string(),
            None => def.kind.to_string(),
        };
        format!("{} {} {kind}", sub.name, sub.verbs.join(","))
    };
    def.subresources.iter().map(one).collect()
}

fn recorded_subresources(fact: &Value) -> Vec<String> {
    let one = |sub: &Value| {
        let of = |key: &str| sub.str_at(&[key]).unwrap_or_default().to_owned();
        format!("{} {} {}", of("name"), list(sub, "verbs").join(","), of("kind"))
    };
    fact.list_at(&["subresources"]).iter().map(one).collect()
}

fn read(name: &str) -> Option<Value> {
    let Some(shared) = std::env::var_os("PINTLE_SHARED") else {
        eprintln!("left out: PINTLE_SHARED does not name the folder of facts");
        return None;
    };
    let bytes =
        std::fs::read(PathBuf::from(shared).join("kubernetes-1.36").join(name)).expect("facts are readable");
    Some(codec::json::decode_any(&bytes).expect("facts are JSON"))
}

fn definitions() -> Vec<ResourceDef> {
    let dependencies = Dependencies {
        tokens: Arc::new(NoTokens),
        token_issuer: Arc::new(NoTokenIssuer),
        rules: Arc::new(NoRules),
    };
    resources::definitions(&dependencies)
}
