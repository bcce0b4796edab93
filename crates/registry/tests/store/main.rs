//! The generic Store over an object store in memory: what each verb does, and
//! what it answers when it refuses.

mod allocation;
mod create;
mod delete;
mod harness;
mod interference;
mod read;
mod unsafe_delete;
mod update;
