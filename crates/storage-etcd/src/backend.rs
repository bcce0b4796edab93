//! [`EtcdBackend`]: the contract's operations as calls of etcd, and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use environment::Environment;
use futures::future::join_all;
use meta::Revision;
use prost::Message;
use storage::backend::{
    Backend, BackendError, BackendStatus, BackendWatch, Compare, LeaseId, Op, RangeRequest, RangeResponse,
    Txn, TxnResponse, WatchRequest,
};
use tokio::sync::watch;

use crate::assembler::key_value;
use crate::cluster::{Cluster, EtcdOptions, OpenError, REQUEST_BYTES_MAX, Repeat};
use crate::failure::{Failure, unavailable};
use crate::probe::{Probing, probe};
use crate::watch::Watcher;
use crate::wire;

/// An etcd cluster as a backend. Cheap to make: it connects when it is first used.
pub struct EtcdBackend {
    cluster: Arc<Cluster>,
    watcher: Watcher,
    /// Highest compacted revision heard of.
    compacted: AtomicU64,
    /// Counts requests for progress; every open watch passes them on.
    progress_asked: watch::Sender<u64>,
    answers_progress: Arc<AtomicBool>,
    /// Ends the probing by being dropped.
    _probing: watch::Sender<()>,
}

impl EtcdBackend {
    /// A backend over the cluster that `options` name. The versions of its
    /// members are asked for once before this returns, so that
    /// [`Backend::supports_progress_requests`] is known if all are up; members
    /// that are down are asked until they answer. That a cluster cannot be
    /// reached is no error here but of the first use.
    ///
    /// Needs a tokio runtime around it: connections are tasks of it.
    pub async fn open(environment: Environment, options: EtcdOptions) -> Result<EtcdBackend, OpenError> {
        let cluster = Arc::new(Cluster::new(environment.clone(), &options)?);
        let (progress_asked, receiver) = watch::channel(0);
        let watcher =
            Watcher { cluster: cluster.clone(), environment: environment.clone(), progress_asked: receiver };
        let answers_progress = Arc::new(AtomicBool::new(false));
        let mut probing = Probing::default();
        probe(&cluster, &mut probing, &answers_progress).await;
        let (alive, dropped) = watch::channel(());
        if !probing.is_done(&cluster) {
            let task = crate::probe::run(
                cluster.clone(),
                environment.clone(),
                probing,
                answers_progress.clone(),
                dropped,
            );
            environment.tasks.spawn("etcd-probe", Box::pin(task));
        }
        Ok(EtcdBackend {
            cluster,
            watcher,
            compacted: AtomicU64::new(0),
            progress_asked,
            answers_progress,
            _probing: alive,
        })
    }

    /// Bytes of each member's database, for `apiserver_storage_db_total_size_in_bytes`:
    /// endpoint URL and size, or why it could not be had. All members are asked at once.
    pub async fn database_sizes(&self) -> Vec<(String, Result<u64, BackendError>)> {
        let ask = self.cluster.members().iter().map(async |member| {
            let size = self.cluster.status_of(member).await.map(|status| status.db_size.cast_unsigned());
            (member.url.clone(), size.map_err(|status| unavailable(&status)))
        });
        join_all(ask).await
    }

    /// The id of the cluster, which its URLs may change without.
    pub async fn cluster_id(&self) -> Result<u64, BackendError> {
        let request = wire::RangeRequest {
            key: Bytes::from_static(NO_KEY),
            count_only: true,
            ..wire::RangeRequest::default()
        };
        match self.call::<_, wire::RangeResponse>(wire::RANGE, request, Repeat::Freely).await {
            Ok(answer) => Ok(answer.header.map_or(0, |header| header.cluster_id)),
            Err(failure) => Err(self.complete(failure).await),
        }
    }

    /// Seconds that a lease has left; none if it is not there any more.
    pub async fn lease_seconds_left(&self, lease: LeaseId) -> Result<Option<i64>, BackendError> {
        let request = wire::LeaseTimeToLiveRequest { id: lease.0 };
        let answer: Result<wire::LeaseTimeToLiveResponse, Failure> =
            self.call(wire::LEASE_TIME_TO_LIVE, request, Repeat::Freely).await;
        match answer {
            Ok(answer) => Ok(Some(answer.ttl).filter(|seconds| *seconds >= 0)),
            Err(Failure::Known(BackendError::LeaseNotFound)) => Ok(None),
            Err(failure) => Err(self.complete(failure).await),
        }
    }

