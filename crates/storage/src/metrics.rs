//! What an object store counts, in plain numbers that the server shows under
//! the original's names (E-MET-1). Owns the counting, not the text.
//!
//! Every store has its own numbers, so that counting is an addition: no name is
//! looked up, nothing is locked and nothing allocated but when an operation is
//! counted for the first time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What one object store has counted.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    operations: [OnceLock<Box<OperationMetrics>>; Operation::ALL.len()],
    /// `apiserver_storage_events_received_total`: changes from watches of the backend.
    pub events_received: Counter,
    /// `etcd_bookmark_total`: progress notifications from watches of the backend.
    pub bookmarks: Counter,
    /// `apiserver_storage_list_total`: lists answered by the store, failures included.
    pub lists: Counter,
    /// `apiserver_storage_list_fetched_objects_total`: values read for them.
    pub list_fetched_objects: Counter,
    /// `apiserver_storage_list_evaluated_objects_total`: objects compared with their selectors.
    pub list_evaluated_objects: Counter,
    /// `apiserver_storage_list_returned_objects_total`: objects they returned.
    pub list_returned_objects: Counter,
    /// `apiserver_storage_decode_errors_total`: stored objects that could not be decoded (A-TRF-5).
    pub decode_errors: Counter,
    /// `etcd_lease_object_counts`: objects that were put on one lease, observed when it is replaced.
    pub lease_objects: OnceLock<Box<Histogram>>,
}

/// Requests to the backend of one kind.
#[derive(Debug)]
pub struct OperationMetrics {
    /// `etcd_request_duration_seconds`; its count is `etcd_requests_total`.
    pub durations: Histogram,
    /// `etcd_request_errors_total`.
    pub errors: Counter,
}

/// Label `operation` of a request to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `get`
    Get,
    /// `list`
    List,
    /// `listWithCount`
    ListWithCount,
    /// `create`
    Create,
    /// `update`
    Update,
    /// `delete`
    Delete,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 6] = [
        Operation::Get,
        Operation::List,
        Operation::ListWithCount,
        Operation::Create,
        Operation::Update,
        Operation::Delete,
    ];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::List => "list",
            Operation::ListWithCount => "listWithCount",
            Operation::Create => "create",
            Operation::Update => "update",
            Operation::Delete => "delete",
        }
    }
}

/// Upper bounds of `etcd_request_duration_seconds`, in seconds.
const REQUEST_SECONDS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
/// Upper bounds of `etcd_lease_object_counts`.
pub const LEASE_OBJECTS: &[f64] = &[10.0, 50.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0];

impl StoreMetrics {
    /// What requests of one kind came to; none before the first.
    pub fn operation(&self, operation: Operation) -> Option<&OperationMetrics> {
        self.operations[operation as usize].get().map(Box::as_ref)
    }

    /// Counts a request to the backend.
    pub(crate) fn requested(&self, operation: Operation, took: Duration, failed: bool) {
        let make = || {
            Box::new(OperationMetrics {
                durations: Histogram::new(REQUEST_SECONDS),
                errors: Counter::default(),
            })
        };
        let metrics = self.operations[operation as usize].get_or_init(make);
        metrics.durations.observe(took);
        if failed {
            metrics.errors.add(1);
        }
    }

    /// Counts the objects of a lease that is used no more.
    pub(crate) fn lease_replaced(&self, objects: u64) {
        self.lease_objects.get_or_init(|| Box::new(Histogram::new(LEASE_OBJECTS))).observe_number(objects);
    }
}

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Observations by size.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds, inclusive, ascending.
    bounds: &'static [f64],
    /// Observations up to each bound and above the one before; the last is above all bounds.
    buckets: Box<[Counter]>,
    /// Sum in billionths, which overflows after 580 years of seconds.
    sum: Counter,
}

const NANO: f64 = 1e-9;

impl Histogram {
    /// Nothing observed yet. `bounds` ascend.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        debug_assert!(bounds.is_sorted(), "bounds ascend");
        let buckets = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Histogram { bounds, buckets, sum: Counter::default() }
    }

    /// Observes a time, in seconds.
    pub fn observe(&self, time: Duration) {
        self.put(time.as_secs_f64(), u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Observes a number.
    pub fn observe_number(&self, number: u64) {
        self.put(number as f64, number.saturating_mul(1_000_000_000));
    }

    fn put(&self, value: f64, billionths: u64) {
        self.buckets[self.bounds.partition_point(|bound| *bound < value)].add(1);
        self.sum.add(billionths);
    }

    /// Each upper bound with the number of observations up to it; the last bound is infinite.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(&self.buckets).scan(0, |total, (bound, bucket)| {
            *total += bucket.get();
            Some((bound, *total))
        })
    }

    /// Number of all observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum()
    }

    /// Takes over what another with the same bounds has observed.
    pub fn add(&self, other: &Histogram) {
        debug_assert_eq!(self.bounds, other.bounds, "of one metric");
        for (bucket, more) in self.buckets.iter().zip(&other.buckets) {
            bucket.add(more.get());
        }
        self.sum.add(other.sum.get());
    }

    /// Sum of all observations.
    pub fn sum(&self) -> f64 {
        self.sum.get() as f64 * NANO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_counts_in_every_bucket_that_holds_it() {
        let histogram = Histogram::new(&[0.5, 1.0]);
        for millis in [500, 501, 2000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let twice = Histogram::new(&[0.5, 1.0]);
        twice.add(&histogram);
        twice.add(&histogram);
        assert_eq!((histogram.count(), twice.count()), (3, 6));
        let got: Vec<(f64, u64)> = histogram.cumulative().collect();
        assert_eq!(got, [(0.5, 1), (1.0, 2), (f64::INFINITY, 3)]);
        assert!((histogram.sum() - 3.001).abs() < 1e-6, "{}", histogram.sum());
    }

    #[test]
    fn operations_appear_with_their_first_request() {
        let metrics = StoreMetrics::default();
        metrics.requested(Operation::Update, Duration::ZERO, false);
        metrics.requested(Operation::Update, Duration::ZERO, true);
        for operation in Operation::ALL {
            let counted = metrics.operation(operation);
            let expected = (operation == Operation::Update).then_some((2, 1));
            let got = counted.map(|counted| (counted.durations.count(), counted.errors.get()));
            assert_eq!(got, expected, "{}", operation.name());
        }
    }
}
