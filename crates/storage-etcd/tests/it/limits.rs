//! What etcd refuses: too large requests, a full database.

use std::time::Duration;

use meta::Revision;
use storage::backend::{Backend, BackendError};

use crate::etcd::{Etcd, World, get, put, within};
use crate::servers::Age;

async fn too_large(age: Age) {
    let etcd = Etcd::start(age).await;
    let backend = etcd.backend().await;
    put(backend.as_ref(), "a", vec![b'x'; 1 << 20]).await.expect("a large value");
    // Beyond etcd's limit, the limit of its gRPC server, and this client's own.
    for bytes in [(3 << 20) / 2 + 1, (2 << 20) - 10, (2 << 20) + 1, 10 << 20] {
        let error = put(backend.as_ref(), "a", vec![b'x'; bytes]).await.unwrap_err();
        assert_eq!(error, BackendError::TooLarge, "{bytes} bytes");
    }
    let kv = get(backend.as_ref(), "a").await.unwrap().expect("it was put");
    assert_eq!((kv.value.len(), kv.version), (1 << 20, 1));
}

#[test]
fn a_request_that_is_too_large_is_refused_as_such() {
    World(Age::New).run(too_large(Age::New));
}

#[test]
fn an_old_etcd_refuses_large_requests_the_same_way() {
    World(Age::Old).run(too_large(Age::Old));
}

#[test]
fn large_lists_are_read_whole() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let backend = etcd.backend().await;
        for n in 0..20 {
            put(backend.as_ref(), &format!("/a/{n:02}"), vec![b'x'; 1 << 20]).await.unwrap();
        }
        let request = storage::backend::RangeRequest {
            key: "/a/".into(),
            end: Some("/a0".into()),
            ..Default::default()
        };
        let response = backend.range(request).await.unwrap();
        assert_eq!(response.kvs.iter().map(|kv| kv.value.len()).sum::<usize>(), 20 << 20);
    });
}

#[test]
fn a_full_database_refuses_writes_in_etcds_words() {
    World(Age::New).run(async {
        let flags = ["--quota-backend-bytes", "2000000"];
        let etcd = Etcd::start_with(Age::New, 1, &flags, None).await;
        let backend = etcd.backend().await;
        let mut last = Revision(0);
        let error = loop {
            match put(backend.as_ref(), "a", vec![b'x'; 300 << 10]).await {
                Ok(revision) => last = revision,
                Err(error) => break error,
            }
        };
        assert_eq!(error, BackendError::NoSpace);
        assert!(backend.status().await.unwrap().revision >= last, "reads go on");
    });
}

#[test]
fn sizes_are_told_for_each_member() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        put(etcd.backend().await.as_ref(), "a", vec![b'x'; 1 << 20]).await.unwrap();
        // Nobody listens on the first port.
        let gone = "http://127.0.0.1:1".to_owned();
        let both = crate::etcd::backend_over(vec![etcd.urls().remove(0), gone.clone()]).await;
        // etcd puts what it was given into its file from time to time.
        let sizes = within(async {
            loop {
                let sizes = both.database_sizes().await;
                if sizes[0].1.as_ref().expect("it answers") > &(1 << 20) {
                    break sizes;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert_eq!((&sizes[0].0, &sizes[1].0), (&etcd.urls()[0], &gone));
        assert!(sizes[1].1.is_err());
        let status = etcd.backend().await.status().await.unwrap();
        assert!(status.size_bytes > 1 << 20);
    });
}
