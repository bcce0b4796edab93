//! YAML text to a tree.
//!
//! Owns anchors and their bounds, keys that stand twice, and the words of the
//! original's syntax errors. Walks events with a stack of its own, so that
//! nesting is bounded by [`DEPTH_MAX`] and not by the thread.

use super::resolve::{self, Resolved};
use crate::{DEPTH_MAX, DecodeError, StrictError};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};
use schema::Value;
use std::collections::{BTreeMap, HashMap};

/// How much aliases may add to a document, and anchors may keep for them, in
/// bytes of content plus [`NODE_COST`] per node. A request body is smaller.
const ALIAS_BUDGET: usize = 10_000_000;
/// What a node counts beside its text.
const NODE_COST: usize = 32;

/// A document.
pub struct Parsed {
    pub value: Value,
    /// Line and key of each key that stood in its mapping already.
    duplicates: Vec<(usize, String)>,
}

impl Parsed {
    /// What a strict reader says about keys that stand twice.
    pub fn strict_error(&self) -> Option<StrictError> {
        if self.duplicates.is_empty() {
            return None;
        }
        let line = |(line, key): &(usize, String)| format!("\n  line {line}: key {key:?} already set in map");
        let lines: String = self.duplicates.iter().map(line).collect();
        Some(StrictError::Yaml(format!("yaml: unmarshal errors:{lines}")))
    }
}

/// Reads the first document of a stream; null if there is none.
pub fn parse(bytes: &[u8]) -> Result<Parsed, DecodeError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| DecodeError::Yaml("yaml: invalid leading UTF-8 octet".into()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| syntax_error(&error))?;
        if builder.event(event, span.start.line())? {
            break;
        }
    }
    Ok(Parsed { value: builder.root.unwrap_or_default(), duplicates: builder.duplicates })
}

#[derive(Default)]
struct Builder {
    root: Option<Value>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    /// What aliases have added so far.
    aliased: usize,
    /// What has been kept for aliases so far: anchors in anchors keep the same again.
    anchored: usize,
    duplicates: Vec<(usize, String)>,
}

/// A list or mapping whose end has not come yet.
struct Open {
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    Mapping {
        /// A tree: in a sorted list each key that comes late but belongs in front would move all others.
        map: BTreeMap<String, Value>,
        /// The key that waits for its value, with its line.
        key: Option<(MapKey, usize)>,
    },
}

enum MapKey {
    Name(String),
    /// `<<`: the value is merged into the mapping.
    Merge,
}

/// A value with an anchor and what its copies cost.
struct Anchored {
    value: Value,
    cost: usize,
    depth: usize,
}

impl Builder {
    /// Takes one event; true at the end of the first document.
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<bool, DecodeError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let resolved = resolve_tagged(&text, plain, tag.as_deref());
                if matches!(resolved, Resolved::Merge) && self.expects_key() {
                    self.set_key(MapKey::Merge, line);
                } else {
                    self.add(scalar_value(resolved, &text)?, anchor, line)?;
                }
            }
            Event::SequenceStart(anchor, _) => self.enter(anchor, Content::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => {
                self.enter(anchor, Content::Mapping { map: BTreeMap::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(line)?,
            Event::Alias(anchor) => self.alias(anchor, line)?,
            Event::DocumentEnd => return Ok(true),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
        Ok(false)
    }

    fn enter(&mut self, anchor: usize, content: Content) -> Result<(), DecodeError> {
        if self.expects_key() {
            return Err(DecodeError::Yaml("yaml: invalid map key".into()));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        self.open.push(Open { anchor, content });
        Ok(())
    }

    fn leave(&mut self, line: usize) -> Result<(), DecodeError> {
        let Some(Open { anchor, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Mapping { map, .. } => Value::Map(map.into_iter().collect()),
        };
        self.add(value, anchor, line)
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<(), DecodeError> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(DecodeError::Yaml("yaml: anchor value contains itself".into()));
        };
        self.aliased += anchored.cost;
        if self.aliased > ALIAS_BUDGET {
            return Err(excessive_aliasing());
        }
        if self.open.len() + anchored.depth > DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let value = anchored.value.clone();
        self.add(value, 0, line)
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Mapping { key: None, .. }, .. }))
    }

    fn set_key(&mut self, name: MapKey, line: usize) {
        if let Some(Open { content: Content::Mapping { key, .. }, .. }) = self.open.last_mut() {
            *key = Some((name, line));
        }
    }

    /// Puts a complete value where it belongs.
    fn add(&mut self, value: Value, anchor: usize, line: usize) -> Result<(), DecodeError> {
        if anchor > 0 {
            let (cost, depth) = measure(&value);
            self.anchored += cost;
            if self.anchored > ALIAS_BUDGET {
                return Err(excessive_aliasing());
            }
            self.anchors.insert(anchor, Anchored { value: value.clone(), cost, depth });
        }
        if self.expects_key() {
            let name = key_text(value).ok_or_else(|| DecodeError::Yaml("yaml: invalid map key".into()))?;
            self.set_key(MapKey::Name(name), line);
            return Ok(());
        }
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open { content: Content::List(items), .. }) => items.push(value),
            Some(Open { content: Content::Mapping { map, key }, .. }) => match key.take() {
                Some((MapKey::Name(name), line)) => insert(map, name, value, line, &mut self.duplicates),
                Some((MapKey::Merge, line)) => merge(map, value, line, &mut self.duplicates)?,
                None => {}
            },
        }
        Ok(())
    }
}

