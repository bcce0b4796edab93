//! The scenarios. Each drives the server from `workers` connections and
//! reports operations, latencies and the server's own cost.
//!
//! What every scenario needs is here; objects, lists and watches have files of
//! their own.

mod lists;
mod objects;
mod watches;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use http::Method;
use serde_json::json;

pub use self::objects::Kind;
use crate::client::{Connection, JSON, Target};
use crate::process::{Process, Usage};
use crate::report::{Report, histogram};

const NAMESPACE: &str = "pintle-bench";

/// What there is, for help and errors.
pub const SCENARIOS: &str = "create, get, update, list, memory, copy, watch, stuck, nodes, writers, delete";

/// What to do to whom.
pub struct Load {
    pub target: Arc<Target>,
    pub process: Option<Process>,
    pub kind: Kind,
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
        connection.call(Method::POST, "/api/v1/namespaces", JSON, objects::body(&namespace)).await?;
        Ok(())
    }

    /// Runs a scenario.
    pub async fn run(&self, scenario: &str) -> anyhow::Result<Vec<Report>> {
        match scenario {
            "create" => self.create().await,
            "get" => self.get().await,
            "update" => self.update().await,
            "list" => self.list().await,
            "memory" => self.memory(),
            "copy" => self.copy().await,
            "watch" => self.watch(0).await,
            "stuck" => self.stuck().await,
            "nodes" => self.nodes().await,
            "writers" => self.writers().await,
            "delete" => self.delete().await,
            other => bail!("--only: {other:?} is no scenario; there are {SCENARIOS}"),
        }
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
        Ok(vec![Report {
            operations: count as u64,
            bytes,
            elapsed,
            latencies,
            usage: before.zip(self.usage()?),
            ..Report::new(name, "requests")
        }])
    }

    /// The server's figures; begins a new count of its memory's peak.
    fn usage(&self) -> anyhow::Result<Option<Usage>> {
        let usage = self.process.as_ref().map(Process::usage).transpose()?;
        if let Some(process) = &self.process {
            process.forget_peak();
        }
        Ok(usage)
    }
}
