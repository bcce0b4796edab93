//! `/metrics`: the original's names, labels and buckets in Prometheus' text format.
//!
//! One registry per server, because several servers may live in one process.
//! Owns the request metrics; others register theirs in [`Metrics::registry`].

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Response, StatusCode};
use meta::GroupVersionResource;
use parking_lot::Mutex;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::request_info::RequestInfo;
use crate::respond::{self, Body};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// Buckets of request latencies in seconds, as the original has them.
const LATENCY_BUCKETS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];

/// Buckets of watch events in bytes, as the original has them.
const EVENT_SIZE_BUCKETS: &[f64] = &[1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131_072.0];

/// Appends metrics in the text format.
pub type WriteMetrics = Box<dyn Fn(&mut Vec<u8>) + Send + Sync>;

/// What the server counts.
pub struct Metrics {
    registry: Registry,
    /// Write what others count without a registry.
    others: OnceLock<WriteMetrics>,
    requests: IntCounterVec,
    durations: HistogramVec,
    inflight: IntGaugeVec,
    long_running: IntGaugeVec,
    websocket_streams: IntCounterVec,
    watch_events: IntCounterVec,
    watch_event_sizes: HistogramVec,
    /// Requests answered 500 because serving them panicked.
    pub panics: IntCounter,
    refreshers: Mutex<Vec<Refresher>>,
}

/// Brings up to date what is not counted as it happens.
type Refresher = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl Metrics {
    /// All at zero.
    pub fn new() -> Arc<Metrics> {
        let registry = Registry::new();
        let request =
            ["verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component", "code"];
        let help = "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.";
        let requests = IntCounterVec::new(Opts::new("apiserver_request_total", help), &request);
        let help = "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.";
        let options =
            HistogramOpts::new("apiserver_request_duration_seconds", help).buckets(LATENCY_BUCKETS.to_vec());
        let durations = HistogramVec::new(options, &request[..8]);
        let help = "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.";
        let inflight =
            IntGaugeVec::new(Opts::new("apiserver_current_inflight_requests", help), &["request_kind"]);
        let help = "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.";
        let long_running = ["verb", "group", "version", "resource", "subresource", "scope", "component"];
        let long_running = IntGaugeVec::new(Opts::new("apiserver_longrunning_requests", help), &long_running);
        let help = "Total number of WebSocket streaming requests (exec/attach/portforward) routed by the API server, labeled by subresource and proxy_type. proxy_type is proxied_to_kubelet when the kubelet handles the request directly; otherwise translated_at_apiserver.";
        let websocket_streams = IntCounterVec::new(
            Opts::new("apiserver_websocket_streaming_requests_total", help),
            &["subresource", "proxy_type"],
        );
        let resource = ["group", "version", "resource"];
        let help = "Number of events sent in watch clients";
        let watch_events = IntCounterVec::new(Opts::new("apiserver_watch_events_total", help), &resource);
        let help = "Watch event size distribution in bytes";
        let options =
            HistogramOpts::new("apiserver_watch_events_sizes", help).buckets(EVENT_SIZE_BUCKETS.to_vec());
        let watch_event_sizes = HistogramVec::new(options, &resource);
        let panics = IntCounter::new(
            "pintle_request_panics_total",
            "Requests answered 500 because serving them panicked.",
        );
        // Names and labels are constants, so making and registering them cannot fail.
        let metrics = Metrics {
            registry,
            others: OnceLock::new(),
            requests: requests.expect("valid names"),
            durations: durations.expect("valid names"),
            inflight: inflight.expect("valid names"),
            long_running: long_running.expect("valid names"),
            websocket_streams: websocket_streams.expect("valid names"),
            watch_events: watch_events.expect("valid names"),
            watch_event_sizes: watch_event_sizes.expect("valid names"),
            panics: panics.expect("valid names"),
            refreshers: Mutex::new(Vec::new()),
        };
        metrics.registry.register(Box::new(metrics.requests.clone())).expect("registered once");
        metrics.registry.register(Box::new(metrics.durations.clone())).expect("registered once");
        metrics.registry.register(Box::new(metrics.inflight.clone())).expect("registered once");
        metrics.registry.register(Box::new(metrics.long_running.clone())).expect("registered once");
        metrics.registry.register(Box::new(metrics.websocket_streams.clone())).expect("registered once");
        metrics.registry.register(Box::new(metrics.watch_events.clone())).expect("registered once");
        metrics.registry.register(Box::new(metrics.watch_event_sizes.clone())).expect("registered once");
        metrics.registry.register(Box::new(metrics.panics.clone())).expect("registered once");
        Arc::new(metrics)
    }

    /// Has `write` called at the end of each answer, to append metrics in the
    /// text format that are kept elsewhere. Only the first call counts.
    pub fn append(&self, write: WriteMetrics) {
        // Whoever comes second comes too late, which is what is promised.
        let _ = self.others.set(write);
    }

    /// Where others register what they count.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Has `refresh` run before metrics are read. For numbers that would have
    /// to be polled otherwise: an idle server asks nobody.
    pub fn before_reading(&self, refresh: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) {
        self.refreshers.lock().push(Arc::new(refresh));
    }

    /// Counts a request as running until the guard is dropped.
    pub fn running(&self, info: &RequestInfo) -> impl Drop + Send + use<> {
        let reading = matches!(info.verb.as_str(), "get" | "list" | "watch");
        let gauge = self.inflight.with_label_values(&[if reading { "readOnly" } else { "mutating" }]);
        gauge.inc();
        Running(gauge)
    }

    /// Counts a stream to another server as open until the guard is dropped.
    pub fn streaming(&self, info: &RequestInfo) -> impl Drop + Send + use<> {
        let labels = [
            "CONNECT",
            &info.group,
            &info.version,
            &info.resource,
            &info.subresource,
            scope(info),
            "apiserver",
        ];
        let gauge = self.long_running.with_label_values(&labels);
        gauge.inc();
        Running(gauge)
    }

    /// Where a watch of a resource counts its events: looked up once, so that an event allocates nothing.
    pub fn watch_events(&self, resource: &GroupVersionResource) -> WatchEventMetrics {
        let labels = [resource.group.as_ref(), resource.version.as_ref(), resource.resource.as_ref()];
        WatchEventMetrics {
            total: self.watch_events.with_label_values(&labels),
            sizes: self.watch_event_sizes.with_label_values(&labels),
        }
    }

    /// Counts a WebSocket to a kubelet by what is done with it.
    pub fn websocket_stream(&self, subresource: &str, proxy_type: &str) {
        self.websocket_streams.with_label_values(&[subresource, proxy_type]).inc();
    }

    /// Counts an answered request.
    pub fn answered(&self, info: &RequestInfo, dry_run: bool, code: StatusCode, duration: Duration) {
        // Those of resources are known, so that counting them allocates nothing.
        let verb: Cow<'_, str> = match info.verb.as_str() {
            _ if info.is_stream() => "CONNECT".into(),
            "get" => "GET".into(),
            "list" => "LIST".into(),
            "watch" => "WATCH".into(),
            "create" => "POST".into(),
            "update" => "PUT".into(),
            "patch" => "PATCH".into(),
            "delete" => "DELETE".into(),
            "deletecollection" => "DELETECOLLECTION".into(),
            other => other.to_ascii_uppercase().into(),
        };
        let dry_run = if dry_run { "All" } else { "" };
        let labels = [
            verb.as_ref(),
            dry_run,
            &info.group,
            &info.version,
            &info.resource,
            &info.subresource,
            scope(info),
            "apiserver",
            code.as_str(),
        ];
        self.requests.with_label_values(&labels).inc();
        // The lifetime of a watch or a stream is no latency.
        if info.verb != "watch" && !info.is_stream() {
            self.durations.with_label_values(&labels[..8]).observe(duration.as_secs_f64());
        }
    }

    /// The answer to `GET /metrics`.
    pub async fn answer(&self) -> Response<Body> {
        let refreshers = self.refreshers.lock().clone();
        futures::future::join_all(refreshers.iter().map(|refresh| refresh())).await;
        let mut out = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            Ok(()) => {
                if let Some(write) = self.others.get() {
                    write(&mut out);
                }
                respond::bytes(StatusCode::OK, CONTENT_TYPE, out)
            }
            Err(error) => {
                tracing::error!(%error, "metrics cannot be written");
                respond::text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written\n")
            }
        }
    }
}

