//! Upgraded connections passed through: the client's request goes to the other
//! server as it is, and after its 101 bytes are copied both ways until either
//! side has had enough. Serves SPDY and whatever WebSockets the other speaks.

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use meta::ApiError;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::node::Place;
use super::{proxy, stop};
use crate::filters::Exchange;
use crate::respond::{self, Body};
use crate::status::Failure;

/// Bytes on their way in each direction of a copied stream. Beyond it the sender waits.
const BUFFER_BYTES: usize = 32 * 1024;

/// An upgraded connection of a client and its place among them.
pub type Client = TokioIo<Upgraded>;

/// True if the client wants the connection for another protocol.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.into_iter().any(|value| value.to_ascii_lowercase().contains("upgrade"))
}

/// Passes an upgrade through; anything else is refused.
pub async fn required(exchange: &Exchange, place: Place, uri: String) -> Result<Response<Body>, Failure> {
    if !is_upgrade(&exchange.parts.headers) {
        return Err(Failure::bad_request("Upgrade request required"));
    }
    pass(exchange, place, uri).await
}

/// Passes an upgrade through.
pub async fn pass(exchange: &Exchange, place: Place, uri: String) -> Result<Response<Body>, Failure> {
    let client = Waiting::of(exchange)?;
    let headers = proxy::forwarded_headers(exchange);
    let answer = ask(&place, exchange.parts.method.clone(), uri, headers).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(refused(answer, exchange));
    }
    let mut response = Response::new(respond::full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = answer.headers().clone();
    let backend = hyper::upgrade::on(answer);
    let stopping = exchange.services.stopping.clone();
    client.run(exchange, "upgraded stream", async move |client| match backend.await {
        Ok(backend) => copy(client, TokioIo::new(backend), stopping).await,
        Err(error) => tracing::debug!(%error, "the other server did not upgrade after all"),
    });
    Ok(response)
}

/// Asks the other server to upgrade. Below 400 it must say 101.
pub async fn ask(
    place: &Place,
    method: Method,
    uri: String,
    mut headers: HeaderMap,
) -> Result<Response<Incoming>, Failure> {
    if !headers.contains_key(HOST)
        && let Ok(host) = place.authority().parse::<HeaderValue>()
    {
        headers.insert(HOST, host);
    }
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().map_err(|error| Failure::bad_request(format!("{error}")))?;
    *request.headers_mut() = headers;
    let answer = place.send(request).await;
    let answer = answer.map_err(|error| ApiError::Unknown(format!("error dialing backend: {error}")))?;
    let code = answer.status();
    if code != StatusCode::SWITCHING_PROTOCOLS && code.as_u16() < 400 {
        let message = format!("invalid upgrade response: status code {}", code.as_u16());
        return Err(ApiError::Unknown(message).into());
    }
    Ok(answer)
}

/// The other server's refusal, for the client to read.
pub fn refused(answer: Response<Incoming>, exchange: &Exchange) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    proxy::remove_hop_by_hop(&mut parts.headers);
    Response::from_parts(parts, stop::relayed(body, exchange))
}

/// A client whose connection can be upgraded as soon as the answer is sent.
pub struct Waiting {
    upgrade: OnUpgrade,
    place: OwnedSemaphorePermit,
}

impl Waiting {
    /// Fails for connections that cannot be upgraded (HTTP/2), and if too many are.
    pub fn of(exchange: &Exchange) -> Result<Waiting, Failure> {
        let upgrade = exchange.parts.extensions.get::<OnUpgrade>().cloned();
        let upgrade = upgrade.ok_or_else(|| {
            ApiError::Unknown("unable to upgrade: request connection cannot be hijacked".to_owned())
        })?;
        let place = exchange.services.kubelets.place().ok_or_else(|| ApiError::TooManyRequests {
            message: "too many streams are open, please try again later.".to_owned(),
            retry_after: std::time::Duration::from_secs(1),
            causes: Vec::new(),
        })?;
        Ok(Waiting { upgrade, place })
    }

    /// Runs a task over the connection once it is upgraded. The answer must be
    /// 101 and must be sent, or the task never begins.
    pub fn run<F>(
        self,
        exchange: &Exchange,
        name: &'static str,
        task: impl FnOnce(Client) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        let Waiting { upgrade, place } = self;
        let open = exchange.services.metrics.streaming(&exchange.info);
        let task = async move {
            match upgrade.await {
                Ok(upgraded) => task(TokioIo::new(upgraded)).await,
                Err(error) => tracing::debug!(%error, "the client did not upgrade after all"),
            }
            drop((place, open));
        };
        exchange.services.environment.tasks.spawn(name, Box::pin(task));
    }
}

/// Copies both ways until one side ends or the server stops.
async fn copy<C, B>(client: C, backend: B, stopping: watch::Receiver<bool>)
where
    C: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (from_client, mut to_client) = tokio::io::split(client);
    let (from_backend, mut to_backend) = tokio::io::split(backend);
    tokio::select! {
        result = pump(from_client, &mut to_backend) => ended("client", result),
        result = pump(from_backend, &mut to_client) => ended("other server", result),
        () = stop::stopped(stopping) => {}
    }
    // Whoever is gone already is not told.
    let _ = to_client.shutdown().await;
    let _ = to_backend.shutdown().await;
}

async fn pump<R, W>(from: R, to: &mut W) -> std::io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
    loop {
        let bytes = from.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        to.write_all(bytes).await?;
        let read = bytes.len();
        from.consume(read);
        to.flush().await?;
    }
}

fn ended(side: &str, result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, side, "a stream broke off");
    }
}
