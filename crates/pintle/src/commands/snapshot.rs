//! `pintle snapshot save`, `restore` and `status`.

use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Arg, ArgMatches, Command};
use environment::Environment;
use storage_embedded::SnapshotReader;

use super::new_store::{Filling, NewStore};
use super::place::EtcdPlace;
use super::progress::Progress;
use super::source::{Bytestream, Source};
use super::{data_dir, from_etcd, replace, say};

/// Root of the keys that are told apart in what is printed.
const ROOT: &str = "/registry";

pub(super) fn command() -> Command {
    let file = |help| {
        Arg::new("file")
            .value_name("FILE")
            .required(true)
            .value_parser(clap::value_parser!(PathBuf))
            .help(help)
    };
    Command::new("snapshot")
        .about("Saves and restores all objects of a data folder")
        .subcommand_required(true)
        .subcommand(
            Command::new("save")
                .about("Saves all objects as they are at one moment; a server may be serving them")
                .arg(file("The snapshot to write; it holds secrets, and only its owner may read it"))
                .arg(data_dir().help("Data folder of the store"))
                .arg(replace("Writes over a file that is there")),
        )
        .subcommand(
            Command::new("restore")
                .about("Makes a snapshot the store of a data folder that no server uses")
                .arg(file("The snapshot"))
                .arg(data_dir().help("Data folder to restore into; made if it is missing"))
                .arg(replace("Sets aside the store that is there")),
        )
        .subcommand(
            Command::new("status")
                .about("Checks a snapshot and tells what it holds")
                .arg(file("The snapshot")),
        )
}

pub(super) async fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let environment = environment::real::environment();
    let path = |matches: &ArgMatches, name: &str| {
        matches.get_one::<PathBuf>(name).cloned().with_context(|| format!("{name} is required"))
    };
    match matches.subcommand() {
        Some(("save", given)) => {
            let (file, folder) = (path(given, "file")?, path(given, "data-dir")?);
            save(&environment, &folder, &file, given.get_flag("replace")).await
        }
        Some(("restore", given)) => {
            let (file, folder) = (path(given, "file")?, path(given, "data-dir")?);
            restore(&environment, Bytestream::of_file(&file)?, &folder, given.get_flag("replace"))
                .await
                .with_context(|| format!("cannot restore {}", file.display()))
        }
        Some(("status", given)) => status(&path(given, "file")?).await,
        _ => bail!("say what to do with the snapshot: save, restore or status"),
    }
}

async fn save(environment: &Environment, folder: &Path, file: &Path, replace: bool) -> anyhow::Result<()> {
    if file.exists() && !replace {
        bail!("{} is there already: name another file, or --replace it", file.display());
    }
    let mut bytes = Bytestream::of_folder(environment, folder).await?;
    let unfinished = file.with_added_extension("unfinished");
    let written = write(&mut bytes, &unfinished).await;
    let (reader, length) = match written {
        Ok(written) => written,
        Err(error) => {
            // A part of a snapshot is of no use to anybody.
            let _ = fs::remove_file(&unfinished);
            return Err(error).with_context(|| format!("cannot save a snapshot to {}", file.display()));
        }
    };
    let head = reader.finish()?;
    let context = || format!("cannot put the snapshot in place at {}", file.display());
    fs::rename(&unfinished, file).with_context(context)?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(parent).and_then(|parent| parent.sync_all()).with_context(context)?;
    say(&format!(
        "saved {} at revision {}: {} keys, {length} bytes",
        file.display(),
        head.revision,
        head.keys
    ));
    Ok(())
}

/// Writes a snapshot and checks it on the way, entry by entry.
async fn write(bytes: &mut Bytestream, path: &Path) -> anyhow::Result<(SnapshotReader, u64)> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut file = BufWriter::new(file);
    let mut reader = SnapshotReader::new();
    let mut progress: Option<Progress> = None;
    let mut length = 0;
    while let Some(piece) = bytes.next().await? {
        file.write_all(&piece)?;
        length += piece.len() as u64;
        reader.push(&piece);
        let mut entries = 0;
        while reader.next_entry()?.is_some() {
            entries += 1;
        }
        if let Some(head) = reader.head() {
            progress.get_or_insert_with(|| Progress::new("saving", "versions", head.keys)).add(entries);
        }
    }
    reader.finish()?;
    file.into_inner().context("cannot write")?.sync_all()?;
    Ok((reader, length))
}

/// Makes a snapshot the store of a data folder.
pub(super) async fn restore(
    environment: &Environment,
    bytes: Bytestream,
    folder: &Path,
    replace: bool,
) -> anyhow::Result<()> {
    let place = NewStore::begin(environment, folder, replace).await?;
    restore_into(place, bytes, folder, ROOT, None).await
}

/// The same in a data folder that was taken already, compared with the etcd it comes from, if it does.
pub(super) async fn restore_into(
    place: NewStore,
    bytes: Bytestream,
    folder: &Path,
    root: &str,
    etcd: Option<&EtcdPlace>,
) -> anyhow::Result<()> {
    let (mut source, head) = Source::begin(bytes).await?;
    let mut filling = Filling::new(place.fill(&head).await?, root);
    let mut progress = Progress::new("restoring", "keys", head.keys);
    while let Some(entry) = source.next().await? {
        if filling.add(entry).await? {
            progress.add(1);
        }
    }
    let mut wanted = filling.finish().await?;
    drop(progress);
    let mut compared = "compared with the source";
    if let Some(etcd) = etcd {
        match from_etcd::sums(etcd, head.revision).await? {
            Some(sums) => wanted = sums,
            None => compared = "compared with what was read; etcd has compacted that revision since",
        }
    }
    let found = place.tally(root).await?;
    let differences = wanted.differences(&found, true);
    if !differences.is_empty() {
        bail!("the new store differs from its source in {}; it was not put in place", differences.join(", "));
    }
    let aside = place.put_in_place()?;
    say(found.table().trim_end());
    let (keys, revision) = (found.keys(), head.revision);
    say(&format!("{} has {keys} keys at revision {revision}, {compared}", folder.display()));
    if let Some(aside) = aside {
        say(&format!(
            "the store that was there is now {}; delete it when you do not need it",
            aside.display()
        ));
    }
    Ok(())
}

async fn status(file: &Path) -> anyhow::Result<()> {
    let context = || format!("{} cannot be used", file.display());
    let (mut source, head) = Source::begin(Bytestream::of_file(file)?).await.with_context(context)?;
    let mut tally = super::tally::Tally::new(ROOT);
    let mut keys = super::live_keys::Newest::default();
    while let Some(entry) = source.next().await.with_context(context)? {
        if let Some(kv) = keys.next(entry) {
            tally.add(&kv);
        }
    }
    if let Some(kv) = keys.last() {
        tally.add(&kv);
    }
    say(tally.table().trim_end());
    say(&format!(
        "revision {}, compacted up to {}, {} keys; all checksums are right",
        head.revision,
        head.compacted,
        tally.keys()
    ));
    Ok(())
}
