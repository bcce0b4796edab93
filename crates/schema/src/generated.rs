//! The built-in table, made by `build.rs` from `facts/`.
use crate::Schema;
use std::borrow::Cow;

static BUILTIN: Schema = Schema { types: Cow::Borrowed(&[]), kinds: Cow::Borrowed(&[]) };

/// The table of built-in types.
pub fn builtin() -> &'static Schema {
    &BUILTIN
}
