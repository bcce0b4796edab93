//! Whether an object matches a selector.

use meta::ObjectMeta;
use schema::Value;

use crate::Predicate;

impl Predicate {
    /// True if every object matches. Such a predicate needs no tree.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// True if `object` has the labels and fields asked for.
    pub fn matches(&self, object: &Value) -> bool {
        self.labels.matches(ObjectMeta::of(object).labels())
            && self.fields.matches(|label| self.field(object, label))
    }

    /// The value of a selectable field, empty if unset or unknown.
    fn field(&self, object: &Value, label: &str) -> String {
        let meta = ObjectMeta::of(object);
        match (label, &self.attributes) {
            ("metadata.name", _) => meta.name().to_owned(),
            ("metadata.namespace", _) => meta.namespace().to_owned(),
            (_, Some(attributes)) => attributes.field(object, label),
            (_, None) => String::new(),
        }
    }
}
