//! The endpoints of one etcd cluster: which one is asked, when the next one
//! is tried, and what may be repeated.
//!
//! One endpoint is used until it fails, then the next one in the order given;
//! each server starts at a random one, so that many servers spread over the
//! cluster. Connections are made when they are first needed and made again
//! when they break. Knows nothing of what the requests mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use environment::Environment;
use futures::future::{Either, select};
use http::uri::PathAndQuery;
use parking_lot::{Mutex, RwLock};
use prost::Message;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::failure::{is_passing, is_unsent};
use crate::wire;

/// Bytes of the largest request sent; more is refused before it is sent.
/// etcd's own limit is lower by default (1.5 MiB) and can be raised to about this.
pub(crate) const REQUEST_BYTES_MAX: usize = 2 << 20;

/// Times each endpoint is tried before a repeatable call fails.
const TURNS_MAX: usize = 2;

/// Pause before all endpoints are tried again.
const TURN_PAUSE: Duration = Duration::from_millis(25);

/// Time in which a member has to tell its status.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes in flight to this side, of one stream and of one connection. Large
/// lists would otherwise wait for one round trip per 64 KiB.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Between two looks for renewed certificates.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// Where etcd is and how to talk to it.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// URLs of the members of one cluster: `https://host:2379` or `http://host:2379`. Without a
    /// scheme it is `https` if there is [`EtcdOptions::tls`], else `http`.
    pub endpoints: Vec<String>,
    /// Certificates for `https` endpoints.
    pub tls: Option<EtcdTls>,
    /// Where certificates come from that have been renewed since; none keeps those of [`EtcdOptions::tls`].
    pub tls_renewal: Option<TlsRenewal>,
    /// Time after which an endpoint that does not take a connection counts as down.
    pub connect_timeout: Duration,
    /// Silence on a connection after which the other side is asked whether it is still there.
    pub keepalive_interval: Duration,
    /// Time after which a connection counts as broken if that question is not answered.
    pub keepalive_timeout: Duration,
}

impl Default for EtcdOptions {
    /// No endpoints, no TLS, a connection in 5 s, keepalive after 30 s and 10 s.
    fn default() -> EtcdOptions {
        EtcdOptions {
            endpoints: Vec::new(),
            tls: None,
            tls_renewal: None,
            connect_timeout: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
        }
    }
}

/// Reads the certificates as they are now; an error keeps those in use. Asked after a connection has failed, at
/// most once a second, and not while all is well: what expires meanwhile only matters to the next connection.
#[derive(Clone)]
pub struct TlsRenewal(pub Arc<dyn Fn() -> Result<EtcdTls, String> + Send + Sync>);

impl std::fmt::Debug for TlsRenewal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsRenewal").finish_non_exhaustive()
    }
}

/// Certificates, PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EtcdTls {
    /// Authorities that may sign etcd's certificates; none means those of the operating system.
    pub authorities: Option<String>,
    /// Certificate chain and private key this server shows.
    pub identity: Option<(String, String)>,
}

impl std::fmt::Debug for EtcdTls {
    // The key is nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdTls").finish_non_exhaustive()
    }
}

/// Why a backend cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The list of endpoints is empty.
    #[error("no etcd endpoints were given")]
    NoEndpoints,
    /// Not a URL of the scheme http or https.
    #[error("etcd endpoint {endpoint:?} is not a URL like https://host:2379: {reason}")]
    BadEndpoint {
        /// As given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificates cannot be used.
    #[error("the TLS certificates for etcd cannot be used: {0}")]
    BadTls(String),
}

/// Whether a call may be sent a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Twice is as good as once: reads.
    Freely,
    /// Only if the first has certainly not been executed: writes.
    IfUnsent,
}

/// One member, or whatever stands behind its URL.
pub(crate) struct Member {
    pub(crate) url: String,
    /// Exchanged when there are other certificates; calls on their way keep the one they have.
    channel: RwLock<Channel>,
}

/// The endpoints, one of which is current.
pub(crate) struct Cluster {
    members: Vec<Member>,
    current: AtomicUsize,
    environment: Environment,
    renewal: Option<Renewal>,
}

/// Certificates that may be renewed.
struct Renewal {
    source: TlsRenewal,
    state: Mutex<Renewed>,
}

struct Renewed {
    /// With the certificates in use.
    options: EtcdOptions,
    /// Before this, on the monotonic clock, nobody asks again.
    ask_after: Duration,
}

