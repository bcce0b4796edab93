//! `pintle copy`: all objects from one store into another.

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use environment::Environment;

use super::live_keys::{EtcdKeys, LiveKeys, SnapshotKeys};
use super::mirror::{Copy, Mirrored, mirror};
use super::place::{EtcdPlace, Place, prefix};
use super::source::{Bytestream, Source};
use super::{from_etcd, replace, revision, say, snapshot};

pub(super) fn command() -> Command {
    let flag = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("copy")
        .about("Copies all objects between data folders and etcd clusters; run again, it goes on where it ended")
        .arg(flag("from", "PLACE", "A data folder, in use or not, a snapshot, or the URLs of etcd").required(true))
        .arg(flag("to", "PLACE", "A data folder that no server uses, or the URLs of etcd").required(true))
        .arg(flag("etcd-prefix", "PATH", "Put before all keys in etcd by its servers").default_value("/registry"))
        .arg(flag("etcd-cafile", "FILE", "Authorities that sign the certificates of etcd"))
        .arg(flag("etcd-certfile", "FILE", "Certificate shown to etcd"))
        .arg(flag("etcd-keyfile", "FILE", "Its key"))
        .arg(replace("Sets aside the store, or deletes the other keys below the prefix, that the target has"))
        .arg(
            Arg::new("keep-revision")
                .long("keep-revision")
                .action(ArgAction::SetTrue)
                .help("Does not raise the revision of an etcd that is behind its source; clients that remember revisions must then be restarted"),
        )
}

pub(super) async fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let place = |name: &str| -> anyhow::Result<Place> {
        let text = matches.get_one::<String>(name).with_context(|| format!("--{name} is required"))?;
        Place::parse(text).with_context(|| format!("--{name}"))
    };
    let (from, to) = (place("from")?, place("to")?);
    let environment = environment::real::environment();
    let doing = format!("cannot copy {from} to {to}");
    copy(&environment, from, to, matches).await.context(doing)
}

async fn copy(environment: &Environment, from: Place, to: Place, matches: &ArgMatches) -> anyhow::Result<()> {
    let replace = matches.get_flag("replace");
    let etcd = async |urls: &[String]| EtcdPlace::open(environment, urls, matches).await;
    match (from, to) {
        (_, Place::File(path)) => {
            bail!("--to: {} is a file; a snapshot is written by pintle snapshot save", path.display())
        }
        (Place::Etcd(from), Place::Folder(to)) => {
            from_etcd::copy(environment, &etcd(&from).await?, &to, replace).await
        }
        (Place::Etcd(from), Place::Etcd(to)) => {
            let (from, to) = (etcd(&from).await?, etcd(&to).await?);
            let revision = revision::current(&from.backend).await?;
            let mut keys = EtcdKeys::new(&from.backend, &from.prefix, revision, None);
            let source = format!("etcd cluster {:x}", from.cluster);
            to_etcd(
                &mut keys,
                &to,
                Copy { source: &source, revision, keys: 0, replace, keep_revision: false },
                matches,
            )
            .await
        }
        (from, Place::Etcd(to)) => {
            let source = from.to_string();
            let (snapshot, head) = Source::begin(bytes_of(environment, from).await?).await?;
            let to = etcd(&to).await?;
            let mut keys = SnapshotKeys::new(snapshot, &prefix(matches));
            let copy = Copy {
                source: &source,
                revision: head.revision,
                keys: head.keys,
                replace,
                keep_revision: false,
            };
            to_etcd(&mut keys, &to, copy, matches).await
        }
        (from, Place::Folder(to)) => {
            let bytes = bytes_of(environment, from).await?;
            snapshot::restore(environment, bytes, &to, replace).await
        }
    }
}

async fn bytes_of(environment: &Environment, from: Place) -> anyhow::Result<Bytestream> {
    match from {
        Place::File(path) => Bytestream::of_file(&path),
        Place::Folder(path) => Bytestream::of_folder(environment, &path).await,
        Place::Etcd(_) => bail!("etcd has no snapshot that could be read here"),
    }
}

async fn to_etcd(
    keys: &mut dyn LiveKeys,
    to: &EtcdPlace,
    copy: Copy<'_>,
    matches: &ArgMatches,
) -> anyhow::Result<()> {
    let copy = Copy { keep_revision: matches.get_flag("keep-revision"), ..copy };
    let source_revision = copy.revision;
    let Mirrored { tally, changed, revision } = mirror(keys, to, &copy).await?;
    say(tally.table().trim_end());
    say(&format!(
        "etcd has {} keys below {}, compared with the source; {changed} were written or deleted",
        tally.keys(),
        to.prefix
    ));
    say(&format!(
        "every object has a new resourceVersion: etcd is at revision {revision}, the source was at {source_revision}; clients that watch are told to list again"
    ));
    Ok(())
}
