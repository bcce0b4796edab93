//! `portforward` for clients that wrap SPDY into a WebSocket because proxies on
//! their way know no SPDY: the wrapping is taken off here, the SPDY inside
//! goes to the kubelet as it is.

use bytes::BytesMut;
use futures::{SinkExt, StreamExt};
use http::header::{
    CONTENT_LENGTH, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use meta::ApiError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::node::Place;
use super::upgrade::{self, Client, Waiting};
use super::{proxy, stop, websocket};
use crate::filters::Exchange;
use crate::respond::Body;
use crate::status::Failure;

/// In front of the SPDY subprotocol inside.
const PREFIX: &str = "SPDY/3.1+";
/// How the subprotocol of kubelets and clients is negotiated over SPDY.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Bytes of one message to the client.
const BUFFER_BYTES: usize = 32 * 1024;

/// True for the name of a subprotocol that wraps SPDY.
pub fn is_tunnel(protocol: &str) -> bool {
    protocol.starts_with(PREFIX) && protocol.ends_with(".k8s.io")
}

/// Tunnels. What the kubelet refuses is refused with its words.
pub async fn tunnel(exchange: &Exchange, place: Place, uri: String) -> Result<Response<Body>, Failure> {
    let client = Waiting::of(exchange)?;
    let answer = upgrade::ask(&place, Method::POST, uri, spdy_headers(exchange)).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(upgrade::refused(answer, exchange));
    }
    let spoken = answer.headers().get(UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !spoken.eq_ignore_ascii_case(kubelet_client::spdy::UPGRADE.as_bytes()) {
        let message = "unable to upgrade: missing upgrade headers in response";
        return Err(ApiError::Unknown(message.to_owned()).into());
    }
    let chosen = answer.headers().get(&PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    let chosen = chosen.and_then(|chosen| HeaderValue::from_str(&format!("{PREFIX}{}", chosen.trim())).ok());
    let response = websocket::accept(&exchange.parts.headers, chosen)?;
    let kubelet = hyper::upgrade::on(answer);
    let stopping = exchange.services.stopping.clone();
    client.run(exchange, "tunneled stream", async move |client: Client| match kubelet.await {
        Ok(kubelet) => copy(websocket::open(client).await, TokioIo::new(kubelet), stopping).await,
        Err(error) => tracing::debug!(%error, "the kubelet did not upgrade after all"),
    });
    Ok(response)
}

/// The client's headers with the WebSocket's replaced by SPDY's.
fn spdy_headers(exchange: &Exchange) -> HeaderMap {
    let mut headers = proxy::forwarded_headers(exchange);
    let websocket = [
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION,
        SEC_WEBSOCKET_EXTENSIONS,
        CONTENT_LENGTH,
        PROTOCOL_VERSION,
    ];
    for name in websocket {
        headers.remove(name);
    }
    headers.insert(UPGRADE, HeaderValue::from_static(kubelet_client::spdy::UPGRADE));
    let offered = websocket::protocols(&exchange.parts.headers).into_iter().filter(|name| is_tunnel(name));
    for protocol in offered.filter_map(|protocol| protocol.strip_prefix(PREFIX)) {
        if let Ok(value) = HeaderValue::from_str(protocol) {
            headers.append(PROTOCOL_VERSION, value);
        }
    }
    headers
}

async fn copy(client: WebSocketStream<Client>, kubelet: TokioIo<Upgraded>, stopping: watch::Receiver<bool>) {
    let (mut to_client, mut from_client) = client.split();
    let (mut from_kubelet, mut to_kubelet) = tokio::io::split(kubelet);
    let inward = async {
        while let Some(message) = from_client.next().await {
            match message? {
                Message::Binary(bytes) => {
                    to_kubelet.write_all(&bytes).await?;
                    to_kubelet.flush().await?;
                }
                Message::Close(_) => return Ok(()),
                _ => {}
            }
        }
        Ok::<(), Error>(())
    };
    let outward = async {
        let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
        while from_kubelet.read_buf(&mut buffer).await? > 0 {
            to_client.send(Message::Binary(buffer.split().freeze())).await?;
            buffer.reserve(BUFFER_BYTES);
        }
        Ok::<(), Error>(())
    };
    let ended = tokio::select! {
        ended = inward => ended,
        ended = outward => ended,
        () = stop::stopped(stopping) => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a tunneled stream broke off");
    }
    // Whoever is gone already is not told.
    let _ = to_client.send(websocket::goodbye()).await;
    let _ = to_client.close().await;
    let _ = to_kubelet.shutdown().await;
}
