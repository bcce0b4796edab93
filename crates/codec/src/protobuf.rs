//! Protobuf as the original's generated code reads and writes it.
//!
//! Owns the doors; `encode`, `decode` and `envelope` the directions, this file
//! what both share. Kind and apiVersion of an object are not part of its
//! message: they travel in the envelope.

mod decode;
mod encode;
pub mod envelope;

pub use decode::decode;
pub use encode::encode;

/// Wire types of protobuf.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const GROUP_START: u32 = 3;
const GROUP_END: u32 = 4;
const FIXED32: u32 = 5;

/// Numbers of `JSONSchemaPropsOrArray` and its kin: of the schema, and of the
/// list, the strings or the boolean.
fn json_schema_or_numbers(short_name: &str) -> (u32, u32) {
    if short_name.ends_with("OrBool") { (2, 1) } else { (1, 2) }
}
