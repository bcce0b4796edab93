//! gRPC to a plugin on a Unix socket. Connects when first called, and again
//! when the plugin has been away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use environment::Environment;
use futures::future::{Either, select};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use super::wire::{v1, v2};
use super::{CallError, KmsV1, KmsV2, SealedKey};
use crate::metrics::PluginMetrics;

/// A plugin behind a socket.
pub(crate) struct Client {
    channel: Channel,
    environment: Environment,
    /// Of one call.
    timeout: Duration,
    /// Version 1 is asked for its version before its first use.
    version_checked: AtomicBool,
    metrics: Arc<PluginMetrics>,
}

impl Client {
    /// `endpoint` is `unix:///path`. Needs a tokio runtime around it; connects to nobody yet.
    pub(crate) fn new(
        environment: Environment,
        endpoint: &str,
        timeout: Duration,
        metrics: Arc<PluginMetrics>,
    ) -> Result<Client, CallError> {
        let path = endpoint.strip_prefix("unix://").unwrap_or_default();
        if path.is_empty() || path.starts_with('@') {
            // Abstract sockets have no file; the transport below cannot name them.
            return Err(CallError(format!("endpoint {endpoint:?} does not name the file of a Unix socket")));
        }
        let endpoint =
            Endpoint::from_shared(format!("unix:{path}")).map_err(|error| CallError(error.to_string()))?;
        let version_checked = AtomicBool::new(false);
        Ok(Client { channel: endpoint.connect_lazy(), environment, timeout, version_checked, metrics })
    }

    async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, CallError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let start = self.environment.clock.monotonic();
        let call = std::pin::pin!(async {
            let mut grpc = Grpc::new(self.channel.clone());
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let path = PathAndQuery::from_static(method);
            grpc.unary(Request::new(request), path, ProstCodec::default()).await.map(Response::into_inner)
        });
        let answer = match select(call, self.environment.clock.sleep(self.timeout)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(Status::deadline_exceeded("context deadline exceeded")),
        };
        let took = self.environment.clock.monotonic().saturating_sub(start);
        self.metrics.called(method, code_name(answer.as_ref().err().map_or(Code::Ok, Status::code)), took);
        answer.map_err(|status| {
            CallError(format!("rpc error: code = {} desc = {}", code_name(status.code()), status.message()))
        })
    }

    async fn check_version(&self) -> Result<(), CallError> {
        if self.version_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let request = v1::VersionRequest { version: v1::API_VERSION.into() };
        let answer: v1::VersionResponse = self.call(v1::VERSION, request).await?;
        if answer.version != v1::API_VERSION {
            let (theirs, ours) = (answer.version, v1::API_VERSION);
            return Err(CallError(format!(
                "KMS provider api version {theirs} is not supported, only {ours} is supported now"
            )));
        }
        self.version_checked.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// A gRPC status as Go writes it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[async_trait]
impl KmsV2 for Client {
    async fn status(&self) -> Result<v2::StatusResponse, CallError> {
        self.call(v2::STATUS, v2::StatusRequest {}).await
    }

    async fn encrypt(&self, uid: &str, plaintext: &[u8]) -> Result<v2::EncryptResponse, CallError> {
        let request = v2::EncryptRequest { plaintext: plaintext.to_vec(), uid: uid.to_owned() };
        self.call(v2::ENCRYPT, request).await
    }

    async fn decrypt(&self, uid: &str, sealed: &SealedKey) -> Result<Vec<u8>, CallError> {
        let SealedKey { ciphertext, key_id, annotations } = sealed.clone();
        let request = v2::DecryptRequest { ciphertext, uid: uid.to_owned(), key_id, annotations };
        let answer: v2::DecryptResponse = self.call(v2::DECRYPT, request).await?;
        Ok(answer.plaintext)
    }
}

#[async_trait]
impl KmsV1 for Client {
    async fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, CallError> {
        self.check_version().await?;
        let request = v1::EncryptRequest { version: v1::API_VERSION.into(), plain: plain.to_vec() };
        let answer: v1::EncryptResponse = self.call(v1::ENCRYPT, request).await?;
        Ok(answer.cipher)
    }

    async fn decrypt(&self, cipher: &[u8]) -> Result<Vec<u8>, CallError> {
        self.check_version().await?;
        let request = v1::DecryptRequest { version: v1::API_VERSION.into(), cipher: cipher.to_vec() };
        let answer: v1::DecryptResponse = self.call(v1::DECRYPT, request).await?;
        Ok(answer.plain)
    }
}
