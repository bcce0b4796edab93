//! Health probes over a network that breaks.

use std::time::Duration;

use environment::real;
use storage_etcd::{HealthError, HealthProbe};

use crate::etcd::{Etcd, World, backend_over, within};
use crate::proxy::Proxy;
use crate::servers::Age;

const TIMEOUT: Duration = Duration::from_millis(500);

async fn until(probe: &HealthProbe, wanted: impl Fn(&Result<(), HealthError>) -> bool) {
    within(async {
        while !wanted(&probe.check().await) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[test]
fn health_follows_the_store() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let proxy = Proxy::new(etcd.address()).await;
        let backend = backend_over(vec![proxy.url()]).await;
        let probe = HealthProbe::new(backend, real::environment(), "/registry", TIMEOUT);
        until(&probe, Result::is_ok).await;
        proxy.lose_answers();
        until(&probe, |health| *health == Err(HealthError::Timeout)).await;
        proxy.refuse();
        until(&probe, |health| matches!(health, Err(HealthError::Failed(_)))).await;
        proxy.heal();
        until(&probe, Result::is_ok).await;
        probe.stop();
        assert_eq!(probe.check().await, Err(HealthError::ShuttingDown));
    });
}
