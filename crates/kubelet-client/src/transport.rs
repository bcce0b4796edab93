//! One HTTP/1.1 request over a connection of its own. Connections are not
//! kept: what goes over them are streams that live long, and an upgraded
//! connection is nobody else's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use environment::Environment;
use futures::future::{Either, select};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::dial::{DialError, dial};

/// How to speak to whoever is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// As in a URL.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port of URLs that name none.
    pub const fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// Why there is no response. The texts are Go's.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No TLS over it.
    #[error("{0}")]
    Tls(String),
    /// No HTTP over that.
    #[error("{0}")]
    Http(String),
}

/// Opens connections and sends requests. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    environment: Environment,
    tls: TlsConnector,
    timeout: Duration,
}

/// A connected byte stream, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Transport {
    /// A transport that waits `timeout` for a connection and again for its handshake.
    pub fn new(environment: Environment, tls: Arc<ClientConfig>, timeout: Duration) -> Transport {
        Transport { environment, tls: TlsConnector::from(tls), timeout }
    }

    /// Sends a request with path and query as its URI, and waits for the head
    /// of the response as long as it takes. The connection lives as long as
    /// the response's body or what it is upgraded to.
    pub async fn send<B>(
        &self,
        scheme: Scheme,
        host: &str,
        port: u16,
        request: Request<B>,
    ) -> Result<Response<Incoming>, SendError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = self.connect(scheme, host, port).await?;
        let (mut sender, connection) =
            http1::handshake::<_, B>(TokioIo::new(stream)).await.map_err(http_error)?;
        let connection = connection.with_upgrades();
        self.environment.tasks.spawn(
            "connection to a kubelet or pod",
            Box::pin(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection ended with an error");
                }
            }),
        );
        sender.send_request(request).await.map_err(http_error)
    }

    async fn connect(&self, scheme: Scheme, host: &str, port: u16) -> Result<Box<dyn Stream>, SendError> {
        let stream = dial(&self.environment, host, port, self.timeout).await?;
        if scheme == Scheme::Http {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| SendError::Tls(format!("tls: {host:?} is no name of a server")))?;
        let handshake = std::pin::pin!(self.tls.connect(name, stream));
        match select(handshake, self.environment.clock.sleep(self.timeout)).await {
            Either::Left((Ok(stream), _)) => Ok(Box::new(stream)),
            Either::Left((Err(error), _)) => Err(SendError::Tls(tls_text(&error))),
            Either::Right(_) => Err(SendError::Tls("net/http: TLS handshake timeout".to_owned())),
        }
    }
}

fn http_error(error: hyper::Error) -> SendError {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return SendError::Http("EOF".to_owned());
    }
    SendError::Http(error.to_string())
}

fn tls_text(error: &std::io::Error) -> String {
    use rustls::{CertificateError, Error};
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned()
        }
        Some(Error::InvalidCertificate(problem)) => {
            format!("tls: failed to verify certificate: x509: {problem}")
        }
        Some(Error::InvalidMessage(_)) => "http: server gave HTTP response to HTTPS client".to_owned(),
        Some(other) => format!("tls: {other}"),
        None => error.to_string(),
    }
}
