//! What stores count and how much is in them, for `/metrics`, under the
//! original's names (E-MET-1).
//!
//! The original polls sizes and numbers of objects by the clock. Here they are
//! asked for as metrics are read, so that an idle server does nothing; a poll
//! interval of zero leaves them out, as it does in the original.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::join_all;
use meta::GroupResource;
use prometheus::{IntGaugeVec, Opts, Registry};
use registry::Served;
use server::Metrics;
use storage::Storage;
use storage::backend::Backend;
use storage::metrics::{Counter, Histogram, LEASE_OBJECTS, Operation, OperationMetrics, StoreMetrics};
use storage_etcd::EtcdBackend;

use crate::backends::Backends;
use crate::exposition::{Exposition, Kind, Labels};
use crate::flags::BackendFlags;

/// What object stores count, with the resources that lie in them.
pub type StoresMetrics = Vec<(GroupResource, Arc<StoreMetrics>)>;

/// Appends what the stores have counted. What was never counted is left out, as the original leaves it out.
pub fn write(stores: &StoresMetrics, out: &mut Vec<u8>) {
    let mut text = Exposition::new(out);
    let help = "[ALPHA] Etcd request latency in seconds for each operation and object type.";
    text.family(Kind::Histogram, "etcd_request_duration_seconds", help);
    each_operation(stores, |labels, counted| text.histogram(labels, &counted.durations));
    let help = "[ALPHA] Etcd request counts for each operation and object type.";
    text.family(Kind::Counter, "etcd_requests_total", help);
    each_operation(stores, |labels, counted| text.number(labels, counted.durations.count() as f64));
    let help = "[ALPHA] Etcd failed request counts for each operation and object type.";
    text.family(Kind::Counter, "etcd_request_errors_total", help);
    each_operation(stores, |labels, counted| match counted.errors.get() {
        0 => {}
        errors => text.number(labels, errors as f64),
    });
    for (name, help, counter) in COUNTERS {
        text.family(Kind::Counter, name, help);
        for (resource, metrics) in stores {
            match counter(metrics).get() {
                0 => {}
                count => {
                    text.number(&[("group", &resource.group), ("resource", &resource.resource)], count as f64)
                }
            }
        }
    }
    let leases = Histogram::new(LEASE_OBJECTS);
    stores.iter().filter_map(|(_, metrics)| metrics.lease_objects.get()).for_each(|store| leases.add(store));
    if leases.count() > 0 {
        let help = "[ALPHA] Number of objects attached to a single etcd lease.";
        text.family(Kind::Histogram, "etcd_lease_object_counts", help);
        text.histogram(&[], &leases);
    }
}

