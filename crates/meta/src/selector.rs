//! Label and field selectors: parsed from text, matched against an object.
//!
//! Owns syntax, matching and the texts of syntax errors. Which fields a kind
//! lets select on is the kind's own business.

mod field;
mod label;
mod parser;

pub use field::{FieldOperator, FieldRequirement, FieldSelector, FieldSelectorError};
pub use label::{LabelOperator, LabelRequirement, LabelSelector, format_label_selector, format_labels};
pub use parser::LabelSelectorError;

/// What is wrong with the text of a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// In a label selector.
    #[error(transparent)]
    Label(#[from] LabelSelectorError),
    /// In a field selector.
    #[error(transparent)]
    Field(#[from] FieldSelectorError),
}
