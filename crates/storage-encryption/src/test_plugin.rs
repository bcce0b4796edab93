//! A KMS plugin for tests, standing in for a vendor's: both versions of the
//! protocol on one Unix socket. What it seals is not safe from anybody.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request as HttpRequest, Response as HttpResponse};
use parking_lot::Mutex;
use prost::Message;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::kms::wire::{v1, v2};

/// A plugin that runs until it is dropped.
pub struct TestPlugin {
    state: Arc<Mutex<State>>,
    _stop: oneshot::Sender<()>,
}

struct State {
    key_id: String,
    healthz: String,
    calls: BTreeMap<&'static str, usize>,
}

impl TestPlugin {
    /// Listens on a socket that does not exist yet. Needs a tokio runtime around it.
    pub fn start(socket: &Path) -> io::Result<TestPlugin> {
        let listener = UnixListener::bind(socket)?;
        let state =
            Arc::new(Mutex::new(State { key_id: "1".into(), healthz: "ok".into(), calls: BTreeMap::new() }));
        let (stop, stopped) = oneshot::channel::<()>();
        let connections = futures::stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        let server = Server::builder()
            .add_service(Plugin::<2>(state.clone()))
            .add_service(Plugin::<1>(state.clone()))
            .serve_with_incoming_shutdown(connections, async {
                // Ends with an error when the sender is dropped, which is what is waited for.
                let _ = stopped.await;
            });
        #[allow(clippy::let_underscore_future, reason = "the task ends with the sender")]
        let _ = tokio::spawn(server);
        Ok(TestPlugin { state, _stop: stop })
    }

    /// Changes the key that seals from now on; older ones stay known.
    pub fn set_key_id(&self, key_id: &str) {
        key_id.clone_into(&mut self.state.lock().key_id);
    }

    /// What status calls answer; `ok` is healthy.
    pub fn set_healthz(&self, healthz: &str) {
        healthz.clone_into(&mut self.state.lock().healthz);
    }

    /// Calls so far of a method, e.g. [`v2::DECRYPT`].
    pub fn calls(&self, method: &str) -> usize {
        self.state.lock().calls.get(method).copied().unwrap_or_default()
    }
}

/// The service of one version.
#[derive(Clone)]
struct Plugin<const VERSION: u8>(Arc<Mutex<State>>);

impl NamedService for Plugin<1> {
    const NAME: &'static str = v1::SERVICE;
}

impl NamedService for Plugin<2> {
    const NAME: &'static str = v2::SERVICE;
}

impl<const VERSION: u8> Service<HttpRequest<Body>> for Plugin<VERSION> {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let state = self.0.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            Ok(match path.as_str() {
                v2::STATUS => answer(state, v2::STATUS, status, request).await,
                v2::ENCRYPT => answer(state, v2::ENCRYPT, encrypt_v2, request).await,
                v2::DECRYPT => answer(state, v2::DECRYPT, decrypt_v2, request).await,
                v1::VERSION => answer(state, v1::VERSION, version, request).await,
                v1::ENCRYPT => answer(state, v1::ENCRYPT, encrypt_v1, request).await,
                v1::DECRYPT => answer(state, v1::DECRYPT, decrypt_v1, request).await,
                _ => Status::unimplemented(path).into_http(),
            })
        })
    }
}

type Handler<Q, A> = fn(&State, Q) -> Result<A, Status>;

async fn answer<Q, A>(
    state: Arc<Mutex<State>>,
    method: &'static str,
    handler: Handler<Q, A>,
    request: HttpRequest<Body>,
) -> HttpResponse<Body>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    *state.lock().calls.entry(method).or_default() += 1;
    Grpc::new(ProstCodec::<A, Q>::default()).unary(Unary { state, handler }, request).await
}

struct Unary<Q, A> {
    state: Arc<Mutex<State>>,
    handler: Handler<Q, A>,
}

impl<Q, A: Message + 'static> UnaryService<Q> for Unary<Q, A> {
    type Response = A;
    type Future = futures::future::Ready<Result<Response<A>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answer = (self.handler)(&self.state.lock(), request.into_inner());
        futures::future::ready(answer.map(Response::new))
    }
}

fn flip(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

fn status(state: &State, _request: v2::StatusRequest) -> Result<v2::StatusResponse, Status> {
    let (healthz, key_id) = (state.healthz.clone(), state.key_id.clone());
    Ok(v2::StatusResponse { version: "v2".into(), healthz, key_id })
}

fn encrypt_v2(state: &State, request: v2::EncryptRequest) -> Result<v2::EncryptResponse, Status> {
    let annotations = BTreeMap::from([("version.encryption.test.io".to_owned(), b"1".to_vec())]);
    Ok(v2::EncryptResponse {
        ciphertext: flip(&request.plaintext),
        key_id: state.key_id.clone(),
        annotations,
    })
}

fn decrypt_v2(_state: &State, request: v2::DecryptRequest) -> Result<v2::DecryptResponse, Status> {
    if !request.annotations.contains_key("version.encryption.test.io") {
        return Err(Status::invalid_argument("the annotation is missing"));
    }
    Ok(v2::DecryptResponse { plaintext: flip(&request.ciphertext) })
}

fn version(_state: &State, _request: v1::VersionRequest) -> Result<v1::VersionResponse, Status> {
    let version = v1::API_VERSION.to_owned();
    Ok(v1::VersionResponse { version, runtime_name: "test".into(), runtime_version: "1".into() })
}

fn encrypt_v1(_state: &State, request: v1::EncryptRequest) -> Result<v1::EncryptResponse, Status> {
    Ok(v1::EncryptResponse { cipher: flip(&request.plain) })
}

fn decrypt_v1(_state: &State, request: v1::DecryptRequest) -> Result<v1::DecryptResponse, Status> {
    Ok(v1::DecryptResponse { plain: flip(&request.cipher) })
}
