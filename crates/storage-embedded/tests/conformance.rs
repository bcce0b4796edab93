//! The contract of every backend and every storage, held by the embedded store on real files.

use std::sync::Arc;

use environment::real;
use storage::conformance::{BackendSuite, Suite};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions};

async fn backend() -> BackendSuite {
    let folder = tempfile::tempdir().expect("tests have a temporary folder");
    let environment = real::environment();
    // Small limits, so that segments and checkpoints come and go under the suite.
    let options = EmbeddedOptions {
        segment_bytes: 4 << 10,
        checkpoint_log_bytes_min: 8 << 10,
        ..EmbeddedOptions::default()
    };
    let store = EmbeddedBackend::open(environment.clone(), folder.path(), options).await;
    let backend = Arc::new(store.expect("an empty folder opens"));
    BackendSuite { backend, environment, guard: Some(Box::new(folder)) }
}

async fn store() -> Suite {
    let BackendSuite { backend, environment, guard } = backend().await;
    Suite::new(backend, environment, guard)
}

mod contract {
    storage::conformance::backend_suite!(super::backend);
}

mod objects {
    storage::conformance::suite!(super::store);
}
