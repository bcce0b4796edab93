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
    /// Reads are answered from memory.
    pub watch_cache: WatchCacheFlags,
}

/// Which resources are cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchCacheFlags {
    /// None is, if false.
    pub enabled: bool,
    /// False: only those with a size of their own.
    pub by_default: bool,
    /// What was said of single resources, as `resource.group` (without a dot in the core group), and
    /// whether that caches them. The size itself does not matter, only whether it is zero.
    pub resources: Vec<(String, bool)>,
}

impl WatchCacheFlags {
    /// True if a resource, e.g. `pods` or `deployments.apps`, is cached. Events are not unless asked for:
    /// they are written much and read little.
    pub fn caches(&self, resource: &str) -> bool {
        let chosen = self.resources.iter().rev().find(|(name, _)| name == resource);
        let unless_chosen = || self.by_default && !matches!(resource, "events" | "events.events.k8s.io");
        self.enabled && chosen.map_or_else(unless_chosen, |(_, cached)| *cached)
    }

    fn read(matches: &ArgMatches) -> Result<WatchCacheFlags, FlagError> {
        let sizes = text(matches, "watch-cache-sizes").unwrap_or_default();
        let sizes = sizes.split(',').filter(|size| !size.is_empty());
        let default_size: i64 = number(matches, "default-watch-cache-size", "number")?;
        if default_size < 0 {
            let message = "must not be negative".to_owned();
            return Err(FlagError { flag: "default-watch-cache-size", message });
        }
        Ok(WatchCacheFlags {
            enabled: matches.get_one::<bool>("watch-cache").copied().unwrap_or(true),
            by_default: default_size > 0,
            resources: sizes.map(cached_by_size).collect::<Result<_, _>>()?,
        })
    }
}

/// `resource[.group]#size`
fn cached_by_size(text: &str) -> Result<(String, bool), FlagError> {
    let wrong = |message| FlagError { flag: "watch-cache-sizes", message };
    let parts = text.split_once('#').filter(|(resource, _)| !resource.is_empty());
    let (resource, size) =
        parts.ok_or_else(|| wrong(format!("{text:?} should be resource[.group]#size, e.g. pods#0")))?;
    match size.parse::<i64>() {
        Ok(size) if size >= 0 => Ok((resource.to_owned(), size > 0)),
        Ok(_) => Err(wrong(format!("{text:?}: the size must not be negative"))),
        Err(_) => Err(wrong(format!("{text:?}: {size:?} is no number"))),
    }
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
        switch("watch-cache", "true", "Reads and watches are answered from memory"),
        flag(
            "watch-cache-sizes",
            "RESOURCE[.GROUP]#SIZE,...",
            "",
            "Resources that are cached (any size) or not (size 0), whatever the default; sizes adapt themselves",
        ),
        flag(
            "default-watch-cache-size",
            "NUMBER",
            "100",
            "0 caches only the resources of --watch-cache-sizes; otherwise all but events are cached",
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
            watch_cache: WatchCacheFlags::read(matches)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn everything_but_events_is_cached_unless_the_flags_say_otherwise() {
        for (args, pods, deployments, events) in [
            (&[][..], true, true, false),
            (&["--watch-cache=false", "--watch-cache-sizes=pods#10"], false, false, false),
            (&["--watch-cache-sizes=pods#0,events#100"], false, true, true),
            (&["--default-watch-cache-size=0", "--watch-cache-sizes=deployments.apps#1"], false, true, false),
        ] {
            let flags = parse(args).expect("well-formed flags").storage.watch_cache;
            let got = ["pods", "deployments.apps", "events"].map(|resource| flags.caches(resource));
            assert_eq!(got, [pods, deployments, events], "{args:?}");
        }
    }

    #[test]
    fn a_size_that_is_none_is_refused() {
        for bad in ["pods", "#1", "pods#x", "pods#-1"] {
            let error = parse(&[&format!("--watch-cache-sizes={bad}")]).expect_err("no size");
            assert!(error.starts_with("--watch-cache-sizes: "), "{error}");
        }
    }
}
