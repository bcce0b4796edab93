//! `exec` and `attach` for clients that speak `v5.channel.k8s.io`, to kubelets
//! that speak SPDY only: channels of one WebSocket become streams of one SPDY
//! connection and back.
//!
//! ```text
//! message:  channel(1) data          0 stdin  1 stdout  2 stderr  3 error  4 resize
//!           255 channel              the client has no more for this channel
//! SPDY:     one stream each, named by its header `streamtype`
//! ```
//!
//! The error channel ends a session: it carries a Status, made from what the
//! kubelet says on its error stream after everything else has been read.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use environment::Environment;
use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use kubelet_client::spdy::{self, Session, SpdyError, Stream, StreamSender};
use schema::{Map, Value};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;

use super::node::Place;
use super::options::StreamOptions;
use super::tunnel::PROTOCOL_VERSION;
use super::upgrade::{self, Client, Waiting};
use super::{stop, websocket};
use crate::filters::Exchange;
use crate::respond::Body;
use crate::status::{Failure, Status};

/// The subprotocol of clients.
pub const PROTOCOL: &str = "v5.channel.k8s.io";
/// What is offered to the kubelet, the best first.
const KUBELET_PROTOCOLS: [&str; 5] =
    [PROTOCOL, "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const STREAM_TYPE: HeaderName = HeaderName::from_static("streamtype");

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// Messages waiting for the client. Beyond it the kubelet's streams are not read.
const MESSAGES_MAX: usize = 16;
/// Longest text of an error stream or of a kubelet's refusal, in bytes; the rest is cut.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// How long a kubelet may take to accept a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the kubelet is asked whether it is still there, so that idle connections are not forgotten on the way.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long a session may go without a message of the client.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4 * 3600);

/// Opens the WebSocket at once, as the original does; what fails after that is told on the error channel.
pub async fn translate(
    exchange: &Exchange,
    place: Place,
    uri: String,
    options: StreamOptions,
) -> Result<Response<Body>, Failure> {
    if options.tty && options.stderr {
        return Err(meta::ApiError::Unknown("specifying both TTY and stderr is invalid".to_owned()).into());
    }
    let client = Waiting::of(exchange)?;
    let chosen = HeaderValue::from_static(PROTOCOL);
    let response = websocket::accept(&exchange.parts.headers, Some(chosen))?;
    let environment = exchange.services.environment.clone();
    let stopping = exchange.services.stopping.clone();
    client.run(exchange, "translated stream", async move |client: Client| {
        serve(client, Kubelet { place, uri, environment }, options, stopping).await;
    });
    Ok(response)
}

/// Which kubelet is asked for what.
struct Kubelet {
    place: Place,
    uri: String,
    environment: Environment,
}

/// What comes from the client, for the streams that want it.
#[derive(Default)]
struct FromClient {
    stdin: Option<StreamSender>,
    resize: Option<StreamSender>,
}

async fn serve(client: Client, kubelet: Kubelet, options: StreamOptions, stopping: watch::Receiver<bool>) {
    let (mut to_client, mut from_client) = websocket::open(client).await.split();
    let (messages, mut queued) = mpsc::channel::<Message>(MESSAGES_MAX);
    let environment = kubelet.environment.clone();
    let (senders, streams) = tokio::sync::oneshot::channel();
    let inward = async {
        // Nothing is read before there is somebody to give it to.
        let Ok(streams) = streams.await else { return std::future::pending().await };
        read_client(&mut from_client, streams, &environment).await;
    };
    let session = async {
        greet(&messages, &options).await;
        let result = run(&kubelet, &options, senders, &messages).await;
        let status = status(&result);
        // A client that is gone needs no status.
        let _ = messages.send(message(ERROR, &status)).await;
        drop(messages);
    };
    let outward = async {
        while let Some(message) = queued.recv().await {
            if let Err(error) = to_client.send(message).await {
                tracing::debug!(%error, "the client of a stream is gone");
                return;
            }
        }
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(session, outward) } => {}
        () = inward => {}
        () = stop::stopped(stopping) => {}
    }
    // Whoever is gone already is not told.
    let _ = to_client.send(websocket::goodbye()).await;
    let _ = to_client.close().await;
}

/// An empty message tells the client that it is connected.
async fn greet(messages: &mpsc::Sender<Message>, options: &StreamOptions) {
    let channel = match options {
        StreamOptions { stdout: true, .. } => STDOUT,
        StreamOptions { stderr: true, .. } => STDERR,
        _ => ERROR,
    };
    // A client that is gone is noticed where messages are written.
    let _ = messages.send(message(channel, b"")).await;
}

