//! Strategic merge patch: a merge patch that knows from the schema table which
//! lists merge by a key, and that is steered by directives.
//!
//! Owns maps and the directives in them: `$patch`, `$retainKeys`,
//! `$deleteFromPrimitiveList/<list>`, `$setElementOrder/<list>`. Lists are in
//! `lists`, what the table says about a field in `lookup`, what fits no Go type
//! afterwards in `convert`. Where the original walks a map in Go's random
//! order, this walks it by key.

mod convert;
mod lists;
mod lookup;

use std::collections::{BTreeMap, BTreeSet};

use schema::{Key, Map, Schema, TypeId, Value};

use crate::PatchError;
use crate::go_text::go_text;
use crate::reader;
use lookup::{Node, Strategy};

pub use convert::unconvertible;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";
/// Keys of a patch that are set one by one in a sorted list of keys.
const SMALL_PATCH_KEYS: usize = 64;

/// A strategic merge patch that has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct StrategicPatch(Map);

impl StrategicPatch {
    /// Reads a patch; null is an empty one. With `strict`, keys that stand
    /// twice are reported there.
    pub fn parse(bytes: &[u8], strict: Option<&mut Vec<String>>) -> Result<StrategicPatch, PatchError> {
        let map = reader::object(bytes, strict).map_err(|error| PatchError::Malformed(error.to_string()))?;
        Ok(StrategicPatch(map.unwrap_or_default()))
    }

    /// The document of type `ty` after the patch.
    pub fn apply(&self, schema: &Schema, ty: TypeId, document: Value) -> Result<Value, PatchError> {
        let original = match document {
            Value::Map(map) => map,
            _ => Map::new(),
        };
        merge_map(original, self.0.clone(), Node::new(schema, ty)).map(Value::Map)
    }

    /// The patch as Go prints it, for [`crate::undecodable`].
    pub fn go_text(&self) -> String {
        go_text(&Value::Map(self.0.clone()))
    }
}

/// Reads a patch and applies it to a document of type `ty`.
pub fn apply(schema: &Schema, ty: TypeId, document: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    StrategicPatch::parse(patch, None)?.apply(schema, ty, document.clone())
}

fn merge_map(mut original: Map, mut patch: Map, node: Node<'_>) -> Result<Map, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Map::new()),
            _ => Err(bad_directive(directive, &patch)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    lists::merge_ordered(&mut original, &mut patch, node)?;
    if patch.len() <= SMALL_PATCH_KEYS {
        merge_fields(&mut original, patch, node)?;
        return Ok(original);
    }
    let mut tree: BTreeMap<Key, Value> = original.into_iter().collect();
    merge_fields(&mut tree, patch, node)?;
    Ok(tree.into_iter().collect())
}

fn merge_fields(original: &mut impl Members, patch: Map, node: Node<'_>) -> Result<(), PatchError> {
    for (key, change) in patch {
        match key.as_str().strip_prefix(DELETE_FROM) {
            Some(rest) => {
                let name = rest.strip_prefix('/').ok_or_else(|| bad_format("primitive list"))?;
                merge_field(original, name, change, node, Purpose::DeleteItems)?;
            }
            None => merge_field(original, key.as_str(), change, node, Purpose::Merge)?,
        }
    }
    Ok(())
}

/// Members of an object while a patch changes them. A [`Map`] takes as long
/// for one key as it has keys behind it, so many are changed in a tree.
trait Members {
    fn get_mut(&mut self, key: &str) -> Option<&mut Value>;
    fn set(&mut self, key: &str, value: Value);
    fn remove(&mut self, key: &str);
}

impl Members for Map {
    fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        Map::get_mut(self, key)
    }

    fn set(&mut self, key: &str, value: Value) {
        self.insert(key, value);
    }

    fn remove(&mut self, key: &str) {
        Map::remove(self, key);
    }
}

impl Members for BTreeMap<Key, Value> {
    fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        BTreeMap::get_mut(self, &Key::from(key))
    }

    fn set(&mut self, key: &str, value: Value) {
        self.insert(Key::from(key), value);
    }

    fn remove(&mut self, key: &str) {
        BTreeMap::remove(self, &Key::from(key));
    }
}

/// What the value of a patch is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To be merged.
    Merge,
    /// It lists the scalars to take out.
    DeleteItems,
}

fn merge_field(
    original: &mut impl Members,
    key: &str,
    change: Value,
    node: Node<'_>,
    purpose: Purpose,
) -> Result<(), PatchError> {
    if change.is_null() {
        original.remove(key);
        return Ok(());
    }
    let merged = match (original.get_mut(key), change) {
        (Some(Value::Map(current)), Value::Map(change)) => {
            let (child, strategy) = node.field(key)?;
            match strategy {
                Strategy::Replace => change,
                _ => merge_map(std::mem::take(current), change, child)?,
            }
            .into()
        }
        (Some(Value::List(current)), Value::List(change)) => {
            let (items, strategy, merge_key) = node.list(key)?;
            let list = lists::List { items, strategy, merge_key, purpose };
            list.merge(std::mem::take(current), change)?.into()
        }
        (_, _) if purpose == Purpose::DeleteItems => return Ok(()),
        (_, change) => match without_directives(without_nulls(change)) {
            Some(value) => value,
            None => {
                original.remove(key);
                return Ok(());
            }
        },
    };
    original.set(key, merged);
    Ok(())
}

/// Drops what `$retainKeys` does not name. All that the patch sets must be named.
fn retain_keys(original: &mut Map, patch: &mut Map) -> Result<(), PatchError> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::List(retained) = directive else { return Err(bad_format("retainKeys")) };
    let retained: BTreeSet<&str> = retained.iter().filter_map(Value::as_str).collect();
    let named = |key: &str| retained.contains(key);
    let sets = |key: &str, value: &Value| {
        !value.is_null() && !key.starts_with(DELETE_FROM) && !key.starts_with(SET_ORDER)
    };
    if patch.iter().any(|(key, value)| sets(key, value) && !named(key)) {
        return Err(bad_format("retainKeys"));
    }
    original.retain(|key, _| named(key));
    Ok(())
}

/// What is new brings no deletions of its own.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Map(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Map(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::List(items) => Value::List(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// A new value without the parts that carry a `$patch`; none if it does itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Map(map) if map.contains_key(DIRECTIVE) => None,
        Value::Map(map) => {
            let kept = map.into_iter().filter_map(|(key, value)| Some((key, without_directives(value)?)));
            Some(Value::Map(kept.collect()))
        }
        Value::List(items) => Some(Value::List(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}

fn bad_format(directive: &str) -> PatchError {
    PatchError::Malformed(format!("invalid patch format of {directive}"))
}

fn bad_directive(directive: &Value, patch: &Map) -> PatchError {
    let shown = match directive {
        Value::String(text) => text.clone(),
        // Go's `%s` of what is no string.
        other => format!("%!s({}={})", go_type(other), go_text(other)),
    };
    PatchError::Strategic(format!(
        "unknown patch type: {shown} in map: {}",
        go_text(&Value::Map(patch.clone()))
    ))
}

fn bad_type(expected: &str, found: &Value) -> PatchError {
    PatchError::Strategic(format!("expected a {expected}, but received a {}", go_type(found)))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::List(_) => GO_LIST,
        Value::Map(_) | Value::Raw(_) => GO_MAP,
    }
}

const GO_LIST: &str = "[]interface {}";
const GO_MAP: &str = "map[string]interface {}";

#[cfg(test)]
mod tests;
