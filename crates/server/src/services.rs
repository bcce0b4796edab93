//! What the server works with: everything a request may need, made by whoever
//! wires the parts together, shared by all connections.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use environment::Environment;
use kubelet_client::Kubelets;
use registry::{Admission, Authorizer, Served};
use tokio::sync::watch;

use crate::documents::OpenApi;
use crate::health::HealthCheck;
use crate::metrics::Metrics;
use crate::token_discovery::TokenDiscovery;

/// Everything a request may need.
pub struct ApiServices {
    /// The resources served; exchanged whole when custom resources come and go.
    pub served: ArcSwap<Served>,
    /// Who asks.
    pub authenticator: Arc<auth::Union>,
    /// What they may do.
    pub authorizer: Arc<dyn Authorizer>,
    /// Admission, mutating then validating.
    pub admission: Arc<dyn Admission>,
    /// Ways to kubelets and pods.
    pub kubelets: Kubelets,
    /// Clock and randomness.
    pub environment: Environment,
    /// Bounds and times of requests.
    pub limits: RequestLimits,
    /// True once the server is to stop: watches end at once.
    pub stopping: watch::Receiver<bool>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// OpenAPI documents, made when asked for.
    pub openapi: OpenApi,
    /// How others verify tokens of service accounts.
    pub token_discovery: TokenDiscovery,
    /// What `/healthz`, `/livez` and `/readyz` ask.
    pub health_checks: Vec<HealthCheck>,
    /// What admins may take away.
    pub downloads: Vec<Download>,
}

/// Bytes that are made while they are sent. Only members of `system:masters`
/// get them, whatever else the authorizer allows: there are secrets in them.
pub struct Download {
    /// Path below which nothing else is served.
    pub path: &'static str,
    /// Begins; the text of an error goes to the client.
    pub open: OpenDownload,
}

/// Makes the pieces of one download.
pub type OpenDownload = Arc<dyn Fn() -> Result<Box<dyn Iterator<Item = Bytes> + Send>, String> + Send + Sync>;

/// Bounds and times of requests.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    /// Longest a request that is no watch or stream may take (`--request-timeout`). Beyond it: 504.
    pub request_timeout: Duration,
    /// Longest a single write may take, if the request timeout is not shorter. Beyond it: 504.
    pub mutation_timeout: Duration,
    /// Shortest life of a watch that names none (`--min-request-timeout`); it lives up to twice as long.
    pub min_request_timeout: Duration,
    /// Longest body of a write, in bytes. Beyond it: 413.
    pub body_bytes_max: usize,
    /// Longest wait for the next piece of a body. Beyond it: 504, and the connection is closed.
    pub body_read_timeout: Duration,
}

impl Default for RequestLimits {
    fn default() -> RequestLimits {
        RequestLimits {
            request_timeout: Duration::from_secs(60),
            mutation_timeout: Duration::from_secs(34),
            min_request_timeout: Duration::from_secs(1800),
            body_bytes_max: 3 * 1024 * 1024,
            body_read_timeout: Duration::from_secs(30),
        }
    }
}
