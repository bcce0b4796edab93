//! `cargo run --release -p bench -- --help`: the same load on any server.
//!
//! Owns the flags and the order of the scenarios; the client, the scenarios
//! and the figures of the server's process have files of their own. Compare
//! servers as ratios within one run: machines are noisy.

mod client;
mod copier;
mod process;
mod report;
mod scenarios;
mod startup;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};

use client::Target;
use process::Process;
use scenarios::{Kind, Load};

fn main() -> anyhow::Result<()> {
    let matches = command().get_matches();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&matches))
}

fn command() -> Command {
    let flag = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("bench")
        .about("Drives a Kubernetes API server by URL and tells what it costs the server")
        .arg(flag("server", "URL", "Address, e.g. https://127.0.0.1:6443"))
        .arg(flag("startup", "BINARY", "Measures starts of this binary instead of a running server"))
        .arg(flag("starts", "N", "How many starts").default_value("5"))
        .arg(flag("data-dir", "FOLDER", "Pintle's data folder: takes authority and admin token from there"))
        .arg(flag("token", "TOKEN", "Bearer token"))
        .arg(flag("ca", "FILE", "Authority of the server (PEM); without it the certificate is not checked"))
        .arg(flag("pid", "PID", "The server's process, for CPU and memory (same machine)"))
        .arg(flag("objects", "N", "Objects to create").default_value("1000"))
        .arg(flag("kind", "KIND", "Of the objects: pods or configmaps").default_value("pods"))
        .arg(flag("bytes", "N", "Padding of each object").default_value("0"))
        .arg(flag("workers", "N", "Concurrent connections").default_value("16"))
        .arg(flag("gets", "N", "Get requests").default_value("20000"))
        .arg(flag("lists", "N", "Lists of everything, per media type").default_value("10"))
        .arg(flag("watchers", "N", "Concurrent watches").default_value("100"))
        .arg(flag("updates", "N", "Updates while watching").default_value("1000"))
        .arg(flag("rate", "N", "Updates per second; 0 is flat out").default_value("200"))
        .arg(
            flag("only", "NAMES", "Scenarios to run in this order, comma separated")
                .visible_alias("scenario")
                .default_value("create,get,list,watch,delete")
                .long_help(format!(
                    "Scenarios to run in this order, comma separated: {}",
                    scenarios::SCENARIOS
                )),
        )
        .arg(flag("copier", "BYTES", "Runs as the copier that lists are compared with").hide(true))
        .arg(
            Arg::new("plain")
                .long("plain")
                .action(ArgAction::SetTrue)
                .help("The copier encrypts nothing")
                .hide(true),
        )
}

async fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let number = |name: &'static str| -> anyhow::Result<usize> {
        let value = text(name).unwrap_or_default();
        value.parse().with_context(|| format!("--{name}: {value:?} is no number"))
    };
    if let Some(binary) = text("startup") {
        return startup::run(&PathBuf::from(binary), number("starts")?).await;
    }
    if text("copier").is_some() {
        return copier::serve(number("copier")?, !matches.get_flag("plain")).await;
    }
    let server = text("server").context("give --server, the address of a running server, or --startup")?;
    let mut token = text("token");
    let mut authority = text("ca").map(PathBuf::from);
    if let Some(folder) = text("data-dir").map(PathBuf::from) {
        let path = folder.join("admin.token");
        let read =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        token.get_or_insert(read.trim().to_owned());
        authority.get_or_insert(folder.join("pki/ca.crt"));
    }
    let target = Arc::new(Target::new(&server, token, authority.as_deref())?);
    let process = match text("pid") {
        Some(pid) => Some(Process::new(pid.parse().context("--pid is no process number")?)?),
        None => None,
    };
    let load = Load {
        target,
        process,
        kind: match text("kind").as_deref() {
            Some("pods") => Kind::Pods,
            Some("configmaps") => Kind::ConfigMaps,
            other => bail!("--kind: {} is neither pods nor configmaps", other.unwrap_or_default()),
        },
        objects: number("objects")?,
        bytes: number("bytes")?,
        workers: number("workers")?.max(1),
        gets: number("gets")?,
        lists: number("lists")?,
        watchers: number("watchers")?,
        updates: number("updates")?,
        rate: number("rate")?,
    };
    load.prepare().await?;
    let only = text("only").unwrap_or_default();
    for name in only.split(',').map(str::trim) {
        let reports = load.run(name).await?;
        reports.iter().for_each(report::Report::print);
    }
    Ok(())
}
