//! The suite over the model: backend, and object storage on top of it.

use std::sync::Arc;

use storage::Model;
use storage::conformance::{BackendSuite, Suite};

async fn backend() -> BackendSuite {
    let environment = environment::real::environment();
    BackendSuite { backend: Arc::new(Model::new(&environment)), environment, guard: None }
}

async fn store() -> Suite {
    let BackendSuite { backend, environment, guard } = backend().await;
    Suite::new(backend, environment, guard)
}

mod key_value {
    storage::conformance::backend_suite!(super::backend);
}

mod objects {
    storage::conformance::suite!(super::store);
}
