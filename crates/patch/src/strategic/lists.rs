//! Lists in strategic merge patches: merged by key or as sets, then brought
//! into order.
//!
//! The order is the original's: items the patch names stand in the patch's
//! order (or that of `$setElementOrder`), items it does not name keep theirs,
//! and where the two meet, what stood before an item still does if both stood
//! there already, else what the patch names comes first.

use std::collections::BTreeMap;
use std::mem::{discriminant, take};

use schema::{Map, Value};

use super::lookup::{Node, Strategy};
use super::{DIRECTIVE, GO_LIST, GO_MAP, Purpose, SET_ORDER};
use super::{bad_directive, bad_format, bad_type, merge_map, without_directives};
use crate::PatchError;
use crate::go_text::{go_text, write_list};

/// A list field and what is to be done to it.
pub(super) struct List<'a> {
    pub(super) items: Node<'a>,
    pub(super) strategy: Strategy,
    /// Empty for lists of scalars.
    pub(super) merge_key: &'a str,
    pub(super) purpose: Purpose,
}

impl List<'_> {
    /// The list after the patch.
    pub(super) fn merge(&self, original: Vec<Value>, patch: Vec<Value>) -> Result<Vec<Value>, PatchError> {
        if self.strategy != Strategy::Merge {
            return Ok(patch);
        }
        let Some(kind) = item_kind(&[&original, &patch])? else { return Ok(original) };
        match kind {
            Items::Maps => self.merge_maps(original, patch),
            Items::Scalars if self.purpose == Purpose::DeleteItems => {
                let deleted = Positions::of(&patch, None)?;
                Ok(original.into_iter().filter(|item| deleted.find(item).is_none()).collect())
            }
            Items::Scalars => {
                let mut seen = Positions::default();
                let all = original.iter().chain(&patch);
                let merged = all.filter(|item| seen.add(item)).cloned().collect();
                self.order(merged, &patch, &original, kind)
            }
        }
    }

    fn merge_maps(&self, original: Vec<Value>, patch: Vec<Value>) -> Result<Vec<Value>, PatchError> {
        if self.merge_key.is_empty() {
            let text = format!("cannot merge lists without merge key for {}", self.items.go_kind());
            return Err(PatchError::Strategic(text));
        }
        let (mut merged, patch) = self.obey_directives(original, patch)?;
        let server_order = self.keys(&merged);
        let mut positions = Positions::of(&merged, Some(self.merge_key))?;
        for item in &patch {
            let change = as_map(item)?;
            let key = merge_key_of(change, self.merge_key)?;
            match positions.find(key) {
                Some(at) => {
                    let Value::Map(current) = take(&mut merged[at]) else {
                        unreachable!("only maps have a key")
                    };
                    merged[at] = merge_map(current, change.clone(), self.items)?.into();
                }
                None => {
                    positions.insert(key, merged.len());
                    merged.push(item.clone());
                }
            }
        }
        self.order(merged, &patch, &server_order, Items::Maps)
    }

    /// Does what items with `$patch` say; gives back the rest of both lists.
    fn obey_directives(
        &self,
        mut original: Vec<Value>,
        patch: Vec<Value>,
    ) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
        let mut rest = Vec::with_capacity(patch.len());
        let mut deleted = Positions::default();
        let mut replace = false;
        for item in patch {
            let map = as_map(&item)?;
            let Some(directive) = map.get(DIRECTIVE) else {
                rest.push(item);
                continue;
            };
            match directive.as_str() {
                Some("delete") => {
                    deleted.add(merge_key_of(map, self.merge_key)?);
                }
                Some("replace") => replace = true,
                Some("merge") => {
                    let text = "merging lists cannot yet be specified in the patch";
                    return Err(PatchError::Strategic(text.to_owned()));
                }
                _ => return Err(bad_directive(directive, map)),
            }
        }
        original.retain(|item| item.get(self.merge_key).is_none_or(|key| deleted.find(key).is_none()));
        if replace { Ok((rest, Vec::new())) } else { Ok((original, rest)) }
    }

    /// The items with nothing but their merge keys: enough to order by.
    fn keys(&self, items: &[Value]) -> Vec<Value> {
        let key_of = |item: &Value| {
            let key = item.get(self.merge_key).cloned();
            Value::Map(key.into_iter().map(|key| (self.merge_key, key)).collect())
        };
        items.iter().map(key_of).collect()
    }

    /// Brings merged items into order: those that stand in `named` by it, the
    /// others by `server_order`, then both together.
    fn order(
        &self,
        merged: Vec<Value>,
        named: &[Value],
        server_order: &[Value],
        kind: Items,
    ) -> Result<Vec<Value>, PatchError> {
        let key = (!self.merge_key.is_empty()).then_some(self.merge_key);
        let named_order = Positions::of(named, key)?;
        let server_order = Positions::of(server_order, key)?;
        let mut patch_items = Vec::new();
        let mut server_items = Vec::new();
        for item in merged {
            let identity = match key {
                Some(key) => merge_key_of(as_map(&item)?, key)?,
                None => &item,
            };
            let (named_at, server_at) = (named_order.find(identity), server_order.find(identity));
            // Items to be deleted that got this far go behind all others.
            let place = (kind == Items::Maps && is_deletion(&item), named_at.or(server_at));
            let items = if named_at.is_some() { &mut patch_items } else { &mut server_items };
            items.push((place, server_at, item));
        }
        if kind == Items::Maps {
            for item in named {
                merge_key_of(as_map(item)?, self.merge_key)?;
            }
        }
        patch_items.sort_by_key(|(place, ..)| *place);
        server_items.sort_by_key(|(place, ..)| *place);
        Ok(interleave(server_items, patch_items))
    }
}

