//! The workloads. Each drives the server from `workers` connections and
//! reports operations, latencies and the server's own cost.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::client::{Connection, Target};
use crate::process::{Process, Usage};
use crate::report::{Report, histogram};

const NAMESPACE: &str = "pintle-bench";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// How long after the last update its deliveries may take before the run fails.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(60);

/// What to do to whom.
pub struct Load {
    pub target: Arc<Target>,
    pub process: Option<Process>,
    pub objects: usize,
    pub bytes: usize,
    pub workers: usize,
    pub gets: usize,
    pub lists: usize,
    pub watchers: usize,
    pub updates: usize,
    pub rate: usize,
}

/// One worker's share: bytes answered and latencies.
type Share = anyhow::Result<(u64, Histogram<u64>)>;

impl Load {
    /// Makes the namespace the objects live in.
    pub async fn prepare(&self) -> anyhow::Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        let mut connection = self.target.connect().await.context("cannot reach the server")?;
        connection.call(Method::POST, "/api/v1/namespaces", JSON, body(&namespace)).await?;
        Ok(())
    }

    /// Creates the objects, each once.
    pub async fn create(&self) -> anyhow::Result<Vec<Report>> {
        let payload: Arc<str> = "x".repeat(self.bytes).into();
        self.requests("create", self.objects, move |mut connection, i| {
            let object = config_map(i, &payload, 0);
            async move {
                let size = connection.call(Method::POST, &collection(), JSON, body(&object)).await;
                (connection, size)
            }
        })
        .await
    }

    /// Reads objects by name, all in turn.
    pub async fn get(&self) -> anyhow::Result<Vec<Report>> {
        let objects = self.objects.max(1);
        self.requests("get", self.gets, move |mut connection, i| async move {
            // A stride that shares no factor with usual counts visits them all out of order.
            let path = format!("{}/object-{}", collection(), (i * 7919) % objects);
            let size = connection.call(Method::GET, &path, JSON, Bytes::new()).await;
            (connection, size)
        })
        .await
    }

    /// Reads everything at once, as JSON and as protobuf.
    pub async fn list(&self) -> anyhow::Result<Vec<Report>> {
        let mut reports = Vec::new();
        for (name, accept) in [("list json", JSON), ("list protobuf", PROTOBUF)] {
            let list = move |mut connection: Connection, _| async move {
                let size = connection.call(Method::GET, &collection(), accept, Bytes::new()).await;
                (connection, size)
            };
            reports.extend(self.requests(name, self.lists, list).await?);
        }
        Ok(reports)
    }

    /// Removes the objects.
    pub async fn delete(&self) -> anyhow::Result<Vec<Report>> {
        self.requests("delete", self.objects, move |mut connection, i| async move {
            let path = format!("{}/object-{i}", collection());
            let size = connection.call(Method::DELETE, &path, JSON, Bytes::new()).await;
            (connection, size)
        })
        .await
    }

    /// Spreads `count` requests over the workers.
    async fn requests<F, R>(&self, name: &str, count: usize, request: F) -> anyhow::Result<Vec<Report>>
    where
        F: Fn(Connection, usize) -> R + Clone + Send + 'static,
        R: Future<Output = (Connection, anyhow::Result<usize>)> + Send,
    {
        let next = Arc::new(AtomicUsize::new(0));
        let mut connections = Vec::new();
        for _ in 0..self.workers.min(count.max(1)) {
            connections.push(self.target.connect().await?);
        }
        let before = self.usage()?;
        let start = Instant::now();
        let workers: Vec<_> = connections
            .into_iter()
            .map(|mut connection| {
                let (next, request) = (next.clone(), request.clone());
                tokio::spawn(async move {
                    let (mut bytes, mut latencies) = (0, histogram());
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= count {
                            return Share::Ok((bytes, latencies));
                        }
                        let sent = Instant::now();
                        let (back, size) = request(connection, i).await;
                        connection = back;
                        bytes += size? as u64;
                        latencies.saturating_record(sent.elapsed().as_micros() as u64);
                    }
                })
            })
            .collect();
        let (mut bytes, mut latencies) = (0, histogram());
        for worker in workers {
            let (share, histogram) = worker.await??;
            bytes += share;
            latencies.add(histogram)?;
        }
        let elapsed = start.elapsed();
        let usage = before.zip(self.usage()?);
        let operations = count as u64;
        Ok(vec![Report {
            name: name.to_owned(),
            unit: "requests",
            operations,
            bytes,
            elapsed,
            latencies,
            usage,
        }])
    }

    /// Opens watches, updates one object at the given rate, and counts every
    /// delivery; latency is from the acknowledged write to the delivery.
    pub async fn watch(&self) -> anyhow::Result<Vec<Report>> {
        let mut connection = self.target.connect().await?;
        let object = config_map("watched", "x", 0);
        connection.call(Method::POST, &collection(), JSON, body(&object)).await?;
        let (deliveries, mut delivered) = mpsc::unbounded_channel();
        let path = format!("{}?watch=1&fieldSelector=metadata.name%3Dobject-watched", collection());
        for _ in 0..self.watchers {
            let mut connection = self.target.connect().await?;
            let response = connection.send(Method::GET, &path, JSON, Bytes::new()).await?;
            if !response.status().is_success() {
                bail!("the watch answered {}", response.status());
            }
            tokio::spawn(follow(connection, response.into_body(), deliveries.clone()));
        }
        // The initial state has to be out before the first update is counted.
        for _ in 0..self.watchers {
            let first = tokio::time::timeout(DELIVERY_PATIENCE, delivered.recv()).await;
            first.context("the initial events did not arrive")?.context("the watches ended")?;
        }
        let expected = self.watchers * self.updates;
        let before = self.usage()?;
        let start = Instant::now();
        let collect = tokio::spawn(collect(delivered, expected, self.updates));
        let acknowledged = self.update(&mut connection, start).await?;
        let arrivals = collect.await??;
        let elapsed = start.elapsed();
        let usage = before.zip(self.usage()?);
        let mut latencies = histogram();
        for (sequence, at) in arrivals {
            let acknowledged = acknowledged.get(sequence).context("a delivery of an unknown update")?;
            latencies.saturating_record(at.saturating_duration_since(*acknowledged).as_micros() as u64);
        }
        let name = format!("watch x{}", self.watchers);
        let operations = expected as u64;
        Ok(vec![Report { name, unit: "deliveries", operations, bytes: 0, elapsed, latencies, usage }])
    }

    /// Updates the watched object; returns when each update was acknowledged. Index 0 is the object as created.
    async fn update(&self, connection: &mut Connection, start: Instant) -> anyhow::Result<Vec<Instant>> {
        let mut acknowledged = vec![start];
        let path = format!("{}/object-watched", collection());
        for sequence in 1..=self.updates {
            if self.rate > 0 {
                let due = start + Duration::from_secs_f64(sequence as f64 / self.rate as f64);
                tokio::time::sleep_until(due.into()).await;
            }
            let object = config_map("watched", "x", sequence);
            connection.call(Method::PUT, &path, JSON, body(&object)).await?;
            acknowledged.push(Instant::now());
        }
        Ok(acknowledged)
    }

    fn usage(&self) -> anyhow::Result<Option<Usage>> {
        self.process.as_ref().map(Process::usage).transpose()
    }
}

