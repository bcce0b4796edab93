//! Over TLS, with certificates on both sides.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use storage::backend::BackendError;
use storage_etcd::{EtcdOptions, EtcdTls, TlsRenewal};

use crate::certificates::Authority;
use crate::etcd::{Etcd, World, backend, get, put, within};
use crate::servers::Age;

#[test]
fn etcd_and_this_server_show_each_other_certificates() {
    World(Age::New).run(async {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let flags = requiring_certificates(&authority, folder.path());
        let tls = EtcdTls {
            authorities: Some(authority.pem.clone()),
            identity: Some(authority.issue(&["client"])),
        };
        let etcd =
            Etcd::start_with(Age::New, 1, &flags.each_ref().map(String::as_str), Some(tls.clone())).await;
        put(etcd.backend().await.as_ref(), "a", "1").await.expect("both trust each other");

        let with = async |tls: Option<EtcdTls>| {
            backend(EtcdOptions { endpoints: etcd.urls(), tls, ..EtcdOptions::default() }).await
        };
        let stranger = Authority::new();
        let refused = [
            ("no client certificate", EtcdTls { identity: None, ..tls.clone() }),
            (
                "a stranger's client certificate",
                EtcdTls { identity: Some(stranger.issue(&["client"])), ..tls.clone() },
            ),
            ("another authority", EtcdTls { authorities: Some(stranger.pem.clone()), ..tls.clone() }),
            ("the system's authorities", EtcdTls { authorities: None, ..tls.clone() }),
        ];
        for (what, tls) in refused {
            let error = get(with(Some(tls)).await.as_ref(), "a").await.unwrap_err();
            assert!(matches!(error, BackendError::Unavailable(_)), "{what}: {error:?}");
        }
        let error =
            get(with(Some(EtcdTls { authorities: Some(stranger.pem), ..tls })).await.as_ref(), "a").await;
        let text = error.unwrap_err().to_string();
        assert!(text.contains("certificate"), "the reason is told: {text}");
    });
}

#[test]
fn certificates_that_were_renewed_are_used_by_the_next_connection() {
    World(Age::New).run(async {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let flags = requiring_certificates(&authority, folder.path());
        let identity = |of: &Authority| EtcdTls {
            authorities: Some(authority.pem.clone()),
            identity: Some(of.issue(&["client"])),
        };
        let good = identity(&authority);
        let flags = flags.each_ref().map(String::as_str);
        let mut etcd = Etcd::start_with(Age::New, 1, &flags, Some(good.clone())).await;
        // What a server has whose certificate etcd does not trust any more.
        let bad = identity(&Authority::new());
        let now = Arc::new(Mutex::new(Ok(bad.clone())));
        let source = now.clone();
        let options = EtcdOptions {
            endpoints: etcd.urls(),
            tls: Some(bad),
            tls_renewal: Some(TlsRenewal(Arc::new(move || source.lock().clone()))),
            ..EtcdOptions::default()
        };
        let backend = backend(options).await;
        get(backend.as_ref(), "a").await.expect_err("the certificate is no good");
        let answers = async || {
            within(async {
                while let Err(error) = get(backend.as_ref(), "a").await {
                    assert!(matches!(error, BackendError::Unavailable(_)), "{error:?}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
            .await;
        };
        *now.lock() = Ok(good);
        answers().await;
        // Half-written files change nothing.
        *now.lock() = Err("the key is not there yet".to_owned());
        etcd.kill(0);
        get(backend.as_ref(), "a").await.expect_err("it is down");
        etcd.resume(0);
        answers().await;
    });
}

/// Flags of an etcd that shows a certificate of `authority`, and wants one of its clients.
fn requiring_certificates(authority: &Authority, folder: &Path) -> [String; 8] {
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let (certificate, key) = authority.issue(&["127.0.0.1", "localhost"]);
    [
        "--cert-file".to_owned(),
        file("certificate", &certificate),
        "--key-file".to_owned(),
        file("key", &key),
        "--trusted-ca-file".to_owned(),
        file("ca", &authority.pem),
        "--client-cert-auth".to_owned(),
        "--experimental-initial-corrupt-check=false".to_owned(),
    ]
}
