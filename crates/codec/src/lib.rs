//! Bytes to values and back: JSON, YAML, protobuf.
//!
//! Owns the three encodings over the schema table, and the exact words of
//! decoding errors. Owns no meaning: defaults, validation and versions are
//! elsewhere.
//!
//! Decoding by a type yields the value as a Go struct would hold it, in one
//! form only: null, unknown fields and zero values of fields that are not
//! pointers are absent; quantities, times and bytes are canonical text. So two
//! values are the same object exactly when they are equal. Encoding puts back
//! what the Go declaration writes even when zero.

pub mod custom;
mod error;
mod go_names;
pub mod json;
mod members;
pub mod protobuf;
mod scalar;
pub mod yaml;

pub use error::{DecodeError, FieldValidation, StrictError};

/// How deep objects and lists may nest, in levels. The original's parser stops
/// at 10,000; every walk here recurses, so the bound is what a thread's stack
/// holds in a debug build.
pub const DEPTH_MAX: usize = 256;
