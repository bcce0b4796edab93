//! Connections: accepted, wrapped in TLS, served until they end or the server
//! stops. Every bound of a connection is named here; what is inside a request
//! is the business of `filters`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::dormant::Dormant;
use crate::filters::{Connection, handle};
use crate::services::ApiServices;

/// Bounds of connections.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Connections open at once. Beyond it new ones wait to be accepted.
    pub connections_max: usize,
    /// Longest TLS handshake. Beyond it the connection is closed.
    pub handshake_timeout: Duration,
    /// Longest time for the head of an HTTP/1.1 request. Beyond it the connection is closed.
    pub header_read_timeout: Duration,
    /// Longest head of a request, in bytes. Beyond it: 431.
    pub header_bytes_max: u32,
    /// Requests at once on one HTTP/2 connection. More wait at the client.
    pub streams_max: u32,
    /// How long requests may still take after the server was told to stop. Beyond it they are cut.
    pub stop_grace: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            connections_max: 65_536,
            handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(32),
            header_bytes_max: 1024 * 1024,
            streams_max: 250,
            stop_grace: Duration::from_secs(10),
        }
    }
}

/// Tells a server to stop; [`ApiServices::stopping`] and [`Server::serve`] listen to the same.
pub struct Stopper(watch::Sender<bool>);

/// A stopper and what listens to it.
pub fn stopper() -> (Stopper, watch::Receiver<bool>) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), receiver)
}

impl Stopper {
    /// Watches end, no new connections are accepted, open requests finish.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Serves HTTP over sockets.
pub struct Server {
    services: Arc<ApiServices>,
    limits: ConnectionLimits,
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// A server. With `tls`, every connection begins with a handshake; ALPN
    /// must offer `h2` and `http/1.1` for both to be spoken.
    pub fn new(
        services: Arc<ApiServices>,
        limits: ConnectionLimits,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Server {
        Server { services, limits, tls: tls.map(TlsAcceptor::from) }
    }

    /// Accepts connections until the server is told to stop, then waits for
    /// open requests as long as the grace allows. Must run on tokio.
    pub async fn serve(self: Arc<Server>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(self.limits.connections_max));
        let mut stopping = self.services.stopping.clone();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stopping) => break,
                accepted = accept(&listener, &places) => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            match accepted {
                Ok((stream, peer, place)) => {
                    connections.spawn(self.clone().serve_connection(stream, peer, place));
                }
                Err(error) => {
                    // Out of descriptors, most likely: others must end first.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.limits.stop_grace, all).await.is_err() {
            tracing::warn!("requests still open after the grace are cut");
        }
    }

    async fn serve_connection(
        self: Arc<Server>,
        stream: TcpStream,
        peer: SocketAddr,
        _place: OwnedSemaphorePermit,
    ) {
        // Answers are written whole; waiting for more to send only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "no TCP_NODELAY");
        }
        let Some(acceptor) = &self.tls else {
            let connection = Connection { peer: Some(peer), ..Connection::default() };
            return self.serve_http(stream, connection, peer).await;
        };
        match tokio::time::timeout(self.limits.handshake_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let connection = Connection {
                    peer_certificates: certificates.iter().map(|der| der.clone().into_owned()).collect(),
                    peer: Some(peer),
                };
                self.serve_http(stream, connection, peer).await;
            }
            Ok(Err(error)) => tracing::info!(%error, %peer, "TLS handshake failed"),
            Err(_) => tracing::info!(%peer, "TLS handshake took too long"),
        }
    }

    async fn serve_http<S>(&self, stream: S, connection: Connection, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let services = self.services.clone();
        let connection = Arc::new(connection);
        let service = service_fn(move |request: Request<Incoming>| {
            let (services, connection) = (services.clone(), connection.clone());
            async move {
                let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
                Ok::<_, Infallible>(handle(services, connection, request).await)
            }
        });
        let builder = self.builder();
        let mut served =
            std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let mut stopping = self.services.stopping.clone();
        let mut stop = Dormant::new(async move { stopped(&mut stopping).await });
        let result = tokio::select! {
            biased;
            result = served.as_mut() => result,
            () = &mut stop => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, %peer, "connection ended with an error");
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let limits = &self.limits;
        let header_bytes_max = usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_timeout)
            .max_buf_size(header_bytes_max);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(limits.header_bytes_max)
            .adaptive_window(false);
        builder
    }
}

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A place first, then a connection: what is not accepted waits in the kernel.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// Waits until the server is told to stop. A stopper that is gone never stops it.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
