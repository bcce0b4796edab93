//! Prometheus' text format, for numbers that are kept without a registry.

use std::io::Write;

use storage::metrics::Histogram;

/// Writes families of metrics one after the other.
pub struct Exposition<'o> {
    out: &'o mut Vec<u8>,
    /// The family that comes next, until it has a series: one without is not written.
    head: Option<Head>,
    name: &'static str,
}

struct Head {
    help: &'static str,
    kind: Kind,
}

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// May fall.
    Gauge,
    /// Observations by size.
    Histogram,
}

/// Names of labels with their values.
pub type Labels<'l> = &'l [(&'l str, &'l str)];

impl<'o> Exposition<'o> {
    /// Appends to `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Exposition<'o> {
        Exposition { out, head: None, name: "" }
    }

    /// What follows belongs to this metric.
    pub fn family(&mut self, kind: Kind, name: &'static str, help: &'static str) {
        self.head = Some(Head { help, kind });
        self.name = name;
    }

    /// A counter or gauge.
    pub fn number(&mut self, labels: Labels<'_>, value: f64) {
        self.line("", labels, None, value);
    }

    /// A histogram.
    pub fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let mut count = 0;
        for (bound, observations) in histogram.cumulative() {
            count = observations;
            self.line("_bucket", labels, Some(bound), observations as f64);
        }
        self.line("_sum", labels, None, histogram.sum());
        self.line("_count", labels, None, count as f64);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<f64>, value: f64) {
        self.put_head();
        let metric = self.name;
        self.put(format_args!("{metric}{suffix}"));
        let bound = bound.map(float);
        let labels = labels.iter().copied().chain(bound.as_deref().map(|bound| ("le", bound)));
        let mut before = "{";
        for (name, value) in labels {
            self.put(format_args!("{before}{name}=\"{}\"", escaped(value)));
            before = ",";
        }
        let end = if before == "," { "}" } else { "" };
        self.put(format_args!("{end} {}\n", float(value)));
    }

    fn put_head(&mut self) {
        let Some(Head { help, kind }) = self.head.take() else { return };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let name = self.name;
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into memory cannot fail.
        let _ = self.out.write_fmt(text);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A number as Go writes it: bounds of buckets are labels, which are compared as text.
fn float(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let parts = scientific.split_once('e').and_then(|(digits, exponent)| {
        let exponent: i32 = exponent.parse().ok()?;
        Some((digits, exponent))
    });
    match parts {
        // What is counted is easier to read in full; no bound is so large.
        Some((digits, exponent)) if exponent < -4 && value != 0.0 => {
            format!("{digits}e-{:02}", exponent.unsigned_abs())
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_family_is_written_with_its_first_series() {
        let mut out = Vec::new();
        let mut text = Exposition::new(&mut out);
        text.family(Kind::Counter, "nothing_total", "Nothing.");
        text.family(Kind::Gauge, "size_bytes", "Sizes.");
        text.number(&[], -1.0);
        text.number(&[("of", "a\"b\\c\nd")], 12_345_678.0);
        let histogram = Histogram::new(&[5e-6, 1.0]);
        histogram.observe(Duration::from_millis(500));
        text.family(Kind::Histogram, "took_seconds", "Times.");
        text.histogram(&[("op", "get")], &histogram);
        let expected = "# HELP size_bytes Sizes.\n# TYPE size_bytes gauge\nsize_bytes -1\n\
                        size_bytes{of=\"a\\\"b\\\\c\\nd\"} 12345678\n\
                        # HELP took_seconds Times.\n# TYPE took_seconds histogram\n\
                        took_seconds_bucket{op=\"get\",le=\"5e-06\"} 0\n\
                        took_seconds_bucket{op=\"get\",le=\"1\"} 1\n\
                        took_seconds_bucket{op=\"get\",le=\"+Inf\"} 1\n\
                        took_seconds_sum{op=\"get\"} 0.5\n\
                        took_seconds_count{op=\"get\"} 1\n";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn bounds_are_written_as_the_original_does() {
        for (bound, expected) in [
            (0.005, "0.005"),
            (1e-5, "1e-05"),
            (0.00016, "0.00016"),
            (83.88608, "83.88608"),
            (0.0, "0"),
            (2500.0, "2500"),
        ] {
            assert_eq!(float(bound), expected);
        }
    }
}
