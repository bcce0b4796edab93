//! The set of served resources is closed (INV-12): every resource has a
//! strategy, a place in storage of its own, types in the schema table and
//! columns. Where this fails, the text says what to add.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use registry::{PrintContext, ResourceDef, SubresourceKind};
use resources::Dependencies;
use resources::authentication::{NoTokenIssuer, NoTokens};
use resources::authorization::NoRules;
use schema::Value;
use test_server::TestServer;

/// What kube-apiserver 1.36 serves by default.
const RESOURCES: usize = 68;

fn definitions() -> Vec<ResourceDef> {
    all_definitions().into_iter().filter(|definition| definition.enabled_by_default).collect()
}

/// Those that are off by default, too.
pub fn all_definitions() -> Vec<ResourceDef> {
    resources::all_definitions(&Dependencies {
        tokens: Arc::new(NoTokens),
        token_issuer: Arc::new(NoTokenIssuer),
        rules: Arc::new(NoRules),
    })
}

fn named(definition: &ResourceDef) -> String {
    format!("{} in {}", definition.resource, definition.group_version())
}

#[test]
fn as_many_resources_are_served_as_by_the_original() {
    let names: Vec<String> = definitions().iter().map(named).collect();
    assert_eq!(
        names.len(),
        RESOURCES,
        "a resource is one file in crates/resources/src/<group>/ and one line in its group's `definitions`: {names:#?}"
    );
}

#[test]
fn every_kind_served_or_stored_is_in_the_schema_table() {
    let schema = schema::builtin();
    for definition in all_definitions() {
        let stored = definition.storage().map(|stored| stored.kind.clone());
        // The options of streams are read from the query; they are no bodies.
        let with_body = definition.subresources.iter().filter(|part| part.kind != SubresourceKind::Connect);
        let bodies = with_body.filter_map(|subresource| subresource.body.clone());
        for kind in [definition.gvk()].into_iter().chain(stored).chain(bodies) {
            assert!(
                schema.kind(&kind.group, &kind.version, &kind.kind).is_some(),
                "{}: the schema table has no {kind}; add its type to the facts in crates/schema/facts",
                named(&definition)
            );
        }
    }
}

#[test]
fn every_stored_kind_has_a_place_of_its_own() {
    let mut places: BTreeMap<String, (String, String)> = BTreeMap::new();
    for definition in all_definitions() {
        let Some(stored) = definition.storage() else { continue };
        let prefix = stored.prefix.trim_matches('/').to_owned();
        assert!(!prefix.is_empty(), "{}: give its StorageDef a prefix", named(&definition));
        let holder = (stored.kind.to_string(), named(&definition));
        if let Some((kind, other)) = places.insert(prefix.clone(), holder.clone()) {
            assert_eq!(
                kind, holder.0,
                "{} and {other} share the prefix {prefix:?} but not the kind stored; give one of them a prefix of its own",
                holder.1
            );
        }
    }
    let prefixes: Vec<&String> = places.keys().collect();
    for (first, second) in prefixes.iter().zip(prefixes.iter().skip(1)) {
        assert!(
            !second.starts_with(&format!("{first}/")),
            "objects under {second:?} would be listed with those under {first:?}; choose another prefix"
        );
    }
}

#[test]
fn every_resource_has_columns_verbs_and_names_in_order() {
    for definition in all_definitions() {
        let name = named(&definition);
        assert!(!definition.columns.is_empty(), "{name}: say in its ResourceDef which columns are printed");
        assert!(!definition.verbs.is_empty(), "{name}: say in its ResourceDef which verbs are served");
        assert!(definition.verbs.is_sorted(), "{name}: sort its verbs, discovery lists them as they stand");
        assert!(
            definition.subresources.is_sorted_by_key(|subresource| &subresource.name),
            "{name}: sort its subresources by name, discovery lists them as they stand"
        );
        assert!(
            !definition.singular.is_empty() && !definition.kind.is_empty(),
            "{name}: name singular and kind"
        );
        if definition.has_status() {
            let kind = definition.gvk();
            let schema = schema::builtin();
            let ty = schema.kind(&kind.group, &kind.version, &kind.kind).expect("checked by another test");
            let status = schema.ty(ty).field("status");
            assert!(
                status.is_some(),
                "{name}: there is a subresource status, but its type has no such field"
            );
        }
    }
}

/// The original prints its age, too, but has no column for it.
const CELL_WITHOUT_COLUMN: &str = "ipaddresses";

/// An object may have been stored before a field was known: nothing that is read may need one.
#[test]
fn every_strategy_stands_an_empty_object_and_prints_a_cell_for_each_column() {
    let print = PrintContext { now: Timestamp::UNIX_EPOCH };
    for definition in all_definitions() {
        let mut object = Value::map();
        definition.strategy.default(&mut object);
        for label in &definition.selectable_fields {
            definition.strategy.field(&object, label);
        }
        let columns = definition.columns.len() + usize::from(definition.resource == CELL_WITHOUT_COLUMN);
        let cells = definition.strategy.cells(&object, &print).len();
        assert_eq!(
            cells,
            columns,
            "{}: `cells` must return a cell for each of its columns",
            named(&definition)
        );
    }
}

#[tokio::test]
async fn every_resource_of_the_table_is_discovered_and_its_collection_answers() {
    let server = TestServer::start().await.unwrap();
    let client = server.client().unwrap();
    for definition in definitions() {
        let name = named(&definition);
        let root = match definition.group.as_ref() {
            "" => format!("/api/{}", definition.version),
            group => format!("/apis/{group}/{}", definition.version),
        };
        let discovered = client.get(&root).await.unwrap().json();
        let listed = discovered["resources"].as_array().expect("a resource list").clone();
        assert!(
            listed.iter().any(|resource| resource["name"] == definition.resource.as_ref()),
            "{name} is not in discovery: is its group in `resources::definitions`?"
        );
        if definition.serves("list") {
            for accept in ["application/json", TABLE] {
                let request = http::Request::get(format!("{root}/{}", definition.resource))
                    .header("Accept", accept)
                    .body(Default::default())
                    .unwrap();
                let answer = client.request(request).await.unwrap();
                assert_eq!(answer.status, 200, "{name} as {accept}: {}", answer.text());
            }
        }
    }
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
