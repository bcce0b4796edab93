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
}

impl Report {
    /// Prints the line.
    #[expect(clippy::print_stdout, reason = "printing figures is what the program is for")]
    pub fn print(&self) {
        let seconds = self.elapsed.as_secs_f64();
        let at = |q: f64| self.latencies.value_at_quantile(q) as f64 / 1000.0;
        let mut line = format!(
            "{:<14} {:>9} {:<10} {:>10.0}/s  ms p50 {:.2} p90 {:.2} p99 {:.2} max {:.2}",
            self.name,
            self.operations,
            self.unit,
            self.operations as f64 / seconds,
            at(0.5),
            at(0.9),
            at(0.99),
            self.latencies.max() as f64 / 1000.0,
        );
        if self.bytes > 0 {
            line += &format!(
                "  {:.1} MB, {:.0} MB/s",
                self.bytes as f64 / 1e6,
                self.bytes as f64 / 1e6 / seconds
            );
        }
        if let Some((before, after)) = self.usage {
            let cpu = after.cpu.saturating_sub(before.cpu);
            line += &format!(
                "  server: {:.1} us CPU each, {:.2} s in all, {:.1} MB resident, {:.1} MB peak",
                cpu.as_secs_f64() * 1e6 / self.operations.max(1) as f64,
                cpu.as_secs_f64(),
                after.resident_bytes as f64 / 1e6,
                after.peak_bytes as f64 / 1e6,
            );
        }
        println!("{line}");
    }
}