fn excessive_aliasing() -> DecodeError {
    DecodeError::Yaml("yaml: document contains excessive aliasing".into())
}

fn insert(
    map: &mut BTreeMap<String, Value>,
    name: String,
    value: Value,
    line: usize,
    duplicates: &mut Vec<(usize, String)>,
) {
    if map.contains_key(&name) {
        duplicates.push((line, name.clone()));
    }
    map.insert(name, value);
}

/// `<<` takes a mapping or a list of mappings, of which the first wins.
fn merge(
    map: &mut BTreeMap<String, Value>,
    value: Value,
    line: usize,
    duplicates: &mut Vec<(usize, String)>,
) -> Result<(), DecodeError> {
    let sources = match value {
        Value::List(items) => items,
        single => vec![single],
    };
    for source in sources.into_iter().rev() {
        let Value::Map(source) = source else {
            return Err(DecodeError::Yaml(
                "yaml: map merge requires map or sequence of maps as the value".into(),
            ));
        };
        for (key, value) in source {
            insert(map, key.as_str().to_owned(), value, line, duplicates);
        }
    }
    Ok(())
}

/// What copies of a value cost, and how deep it is.
fn measure(value: &Value) -> (usize, usize) {
    let add = |(cost, depth): (usize, usize), (inner_cost, inner_depth): (usize, usize)| {
        (cost + inner_cost, depth.max(inner_depth + 1))
    };
    match value {
        Value::String(text) => (NODE_COST + text.len(), 0),
        Value::List(items) => items.iter().map(measure).fold((NODE_COST, 1), add),
        Value::Map(map) => map
            .iter()
            .map(|(key, value)| (key, measure(value)))
            .map(|(key, (cost, depth))| (cost + NODE_COST + key.len(), depth))
            .fold((NODE_COST, 1), add),
        _ => (NODE_COST, 0),
    }
}

fn resolve_tagged<'t>(text: &'t str, plain: bool, tag: Option<&Tag>) -> Resolved<'t> {
    match tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str()) {
        Some("str" | "binary" | "timestamp") => Resolved::String(text),
        Some("int" | "float" | "bool" | "null" | "merge") => resolve::resolve(text),
        _ if plain => resolve::resolve(text),
        _ => Resolved::String(text),
    }
}

fn scalar_value(resolved: Resolved<'_>, text: &str) -> Result<Value, DecodeError> {
    Ok(match resolved {
        Resolved::Null => Value::Null,
        Resolved::Bool(b) => Value::Bool(b),
        Resolved::Int(n) => Value::Int(n),
        Resolved::Float(n) if n.is_finite() => Value::Float(n),
        Resolved::Float(n) => {
            let name = if n.is_nan() {
                "NaN"
            } else if n > 0.0 {
                "+Inf"
            } else {
                "-Inf"
            };
            return Err(DecodeError::Yaml(format!("json: unsupported value: {name}")));
        }
        Resolved::Timestamp | Resolved::Merge | Resolved::String(_) => Value::String(text.to_owned()),
    })
}

/// A scalar as the name of a JSON member.
fn key_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Int(n) => Some(n.to_string()),
        Value::Float(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

/// The original names a line only when it is not the first, and counts from
/// zero when the parser, not the scanner, complains.
fn syntax_error(error: &ScanError) -> DecodeError {
    let info = error.info();
    let from_parser = info.starts_with("did not find expected <") || info.starts_with("while parsing a ");
    let line = error.marker().line() - usize::from(from_parser && error.marker().line() > 0);
    let problem = match info.strip_prefix("while ").and_then(|rest| rest.split_once(", ")) {
        Some((_, "expected ',' or ']'")) => "did not find expected ',' or ']'",
        Some((_, problem)) => problem,
        None if info.starts_with("tab") => "found character that cannot start any token",
        None => info,
    };
    let place = if error.marker().line() > 1 { format!("line {line}: ") } else { String::new() };
    DecodeError::Yaml(format!("yaml: {place}{problem}"))
}