/// Reports the sequence number of each event of one watch with the time it came.
async fn follow(
    _connection: Connection,
    mut body: Incoming,
    deliveries: mpsc::UnboundedSender<(usize, Instant)>,
) {
    let mut buffer = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        let now = Instant::now();
        buffer.extend_from_slice(data);
        while let Some(end) = buffer.iter().position(|&b| b == b'\n') {
            let sequence = sequence_of(&buffer[..end]);
            buffer.drain(..=end);
            if let Some(sequence) = sequence
                && deliveries.send((sequence, now)).is_err()
            {
                return;
            }
        }
    }
}

/// The number in `"sequence":"17"`; none in a bookmark. Looked up as text,
/// because parsing thousands of events would measure the client.
fn sequence_of(event: &[u8]) -> Option<usize> {
    const MARK: &[u8] = b"\"sequence\":\"";
    let at = event.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = event[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&event[at..at + digits]).ok()?.parse().ok()
}

async fn collect(
    mut delivered: mpsc::UnboundedReceiver<(usize, Instant)>,
    expected: usize,
    last: usize,
) -> anyhow::Result<Vec<(usize, Instant)>> {
    let mut arrivals = Vec::with_capacity(expected);
    while arrivals.len() < expected {
        let next = tokio::time::timeout(DELIVERY_PATIENCE, delivered.recv()).await;
        match next {
            Ok(Some(arrival)) => arrivals.push(arrival),
            _ => bail!("{} of {expected} deliveries arrived (updates 1 to {last})", arrivals.len()),
        }
    }
    Ok(arrivals)
}

fn collection() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/configmaps")
}

fn config_map(name: impl std::fmt::Display, payload: &str, sequence: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": format!("object-{name}"), "namespace": NAMESPACE, "labels": {"app": "bench"}},
        "data": {"payload": payload, "sequence": sequence.to_string()},
    })
}

fn body(object: &Value) -> Bytes {
    object.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_found_in_an_event_and_not_in_a_bookmark() {
        assert_eq!(sequence_of(br#"{"type":"MODIFIED","object":{"data":{"sequence":"17"}}}"#), Some(17));
        assert_eq!(
            sequence_of(br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"5"}}}"#),
            None
        );
    }
}
