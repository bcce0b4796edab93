//! A kubelet's streaming side for tests: HTTPS with a certificate of its own
//! making, logs, and commands that really run, on this machine. It speaks
//! SPDY, and WebSockets to whoever asks for them.
//!
//! It checks nobody and knows no pods: whatever is asked of it is done.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kubelet_client::spdy::{self, Session, Stream};
use rustls::ServerConfig;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

type Body = BoxBody<Bytes, Infallible>;

/// Bytes of one piece of output.
const PIECE_BYTES: usize = 32 * 1024;
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const CLOSE: u8 = 255;

/// A kubelet that listens until it is dropped.
pub struct Kubelet {
    address: SocketAddr,
    certificate_pem: String,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

struct Shared {
    /// What was asked: method, path and query, headers.
    seen: Mutex<Vec<Seen>>,
    /// Lines for whoever follows a log.
    lines: broadcast::Sender<Bytes>,
}

/// A request that reached the kubelet.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// Headers.
    pub headers: HeaderMap,
}

impl Kubelet {
    /// Listens on any free port of the loopback address.
    pub async fn start() -> anyhow::Result<Kubelet> {
        Kubelet::start_at(Ipv4Addr::LOCALHOST.into()).await
    }

    /// Listens on any free port of an address.
    pub async fn start_at(ip: std::net::IpAddr) -> anyhow::Result<Kubelet> {
        let key = rcgen::generate_simple_self_signed([ip.to_string(), "localhost".to_owned()])?;
        let private = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
        let tls =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(vec![key.cert.der().clone()], private.into())?;
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind((ip, 0)).await?;
        let shared = Arc::new(Shared { seen: Mutex::default(), lines: broadcast::channel(16).0 });
        let address = listener.local_addr()?;
        let listening = tokio::spawn(listen(listener, acceptor, shared.clone()));
        Ok(Kubelet { address, certificate_pem: key.cert.pem(), shared, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate, which is its own authority (PEM).
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// What reached it so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("nobody panics with it").clone()
    }

    /// Adds to the logs that are followed; tells how many are.
    pub fn log(&self, text: &'static str) -> usize {
        self.shared.lines.send(Bytes::from_static(text.as_bytes())).unwrap_or_default()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(answer(request, &shared).await) }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // Clients come and go as they like.
            let _ = connection.with_upgrades().await;
        });
    }
}

async fn answer(mut request: Request<Incoming>, shared: &Arc<Shared>) -> Response<Body> {
    let uri = request.uri().clone();
    let seen = Seen {
        method: request.method().to_string(),
        uri: uri.to_string(),
        headers: request.headers().clone(),
    };
    shared.seen.lock().expect("nobody panics with it").push(seen);
    let parts: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
    let query = pairs(uri.query().unwrap_or_default());
    match parts[..] {
        ["containerLogs", _, _, "broken"] => text(StatusCode::NOT_FOUND, "no such container\n"),
        ["containerLogs", namespace, pod, container] => {
            let first = format!("log of {namespace}/{pod}/{container}\n");
            if has(&query, "follow") { follow(first, shared) } else { text(StatusCode::OK, first) }
        }
        ["exec" | "attach", _, _, "broken"] => {
            text(StatusCode::NOT_FOUND, "container not found (\"broken\")\n")
        }
        ["exec" | "attach", ..] => run(&mut request, &query),
        ["portForward", ..] => {
            upgrade_spdy(&mut request, "portforward.k8s.io", |session, incoming| async move {
                forward(incoming).await;
                drop(session);
            })
        }
        _ => text(StatusCode::OK, format!("{} {uri}\n", request.method())),
    }
}

fn text(code: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text.into())).boxed());
    *response.status_mut() = code;
    response
}

fn follow(first: String, shared: &Arc<Shared>) -> Response<Body> {
    let lines = shared.lines.subscribe();
    let first = futures::stream::iter([Bytes::from(first)]);
    let further =
        futures::stream::unfold(lines, |mut lines| async { Some((lines.recv().await.ok()?, lines)) });
    Response::new(BodyExt::boxed(StreamBody::new(first.chain(further).map(|line| Ok(Frame::data(line))))))
}

/// The pairs of a query, decoded.
fn pairs(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let mut out = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let digit =
                |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).unwrap_or_default();
            out.push(match byte {
                b'+' => b' ',
                b'%' => u8::try_from(digit(bytes.next()) * 16 + digit(bytes.next())).unwrap_or_default(),
                byte => byte,
            });
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decoded(key), decoded(value))).collect()
}

fn has(query: &[(String, String)], key: &str) -> bool {
    query.iter().any(|(own, _)| own == key)
}

