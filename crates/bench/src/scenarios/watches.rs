//! Watches: many readers of one resource, one that does not read, many that
//! select by node, and writers beside them. Every event must reach every watcher once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::Load;
use super::objects::{body, sequence_patch, sequences};
use crate::client::{Connection, JSON, MERGE_PATCH};
use crate::report::{Report, histogram};

/// How long after the last update its deliveries may take before the run fails.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(60);
/// Watches opened at once.
const OPENING_AT_ONCE: usize = 16;
/// No acknowledgement yet.
const UNKNOWN: u64 = u64::MAX;

/// What the watchers and the updater of one run share.
struct Run {
    start: Instant,
    /// When each update was acknowledged, in microseconds since the start. Index 0 is the object as created.
    acknowledged: Vec<AtomicU64>,
    /// Deliveries that have not arrived.
    missing: AtomicUsize,
    complete: Notify,
    /// Set when the watchers are to end.
    over: AtomicBool,
}

impl Load {
    /// Updates one object at the given rate while watchers read, `stuck` of whom stop reading;
    /// latency is from the acknowledged write to the delivery.
    pub async fn watch(&self, stuck: usize) -> anyhow::Result<Vec<Report>> {
        let mut connection = self.watched_object().await?;
        let path = self.watch_path(&mut connection, None).await?;
        let mut held = Vec::new();
        for _ in 0..stuck {
            let mut narrow = self.target.connect_narrow().await?;
            let response = narrow.send(Method::GET, &path, JSON, JSON, Bytes::new()).await?;
            held.push((narrow, response));
        }
        let readers = self.watchers.saturating_sub(stuck);
        let run = Arc::new(Run::new(readers * self.updates, self.updates));
        let mut watchers = JoinSet::new();
        for (connection, body) in self.open(vec![path; readers]).await? {
            watchers.spawn(follow(connection, body, run.clone()));
        }
        let before = self.usage()?;
        let start = Instant::now();
        self.update_watched(&mut connection, &run).await?;
        run.wait().await?;
        let elapsed = start.elapsed();
        let usage = before.zip(self.usage()?);
        run.over.store(true, Ordering::Relaxed);
        // An update after the last, so that everybody notices that it is over.
        connection.call_as(Method::PATCH, &self.kind.path("watched"), MERGE_PATCH, sequence_patch(0)).await?;
        let (mut latencies, mut bytes) = (histogram(), 0);
        while let Some(watcher) = watchers.join_next().await {
            let (own, size) = watcher??;
            own.into_iter().for_each(|micros| latencies.saturating_record(u64::from(micros)));
            bytes += size;
        }
        let suffix = if stuck > 0 { format!(" + {stuck} stuck") } else { String::new() };
        Ok(vec![Report {
            operations: (readers * self.updates) as u64,
            bytes,
            elapsed,
            latencies,
            usage,
            ..Report::new(format!("watch x{readers}{suffix}"), "deliveries")
        }])
    }

    /// The same with and without one watcher who does not read, for comparison.
    pub async fn stuck(&self) -> anyhow::Result<Vec<Report>> {
        let mut reports = self.watch(0).await?;
        reports.extend(self.watch(1).await?);
        reports.extend(self.watch(0).await?);
        reports.extend(self.watch(1).await?);
        Ok(reports)
    }

    /// Updates without watchers and with watchers of a node each, for comparison. Only pods select by node.
    pub async fn nodes(&self) -> anyhow::Result<Vec<Report>> {
        let mut reports = self.updates_of_many("update, no watcher").await?;
        let mut connection = self.watched_object().await?;
        for watchers in [self.watchers / 100, self.watchers] {
            let mut paths = Vec::new();
            for i in 0..watchers {
                paths.push(self.watch_path(&mut connection, Some(i)).await?);
            }
            let mut held = JoinSet::new();
            for (connection, body) in self.open(paths).await? {
                held.spawn(swallow(connection, body));
            }
            reports.extend(self.updates_of_many(&format!("update, x{watchers} nodes")).await?);
        }
        Ok(reports)
    }

    /// Concurrent writers of distinct objects without watchers and with them, twice for comparison.
    pub async fn writers(&self) -> anyhow::Result<Vec<Report>> {
        let mut reports = Vec::new();
        for _ in 0..2 {
            reports.extend(self.updates_of_many(&format!("write x{}", self.workers)).await?);
            let mut connection = self.watched_object().await?;
            let path = self.watch_path(&mut connection, None).await?;
            let mut held = JoinSet::new();
            for (connection, body) in self.open(vec![path; self.watchers]).await? {
                held.spawn(swallow(connection, body));
            }
            let name = format!("write x{}, watch x{}", self.workers, self.watchers);
            reports.extend(self.updates_of_many(&name).await?);
        }
        Ok(reports)
    }

    /// Makes the object that is updated while others watch.
    async fn watched_object(&self) -> anyhow::Result<Connection> {
        let mut connection = self.target.connect().await?;
        let object = self.kind.object("watched", "node-0", &"x".repeat(self.bytes));
        connection.call(Method::POST, &self.kind.collection(), JSON, body(&object)).await?;
        connection.call_as(Method::PATCH, &self.kind.path("watched"), MERGE_PATCH, sequence_patch(0)).await?;
        Ok(connection)
    }

