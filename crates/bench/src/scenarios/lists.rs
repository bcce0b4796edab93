//! Lists of everything: what they cost the server, in CPU and in memory, and
//! what copying as many bytes to a socket costs beside it.

use std::time::Instant;

use bytes::Bytes;
use http::Method;

use super::Load;
use crate::client::{Connection, JSON, PROTOBUF, TABLE};
use crate::copier::Copier;
use crate::report::{Report, histogram};

impl Load {
    /// Reads everything at once, as JSON, as protobuf and as a Table.
    pub async fn list(&self) -> anyhow::Result<Vec<Report>> {
        let mut reports = Vec::new();
        for (name, accept) in [("list json", JSON), ("list protobuf", PROTOBUF), ("list table", TABLE)] {
            reports.extend(self.lists_as(name, accept, self.lists).await?);
        }
        reports.extend(self.copies(&reports).await?);
        Ok(reports)
    }

    async fn lists_as(&self, name: &str, accept: &'static str, count: usize) -> anyhow::Result<Vec<Report>> {
        let kind = self.kind;
        let list = move |mut connection: Connection, _| async move {
            let size = connection.call(Method::GET, &kind.collection(), accept, Bytes::new()).await;
            (connection, size)
        };
        // The first makes encodings that are kept; it is no part of the figures.
        self.requests(name, 1, list).await?;
        self.requests(name, count, list).await
    }

    /// Copies to a socket what the lists answered, for comparison.
    async fn copies(&self, lists: &[Report]) -> anyhow::Result<Vec<Report>> {
        let mut reports = Vec::new();
        for list in lists.iter().take(2) {
            let count = list.operations.max(1);
            let name = format!("copy of {}", list.name);
            reports.push(self.copy_of(&name, (list.bytes / count) as usize, count as usize).await?);
        }
        Ok(reports)
    }

    /// Copies `bytes` for each object to a socket, as often as there are lists.
    pub async fn copy(&self) -> anyhow::Result<Vec<Report>> {
        Ok(vec![self.copy_of("copy", self.bytes * self.objects, self.lists).await?])
    }

    /// The same number of connections, the same encryption, nothing but copying.
    async fn copy_of(&self, name: &str, bytes: usize, count: usize) -> anyhow::Result<Report> {
        let copier = Copier::start(bytes, self.target.is_secure()).await?;
        let workers = self.workers.min(count.max(1));
        let before = copier.process.usage()?;
        let start = Instant::now();
        let mut readers = Vec::new();
        for worker in 0..workers {
            let share = count / workers + usize::from(worker < count % workers);
            let address = copier.address.clone();
            readers.push(tokio::spawn(async move { crate::copier::read(&address, share, bytes).await }));
        }
        let mut latencies = histogram();
        for reader in readers {
            for latency in reader.await?? {
                latencies.saturating_record(latency.as_micros() as u64);
            }
        }
        Ok(Report {
            operations: count as u64,
            bytes: (bytes * count) as u64,
            elapsed: start.elapsed(),
            latencies,
            usage: Some((before, copier.process.usage()?)),
            ..Report::new(name, "copies")
        })
    }

    /// The server's memory for each object.
    pub fn memory(&self) -> anyhow::Result<Vec<Report>> {
        let usage = self.usage()?.map(|usage| (usage, usage));
        let operations = self.objects as u64;
        Ok(vec![Report { operations, usage, per_object: true, ..Report::new("memory", "objects") }])
    }
}
