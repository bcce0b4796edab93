//! Sets of paths into objects.
//!
//! A set is a tree: each node is a path element, says whether the path that
//! ends there is a member, and holds the set below. Nodes are sorted, none is
//! empty, so that equal sets are equal trees and set algebra is one walk over
//! two sorted lists.

use std::cmp::Ordering;

use super::element::PathElement;
use super::shape::Place;

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    nodes: Vec<Node>,
}

/// A path element with what is a member at it and below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) element: PathElement,
    /// The path that ends here is in the set.
    pub(crate) member: bool,
    pub(crate) below: FieldSet,
}

impl FieldSet {
    /// The empty set.
    pub const fn new() -> FieldSet {
        FieldSet { nodes: Vec::new() }
    }

    /// The set of one path of fields; empty for the empty path.
    pub fn of_path(path: &[&'static str]) -> FieldSet {
        let mut set = FieldSet::new();
        set.insert_fields(path);
        set
    }

    /// Adds a path of fields.
    pub fn insert_fields(&mut self, path: &[&'static str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let element = PathElement::Field(schema::Key::borrowed(first));
        let node = self.node_mut(element);
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert_fields(rest);
        }
    }

    /// True without members.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// True if a path of fields is a member.
    pub fn has_fields(&self, path: &[&str]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        let found = self
            .nodes
            .iter()
            .find(|node| matches!(&node.element, PathElement::Field(name) if name.as_str() == *first));
        found.is_some_and(|node| if rest.is_empty() { node.member } else { node.below.has_fields(rest) })
    }

    /// Number of paths.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|node| usize::from(node.member) + node.below.len()).sum()
    }

    /// What is in either.
    pub fn union(self, other: FieldSet) -> FieldSet {
        if self.is_empty() {
            return other;
        }
        let mut nodes = Vec::with_capacity(self.nodes.len() + other.nodes.len());
        let (mut left, mut right) = (self.nodes.into_iter().peekable(), other.nodes.into_iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => a.element.cmp(&b.element),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            match order {
                Ordering::Less => nodes.extend(left.next()),
                Ordering::Greater => nodes.extend(right.next()),
                Ordering::Equal => {
                    nodes.extend(left.next().zip(right.next()).map(|(a, b)| Node {
                        element: a.element,
                        member: a.member || b.member,
                        below: a.below.union(b.below),
                    }));
                }
            }
        }
        FieldSet { nodes }
    }

    /// What is in any of the sets. Takes time in proportion to their sizes,
    /// whatever their number.
    pub(crate) fn union_all(sets: impl IntoIterator<Item = FieldSet>) -> FieldSet {
        FieldSet::from_nodes(sets.into_iter().flat_map(|set| set.nodes).collect())
    }

    /// The set of nodes in any order, of which several may have one element.
    pub(crate) fn from_nodes(mut nodes: Vec<Node>) -> FieldSet {
        nodes.sort_by(|a, b| a.element.cmp(&b.element));
        let mut set = FieldSet { nodes: Vec::with_capacity(nodes.len()) };
        let mut nodes = nodes.into_iter().peekable();
        while let Some(Node { element, mut member, below }) = nodes.next() {
            let mut belows = vec![below];
            while let Some(same) = nodes.next_if(|next| next.element == element) {
                member |= same.member;
                belows.push(same.below);
            }
            let below = match belows.len() {
                1 => belows.pop().unwrap_or_default(),
                _ => FieldSet::union_all(belows),
            };
            set.push(element, member, below);
        }
        set
    }