    /// A watch from now on, of everything or of a node's.
    async fn watch_path(&self, connection: &mut Connection, node: Option<usize>) -> anyhow::Result<String> {
        let collection = self.kind.collection();
        let revision = connection.revision(&format!("{collection}?limit=1")).await?;
        let selector = node.map_or_else(String::new, |i| format!("&fieldSelector=spec.nodeName%3Dnode-{i}"));
        Ok(format!("{collection}?watch=1&resourceVersion={revision}{selector}"))
    }

    /// Opens watches; returns when all of them are served.
    async fn open(&self, paths: Vec<String>) -> anyhow::Result<Vec<(Connection, Incoming)>> {
        let mut paths = paths.into_iter();
        let (mut opening, mut open) = (JoinSet::new(), Vec::new());
        loop {
            while opening.len() < OPENING_AT_ONCE
                && let Some(path) = paths.next()
            {
                opening.spawn(open_one(self.target.clone(), path));
            }
            match opening.join_next().await {
                Some(opened) => open.push(opened??),
                None => return Ok(open),
            }
        }
    }

    /// Updates the watched object, flat out or at the rate.
    async fn update_watched(&self, connection: &mut Connection, run: &Run) -> anyhow::Result<()> {
        let path = self.kind.path("watched");
        for sequence in 1..=self.updates {
            if self.rate > 0 {
                let due = run.start + Duration::from_secs_f64(sequence as f64 / self.rate as f64);
                tokio::time::sleep_until(due.into()).await;
            }
            connection.call_as(Method::PATCH, &path, MERGE_PATCH, sequence_patch(sequence)).await?;
            run.acknowledged[sequence].store(run.now(), Ordering::Release);
        }
        Ok(())
    }
}

impl Run {
    fn new(deliveries: usize, updates: usize) -> Run {
        Run {
            start: Instant::now(),
            acknowledged: (0..=updates).map(|_| AtomicU64::new(UNKNOWN)).collect(),
            missing: AtomicUsize::new(deliveries),
            complete: Notify::new(),
            over: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// Takes note of a delivery; returns how long after the acknowledgement it came, 0 if before, in microseconds.
    fn arrived(&self, sequence: usize, now: u64) -> u32 {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.complete.notify_one();
        }
        match self.acknowledged[sequence].load(Ordering::Acquire) {
            UNKNOWN => 0,
            at => u32::try_from(now.saturating_sub(at)).unwrap_or(u32::MAX),
        }
    }

    async fn wait(&self) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(DELIVERY_PATIENCE, self.complete.notified()).await;
        let missing = self.missing.load(Ordering::Acquire);
        ensure!(waited.is_ok() || missing == 0, "{missing} deliveries did not arrive");
        Ok(())
    }
}

async fn open_one(
    target: Arc<crate::client::Target>,
    path: String,
) -> anyhow::Result<(Connection, Incoming)> {
    let mut connection = target.connect().await?;
    let response = connection.send(Method::GET, &path, JSON, JSON, Bytes::new()).await?;
    if !response.status().is_success() {
        bail!("the watch answered {}", response.status());
    }
    Ok((connection, response.into_body()))
}

/// Reads a watch until the run is over; returns the latency of each event in microseconds, and all bytes.
/// Fails if an event is missing, out of order or there twice.
async fn follow(
    _connection: Connection,
    mut body: Incoming,
    run: Arc<Run>,
) -> anyhow::Result<(Vec<u32>, u64)> {
    let (mut latencies, mut bytes, mut last) = (Vec::new(), 0, 0);
    // The end of an event that came in two pieces.
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else { continue };
        bytes += data.len() as u64;
        let now = run.now();
        let end = memchr::memrchr(b'\n', data).map_or(0, |at| at + 1);
        let (whole, begun) = data.split_at(end);
        let joined;
        let whole = if rest.is_empty() || whole.is_empty() {
            whole
        } else {
            rest.extend_from_slice(whole);
            joined = std::mem::take(&mut rest);
            &joined
        };
        for sequence in sequences(whole) {
            if sequence == 0 && last == 0 {
                continue;
            }
            if sequence == 0 && run.over.load(Ordering::Relaxed) {
                return Ok((latencies, bytes));
            }
            ensure!(sequence == last + 1, "update {sequence} came after update {last}");
            last = sequence;
            latencies.push(run.arrived(sequence, now));
        }
        rest.extend_from_slice(begun);
    }
    bail!("a watch ended after update {last}")
}

/// Reads and forgets.
async fn swallow(_connection: Connection, mut body: Incoming) -> anyhow::Result<()> {
    while let Some(frame) = body.frame().await {
        frame.context("a watch broke off")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_before_its_acknowledgement_took_no_time() {
        let run = Run::new(2, 1);
        assert_eq!(run.arrived(1, 500), 0);
        run.acknowledged[1].store(400, Ordering::Release);
        assert_eq!(run.arrived(1, 500), 100);
        assert_eq!(run.missing.load(Ordering::Acquire), 0);
    }
}