/// An item with its place among its like and its position in the list before the patch.
type Placed = ((bool, Option<usize>), Option<usize>, Value);

fn interleave(server: Vec<Placed>, patch: Vec<Placed>) -> Vec<Value> {
    let mut all = Vec::with_capacity(server.len() + patch.len());
    let mut patch = patch.into_iter().peekable();
    for (_, at, item) in server {
        let before = |next: &Placed| match (at, next.1) {
            (Some(at), Some(next)) => next <= at,
            _ => true,
        };
        while let Some((_, _, next)) = patch.next_if(before) {
            all.push(next);
        }
        all.push(item);
    }
    all.extend(patch.map(|(_, _, item)| item));
    all
}

/// Where values stand in a list, the first of equal ones. Keeps merging long
/// lists from taking quadratic time.
#[derive(Default)]
struct Positions(BTreeMap<String, usize>);

impl Positions {
    /// Of the items, or of what they have under `key`; items without are left out.
    fn of(items: &[Value], key: Option<&str>) -> Result<Positions, PatchError> {
        let mut positions = Positions::default();
        for (at, item) in items.iter().enumerate() {
            match (key, item) {
                (None, item) => positions.insert(item, at),
                (Some(key), Value::Map(map)) => {
                    if let Some(value) = map.get(key) {
                        positions.insert(value, at);
                    }
                }
                _ => return Err(PatchError::Strategic(format!("value for key {at} is not a map."))),
            }
        }
        Ok(positions)
    }

    fn insert(&mut self, value: &Value, at: usize) {
        self.0.entry(identity(value)).or_insert(at);
    }

    /// True if the value is new.
    fn add(&mut self, value: &Value) -> bool {
        let at = self.0.len();
        self.0.insert(identity(value), at).is_none()
    }

    fn find(&self, value: &Value) -> Option<usize> {
        self.0.get(&identity(value)).copied()
    }
}

/// Equal for equal values only: the type stands in it.
fn identity(value: &Value) -> String {
    format!("{value:?}")
}

/// Merges the lists whose order the patch gives with `$setElementOrder`, and
/// takes them out of the patch.
pub(super) fn merge_ordered(original: &mut Map, patch: &mut Map, node: Node<'_>) -> Result<(), PatchError> {
    let directives: Vec<String> =
        patch.keys().filter(|key| key.starts_with(SET_ORDER)).map(str::to_owned).collect();
    for directive in directives {
        let order = match patch.remove(&directive) {
            Some(Value::List(order)) => order,
            other => return Err(bad_type(GO_LIST, &other.unwrap_or_default())),
        };
        let name = directive[SET_ORDER.len()..]
            .strip_prefix('/')
            .ok_or_else(|| bad_format("setElementOrder list"))?;
        let current = list_in(original, name)?;
        let change = list_in(patch, name)?;
        let (items, strategy, merge_key) = node.list(name)?;
        let list = List { items, strategy, merge_key, purpose: Purpose::Merge };
        list.check_order(change.as_deref().unwrap_or_default(), &order)?;
        if let Some(ordered) = list.merge_in_order(current, change, &order)? {
            original.insert(name, ordered);
            patch.remove(name);
        }
    }
    Ok(())
}