    /// What is in both.
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let mut set = FieldSet::new();
        for (a, b) in pairs(&self.nodes, &other.nodes) {
            if let Some(b) = b {
                set.push(a.element.clone(), a.member && b.member, a.below.intersection(&b.below));
            }
        }
        set
    }

    /// What is not in `other`.
    pub fn difference(self, other: &FieldSet) -> FieldSet {
        self.without(other, false)
    }

    /// What is neither in `other` nor below a path of `other`.
    pub fn recursive_difference(self, other: &FieldSet) -> FieldSet {
        self.without(other, true)
    }

    fn without(self, other: &FieldSet, recursive: bool) -> FieldSet {
        if other.is_empty() {
            return self;
        }
        let mut set = FieldSet { nodes: Vec::with_capacity(self.nodes.len()) };
        let mut others = other.nodes.iter().peekable();
        for node in self.nodes {
            while others.next_if(|b| b.element < node.element).is_some() {}
            match others.peek().filter(|b| b.element == node.element) {
                None => set.nodes.push(node),
                Some(b) if recursive && b.member => {}
                Some(b) => {
                    let below = node.below.without(&b.below, recursive);
                    set.push(node.element, node.member && !b.member, below);
                }
            }
        }
        set
    }

    /// What is on one of the paths or below it; `*` stands for any element.
    pub(crate) fn along(self, paths: &[&[&str]]) -> FieldSet {
        let mut set = FieldSet::new();
        for Node { element, member, below } in self.nodes {
            let is_here = |first: &str| {
                first == "*" || matches!(&element, PathElement::Field(name) if name.as_str() == first)
            };
            let rests =
                paths.iter().filter_map(|path| path.split_first().filter(|(first, _)| is_here(first)));
            let rests: Vec<&[&str]> = rests.map(|(_, rest)| rest).collect();
            if rests.iter().any(|rest| rest.is_empty()) {
                set.push(element, member, below);
            } else if !rests.is_empty() {
                set.push(element, member, below.along(&rests));
            }
        }
        set
    }

    /// Adds a node behind all others; nothing if it is empty. For whoever
    /// builds a set in order.
    pub(crate) fn push(&mut self, element: PathElement, member: bool, below: FieldSet) {
        if !member && below.is_empty() {
            return;
        }
        debug_assert!(self.nodes.last().is_none_or(|last| last.element < element), "sets are built in order");
        self.nodes.push(Node { element, member, below });
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of an element.
    pub(crate) fn node(&self, element: &PathElement) -> Option<&Node> {
        self.nodes.binary_search_by(|node| node.element.cmp(element)).ok().map(|i| &self.nodes[i])
    }

    fn node_mut(&mut self, element: PathElement) -> &mut Node {
        let i = match self.nodes.binary_search_by(|node| node.element.cmp(&element)) {
            Ok(i) => i,
            Err(i) => {
                self.nodes.insert(i, Node { element, member: false, below: FieldSet::new() });
                i
            }
        };
        &mut self.nodes[i]
    }

    /// Adds to each path that goes on below a declared field that field itself,
    /// so that removing what is below can remove the field too.
    pub(crate) fn with_declared_fields(self, place: Place<'_>) -> FieldSet {
        let nodes = self.nodes.into_iter().map(|node| {
            let (below, declared) = match &node.element {
                PathElement::Field(name) => place.member(name.as_str()),
                _ => (place.item(), false),
            };
            let goes_on = !node.below.is_empty();
            Node {
                member: node.member || declared && goes_on,
                below: node.below.with_declared_fields(below),
                element: node.element,
            }
        });
        FieldSet { nodes: nodes.collect() }
    }

    /// All paths as people read them: at each level members first, then what is below.
    pub fn paths(&self) -> Vec<String> {
        self.paths_within(usize::MAX)
    }

    /// The first paths that together are no longer than some bytes. Paths
    /// repeat what is above them: all of them can be longer by far than the object.
    pub(crate) fn paths_within(&self, bytes_max: usize) -> Vec<String> {
        let mut paths = Paths { found: Vec::new(), bytes_left: bytes_max };
        self.collect_paths("", &mut paths);
        paths.found
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Paths) -> Option<()> {
        for node in self.nodes.iter().filter(|node| node.member) {
            let path = format!("{prefix}{}", node.element);
            paths.bytes_left = paths.bytes_left.checked_sub(path.len())?;
            paths.found.push(path);
        }
        for node in self.nodes.iter().filter(|node| !node.below.is_empty()) {
            node.below.collect_paths(&format!("{prefix}{}", node.element), paths)?;
        }
        Some(())
    }
}

/// Paths in the making.
struct Paths {
    found: Vec<String>,
    bytes_left: usize,
}

/// Each node of `a` with that of `b` for the same element.
fn pairs<'n>(a: &'n [Node], b: &'n [Node]) -> impl Iterator<Item = (&'n Node, Option<&'n Node>)> {
    let mut b = b.iter().peekable();
    a.iter().map(move |node| {
        while b.next_if(|other| other.element < node.element).is_some() {}
        (node, b.next_if(|other| other.element == node.element))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The naive model: a set of paths of one-letter fields.
    type Model = BTreeSet<Vec<&'static str>>;

    fn set(model: &Model) -> FieldSet {
        let mut set = FieldSet::new();
        model.iter().for_each(|path| set.insert_fields(path));
        set
    }

    fn models() -> impl Strategy<Value = Model> {
        let letter = prop::sample::select(vec!["a", "b", "c"]);
        prop::collection::btree_set(prop::collection::vec(letter, 1..4), 0..12)
    }

    proptest! {
        #[test]
        fn set_algebra_agrees_with_sets_of_paths(a in models(), b in models()) {
            let union: Model = a.union(&b).cloned().collect();
            prop_assert_eq!(set(&a).union(set(&b)), set(&union));
            let intersection: Model = a.intersection(&b).cloned().collect();
            prop_assert_eq!(set(&a).intersection(&set(&b)), set(&intersection));
            let difference: Model = a.difference(&b).cloned().collect();
            prop_assert_eq!(set(&a).difference(&set(&b)), set(&difference));
            let outside: Model =
                a.iter().filter(|path| !b.iter().any(|other| path.starts_with(other))).cloned().collect();
            prop_assert_eq!(set(&a).recursive_difference(&set(&b)), set(&outside));
            prop_assert_eq!(set(&a).len(), a.len());
            prop_assert_eq!(FieldSet::union_all([set(&a), set(&b), set(&a)]), set(&union));
        }
    }

    #[test]
    fn sets_are_cut_along_paths() {
        let read = |text: &str| FieldSet::from_fields_v1(text).expect(text);
        let set = read(
            r#"{"f:m":{},"f:s":{".":{},"f:c":{"k:{\"n\":1}":{".":{},"f:i":{},"f:r":{".":{},"f:x":{}}}},"f:d":{}}}"#,
        );
        let cut = set.clone().along(&[&["s", "c", "*", "r"], &["s", "e"]]);
        assert_eq!(
            cut.to_fields_v1(),
            r#"{"f:s":{".":{},"f:c":{"k:{\"n\":1}":{".":{},"f:r":{".":{},"f:x":{}}}}}}"#
        );
        assert_eq!(set.clone().along(&[&["s"]]).to_fields_v1().len(), set.to_fields_v1().len() - 9);
        assert!(set.along(&[&["x", "m"]]).is_empty());
    }

    #[test]
    fn paths_list_members_before_what_is_below() {
        let mut set = FieldSet::of_path(&["b"]);
        set.insert_fields(&["a", "x"]);
        set.insert_fields(&["c"]);
        assert_eq!(set.paths(), [".b", ".c", ".a.x"]);
        assert_eq!(set.paths_within(5), [".b", ".c"], "no more than what was asked for");
        assert!(set.has_fields(&["a", "x"]) && !set.has_fields(&["a"]) && !set.has_fields(&[]));
    }
}
