//! CPU and memory of the server's process, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// A process on this machine.
pub struct Process {
    pid: u32,
}

/// Figures at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time so far.
    pub cpu: Duration,
    /// Memory resident now, in bytes.
    pub resident_bytes: u64,
    /// The most memory resident since the peak was forgotten, in bytes.
    pub peak_bytes: u64,
}

/// Linux reports times to user space in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

impl Process {
    /// The process with this number, which must exist.
    pub fn new(pid: u32) -> anyhow::Result<Process> {
        let process = Process { pid };
        process.usage().with_context(|| format!("cannot read figures of process {pid}"))?;
        Ok(process)
    }

    /// From here on its peak of memory is counted anew, where the kernel allows it.
    pub fn forget_peak(&self) {
        // Refused to other users; then the peak is that of its whole life.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    /// Bytes it has written so far, to files and sockets.
    pub fn bytes_written(&self) -> anyhow::Result<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.pid))?;
        let line = io.lines().find_map(|line| line.strip_prefix("wchar:"));
        line.and_then(|bytes| bytes.trim().parse().ok()).context("no wchar in /proc/PID/io")
    }

    /// Its figures now.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The command's name stands in parentheses and may hold anything.
        let (_, after_name) = stat.rsplit_once(')').context("no command name")?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u32>().ok()).context("too few fields");
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let kilobytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        Ok(Usage {
            cpu: TICK * (ticks(11)? + ticks(12)?),
            resident_bytes: kilobytes("VmRSS:").unwrap_or_default() * 1024,
            peak_bytes: kilobytes("VmHWM:").unwrap_or_default() * 1024,
        })
    }
}
