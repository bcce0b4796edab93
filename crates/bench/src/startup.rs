//! What a start costs: time from exec to the first `/readyz` 200 on an empty
//! folder, memory and work while idle, time to stop.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Method;

use crate::client::Target;
use crate::process::{Process, Usage};

const START_PATIENCE: Duration = Duration::from_secs(30);
/// A server is measured as idle this long.
const IDLE: Duration = Duration::from_secs(10);

/// Starts `binary` several times on empty folders and prints a line for each.
#[expect(clippy::print_stdout, reason = "printing figures is what the program is for")]
pub async fn run(binary: &Path, starts: usize) -> anyhow::Result<()> {
    let mut ready = Vec::new();
    for i in 0..starts {
        let folder = std::env::temp_dir().join(format!("pintle-startup-{}-{i}", std::process::id()));
        let mut server = Started::new(binary, &folder)?;
        let to_ready = server.wait_ready().await?;
        // Only the first run waits: what an idle server does is the same every time.
        let idle = if i == 0 { Some(server.idle().await?) } else { None };
        let usage = Process::new(server.child.id())?.usage()?;
        let to_stop = server.stop()?;
        ready.push(to_ready);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "start {i}: ready after {:.1} ms, stopped after {:.1} ms, {:.1} MB resident, {:.0} ms CPU",
            ms(to_ready),
            ms(to_stop),
            usage.resident_bytes as f64 / 1e6,
            ms(usage.cpu),
        );
        if let Some((cpu, writes)) = idle {
            let seconds = IDLE.as_secs();
            println!("idle for {seconds} s: {:.0} ms CPU, {writes} bytes written", ms(cpu));
        }
    }
    ready.sort();
    if let Some(median) = ready.get(ready.len() / 2) {
        println!("median of {starts}: ready after {:.1} ms", median.as_secs_f64() * 1e3);
    }
    Ok(())
}

struct Started {
    child: Child,
    at: Instant,
    url: String,
    folder: PathBuf,
}

impl Started {
    fn new(binary: &Path, folder: &Path) -> anyhow::Result<Started> {
        // The port is free again when the listener is dropped; another program taking it fails the run.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let at = Instant::now();
        let child = Command::new(binary)
            .arg("serve")
            .arg(format!("--secure-port={port}"))
            .arg("--data-dir")
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        Ok(Started { child, at, url: format!("https://127.0.0.1:{port}"), folder: folder.to_owned() })
    }

    async fn wait_ready(&mut self) -> anyhow::Result<Duration> {
        let target = Arc::new(Target::new(&self.url, None, None)?);
        loop {
            if let Ok(mut connection) = target.connect().await
                && connection.call(Method::GET, "/readyz", "*/*", Bytes::new()).await.is_ok()
            {
                return Ok(self.at.elapsed());
            }
            if self.at.elapsed() > START_PATIENCE || self.child.try_wait()?.is_some() {
                bail!("the server did not become ready");
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    /// CPU used and bytes written while nobody asks anything.
    async fn idle(&self) -> anyhow::Result<(Duration, u64)> {
        let process = Process::new(self.child.id())?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Usage { cpu: before, .. } = process.usage()?;
        let written = process.bytes_written()?;
        tokio::time::sleep(IDLE).await;
        Ok((process.usage()?.cpu.saturating_sub(before), process.bytes_written()? - written))
    }

    /// Sends SIGTERM and waits.
    fn stop(&mut self) -> anyhow::Result<Duration> {
        let at = Instant::now();
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        self.child.wait()?;
        Ok(at.elapsed())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
