//! The contract of every backend and every storage, held by the embedded store
//! in a simulated world: virtual time, a disk that takes its time, tasks in any order.

use std::path::Path;
use std::sync::Arc;

use simulation::Simulation;
use storage::conformance::{BackendSuite, Suite};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions};

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

mod contract {
    storage::conformance::backend_suite!(super::backend, super::world);
}

mod objects {
    storage::conformance::suite!(super::store, super::world);
}
