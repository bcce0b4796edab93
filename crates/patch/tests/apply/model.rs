//! Random sequences of applies and updates against a naive model: a map of
//! values, and for each manager a plain set of keys.

use std::collections::{BTreeMap, BTreeSet};

use patch::apply::{FieldSet, Managers};
use proptest::prelude::*;
use schema::Value;

use crate::harness::Stored;

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// Who never gives up the label that keeps the object tracked.
const ANCHOR: &str = "anchor";

type Data = BTreeMap<&'static str, u8>;

#[derive(Clone, Debug)]
enum Step {
    Apply { manager: &'static str, data: Data, force: bool },
    Update { manager: &'static str, data: Data },
}

#[derive(Default)]
struct Model {
    values: Data,
    /// By manager and whether it applies.
    owned: BTreeMap<(&'static str, bool), BTreeSet<&'static str>>,
}

impl Model {
    /// False if the step is a conflict.
    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Apply { manager, data, force } => self.apply(manager, data, *force),
            Step::Update { manager, data } => {
                self.update(manager, data);
                true
            }
        }
    }

    fn apply(&mut self, manager: &'static str, data: &Data, force: bool) -> bool {
        let me = (manager, true);
        let changed: BTreeSet<&str> = data
            .iter()
            .filter(|(key, value)| self.values.get(*key) != Some(value))
            .map(|(key, _)| *key)
            .collect();
        let conflict = self
            .owned
            .iter()
            .any(|(other, keys)| *other != me && keys.iter().any(|key| changed.contains(key)));
        if conflict && !force {
            return false;
        }
        for (other, keys) in &mut self.owned {
            if *other != me {
                keys.retain(|key| !changed.contains(key));
            }
        }
        let last = self.owned.insert(me, data.keys().copied().collect()).unwrap_or_default();
        for key in last {
            if !self.owned.values().any(|keys| keys.contains(key)) {
                self.values.remove(key);
            }
        }
        self.values.extend(data);
        true
    }

    fn update(&mut self, manager: &'static str, data: &Data) {
        let all: BTreeSet<&'static str> = self.values.keys().chain(data.keys()).copied().collect();
        let differs: BTreeSet<&'static str> =
            all.into_iter().filter(|key| self.values.get(key) != data.get(key)).collect();
        self.owned.values_mut().for_each(|keys| keys.retain(|key| !differs.contains(key)));
        let mine = self.owned.entry((manager, false)).or_default();
        mine.extend(differs.into_iter().filter(|key| data.contains_key(key)));
        self.values = data.clone();
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let data = prop::collection::btree_map(prop::sample::select(KEYS.to_vec()), 0..3u8, 0..4);
    let manager = prop::sample::select(vec!["x", "y", "z"]);
    let step = (manager, data, any::<bool>(), any::<bool>()).prop_map(|(manager, data, applies, force)| {
        if applies { Step::Apply { manager, data, force } } else { Step::Update { manager, data } }
    });
    prop::collection::vec(step, 1..25)
}

/// Members of `data`. One that never changes is always among them: an empty map
/// is a leaf of its own, which the model does not know.
fn members(data: &Data) -> String {
    let members = data.iter().map(|(key, value)| format!(r#""{key}":"{value}""#));
    members.chain([r#""z":"0""#.to_owned()]).collect::<Vec<_>>().join(",")
}

fn configuration(data: &Data) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"n"}},"data":{{{}}}}}"#,
        members(data)
    )
}

/// What a client that updates sends: everything.
fn body(data: &Data) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"n","labels":{{"l":"1"}}}},"data":{{{}}}}}"#,
        members(data)
    )
}

fn take(stored: &mut Stored, step: &Step) -> bool {
    match step {
        Step::Apply { manager, data, force } => stored.apply(manager, *force, &configuration(data)).is_ok(),
        Step::Update { manager, data } => {
            stored.update(manager, &body(data));
            true
        }
    }
}

fn anchored() -> Stored {
    let mut stored = Stored::config_map();
    stored.update(ANCHOR, &body(&Data::new()));
    stored
}

fn values(stored: &Stored) -> BTreeMap<String, String> {
    let data = stored.object.map_at(&["data"]);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let members = data.into_iter().flat_map(schema::Map::iter).filter(|(key, _)| KEYS.contains(key));
    members.map(|(key, value)| (key.to_owned(), text(value))).collect()
}

fn managers(stored: &Stored) -> Managers {
    Managers::decode(meta::ObjectMeta::of(&stored.object).managed_fields()).expect("our own entries")
}

fn keys_of(fields: &FieldSet) -> BTreeSet<&'static str> {
    KEYS.into_iter().filter(|key| fields.has_fields(&["data", key])).collect()
}

/// Owners of keys, those without any left out.
fn owners(stored: &Stored) -> BTreeMap<(String, bool), BTreeSet<&'static str>> {
    let managers = managers(stored);
    let owned = managers.iter().map(|manager| {
        let applies = manager.operation == patch::apply::Operation::Apply;
        ((manager.name.clone(), applies), keys_of(manager.fields.set()))
    });
    owned.filter(|(_, keys)| !keys.is_empty()).collect()
}

proptest! {
    #[test]
    fn values_and_owners_agree_with_the_model(steps in steps()) {
        let mut stored = anchored();
        let mut model = Model::default();
        for step in &steps {
            let done = take(&mut stored, step);
            prop_assert_eq!(done, model.step(step), "{:?}", step);
            let expected: BTreeMap<String, String> =
                model.values.iter().map(|(key, value)| ((*key).to_owned(), value.to_string())).collect();
            prop_assert_eq!(values(&stored), expected, "{:?}", step);
            let expected: BTreeMap<_, _> = model
                .owned
                .iter()
                .filter(|(_, keys)| !keys.is_empty())
                .map(|((name, applies), keys)| (((*name).to_owned(), *applies), keys.clone()))
                .collect();
            prop_assert_eq!(owners(&stored), expected, "{:?}", step);
        }
    }

    #[test]
    fn applying_twice_is_applying_once(steps in steps()) {
        let mut stored = anchored();
        for step in &steps {
            let done = take(&mut stored, step);
            if let (true, Step::Apply { manager, data, .. }) = (done, step) {
                let once = stored.object.clone();
                stored.apply(manager, false, &configuration(data)).expect("nothing to take from others");
                prop_assert_eq!(&stored.object, &once);
            }
        }
    }

    #[test]
    fn nobody_loses_a_field_to_an_apply_without_force(steps in steps()) {
        let mut stored = anchored();
        for step in &steps {
            let before = owners(&stored);
            take(&mut stored, step);
            let Step::Apply { manager, force: false, .. } = step else { continue };
            let after = owners(&stored);
            for (owner, keys) in before.iter().filter(|(owner, _)| (owner.0.as_str(), owner.1) != (*manager, true)) {
                let left = after.get(owner).cloned().unwrap_or_default();
                prop_assert!(keys.is_subset(&left), "{:?} lost {:?}", owner, keys);
            }
        }
    }

    #[test]
    fn field_sets_of_any_text_are_read_or_refused_and_written_stably(text in r#"[{}":,.fkvi\[\]0-9 a-c\\]{0,60}"#) {
        if let Ok(set) = FieldSet::from_fields_v1(&text) {
            let written = set.to_fields_v1();
            prop_assert_eq!(FieldSet::from_fields_v1(&written).expect("our own text"), set);
        }
    }
}