impl Cluster {
    /// Needs a tokio runtime around it; connects to nobody yet.
    pub(crate) fn new(environment: Environment, options: &EtcdOptions) -> Result<Cluster, OpenError> {
        let members: Vec<Member> =
            options.endpoints.iter().map(|url| member(url, options)).collect::<Result<_, _>>()?;
        if members.is_empty() {
            return Err(OpenError::NoEndpoints);
        }
        let first = environment.random.below(members.len() as u64) as usize;
        let renewal = options.tls_renewal.clone().map(|source| {
            let state = Renewed { options: options.clone(), ask_after: Duration::ZERO };
            Renewal { source, state: Mutex::new(state) }
        });
        Ok(Cluster { members, current: AtomicUsize::new(first), environment, renewal })
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Calls the current endpoint, and the others if it fails.
    pub(crate) async fn call<Q, A>(
        &self,
        method: &'static str,
        request: Q,
        repeat: Repeat,
    ) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        self.on_some_member(repeat, |member| member.unary(method, request.clone(), true)).await
    }

    /// Opens a stream of answers on the first endpoint that takes it, whose first answer comes with it.
    pub(crate) async fn stream<Q, A>(
        &self,
        method: &'static str,
        open: impl Fn() -> futures::stream::BoxStream<'static, Q>,
        patience: Duration,
    ) -> Result<(Streaming<A>, A), Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.on_some_member(Repeat::Freely, |member| {
            let opening = member.stream(method, open());
            let timer = self.environment.clock.sleep(patience);
            async move {
                match select(std::pin::pin!(opening), timer).await {
                    Either::Left((opened, _)) => opened,
                    Either::Right(_) => Err(Status::unavailable("the stream was not opened in time")),
                }
            }
        })
        .await
    }

    /// Version and size, as this very member tells them.
    pub(crate) async fn status_of(&self, member: &Member) -> Result<wire::StatusResponse, Status> {
        let asking = member.unary(wire::STATUS, wire::StatusRequest {}, false);
        match select(std::pin::pin!(asking), self.environment.clock.sleep(STATUS_PATIENCE)).await {
            Either::Left((status, _)) => status,
            Either::Right(_) => Err(Status::unavailable("the member did not tell its status in time")),
        }
    }

    async fn on_some_member<'a, A, F>(
        &'a self,
        repeat: Repeat,
        call: impl Fn(&'a Member) -> F,
    ) -> Result<A, Status>
    where
        F: Future<Output = Result<A, Status>>,
    {
        let attempts_max = self.members.len() * TURNS_MAX;
        let mut attempt = 1;
        loop {
            let index = self.current.load(Ordering::Relaxed);
            let status = match call(&self.members[index]).await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            if !is_passing(&status) {
                return Err(status);
            }
            self.give_up(index, &status);
            self.renew_certificates();
            if attempt == attempts_max || (repeat == Repeat::IfUnsent && !is_unsent(&status)) {
                return Err(status);
            }
            if attempt.is_multiple_of(self.members.len()) {
                self.environment.clock.sleep(TURN_PAUSE).await;
            }
            attempt += 1;
        }
    }

    /// Makes the next endpoint the current one, unless somebody else has done so already.
    fn give_up(&self, index: usize, status: &Status) {
        let next = (index + 1) % self.members.len();
        let moved = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_ok() && next != index {
            let (from, to) = (&self.members[index].url, &self.members[next].url);
            tracing::info!(from, to, reason = status.message(), "etcd endpoint failed, using another");
        }
    }
}

impl Cluster {
    /// Takes certificates into use that are not those the connections were made with.
    fn renew_certificates(&self) {
        let Some(renewal) = &self.renewal else { return };
        let now = self.environment.clock.monotonic();
        // Whoever comes while another looks has nothing to add.
        let Some(mut state) = renewal.state.try_lock() else { return };
        if now < state.ask_after {
            return;
        }
        state.ask_after = now + RENEWAL_PAUSE;
        let tls = match (renewal.source.0)() {
            Ok(tls) if state.options.tls.as_ref() == Some(&tls) => return,
            Ok(tls) => tls,
            Err(error) => {
                tracing::warn!(error, "the certificates for etcd cannot be read, keeping the old ones");
                return;
            }
        };
        let options = EtcdOptions { tls: Some(tls), ..state.options.clone() };
        let renewed: Result<Vec<Member>, OpenError> =
            self.members.iter().map(|old| member(&old.url, &options)).collect();
        match renewed {
            Ok(renewed) => {
                for (old, new) in self.members.iter().zip(renewed) {
                    *old.channel.write() = new.channel.into_inner();
                }
                state.options = options;
                tracing::info!("renewed certificates for etcd are in use");
            }
            Err(error) => {
                tracing::warn!(%error, "the renewed certificates for etcd cannot be used, keeping the old ones");
            }
        }
    }
}

