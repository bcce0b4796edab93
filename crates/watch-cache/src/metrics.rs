//! What a cache counts, in plain numbers that the server shows under the
//! original's names (C-9).

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one resource. Each is named after its metric.
#[derive(Debug, Default)]
pub struct CacheMetrics {
    /// Lists that looked at everything below their prefix.
    pub scanned_lists: ListMetrics,
    /// Lists that an index told what to look at.
    pub indexed_lists: ListMetrics,
    /// `apiserver_cache_list_returned_objects_total`.
    pub list_returned_objects_total: AtomicU64,
    /// `apiserver_init_events_total`: initial events of watches.
    pub init_events_total: AtomicU64,
    /// `apiserver_terminated_watchers_total`: watchers too slow for the log.
    pub terminated_watchers_total: AtomicU64,
    /// `apiserver_watch_cache_events_received_total`.
    pub events_received_total: AtomicU64,
    /// `apiserver_watch_cache_events_dispatched_total`.
    pub events_dispatched_total: AtomicU64,
    /// `apiserver_watch_cache_initializations_total`.
    pub initializations_total: AtomicU64,
    /// `apiserver_watch_cache_resource_version`.
    pub resource_version: AtomicU64,
    /// `apiserver_watch_cache_consistent_read_total{success="true",fallback="false"}`.
    pub consistent_reads_total: AtomicU64,
    /// `apiserver_watch_cache_consistent_read_total{success="true",fallback="true"}`.
    pub consistent_reads_fallback_total: AtomicU64,
    /// `apiserver_watch_cache_read_wait_seconds`: reads of a revision by how long they waited for it.
    pub read_wait: ReadWait,
    /// `watch_cache_capacity`: events the log may hold.
    pub capacity: AtomicU64,
    /// `watch_cache_capacity_increase_total`.
    pub capacity_increase_total: AtomicU64,
    /// `watch_cache_capacity_decrease_total`.
    pub capacity_decrease_total: AtomicU64,
    /// `apiserver_storage_consistency_checks_total{status="success"}`.
    pub consistency_checks_success_total: AtomicU64,
    /// `apiserver_storage_consistency_checks_total{status="failure"}`.
    pub consistency_checks_failure_total: AtomicU64,
    /// `apiserver_storage_consistency_checks_total{status="error"}`.
    pub consistency_checks_error_total: AtomicU64,
    /// `apiserver_registered_watchers`: watches open now.
    pub watchers: AtomicU64,
}

/// Lists of one way of looking.
#[derive(Debug, Default)]
pub struct ListMetrics {
    /// `apiserver_cache_list_total`: lists answered from memory.
    pub total: AtomicU64,
    /// `apiserver_cache_list_fetched_objects_total`: objects looked at.
    pub fetched_objects: AtomicU64,
}

/// How long reads waited for the revision they asked for.
#[derive(Debug, Default)]
pub struct ReadWait {
    /// Reads by the first bound of [`ReadWait::BOUNDS_SECONDS`] they stayed within; the last beyond all.
    pub reads: [AtomicU64; ReadWait::BOUNDS_SECONDS.len() + 1],
    /// Sum of all waits.
    pub microseconds: AtomicU64,
}

impl ReadWait {
    /// Upper bounds of the buckets, the original's.
    pub const BOUNDS_SECONDS: [f64; 13] =
        [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0];

    pub(crate) fn observe(&self, waited: std::time::Duration) {
        let bounds = &Self::BOUNDS_SECONDS;
        let bucket = bounds.iter().position(|bound| waited.as_secs_f64() <= *bound).unwrap_or(bounds.len());
        self.reads[bucket].fetch_add(1, Ordering::Relaxed);
        if !waited.is_zero() {
            self.microseconds.fetch_add(waited.as_micros() as u64, Ordering::Relaxed);
        }
    }
}

impl CacheMetrics {
    /// Those of lists with or without an index.
    pub(crate) fn lists(&self, indexed: bool) -> &ListMetrics {
        if indexed { &self.indexed_lists } else { &self.scanned_lists }
    }
}

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only rises.
    Counter,
    /// May fall.
    Gauge,
}