/// What is run: the command asked for, or what an attached container would do.
fn command(query: &[(String, String)]) -> Vec<String> {
    let words: Vec<String> =
        query.iter().filter(|(key, _)| key == "command").map(|(_, word)| word.clone()).collect();
    if words.is_empty() { vec!["cat".to_owned()] } else { words }
}

fn run(request: &mut Request<Incoming>, query: &[(String, String)]) -> Response<Body> {
    let words = command(query);
    let wanted: Vec<&'static str> =
        [("input", "stdin"), ("output", "stdout"), ("error", "stderr"), ("tty", "resize")]
            .into_iter()
            .filter(|(key, _)| has(query, key))
            .map(|(_, name)| name)
            .collect();
    if request.headers().get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
    {
        return upgrade_websocket(request, words);
    }
    upgrade_spdy(request, "v4.channel.k8s.io", |session, incoming| async move {
        if let Err(error) = over_spdy(incoming, words, wanted).await {
            eprintln!("kubelet: {error:#}");
        }
        drop(session);
    })
}

fn upgrade_spdy<F>(
    request: &mut Request<Incoming>,
    protocol: &'static str,
    serve: impl FnOnce(Session, spdy::Incoming) -> F + Send + 'static,
) -> Response<Body>
where
    F: Future<Output = ()> + Send,
{
    let mut offered = request.headers().get_all("x-stream-protocol-version").iter();
    if !offered.any(|offered| offered.as_bytes() == protocol.as_bytes()) {
        return text(StatusCode::FORBIDDEN, "unable to negotiate protocol");
    }
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let environment = environment::real::environment();
        let (session, incoming) =
            Session::server(TokioIo::new(upgraded), &environment).expect("there is memory for a dictionary");
        serve(session, incoming).await;
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, spdy::UPGRADE)
        .header("x-stream-protocol-version", protocol);
    response.body(Full::default().boxed()).expect("headers are valid")
}

/// A running command: what goes in, what comes out, and what it ends with.
struct Running {
    stdin: mpsc::Sender<Bytes>,
    out: mpsc::Receiver<(u8, Bytes)>,
    ended: JoinHandle<anyhow::Result<String>>,
}

fn start(words: &[String]) -> anyhow::Result<Running> {
    let (program, arguments) = words.split_first().context("nothing to run")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut input = child.stdin.take().context("no stdin")?;
    let (stdin, mut to_write) = mpsc::channel::<Bytes>(4);
    tokio::spawn(async move {
        while let Some(bytes) = to_write.recv().await {
            if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
                return;
            }
        }
    });
    let (sender, out) = mpsc::channel(4);
    let stdout = tokio::spawn(read(child.stdout.take().context("no stdout")?, STDOUT, sender.clone()));
    let stderr = tokio::spawn(read(child.stderr.take().context("no stderr")?, STDERR, sender));
    let ended = tokio::spawn(async move {
        let code = child.wait().await?.code().unwrap_or(137);
        stdout.await?;
        stderr.await?;
        Ok(status(code))
    });
    Ok(Running { stdin, out, ended })
}

async fn read(mut from: impl AsyncRead + Unpin, channel: u8, to: mpsc::Sender<(u8, Bytes)>) {
    let mut buffer = BytesMut::with_capacity(PIECE_BYTES);
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        if to.send((channel, buffer.split().freeze())).await.is_err() {
            return;
        }
        buffer.reserve(PIECE_BYTES);
    }
}

fn status(code: i32) -> String {
    if code == 0 {
        return r#"{"metadata":{},"status":"Success"}"#.to_owned();
    }
    format!(
        r#"{{"metadata":{{}},"status":"Failure","message":"command terminated with non-zero exit code: exit status {code}","reason":"NonZeroExitCode","details":{{"causes":[{{"reason":"ExitCode","message":"{code}"}}]}}}}"#
    )
}