impl Member {
    /// One call to this very member. With `leader`, a member that knows no
    /// leader refuses at once instead of letting the caller wait.
    async fn unary<Q, A>(&self, method: &'static str, request: Q, leader: bool) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.ready().await?;
        let request = with_leader(Request::new(request), leader);
        let answer: Response<A> =
            grpc.unary(request, PathAndQuery::from_static(method), ProstCodec::default()).await?;
        Ok(answer.into_inner())
    }

    async fn stream<Q, A>(
        &self,
        method: &'static str,
        requests: futures::stream::BoxStream<'static, Q>,
    ) -> Result<(Streaming<A>, A), Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.ready().await?;
        let request = with_leader(Request::new(requests), true);
        let answer: Response<Streaming<A>> =
            grpc.streaming(request, PathAndQuery::from_static(method), ProstCodec::default()).await?;
        let mut answers = answer.into_inner();
        match answers.message().await? {
            Some(first) => Ok((answers, first)),
            None => Err(Status::unavailable("the stream ended before its first answer")),
        }
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.read().clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc)
    }
}

fn with_leader<T>(mut request: Request<T>, leader: bool) -> Request<T> {
    if leader {
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
    }
    request
}

fn member(url: &str, options: &EtcdOptions) -> Result<Member, OpenError> {
    let bad = |reason: String| OpenError::BadEndpoint { endpoint: url.to_owned(), reason };
    let full = match (url.contains("://"), &options.tls) {
        (true, _) => url.to_owned(),
        (false, Some(_)) => format!("https://{url}"),
        (false, None) => format!("http://{url}"),
    };
    let uri: Uri = full.parse().map_err(|error: http::uri::InvalidUri| bad(error.to_string()))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(bad("the scheme must be http or https".into()));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(bad("there is no host".into()));
    }
    let secure = uri.scheme_str() == Some("https");
    let mut endpoint = Endpoint::from_shared(Bytes::from(full.clone()))
        .map_err(|error| bad(error.to_string()))?
        .connect_timeout(options.connect_timeout)
        .http2_keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .tcp_nodelay(true);
    if secure {
        let tls = tls(options.tls.as_ref().unwrap_or(&EtcdTls::default()));
        endpoint = endpoint.tls_config(tls).map_err(|error| {
            OpenError::BadTls(
                std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string),
            )
        })?;
    }
    Ok(Member { url: full, channel: RwLock::new(endpoint.connect_lazy()) })
}

fn tls(tls: &EtcdTls) -> ClientTlsConfig {
    let config = match &tls.authorities {
        Some(authorities) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match &tls.identity {
        Some((certificates, key)) => config.identity(Identity::from_pem(certificates, key)),
        None => config,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(endpoints: &[&str], tls: Option<EtcdTls>) -> Result<Vec<String>, OpenError> {
        let endpoints = endpoints.iter().map(|&url| url.to_owned()).collect();
        let options = EtcdOptions { endpoints, tls, ..EtcdOptions::default() };
        let cluster = Cluster::new(environment::real::environment(), &options)?;
        Ok(cluster.members().iter().map(|member| member.url.clone()).collect())
    }

    #[tokio::test]
    async fn an_endpoint_without_a_scheme_gets_the_one_that_fits() {
        assert_eq!(open(&["a:2379", "http://b:1"], None).unwrap(), ["http://a:2379", "http://b:1"]);
        assert_eq!(open(&["a:2379"], Some(EtcdTls::default())).unwrap(), ["https://a:2379"]);
    }

    #[tokio::test]
    async fn what_is_no_endpoint_is_refused() {
        assert!(matches!(open(&[], None), Err(OpenError::NoEndpoints)));
        for url in ["ftp://a:1", "http://", "http://a b", ""] {
            assert!(matches!(open(&[url], None), Err(OpenError::BadEndpoint { .. })), "{url:?}");
        }
    }

    #[tokio::test]
    async fn bad_certificates_are_refused_at_once() {
        let identity = Some(("no certificate".to_owned(), "no key".to_owned()));
        let tls = EtcdTls { identity, ..EtcdTls::default() };
        assert!(matches!(open(&["https://a:2379"], Some(tls)), Err(OpenError::BadTls(_))));
    }
}
