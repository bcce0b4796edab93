//! Where objects are, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgMatches};

use super::{BackendFlags, FlagError, duration, flag, number, switch, text};

/// Storage and its upkeep.
#[derive(Clone, Debug)]
pub struct StorageFlags {
    /// Folder of the embedded store, credentials and kubeconfig.
    pub data_dir: PathBuf,
    /// Which store, and in what form objects lie in it.
    pub backend: BackendFlags,
    /// Lifetime of events.
    pub event_ttl: Duration,
    /// Time between compactions; zero is never.
    pub compaction_interval: Duration,
    /// Workers of a deletecollection.
    pub delete_collection_workers: usize,
    /// Deletion policies set finalizers.
    pub garbage_collection: bool,
}

pub(super) fn flags() -> Vec<Arg> {
    vec![
        flag("data-dir", "FOLDER", "pintle-data", "Folder for the store, certificates and kubeconfig"),
        flag("event-ttl", "DURATION", "1h0m0s", "How long events are kept"),
        flag(
            "etcd-compaction-interval",
            "DURATION",
            "5m0s",
            "Time between compactions of the store; 0 is never",
        ),
        flag(
            "delete-collection-workers",
            "NUMBER",
            "1",
            "Deletes of one deletecollection that run at a time",
        ),
        switch(
            "enable-garbage-collector",
            "true",
            "Deletion policies leave finalizers for the garbage collector",
        ),
    ]
}

impl StorageFlags {
    pub(super) fn read(matches: &ArgMatches) -> Result<StorageFlags, FlagError> {
        let delete_collection_workers = number(matches, "delete-collection-workers", "number")?;
        if delete_collection_workers == 0 {
            return Err(FlagError {
                flag: "delete-collection-workers",
                message: "must be at least 1".to_owned(),
            });
        }
        Ok(StorageFlags {
            data_dir: text(matches, "data-dir").unwrap_or("pintle-data").into(),
            backend: BackendFlags::read(matches)?,
            event_ttl: duration(matches, "event-ttl")?,
            compaction_interval: duration(matches, "etcd-compaction-interval")?,
            delete_collection_workers,
            garbage_collection: matches.get_one::<bool>("enable-garbage-collector").copied().unwrap_or(true),
        })
    }
}
