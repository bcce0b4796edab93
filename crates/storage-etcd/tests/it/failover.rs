//! Members that go and come back.

use std::time::Duration;

use meta::Revision;
use storage::backend::{Backend, BackendError, Compare, LeaseId, Op, Txn, WatchRequest};

use storage_etcd::EtcdOptions;

use crate::etcd::{Etcd, World, backend, backend_over, get, put, within};
use crate::proxy::Proxy;
use crate::servers::Age;

#[test]
fn a_dead_endpoint_is_passed_over() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let (dead, alive) = (Proxy::new(etcd.address()).await, Proxy::new(etcd.address()).await);
        let backend = backend_over(vec![dead.url(), alive.url()]).await;
        for (n, (breaks, heals)) in
            [(&dead, &alive), (&alive, &dead), (&dead, &alive)].into_iter().enumerate()
        {
            heals.heal();
            breaks.refuse();
            // The broken connection may have been in use: of a write that is lost with it nobody knows.
            within(async { while get(backend.as_ref(), "a").await.is_err() {} }).await;
            put(backend.as_ref(), "a", n.to_string()).await.expect("the other endpoint takes it");
            let kv = get(backend.as_ref(), "a").await.unwrap().expect("it was put");
            assert_eq!((kv.value, kv.version), (n.to_string().into(), n as i64 + 1));
        }
    });
}

#[test]
fn a_write_goes_to_the_next_endpoint_if_the_first_takes_no_connection() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        // Nobody listens on the first port.
        let nowhere = "http://127.0.0.1:1".to_owned();
        // Each backend starts at a random endpoint.
        for n in 0..8 {
            let backend = backend_over(vec![nowhere.clone(), etcd.urls().remove(0)]).await;
            put(backend.as_ref(), "a", n.to_string()).await.expect("the living one takes it");
        }
    });
}

#[test]
fn an_endpoint_that_falls_silent_is_passed_over() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let (silent, alive) = (Proxy::new(etcd.address()).await, Proxy::new(etcd.address()).await);
        alive.refuse();
        let backend = backend(EtcdOptions {
            endpoints: vec![silent.url(), alive.url()],
            keepalive_interval: Duration::from_millis(100),
            keepalive_timeout: Duration::from_millis(200),
            ..EtcdOptions::default()
        })
        .await;
        assert_eq!(get(backend.as_ref(), "a").await, Ok(None), "it uses the one that will fall silent");
        let key = "a".into();
        let request = WatchRequest { key, end: None, start: Revision(0), previous: true, progress: false };
        let mut watch = backend.watch(request).await.unwrap();
        alive.heal();
        silent.lose_answers();
        assert!(within(get(backend.as_ref(), "a")).await.is_ok());
        put(etcd.backend().await.as_ref(), "a", "2").await.unwrap();
        let batch = within(watch.next()).await.unwrap().unwrap();
        assert_eq!(batch.events[0].kv.value, "2", "the watch has moved too");
    });
}

#[test]
fn a_write_of_which_nothing_is_known_is_not_repeated() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let proxy = Proxy::new(etcd.address()).await;
        let backend = backend_over(vec![proxy.url(), proxy.url()]).await;
        put(backend.as_ref(), "a", "1").await.unwrap();
        proxy.lose_answers();
        let cut = async {
            let direct = etcd.backend().await;
            while get(direct.as_ref(), "a").await.unwrap().expect("it was put").version < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            proxy.heal();
            proxy.cut();
        };
        let (result, ()) = tokio::join!(within(put(backend.as_ref(), "a", "2")), cut);
        assert!(matches!(result, Err(BackendError::Unavailable(_))), "{result:?}");
        let kv = get(backend.as_ref(), "a").await.unwrap().expect("it was put");
        assert_eq!((kv.value, kv.version), ("2".into(), 2), "it took effect once");
    });
}

#[test]
fn a_server_that_comes_back_is_used_again() {
    World(Age::New).run(async {
        let mut etcd = Etcd::start(Age::New).await;
        let backend = etcd.backend().await;
        put(backend.as_ref(), "a", "1").await.unwrap();
        let key = "a".into();
        let request = WatchRequest { key, end: None, start: Revision(0), previous: true, progress: false };
        let mut watch = backend.watch(request).await.unwrap();
        etcd.kill(0);
        let error = within(get(backend.as_ref(), "a")).await.unwrap_err();
        assert!(matches!(error, BackendError::Unavailable(_)), "{error:?}");
        etcd.resume(0);
        assert!(etcd.answers().await);
        put(backend.as_ref(), "a", "2").await.expect("it is back");
        let batch = within(watch.next()).await.unwrap().unwrap();
        assert_eq!(batch.events[0].kv.value, "2");
        assert_eq!(batch.events[0].previous.as_ref().map(|kv| kv.value.clone()), Some("1".into()));
    });
}

/// Adds one to a number, whatever becomes of the servers meanwhile.
async fn increment(backend: &dyn Backend, to: u32) {
    loop {
        let current = match get(backend, "counter").await {
            Ok(current) => current,
            Err(_) => continue,
        };
        let (value, revision) = match &current {
            Some(kv) => (String::from_utf8_lossy(&kv.value).parse().unwrap(), kv.mod_revision),
            None => (0, Revision(0)),
        };
        // An attempt whose outcome was unknown may have been made after all.
        if value >= to {
            return;
        }
        let put = Op::Put { key: "counter".into(), value: to.to_string().into(), lease: LeaseId(0) };
        let compare = vec![Compare::ModRevision("counter".into(), revision)];
        let txn = Txn { compare, success: vec![put], failure: Vec::new() };
        if backend.txn(txn).await.is_ok_and(|response| response.succeeded) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_cluster_that_loses_any_one_member_serves_on() {
    World(Age::New).run(async {
        const TURNS: u32 = 8;
        let mut etcd = Etcd::start_with(Age::New, 3, &[], None).await;
        let backend = etcd.backend().await;
        let key = "counter".into();
        let request = WatchRequest { key, end: None, start: Revision(0), previous: true, progress: false };
        let mut watch = backend.watch(request).await.unwrap();
        let mut n = 0;
        // One of them is the leader, one the endpoint in use.
        for index in 0..3 {
            etcd.kill(index);
            for _ in 0..TURNS {
                n += 1;
                within(increment(backend.as_ref(), n)).await;
            }
            etcd.resume(index);
            assert!(etcd.answers().await);
        }
        let mut seen = Vec::new();
        while seen.len() < n as usize {
            let batch = within(watch.next()).await.unwrap().unwrap();
            seen.extend(batch.events.iter().map(|event| event.kv.version as u32));
        }
        assert_eq!(seen, (1..=n).collect::<Vec<_>>(), "every change once, in order");
    });
}