fn message(channel: u8, data: &[u8]) -> Message {
    let mut bytes = BytesMut::with_capacity(data.len() + 1);
    bytes.put_u8(channel);
    bytes.put_slice(data);
    Message::Binary(bytes.freeze())
}

/// Hands on what the client sends until it is gone.
async fn read_client<S>(from_client: &mut S, mut streams: FromClient, environment: &Environment)
where
    S: futures::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    loop {
        let next = tokio::select! {
            next = from_client.next() => next,
            () = environment.clock.sleep(IDLE_TIMEOUT) => None,
        };
        let Some(Ok(next)) = next else { return };
        let Message::Binary(mut data) = next else {
            if next.is_close() {
                return;
            }
            continue;
        };
        if data.is_empty() {
            continue;
        }
        let channel = data.split_to(1)[0];
        let result = match channel {
            STDIN => forward(streams.stdin.as_ref(), data).await,
            RESIZE => forward(streams.resize.as_ref(), data).await,
            CLOSE if data.first() == Some(&STDIN) => match streams.stdin.take() {
                Some(stdin) => stdin.finish().await,
                None => Ok(()),
            },
            _ => Ok(()),
        };
        if let Err(error) = result {
            // The kubelet is done; its last words are still to be told.
            tracing::debug!(%error, "a kubelet takes no more input");
            streams = FromClient::default();
        }
    }
}

async fn forward(stream: Option<&StreamSender>, data: Bytes) -> Result<(), SpdyError> {
    match stream {
        Some(stream) => stream.write(data).await,
        None => Ok(()),
    }
}

/// What the error stream said (nothing is success), or why there was none.
type Ended = Result<Bytes, String>;

