//! Items of a keyed list against an obviously correct model: which items with
//! which fields a Deployment has, and the whole field set of each manager,
//! after any sequence of applies and updates.

use std::collections::{BTreeMap, BTreeSet};

use patch::apply::{Managers, Operation};
use proptest::prelude::*;

use crate::harness::Stored;

/// Containers by name, their fields by name.
type Containers = BTreeMap<&'static str, BTreeMap<&'static str, u8>>;
/// A container and what of it: empty for the item itself.
type Path = (&'static str, &'static str);
/// Name, and whether it applies.
type Owner = (&'static str, bool);

const NAMES: [&str; 3] = ["a", "b", "c"];
const FIELDS: [&str; 2] = ["image", "workingDir"];
const MANAGERS: [&str; 3] = ["x", "y", "z"];
/// Never changes, so that the list never comes or goes.
const ANCHOR: &str = "anchor";

#[derive(Clone, Debug)]
struct Step {
    manager: &'static str,
    applies: bool,
    force: bool,
    containers: Containers,
}

#[derive(Default)]
struct Model {
    containers: Containers,
    owned: BTreeMap<Owner, BTreeSet<Path>>,
}

/// What a configuration names.
fn named(containers: &Containers) -> BTreeSet<Path> {
    let of_item = |(name, fields): (&&'static str, &BTreeMap<&'static str, u8>)| {
        let name = *name;
        let all = ["", "name"].into_iter().chain(fields.keys().copied());
        all.map(|field| (name, field)).collect::<Vec<_>>()
    };
    containers.iter().flat_map(of_item).collect()
}

/// Everything there is, with its value. `resources` is a struct that Go always writes.
fn all(containers: &Containers) -> BTreeMap<Path, u8> {
    let mut all = BTreeMap::new();
    for (name, fields) in containers {
        all.extend(["", "name", "resources"].map(|field| ((*name, field), 0)));
        all.extend(fields.iter().map(|(field, value)| ((*name, *field), *value)));
    }
    all
}

impl Model {
    fn step(&mut self, step: &Step) -> bool {
        if step.applies { self.apply(step) } else { self.update(step) }
    }

    fn update(&mut self, step: &Step) -> bool {
        let (old, new) = (all(&self.containers), all(&step.containers));
        let differs: BTreeSet<Path> =
            old.keys().chain(new.keys()).filter(|path| old.get(*path) != new.get(*path)).copied().collect();
        self.owned.values_mut().for_each(|paths| paths.retain(|path| !differs.contains(path)));
        let mine = self.owned.entry((step.manager, false)).or_default();
        mine.extend(differs.into_iter().filter(|path| new.contains_key(path)));
        self.containers = step.containers.clone();
        true
    }

    fn apply(&mut self, step: &Step) -> bool {
        let me = (step.manager, true);
        let named = named(&step.containers);
        let mut merged = self.containers.clone();
        for (name, fields) in &step.containers {
            merged.entry(name).or_default().extend(fields.iter().map(|(field, value)| (*field, *value)));
        }
        let (old, new) = (all(&self.containers), all(&merged));
        let changed: BTreeSet<Path> = new
            .iter()
            .filter(|(path, value)| old.get(*path) != Some(*value))
            .map(|(path, _)| *path)
            .collect();
        let others = |owned: &BTreeMap<Owner, BTreeSet<Path>>, path: &Path| {
            owned.iter().any(|(owner, paths)| *owner != me && paths.contains(path))
        };
        if !step.force && changed.iter().any(|path| others(&self.owned, path)) {
            return false;
        }
        let last = self.owned.remove(&me).unwrap_or_default();
        for path in last.difference(&named).filter(|path| !others(&self.owned, path)) {
            match path {
                (name, "") => _ = merged.remove(name),
                (name, field) => _ = merged.get_mut(name).map(|fields| fields.remove(field)),
            }
        }
        let left = all(&merged);
        let gone = |path: &Path| old.contains_key(path) && !left.contains_key(path);
        self.owned.values_mut().for_each(|paths| paths.retain(|path| !changed.contains(path) && !gone(path)));
        self.owned.insert(me, named);
        self.containers = merged;
        true
    }
}

fn document(containers: &Containers) -> String {
    let item = |(name, fields): (&&str, &BTreeMap<&str, u8>)| {
        let fields: String = fields.iter().map(|(field, value)| format!(r#","{field}":"{value}""#)).collect();
        format!(r#"{{"name":"{name}"{fields}}}"#)
    };
    let items: Vec<String> = containers.iter().map(item).collect();
    format!(
        r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"d"}},
            "spec":{{"template":{{"spec":{{"containers":[{}]}}}}}}}}"#,
        items.join(",")
    )
}