    async fn call<Q, A>(&self, method: &'static str, request: Q, repeat: Repeat) -> Result<A, Failure>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        if request.encoded_len() > REQUEST_BYTES_MAX {
            return Err(BackendError::TooLarge.into());
        }
        Ok(self.cluster.call(method, request, repeat).await?)
    }

    async fn try_range(&self, request: &RangeRequest) -> Result<RangeResponse, Failure> {
        let request = wire::RangeRequest {
            key: request.key.clone(),
            range_end: request.end.clone().unwrap_or_default(),
            limit: request.limit as i64,
            revision: request.revision.0.cast_signed(),
            keys_only: request.keys_only,
            count_only: request.count_only,
        };
        let answer: wire::RangeResponse = self.call(wire::RANGE, request, Repeat::Freely).await?;
        Ok(RangeResponse {
            revision: revision(answer.header),
            kvs: answer.kvs.into_iter().map(key_value).collect(),
            more: answer.more,
            count: answer.count.cast_unsigned(),
        })
    }

    /// The current revision, linearizable.
    async fn current(&self) -> Result<Revision, Failure> {
        let key = Bytes::from_static(NO_KEY);
        let request = RangeRequest { key, count_only: true, ..RangeRequest::default() };
        Ok(self.try_range(&request).await?.revision)
    }

    /// The highest compacted revision, 0 if none.
    async fn ask_compacted(&self) -> Result<Revision, Failure> {
        let first = RangeRequest {
            key: Bytes::from_static(NO_KEY),
            revision: Revision(1),
            count_only: true,
            ..RangeRequest::default()
        };
        match self.try_range(&first).await {
            Ok(_) => Ok(Revision(0)),
            Err(Failure::Compacted) => Ok(self.heard_compacted(self.watcher.compacted().await?)),
            Err(failure) => Err(failure),
        }
    }

    fn heard_compacted(&self, revision: Revision) -> Revision {
        Revision(self.compacted.fetch_max(revision.0, Ordering::AcqRel).max(revision.0))
    }

    /// Adds what etcd leaves out of its answer.
    async fn complete(&self, failure: Failure) -> BackendError {
        let asked = match failure {
            Failure::Known(error) => return error,
            Failure::Compacted => {
                self.ask_compacted().await.map(|compacted| BackendError::Compacted { compacted })
            }
            Failure::FutureRevision => {
                self.current().await.map(|current| BackendError::FutureRevision { current })
            }
        };
        match asked {
            Ok(error) | Err(Failure::Known(error)) => error,
            // The revision asked about is 1 or none at all.
            Err(Failure::Compacted | Failure::FutureRevision) => {
                BackendError::Unavailable("etcd contradicts itself about its revisions".into())
            }
        }
    }
}

/// Before every key that anybody writes.
const NO_KEY: &[u8] = b"\0";

#[async_trait]
impl Backend for EtcdBackend {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, BackendError> {
        match self.try_range(&request).await {
            Ok(response) => Ok(response),
            Err(failure) => Err(self.complete(failure).await),
        }
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, BackendError> {
        let writes = |ops: &[Op]| ops.iter().any(|op| !matches!(op, Op::Get { .. }));
        let repeat =
            if writes(&txn.success) || writes(&txn.failure) { Repeat::IfUnsent } else { Repeat::Freely };
        let request = wire::TxnRequest {
            compare: txn.compare.into_iter().map(compare).collect(),
            success: txn.success.into_iter().map(op).collect(),
            failure: txn.failure.into_iter().map(op).collect(),
        };
        match self.call(wire::TXN, request, repeat).await {
            Ok(answer) => Ok(txn_response(answer)),
            Err(failure) => Err(self.complete(failure).await),
        }
    }

    async fn watch(&self, request: WatchRequest) -> Result<Box<dyn BackendWatch>, BackendError> {
        Ok(Box::new(self.watcher.open(request).await?))
    }

