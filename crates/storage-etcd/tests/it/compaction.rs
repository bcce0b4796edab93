//! Servers that share an etcd take turns in compacting it.

use std::sync::Arc;
use std::time::Duration;

use environment::real;
use storage::Compactor;
use storage::backend::{Backend, BackendError, RangeRequest};

use crate::etcd::{Etcd, World, get, put, within};
use crate::servers::Age;

#[test]
fn two_servers_compact_one_etcd_and_both_know() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let interval = Duration::from_millis(200);
        let mut servers = Vec::new();
        for _ in 0..2 {
            let backend: Arc<dyn Backend> = etcd.backend().await;
            servers.push((Compactor::start_shared(backend.clone(), &real::environment(), interval), backend));
        }
        let backend = servers[0].1.clone();
        let old = put(backend.as_ref(), "a", "old").await.unwrap();
        put(backend.as_ref(), "a", "new").await.unwrap();
        within(async {
            while servers.iter().any(|(compactor, _)| compactor.compacted() <= old) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        // Who meets the key before its writer has compacted knows of it a moment too early.
        let error = within(async {
            loop {
                let request = RangeRequest { key: "a".into(), revision: old, ..RangeRequest::default() };
                match backend.range(request).await {
                    Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(error) => return error,
                }
            }
        })
        .await;
        assert!(matches!(error, BackendError::Compacted { .. }), "{error:?}");
        let kv = get(backend.as_ref(), "compact_rev_key").await.unwrap().expect("they met");
        assert!(kv.version >= 2, "{kv:?}");
        assert!(
            std::str::from_utf8(&kv.value).unwrap().parse::<u64>().is_ok(),
            "decimal text, as the original's"
        );
    });
}
