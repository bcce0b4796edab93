//! `cargo xtask golden`: replays recorded conversations of kube-apiserver
//! against a fresh server and holds the result against a floor.
//!
//! The recordings and the program that replays them lie in the folder that
//! `PINTLE_SHARED` names. The floor says per area how many scenarios passed
//! last time; fewer is a failure, more asks for the floor to be raised.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

const START_PATIENCE: Duration = Duration::from_secs(30);

/// Replays all areas, or those of a floor; fails where an area falls below it.
pub fn run(floor: Option<&Path>, extra: &[&str]) -> Result<()> {
    let floor = floor.map(Floor::read).transpose()?;
    let shared = PathBuf::from(std::env::var("PINTLE_SHARED").unwrap_or_default());
    let program = shared.join("golden/golden");
    if !program.is_file() {
        bail!("set PINTLE_SHARED to the folder that holds golden/golden (now {:?})", shared.display());
    }
    let binary = build()?;
    let folder = std::env::temp_dir().join(format!("pintle-golden-{}", std::process::id()));
    let server = Server::start(&binary, &folder)?;
    let report = folder.join("report.json");
    Command::new("python3")
        .arg(&program)
        .args(["replay", "--insecure", "--server", &server.url, "--token", &server.token, "--json"])
        .arg(&report)
        .args(extra)
        .args(floor.iter().flat_map(|floor| floor.cases(&shared)))
        .status()
        .context("cannot run python3")?;
    let passed = passed(&report)?;
    drop(server);
    fs::remove_dir_all(&folder)?;
    floor.map_or(Ok(()), |floor| floor.compare(&passed))
}

fn build() -> Result<PathBuf> {
    let output = Command::new(std::env::var("CARGO").unwrap_or("cargo".to_owned()))
        .args(["build", "--quiet", "-p", "pintle", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()?;
    let messages = String::from_utf8(output.stdout)?;
    let mut executable = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.next_back().context("cargo built no binary")
}

/// A server of its own on a free port, ended when dropped.
struct Server {
    child: Child,
    url: String,
    token: String,
}

impl Server {
    fn start(binary: &Path, folder: &Path) -> Result<Server> {
        let child = Command::new(binary)
            .args(["serve", "--secure-port=0", "--data-dir"])
            .arg(folder)
            .stdout(Stdio::null())
            // Refusals are what the replay is about; they need not be logged, too.
            .env("PINTLE_LOG", "off")
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut server = Server { child, url: String::new(), token: String::new() };
        let deadline = Instant::now() + START_PATIENCE;
        // The kubeconfig is written once the port is known and served.
        loop {
            if let Ok(kubeconfig) = fs::read_to_string(folder.join("kubeconfig")) {
                let address = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: "));
                server.url = address.context("the kubeconfig names no server")?.to_owned();
                server.token = fs::read_to_string(folder.join("admin.token"))?.trim().to_owned();
                return Ok(server);
            }
            if Instant::now() > deadline || server.child.try_wait()?.is_some() {
                bail!("the server did not start");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Scenarios passed by shape, per area.
fn passed(report: &Path) -> Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(report).context("the replay left no report")?;
    let report: Vec<Value> = serde_json::from_str(&text)?;
    let mut passed = BTreeMap::new();
    for scenario in &report {
        let name = scenario["name"].as_str().context("a scenario without a name")?;
        let area = name.split('/').next().unwrap_or(name);
        *passed.entry(area.to_owned()).or_default() += u64::from(scenario["shape"] == true);
    }
    Ok(passed)
}

/// The least each area must pass.
struct Floor {
    path: PathBuf,
    areas: Vec<(String, u64)>,
}

impl Floor {
    fn read(path: &Path) -> Result<Floor> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let areas = lines.map(|line| {
            let (area, least) = line.split_once(' ').with_context(|| format!("no count in {line:?}"))?;
            let least = least.trim().parse().with_context(|| format!("no number in {line:?}"))?;
            Ok((area.to_owned(), least))
        });
        Ok(Floor { path: path.to_owned(), areas: areas.collect::<Result<_>>()? })
    }

    fn cases(&self, shared: &Path) -> Vec<PathBuf> {
        self.areas.iter().map(|(area, _)| shared.join(format!("golden/cases/{area}.json"))).collect()
    }

    #[expect(clippy::print_stdout, reason = "the result is the program's output")]
    fn compare(&self, passed: &BTreeMap<String, u64>) -> Result<()> {
        let mut fallen = Vec::new();
        for (area, least) in &self.areas {
            let now = passed.get(area).copied().unwrap_or_default();
            if now < *least {
                fallen.push(format!("{area}: {now} scenarios pass, {least} did"));
            } else if now > *least {
                println!(
                    "{area}: {now} scenarios pass, the floor says {least}: raise it in {}",
                    self.path.display()
                );
            }
        }
        if fallen.is_empty() {
            Ok(())
        } else {
            bail!("fewer conversations match than before:\n{}", fallen.join("\n"))
        }
    }
}
