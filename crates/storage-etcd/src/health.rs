//! Whether the store behind a server answers (E-HLT-2), for `/healthz/etcd`,
//! `/livez/etcd`, `/readyz/etcd` and `/readyz/etcd-readiness`.
//!
//! Knows nothing of HTTP. A probe is a linearizable read of one key. Probes are
//! limited to one per half timeout however many ask; the others get the
//! result of the last one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use environment::Environment;
use futures::future::{Either, select};
use parking_lot::Mutex;
use storage::backend::{Backend, BackendError, RangeRequest};

/// Why the store counts as not healthy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    /// No probe has come to an end yet.
    #[error("etcd client connection not yet established")]
    NotConnected,
    /// No answer within the timeout.
    #[error("error getting data from etcd: context deadline exceeded")]
    Timeout,
    /// The answer was an error.
    #[error("error getting data from etcd: {0}")]
    Failed(BackendError),
    /// [`HealthProbe::stop`] was called.
    #[error("shutting down")]
    ShuttingDown,
}

/// One named check of one backend. Checks with different timeouts (health and readiness) are two of these.
pub struct HealthProbe {
    backend: Arc<dyn Backend>,
    environment: Environment,
    key: Bytes,
    timeout: Duration,
    state: Mutex<State>,
}

struct State {
    /// When the latest probe began.
    started: Option<Duration>,
    /// When the probe began whose result is kept.
    kept_from: Duration,
    kept: Result<(), HealthError>,
    stopped: bool,
}

impl HealthProbe {
    /// Probes `backend` by reading `<path_prefix>/health` (`/registry/health`)
    /// within `timeout`, 2 s by default of `--etcd-healthcheck-timeout` and `--etcd-readycheck-timeout`.
    pub fn new(
        backend: Arc<dyn Backend>,
        environment: Environment,
        path_prefix: &str,
        timeout: Duration,
    ) -> HealthProbe {
        let prefix = path_prefix.trim_matches('/');
        let key = if prefix.is_empty() { "/health".to_owned() } else { format!("/{prefix}/health") };
        let state = State {
            started: None,
            kept_from: Duration::ZERO,
            kept: Err(HealthError::NotConnected),
            stopped: false,
        };
        HealthProbe { backend, environment, key: key.into(), timeout, state: Mutex::new(state) }
    }

    /// The store's health now, or as it was at most half a timeout ago.
    pub async fn check(&self) -> Result<(), HealthError> {
        let now = self.environment.clock.monotonic();
        {
            let mut state = self.state.lock();
            if state.stopped {
                return Err(HealthError::ShuttingDown);
            }
            if state.started.is_some_and(|started| now < started + self.timeout / 2) {
                return state.kept.clone();
            }
            state.started = Some(now);
        }
        let result = self.probe().await;
        let mut state = self.state.lock();
        // A slow probe that began earlier knows less than one that began later and is done.
        if now >= state.kept_from {
            state.kept_from = now;
            state.kept = result.clone();
        }
        result
    }

    /// From now on every check fails: the server is about to go.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
    }

    async fn probe(&self) -> Result<(), HealthError> {
        let request = RangeRequest { key: self.key.clone(), ..RangeRequest::default() };
        match select(self.backend.range(request), self.environment.clock.sleep(self.timeout)).await {
            Either::Left((Ok(_), _)) => Ok(()),
            Either::Left((Err(error), _)) => Err(HealthError::Failed(error)),
            Either::Right(_) => Err(HealthError::Timeout),
        }
    }
}
