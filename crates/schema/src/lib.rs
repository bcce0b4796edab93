//! Types are data: the schema table and the dynamic value it describes.
//!
//! Owns the table ([`Schema`], [`Type`], [`Field`]), the value every object is
//! held in while it is worked on ([`Value`]), and what follows from the two
//! alone: defaults ([`defaults`]). Owns no encoding: bytes are the business of
//! `codec`.
//!
//! The built-in table ([`builtin`]) is turned into statics at build time from
//! the facts in `facts/`; a custom resource's schema becomes the same
//! structure at run time.

pub mod defaults;
mod generated;
pub mod quantity;
mod table;
mod value;

pub use generated::builtin;
pub use table::{
    Field, FieldFlags, GroupVersionKindRef, Kind, ListType, MapType, PatchStrategy, Scalar, Schema, Type,
    TypeId, WireNode,
};
pub use value::{Key, Map, Value};
