//! One step of a path into an object, its order and its two texts: the one of
//! `fieldsV1` keys and the one people read.

use std::cmp::Ordering;
use std::fmt;

use schema::{Key, Map, Value};

/// A step of a path. The order of the variants is the order of field sets.
#[derive(Clone, Debug, PartialEq)]
pub enum PathElement {
    /// A field of a struct or a key of a map.
    Field(Key),
    /// An item of a list, by the values of its keys (sorted by name).
    Key(Vec<(Key, Value)>),
    /// An item of a set, by its value.
    Value(Value),
    /// An item of a list, by its place.
    Index(i64),
}

/// A key of `fieldsV1` that is no path element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    /// The letter in front is none that is known; such keys are skipped.
    #[error("unknown path element type")]
    UnknownType,
    /// The text behind the letter makes no sense.
    #[error("invalid path element")]
    Invalid,
}

impl PathElement {
    /// A field by name.
    pub fn field(name: impl Into<Key>) -> PathElement {
        PathElement::Field(name.into())
    }

    /// Reads a key of `fieldsV1`, e.g. `f:spec` or `k:{"name":"a"}`.
    pub fn parse(text: &str) -> Result<PathElement, ElementError> {
        let (kind, rest) = text.split_at_checked(2).ok_or(ElementError::UnknownType)?;
        let json = || codec::json::decode_any(rest.as_bytes()).map_err(|_| ElementError::Invalid);
        match kind {
            "f:" => Ok(PathElement::Field(rest.into())),
            "v:" => Ok(PathElement::Value(json()?)),
            "k:" => match json()? {
                Value::Map(map) => Ok(PathElement::Key(map.into_iter().collect())),
                _ => Err(ElementError::Invalid),
            },
            "i:" => rest.parse().map(PathElement::Index).map_err(|_| ElementError::Invalid),
            _ => Err(ElementError::UnknownType),
        }
    }

    /// Appends the key of `fieldsV1`, unquoted.
    pub fn write(&self, out: &mut String) {
        match self {
            PathElement::Field(name) => {
                out.push_str("f:");
                out.push_str(name.as_str());
            }
            PathElement::Key(keys) => {
                out.push_str("k:");
                let map: Map = keys.iter().cloned().collect();
                push_json(&Value::Map(map), out);
            }
            PathElement::Value(value) => {
                out.push_str("v:");
                push_json(value, out);
            }
            PathElement::Index(index) => {
                out.push_str("i:");
                out.push_str(&index.to_string());
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            PathElement::Field(_) => 0,
            PathElement::Key(_) => 1,
            PathElement::Value(_) => 2,
            PathElement::Index(_) => 3,
        }
    }
}

impl Eq for PathElement {}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &PathElement) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &PathElement) -> Ordering {
        match (self, other) {
            (PathElement::Field(a), PathElement::Field(b)) => a.as_str().cmp(b.as_str()),
            (PathElement::Key(a), PathElement::Key(b)) => compare_keys(a, b),
            (PathElement::Value(a), PathElement::Value(b)) => compare_values(a, b),
            (PathElement::Index(a), PathElement::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

/// As people read it: `.spec`, `[name="a"]`, `[="x"]`, `[0]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{}", name.as_str()),
            PathElement::Key(keys) => {
                f.write_str("[")?;
                for (i, (name, value)) in keys.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    write!(f, "{comma}{}={}", name.as_str(), json(value))?;
                }
                f.write_str("]")
            }
            PathElement::Value(value) => write!(f, "[={}]", json(value)),
            PathElement::Index(index) => write!(f, "[{index}]"),
        }
    }
}

fn compare_keys(a: &[(Key, Value)], b: &[(Key, Value)]) -> Ordering {
    for ((a_name, a_value), (b_name, b_value)) in a.iter().zip(b) {
        let order = a_name.cmp(b_name).then_with(|| compare_values(a_value, b_value));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// The order of values: numbers, strings, booleans, lists, maps, null.
fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Int(a), Value::Float(b)) => (*a as f64).total_cmp(b),
        (Value::Float(a), Value::Int(b)) => a.total_cmp(&(*b as f64)),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::List(a), Value::List(b)) => a
            .iter()
            .zip(b)
            .map(|(a, b)| compare_values(a, b))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        (Value::Map(a), Value::Map(b)) => a
            .iter()
            .zip(b.iter())
            .map(|((a_key, a), (b_key, b))| a_key.cmp(b_key).then_with(|| compare_values(a, b)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        (a, b) => value_rank(a).cmp(&value_rank(b)),
    }
}

fn value_rank(value: &Value) -> u8 {
    match value {
        Value::Int(_) | Value::Float(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::List(_) => 3,
        Value::Map(_) => 4,
        Value::Raw(_) => 5,
        Value::Null => 6,
    }
}

fn push_json(value: &Value, out: &mut String) {
    out.push_str(&json(value));
}

fn json(value: &Value) -> String {
    let mut bytes = Vec::new();
    codec::json::encode_plain(value, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_element_survives_its_text() {
        for text in
            ["f:spec", "f:", r#"k:{"containerPort":80,"protocol":"TCP"}"#, r#"v:"a""#, "v:1.5", "i:-3"]
        {
            let element = PathElement::parse(text).expect(text);
            let mut out = String::new();
            element.write(&mut out);
            assert_eq!(out, text);
        }
        assert_eq!(PathElement::parse("x:1"), Err(ElementError::UnknownType));
        assert_eq!(PathElement::parse("k:[1]"), Err(ElementError::Invalid));
        assert_eq!(PathElement::parse("i:one"), Err(ElementError::Invalid));
    }

    #[test]
    fn fields_come_before_keys_before_values_before_places() {
        let texts = [
            "f:a",
            "f:b",
            r#"k:{"a":1}"#,
            r#"k:{"a":2}"#,
            r#"k:{"a":2,"b":0}"#,
            "v:2",
            r#"v:"1""#,
            "v:true",
            "i:0",
        ];
        let elements: Vec<PathElement> =
            texts.iter().map(|text| PathElement::parse(text).expect("an element")).collect();
        assert!(elements.windows(2).all(|pair| pair[0] < pair[1]), "{elements:?}");
    }

    #[test]
    fn people_read_paths_like_selectors() {
        let shown = |text| PathElement::parse(text).expect("an element").to_string();
        assert_eq!(shown("f:spec"), ".spec");
        assert_eq!(shown(r#"k:{"port":80,"protocol":"TCP"}"#), r#"[port=80,protocol="TCP"]"#);
        assert_eq!(shown(r#"v:"e.com/a""#), r#"[="e.com/a"]"#);
        assert_eq!(shown("i:2"), "[2]");
    }
}
