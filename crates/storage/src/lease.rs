//! Leases shared by objects with a time to live (A.12): granting one is a
//! write, so objects that expire at about the same time share one.

use std::sync::Arc;
use std::time::Duration;

use environment::Clock;
use tokio::sync::Mutex;

use crate::backend::{Backend, BackendError, LeaseId};
use crate::metrics::StoreMetrics;

/// A lease serves later objects for this share of their ttl...
const REUSE_PERCENT: i64 = 5;
/// ...but no longer than this. An object lives up to this much longer than its ttl, never shorter.
pub const DEFAULT_LEASE_REUSE_SECONDS: i64 = 60;
/// Objects after which a new lease is taken, so that one expiry does not delete everything at once.
pub const DEFAULT_LEASE_MAX_OBJECTS: u64 = 1000;

/// How leases are shared.
#[derive(Clone, Copy, Debug)]
pub struct LeaseOptions {
    /// Longest time a lease is given to new objects, in seconds.
    pub reuse_seconds: i64,
    /// Most objects on one lease.
    pub max_objects: u64,
}

impl Default for LeaseOptions {
    fn default() -> LeaseOptions {
        LeaseOptions { reuse_seconds: DEFAULT_LEASE_REUSE_SECONDS, max_objects: DEFAULT_LEASE_MAX_OBJECTS }
    }
}

pub(crate) struct Leases {
    clock: Arc<dyn Clock>,
    options: LeaseOptions,
    metrics: Arc<StoreMetrics>,
    last: Mutex<Option<Granted>>,
}

struct Granted {
    id: LeaseId,
    expires: Duration,
    objects: u64,
}

impl Leases {
    pub(crate) fn new(clock: Arc<dyn Clock>, options: LeaseOptions, metrics: Arc<StoreMetrics>) -> Leases {
        Leases { clock, options, metrics, last: Mutex::new(None) }
    }

    /// A lease that lives at least `ttl_seconds` from now; none for 0 (or less).
    pub(crate) async fn lease(
        &self,
        backend: &dyn Backend,
        ttl_seconds: i64,
    ) -> Result<LeaseId, BackendError> {
        if ttl_seconds <= 0 {
            return Ok(LeaseId(0));
        }
        let mut last = self.last.lock().await;
        let now = self.clock.monotonic();
        let window = self.reuse_window(ttl_seconds);
        let wanted = now + seconds(ttl_seconds);
        if let Some(granted) = last.as_mut() {
            // Counted per request, whether the write succeeds or not (A-LEA-3).
            granted.objects += 1;
            // At the same instant it fits too: a simulated clock may stand still.
            let fits = wanted < granted.expires && wanted + seconds(window) >= granted.expires;
            if fits && granted.objects <= self.options.max_objects {
                return Ok(granted.id);
            }
        }
        let ttl = ttl_seconds.saturating_add(window);
        let id = backend.lease_grant(ttl).await?;
        // As the original counts: with the request that was one too many, which is all there is the first time.
        self.metrics.lease_replaced(last.as_ref().map_or(1, |granted| granted.objects));
        *last = Some(Granted { id, expires: now + seconds(ttl), objects: 1 });
        Ok(id)
    }

    fn reuse_window(&self, ttl_seconds: i64) -> i64 {
        // Divided first where the product could overflow; the cap makes the difference invisible.
        ttl_seconds.checked_mul(REUSE_PERCENT).map_or(i64::MAX, |n| n / 100).min(self.options.reuse_seconds)
    }
}

fn seconds(n: i64) -> Duration {
    Duration::from_secs(n.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;
    use crate::testing::manual_environment;

    async fn granted(ttls: &[i64], advance: Duration, options: LeaseOptions) -> Vec<LeaseId> {
        let (environment, clock) = manual_environment();
        let backend = Model::new(&environment);
        let leases = Leases::new(environment.clock.clone(), options, Arc::default());
        let mut ids = Vec::new();
        for ttl in ttls {
            ids.push(leases.lease(&backend, *ttl).await.unwrap());
            clock.advance(advance);
        }
        ids
    }

    #[test]
    fn the_window_is_a_share_of_the_ttl_and_bounded() {
        let (environment, _) = manual_environment();
        let leases = Leases::new(environment.clock.clone(), LeaseOptions::default(), Arc::default());
        for (ttl, want) in [(3600, 60), (1000, 50), (10, 0), (i64::MAX, 60)] {
            assert_eq!(leases.reuse_window(ttl), want);
        }
    }

    #[tokio::test]
    async fn no_ttl_takes_no_lease() {
        let ids = granted(&[0, -1], Duration::ZERO, LeaseOptions::default()).await;
        assert_eq!(ids, [LeaseId(0), LeaseId(0)]);
    }

    #[tokio::test]
    async fn a_lease_serves_what_expires_within_its_window() {
        // 1000 s of ttl share a lease for 50 s.
        let ids = granted(&[1000; 4], Duration::from_secs(20), LeaseOptions::default()).await;
        assert_eq!((ids[0], ids[1]), (ids[1], ids[2]));
        assert_ne!(ids[2], ids[3]);
        let ids = granted(&[1000, 3600, 1000], Duration::ZERO, LeaseOptions::default()).await;
        assert!(ids[0] != ids[1] && ids[1] != ids[2], "one lease is remembered, and it must fit: {ids:?}");
    }

    #[tokio::test]
    async fn a_lease_serves_so_many_objects() {
        let options = LeaseOptions { max_objects: 2, ..LeaseOptions::default() };
        let ids = granted(&[1000; 5], Duration::ZERO, options).await;
        assert!(ids[0] == ids[1] && ids[1] != ids[2] && ids[2] == ids[3] && ids[3] != ids[4], "{ids:?}");
    }
}
