//! The binary: flags in, one server, signals.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Arg, Command};
use pintle::Server;
use pintle::flags::ServeFlags;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

// The system allocator gives memory back reluctantly under churn of small objects.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("PINTLE_LOG").unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::debug!(?error, "failed");
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last word of a failing program belongs on the terminal, not in a log"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("pintle: {error:#}");
}

fn run() -> anyhow::Result<()> {
    let matches = command().get_matches();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match matches.subcommand() {
        Some(("repair", repair)) => {
            let folder = repair.get_one::<PathBuf>("data-dir").context("--data-dir is required")?;
            runtime.block_on(repair_folder(folder))
        }
        Some(("serve", serve)) => runtime.block_on(serve_until_signal(ServeFlags::read(serve)?)),
        Some((name, given)) => {
            let ran = runtime.block_on(pintle::commands::run(name, given));
            ran.context("there is no such command")?
        }
        // Without a command it serves: the shortest way to a server is no argument at all.
        None => runtime.block_on(serve_until_signal(ServeFlags::default())),
    }
}

fn command() -> Command {
    let serve = Command::new("serve").about("Serves the Kubernetes API (the default command)");
    let data_dir = Arg::new("data-dir").long("data-dir").value_name("FOLDER").required(true);
    let repair = Command::new("repair")
        .about("Makes a damaged data folder usable: keeps everything before the damage, sets the rest aside")
        .arg(data_dir.value_parser(clap::value_parser!(PathBuf)).help("Data folder of the damaged store"));
    Command::new("pintle")
        .about("The Kubernetes API server and its storage in one binary")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand(ServeFlags::add(serve))
        .subcommand(repair)
        .subcommands(pintle::commands::commands())
}

/// Cuts a damaged store at the damage. What was behind it is lost to the
/// server, so nobody gets this without asking for it.
#[expect(clippy::print_stdout, reason = "what was done is the command's output")]
async fn repair_folder(folder: &Path) -> anyhow::Result<()> {
    let repaired = pintle::repair(folder).await?;
    println!("the store below {} can be opened; its revision is {}", folder.display(), repaired.revision);
    for path in &repaired.set_aside {
        println!("set aside, not used any more: {}", path.display());
    }
    Ok(())
}

async fn serve_until_signal(flags: ServeFlags) -> anyhow::Result<()> {
    // Listened to before the server starts, so that no signal is lost.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let server = Server::start(flags).await?;
    announce(&server);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.shutdown().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this block is the program's output")]
fn announce(server: &Server) {
    println!(
        "Pintle {} serves Kubernetes {} at {}\ndata folder: {}\ntry:         kubectl --kubeconfig {} get namespaces",
        env!("CARGO_PKG_VERSION"),
        pintle::KUBERNETES_VERSION,
        server.url(),
        server.data_folder().display(),
        server.kubeconfig().display(),
    );
}
