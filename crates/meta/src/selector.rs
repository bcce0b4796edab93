//! Label and field selectors: parsed from text, matched against an object.

/// Which labels an object must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {}

/// Which fields an object must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {}
