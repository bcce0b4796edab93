//! The contract of every backend and every storage, held by the embedded store and by the cache over it
//! in a simulated world: virtual time, a disk that takes its time, tasks in any order.

use std::path::Path;
use std::sync::Arc;

use simulation::Simulation;
use storage::conformance::{BackendSuite, Suite};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions};
use watch_cache::{CacheConfig, WatchCache};

fn world() -> Simulation {
    Simulation::new(1)
}

async fn backend(world: &Simulation) -> BackendSuite {
    let environment = world.environment();
    let options = EmbeddedOptions {
        segment_bytes: 4 << 10,
        checkpoint_log_bytes_min: 8 << 10,
        ..EmbeddedOptions::default()
    };
    let store = EmbeddedBackend::open(environment.clone(), Path::new("/data"), options).await;
    BackendSuite { backend: Arc::new(store.expect("an empty folder opens")), environment, guard: None }
}

async fn store(world: &Simulation) -> Suite {
    let BackendSuite { backend, environment, guard } = backend(world).await;
    Suite::new(backend, environment, guard)
}

async fn cache(world: &Simulation) -> Suite {
    let environment = world.environment();
    store(world).await.cached(|storage| {
        let config = CacheConfig {
            environment,
            path_prefix: "/registry".into(),
            resource_prefix: "/pods".into(),
            fields: Vec::new(),
            attributes: None,
            trigger: None,
            metrics: Default::default(),
        };
        Arc::new(WatchCache::new(storage, config).expect("a good prefix"))
    })
}

mod contract {
    storage::conformance::backend_suite!(super::backend, super::world);
}

mod objects {
    storage::conformance::suite!(super::store, super::world);
}

mod cached {
    storage::conformance::suite!(super::cache, super::world);
}