fn list_in(map: &Map, name: &str) -> Result<Option<Vec<Value>>, PatchError> {
    match map.get(name) {
        None => Ok(None),
        Some(Value::List(items)) => Ok(Some(items.clone())),
        Some(other) => Err(bad_type(GO_LIST, other)),
    }
}

impl List<'_> {
    /// None if neither side has the list.
    fn merge_in_order(
        &self,
        current: Option<Vec<Value>>,
        change: Option<Vec<Value>>,
        order: &[Value],
    ) -> Result<Option<Vec<Value>>, PatchError> {
        let server_order = current.clone().unwrap_or_default();
        let kind = item_kind(&[&server_order, change.as_deref().unwrap_or_default()]);
        let merged = match (current, change) {
            (None, None) => return Ok(None),
            (Some(current), None) => current,
            (None, Some(change)) => change.into_iter().filter_map(without_directives).collect(),
            (Some(current), Some(change)) => self.merge(current, change)?,
        };
        let Some(kind) = kind? else {
            return Err(PatchError::Strategic("no elements in any of the given slices".to_owned()));
        };
        self.order(merged, order, &server_order, kind).map(Some)
    }

    /// The patch's items must stand in `$setElementOrder`, in the same order.
    fn check_order(&self, patch: &[Value], order: &[Value]) -> Result<(), PatchError> {
        if order.is_empty() || patch.is_empty() {
            return Ok(());
        }
        let mut order_left = order.iter();
        for item in patch {
            if !self.merge_key.is_empty() {
                // Items that say what to do are not checked.
                if as_map(item)?.contains_key(DIRECTIVE) {
                    continue;
                }
            }
            loop {
                let Some(next) = order_left.next() else { return Err(order_mismatch(patch, order)) };
                if self.same_item(item, next)? {
                    break;
                }
            }
        }
        Ok(())
    }

    fn same_item(&self, left: &Value, right: &Value) -> Result<bool, PatchError> {
        if self.merge_key.is_empty() {
            return Ok(left == right);
        }
        Ok(merge_key_of(as_map(left)?, self.merge_key)? == merge_key_of(as_map(right)?, self.merge_key)?)
    }
}

fn order_mismatch(patch: &[Value], order: &[Value]) -> PatchError {
    let mut text = "The order in patch list:\n".to_owned();
    write_list(patch, &mut text);
    text.push_str(&format!("\n doesn't match {SET_ORDER} list:\n"));
    write_list(order, &mut text);
    text.push('\n');
    PatchError::Strategic(text)
}

/// What a list holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Items {
    Maps,
    Scalars,
}

/// What the lists hold, all of them the same; none if they are all empty.
fn item_kind(lists: &[&[Value]]) -> Result<Option<Items>, PatchError> {
    let mut items = lists.iter().copied().flatten();
    let Some(first) = items.next() else { return Ok(None) };
    if matches!(first, Value::List(_)) {
        return Err(PatchError::DoesNotApply("lists of lists are not supported".to_owned()));
    }
    // A null as the first item crashes the original's handler; here it is a bad type like any other.
    if first.is_null() || items.any(|item| discriminant(item) != discriminant(first)) {
        let mut shown = "[".to_owned();
        for (i, list) in lists.iter().enumerate() {
            shown.push_str(if i > 0 { " " } else { "" });
            write_list(list, &mut shown);
        }
        return Err(PatchError::Strategic(format!("list element types are not identical: {shown}]")));
    }
    Ok(Some(if matches!(first, Value::Map(_)) { Items::Maps } else { Items::Scalars }))
}

fn is_deletion(item: &Value) -> bool {
    item.str_at(&[DIRECTIVE]) == Some("delete")
}

fn as_map(item: &Value) -> Result<&Map, PatchError> {
    item.as_map().ok_or_else(|| bad_type(GO_MAP, item))
}

fn merge_key_of<'a>(map: &'a Map, merge_key: &str) -> Result<&'a Value, PatchError> {
    map.get(merge_key).ok_or_else(|| {
        let map = go_text(&Value::Map(map.clone()));
        PatchError::Strategic(format!("map: {map} does not contain declared merge key: {merge_key}"))
    })
}
