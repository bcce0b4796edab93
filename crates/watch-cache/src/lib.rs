//! The watch cache: a [`storage::Storage`] over another one that answers gets,
//! lists and watches of one resource from memory.
//!
//! [`WatchCache`] is the door. Owns: the newest state as an immutable ordered
//! set, the log of recent events, the cursors of the watchers in it, and the
//! task that follows the storage below. Does not own: encodings (they stand
//! beside each object, made by whoever needs them), writes (they pass through),
//! nor anything of HTTP.
//!
//! ```text
//! storage below ──watch──> feeder ──apply──> snapshot (lists, gets: no lock)
//!                                     └────> log ──wake──> watchers of the same
//!                                                          namespace, name, node, ...
//! ```
//!
//! Invariants: an answer at a revision is what the storage below would have
//! answered; a watcher sees every matching change once, in order, or its
//! stream ends; nothing here waits for a reader.

mod cache;
mod consistency;
mod entry;
mod feed;
mod index;
mod interest;
mod list;
mod log;
mod metrics;
mod shared;
mod watcher;

pub use cache::{CacheConfig, WatchCache};
pub use metrics::{CacheMetrics, ListMetrics, METRICS, Metric, MetricKind, ReadWait};
