//! JSON pointers: the container a path leads to and the key in it.

use schema::{Map, Value};

use super::Failure;

/// A place in a document: a container and a key of it, which may be vacant.
pub(super) struct Place<'a> {
    container: Container<'a>,
    key: String,
}

enum Container<'a> {
    Map(&'a mut Map),
    List(&'a mut Vec<Value>),
}

impl<'a> Place<'a> {
    /// The place a path names; none if there is no container to hold it. As in
    /// the original, what stands before the first slash is not looked at.
    pub(super) fn find(document: &'a mut Value, path: &str) -> Option<Place<'a>> {
        let (_, path) = path.split_once('/')?;
        let (parents, key) =
            path.rsplit_once('/').map_or((None, path), |(parents, key)| (Some(parents), key));
        let mut here = document;
        for part in parents.into_iter().flat_map(|parents| parents.split('/')) {
            let part = unescape(part);
            here = match here {
                Value::Map(map) => map.get_mut(&part)?,
                Value::List(items) => {
                    let index = index(&part, items.len()).ok()?;
                    items.get_mut(index)?
                }
                _ => return None,
            };
        }
        let container = match here {
            Value::Map(map) => Container::Map(map),
            Value::List(items) => Container::List(items),
            _ => return None,
        };
        Some(Place { container, key: unescape(key) })
    }

    /// What stands there; none for a key that an object does not have.
    pub(super) fn get(&self) -> Result<Option<&Value>, Failure> {
        match &self.container {
            Container::Map(map) => Ok(map.get(&self.key)),
            Container::List(items) => {
                let at = index(&self.key, items.len())?;
                items.get(at).map(Some).ok_or_else(|| self.out_of_bounds())
            }
        }
    }

    /// How many neighbours make room for a new value here, or close the gap of one.
    pub(super) fn neighbours_behind(&self) -> usize {
        match &self.container {
            // At most: keys are sorted.
            Container::Map(map) => map.len(),
            Container::List(_) if self.key == "-" => 0,
            Container::List(items) => {
                items.len().saturating_sub(index(&self.key, items.len()).unwrap_or_default())
            }
        }
    }

    /// Puts a value in: over what an object has, between what a list has.
    /// Gives back what it displaced, null if nothing.
    pub(super) fn add(&mut self, value: Value) -> Result<Value, Failure> {
        match &mut self.container {
            Container::Map(map) => Ok(map.insert(self.key.as_str(), value).unwrap_or_default()),
            Container::List(items) => {
                // Negative indices count from the end of the list as it will be.
                let room = items.len() + 1;
                let at = if self.key == "-" { Ok(items.len()) } else { index(&self.key, room) };
                match at {
                    Ok(at) if at < room => {
                        items.insert(at, value);
                        Ok(Value::Null)
                    }
                    _ => {
                        super::tree::discard(value);
                        Err(self.out_of_bounds())
                    }
                }
            }
        }
    }

    /// Puts a value over another; an object need not have had one.
    pub(super) fn set(&mut self, value: Value) -> Result<Value, Failure> {
        match &mut self.container {
            Container::Map(_) => self.add(value),
            Container::List(items) => {
                let at = index(&self.key, items.len())?;
                match items.get_mut(at) {
                    Some(old) => Ok(std::mem::replace(old, value)),
                    None => Err(self.out_of_bounds()),
                }
            }
        }
    }

    /// Takes out what stands there.
    pub(super) fn remove(&mut self) -> Result<Value, Failure> {
        match &mut self.container {
            Container::Map(map) => {
                map.remove(&self.key).ok_or_else(|| format!("Unable to remove nonexistent key: {}", self.key))
            }
            Container::List(items) => {
                let at = index(&self.key, items.len())?;
                if at < items.len() { Ok(items.remove(at)) } else { Err(self.out_of_bounds()) }
            }
        }
    }

    fn out_of_bounds(&self) -> Failure {
        format!("Unable to access invalid index: {}", self.key)
    }
}

/// A position in a list; negative ones count from its end. May lie behind the end.
fn index(key: &str, len: usize) -> Result<usize, Failure> {
    let number: i64 = key.parse().map_err(|_| format!("invalid index {key:?}"))?;
    let distance = usize::try_from(number.unsigned_abs()).map_err(|_| format!("invalid index {key:?}"))?;
    if number >= 0 {
        return Ok(distance);
    }
    len.checked_sub(distance).ok_or_else(|| format!("Unable to access invalid index: {number}"))
}

/// `~1` is a slash and `~0` a tilde, in one pass; any other tilde is itself.
fn unescape(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        out.push_str(&rest[..at]);
        let (c, len) = match rest.as_bytes().get(at + 1) {
            Some(b'0') => ('~', 2),
            Some(b'1') => ('/', 2),
            _ => ('~', 1),
        };
        out.push(c);
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    out
}
