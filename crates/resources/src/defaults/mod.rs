//! Defaults that several resources share, and the small steps they are made of.
//!
//! Go tells a field that is missing from a zero one only if it is a pointer.
//! [`pointer`] therefore fills what is absent, [`text`] and [`number`] also
//! what is empty or zero.

pub mod pod;
pub mod resources;
pub mod volumes;

use schema::{Key, Value};

/// Fills a pointer field: set where absent or null.
pub fn pointer(parent: &mut Value, key: &'static str, default: impl Into<Value>) {
    if let Value::Map(map) = parent
        && map.get(key).is_none_or(Value::is_null)
    {
        map.insert(Key::borrowed(key), default);
    }
}

/// Fills a text field that is no pointer: set where absent, null or empty.
pub fn text(parent: &mut Value, key: &'static str, default: &str) {
    if parent.str_at(&[key]).is_none_or(str::is_empty)
        && let Value::Map(map) = parent
    {
        map.insert(Key::borrowed(key), default);
    }
}

/// Fills a number field that is no pointer: set where absent, null or zero.
pub fn number(parent: &mut Value, key: &'static str, default: i64) {
    if parent.int_at(&[key]).is_none_or(|n| n == 0)
        && let Value::Map(map) = parent
    {
        map.insert(Key::borrowed(key), default);
    }
}

/// The member `key` to change; none if it is absent or no object.
pub fn object<'a>(parent: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    parent.get_mut(key).filter(|value| matches!(value, Value::Map(_)))
}

/// The member `key` to change, an empty object made where it is absent.
pub fn ensure<'a>(parent: &'a mut Value, key: &'static str) -> &'a mut Value {
    if !matches!(parent, Value::Map(_)) {
        *parent = Value::map();
    }
    let Value::Map(map) = parent else { unreachable!("just made a map") };
    let member = map.entry(Key::borrowed(key), Value::map);
    if member.is_null() {
        *member = Value::map();
    }
    member
}

/// The items of the list `key`, to change.
pub fn items<'a>(parent: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    parent.get_mut(key).and_then(Value::as_list_mut).into_iter().flatten()
}

/// True where nothing is said: absent, null, `""`, `{}` or `[]`.
pub fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::List(items)) => items.is_empty(),
        Some(Value::Map(map)) => map.is_empty(),
        Some(_) => false,
    }
}

/// The integer at a path, 0 if there is none.
pub fn number_at(object: &Value, path: &[&str]) -> i64 {
    object.int_at(path).unwrap_or_default()
}
