//! JSON patch (RFC 6902), with the original's liberties: `replace` makes a
//! missing key of an object, `test` holds a missing key for null, indices of
//! lists may be negative and count from the end.
//!
//! Everything is bounded: operations by [`OPERATIONS_MAX`], bytes copied by
//! [`COPIED_BYTES_MAX`], time by [`SHIFTED_ITEMS_MAX`], the depth of the result by the codec's bound. Moves
//! can build trees deeper than a stack is, so nothing here recurses into a
//! document before it was measured.

mod pointer;
mod tree;

use codec::DecodeError;
use schema::{Map, Value};

use crate::PatchError;
use crate::reader::{self, Strict};
use pointer::Place;

/// More operations in one patch are refused.
pub const OPERATIONS_MAX: usize = 10_000;
/// All `copy` operations of one patch together may copy this much JSON.
pub const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;
/// All operations of one patch together may shift this many neighbours of
/// what they add to lists and objects or remove from them: each takes as long
/// as its list is.
pub const SHIFTED_ITEMS_MAX: usize = 300_000_000;

/// A JSON patch that has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPatch(Vec<Operation>);

/// One operation; what is missing or null in it is none.
#[derive(Clone, Debug, Default, PartialEq)]
struct Operation {
    op: Option<String>,
    path: Option<String>,
    from: Option<String>,
    /// Null stands for no value at all, too; the original treats them alike.
    value: Value,
}

impl JsonPatch {
    /// Reads a patch. With `strict`, keys that no operation has and keys that
    /// stand twice are reported there.
    pub fn parse(bytes: &[u8], strict: Option<&mut Vec<String>>) -> Result<JsonPatch, PatchError> {
        let operations = read(bytes, strict)
            .map_err(|error| PatchError::Malformed(format!("error decoding patch: {error}")))?;
        if operations.len() > OPERATIONS_MAX {
            return Err(PatchError::TooManyOperations(operations.len()));
        }
        Ok(JsonPatch(operations))
    }

    /// The document after all operations, or the first that fails.
    pub fn apply(&self, document: Value) -> Result<Value, PatchError> {
        let mut run = Run { document, copied_bytes: 0, shifted_items: 0 };
        let done = self.0.iter().try_for_each(|operation| run.operate(operation));
        let done = done.and_then(|()| match tree::measure(&run.document).depth {
            depth if depth > codec::DEPTH_MAX => Err(format!("the result is nested {depth} levels deep")),
            _ => Ok(()),
        });
        match done {
            Ok(()) => Ok(run.document),
            Err(why) => {
                tree::discard(run.document);
                Err(PatchError::DoesNotApply(why))
            }
        }
    }
}

/// Reads a patch and applies it.
pub fn apply(document: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    JsonPatch::parse(patch, None)?.apply(document.clone())
}

fn read(bytes: &[u8], mut strict: Strict<'_>) -> Result<Vec<Operation>, DecodeError> {
    let mut found = Vec::new();
    let value = reader::any(bytes, strict.is_some().then_some(&mut found))?;
    let items = match value {
        Value::List(items) => items,
        Value::Null => Vec::new(),
        other => return Err(reader::mismatch(&other, "value", "[]handlers.jsonPatchOp")),
    };
    let mut operations = Vec::with_capacity(items.len());
    for (i, item) in items.into_iter().enumerate() {
        operations.push(match item {
            Value::Map(map) => operation(map, |key| found.push(format!("unknown field \"[{i}].{key}\"")))?,
            Value::Null => Operation::default(),
            other => return Err(reader::mismatch(&other, "value", "handlers.jsonPatchOp")),
        });
    }
    if let Some(strict) = &mut strict {
        strict.extend(found.into_iter().map(|text| format!("json patch {text}")));
    }
    Ok(operations)
}

fn operation(map: Map, mut unknown: impl FnMut(&str)) -> Result<Operation, DecodeError> {
    let mut operation = Operation::default();
    for (key, value) in map {
        let text = match key.as_str() {
            "op" => &mut operation.op,
            "path" => &mut operation.path,
            "from" => &mut operation.from,
            "value" => {
                operation.value = value;
                continue;
            }
            other => {
                unknown(other);
                continue;
            }
        };
        *text = match value {
            Value::String(text) => Some(text),
            Value::Null => None,
            other => {
                let place = format!("struct field jsonPatchOp.{}", key.as_str());
                return Err(reader::mismatch(&other, &place, "string"));
            }
        };
    }
    Ok(operation)
}

/// Why an operation does not apply; only the log sees it.
type Failure = String;

/// A document while operations change it.
struct Run {
    document: Value,
    copied_bytes: usize,
    shifted_items: usize,
}