async fn run(
    kubelet: &Kubelet,
    options: &StreamOptions,
    senders: tokio::sync::oneshot::Sender<FromClient>,
    messages: &mpsc::Sender<Message>,
) -> Ended {
    let session = connect(kubelet).await?;
    let open = async |kind: &'static str| -> Result<Stream, String> {
        let headers = HeaderMap::from_iter([(STREAM_TYPE, HeaderValue::from_static(kind))]);
        tokio::select! {
            opened = session.open(headers) => opened.map_err(|error| error.to_string()),
            () = kubelet.environment.clock.sleep(OPEN_TIMEOUT) => Err("timed out waiting for stream".to_owned()),
        }
    };
    let open_if = async |wanted: bool, kind| if wanted { open(kind).await.map(Some) } else { Ok(None) };
    let mut error = open("error").await?;
    let stdin = open_if(options.stdin, "stdin").await?;
    let mut stdout = open_if(options.stdout, "stdout").await?;
    let mut stderr = open_if(options.stderr && !options.tty, "stderr").await?;
    let resize = open_if(options.tty, "resize").await?;
    let half = |stream: Option<Stream>| stream.map(Stream::split);
    let ((stdin, _stdin_back), (resize, _resize_back)) = (half(stdin).unzip(), half(resize).unzip());
    // A client that is gone takes no part any more.
    let _ = senders.send(FromClient { stdin, resize });
    let streams = async {
        tokio::join!(
            output(stdout.as_mut(), STDOUT, messages),
            output(stderr.as_mut(), STDERR, messages),
            last_words(&mut error)
        )
        .2
    };
    let pings = async {
        loop {
            kubelet.environment.clock.sleep(PING_INTERVAL).await;
            if session.ping().await.is_err() {
                // The streams have ended too, and know better what to say.
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        words = streams => Ok(words),
        never = pings => never,
    }
}

async fn output(stream: Option<&mut Stream>, channel: u8, messages: &mpsc::Sender<Message>) {
    let Some(stream) = stream else { return };
    while let Some(data) = stream.read().await {
        if messages.send(message(channel, &data)).await.is_err() {
            return;
        }
    }
}

async fn last_words(error: &mut Stream) -> Bytes {
    let mut words = BytesMut::new();
    while let Some(data) = error.read().await {
        let room = ERROR_BYTES_MAX - words.len();
        words.put_slice(&data[..data.len().min(room)]);
    }
    words.freeze()
}

async fn connect(kubelet: &Kubelet) -> Result<Session, String> {
    let mut headers = kubelet.place.headers();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(spdy::UPGRADE));
    for protocol in KUBELET_PROTOCOLS {
        headers.append(PROTOCOL_VERSION, HeaderValue::from_static(protocol));
    }
    let mut request = http::Request::new(http_body_util::Empty::<Bytes>::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = kubelet.uri.parse().map_err(|error| format!("{error}"))?;
    *request.headers_mut() = headers;
    let answer = kubelet.place.send(request).await.map_err(|error| error.to_string())?;
    let spoken = answer.headers().get(UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
    let upgraded = answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && upgrade::is_upgrade(answer.headers())
        && spoken.eq_ignore_ascii_case(spdy::UPGRADE.as_bytes());
    if !upgraded {
        let text = Limited::new(answer.into_body(), ERROR_BYTES_MAX).collect().await;
        let text = text.map(|text| text.to_bytes()).unwrap_or_default();
        return Err(refusal(&text));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(|error| error.to_string())?;
    let (session, _) =
        Session::client(TokioIo::new(upgraded), &kubelet.environment).map_err(|error| error.to_string())?;
    Ok(session)
}

/// A refusal may be a Status, whose message then says it all.
fn refusal(text: &[u8]) -> String {
    let status = codec::json::decode_any(text).ok();
    let message = status.as_ref().filter(|status| status.str_at(&["kind"]) == Some("Status"));
    match message.and_then(|status| status.str_at(&["message"])) {
        Some(message) => message.to_owned(),
        None => format!("unable to upgrade connection: {}", String::from_utf8_lossy(text).trim()),
    }
}

/// The Status a client is told at the end, as JSON.
fn status(ended: &Ended) -> Vec<u8> {
    let tree = match ended {
        Ok(words) if words.is_empty() => success(),
        Ok(words) => match codec::json::decode_any(words) {
            Ok(said) => of_kubelet(&said),
            Err(error) => {
                let shown = meta::field::quoted(&String::from_utf8_lossy(words));
                internal(format!("error stream protocol error: {error} in {shown}"))
            }
        },
        Err(message) => internal(message.clone()),
    };
    let mut out = Vec::new();
    codec::json::encode_any(&tree, &mut out);
    out
}

fn of_kubelet(said: &Value) -> Value {
    let causes = said.list_at(&["details", "causes"]);
    let code = causes.iter().find(|cause| cause.str_at(&["reason"]) == Some("ExitCode"));
    match (
        said.str_at(&["status"]),
        said.str_at(&["reason"]),
        code.and_then(|cause| cause.str_at(&["message"])),
    ) {
        (Some("Success"), ..) => success(),
        (_, Some("NonZeroExitCode"), Some(code)) => exit_code(code),
        _ => internal(said.str_at(&["message"]).unwrap_or_default().to_owned()),
    }
}

fn success() -> Value {
    Value::Map(Map::from([("metadata", Value::Map(Map::new())), ("status", Value::from("Success"))]))
}

fn exit_code(code: &str) -> Value {
    let cause = Map::from([("reason", "ExitCode"), ("message", code)]);
    let details = Map::from([("causes", Value::List(vec![Value::Map(cause)]))]);
    let message =
        format!("command terminated with non-zero exit code: command terminated with exit code {code}");
    Value::Map(Map::from([
        ("metadata", Value::Map(Map::new())),
        ("status", Value::from("Failure")),
        ("message", Value::from(message)),
        ("reason", Value::from("NonZeroExitCode")),
        ("details", Value::Map(details)),
    ]))
}

fn internal(message: String) -> Value {
    Status::of(&meta::ApiError::Internal(message)).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ended: Ended) -> serde_json::Value {
        serde_json::from_slice(&status(&ended)).expect("JSON")
    }

    #[test]
    fn silence_is_success() {
        let success = serde_json::json!({"metadata": {}, "status": "Success"});
        assert_eq!(told(Ok(Bytes::new())), success);
        assert_eq!(told(Ok(Bytes::from_static(br#"{"metadata":{},"status":"Success"}"#))), success);
    }

    #[test]
    fn exit_codes_are_told_in_the_originals_words() {
        let said = br#"{"metadata":{},"status":"Failure","message":"x","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#;
        let told = told(Ok(Bytes::from_static(said)));
        assert_eq!(told["details"]["causes"][0]["message"], "7");
        let message = "command terminated with non-zero exit code: command terminated with exit code 7";
        assert_eq!((&told["message"], &told["reason"]), (&message.into(), &"NonZeroExitCode".into()));
    }

    #[test]
    fn what_went_wrong_on_the_way_is_an_internal_error() {
        let refused = refusal(b"container not found (\"c\")\n");
        assert_eq!(refused, "unable to upgrade connection: container not found (\"c\")");
        let told = told(Err(refused));
        assert_eq!(told["code"], 500);
        assert_eq!(refusal(br#"{"kind":"Status","message":"no"}"#), "no");
    }
}
