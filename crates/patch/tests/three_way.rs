//! Strategic merge against its definition: from what was applied last, what is
//! to be applied, and what stands there, a patch is made that deletes what the
//! first had and the second has not, and sets what differs. What comes of it
//! must be the three-way merge of the objects themselves. And merging of
//! configurations is associative, up to the order of lists.

use std::collections::{BTreeMap, BTreeSet};

use patch::apply::{Typed, merge};
use patch::{StrategicPatch, merge_patch, strategic};
use proptest::prelude::*;
use schema::{Map, TypeId, Value, builtin};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A Deployment, as far as it matters: scalars, maps, sets, keyed lists in keyed lists, atomic lists.
#[derive(Clone, Debug, Default, PartialEq)]
struct Deployment {
    replicas: Option<u8>,
    labels: BTreeMap<&'static str, u8>,
    finalizers: BTreeSet<&'static str>,
    containers: BTreeMap<&'static str, Container>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Container {
    image: Option<u8>,
    args: Option<Vec<u8>>,
    env: BTreeMap<&'static str, u8>,
}

fn names<T: std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = BTreeMap<&'static str, T>> {
    prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), value, 0..4)
}

fn deployments() -> impl Strategy<Value = Deployment> {
    let args = prop::option::of(prop::collection::vec(0..3u8, 1..3));
    let container = (prop::option::of(0..3u8), args, names(0..3u8));
    let container = container.prop_map(|(image, args, env)| Container { image, args, env });
    let finalizers = prop::collection::btree_set(prop::sample::select(NAMES.to_vec()), 0..4);
    let parts = (prop::option::of(0..3u8), names(0..3u8), finalizers, names(container));
    parts.prop_map(|(replicas, labels, finalizers, containers)| Deployment {
        replicas,
        labels,
        finalizers,
        containers,
    })
}

/// `new` where it says something, nothing where only `last` did, else `live`.
fn one<T: Clone>(last: &Option<T>, new: &Option<T>, live: &Option<T>) -> Option<T> {
    match (last, new) {
        (_, Some(new)) => Some(new.clone()),
        (Some(_), None) => None,
        (None, None) => live.clone(),
    }
}

fn three_way_map<T: Clone + Default>(
    last: &BTreeMap<&'static str, T>,
    new: &BTreeMap<&'static str, T>,
    live: &BTreeMap<&'static str, T>,
    both: impl Fn(&T, &T, Option<&T>) -> T,
) -> BTreeMap<&'static str, T> {
    let nothing = T::default();
    let mut merged = live.clone();
    merged.retain(|name, _| !last.contains_key(name) || new.contains_key(name));
    for (name, value) in new {
        let value = both(last.get(name).unwrap_or(&nothing), value, live.get(name));
        merged.insert(name, value);
    }
    merged
}

fn three_way(last: &Deployment, new: &Deployment, live: &Deployment) -> Deployment {
    let plain = |_: &u8, new: &u8, _: Option<&u8>| *new;
    let container = |last: &Container, new: &Container, live: Option<&Container>| {
        let nothing = Container::default();
        let live = live.unwrap_or(&nothing);
        Container {
            image: one(&last.image, &new.image, &live.image),
            args: one(&last.args, &new.args, &live.args),
            env: three_way_map(&last.env, &new.env, &live.env, plain),
        }
    };
    let dropped: BTreeSet<_> = last.finalizers.difference(&new.finalizers).copied().collect();
    Deployment {
        replicas: one(&last.replicas, &new.replicas, &live.replicas),
        labels: three_way_map(&last.labels, &new.labels, &live.labels, plain),
        finalizers: live.finalizers.difference(&dropped).chain(&new.finalizers).copied().collect(),
        containers: three_way_map(&last.containers, &new.containers, &live.containers, container),
    }
}

fn text(value: u8) -> Value {
    Value::from(value.to_string().as_str())
}

fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> Value {
    Value::List(values.into_iter().map(Value::from).collect())
}

