//! The items of associative lists by what identifies them.

use schema::Value;

use super::element::PathElement;
use super::shape::{ListKind, Place};

/// Items of a list, sorted by element; several where the list repeats itself.
pub(crate) struct Items<'v> {
    sorted: Vec<(PathElement, usize, &'v Value)>,
}

impl<'v> Items<'v> {
    /// The items of the list at `place`. What cannot be identified is left out.
    pub(crate) fn of(place: Place<'_>, kind: ListKind, list: &'v [Value]) -> Items<'v> {
        let identified = list
            .iter()
            .enumerate()
            .filter_map(|(i, item)| place.element_of(kind, item).ok().map(|element| (element, i, item)));
        let mut sorted: Vec<_> = identified.collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
        Items { sorted }
    }

    /// Items that share an element, by element.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Group<'_, 'v>> {
        self.sorted.chunk_by(|a, b| a.0 == b.0).map(Group)
    }

    /// The items of an element; empty if there is none.
    pub(crate) fn get(&self, element: &PathElement) -> Group<'_, 'v> {
        let start = self.sorted.partition_point(|item| item.0 < *element);
        let length = self.sorted[start..].iter().take_while(|item| item.0 == *element).count();
        Group(&self.sorted[start..start + length])
    }
}

/// Items of one element.
#[derive(Clone, Copy)]
pub(crate) struct Group<'i, 'v>(&'i [(PathElement, usize, &'v Value)]);

impl<'i, 'v> Group<'i, 'v> {
    pub(crate) fn element(self) -> Option<&'i PathElement> {
        self.0.first().map(|item| &item.0)
    }

    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    pub(crate) fn first(self) -> Option<&'v Value> {
        self.0.first().map(|item| item.2)
    }

    pub(crate) fn values(self) -> impl Iterator<Item = &'v Value> {
        self.0.iter().map(|item| item.2)
    }

    pub(crate) fn is_repeated(self) -> bool {
        self.0.len() > 1
    }
}

/// Groups of two lists side by side, by element.
pub(crate) fn zip<'i, 'v>(
    left: &'i Items<'v>,
    right: &'i Items<'v>,
) -> Vec<(&'i PathElement, Group<'i, 'v>, Group<'i, 'v>)> {
    let none = Group(&[]);
    let (mut left, mut right) = (left.groups().peekable(), right.groups().peekable());
    let mut zipped = Vec::new();
    loop {
        let l = left.peek().and_then(|group| group.element());
        let r = right.peek().and_then(|group| group.element());
        let Some(element) = [l, r].into_iter().flatten().min() else { return zipped };
        let here = |group: &Group<'i, 'v>| group.element() == Some(element);
        zipped.push((element, left.next_if(here).unwrap_or(none), right.next_if(here).unwrap_or(none)));
    }
}
