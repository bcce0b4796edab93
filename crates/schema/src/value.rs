//! The dynamic value: one tree for built-in and custom objects.
//!
//! A [`Map`] is a vector sorted by key, so that lookups are a binary search,
//! iteration is in the order Go writes map keys, and two equal objects are
//! equal trees. Field names that stand in a schema table are borrowed from it:
//! decoding allocates for values, not for names.

use std::borrow::Cow;
use std::fmt;

/// A JSON value as it stands while an object is decoded, patched, defaulted
/// and validated.
///
/// Scalars with a wire form of their own are kept in their JSON form: a
/// quantity, a timestamp and base64 bytes are strings, an int-or-string is
/// either. `Raw` is JSON text that nobody has looked into yet (RawExtension,
/// FieldsV1): it keeps its bytes, white space included, because the original
/// compares and stores them so.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// JSON null. Typed decoding drops nulls; it stays in free-form content.
    #[default]
    Null,
    /// true or false.
    Bool(bool),
    /// A number without fraction that fits 64 bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Value>),
    /// An object, keys sorted.
    Map(Map),
    /// Well-formed JSON text, not parsed.
    Raw(Box<str>),
}

/// A map key: borrowed from a schema table or owned.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Cow<'static, str>);

impl Key {
    /// A key that lives as long as the program, e.g. a field name of the built-in table.
    pub const fn borrowed(name: &'static str) -> Key {
        Key(Cow::Borrowed(name))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl From<String> for Key {
    fn from(name: String) -> Key {
        Key(Cow::Owned(name))
    }
}
impl From<&str> for Key {
    fn from(name: &str) -> Key {
        Key(Cow::Owned(name.to_owned()))
    }
}
impl From<Cow<'static, str>> for Key {
    fn from(name: Cow<'static, str>) -> Key {
        Key(name)
    }
}
impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Key-value pairs sorted by key, each key once.
#[derive(Clone, Default, PartialEq)]
pub struct Map {
    entries: Vec<(Key, Value)>,
}

impl Map {
    /// An empty map.
    pub const fn new() -> Map {
        Map { entries: Vec::new() }
    }

    /// An empty map with room for `n` entries.
    pub fn with_capacity(n: usize) -> Map {
        Map { entries: Vec::with_capacity(n) }
    }

    /// Sorts what a reader collected in document order. Of equal keys the last
    /// wins, as in Go; `duplicate` is told each key that stood more than once.
    pub fn from_unsorted(mut entries: Vec<(Key, Value)>, mut duplicate: impl FnMut(&str)) -> Map {
        if entries.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return Map { entries };
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let mut sorted: Vec<(Key, Value)> = Vec::with_capacity(entries.len());
        for entry in entries {
            match sorted.last_mut() {
                Some(last) if last.0 == entry.0 => {
                    duplicate(entry.0.as_str());
                    *last = entry;
                }
                _ => sorted.push(entry),
            }
        }
        Map { entries: sorted }
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.0.as_str().cmp(key))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.find(key).ok().map(|i| &self.entries[i].1)
    }

    /// The value under `key`, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.find(key).ok().map(|i| &mut self.entries[i].1)
    }

    /// The string under `key`, if there is a string.
    pub fn str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// True if `key` is present, whatever its value.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// Sets `key`, returning what stood there.
    pub fn insert(&mut self, key: impl Into<Key>, value: impl Into<Value>) -> Option<Value> {
        let key = key.into();
        let value = value.into();
        match self.find(key.as_str()) {
            Ok(i) => Some(std::mem::replace(&mut self.entries[i].1, value)),
            Err(i) => {
                self.entries.insert(i, (key, value));
                None
            }
        }
    }

    /// The value under `key`, inserted from `make` when missing.
    pub fn entry(&mut self, key: impl Into<Key>, make: impl FnOnce() -> Value) -> &mut Value {
        let key = key.into();
        let i = match self.find(key.as_str()) {
            Ok(i) => i,
            Err(i) => {
                self.entries.insert(i, (key, make()));
                i
            }
        };
        &mut self.entries[i].1
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.find(key).ok().map(|i| self.entries.remove(i).1)
    }

    /// Entries in key order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Value)> + ExactSizeIterator {
        self.entries.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// Entries in key order, values to change.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&str, &mut Value)> {
        self.entries.iter_mut().map(|(k, v)| (k.as_str(), v))
    }

    /// Keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.entries.iter().map(|(k, _)| k.as_str())
    }

    /// Values in key order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Value> {
        self.entries.iter().map(|(_, v)| v)
    }

    /// Keeps the entries `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.entries.retain_mut(|(k, v)| keep(k.as_str(), v));
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<Key>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Map {
        Map::from_unsorted(iter.into_iter().map(|(k, v)| (k.into(), v.into())).collect(), |_| {})
    }
}

