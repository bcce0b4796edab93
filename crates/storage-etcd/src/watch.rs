//! A watch over etcd: one stream after the other, seen from outside as one.
//!
//! Each watch has a gRPC stream of its own (all share one connection), so that
//! a slow reader holds up nobody else and a progress answer speaks of this
//! watch alone. A task reads the stream, and opens a new one at the revision
//! it has come to when the stream breaks: on another endpoint if need be, for
//! as long as somebody listens. Order and completeness are the
//! [`Assembler`]'s.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use environment::Environment;
use futures::StreamExt;
use futures::stream::BoxStream;
use meta::Revision;
use storage::backend::{BackendError, BackendWatch, WatchBatch, WatchRequest};
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};

use crate::assembler::{Assembled, Assembler};
use crate::cluster::Cluster;
use crate::failure::{compacted, is_passing, unavailable};
use crate::wire;

/// Batches a reader may lag behind before the stream is not read any more and etcd has to keep them.
const BATCHES_MAX: usize = 16;

/// Requests on their way to etcd in one stream. A progress request that finds no room is left out:
/// those before it have not been answered yet.
const REQUESTS_MAX: usize = 4;

/// Time in which an endpoint has to take a watch.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);

/// Pauses between attempts to go on after a broken stream: doubled from the first to the last.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Answers of one stream, and the way to ask on it.
type Answers = Streaming<wire::WatchResponse>;
type Asks = mpsc::Sender<wire::WatchRequest>;

/// What opening and following a watch needs.
#[derive(Clone)]
pub(crate) struct Watcher {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) environment: Environment,
    /// Counts the requests for progress on every open watch.
    pub(crate) progress_asked: watch::Receiver<u64>,
}

impl Watcher {
    /// Opens a watch; returns when etcd has taken it.
    pub(crate) async fn open(&self, request: WatchRequest) -> Result<EtcdWatch, BackendError> {
        let create = wire::WatchCreate {
            key: request.key,
            range_end: request.end.unwrap_or_default(),
            start_revision: request.start.0.cast_signed(),
            progress_notify: request.progress,
            filters: Vec::new(),
            prev_kv: request.previous,
            fragment: true,
        };
        let stream = open(&self.cluster, &create).await.map_err(|status| unavailable(&status))?;
        // Fixed now: a stream that replaces this one must not start at a later "now".
        let start = match request.start {
            Revision(0) => Revision(stream.revision + 1),
            start => start,
        };
        let mut progress_asked = self.progress_asked.clone();
        // Who asked before this watch was there did not mean it.
        progress_asked.mark_unchanged();
        let (batches, received) = mpsc::channel(BATCHES_MAX);
        let follower = Follower {
            cluster: self.cluster.clone(),
            environment: self.environment.clone(),
            progress_asked,
            create,
            assembler: Assembler::new(start),
            batches,
        };
        self.environment.tasks.spawn("etcd-watch", Box::pin(follower.run(stream)));
        Ok(EtcdWatch { received })
    }

    /// The highest compacted revision, asked of the cluster, if there is one
    /// at or above 1: a watch from the beginning is refused with it.
    pub(crate) async fn compacted(&self) -> Result<Revision, Status> {
        let filters = [wire::WatchFilter::NoPut, wire::WatchFilter::NoDelete].map(i32::from);
        let key = bytes::Bytes::from_static(b"\0");
        let create =
            wire::WatchCreate { key, start_revision: 1, filters: filters.into(), ..Default::default() };
        let mut stream = open(&self.cluster, &create).await?;
        let mut answer = stream.first;
        loop {
            if answer.canceled {
                return Ok(Revision(answer.compact_revision.cast_unsigned()));
            }
            answer = match stream.answers.message().await? {
                Some(answer) => answer,
                None => return Err(Status::unavailable("the watch for the compaction ended early")),
            };
        }
    }
}

/// The reader's end of a watch.
pub(crate) struct EtcdWatch {
    received: mpsc::Receiver<Result<WatchBatch, BackendError>>,
}

#[async_trait]
impl BackendWatch for EtcdWatch {
    async fn next(&mut self) -> Option<Result<WatchBatch, BackendError>> {
        self.received.recv().await
    }
}

/// A stream etcd has taken.
struct Opened {
    answers: Answers,
    asks: Asks,
    /// The answer it was taken with.
    first: wire::WatchResponse,
    /// etcd's revision at that moment.
    revision: u64,
}

