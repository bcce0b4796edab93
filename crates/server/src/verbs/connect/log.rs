//! `pods/log`: the kubelet's answer, piece by piece as it comes, in the body
//! of an answer or in messages of a WebSocket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use tokio_tungstenite::tungstenite::Message;

use super::options::LogOptions;
use super::upgrade::{Client, Waiting};
use super::{Target, node, pod, stop, websocket};
use crate::filters::Exchange;
use crate::respond::{self, Body};
use crate::status::Failure;

/// What is read of a kubelet's error, in bytes.
const ERROR_BYTES_MAX: usize = 50_000;

/// Streams the log of a container. A pod that is on no node has none: 204.
pub async fn log(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let options = LogOptions::read(&exchange.query, &target.name)?;
    let pod = pod::find(exchange, target, &target.name).await?;
    let container = pod::container(&pod, &options.container, &target.name)?;
    let node = pod.str_at(&["spec", "nodeName"]).unwrap_or_default();
    if node.is_empty() {
        let mut response = Response::new(respond::full(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let mut place = node::kubelet(exchange, target, node).await?.place;
    if options.insecure {
        place.transport = exchange.services.kubelets.unchecked.clone();
    }
    let path = format!("/containerLogs/{}/{}/{container}", exchange.context.namespace, target.name);
    let uri = if options.query.is_empty() { path } else { format!("{path}?{}", options.query) };
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.headers_mut() = place.headers();
    *request.uri_mut() = uri.parse().map_err(|error| Failure::bad_request(format!("{error}")))?;
    let answer = place.send(request).await.map_err(|error| {
        let url = format!("{}://{}{uri}", place.scheme.name(), place.authority());
        meta::ApiError::Unknown(format!("Get {}: {error}", meta::field::quoted(&url)))
    })?;
    if !(200..=206).contains(&answer.status().as_u16()) {
        return Err(refused(answer, &target.name).await);
    }
    if websocket::is_websocket(&exchange.parts.headers) {
        return in_messages(exchange, answer.into_body());
    }
    let mut response = Response::new(stop::relayed(answer.into_body(), exchange));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// How pieces of a log become messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Messages {
    Binary,
    Base64,
}

fn in_messages(exchange: &Exchange, mut log: Incoming) -> Result<Response<Body>, Failure> {
    let (form, chosen) = negotiated(&websocket::protocols(&exchange.parts.headers))?;
    let client = Waiting::of(exchange)?;
    let response = websocket::accept(&exchange.parts.headers, chosen.map(HeaderValue::from_static))?;
    let stopping = exchange.services.stopping.clone();
    client.run(exchange, "log in messages", async move |client: Client| {
        let (mut to_client, mut from_client) = websocket::open(client).await.split();
        let sending = async {
            while let Some(Ok(frame)) = log.frame().await {
                let Ok(piece) = frame.into_data() else { continue };
                let message = match form {
                    Messages::Binary => Message::Binary(piece),
                    Messages::Base64 => Message::Text(STANDARD.encode(&piece).into()),
                };
                if to_client.send(message).await.is_err() {
                    return;
                }
            }
        };
        // The client has nothing to say but that it goes.
        let leaving = async { while from_client.next().await.is_some_and(|message| message.is_ok()) {} };
        tokio::select! {
            () = sending => {}
            () = leaving => {}
            () = stop::stopped(stopping) => {}
        }
        // Whoever is gone already is not told.
        let _ = to_client.send(websocket::goodbye()).await;
        let _ = to_client.close().await;
    });
    Ok(response)
}

/// The first subprotocol offered that is known here; without any, binary messages.
fn negotiated(offered: &[&str]) -> Result<(Messages, Option<&'static str>), Failure> {
    let known = |offered: &&str| match *offered {
        "binary.k8s.io" => Some((Messages::Binary, Some("binary.k8s.io"))),
        "base64.binary.k8s.io" => Some((Messages::Base64, Some("base64.binary.k8s.io"))),
        _ => None,
    };
    if offered.is_empty() {
        return Ok((Messages::Binary, None));
    }
    let chosen = offered.iter().find_map(known);
    chosen.ok_or_else(|| {
        // The original breaks the handshake off, which says no more.
        Failure::Text(StatusCode::FORBIDDEN, "requested protocols are not supported\n".to_owned())
    })
}

async fn refused(answer: Response<Incoming>, name: &str) -> Failure {
    let code = answer.status();
    let text = Limited::new(answer.into_body(), ERROR_BYTES_MAX).collect().await;
    let text = text.map(|text| String::from_utf8_lossy(&text.to_bytes()).into_owned()).unwrap_or_default();
    Failure::Relayed { code, resource: "pods/log", name: name.to_owned(), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_messages_is_negotiated() {
        let form = |offered: &[&str]| negotiated(offered).ok();
        assert_eq!(form(&[]), Some((Messages::Binary, None)));
        let base64 = Some((Messages::Base64, Some("base64.binary.k8s.io")));
        assert_eq!(form(&["other", "base64.binary.k8s.io", "binary.k8s.io"]), base64);
        assert_eq!(form(&["other"]), None);
    }
}