async fn over_spdy(
    mut incoming: spdy::Incoming,
    words: Vec<String>,
    wanted: Vec<&str>,
) -> anyhow::Result<()> {
    let mut streams: Vec<(String, Stream)> = Vec::new();
    while streams.len()
        < wanted.len() + 1 - usize::from(wanted.contains(&"resize") && wanted.contains(&"stderr"))
    {
        let stream = incoming.next().await.context("the client went away")?;
        let name = stream.headers["streamtype"].to_str()?.to_owned();
        anyhow::ensure!(name == "error" || wanted.contains(&name.as_str()), "{name} was not announced");
        streams.push((name, stream));
    }
    let mut take = |name: &str| {
        let at = streams.iter().position(|(own, _)| own == name)?;
        Some(streams.swap_remove(at).1)
    };
    let error = take("error").context("no error stream")?;
    let (stdin, stdout, stderr, resize) = (take("stdin"), take("stdout"), take("stderr"), take("resize"));
    if let (Some(mut resize), Some(stdout)) = (resize, &stdout) {
        let size = resize.read().await.unwrap_or_default();
        stdout.write([b"size ", &size[..]].concat().into()).await?;
    }
    let mut running = match start(&words) {
        Ok(running) => running,
        Err(problem) => {
            error.write(format!(r#"{{"metadata":{{}},"status":"Failure","reason":"InternalError","message":"{problem}","code":500}}"#).into()).await?;
            return Ok(error.finish().await?);
        }
    };
    let input = running.stdin;
    let feeding = tokio::spawn(async move {
        let Some(mut stdin) = stdin else { return };
        while let Some(bytes) = stdin.read().await {
            if input.send(bytes).await.is_err() {
                return;
            }
        }
    });
    while let Some((channel, bytes)) = running.out.recv().await {
        match (channel, &stdout, &stderr) {
            (STDOUT, Some(stdout), _) => stdout.write(bytes).await?,
            (STDERR, _, Some(stderr)) => stderr.write(bytes).await?,
            _ => {}
        }
    }
    error.write(running.ended.await??.into()).await?;
    for stream in [Some(error), stdout, stderr].into_iter().flatten() {
        stream.finish().await?;
    }
    feeding.abort();
    // Until the client closes the connection, as a kubelet waits too.
    while incoming.next().await.is_some() {}
    Ok(())
}

fn upgrade_websocket(request: &mut Request<Incoming>, words: Vec<String>) -> Response<Body> {
    let header = |name| request.headers().get(name).cloned();
    let (Some(key), Some(protocol)) = (header(SEC_WEBSOCKET_KEY), header(SEC_WEBSOCKET_PROTOCOL)) else {
        return text(StatusCode::BAD_REQUEST, "no WebSocket");
    };
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(hash.finish());
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        if let Err(error) = over_websocket(socket, words).await {
            eprintln!("kubelet: {error:#}");
        }
    });
    let chosen =
        protocol.to_str().unwrap_or_default().split(',').next().unwrap_or_default().trim().to_owned();
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept)
        .header(SEC_WEBSOCKET_PROTOCOL, chosen);
    response.body(Full::default().boxed()).expect("headers are valid")
}

async fn over_websocket(
    socket: WebSocketStream<TokioIo<Upgraded>>,
    words: Vec<String>,
) -> anyhow::Result<()> {
    let (mut to_client, mut from_client) = socket.split();
    let mut running = start(&words)?;
    let mut input = Some(running.stdin);
    let feeding = tokio::spawn(async move {
        while let Some(Ok(message)) = from_client.next().await {
            let Message::Binary(bytes) = message else { continue };
            match (bytes.first(), &input) {
                (Some(&STDIN), Some(stdin)) => {
                    let _ = stdin.send(bytes.slice(1..)).await;
                }
                (Some(&CLOSE), _) => input = None,
                _ => {}
            }
        }
    });
    while let Some((channel, bytes)) = running.out.recv().await {
        to_client.send(Message::Binary([&[channel], &bytes[..]].concat().into())).await?;
    }
    let status = running.ended.await??;
    to_client.send(Message::Binary([&[ERROR], status.as_bytes()].concat().into())).await?;
    to_client.send(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))).await?;
    feeding.abort();
    Ok(())
}

/// Port forwarding: streams come in pairs of `error` and `data`, each pair a connection.
async fn forward(mut incoming: spdy::Incoming) {
    let mut errors = Vec::new();
    while let Some(stream) = incoming.next().await {
        if stream.headers["streamtype"] == "error" {
            errors.push(stream);
            continue;
        }
        tokio::spawn(async move {
            let Some(port) = stream.headers["port"].to_str().ok().and_then(|port| port.parse::<u16>().ok())
            else {
                return;
            };
            let Ok(mut socket) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
            let (mut from_port, mut to_port) = socket.split();
            let (sender, mut data) = stream.split();
            let inward = async {
                while let Some(bytes) = data.recv().await {
                    if to_port.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                let _ = to_port.shutdown().await;
            };
            let outward = async {
                let mut buffer = BytesMut::with_capacity(PIECE_BYTES);
                while from_port.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                    if sender.write(buffer.split().freeze()).await.is_err() {
                        return;
                    }
                    buffer.reserve(PIECE_BYTES);
                }
                let _ = sender.finish().await;
            };
            tokio::join!(inward, outward);
        });
    }
}
