//! Applying and patching from outside: resources whose types are made at run
//! time, and kubectl. A test binary of its own, because it waits for programs
//! that are not ours.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod bad_patches;
mod kubectl;
mod recorded;
mod runtime_types;
mod versions;
mod widgets;
