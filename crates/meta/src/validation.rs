//! Validation of names, labels and object metadata.
