//! Work on trees of any depth without recursion.

use schema::Value;

/// What a value costs.
pub(super) struct Size {
    /// Levels of containers; 0 for a scalar.
    pub(super) depth: usize,
    /// About how long its JSON is: escapes are not counted.
    pub(super) json_bytes: usize,
}

/// Measures a value.
pub(super) fn measure(value: &Value) -> Size {
    let mut size = Size { depth: 0, json_bytes: 0 };
    let mut open: Vec<(&Value, usize)> = vec![(value, 0)];
    while let Some((value, level)) = open.pop() {
        size.json_bytes += 1;
        match value {
            Value::List(items) => {
                size.depth = size.depth.max(level + 1);
                size.json_bytes += items.len();
                open.extend(items.iter().map(|item| (item, level + 1)));
            }
            Value::Map(map) => {
                size.depth = size.depth.max(level + 1);
                size.json_bytes += map.keys().map(|key| key.len() + 4).sum::<usize>();
                open.extend(map.values().map(|value| (value, level + 1)));
            }
            Value::String(text) => size.json_bytes += text.len() + 1,
            Value::Raw(json) => size.json_bytes += json.len(),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => size.json_bytes += 3,
        }
    }
    size
}

/// Drops a value level by level: dropping it as a whole would recurse.
pub(super) fn discard(value: Value) {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::List(items) => open.extend(items),
            Value::Map(map) => open.extend(map.into_iter().map(|(_, value)| value)),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::String(_)
            | Value::Raw(_) => {}
        }
    }
}
