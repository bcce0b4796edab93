//! The contract of every backend and every storage, held over real etcd
//! servers, and by the watch cache over them, which has to ask how far they are.

use std::sync::Arc;

use schema::Value;
use storage::Attributes;
use storage::conformance::{BackendSuite, Suite};
use watch_cache::{CacheConfig, WatchCache};

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

async fn cached(world: &World) -> Suite {
    let suite = store(world).await;
    let environment = suite.environment.clone();
    suite.cached(|storage| {
        let config = CacheConfig {
            environment,
            path_prefix: "/registry".into(),
            resource_prefix: "/pods".into(),
            fields: vec!["spec.nodeName".into()],
            attributes: Some(Arc::new(NodeName)),
            trigger: Some("spec.nodeName".into()),
            metrics: Arc::default(),
        };
        Arc::new(WatchCache::new(storage, config).expect("a good prefix"))
    })
}

struct NodeName;

impl Attributes for NodeName {
    fn field(&self, object: &Value, label: &str) -> String {
        match label {
            "spec.nodeName" => object.str_at(&["spec", "nodeName"]).unwrap_or_default().to_owned(),
            _ => String::new(),
        }
    }
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

mod cached_objects {
    storage::conformance::suite!(super::cached, super::new);
}

mod cached_objects_over_old {
    storage::conformance::suite!(super::cached, super::old);
}
