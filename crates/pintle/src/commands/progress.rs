//! How far a copy is: a bar on a terminal, else a line from time to time.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two lines where there is no bar.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// One step of a command, counted in `unit`s.
pub struct Progress {
    what: &'static str,
    unit: &'static str,
    total: u64,
    done: u64,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Progress {
    /// Begins at 0 of `total`; 0 means that nobody knows.
    pub fn new(what: &'static str, unit: &'static str, total: u64) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| bar(what, unit, total));
        Progress { what, unit, total, done: 0, bar, last_line: Instant::now() }
    }

    /// So many more are done.
    pub fn add(&mut self, count: u64) {
        self.done += count;
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            None if self.last_line.elapsed() >= LINE_INTERVAL => {
                self.last_line = Instant::now();
                self.line();
            }
            None => {}
        }
    }

    fn line(&self) {
        let Progress { what, unit, total, done, .. } = self;
        let of = if *total > 0 { format!(" of {total}") } else { String::new() };
        // Nobody can be told that the terminal is gone.
        let _ = writeln!(std::io::stderr(), "pintle: {what}: {done}{of} {unit}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        match &self.bar {
            Some(bar) => bar.finish_and_clear(),
            None => self.line(),
        }
    }
}

fn bar(what: &'static str, unit: &'static str, total: u64) -> ProgressBar {
    let template = if total > 0 {
        format!("{what} {{bar:40}} {{human_pos}}/{{human_len}} {unit} {{per_sec}} eta {{eta}}")
    } else {
        format!("{what} {{spinner}} {{human_pos}} {unit} {{per_sec}}")
    };
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}
