//! What differs between two objects of one type, as field sets.

use schema::{Map, Value};

use super::element::PathElement;
use super::field_set::FieldSet;
use super::items::{self, Group, Items};
use super::shape::{Atom, ListKind, Place, Typed};

/// What differs between an object and the one that takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// There now, and not before.
    pub added: FieldSet,
    /// There before and now, and not the same.
    pub modified: FieldSet,
    /// There before, and not now.
    pub removed: FieldSet,
}

/// Compares two objects of a type. Leaves are scalars, atomic lists and maps,
/// and empty ones; of what is added or removed the lists, maps and items on the
/// way are members too.
pub fn compare(typed: Typed<'_>, old: &Value, new: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    walk(typed.root(), Some(old), Some(new), &mut comparison);
    comparison
}

impl Comparison {
    /// True if nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    fn push(&mut self, element: &PathElement, differences: &[Difference], below: Comparison) {
        let is = |kind| differences.contains(&kind);
        for (set, member, below) in [
            (&mut self.added, is(Difference::Added), below.added),
            (&mut self.modified, is(Difference::Modified), below.modified),
            (&mut self.removed, is(Difference::Removed), below.removed),
        ] {
            if member || !below.is_empty() {
                set.push(element.clone(), member, below);
            }
        }
    }
}

/// How a path itself differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    Added,
    Modified,
    Removed,
}

/// Adds to `below` what differs below a place; returns how the place itself does.
fn walk(
    place: Place<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    below: &mut Comparison,
) -> Option<Difference> {
    let difference = match (old, new) {
        (None, None) => return None,
        (Some(old), Some(new)) if old == new => return None,
        (None, Some(_)) => Some(Difference::Added),
        (Some(_), None) => Some(Difference::Removed),
        (Some(_), Some(_)) => None,
    };
    let leaf = difference.or(Some(Difference::Modified));
    let shown = new.or(old).unwrap_or(&Value::Null);
    let atom = match (old, new) {
        (Some(old), Some(new)) if place.atom(old) != place.atom(new) => return leaf,
        _ => place.atom(shown),
    };
    let empty = |value: Option<&Value>| value.is_none_or(|value| place.is_empty(value));
    if empty(old) && empty(new) {
        // Empty and null are told apart.
        return leaf;
    }
    match atom {
        Atom::Scalar(_) | Atom::Untyped | Atom::Map { atomic: true } | Atom::List(ListKind::Atomic) => leaf,
        Atom::Map { atomic: false } => {
            let (Some(old), Some(new)) = (map_or_empty(old), map_or_empty(new)) else { return leaf };
            walk_map(place, old, new, below);
            difference
        }
        Atom::List(kind) => {
            let (Some(old), Some(new)) = (list_or_empty(old), list_or_empty(new)) else { return leaf };
            walk_list(place, kind, old, new, below);
            difference
        }
    }
}

/// A map, or the lack of one; none for what is neither.
#[expect(clippy::option_option, reason = "the outer option is a mismatch, the inner one absence")]
fn map_or_empty(value: Option<&Value>) -> Option<Option<&Map>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::Map(map)) => Some(Some(map)),
        Some(_) => None,
    }
}

fn list_or_empty(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None | Some(Value::Null) => Some(&[]),
        Some(Value::List(items)) => Some(items),
        Some(_) => None,
    }
}

fn walk_map(place: Place<'_>, old: Option<&Map>, new: Option<&Map>, below: &mut Comparison) {
    if let Some(fields) = place.fields_with_zeros() {
        for field in fields {
            let raw = |map: Option<&'_ Map>| map.map(|map| map.get(&field.name).is_some());
            if raw(old) == Some(false) && raw(new) == Some(false) {
                continue;
            }
            let old = old.and_then(|map| place.present(Some(field), map.get(&field.name)));
            let new = new.and_then(|map| place.present(Some(field), map.get(&field.name)));
            let name = || PathElement::Field(field.name.clone().into());
            walk_member(place.field(field), name, old, new, below);
        }
        return;
    }
    for (name, old, new) in zip_maps(old, new) {
        walk_member(place.member(name).0, || PathElement::field(name), old, new, below);
    }
}

fn walk_member(
    place: Place<'_>,
    element: impl FnOnce() -> PathElement,
    old: Option<&Value>,
    new: Option<&Value>,
    below: &mut Comparison,
) {
    let mut inner = Comparison::default();
    let difference = walk(place, old, new, &mut inner);
    if difference.is_some() || !inner.is_empty() {
        below.push(&element(), difference.as_slice(), inner);
    }
}

/// Members of two maps side by side, by name.
pub(crate) fn zip_maps<'v>(
    old: Option<&'v Map>,
    new: Option<&'v Map>,
) -> impl Iterator<Item = (&'v str, Option<&'v Value>, Option<&'v Value>)> {
    let mut old = old.map(Map::iter).into_iter().flatten().peekable();
    let mut new = new.map(Map::iter).into_iter().flatten().peekable();
    std::iter::from_fn(move || {
        let names = [old.peek().map(|entry| entry.0), new.peek().map(|entry| entry.0)];
        let name = names.into_iter().flatten().min()?;
        let old = old.next_if(|entry| entry.0 == name).map(|entry| entry.1);
        let new = new.next_if(|entry| entry.0 == name).map(|entry| entry.1);
        Some((name, old, new))
    })
}

fn walk_list(place: Place<'_>, kind: ListKind, old: &[Value], new: &[Value], below: &mut Comparison) {
    let (old, new) = (Items::of(place, kind, old), Items::of(place, kind, new));
    for (element, old, new) in items::zip(&old, &new) {
        walk_items(place.item(), element, old, new, below);
    }
}

/// Items of one element. Where a list repeats itself the repetition is a leaf,
/// which comes in the place of a single item or goes for one.
fn walk_items(
    item: Place<'_>,
    element: &PathElement,
    old: Group<'_, '_>,
    new: Group<'_, '_>,
    below: &mut Comparison,
) {
    let mut inner = Comparison::default();
    let differences = match (old.is_repeated(), new.is_repeated()) {
        (false, false) => walk(item, old.first(), new.first(), &mut inner).into_iter().collect(),
        (true, true) => {
            let same = old.len() == new.len() && old.values().eq(new.values());
            if same { Vec::new() } else { vec![Difference::Modified] }
        }
        (true, false) => {
            let single = walk(item, None, new.first(), &mut inner);
            single.into_iter().chain([Difference::Removed]).collect()
        }
        (false, true) => {
            let single = walk(item, old.first(), None, &mut inner);
            single.into_iter().chain([Difference::Added]).collect()
        }
    };
    if !differences.is_empty() || !inner.is_empty() {
        below.push(element, &differences, inner);
    }
}
