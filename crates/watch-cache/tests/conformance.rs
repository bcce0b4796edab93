//! The contract of every storage, held by the cache over the model and over the embedded store.

use std::sync::Arc;

use environment::Environment;
use schema::Value;
use storage::conformance::{BackendSuite, Suite};
use storage::{Attributes, Model, Storage};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions};
use watch_cache::{CacheConfig, WatchCache};

struct PodFields;

impl Attributes for PodFields {
    fn field(&self, object: &Value, label: &str) -> String {
        match label {
            "spec.nodeName" => object.str_at(&["spec", "nodeName"]).unwrap_or_default().to_owned(),
            _ => String::new(),
        }
    }
}

fn wrap(environment: &Environment, storage: Arc<dyn Storage>) -> Arc<dyn Storage> {
    let config = CacheConfig {
        environment: environment.clone(),
        path_prefix: "/registry".into(),
        resource_prefix: "/pods".into(),
        fields: vec!["spec.nodeName".into()],
        attributes: Some(Arc::new(PodFields)),
        trigger: Some("spec.nodeName".into()),
        metrics: Default::default(),
    };
    Arc::new(WatchCache::new(storage, config).expect("a good prefix"))
}

fn cached(suite: BackendSuite) -> Suite {
    let BackendSuite { backend, environment, guard } = suite;
    Suite::new(backend, environment.clone(), guard).cached(|storage| wrap(&environment, storage))
}

async fn over_the_model() -> Suite {
    let environment = environment::real::environment();
    let backend = Arc::new(Model::new(&environment));
    cached(BackendSuite { backend, environment, guard: None })
}

async fn over_the_embedded_store() -> Suite {
    let environment = environment::real::environment();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = EmbeddedBackend::open(environment.clone(), folder.path(), EmbeddedOptions::default()).await;
    let backend = Arc::new(store.expect("an empty folder opens"));
    cached(BackendSuite { backend, environment, guard: Some(Box::new(folder)) })
}

mod model {
    storage::conformance::suite!(super::over_the_model);
}

mod embedded {
    storage::conformance::suite!(super::over_the_embedded_store);
}