impl<K: Into<Key>, V: Into<Value>> Extend<(K, V)> for Map {
    /// Sets many keys at once, in time in proportion to both. Of equal keys the last counts.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, iter: I) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.extend(iter.into_iter().map(|(k, v)| (k.into(), v.into())));
        *self = Map::from_unsorted(entries, |_| {});
    }
}

impl IntoIterator for Map {
    type Item = (Key, Value);
    type IntoIter = std::vec::IntoIter<(Key, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl Value {
    /// An empty object.
    pub const fn map() -> Value {
        Value::Map(Map::new())
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The list to change, if it is one.
    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Value>> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The object to change, if it is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// True for null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The member `key` of an object; none for anything else.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// The member `key` of an object, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.as_map_mut()?.get_mut(key)
    }

    /// The value at a path of object members.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// The value at a path of object members, to change.
    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        path.iter().try_fold(self, |value, key| value.get_mut(key))
    }

    /// The string at a path.
    pub fn str_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.as_str()
    }

    /// The integer at a path.
    pub fn int_at(&self, path: &[&str]) -> Option<i64> {
        self.at(path)?.as_int()
    }

    /// The boolean at a path.
    pub fn bool_at(&self, path: &[&str]) -> Option<bool> {
        self.at(path)?.as_bool()
    }

    /// The list at a path; empty if there is none.
    pub fn list_at(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_list).unwrap_or_default()
    }

    /// The object at a path.
    pub fn map_at(&self, path: &[&str]) -> Option<&Map> {
        self.at(path)?.as_map()
    }

    /// The object at a path, made on the way where nothing (or null) stands.
    /// Anything that is not an object on the way is replaced by one.
    pub fn ensure_map(&mut self, path: &[&'static str]) -> &mut Map {
        let mut here = self;
        for key in path {
            if !matches!(here, Value::Map(_)) {
                *here = Value::map();
            }
            let Value::Map(map) = here else { unreachable!("just made a map") };
            here = map.entry(Key::borrowed(key), Value::map);
        }
        if !matches!(here, Value::Map(_)) {
            *here = Value::map();
        }
        let Value::Map(map) = here else { unreachable!("just made a map") };
        map
    }

    /// Sets the value at a path, making the objects on the way.
    pub fn set(&mut self, path: &[&'static str], value: impl Into<Value>) {
        let Some((last, parents)) = path.split_last() else {
            *self = value.into();
            return;
        };
        self.ensure_map(parents).insert(Key::borrowed(last), value);
    }

    /// Sets the value at a path only where nothing (or null) stands. The
    /// parents are made.
    pub fn set_default(&mut self, path: &[&'static str], value: impl Into<Value>) {
        if self.at(path).is_none_or(Value::is_null) {
            self.set(path, value);
        }
    }

    /// Takes out the value at a path.
    pub fn remove(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        self.at_mut(parents)?.as_map_mut()?.remove(last)
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Value {
        Value::Bool(v)
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Value {
        Value::Int(v.into())
    }
}
impl From<i64> for Value {
    fn from(v: i64) -> Value {
        Value::Int(v)
    }
}
impl From<u32> for Value {
    fn from(v: u32) -> Value {
        Value::Int(v.into())
    }
}
impl From<f64> for Value {
    fn from(v: f64) -> Value {
        Value::Float(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Value {
        Value::String(v.to_owned())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Value {
        Value::String(v)
    }
}
impl From<Map> for Value {
    fn from(v: Map) -> Value {
        Value::Map(v)
    }
}
impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(v: Vec<V>) -> Value {
        Value::List(v.into_iter().map(Into::into).collect())
    }
}
impl<V: Into<Value>, const N: usize> From<[V; N]> for Value {
    fn from(v: [V; N]) -> Value {
        Value::List(v.into_iter().map(Into::into).collect())
    }
}
impl<K: Into<Key>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Map {
    fn from(v: [(K, V); N]) -> Map {
        v.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_duplicate_keys_the_last_wins_and_is_reported() {
        let mut seen = Vec::new();
        let entries = vec![("b".into(), 1.into()), ("a".into(), 2.into()), ("b".into(), 3.into())];
        let map = Map::from_unsorted(entries, |key| seen.push(key.to_owned()));
        assert_eq!(map, Map::from([("a", 2), ("b", 3)]));
        assert_eq!(seen, ["b"]);
    }

    #[test]
    fn set_makes_the_way_and_set_default_keeps_what_stands() {
        let mut object = Value::map();
        object.set(&["spec", "replicas"], 3);
        object.set_default(&["spec", "replicas"], 1);
        object.set_default(&["spec", "paused"], false);
        assert_eq!(object.int_at(&["spec", "replicas"]), Some(3));
        assert_eq!(object.bool_at(&["spec", "paused"]), Some(false));
        assert_eq!(object.remove(&["spec", "replicas"]), Some(Value::Int(3)));
        assert_eq!(object.at(&["spec", "replicas"]), None);
    }

    #[test]
    fn a_value_stays_small() {
        assert_eq!(size_of::<Value>(), 32, "a value is moved and stored by the hundred per object");
    }
}