/// One number under its name.
pub struct Metric {
    /// E.g. `apiserver_watch_cache_events_received_total`.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Type.
    pub kind: MetricKind,
    /// Labels beside group and resource, e.g. `status="success"`; may be empty.
    pub labels: &'static str,
    /// Reads it.
    pub value: fn(&CacheMetrics) -> &AtomicU64,
}

const SCANNED: &str = "index=\"\"";
/// The one index there is: fields are named `f:<field>`, as the original names its indexes.
const INDEXED: &str = "index=\"f:spec.nodeName\"";

/// All metrics of a cache; those of one name stand together.
pub const METRICS: &[Metric] = &[
    counter("apiserver_cache_list_total", "Lists answered from the watch cache.", SCANNED, |m| {
        &m.scanned_lists.total
    }),
    counter("apiserver_cache_list_total", "Lists answered from the watch cache.", INDEXED, |m| {
        &m.indexed_lists.total
    }),
    counter(
        "apiserver_cache_list_fetched_objects_total",
        "Objects looked at for lists from the watch cache.",
        SCANNED,
        |m| &m.scanned_lists.fetched_objects,
    ),
    counter(
        "apiserver_cache_list_fetched_objects_total",
        "Objects looked at for lists from the watch cache.",
        INDEXED,
        |m| &m.indexed_lists.fetched_objects,
    ),
    counter(
        "apiserver_cache_list_returned_objects_total",
        "Objects returned by lists from the watch cache.",
        "",
        |m| &m.list_returned_objects_total,
    ),
    counter("apiserver_init_events_total", "Initial events of watches.", "", |m| &m.init_events_total),
    counter("apiserver_terminated_watchers_total", "Watchers closed because they were too slow.", "", |m| {
        &m.terminated_watchers_total
    }),
    counter("apiserver_watch_cache_events_received_total", "Events received by the watch cache.", "", |m| {
        &m.events_received_total
    }),
    counter("apiserver_watch_cache_events_dispatched_total", "Events dispatched to watchers.", "", |m| {
        &m.events_dispatched_total
    }),
    counter("apiserver_watch_cache_initializations_total", "Times the watch cache was filled.", "", |m| {
        &m.initializations_total
    }),
    gauge("apiserver_watch_cache_resource_version", "Revision the watch cache has applied.", |m| {
        &m.resource_version
    }),
    counter(
        "apiserver_watch_cache_consistent_read_total",
        "Consistent reads, by whether the cache answered.",
        "success=\"true\",fallback=\"false\"",
        |m| &m.consistent_reads_total,
    ),
    counter(
        "apiserver_watch_cache_consistent_read_total",
        "Consistent reads, by whether the cache answered.",
        "success=\"true\",fallback=\"true\"",
        |m| &m.consistent_reads_fallback_total,
    ),
    gauge("watch_cache_capacity", "Events the watch cache may hold.", |m| &m.capacity),
    counter("watch_cache_capacity_increase_total", "Times the capacity was doubled.", "", |m| {
        &m.capacity_increase_total
    }),
    counter("watch_cache_capacity_decrease_total", "Times the capacity was halved.", "", |m| {
        &m.capacity_decrease_total
    }),
    counter(
        "apiserver_storage_consistency_checks_total",
        "Comparisons of the watch cache with the storage.",
        "status=\"success\"",
        |m| &m.consistency_checks_success_total,
    ),
    counter(
        "apiserver_storage_consistency_checks_total",
        "Comparisons of the watch cache with the storage.",
        "status=\"failure\"",
        |m| &m.consistency_checks_failure_total,
    ),
    counter(
        "apiserver_storage_consistency_checks_total",
        "Comparisons of the watch cache with the storage.",
        "status=\"error\"",
        |m| &m.consistency_checks_error_total,
    ),
    gauge("apiserver_registered_watchers", "Watches open now.", |m| &m.watchers),
];

const fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static str,
    value: fn(&CacheMetrics) -> &AtomicU64,
) -> Metric {
    Metric { name, help, kind: MetricKind::Counter, labels, value }
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&CacheMetrics) -> &AtomicU64) -> Metric {
    Metric { name, help, kind: MetricKind::Gauge, labels: "", value }
}

pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_one_name_stand_together() {
        let mut names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        names.dedup();
        let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), distinct.len());
    }
}
