//! The whole server from outside: the binary as a process, and a server of
//! this process over the wire. One test binary, a file per concern.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod bad_input;
mod encryption;
mod identity;
mod metrics;
mod moving;
mod over_etcd;
mod process;
mod refusals;
mod served_apis;
mod served_set;
mod service_accounts;
mod services;
mod start;
mod stop;
mod turmoil;
mod unsafe_deletion;
