//! The backend over real etcd servers of two ages: one that answers progress
//! requests truthfully and one that does not.
//!
//! One binary, so that the servers are looked for and fetched once; see `servers`.

#![allow(clippy::unwrap_used, reason = "tests: what is wrong must panic")]

mod certificates;
mod compaction;
mod conformance;
mod etcd;
mod failover;
mod health;
mod limits;
mod proxy;
mod servers;
mod tls;
mod watches;