async fn open(cluster: &Cluster, create: &wire::WatchCreate) -> Result<Opened, Status> {
    // The sender of the attempt that succeeds is the one that stays.
    let asks = parking_lot::Mutex::new(None);
    let requests = || -> BoxStream<'static, wire::WatchRequest> {
        let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
        *asks.lock() = Some(sender);
        let create = wire::WatchRequest { request: Some(wire::WatchAsk::Create(create.clone())) };
        let later = futures::stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|request| (request, receiver))
        });
        futures::stream::once(async { create }).chain(later).boxed()
    };
    let (answers, first) =
        cluster.stream::<_, wire::WatchResponse>(wire::WATCH, requests, OPEN_PATIENCE).await?;
    let asks = asks.into_inner().expect("a stream is made of the requests");
    let revision = first.header.as_ref().map_or(0, |header| header.revision).cast_unsigned();
    Ok(Opened { answers, asks, first, revision })
}

/// The task behind a watch.
struct Follower {
    cluster: Arc<Cluster>,
    environment: Environment,
    progress_asked: watch::Receiver<u64>,
    create: wire::WatchCreate,
    assembler: Assembler,
    batches: mpsc::Sender<Result<WatchBatch, BackendError>>,
}

/// How a stream ended.
enum End {
    /// The connection or the member: another stream may go on.
    Broken(Status),
    /// The watch: the reader is told.
    Final(BackendError),
    /// The reader is gone.
    Unheard,
}

impl Follower {
    async fn run(mut self, first: Opened) {
        let mut stream = Some(first);
        let mut pause = PAUSE_MIN;
        loop {
            let opened = match stream.take() {
                Some(opened) => Ok(opened),
                None => self.reopen().await,
            };
            let end = match opened {
                Ok(opened) => {
                    let before = self.assembler.next();
                    let end = self.follow(opened).await;
                    if self.assembler.next() != before {
                        pause = PAUSE_MIN;
                    }
                    end
                }
                Err(end) => end,
            };
            match end {
                End::Unheard => return,
                End::Final(error) => {
                    // Nobody to tell is fine too.
                    let _ = self.batches.send(Err(error)).await;
                    return;
                }
                End::Broken(status) => {
                    tracing::debug!(next = self.assembler.next().0, reason = %status, "etcd watch broke, resuming");
                }
            }
            let listening = self.batches.clone();
            tokio::select! {
                () = listening.closed() => return,
                () = self.environment.clock.sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn reopen(&mut self) -> Result<Opened, End> {
        self.assembler.restart();
        self.create.start_revision = self.assembler.next().0.cast_signed();
        let listening = self.batches.clone();
        tokio::select! {
            () = listening.closed() => Err(End::Unheard),
            opened = open(&self.cluster, &self.create) => opened.map_err(end),
        }
    }

    /// Hands on what one stream brings until it ends.
    async fn follow(&mut self, stream: Opened) -> End {
        let Opened { mut answers, asks, first, .. } = stream;
        let mut answer = first;
        let listening = self.batches.clone();
        loop {
            match self.assembler.take(answer) {
                Assembled::Nothing => {}
                Assembled::Batch(batch) => {
                    if self.batches.send(Ok(batch)).await.is_err() {
                        return End::Unheard;
                    }
                }
                Assembled::Compacted(revision) => return End::Final(compacted(revision)),
                Assembled::Canceled(reason) => {
                    return End::Final(BackendError::Unavailable(format!(
                        "etcd canceled the watch: {reason}"
                    )));
                }
            }
            answer = loop {
                tokio::select! {
                    () = listening.closed() => return End::Unheard,
                    Ok(()) = self.progress_asked.changed() => {
                        let _ = asks.try_send(progress_request());
                    }
                    answer = answers.message() => match answer {
                        Ok(Some(answer)) => break answer,
                        Ok(None) => return End::Broken(Status::unavailable("the stream ended")),
                        Err(status) => return end(status),
                    },
                }
            };
        }
    }
}

fn end(status: Status) -> End {
    if is_passing(&status) { End::Broken(status) } else { End::Final(unavailable(&status)) }
}

fn progress_request() -> wire::WatchRequest {
    wire::WatchRequest { request: Some(wire::WatchAsk::Progress(wire::WatchProgress {})) }
}
