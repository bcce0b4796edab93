//! A backend that remembers what it was asked to read, so that a test can tell
//! how often and how much object storage reads, or that a cache did not ask at all.
//! It also lets something happen between a read and the write that relies on it.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use meta::Revision;
use parking_lot::Mutex;

use crate::backend::{
    Backend, BackendError, BackendStatus, BackendWatch, LeaseId, RangeRequest, RangeResponse, Txn,
    TxnResponse, WatchRequest,
};

/// Hands everything on to a backend and notes the reads.
pub struct Recorder {
    backend: Arc<dyn Backend>,
    reads: Mutex<Vec<Read>>,
    interjection: Mutex<Option<BoxFuture<'static, ()>>>,
}

/// A read of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// First key read.
    pub key: String,
    /// Revision read at; 0 is newest.
    pub revision: Revision,
    /// Most keys asked for; 0 is no limit.
    pub limit: usize,
}

impl Recorder {
    /// Hands on to `backend`.
    pub fn new(backend: Arc<dyn Backend>) -> Recorder {
        Recorder { backend, reads: Mutex::default(), interjection: Mutex::default() }
    }

    /// Runs this before the next transaction is handed on.
    pub fn interject(&self, what: impl Future<Output = ()> + Send + 'static) {
        *self.interjection.lock() = Some(Box::pin(what));
    }

    /// The reads of ranges since this was asked last. Reads of single keys, and
    /// those that only ask for the revision or a count, are not among them.
    pub fn take_lists(&self) -> Vec<Read> {
        std::mem::take(&mut *self.reads.lock())
    }

    fn note(&self, request: &RangeRequest) {
        if request.end.is_none() || request.count_only {
            return;
        }
        let key = String::from_utf8_lossy(&request.key).into_owned();
        self.reads.lock().push(Read { key, revision: request.revision, limit: request.limit });
    }
}

#[async_trait]
impl Backend for Recorder {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, BackendError> {
        self.note(&request);
        self.backend.range(request).await
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, BackendError> {
        let interjection = self.interjection.lock().take();
        if let Some(what) = interjection {
            what.await;
        }
        self.backend.txn(txn).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<Box<dyn BackendWatch>, BackendError> {
        self.backend.watch(request).await
    }

    async fn lease_grant(&self, ttl_seconds: i64) -> Result<LeaseId, BackendError> {
        self.backend.lease_grant(ttl_seconds).await
    }

    async fn lease_revoke(&self, lease: LeaseId) -> Result<(), BackendError> {
        self.backend.lease_revoke(lease).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        self.backend.compact(revision).await
    }

    async fn status(&self) -> Result<BackendStatus, BackendError> {
        self.backend.status().await
    }

    fn supports_progress_requests(&self) -> bool {
        self.backend.supports_progress_requests()
    }

    async fn request_progress(&self) -> Result<(), BackendError> {
        self.backend.request_progress().await
    }
}
