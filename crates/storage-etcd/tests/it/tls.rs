//! Over TLS, with certificates on both sides.

use storage::backend::BackendError;
use storage_etcd::{EtcdOptions, EtcdTls};

use crate::certificates::Authority;
use crate::etcd::{Etcd, World, backend, get, put};
use crate::servers::Age;

#[test]
fn etcd_and_this_server_show_each_other_certificates() {
    World(Age::New).run(async {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.to_str().expect("a path in UTF-8").to_owned()
        };
        let (certificate, key) = authority.issue(&["127.0.0.1", "localhost"]);
        let (ca, certificate, key) =
            (file("ca", &authority.pem), file("certificate", &certificate), file("key", &key));
        let flags = [
            ["--cert-file", &certificate],
            ["--key-file", &key],
            ["--trusted-ca-file", &ca],
            ["--client-cert-auth", "--experimental-initial-corrupt-check=false"],
        ];
        let tls = EtcdTls {
            authorities: Some(authority.pem.clone()),
            identity: Some(authority.issue(&["client"])),
        };
        let etcd = Etcd::start_with(Age::New, 1, flags.as_flattened(), Some(tls.clone())).await;
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
