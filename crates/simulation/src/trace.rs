//! What happened, as a digest of all and the text of the last.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Lines kept as text. Enough to see what led to a failure.
const RECENT_LINES_MAX: usize = 200;

/// See the module.
#[derive(Default)]
pub(crate) struct Trace(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    count: u64,
    digest: u64,
    recent: VecDeque<String>,
}

impl Trace {
    /// Adds an event with a number that says more about it.
    pub fn add(&self, what: &str, detail: u64) {
        let mut lines = self.0.lock();
        lines.count += 1;
        lines.digest = mix(lines.digest, what.as_bytes());
        lines.digest = mix(lines.digest, &detail.to_le_bytes());
        if lines.recent.len() == RECENT_LINES_MAX {
            lines.recent.pop_front();
        }
        let line = format!("{} {what} {detail}", lines.count);
        lines.recent.push_back(line);
    }

    pub fn digest(&self) -> u64 {
        self.0.lock().digest
    }

    pub fn count(&self) -> u64 {
        self.0.lock().count
    }

    pub fn recent(&self) -> Vec<String> {
        self.0.lock().recent.iter().cloned().collect()
    }
}

/// FNV-1a, which is the same on every machine and in every version.
fn mix(digest: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(digest ^ 0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