fn with_anchor(containers: &Containers) -> Containers {
    let mut all = containers.clone();
    all.insert(ANCHOR, BTreeMap::from([("image", 0)]));
    all
}

fn anchored() -> Stored {
    let mut stored = Stored::deployment();
    stored.update(ANCHOR, &document(&with_anchor(&Containers::new())));
    stored
}

fn take(stored: &mut Stored, step: &Step) -> bool {
    if step.applies {
        return stored.apply(step.manager, step.force, &document(&step.containers)).is_ok();
    }
    stored.update(step.manager, &document(&with_anchor(&step.containers)));
    true
}

fn containers_of(stored: &Stored) -> BTreeMap<String, BTreeMap<String, String>> {
    let items = stored.object.list_at(&["spec", "template", "spec", "containers"]).iter();
    let named = items.map(|item| (item.str_at(&["name"]).expect("a name").to_owned(), item));
    let fields = |item: &schema::Value| {
        let set =
            FIELDS.iter().filter_map(|field| Some(((*field).to_owned(), item.str_at(&[field])?.to_owned())));
        set.collect()
    };
    named.filter(|(name, _)| name != ANCHOR).map(|(name, item)| (name, fields(item))).collect()
}

/// Whole field sets, as people read paths; those of the anchor left out.
fn owned_by(stored: &Stored) -> BTreeMap<(String, bool), BTreeSet<String>> {
    let entries = meta::ObjectMeta::of(&stored.object).managed_fields();
    let managers = Managers::decode(entries).expect("our own entries");
    let owned = managers.iter().filter(|manager| manager.name != ANCHOR).map(|manager| {
        let applies = manager.operation == Operation::Apply;
        ((manager.name.clone(), applies), manager.fields.set().paths().into_iter().collect())
    });
    owned.collect()
}

fn shown((name, field): &Path) -> String {
    let item = format!(".spec.template.spec.containers[name=\"{name}\"]");
    if field.is_empty() { item } else { format!("{item}.{field}") }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fields = prop::collection::btree_map(prop::sample::select(FIELDS.to_vec()), 0..3u8, 0..3);
    let containers = prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), fields, 1..4);
    let manager = prop::sample::select(MANAGERS.to_vec());
    let step = (manager, any::<bool>(), any::<bool>(), containers)
        .prop_map(|(manager, applies, force, containers)| Step { manager, applies, force, containers });
    prop::collection::vec(step, 1..16)
}

proptest! {
    #[test]
    fn items_and_whole_field_sets_agree_with_the_model(steps in steps()) {
        let mut stored = anchored();
        let mut model = Model::default();
        for step in &steps {
            let done = take(&mut stored, step);
            prop_assert_eq!(done, model.step(step), "{:?}", step);
            let text = |fields: &BTreeMap<&'static str, u8>| -> BTreeMap<String, String> {
                fields.iter().map(|(field, value)| ((*field).to_owned(), value.to_string())).collect()
            };
            let expected: BTreeMap<_, _> =
                model.containers.iter().map(|(name, fields)| ((*name).to_owned(), text(fields))).collect();
            prop_assert_eq!(containers_of(&stored), expected, "{:?}", step);
            let expected: BTreeMap<_, BTreeSet<String>> = model
                .owned
                .iter()
                .filter(|(_, paths)| !paths.is_empty())
                .map(|((name, applies), paths)| {
                    (((*name).to_owned(), *applies), paths.iter().map(shown).collect())
                })
                .collect();
            prop_assert_eq!(owned_by(&stored), expected, "{:?}", step);
        }
    }

    #[test]
    fn applying_items_twice_is_applying_them_once(steps in steps()) {
        let mut stored = anchored();
        for step in &steps {
            if take(&mut stored, step) && step.applies {
                let once = stored.object.clone();
                stored.apply(step.manager, false, &document(&step.containers)).expect("it is all its own");
                prop_assert_eq!(&stored.object, &once);
            }
        }
    }

    #[test]
    fn no_owned_item_or_field_changes_by_an_apply_without_force(steps in steps()) {
        let mut stored = anchored();
        for step in &steps {
            let before = (owned_by(&stored), containers_of(&stored));
            let done = take(&mut stored, step);
            if !step.applies || step.force || !done {
                continue;
            }
            let after = (owned_by(&stored), containers_of(&stored));
            for (owner, paths) in before.0.iter().filter(|(owner, _)| (owner.0.as_str(), owner.1) != (step.manager, true)) {
                let left = after.0.get(owner).cloned().unwrap_or_default();
                // A field goes without its owner only with the item around it, which that owner never had.
                let lost = paths.difference(&left).find(|path| {
                    let name = path.split('"').nth(1).unwrap_or_default();
                    after.1.contains_key(name)
                });
                prop_assert_eq!(lost, None, "{:?} by {:?}", owner, step);
            }
        }
    }
}
