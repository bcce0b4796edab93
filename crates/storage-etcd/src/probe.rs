//! Asks every member for its version until all have answered once (C-FRE-4):
//! what is not known counts as not supported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use environment::Environment;
use futures::future::{Either, join_all, select};
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::features::all_answer_progress;

/// Pauses between rounds: doubled from the first to the last.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Versions of the members that have answered, by their place in the list.
#[derive(Default)]
pub(crate) struct Probing {
    versions: BTreeMap<usize, String>,
}

impl Probing {
    pub(crate) fn is_done(&self, cluster: &Cluster) -> bool {
        self.versions.len() == cluster.members().len()
    }
}

/// One round: asks who has not answered yet, and publishes what follows.
pub(crate) async fn probe(cluster: &Cluster, probing: &mut Probing, answers_progress: &AtomicBool) {
    let unknown = cluster.members().iter().enumerate().filter(|(i, _)| !probing.versions.contains_key(i));
    let asked = unknown.map(async |(i, member)| match cluster.status_of(member).await {
        Ok(status) => Some((i, status.version)),
        Err(status) => {
            tracing::debug!(endpoint = member.url, %status, "etcd does not tell its version yet");
            None
        }
    });
    let known: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    probing.versions.extend(known);
    if probing.is_done(cluster) {
        let supported = all_answer_progress(probing.versions.values().map(String::as_str));
        if !supported {
            let versions: Vec<_> = probing.versions.values().collect();
            tracing::warn!(?versions, "this etcd is too old to be asked for the progress of a watch");
        }
        answers_progress.store(supported, Ordering::Release);
    }
}

/// Rounds until all are known or nobody asks any more.
pub(crate) async fn run(
    cluster: Arc<Cluster>,
    environment: Environment,
    mut probing: Probing,
    answers_progress: Arc<AtomicBool>,
    mut dropped: watch::Receiver<()>,
) {
    let mut pause = PAUSE_MIN;
    while !probing.is_done(&cluster) {
        let stop = std::pin::pin!(dropped.changed());
        if let Either::Left(_) = select(stop, environment.clock.sleep(pause)).await {
            return;
        }
        probe(&cluster, &mut probing, &answers_progress).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
