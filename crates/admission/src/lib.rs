//! Admission plugins, one file each, and the chain they stand in.