impl Run {
    fn operate(&mut self, operation: &Operation) -> Result<(), Failure> {
        match operation.op.as_deref() {
            Some("add") => self.add(operation),
            Some("remove") => self.remove(operation),
            Some("replace") => self.replace(operation),
            Some("move") => self.relocate(operation),
            Some("test") => self.test(operation),
            Some("copy") => self.copy(operation),
            other => Err(format!("Unexpected kind: {}", other.unwrap_or("unknown"))),
        }
    }

    fn add(&mut self, operation: &Operation) -> Result<(), Failure> {
        self.put(operation.path()?, operation.value.clone())
    }

    /// Adds a value that may be deep; a value that was in the way is dismantled.
    fn put(&mut self, path: &str, value: Value) -> Result<(), Failure> {
        let place = Place::find(&mut self.document, path).ok_or_else(|| missing("add", path));
        let place = place.and_then(|place| count_shifted(&mut self.shifted_items, &place).map(|()| place));
        match place {
            Ok(mut place) => place.add(value).map(tree::discard),
            Err(failure) => {
                tree::discard(value);
                Err(failure)
            }
        }
    }

    fn remove(&mut self, operation: &Operation) -> Result<(), Failure> {
        let path = operation.path()?;
        let mut place = Place::find(&mut self.document, path).ok_or_else(|| missing("remove", path))?;
        count_shifted(&mut self.shifted_items, &place)?;
        place.remove().map(tree::discard)
    }

    fn replace(&mut self, operation: &Operation) -> Result<(), Failure> {
        let path = operation.path()?;
        if path.is_empty() {
            if !matches!(operation.value, Value::Map(_) | Value::List(_)) {
                return Err("replace of the whole document needs an object or a list".to_owned());
            }
            tree::discard(std::mem::replace(&mut self.document, operation.value.clone()));
            return Ok(());
        }
        let mut place = Place::find(&mut self.document, path).ok_or_else(|| missing("replace", path))?;
        place.set(operation.value.clone()).map(tree::discard)
    }

    fn relocate(&mut self, operation: &Operation) -> Result<(), Failure> {
        let from = operation.from()?;
        let mut place = Place::find(&mut self.document, from).ok_or_else(|| missing("move", from))?;
        count_shifted(&mut self.shifted_items, &place)?;
        let value = place.remove()?;
        match operation.path() {
            Ok(path) => self.put(path, value),
            Err(failure) => {
                tree::discard(value);
                Err(failure)
            }
        }
    }

    fn copy(&mut self, operation: &Operation) -> Result<(), Failure> {
        let from = operation.from()?;
        let place = Place::find(&mut self.document, from).ok_or_else(|| missing("copy", from))?;
        let value = match place.get()? {
            None => Value::Null,
            Some(value) => {
                let size = tree::measure(value);
                self.copied_bytes = self.copied_bytes.saturating_add(size.json_bytes);
                if self.copied_bytes > COPIED_BYTES_MAX {
                    return Err(format!("copies exceed {COPIED_BYTES_MAX} bytes"));
                }
                if size.depth > codec::DEPTH_MAX {
                    return Err(format!("copy of a value nested {} levels deep", size.depth));
                }
                value.clone()
            }
        };
        self.put(operation.path()?, value)
    }

    fn test(&mut self, operation: &Operation) -> Result<(), Failure> {
        let path = operation.path()?;
        // Comparing recurses no deeper than the wanted value does, and that came through the codec.
        let equal = |found: Option<&Value>| *found.unwrap_or(&Value::Null) == operation.value;
        let holds = match path {
            "" => equal(Some(&self.document)),
            _ => equal(Place::find(&mut self.document, path).ok_or_else(|| missing("test", path))?.get()?),
        };
        if holds { Ok(()) } else { Err(format!("testing value {path} failed")) }
    }
}

impl Operation {
    fn path(&self) -> Result<&str, Failure> {
        self.path.as_deref().ok_or_else(|| "operation missing path field".to_owned())
    }

    fn from(&self) -> Result<&str, Failure> {
        self.from.as_deref().ok_or_else(|| "operation missing from field".to_owned())
    }
}

fn count_shifted(shifted: &mut usize, place: &Place<'_>) -> Result<(), Failure> {
    *shifted = shifted.saturating_add(place.neighbours_behind());
    if *shifted > SHIFTED_ITEMS_MAX {
        return Err(format!("operations shift more than {SHIFTED_ITEMS_MAX} items"));
    }
    Ok(())
}

fn missing(operation: &str, path: &str) -> Failure {
    format!("{operation} operation does not apply: doc is missing path: {path:?}")
}

#[cfg(test)]
mod tests;
