//! Taking fields out of an object.

use schema::{Map, Value};

use super::element::PathElement;
use super::field_set::FieldSet;
use super::shape::{Atom, ListKind, Place, Typed};

/// The document without the fields of the set and what is below them. A list
/// or map that loses everything becomes null.
pub fn remove(typed: Typed<'_>, object: &Value, fields: &FieldSet) -> Value {
    walk(typed.root(), object, fields)
}

fn walk(place: Place<'_>, value: &Value, fields: &FieldSet) -> Value {
    match (place.atom(value), value) {
        (Atom::Map { atomic: false }, Value::Map(map)) => {
            let mut kept = Map::with_capacity(map.len());
            for (name, value) in map.iter() {
                let element = PathElement::field(name);
                if let Some(value) = kept_part(place.member(name).0, &element, value, fields) {
                    kept.insert(name, value);
                }
            }
            if kept.is_empty() { Value::Null } else { Value::Map(kept) }
        }
        (Atom::List(kind @ (ListKind::Set | ListKind::Keyed)), Value::List(items)) => {
            let kept: Vec<Value> = items
                .iter()
                .filter_map(|item| match place.element_of(kind, item) {
                    Ok(element) => kept_part(place.item(), &element, item, fields),
                    Err(_) => Some(item.clone()),
                })
                .collect();
            if kept.is_empty() { Value::Null } else { Value::List(kept) }
        }
        (Atom::Scalar(_), value) => value.clone(),
        (Atom::Untyped, value @ (Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_))) => {
            value.clone()
        }
        _ => Value::Null,
    }
}

/// What is left of a member or item; none if it is removed as a whole.
fn kept_part(place: Place<'_>, element: &PathElement, value: &Value, fields: &FieldSet) -> Option<Value> {
    match fields.node(element) {
        None => Some(value.clone()),
        Some(node) if node.member => None,
        Some(node) => Some(walk(place, value, &node.below)),
    }
}
