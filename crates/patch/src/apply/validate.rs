//! Whether an applied configuration fits its type, in the original's words.

use schema::Value;

use super::element::PathElement;
use super::items::Items;
use super::shape::{Atom, ListKind, Place, ScalarKind, Typed};
use crate::go_text::go_text as go_value;

/// Faults kept; the rest would not be read.
const FAULTS_MAX: usize = 100;

/// Everything about the object that does not fit the type, as one text; none
/// if it fits. Unlike decoding, nothing is converted or forgiven.
pub fn validate(typed: Typed<'_>, object: &Value) -> Result<(), String> {
    let mut faults = Vec::new();
    walk(typed.root(), object, &Path { parent: None, step: Step::Index(0) }, &mut faults);
    match faults.as_slice() {
        [] => Ok(()),
        [fault] => Err(fault.clone()),
        faults => Err(format!("errors:\n  {}", faults.join("\n  "))),
    }
}

/// Where a value stands; made into text only for a fault, since names can be long.
struct Path<'p> {
    /// None for the object itself.
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

enum Step<'p> {
    Field(&'p str),
    Index(usize),
    Element(PathElement),
}

impl<'p> Path<'p> {
    fn below(&'p self, step: Step<'p>) -> Path<'p> {
        Path { parent: Some(self), step }
    }

    fn text(&self) -> String {
        let Some(parent) = self.parent else { return String::new() };
        let parent = parent.text();
        match &self.step {
            Step::Field(name) => format!("{parent}.{name}"),
            Step::Index(i) => format!("{parent}[{i}]"),
            Step::Element(element) => format!("{parent}{element}"),
        }
    }
}

fn walk(place: Place<'_>, value: &Value, path: &Path<'_>, faults: &mut Vec<String>) {
    if faults.len() >= FAULTS_MAX || value.is_null() {
        return;
    }
    let mut fault = |text: String| faults.push(prefixed(path, &text));
    match (place.atom(value), value) {
        (Atom::Scalar(kind), value) => {
            if let Some(text) = scalar_fault(kind, value) {
                fault(text);
            }
        }
        (Atom::Untyped, _) => {}
        (Atom::Map { .. }, Value::Map(map)) => {
            for (name, value) in map.iter() {
                let path = path.below(Step::Field(name));
                if place.may_have(name) {
                    walk(place.member(name).0, value, &path, faults);
                } else if faults.len() < FAULTS_MAX {
                    faults.push(prefixed(&path, "field not declared in schema"));
                }
            }
        }
        (Atom::Map { .. }, value) => fault(format!("expected map, got &{{{}}}", go_value(value))),
        (Atom::List(kind), Value::List(items)) => walk_list(place, kind, items, path, faults),
        (Atom::List(_), value) => fault(format!("expected list, got &{{{}}}", go_value(value))),
    }
}

fn walk_list(place: Place<'_>, kind: ListKind, items: &[Value], path: &Path<'_>, faults: &mut Vec<String>) {
    let observed = Items::of(place, kind, items);
    for group in observed.groups().filter(|group| group.is_repeated()) {
        if let Some(element) = group.element() {
            let room = FAULTS_MAX.saturating_sub(faults.len());
            let repeated = (1..group.len()).take(room);
            faults.extend(repeated.map(|_| prefixed(path, &format!("duplicate entries for key {element}"))));
        }
    }
    for (i, item) in items.iter().enumerate() {
        let step = match kind {
            ListKind::Atomic => Step::Index(i),
            _ => match place.element_of(kind, item) {
                Ok(element) => Step::Element(element),
                Err(text) => return faults.push(prefixed(path, &format!("element {i}: {text}"))),
            },
        };
        walk(place.item(), item, &path.below(step), faults);
    }
}

fn scalar_fault(kind: ScalarKind, value: &Value) -> Option<String> {
    let shown = || go_value(value);
    match (kind, value) {
        (ScalarKind::Numeric, Value::Int(_) | Value::Float(_))
        | (ScalarKind::String, Value::String(_))
        | (ScalarKind::Boolean, Value::Bool(_))
        | (ScalarKind::Untyped, Value::Int(_) | Value::Float(_) | Value::String(_) | Value::Bool(_)) => None,
        (ScalarKind::Numeric, value) => {
            Some(format!("expected numeric (int or float), got {}", go_type(value)))
        }
        (ScalarKind::String, value) => {
            Some(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value)))
        }
        (ScalarKind::Boolean, _) => Some(format!("expected boolean, got &{{{}}}", shown())),
        (ScalarKind::Untyped, _) => Some(format!("expected any scalar, got &{{{}}}", shown())),
    }
}

fn prefixed(path: &Path<'_>, text: &str) -> String {
    match path.text() {
        path if path.is_empty() => text.to_owned(),
        path => format!("{path}: {text}"),
    }
}

/// What Go calls the type of a value of free-form content.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) | Value::Raw(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
    }
}

/// A value in Go's syntax (`%#v`).
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(text) => meta::field::quoted(text),
        Value::List(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Map(map) => {
            let members =
                map.iter().map(|(key, value)| format!("{}:{}", meta::field::quoted(key), go_syntax(value)));
            format!("map[string]interface {{}}{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        other => go_value(other),
    }
}
