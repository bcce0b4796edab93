//! Which resources an element of the configuration means: one, those of a
//! group, or all.

use meta::GroupResource;

/// A resource of a group; `*` stands for any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pattern<'t> {
    pub(crate) group: &'t str,
    pub(crate) resource: &'t str,
}

/// Written `*.*`.
pub(crate) const ANY: Pattern<'static> = Pattern { group: "*", resource: "*" };

impl<'t> Pattern<'t> {
    /// `resource.group`, or `resource` of the core group, whose wildcard is written `*.`.
    pub(crate) fn parse(text: &'t str) -> Pattern<'t> {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        Pattern { group, resource }
    }

    /// All resources of its group.
    pub(crate) fn any_in_group(&self) -> Pattern<'t> {
        Pattern { group: self.group, resource: "*" }
    }
}

impl std::fmt::Display for Pattern<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.resource, self.group) {
            ("*", "") => f.write_str("*."),
            (resource, "") => f.write_str(resource),
            (resource, group) => write!(f, "{resource}.{group}"),
        }
    }
}

/// The patterns that mean a resource, the most particular first (E-ENC-6).
pub(crate) fn patterns_of(resource: &GroupResource) -> [Pattern<'_>; 3] {
    let exact = Pattern { group: &resource.group, resource: &resource.resource };
    [exact.clone(), exact.any_in_group(), ANY]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_written_alike() {
        for text in ["secrets", "deployments.apps", "*.", "*.apps", "*.*", "a.b.c"] {
            assert_eq!(Pattern::parse(text).to_string(), text);
        }
        assert_eq!(Pattern::parse("a.b.c"), Pattern { group: "b.c", resource: "a" });
    }
}
