//! What `pintle` does besides serving: it saves, restores and copies the data of a cluster.
//!
//! ```text
//! pintle snapshot save FILE         a data folder, in use or not, into a file
//! pintle snapshot restore FILE      a file into a data folder
//! pintle snapshot status FILE       what a file holds
//! pintle copy --from A --to B       between data folders and etcd clusters
//! ```
//!
//! Everything reads one revision of its source, may be killed at any moment and
//! run again, and compares source and target before it says that it is done.
//! docs/moving-data.md tells what becomes of revisions and leases.

mod copy;
mod from_etcd;
mod live_keys;
mod mirror;
mod new_store;
mod place;
mod progress;
mod revision;
mod running_server;
mod snapshot;
mod source;
mod tally;

use clap::{Arg, ArgAction, ArgMatches, Command};

/// The commands, to be shown and parsed.
pub fn commands() -> [Command; 2] {
    [snapshot::command(), copy::command()]
}

/// Runs one of [`commands`]; none if `name` is not among them.
pub async fn run(name: &str, matches: &ArgMatches) -> Option<anyhow::Result<()>> {
    match name {
        "snapshot" => Some(snapshot::run(matches).await),
        "copy" => Some(copy::run(matches).await),
        _ => None,
    }
}

/// Prints a line of the command's result.
#[expect(clippy::print_stdout, reason = "what was done is the command's output")]
fn say(line: &str) {
    println!("{line}");
}

fn data_dir() -> Arg {
    Arg::new("data-dir")
        .long("data-dir")
        .value_name("FOLDER")
        .default_value("pintle-data")
        .value_parser(clap::value_parser!(std::path::PathBuf))
}

fn replace(help: &'static str) -> Arg {
    Arg::new("replace").long("replace").action(ArgAction::SetTrue).help(help)
}
