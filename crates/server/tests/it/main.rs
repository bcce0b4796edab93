//! Requests against the whole path of the server: filters, verbs, registry,
//! object storage over the model. Without sockets, except in `sockets`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod documents;
mod harness;
mod lists;
mod objects;
mod ownership;
mod sockets;
mod watches;