/// Changes from `live` to `new`, and nulls for what only `last` had.
fn map_patch(
    last: &BTreeMap<&'static str, u8>,
    new: &BTreeMap<&'static str, u8>,
    live: &BTreeMap<&'static str, u8>,
) -> Map {
    let gone = last.keys().filter(|name| !new.contains_key(*name)).map(|name| (*name, Value::Null));
    let set = new.iter().filter(|(name, value)| live.get(*name) != Some(value));
    gone.chain(set.map(|(name, value)| (*name, text(*value)))).collect()
}

fn option_patch(
    patch: &mut Map,
    key: &'static str,
    last: Option<&Value>,
    new: Option<Value>,
    live: Option<&Value>,
) {
    match (last, new) {
        (_, Some(new)) if live != Some(&new) => _ = patch.insert(key, new),
        (Some(_), None) => _ = patch.insert(key, Value::Null),
        _ => {}
    }
}

fn deletion(name: &str) -> Value {
    Value::Map([("name", name), ("$patch", "delete")].into_iter().collect())
}

fn env_patch(last: &Container, new: &Container, live: &Container) -> Vec<Value> {
    let item = |(name, value): (&str, Value)| match value {
        Value::Null => deletion(name),
        value => Value::Map([("name", Value::from(name)), ("value", value)].into_iter().collect()),
    };
    map_patch(&last.env, &new.env, &live.env)
        .iter()
        .map(|(name, value)| item((name, value.clone())))
        .collect()
}

fn args(container: &Container) -> Option<Value> {
    container.args.as_ref().map(|args| Value::List(args.iter().map(|arg| text(*arg)).collect()))
}

fn container_patch(name: &str, last: &Container, new: &Container, live: &Container) -> Value {
    let mut patch = Map::from([("name", Value::from(name))]);
    let image = |container: &Container| container.image.map(text);
    option_patch(&mut patch, "image", image(last).as_ref(), image(new), image(live).as_ref());
    option_patch(&mut patch, "args", args(last).as_ref(), args(new), args(live).as_ref());
    let env = env_patch(last, new, live);
    if !env.is_empty() {
        patch.insert("env", Value::List(env));
    }
    Value::Map(patch)
}

fn patch_of(last: &Deployment, new: &Deployment, live: &Deployment) -> Value {
    let mut patch = Value::map();
    let mut spec = Map::new();
    let replicas = |deployment: &Deployment| deployment.replicas.map(|count| Value::Int(count.into()));
    option_patch(&mut spec, "replicas", replicas(last).as_ref(), replicas(new), replicas(live).as_ref());
    patch.set(&["spec"], spec);
    patch.set(&["metadata", "labels"], map_patch(&last.labels, &new.labels, &live.labels));
    let gone = last.finalizers.difference(&new.finalizers).copied();
    patch.set(&["metadata", "$deleteFromPrimitiveList/finalizers"], texts(gone));
    patch.set(&["metadata", "finalizers"], texts(new.finalizers.difference(&live.finalizers).copied()));
    let gone = last.containers.keys().filter(|name| !new.containers.contains_key(*name));
    let mut containers: Vec<Value> = gone.map(|name| deletion(name)).collect();
    for (name, container) in &new.containers {
        let of = |deployment: &Deployment| deployment.containers.get(name).cloned();
        // Deletions inside an item that does not stand there would be added with it.
        let last = of(live).and(of(last)).unwrap_or_default();
        containers.push(container_patch(name, &last, container, &of(live).unwrap_or_default()));
    }
    patch.set(&["spec", "template", "spec", "containers"], Value::List(containers));
    patch
}

/// The whole object as a document.
fn document(deployment: &Deployment) -> Value {
    let nothing = Deployment::default();
    let mut document = patch_of(&nothing, deployment, &nothing);
    if let Some(Value::Map(metadata)) = document.get_mut("metadata") {
        metadata.remove("$deleteFromPrimitiveList/finalizers");
    }
    document
}

fn known(text: &str) -> &'static str {
    NAMES.into_iter().find(|name| *name == text).expect("a name of ours")
}

fn number(value: &Value) -> u8 {
    value.as_str().and_then(|text| text.parse().ok()).expect("a number as text")
}

