//! The metrics of all watch caches in Prometheus' text format. Owns the text
//! only; the caches count.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use meta::GroupResource;
use watch_cache::{CacheMetrics, METRICS, MetricKind, ReadWait};

/// The caches of a server with the resources they hold.
pub type CachesMetrics = Vec<(GroupResource, Arc<CacheMetrics>)>;

/// Appends what the caches have counted.
pub fn write(caches: &CachesMetrics, out: &mut Vec<u8>) {
    let mut last = "";
    for metric in METRICS {
        // Writing into memory cannot fail.
        if metric.name != last {
            let kind = if metric.kind == MetricKind::Counter { "counter" } else { "gauge" };
            let _ = writeln!(out, "# HELP {0} {1}\n# TYPE {0} {kind}", metric.name, metric.help);
            last = metric.name;
        }
        for (resource, metrics) in caches {
            let value = (metric.value)(metrics).load(Relaxed);
            let comma = if metric.labels.is_empty() { "" } else { "," };
            let _ = writeln!(
                out,
                "{}{{group=\"{}\",resource=\"{}\"{comma}{}}} {value}",
                metric.name, resource.group, resource.resource, metric.labels
            );
        }
    }
    read_wait(caches, out);
}

/// The histogram of how long reads waited for a revision.
fn read_wait(caches: &CachesMetrics, out: &mut Vec<u8>) {
    const NAME: &str = "apiserver_watch_cache_read_wait_seconds";
    let _ = writeln!(out, "# HELP {NAME} How long reads waited for the watch cache to reach their revision.");
    let _ = writeln!(out, "# TYPE {NAME} histogram");
    for (resource, metrics) in caches {
        let labels = format!("group=\"{}\",resource=\"{}\"", resource.group, resource.resource);
        let waits = &metrics.read_wait;
        let mut count = 0;
        let bounds = ReadWait::BOUNDS_SECONDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, reads) in bounds.zip(&waits.reads) {
            count += reads.load(Relaxed);
            let _ = writeln!(out, "{NAME}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
        let seconds = waits.microseconds.load(Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{NAME}_sum{{{labels}}} {seconds}\n{NAME}_count{{{labels}}} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cache_has_a_line_under_each_name() {
        let caches = vec![
            (GroupResource::new("", "pods"), Arc::default()),
            (GroupResource::new("apps", "deployments"), Arc::default()),
        ];
        let mut out = Vec::new();
        write(&caches, &mut out);
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("# TYPE watch_cache_capacity gauge\n"), "{text}");
        assert!(text.contains("watch_cache_capacity{group=\"apps\",resource=\"deployments\"} 0\n"), "{text}");
        let checks =
            r#"apiserver_storage_consistency_checks_total{group="",resource="pods",status="error"} 0"#;
        assert!(text.contains(checks), "{text}");
        assert_eq!(text.matches("# TYPE apiserver_storage_consistency_checks_total").count(), 1);
        let wait = r#"apiserver_watch_cache_read_wait_seconds_bucket{group="",resource="pods",le="0.005"} 0"#;
        assert!(text.contains(wait), "{text}");
    }
}
