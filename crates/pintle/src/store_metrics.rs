//! How much is stored, for `/metrics`, under the original's names (E-MET-1).
//!
//! The original polls these numbers by the clock. Here they are asked for as
//! metrics are read, so that an idle server does nothing; a poll interval of
//! zero leaves them out, as it does in the original.

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

use crate::flags::BackendFlags;

/// Registers what the flags ask for.
pub fn register(
    metrics: &Metrics,
    flags: &BackendFlags,
    served: &Served,
    main: &Arc<dyn Backend>,
) -> prometheus::Result<()> {
    if !flags.count_metric_poll_period.is_zero() {
        let counts = Arc::new(Counts::new(metrics.registry(), served)?);
        metrics.before_reading(move || {
            let counts = counts.clone();
            async move { counts.refresh().await }.boxed()
        });
    }
    if !flags.db_metric_poll_interval.is_zero() {
        let size =
            gauge(metrics.registry(), "apiserver_storage_size_bytes", SIZE_HELP, &["storage_cluster_id"])?;
        let main = main.clone();
        metrics.before_reading(move || {
            let (main, size) = (main.clone(), size.clone());
            async move {
                let bytes = main.status().await.map_or(UNKNOWN, |status| count(status.size_bytes));
                size.with_label_values(&[MAIN_CLUSTER]).set(bytes);
            }
            .boxed()
        });
    }
    Ok(())
}

const SIZE_HELP: &str = "Size of the storage database file physically allocated in bytes.";
const COUNT_HELP: &str = "Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.";
const ESTIMATE_HELP: &str = "Estimated size of stored objects in database. Estimate is based on sum of last observed sizes of serialized objects. In case of a fetching error, the value will be -1.";
/// How the original names its first cluster.
const MAIN_CLUSTER: &str = "etcd-0";
/// Stands for a number that could not be found out.
const UNKNOWN: i64 = -1;

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
