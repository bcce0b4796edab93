//! What a cache counts, in plain numbers that the server shows under the
//! original's names (C-9).

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one resource. Each is named after its metric.
#[derive(Debug, Default)]
pub struct CacheMetrics {
    /// `apiserver_cache_list_total`: lists answered from memory.
    pub list_total: AtomicU64,
    /// `apiserver_cache_list_fetched_objects_total`: objects looked at for lists that had to look.
    pub list_fetched_objects_total: AtomicU64,
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
    /// `apiserver_watch_cache_read_wait_seconds`, count of waits.
    pub read_waits_total: AtomicU64,
    /// `apiserver_watch_cache_read_wait_seconds`, sum in microseconds.
    pub read_wait_microseconds_total: AtomicU64,
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

pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}
