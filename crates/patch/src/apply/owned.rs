//! The fields a configuration claims by naming them.

use schema::Value;

use super::element::PathElement;
use super::field_set::FieldSet;
use super::items::Items;
use super::shape::{Atom, ListKind, Place, Typed};

/// The field set of an applied object: leaves, items of associative lists,
/// keys of maps, and what is null or empty.
pub fn owned_fields(typed: Typed<'_>, object: &Value) -> FieldSet {
    let mut set = FieldSet::new();
    walk(typed.root(), object, &mut set);
    set
}

/// Adds what is owned below a place; true if the place itself is.
fn walk(place: Place<'_>, value: &Value, below: &mut FieldSet) -> bool {
    match (place.atom(value), value) {
        (Atom::Scalar(_) | Atom::Untyped | Atom::Map { atomic: true } | Atom::List(ListKind::Atomic), _) => {
            true
        }
        (Atom::Map { atomic: false }, Value::Map(map)) => {
            for (name, value) in map.iter() {
                let (member, declared) = place.member(name);
                let mut inner = FieldSet::new();
                let leaf = walk(member, value, &mut inner);
                let empty = matches!(value, Value::Null) || value.as_map().is_some_and(schema::Map::is_empty);
                below.push(PathElement::field(name), leaf || empty || !declared, inner);
            }
            false
        }
        (Atom::List(kind), Value::List(items)) => {
            for group in Items::of(place, kind, items).groups() {
                let mut inner = FieldSet::new();
                if let (false, Some(item)) = (group.is_repeated(), group.first()) {
                    walk(place.item(), item, &mut inner);
                }
                if let Some(element) = group.element() {
                    below.push(element.clone(), true, inner);
                }
            }
            false
        }
        _ => false,
    }
}
