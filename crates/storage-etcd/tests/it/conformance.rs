//! The contract of every backend and every storage, held over real etcd servers.

use storage::conformance::{BackendSuite, Suite};

use crate::etcd::{Etcd, World};
use crate::servers::Age;

async fn backend(world: &World) -> BackendSuite {
    let etcd = Etcd::start(world.0).await;
    let environment = environment::real::environment();
    BackendSuite { backend: etcd.backend().await, environment, guard: Some(Box::new(etcd)) }
}

async fn store(world: &World) -> Suite {
    let BackendSuite { backend, environment, guard } = backend(world).await;
    Suite::new(backend, environment, guard)
}

fn new() -> World {
    World(Age::New)
}

fn old() -> World {
    World(Age::Old)
}

mod contract {
    storage::conformance::backend_suite!(super::backend, super::new);
}

mod contract_of_old {
    storage::conformance::backend_suite!(super::backend, super::old);
}

mod objects {
    storage::conformance::suite!(super::store, super::new);
}

mod objects_over_old {
    storage::conformance::suite!(super::store, super::old);
}
