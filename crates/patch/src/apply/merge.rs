//! What applying a configuration makes of an object, before fields that were
//! given up are removed.

use std::collections::BTreeSet;

use schema::{Map, Value};

use super::compare::zip_maps;
use super::element::PathElement;
use super::items::Items;
use super::shape::{Atom, ListKind, Place, Typed};

/// The object with everything the configuration says. Both are documents of
/// the type. Maps and associative lists merge, everything else is replaced.
pub fn merge(typed: Typed<'_>, live: &Value, applied: &Value) -> Value {
    walk(typed.root(), Some(live), Some(applied)).unwrap_or_default()
}

/// The merged value; none where nothing is left of it.
fn walk(place: Place<'_>, live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    let (live, applied) = match (live, applied) {
        (live, None) => return live.cloned(),
        (live, Some(applied)) => (live, applied),
    };
    let replaced = Some(applied.clone());
    let atom = place.atom(if applied.is_null() { live.unwrap_or(applied) } else { applied });
    match (atom, live, applied) {
        (Atom::Map { atomic: false }, None | Some(Value::Null), Value::Map(new)) if !new.is_empty() => {
            Some(merge_maps(place, &Map::new(), new))
        }
        (Atom::Map { atomic: false }, Some(Value::Map(old)), Value::Map(new))
            if !(old.is_empty() && new.is_empty()) =>
        {
            Some(merge_maps(place, old, new))
        }
        (Atom::Map { atomic: false }, Some(Value::Map(old)), Value::Null) if !old.is_empty() => live.cloned(),
        (Atom::List(kind @ (ListKind::Set | ListKind::Keyed)), Some(Value::List(old)), Value::List(new))
            if !(old.is_empty() && new.is_empty()) =>
        {
            Some(Value::List(merge_lists(place, kind, old, new)))
        }
        (Atom::List(ListKind::Set | ListKind::Keyed), Some(Value::List(old)), Value::Null)
            if !old.is_empty() =>
        {
            live.cloned()
        }
        _ => replaced,
    }
}

fn merge_maps(place: Place<'_>, live: &Map, applied: &Map) -> Value {
    let merged = zip_maps(Some(live), Some(applied))
        .filter_map(|(name, live, applied)| Some((name, walk(place.member(name).0, live, applied)?)));
    Value::Map(merged.collect())
}

/// Items in the order the configuration has them; live ones that it does not
/// name stay where they stood between the others.
fn merge_lists(place: Place<'_>, kind: ListKind, live: &[Value], applied: &[Value]) -> Vec<Value> {
    let identified = |list: &[Value]| -> Vec<(PathElement, usize)> {
        list.iter()
            .enumerate()
            .filter_map(|(i, item)| place.element_of(kind, item).ok().map(|element| (element, i)))
            .collect()
    };
    let (left, right) = (identified(live), identified(applied));
    let (live_items, applied_items) = (Items::of(place, kind, live), Items::of(place, kind, applied));
    let mut merger = Merger { item: place.item(), live_items: &live_items, merged: Vec::new() };
    let mut shared =
        right.iter().map(|(element, _)| element).filter(|element| live_items.get(element).len() > 0);
    let mut next_shared = shared.next();
    let mut done: BTreeSet<&PathElement> = BTreeSet::new();
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        let (here, wanted) = (left.get(l), right.get(r));
        if let (Some((element, _)), Some((other, i))) = (here, wanted) {
            if element == other {
                done.insert(other);
                merger.take(other, &applied[*i]);
                (l, r) = (l + 1, r + 1);
                next_shared = shared.next();
                continue;
            }
            let is_shared = applied_items.get(element).len() > 0;
            if is_shared && next_shared.is_some_and(|next| next != element) {
                // It stands in both, but its turn comes later.
                l += 1;
                continue;
            }
        }
        if let Some((element, i)) = here {
            if applied_items.get(element).len() == 0 {
                merger.merged.push(live[*i].clone());
                l += 1;
                continue;
            }
            if done.contains(element) {
                l += 1;
            }
        }
        if let Some((element, i)) = wanted {
            done.insert(element);
            merger.take(element, &applied[*i]);
            r += 1;
            if next_shared == Some(element) {
                next_shared = shared.next();
            }
        }
    }
    merger.merged
}

struct Merger<'p, 'v> {
    item: Place<'p>,
    live_items: &'v Items<'v>,
    merged: Vec<Value>,
}

impl Merger<'_, '_> {
    /// An item of the configuration over the live one. Where the live list
    /// repeats itself there is nothing to merge with.
    fn take(&mut self, element: &PathElement, applied: &Value) {
        let live = self.live_items.get(element);
        let live = if live.is_repeated() { None } else { live.first() };
        self.merged.extend(walk(self.item, live, Some(applied)));
    }
}
