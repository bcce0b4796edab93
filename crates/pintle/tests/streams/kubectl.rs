//! kubectl, old and new: up to 1.30 it speaks SPDY, since then WebSockets.
//!
//! Takes those named in `KUBECTL` (separated by colons), or the one on PATH
//! and the oldest and newest others beside it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::Cluster;

const PATIENCE: Duration = Duration::from_secs(60);

fn kubectls() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("KUBECTL") {
        return std::env::split_paths(&named).collect();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|file| file.is_file());
    let Some(found) = found.and_then(|file| file.canonicalize().ok()) else {
        eprintln!("kubectl is left out: there is none on PATH, and KUBECTL is not set");
        return Vec::new();
    };
    let is_other = |file: &PathBuf| {
        file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"kubectl."))
    };
    let beside = found.parent().and_then(|folder| folder.read_dir().ok());
    let mut beside: Vec<PathBuf> =
        beside.into_iter().flatten().flatten().map(|entry| entry.path()).filter(is_other).collect();
    beside.sort();
    let mut all = vec![found];
    all.extend(beside.first().cloned());
    all.extend(beside.last().cloned());
    all.dedup();
    all
}

struct Kubectl<'a> {
    program: &'a Path,
    cluster: &'a Cluster,
}

impl Kubectl<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        let home = self.cluster.server.data_folder();
        command.arg("--kubeconfig").arg(self.cluster.server.kubeconfig()).args(arguments);
        command.env("HOME", home).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run(&self, arguments: &[&str], input: Vec<u8>) -> anyhow::Result<Output> {
        let mut child = self.command(arguments).spawn()?;
        let mut stdin = child.stdin.take().context("stdin")?;
        // Beside the output, or both would wait for each other.
        let feeding = tokio::spawn(async move {
            // Whoever wants no input closes it.
            let _ = stdin.write_all(&input).await;
        });
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        feeding.abort();
        Ok(output.with_context(|| format!("{arguments:?} takes too long"))??)
    }
}