/// Every kind of request that was made of a store.
fn each_operation(stores: &StoresMetrics, mut write: impl FnMut(Labels<'_>, &OperationMetrics)) {
    for (resource, metrics) in stores {
        for operation in Operation::ALL {
            if let Some(counted) = metrics.operation(operation) {
                let (group, resource) = (resource.group.as_ref(), resource.resource.as_ref());
                write(&[("operation", operation.name()), ("group", group), ("resource", resource)], counted);
            }
        }
    }
}

/// Name, help, and where it is.
type CounterRow = (&'static str, &'static str, fn(&StoreMetrics) -> &Counter);

const COUNTERS: [CounterRow; 7] = [
    (
        "apiserver_storage_events_received_total",
        "[BETA] Number of etcd events received split by kind.",
        |m| &m.events_received,
    ),
    (
        "etcd_bookmark_total",
        "[ALPHA] Number of etcd bookmarks (progress notify events) split by kind.",
        |m| &m.bookmarks,
    ),
    ("apiserver_storage_list_total", "[ALPHA] Number of LIST requests served from storage", |m| &m.lists),
    (
        "apiserver_storage_list_fetched_objects_total",
        "[ALPHA] Number of objects read from storage in the course of serving a LIST request",
        |m| &m.list_fetched_objects,
    ),
    (
        "apiserver_storage_list_evaluated_objects_total",
        "[ALPHA] Number of objects tested in the course of serving a LIST request from storage",
        |m| &m.list_evaluated_objects,
    ),
    (
        "apiserver_storage_list_returned_objects_total",
        "[ALPHA] Number of objects returned for a LIST request from storage",
        |m| &m.list_returned_objects,
    ),
    (
        "apiserver_storage_decode_errors_total",
        "[ALPHA] Number of stored object decode errors split by object type",
        |m| &m.decode_errors,
    ),
];

/// Registers what the flags ask for.
pub fn register(
    metrics: &Metrics,
    flags: &BackendFlags,
    served: &Served,
    backends: &Backends,
) -> prometheus::Result<()> {
    if !flags.count_metric_poll_period.is_zero() {
        let counts = Arc::new(Counts::new(metrics.registry(), served)?);
        metrics.before_reading(move || {
            let counts = counts.clone();
            async move { counts.refresh().await }.boxed()
        });
    }
    if !flags.db_metric_poll_interval.is_zero() {
        let sizes = Arc::new(Sizes::new(metrics.registry(), backends)?);
        metrics.before_reading(move || {
            let sizes = sizes.clone();
            async move { sizes.refresh().await }.boxed()
        });
    }
    Ok(())
}

const SIZE_HELP: &str = "Size of the storage database file physically allocated in bytes.";
const MEMBER_HELP: &str = "Total size of the storage database file physically allocated in bytes.";
const COUNT_HELP: &str = "Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.";
const ESTIMATE_HELP: &str = "Estimated size of stored objects in database. Estimate is based on sum of last observed sizes of serialized objects. In case of a fetching error, the value will be -1.";
/// Stands for a number that could not be found out.
const UNKNOWN: i64 = -1;

/// Sizes of the stores, and of the members of those that have some.
struct Sizes {
    /// In the order that gives them their names.
    backends: Vec<Arc<dyn Backend>>,
    clusters: Vec<Arc<EtcdBackend>>,
    by_store: IntGaugeVec,
    by_member: IntGaugeVec,
}

impl Sizes {
    fn new(registry: &Registry, backends: &Backends) -> prometheus::Result<Sizes> {
        let places = backends.places();
        Ok(Sizes {
            backends: places.iter().map(|place| place.backend.clone()).collect(),
            clusters: places.iter().filter_map(|place| place.etcd.clone()).collect(),
            by_store: gauge(registry, "apiserver_storage_size_bytes", SIZE_HELP, &["storage_cluster_id"])?,
            by_member: gauge(
                registry,
                "apiserver_storage_db_total_size_in_bytes",
                MEMBER_HELP,
                &["endpoint"],
            )?,
        })
    }

    async fn refresh(&self) {
        let stores = join_all(self.backends.iter().map(|backend| backend.status()));
        let members = join_all(self.clusters.iter().map(|cluster| cluster.database_sizes()));
        let (stores, members) = futures::future::join(stores, members).await;
        for (n, status) in stores.into_iter().enumerate() {
            let name = format!("etcd-{n}");
            match status {
                Ok(status) => self.by_store.with_label_values(&[&name]).set(count(status.size_bytes)),
                // As the original: no number at all. That it was not there before is no failure.
                Err(_) => drop(self.by_store.remove_label_values(&[&name])),
            }
        }
        for (endpoint, size) in members.into_iter().flatten() {
            self.by_member.with_label_values(&[&endpoint]).set(size.map_or(UNKNOWN, count));
        }
    }
}

/// Numbers of objects, by resource.
struct Counts {
    storages: Vec<(GroupResource, Arc<dyn Storage>)>,
    by_name: IntGaugeVec,
    by_group_and_name: IntGaugeVec,
    sizes: IntGaugeVec,
}

impl Counts {
    fn new(registry: &Registry, served: &Served) -> prometheus::Result<Counts> {
        // Versions and cohabiting resources share storage; the first one's name is the storage's.
        let mut storages: BTreeMap<String, (GroupResource, Arc<dyn Storage>)> = BTreeMap::new();
        for resource in served.resources() {
            if let (Some(store), Some(stored)) = (&resource.store, resource.definition.storage()) {
                let name = resource.definition.group_resource();
                storages.entry(stored.prefix.to_string()).or_insert_with(|| (name, store.storage().clone()));
            }
        }
        let both = ["group", "resource"];
        Ok(Counts {
            storages: storages.into_values().collect(),
            by_name: gauge(registry, "apiserver_storage_objects", COUNT_HELP, &["resource"])?,
            by_group_and_name: gauge(registry, "apiserver_resource_objects", COUNT_HELP, &both)?,
            sizes: gauge(registry, "apiserver_resource_size_estimate_bytes", ESTIMATE_HELP, &both)?,
        })
    }

    async fn refresh(&self) {
        join_all(self.storages.iter().map(|(name, storage)| self.refresh_one(name, storage))).await;
    }

    async fn refresh_one(&self, name: &GroupResource, storage: &Arc<dyn Storage>) {
        let stats = storage.stats().await.ok();
        let objects = stats.as_ref().map_or(UNKNOWN, |stats| count(stats.object_count));
        let bytes = match &stats {
            Some(stats) if stats.average_size_bytes > 0 || stats.object_count == 0 => {
                count(stats.object_count.saturating_mul(stats.average_size_bytes))
            }
            _ => UNKNOWN,
        };
        self.by_name.with_label_values(&[&name.to_string()]).set(objects);
        let labels = [name.group.as_ref(), name.resource.as_ref()];
        self.by_group_and_name.with_label_values(&labels).set(objects);
        self.sizes.with_label_values(&labels).set(bytes);
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}