    async fn lease_grant(&self, ttl_seconds: i64) -> Result<LeaseId, BackendError> {
        let request = wire::LeaseGrantRequest { ttl: ttl_seconds };
        // One too many runs out by itself.
        let answer: Result<wire::LeaseGrantResponse, Failure> =
            self.call(wire::LEASE_GRANT, request, Repeat::Freely).await;
        match answer {
            Ok(answer) if answer.error.is_empty() => Ok(LeaseId(answer.id)),
            Ok(answer) => Err(BackendError::Unavailable(answer.error)),
            Err(failure) => Err(self.complete(failure).await),
        }
    }

    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), BackendError> {
        let request = wire::LeaseRevokeRequest { id: lease.0 };
        match self.call::<_, wire::LeaseRevokeResponse>(wire::LEASE_REVOKE, request, Repeat::IfUnsent).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.complete(failure).await),
        }
    }

    async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        let request = wire::CompactionRequest { revision: revision.0.cast_signed() };
        match self.call::<_, wire::CompactionResponse>(wire::COMPACT, request, Repeat::IfUnsent).await {
            Ok(_) => {
                self.heard_compacted(revision);
                Ok(())
            }
            Err(failure) => Err(self.complete(failure).await),
        }
    }

    /// Asks three things of the cluster; not for every request. The size is that of the largest
    /// member that answers.
    async fn status(&self) -> Result<BackendStatus, BackendError> {
        let asked = async {
            let revision = self.current().await?;
            Ok((revision, self.ask_compacted().await?))
        };
        let (revision, compacted) = match asked.await {
            Ok(known) => known,
            Err(failure) => return Err(self.complete(failure).await),
        };
        let sizes = self.database_sizes().await;
        let size_bytes = sizes.into_iter().filter_map(|(_, size)| size.ok()).max().unwrap_or(0);
        Ok(BackendStatus { revision, compacted, size_bytes })
    }

    fn supports_progress_requests(&self) -> bool {
        self.answers_progress.load(Ordering::Acquire)
    }

    /// Does nothing where the answers could not be trusted.
    async fn request_progress(&self) -> Result<(), BackendError> {
        if self.supports_progress_requests() {
            self.progress_asked.send_modify(|asked| *asked += 1);
        }
        Ok(())
    }
}

fn compare(compare: Compare) -> wire::Compare {
    match compare {
        Compare::ModRevision(key, revision) => wire::Compare {
            target: wire::CompareTarget::Mod.into(),
            key,
            to: Some(wire::Compared::ModRevision(revision.0.cast_signed())),
        },
        Compare::Version(key, version) => wire::Compare {
            target: wire::CompareTarget::Version.into(),
            key,
            to: Some(wire::Compared::Version(version)),
        },
    }
}

fn op(op: Op) -> wire::RequestOp {
    let request = match op {
        Op::Put { key, value, lease } => wire::Request::Put(wire::PutRequest { key, value, lease: lease.0 }),
        Op::Delete { key } => wire::Request::DeleteRange(wire::DeleteRangeRequest { key, prev_kv: true }),
        Op::Get { key } => wire::Request::Range(wire::RangeRequest { key, ..Default::default() }),
    };
    wire::RequestOp { request: Some(request) }
}

fn txn_response(answer: wire::TxnResponse) -> TxnResponse {
    let mut response = TxnResponse {
        succeeded: answer.succeeded,
        revision: revision(answer.header),
        gets: Vec::new(),
        deleted: Vec::new(),
    };
    for op in answer.responses {
        match op.response {
            Some(wire::Response::Range(range)) => {
                response.gets.push(range.kvs.into_iter().next().map(key_value));
            }
            Some(wire::Response::DeleteRange(deleted)) => {
                response.deleted.push(deleted.prev_kvs.into_iter().next().map(key_value));
            }
            Some(wire::Response::Put(_)) | None => {}
        }
    }
    response
}

/// etcd sends a header with every answer; its revision is never negative.
fn revision(header: Option<wire::Header>) -> Revision {
    Revision(header.map_or(0, |header| header.revision).cast_unsigned())
}