/// Runs a check with every kubectl there is, each with a cluster of its own.
async fn with_each(
    features: &[&str],
    check: impl AsyncFn(&Kubectl<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for program in kubectls() {
        let cluster = Cluster::start(features).await?;
        let shown = program.display();
        check(&Kubectl { program: &program, cluster: &cluster })
            .await
            .with_context(|| format!("with {shown}"))?;
    }
    Ok(())
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

async fn exec(kubectl: &Kubectl<'_>) -> anyhow::Result<()> {
    let script = "cat; echo oops >&2; exit 3";
    let output = kubectl.run(&["exec", "-i", "p", "--", "sh", "-c", script], b"hello\n".to_vec()).await?;
    let errors = text(&output.stderr);
    assert_eq!((output.status.code(), &*text(&output.stdout)), (Some(3), "hello\n"), "{errors}");
    assert!(errors.starts_with("oops\n"), "{errors}");
    let output = kubectl.run(&["exec", "p", "--", "no-such-program"], Vec::new()).await?;
    assert_eq!(output.status.code(), Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_has_its_input_output_errors_and_exit_code() -> anyhow::Result<()> {
    with_each(&[], exec).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubelet_that_takes_websockets_serves_old_and_new_clients() -> anyhow::Result<()> {
    with_each(&["ExtendWebSocketsToKubelet"], async |kubectl: &Kubectl<'_>| {
        let output = kubectl.run(&["exec", "-i", "p", "--", "cat"], b"hello\n".to_vec()).await?;
        assert_eq!(
            (output.status.code(), &*text(&output.stdout)),
            (Some(0), "hello\n"),
            "{}",
            text(&output.stderr)
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_come_back_as_they_went() -> anyhow::Result<()> {
    with_each(&[], async |kubectl: &Kubectl<'_>| {
        let sent: Vec<u8> =
            (0..4_000_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let output = kubectl.run(&["exec", "-i", "p", "--", "cat"], sent.clone()).await?;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(output.stdout == sent, "{} of {} bytes came back", output.stdout.len(), sent.len());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_copied_both_ways() -> anyhow::Result<()> {
    with_each(&[], async |kubectl: &Kubectl<'_>| {
        let folder = kubectl.cluster.server.data_folder().join("copies");
        std::fs::create_dir(&folder)?;
        let (here, there, back) = (folder.join("here"), folder.join("there"), folder.join("back"));
        std::fs::write(&here, vec![b'x'; 300_000])?;
        let name = |path: &Path| path.display().to_string();
        for (from, to) in
            [(name(&here), format!("p:{}", name(&there))), (format!("p:{}", name(&there)), name(&back))]
        {
            let output = kubectl.run(&["cp", &from, &to], Vec::new()).await?;
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        }
        assert!(std::fs::read(&back)? == std::fs::read(&here)?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attached_container_is_talked_to() -> anyhow::Result<()> {
    with_each(&[], async |kubectl: &Kubectl<'_>| {
        let mut pod = crate::pod("q", &["c"], "n");
        pod["spec"]["containers"][0]["stdin"] = true.into();
        kubectl.cluster.create("namespaces/default/pods", &pod).await?;
        let status = serde_json::json!({"status": {"phase": "Running"}}).to_string();
        let path = "/api/v1/namespaces/default/pods/q/status";
        let client = kubectl.cluster.server.client()?;
        client.send(http::Method::PATCH, path, "application/merge-patch+json", status).await?;
        let output = kubectl.run(&["attach", "-i", "q"], b"hello\n".to_vec()).await?;
        assert_eq!(
            (output.status.code(), &*text(&output.stdout)),
            (Some(0), "hello\n"),
            "{}",
            text(&output.stderr)
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_shown_and_followed() -> anyhow::Result<()> {
    with_each(&[], async |kubectl: &Kubectl<'_>| {
        let output = kubectl.run(&["logs", "p", "--tail=3"], Vec::new()).await?;
        assert_eq!(&*text(&output.stdout), "log of default/p/c\n", "{}", text(&output.stderr));
        let mut child = kubectl.command(&["logs", "-f", "p"]).spawn()?;
        let mut lines = lines(&mut child)?;
        assert_eq!(line(&mut lines).await?, "log of default/p/c");
        assert_eq!(kubectl.cluster.kubelet.log("and more\n"), 1);
        assert_eq!(line(&mut lines).await?, "and more");
        Ok(())
    })
    .await
}

type Lines = tokio::io::Lines<BufReader<tokio::process::ChildStdout>>;

fn lines(child: &mut Child) -> anyhow::Result<Lines> {
    Ok(BufReader::new(child.stdout.take().context("stdout")?).lines())
}

async fn line(lines: &mut Lines) -> anyhow::Result<String> {
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.context("no line came")?;
    line?.context("the output ended")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_are_forwarded_for_several_connections() -> anyhow::Result<()> {
    let echo = TcpListener::bind("127.0.0.1:0").await?;
    let port = echo.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = echo.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = socket.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    with_each(&[], async |kubectl: &Kubectl<'_>| {
        let mut pod = kubectl.command(&["port-forward", "p", &format!(":{port}"), "--address=127.0.0.1"]);
        let status = serde_json::json!({"status": {"phase": "Running"}}).to_string();
        let path = "/api/v1/namespaces/default/pods/p/status";
        let client = kubectl.cluster.server.client()?;
        client.send(http::Method::PATCH, path, "application/merge-patch+json", status).await?;
        let mut child = pod.spawn()?;
        let mut lines = lines(&mut child)?;
        let told = line(&mut lines).await?;
        let local = told.strip_prefix("Forwarding from ").and_then(|told| told.split(' ').next());
        let local = local.context(told.clone())?.to_owned();
        for turn in 0..3_u8 {
            let mut socket = TcpStream::connect(&local).await?;
            let sent = vec![b'a' + turn; 200_000];
            let (mut read, mut write) = socket.split();
            let mut back = vec![0; sent.len()];
            tokio::time::timeout(PATIENCE, async {
                tokio::try_join!(write.write_all(&sent), read.read_exact(&mut back))
            })
            .await??;
            assert!(back == sent);
        }
        Ok(())
    })
    .await
}