/// Back from a document; what is empty is not there.
fn read(document: &Value) -> Deployment {
    let container = |item: &Value| Container {
        image: item.get("image").map(number),
        args: item.get("args").and_then(Value::as_list).map(|args| args.iter().map(number).collect()),
        env: item
            .list_at(&["env"])
            .iter()
            .map(|item| {
                (
                    known(item.str_at(&["name"]).expect("a name")),
                    number(&item.get("value").cloned().expect("a value")),
                )
            })
            .collect(),
    };
    let containers = document.list_at(&["spec", "template", "spec", "containers"]);
    Deployment {
        replicas: document.int_at(&["spec", "replicas"]).map(|count| u8::try_from(count).expect("small")),
        labels: document
            .map_at(&["metadata", "labels"])
            .into_iter()
            .flat_map(Map::iter)
            .map(|(name, value)| (known(name), number(value)))
            .collect(),
        finalizers: document
            .list_at(&["metadata", "finalizers"])
            .iter()
            .map(|item| known(item.as_str().expect("text")))
            .collect(),
        containers: containers
            .iter()
            .map(|item| (known(item.str_at(&["name"]).expect("a name")), container(item)))
            .collect(),
    }
}

fn ty() -> TypeId {
    builtin().kind("apps", "v1", "Deployment").expect("a built-in kind")
}

fn apply(document: &Value, patch: &Value) -> Value {
    let mut json = Vec::new();
    codec::json::encode_any(patch, &mut json);
    strategic::apply(builtin(), ty(), document, &json).expect("a good patch")
}

proptest! {
    #[test]
    fn a_strategic_patch_does_what_its_three_way_definition_says(
        last in deployments(), new in deployments(), live in deployments()
    ) {
        let patched = apply(&document(&live), &patch_of(&last, &new, &live));
        prop_assert_eq!(read(&patched), three_way(&last, &new, &live));
    }

    #[test]
    fn a_strategic_patch_applied_twice_is_applied_once(
        last in deployments(), new in deployments(), live in deployments()
    ) {
        let patch = patch_of(&last, &new, &live);
        let once = apply(&document(&live), &patch);
        prop_assert_eq!(apply(&once, &patch), once);
    }

    #[test]
    fn many_keys_change_as_few_do(
        live in prop::collection::btree_map("[a-z]{1,3}", 0..3u8, 0..200),
        change in prop::collection::btree_map("[a-z]{1,3}", prop::option::of(0..3u8), 0..200),
    ) {
        let mut object = Value::map();
        object.set(&["data"], live.iter().map(|(key, value)| (key.as_str(), text(*value))).collect::<Map>());
        let changes = |(key, value): (&String, &Option<u8>)| (key.clone(), value.map_or(Value::Null, text));
        let data: Map = change.iter().map(changes).collect();
        let mut patch = Value::map();
        patch.set(&["data"], data);
        let mut json = Vec::new();
        codec::json::encode_any(&patch, &mut json);
        let mut expected = live;
        for (key, value) in change {
            match value {
                Some(value) => _ = expected.insert(key, value),
                None => _ = expected.remove(&key),
            }
        }
        let config_map = builtin().kind("", "v1", "ConfigMap").expect("a built-in kind");
        let strategic = StrategicPatch::parse(&json, None).and_then(|patch| patch.apply(builtin(), config_map, object.clone()));
        let merged = merge_patch::apply(&object, &json);
        for patched in [strategic.expect("a good patch"), merged.expect("a good patch")] {
            let data = patched.map_at(&["data"]).cloned().unwrap_or_default();
            let data: BTreeMap<String, u8> = data.iter().map(|(key, value)| (key.to_owned(), number(value))).collect();
            prop_assert_eq!(&data, &expected);
        }
    }

    #[test]
    fn merging_configurations_is_associative_up_to_order(
        a in deployments(), b in deployments(), c in deployments()
    ) {
        let typed = Typed { schema: builtin(), ty: ty(), zeros: false };
        let [a, b, c] = [a, b, c].map(|deployment| document(&deployment));
        let left = merge(typed, &merge(typed, &a, &b), &c);
        let right = merge(typed, &a, &merge(typed, &b, &c));
        prop_assert_eq!(read(&left), read(&right));
    }
}
