//! One HTTP/1.1 connection per worker: what a request costs is not hidden
//! behind a pool, and a slow answer delays its own worker only.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// JSON.
pub const JSON: &str = "application/json";
/// Protobuf.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// What kubectl asks for.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// A merge patch.
pub const MERGE_PATCH: &str = "application/merge-patch+json";

/// The server under load and how to reach it.
pub struct Target {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    authorization: Option<String>,
}

/// An open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    target: Arc<Target>,
}

impl Target {
    /// Reads the address and prepares TLS.
    pub fn new(url: &str, token: Option<String>, authority: Option<&Path>) -> anyhow::Result<Target> {
        let uri: http::Uri = url.parse().with_context(|| format!("--server: {url:?} is no URL"))?;
        let host = uri.host().with_context(|| format!("--server: {url:?} names no host"))?.to_owned();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = if secure { Some(connector(authority)?) } else { None };
        Ok(Target { host, port, tls, authorization: token.map(|token| format!("Bearer {token}")) })
    }

    /// True if connections are encrypted.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Opens a connection.
    pub async fn connect(self: &Arc<Target>) -> anyhow::Result<Connection> {
        self.connect_over(TcpStream::connect((self.host.as_str(), self.port)).await?).await
    }

    /// Opens a connection whose kernel takes no more than a few KB that nobody reads.
    pub async fn connect_narrow(self: &Arc<Target>) -> anyhow::Result<Connection> {
        let address = lookup_host((self.host.as_str(), self.port)).await?.next().context("no address")?;
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_recv_buffer_size(4096)?;
        self.connect_over(socket.connect(address).await?).await
    }

    async fn connect_over(self: &Arc<Target>, stream: TcpStream) -> anyhow::Result<Connection> {
        stream.set_nodelay(true)?;
        let sender = match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone())?;
                start(TokioIo::new(tls.connect(name, stream).await?)).await?
            }
            None => start(TokioIo::new(stream)).await?,
        };
        Ok(Connection { sender, target: self.clone() })
    }
}

async fn start<I>(io: I) -> anyhow::Result<SendRequest<Full<Bytes>>>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(io).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// TLS towards servers of that authority, or of any.
pub fn connector(authority: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let config = match authority {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path)
                .with_context(|| format!("cannot read {}", path.display()))?
            {
                roots.add(certificate?)?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => {
            let anything = Arc::new(AnyCertificate(provider));
            builder.dangerous().with_custom_certificate_verifier(anything).with_no_client_auth()
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Connection {
    /// Sends a request and returns the head of the answer; the body is still to be read.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        accept: &str,
        content_type: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        self.sender.ready().await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.target.host)
            .header(ACCEPT, accept)
            .header(CONTENT_TYPE, content_type);
        if let Some(authorization) = &self.target.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        Ok(self.sender.send_request(request.body(Full::new(body))?).await?)
    }

    /// Sends a request and reads the whole answer, which must be a success;
    /// returns its size in bytes.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        accept: &str,
        body: Bytes,
    ) -> anyhow::Result<usize> {
        self.exchange(method, path, accept, JSON, body).await
    }

    /// The resourceVersion of a list.
    pub async fn revision(&mut self, path: &str) -> anyhow::Result<String> {
        let body =
            self.send(Method::GET, path, JSON, JSON, Bytes::new()).await?.into_body().collect().await?;
        let list: serde_json::Value = serde_json::from_slice(&body.to_bytes())?;
        let revision = list["metadata"]["resourceVersion"].as_str();
        Ok(revision.with_context(|| format!("{path} has no resourceVersion"))?.to_owned())
    }

    /// As [`Connection::call`], with a body of this type.
    pub async fn call_as(
        &mut self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> anyhow::Result<usize> {
        self.exchange(method, path, JSON, content_type, body).await
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        accept: &str,
        content_type: &str,
        body: Bytes,
    ) -> anyhow::Result<usize> {
        let shown = format!("{method} {path}");
        let response = self.send(method, path, accept, content_type, body).await?;
        let status = response.status();
        let mut body = response.into_body();
        let (mut size, mut start) = (0, Vec::new());
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame?.data_ref() {
                size += data.len();
                if !status.is_success() {
                    start.extend_from_slice(data);
                }
            }
        }
        if !status.is_success() && status != StatusCode::CONFLICT {
            bail!("{shown} answered {status}: {}", String::from_utf8_lossy(&start));
        }
        Ok(size)
    }
}

/// Takes any certificate: for servers whose authority is not at hand.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