/// Counts the events a watch sends.
pub struct WatchEventMetrics {
    total: IntCounter,
    sizes: Histogram,
}

impl WatchEventMetrics {
    /// Counts an event of so many bytes.
    pub fn sent(&self, bytes: usize) {
        self.total.inc();
        self.sizes.observe(bytes as f64);
    }
}

fn scope(info: &RequestInfo) -> &'static str {
    match (info.resource_request, info.name.is_empty(), info.namespace.is_empty()) {
        (false, ..) => "",
        (true, false, _) => "resource",
        (true, true, false) => "namespace",
        (true, true, true) => "cluster",
    }
}

struct Running(prometheus::IntGauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn requests_are_counted_under_the_original_names() {
        let metrics = Metrics::new();
        let info =
            RequestInfo::parse("POST", "/api/v1/namespaces/n/pods", &Query::default()).expect("well-formed");
        let running = metrics.running(&info);
        let events = metrics.watch_events(&GroupVersionResource::new("", "v1", "pods"));
        [700, 1700].into_iter().for_each(|bytes| events.sent(bytes));
        metrics.answered(&info, true, StatusCode::CREATED, Duration::from_millis(3));
        let body = metrics.answer().await.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("text");
        assert!(text.contains(r#"apiserver_request_total{code="201",component="apiserver",dry_run="All",group="",resource="pods",scope="namespace",subresource="",verb="POST",version="v1"} 1"#), "{text}");
        assert!(text.contains(r#"apiserver_current_inflight_requests{request_kind="mutating"} 1"#));
        assert!(text.contains(r#"apiserver_watch_events_total{group="",resource="pods",version="v1"} 2"#));
        assert!(text.contains(
            r#"apiserver_watch_events_sizes_bucket{group="",resource="pods",version="v1",le="1024"} 1"#
        ));
        drop(running);
        assert_eq!(metrics.inflight.with_label_values(&["mutating"]).get(), 0);
    }
}
