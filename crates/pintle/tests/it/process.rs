//! The binary as a child process: started, spoken to, ended by a signal.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use test_server::client::Client;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running `pintle`. Killed when dropped.
pub struct Pintle {
    child: Child,
    /// What it printed when it was ready, line by line.
    pub block: Vec<String>,
    folder: PathBuf,
}

/// Lines a server prints when it is ready.
const BLOCK_LINES: usize = 3;

impl Pintle {
    /// Starts a server on any free port and waits until it says that it is ready.
    pub async fn start(folder: &Path) -> Pintle {
        Pintle::start_with(folder, &[]).await
    }

    /// The same with further flags.
    pub async fn start_with(folder: &Path, flags: &[&str]) -> Pintle {
        let mut child = command(folder, flags).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut block = Vec::new();
        while block.len() < BLOCK_LINES {
            match lines.next_line().await.unwrap() {
                Some(line) => block.push(line),
                None => panic!("pintle ended with {} after {block:?}", child.wait().await.unwrap()),
            }
        }
        Pintle { child, block, folder: folder.to_owned() }
    }

    /// The admin, with the client certificate of the kubeconfig.
    pub fn admin(&self) -> Client {
        Client::from_kubeconfig(&self.folder.join("kubeconfig")).unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().expect("it was not waited for");
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
    }

    /// Waits until it has ended.
    pub async fn wait(mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }

    /// Ends it with SIGTERM and checks that it ends well.
    pub async fn stop(self) {
        self.signal(Signal::TERM);
        let status = self.wait().await;
        assert!(status.success(), "ended with {status}");
    }
}

/// Runs `pintle serve` in the expectation that it ends by itself.
pub async fn run(folder: &Path, flags: &[&str]) -> Output {
    command(folder, flags).kill_on_drop(true).output().await.unwrap()
}

/// Runs a server that must refuse to start: exit code 1 and an error, which is returned.
pub async fn refused(folder: &Path, flags: &[&str]) -> String {
    let output = run(folder, flags).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty(), "it said it was ready");
    error
}

fn command(folder: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pintle"));
    command
        .arg("serve")
        .arg("--data-dir")
        .arg(folder)
        .arg("--secure-port=0")
        .args(flags.iter().map(OsStr::new));
    command.env("PINTLE_LOG", "error").stdin(Stdio::null());
    command
}

/// Every file below a folder with its content: equal before and after means nothing was touched.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Fails with the names of the files that differ, not with their content.
pub fn assert_same(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) {
    let differing: Vec<&PathBuf> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(differing.is_empty(), "changed: {differing:?}");
}
