//! What a workload came to, printed as one line.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::process::Usage;

/// Latencies are kept in microseconds up to an hour, three digits exact.
pub fn histogram() -> Histogram<u64> {
    const HOUR_MICROS: u64 = 3600 * 1_000_000;
    Histogram::new_with_bounds(1, HOUR_MICROS, 3)
        .expect("the bounds are in order, three digits are supported")
}

/// One workload's figures.
pub struct Report {
    /// Workload.
    pub name: String,
    /// What was counted, e.g. `requests` or `deliveries`.
    pub unit: &'static str,
    /// How many.
    pub operations: u64,
    /// Bytes of answers, 0 if of no interest.
    pub bytes: u64,
    /// Wall time.
    pub elapsed: Duration,
    /// Latency of each, in microseconds.
    pub latencies: Histogram<u64>,
    /// The server's figures before and after.
    pub usage: Option<(Usage, Usage)>,
    /// Tell memory for each operation, too.
    pub per_object: bool,
}

impl Report {
    /// A report without figures yet.
    pub fn new(name: impl Into<String>, unit: &'static str) -> Report {
        Report {
            name: name.into(),
            unit,
            operations: 0,
            bytes: 0,
            elapsed: Duration::ZERO,
            latencies: histogram(),
            usage: None,
            per_object: false,
        }
    }

    /// Prints the line.
    #[expect(clippy::print_stdout, reason = "printing figures is what the program is for")]
    pub fn print(&self) {
        let seconds = self.elapsed.as_secs_f64();
        let at = |q: f64| self.latencies.value_at_quantile(q) as f64 / 1000.0;
        let mut line = format!("{:<22} {:>9} {:<10}", self.name, self.operations, self.unit);
        if seconds > 0.0 {
            line += &format!(" {:>9.0}/s", self.operations as f64 / seconds);
        }
        if !self.latencies.is_empty() {
            let max = self.latencies.max() as f64 / 1000.0;
            line += &format!("  ms p50 {:.2} p90 {:.2} p99 {:.2} max {max:.2}", at(0.5), at(0.9), at(0.99));
        }
        if self.bytes > 0 {
            let megabytes = self.bytes as f64 / 1e6;
            line += &format!("  {megabytes:.1} MB, {:.0} MB/s", megabytes / seconds);
        }
        if let Some((before, after)) = self.usage {
            line += &self.cost(before, after);
        }
        println!("{line}");
    }
    /// What it cost the server.
    fn cost(&self, before: Usage, after: Usage) -> String {
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        let operations = self.operations.max(1) as f64;
        let mut line = format!("  server: {:.2} us CPU each, {cpu:.2} s in all", cpu * 1e6 / operations);
        if self.bytes > 0 {
            line += &format!(", {:.0} us a MB", cpu * 1e6 / (self.bytes as f64 / 1e6));
        }
        line += &format!(
            ", {:.1} MB resident, peak {:.1} MB above {:.1} MB before",
            after.resident_bytes as f64 / 1e6,
            after.peak_bytes.saturating_sub(before.resident_bytes) as f64 / 1e6,
            before.resident_bytes as f64 / 1e6,
        );
        if self.per_object {
            let grown = after.resident_bytes.saturating_sub(before.resident_bytes) as f64;
            line += &format!(
                ", {:.0} bytes for each ({:.0} more than before)",
                after.resident_bytes as f64 / operations,
                grown / operations
            );
        }
        line
    }
}
