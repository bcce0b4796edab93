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
    memory: Mutex<Memory>,
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
        let memory = Mutex::new(Memory::default());
        HealthProbe { backend, environment, key: key.into(), timeout, memory }
    }

    /// The store's health now, or as it was at most half a timeout ago.
    pub async fn check(&self) -> Result<(), HealthError> {
        let now = self.environment.clock.monotonic();
        if let Some(known) = self.memory.lock().recall(now, self.timeout / 2) {
            return known;
        }
        let result = self.probe().await;
        self.memory.lock().keep(now, result.clone());
        result
    }

    /// From now on every check fails: the server is about to go.
    pub fn stop(&self) {
        self.memory.lock().stopped = true;
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

/// What the probes so far came to. Times are of the monotonic clock.
struct Memory {
    /// When the latest probe began.
    latest: Option<Duration>,
    /// When the probe began whose result is kept.
    kept_from: Duration,
    kept: Result<(), HealthError>,
    stopped: bool,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            latest: None,
            kept_from: Duration::ZERO,
            kept: Err(HealthError::NotConnected),
            stopped: false,
        }
    }
}

impl Memory {
    /// What to answer without a probe; none if the caller shall probe, which then counts as begun.
    fn recall(&mut self, now: Duration, interval: Duration) -> Option<Result<(), HealthError>> {
        if self.stopped {
            return Some(Err(HealthError::ShuttingDown));
        }
        if self.latest.is_some_and(|latest| now < latest + interval) {
            return Some(self.kept.clone());
        }
        self.latest = Some(now);
        None
    }

    /// A slow probe that began earlier knows less than one that began later and is done.
    fn keep(&mut self, began: Duration, result: Result<(), HealthError>) {
        if began >= self.kept_from {
            self.kept_from = began;
            self.kept = result;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_was_never_asked_is_not_healthy() {
        let mut memory = Memory::default();
        assert_eq!(memory.recall(at(0), INTERVAL), None, "the first one probes");
        assert_eq!(memory.recall(at(0), INTERVAL), Some(Err(HealthError::NotConnected)));
    }

    #[test]
    fn probes_are_limited_and_the_others_hear_the_last_result() {
        let mut memory = Memory::default();
        assert_eq!(memory.recall(at(0), INTERVAL), None);
        memory.keep(at(0), Ok(()));
        assert_eq!(memory.recall(at(999), INTERVAL), Some(Ok(())));
        assert_eq!(memory.recall(at(1000), INTERVAL), None);
        memory.keep(at(1000), Err(HealthError::Timeout));
        assert_eq!(memory.recall(at(1999), INTERVAL), Some(Err(HealthError::Timeout)));
    }

    #[test]
    fn a_slow_probe_does_not_overwrite_a_newer_result() {
        let mut memory = Memory::default();
        assert_eq!(memory.recall(at(0), INTERVAL), None);
        assert_eq!(memory.recall(at(1000), INTERVAL), None);
        memory.keep(at(1000), Ok(()));
        memory.keep(at(0), Err(HealthError::Timeout));
        assert_eq!(memory.recall(at(1500), INTERVAL), Some(Ok(())));
    }

    #[test]
    fn a_server_about_to_go_is_not_healthy() {
        let mut memory = Memory::default();
        memory.keep(at(0), Ok(()));
        memory.stopped = true;
        assert_eq!(memory.recall(at(5000), INTERVAL), Some(Err(HealthError::ShuttingDown)));
    }
}
