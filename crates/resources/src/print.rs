//! Texts of printed columns that several resources share, as the original's
//! table printers make them.

use std::collections::BTreeSet;

use meta::ObjectMeta;
use meta::selector::LabelSelector;
use registry::{Column, PrintContext};
use schema::{Map, Value};

/// What is printed where there is nothing.
pub const NONE: &str = "<none>";

/// Name and age, which stand around what a resource adds.
pub fn with_name_and_age<const N: usize>(
    object: &Value,
    print: &PrintContext,
    between: [Value; N],
) -> Vec<Value> {
    let mut cells = Vec::with_capacity(N + 2);
    cells.push(Value::from(print.name(object)));
    cells.extend(between);
    cells.push(Value::from(print.age(object)));
    cells
}

/// Name and creation time, the cells of resources without a printer of their own.
pub fn name_and_creation(object: &Value, print: &PrintContext) -> Vec<Value> {
    let created = ObjectMeta::of(object).creation_timestamp();
    vec![Value::from(print.name(object)), Value::from(created)]
}

/// A column of creation times, which clients turn into ages.
pub fn date_column(name: &'static str) -> Column {
    Column { kind: "date", ..Column::string(name) }
}

/// A column of booleans.
pub fn bool_column(name: &'static str) -> Column {
    Column { kind: "boolean", ..Column::string(name) }
}

/// `text`, or `<none>` if it is empty.
pub fn or_none(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { text.to_owned() }
}

/// The string at a path, empty if there is none.
pub fn text(object: &Value, path: &[&str]) -> String {
    object.str_at(path).unwrap_or_default().to_owned()
}

/// The integer at a path, 0 if there is none.
pub fn int(object: &Value, path: &[&str]) -> i64 {
    object.int_at(path).unwrap_or_default()
}

/// A map as `a=b,c=d`; `<none>` without entries.
pub fn labels(map: Option<&Map>) -> String {
    let pair = |(key, value): (&str, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
    or_none(&map.map(|map| map.iter().map(pair).collect::<Vec<_>>().join(",")).unwrap_or_default())
}

/// A `LabelSelector` object in selector syntax; `<none>` if it selects
/// everything or is missing.
pub fn label_selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector.filter(|value| !value.is_null()) else { return NONE.to_owned() };
    match LabelSelector::from_object(selector) {
        Ok(selector) => or_none(&selector.to_string()),
        Err(_) => "<error>".to_owned(),
    }
}

/// Names and images of the containers in a pod template's `spec`, each joined by commas.
pub fn containers(pod_spec: Option<&Value>) -> [Value; 2] {
    let containers = pod_spec.map(|spec| spec.list_at(&["containers"])).unwrap_or_default();
    let join = |key: &str| {
        let texts: Vec<&str> =
            containers.iter().map(|container| container.str_at(&[key]).unwrap_or_default()).collect();
        Value::from(texts.join(","))
    };
    [join("name"), join("image")]
}

/// Access modes of a volume in their short form, e.g. `RWO,ROX`.
pub fn access_modes(modes: &[Value]) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let given: BTreeSet<&str> = modes.iter().filter_map(Value::as_str).collect();
    let short: Vec<&str> =
        SHORT.iter().filter(|(long, _)| given.contains(long)).map(|(_, short)| *short).collect();
    short.join(",")
}

/// A boolean that may be missing: `True`, `False` or `<unset>`.
pub fn optional_bool(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    }
}

/// An integer, quantity or int-or-string as text; `missing` if there is none.
pub fn scalar_or(value: Option<&Value>, missing: &str) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Int(n)) => n.to_string(),
        _ => missing.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_joined_and_nothing_is_none() {
        let map = Map::from([("b", "2"), ("a", "1")]);
        assert_eq!(labels(Some(&map)), "a=1,b=2");
        assert_eq!(labels(None), "<none>");
    }

    #[test]
    fn access_modes_are_short_distinct_and_in_order() {
        let modes = ["ReadWriteMany", "ReadWriteOnce", "ReadWriteOnce"].map(Value::from);
        assert_eq!(access_modes(&modes), "RWO,RWX");
    }
}
