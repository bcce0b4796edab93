//! Where the etcd servers of the tests come from.
//!
//! First what the environment names (`ETCD`, then an `etcd` on PATH), for the
//! age its version has. Else Debian's package `etcd-server` of two releases,
//! unpacked into the target folder with the machine's own mirror and keys;
//! nothing is installed. Where none of that works the tests say so and are
//! left out, but not in CI.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Which etcd a test wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Answers progress requests truthfully (3.5.16).
    New,
    /// Does not (3.4.23).
    Old,
}

/// The server of an age; none, after a word about it, where there is none.
pub fn server(age: Age) -> Option<&'static Path> {
    static NEW: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    static OLD: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = match age {
        Age::New => NEW.get_or_init(|| find(Age::New)),
        Age::Old => OLD.get_or_init(|| find(Age::Old)),
    };
    match found {
        Ok(path) => Some(path),
        Err(message) if std::env::var_os("CI").is_some() => panic!("{message}"),
        Err(_) => None,
    }
}

fn find(age: Age) -> Result<PathBuf, String> {
    let named = std::env::var_os("ETCD").map(PathBuf::from);
    let given = named.into_iter().chain(["etcd".into()]).find(|path| age_of(path) == Some(age));
    given.map(Ok).unwrap_or_else(|| packaged(age)).map_err(|reason| {
        let message =
            format!("no etcd of age {age:?}: name one in ETCD; the tests over it are left out ({reason})");
        // Past the test harness, which would keep it to itself.
        let _ = writeln!(std::io::stderr(), "{message}");
        message
    })
}

/// The age of an executable, none if it is no etcd.
fn age_of(path: &Path) -> Option<Age> {
    let output = Command::new(path).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.lines().find_map(|line| line.strip_prefix("etcd Version: "))?;
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let version = (next(), next(), next());
    let new = ((3, 4, 31)..(3, 5, 0)).contains(&version) || version >= (3, 5, 13);
    Some(if new { Age::New } else { Age::Old })
}

/// The server of a Debian release, fetched unless it was fetched before.
fn packaged(age: Age) -> Result<PathBuf, String> {
    let release = match age {
        Age::New => "trixie",
        Age::Old => "bookworm",
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("etcd");
    let kept = folder.join(release);
    let server = kept.join("usr/bin/etcd");
    if age_of(&server) != Some(age) {
        let work = folder.join(format!("{release}.{}", std::process::id()));
        let fetched = fetch(release, &work);
        // Another process may have been faster; its server is as good.
        let _ = std::fs::rename(work.join("unpacked"), &kept);
        let _ = std::fs::remove_dir_all(&work);
        fetched?;
    }
    match age_of(&server) {
        Some(found) if found == age => Ok(server),
        other => Err(format!("the package of {release} has an etcd of age {other:?}")),
    }
}

/// Downloads and unpacks the package with lists and caches of its own.
fn fetch(release: &str, work: &Path) -> Result<(), String> {
    for folder in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(work.join(folder)).map_err(|error| error.to_string())?;
    }
    let sources = work.join("sources.list");
    std::fs::write(&sources, format!("{}\n", source(release)?)).map_err(|error| error.to_string())?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-o", "Dir::Etc::sourceparts=-", "-o", "Acquire::Languages=none"]);
        command.args(["-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"]);
        command.arg("-o").arg(format!("Dir::Etc::sourcelist={}", sources.display()));
        command.arg("-o").arg(format!("Dir::State::lists={}", work.join("lists").display()));
        command.arg("-o").arg(format!("Dir::Cache={}", work.join("cache").display()));
        // The account apt downloads with may not enter the target folder.
        command.args(["-o", "APT::Sandbox::User=root"]).args(arguments).current_dir(work);
        run(command)
    };
    apt(&["update"])?;
    apt(&["download", "etcd-server"])?;
    let entries = std::fs::read_dir(work).map_err(|error| error.to_string())?;
    let mut packages = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let package = packages.find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(package.ok_or("nothing was downloaded")?).arg(work.join("unpacked"));
    run(unpack)
}

/// A line for sources.list with the mirror this machine uses, none of which is written down here.
fn source(release: &str) -> Result<String, String> {
    const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
    let output = Command::new("apt-get").args(["indextargets", "--format", format]).output();
    let output = output.map_err(|error| format!("this is no Debian: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in text.lines() {
        let parts: Vec<&str> = line.split_whitespace().collect();
        if let [mirror, "bookworm" | "trixie" | "stable" | "testing", "main"] = parts.as_slice() {
            let keys = if Path::new(KEYS).exists() { format!("[signed-by={KEYS}] ") } else { String::new() };
            return Ok(format!("deb {keys}{mirror} {release} main"));
        }
    }
    Err("no Debian mirror is configured".into())
}

fn run(mut command: Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{}: {}", command.get_program().display(), text.lines().last().unwrap_or_default()))
}
