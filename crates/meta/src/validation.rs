//! Validation every object goes through: names, labels, annotations,
//! finalizers, owner references and the rest of `metadata`.
//!
//! Owns the rules and their texts, which are the original's. What a single
//! kind demands of its `spec` lives with that kind.

mod names;
mod object_meta;

pub use names::{
    NameValidation, is_dns1035_label, is_dns1123_label, is_dns1123_subdomain, is_label_value,
    is_path_segment_name, is_qualified_name,
};
pub use object_meta::{
    FIELD_MANAGER_MAX_BYTES, TOTAL_ANNOTATIONS_MAX_BYTES, validate_annotations, validate_field_manager,
    validate_finalizers, validate_generic_object_meta, validate_generic_object_meta_update,
    validate_immutable_field, validate_labels, validate_object_meta, validate_object_meta_update,
    validate_owner_references,
};
