//! A plain HTTPS client for tests: one request on a connection of its own,
//! a whole answer. What goes over the wire is what the test says, valid or
//! not; it knows no Kubernetes types.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server and who asks it.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: TlsConnector,
    authorization: Option<String>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// A connection that is kept for several requests, one after the other.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    authorization: Option<String>,
}

/// An open watch: JSON documents, a line each.
pub struct Watch {
    body: Incoming,
    read: BytesMut,
}

impl Client {
    /// A client that shows nothing. `authority_pem` holds the certificates it trusts.
    pub fn new(address: SocketAddr, authority_pem: &str) -> anyhow::Result<Client> {
        let config = config(authority_pem)?.with_no_client_auth();
        Ok(Client { address, tls: TlsConnector::from(Arc::new(config)), authorization: None })
    }

    /// The current user of a kubeconfig as the server writes it: one cluster, one client certificate, all inline.
    pub fn from_kubeconfig(path: &Path) -> anyhow::Result<Client> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let address = field(&text, "server")?.trim_start_matches("https://").parse()?;
        let pem = |name| -> anyhow::Result<Vec<u8>> { Ok(STANDARD.decode(field(&text, name)?)?) };
        let authority = String::from_utf8(pem("certificate-authority-data")?)?;
        let certificate = CertificateDer::from_pem_slice(&pem("client-certificate-data")?)?;
        let key = PrivateKeyDer::from_pem_slice(&pem("client-key-data")?)?;
        let config = config(&authority)?.with_client_auth_cert(vec![certificate], key)?;
        Ok(Client { address, tls: TlsConnector::from(Arc::new(config)), authorization: None })
    }

    /// The same with a bearer token in every request that names no authorization of its own.
    pub fn with_token(mut self, token: &str) -> Client {
        self.authorization = Some(format!("Bearer {token}"));
        self
    }

    /// Gets JSON.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, "", "").await
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, "application/json", body).await
    }

    /// Sends a body of a media type (no header if that is empty).
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        self.request(request(method, path, content_type, body.into())?).await
    }

    /// Sends a request with headers of its own and reads the whole answer.
    pub async fn request(&self, request: Request<Bytes>) -> anyhow::Result<Answer> {
        self.connect().await?.request(request).await
    }

    /// Opens a connection for several requests.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let (sender, connection) = handshake(TokioIo::new(self.stream().await?)).await?;
        tokio::spawn(connection);
        Ok(Connection { sender, host: self.address.to_string(), authorization: self.authorization.clone() })
    }

    /// Opens a watch, which answers 200 or the call fails.
    pub async fn watch(&self, path: &str) -> anyhow::Result<Watch> {
        let response = self.connect().await?.open(request(Method::GET, path, "", Bytes::new())?).await?;
        if !response.status().is_success() {
            let answer = Answer::read(response).await?;
            anyhow::bail!("the watch was answered {}: {}", answer.status, answer.text());
        }
        Ok(Watch { body: response.into_body(), read: BytesMut::new() })
    }

    /// Opens a TLS connection and leaves what is said on it to the caller.
    pub async fn stream(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(self.tls.connect(ServerName::IpAddress(self.address.ip().into()), stream).await?)
    }
}

impl Connection {
    /// Sends a request and reads the whole answer.
    pub async fn request(&mut self, request: Request<Bytes>) -> anyhow::Result<Answer> {
        Answer::read(self.open(request).await?).await
    }

    /// Posts JSON.
    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> anyhow::Result<Answer> {
        self.request(request(Method::POST, path, "application/json", body.into())?).await
    }

    async fn open(&mut self, mut request: Request<Bytes>) -> anyhow::Result<Response<Incoming>> {
        self.sender.ready().await?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(&self.host)?);
        if let (Some(authorization), false) = (&self.authorization, headers.contains_key(AUTHORIZATION)) {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization)?);
        }
        Ok(self.sender.send_request(request.map(Full::new)).await?)
    }
}

impl Answer {
    async fn read(response: Response<Incoming>) -> anyhow::Result<Answer> {
        let (head, body) = response.into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text, for messages of failing tests.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reason of a `Status`; empty if there is none.
    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Message of a `Status`; empty if there is none.
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl Watch {
    /// The next event; none if the watch has ended.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end + 1);
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// A request for JSON.
fn request(method: Method, path: &str, content_type: &str, body: Bytes) -> anyhow::Result<Request<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header(ACCEPT, "application/json");
    if !content_type.is_empty() {
        request = request.header(CONTENT_TYPE, content_type);
    }
    Ok(request.body(body)?)
}

type WantsClientCertificate = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn config(authority_pem: &str) -> anyhow::Result<WantsClientCertificate> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority_pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots))
}

/// Value of the only line `name: value` of a YAML text.
fn field<'a>(text: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let value = |line: &'a str| line.trim().strip_prefix(name)?.strip_prefix(": ");
    text.lines().find_map(value).with_context(|| format!("the kubeconfig has no {name}"))
}
