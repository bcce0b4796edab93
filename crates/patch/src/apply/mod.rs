//! Server-side apply: who owns which field, and what applying a configuration
//! makes of an object.
//!
//! Owns field sets ([`FieldSet`]) and their text (`fieldsV1`), the comparison
//! and the merge of two objects by the schema table, the list of managers in
//! `metadata.managedFields`, and the rules that tie them together
//! ([`FieldManager`]). Owns neither decoding nor storage nor the clock: objects
//! come in decoded, and the time is handed in.
//!
//! Everything here works on any [`schema::Schema`]: a built-in type and a
//! custom resource's are the same to it. What no schema describes is deduced:
//! objects merge by key, lists are replaced.

mod compare;
mod conflict;
mod element;
mod field_manager;
mod field_set;
mod fields;
mod fields_v1;
mod items;
mod last_applied;
mod managers;
mod merge;
mod owned;
mod remove;
pub mod scale;
mod shape;
mod validate;

pub use compare::{Comparison, compare};
pub use conflict::Conflict;
pub use element::PathElement;
pub use field_manager::{Applied, ApplyError, FieldManager, Versions, Writer};
pub use field_set::FieldSet;
pub use fields::Fields;
pub use managers::{ManagedFieldsError, Manager, Managers, Operation, differ_in_time_only};
pub use merge::merge;
pub use owned::owned_fields;
pub use remove::remove;
pub use shape::Typed;
pub use validate::validate;
