//! Servers over a real etcd instead of the embedded store.

#[path = "../../../storage-etcd/tests/it/etcd.rs"]
#[allow(dead_code, reason = "shared with the tests of the backend, which use the rest")]
pub mod etcd;
#[path = "../../../storage-etcd/tests/it/servers.rs"]
pub mod servers;

use std::time::Duration;

use http::Method;
use meta::Revision;
use pintle::flags::{EtcdFlags, ServeFlags};
use registry::ServersOverride;
use storage::Backend;
use storage::backend::{LeaseId, Op, RangeRequest, Txn};
use storage_encryption::EncryptionOptions;
use test_server::TestServer;

use crate::metrics::{scrape, value};
use etcd::{Etcd, World, within};
use servers::Age;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const EVENTS: &str = "/api/v1/namespaces/default/events";

fn over(etcd: &Etcd) -> impl FnOnce(&mut ServeFlags) {
    let servers = etcd.urls();
    |flags| {
        let (authorities_file, identity_files) = (None, None);
        flags.storage.backend.etcd = Some(EtcdFlags { servers, authorities_file, identity_files });
    }
}

async fn keys(etcd: &Etcd, prefix: &str) -> Vec<(String, bytes::Bytes)> {
    let key = bytes::Bytes::copy_from_slice(prefix.as_bytes());
    let end = storage::backend::prefix_end(&key);
    let request = RangeRequest { key, end, revision: Revision(0), ..RangeRequest::default() };
    let kvs = etcd.backend().await.range(request).await.unwrap().kvs;
    kvs.into_iter().map(|kv| (String::from_utf8(kv.key.to_vec()).unwrap(), kv.value)).collect()
}

#[test]
fn servers_over_one_etcd_see_each_others_objects() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let one = TestServer::start_with(over(&etcd)).await.unwrap();
        let other = TestServer::start_with(over(&etcd)).await.unwrap();
        let created = one.client().unwrap().post(CONFIG_MAPS, r#"{"metadata":{"name":"a"}}"#).await.unwrap();
        assert_eq!(created.status, 201, "{}", created.text());
        let other = other.client().unwrap();
        // From the store, and from the cache of another server that has to ask how far it is.
        let got = other.get(&format!("{CONFIG_MAPS}/a")).await.unwrap();
        assert_eq!(got.json(), created.json());
        let listed = within(other.get(CONFIG_MAPS)).await.unwrap().json();
        let names: Vec<_> =
            listed["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]).collect();
        assert!(names.iter().any(|name| *name == "a"), "{listed}");
        assert_eq!(other.get("/readyz").await.unwrap().text(), "ok");
        let stored = keys(&etcd, "/registry/configmaps/default/").await;
        let (key, value) = stored.iter().find(|(key, _)| key.ends_with("/a")).expect("it lies there");
        assert_eq!((key.as_str(), &value[..4]), ("/registry/configmaps/default/a", &b"k8s\0"[..]));
    });
}

#[test]
fn a_server_over_an_old_etcd_answers_too() {
    World(Age::Old).run(async {
        let etcd = Etcd::start(Age::Old).await;
        let server = TestServer::start_with(over(&etcd)).await.unwrap();
        let client = server.client().unwrap();
        for n in 0..3 {
            let body = format!(r#"{{"metadata":{{"name":"a{n}"}}}}"#);
            assert_eq!(client.post(CONFIG_MAPS, body).await.unwrap().status, 201);
            // Consistent: it shows what was just made.
            let listed = within(client.get(CONFIG_MAPS)).await.unwrap();
            assert_eq!(listed.status, 200, "{}", listed.text());
            assert!(listed.text().contains(&format!("\"a{n}\"")), "{}", listed.text());
        }
    });
}

#[test]
fn a_resource_may_lie_in_a_cluster_of_its_own() {
    World(Age::New).run(async {
        let (main, events) = (Etcd::start(Age::New).await, Etcd::start(Age::New).await);
        let server = TestServer::start_with(|flags| {
            over(&main)(flags);
            flags.storage.backend.servers_overrides = vec![ServersOverride {
                resource: meta::GroupResource::new("", "events"),
                servers: events.urls(),
            }];
        })
        .await
        .unwrap();
        let client = server.client().unwrap();
        let body =
            r#"{"metadata":{"name":"e","namespace":"default"},"involvedObject":{"namespace":"default"}}"#;
        let created = client.post(EVENTS, body).await.unwrap();
        assert_eq!(created.status, 201, "{}", created.text());
        assert_eq!(keys(&main, "/registry/events/").await.len(), 0);
        assert_eq!(keys(&events, "/registry/").await[0].0, "/registry/events/default/e");
        assert!(keys(&main, "/registry/namespaces/").await.len() > 1);
        let verbose = client.get("/readyz?verbose").await.unwrap().text();
        for check in ["[+]etcd ok", "[+]etcd-override-0 ok", "[+]etcd-override-readiness-0 ok"] {
            assert!(verbose.contains(check), "{check} in {verbose}");
        }
    });
}

#[test]
fn health_tells_that_etcd_has_gone_and_come_back() {
    World(Age::New).run(async {
        let mut etcd = Etcd::start(Age::New).await;
        let server = TestServer::start_with(over(&etcd)).await.unwrap();
        let client = server.client().unwrap();
        let until = async |status| {
            within(async {
                while client.get("/healthz/etcd").await.unwrap().status != status {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
            .await;
        };
        until(200).await;
        etcd.kill(0);
        until(500).await;
        etcd.resume(0);
        until(200).await;
        assert_eq!(client.get(&format!("{CONFIG_MAPS}/none")).await.unwrap().status, 404);
    });
}

#[test]
fn a_damaged_value_in_etcd_is_named_and_deleted() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let server = TestServer::start_with(|flags| {
            over(&etcd)(flags);
            flags.features.unsafe_deletion = true;
        })
        .await
        .unwrap();
        let client = server.client().unwrap();
        let key = "/registry/configmaps/default/damaged";
        let put = Op::Put { key: key.into(), value: "k8s\0nonsense".into(), lease: LeaseId(0) };
        etcd.backend().await.txn(Txn { success: vec![put], ..Txn::default() }).await.unwrap();
        let listed = within(client.get(CONFIG_MAPS)).await.unwrap();
        assert_eq!(listed.reason(), "StorageReadError", "{}", listed.text());
        assert_eq!(listed.json()["details"]["causes"][0]["field"], key);
        let path = format!("{CONFIG_MAPS}/damaged");
        let delete = async |options: &'static str| {
            client.send(Method::DELETE, &path, "application/json", options).await.unwrap()
        };
        assert_eq!(delete("{}").await.status, 500);
        let counted = scrape(&client).await;
        let errors = r#"apiserver_storage_decode_errors_total{group="",resource="configmaps"}"#;
        assert!(value(&counted, errors) >= 2.0, "the list and the delete met it");
        let member = format!("apiserver_storage_db_total_size_in_bytes{{endpoint=\"{}\"}}", etcd.urls()[0]);
        assert!(value(&counted, &member) > 0.0, "{member}");
        assert!(value(&counted, r#"apiserver_storage_size_bytes{storage_cluster_id="etcd-0"}"#) > 0.0);
        let gone = delete(r#"{"ignoreStoreReadErrorWithClusterBreakingPotential":true}"#).await;
        assert_eq!(gone.status, 200, "{}", gone.text());
        assert!(keys(&etcd, key).await.is_empty());
        assert_eq!(within(client.get(CONFIG_MAPS)).await.unwrap().status, 200);
    });
}

#[test]
fn secrets_lie_encrypted_in_etcd_and_who_has_the_key_reads_them() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.yaml");
        let key = "cGludGxlLXRlc3Qta2V5LW9mLTMyLWJ5dGVzLWFhYWE=";
        let content = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
             - resources: [secrets]\n  providers: [{{aesgcm: {{keys: [{{name: k, secret: {key}}}]}}}}]\n"
        );
        std::fs::write(&path, content).unwrap();
        let encrypting = |flags: &mut ServeFlags| {
            over(&etcd)(flags);
            let options = EncryptionOptions { path: path.clone(), reload: false, kms_v1: false };
            flags.encryption.options = Some(options);
        };
        let one = TestServer::start_with(encrypting).await.unwrap();
        let other = TestServer::start_with(encrypting).await.unwrap();
        let without = TestServer::start_with(over(&etcd)).await.unwrap();
        const SECRETS: &str = "/api/v1/namespaces/default/secrets";
        let body = r#"{"metadata":{"name":"a"},"stringData":{"k":"never-in-plain-text"}}"#;
        let made = one.client().unwrap().post(SECRETS, body).await.unwrap();
        assert_eq!(made.status, 201, "{}", made.text());
        let stored = keys(&etcd, "/registry/secrets/default/a").await;
        assert!(stored[0].1.starts_with(b"k8s:enc:aesgcm:v1:k:"), "{:?}", stored[0].1);
        let path = format!("{SECRETS}/a");
        assert_eq!(within(other.client().unwrap().get(&path)).await.unwrap().json(), made.json());
        let refused = within(without.client().unwrap().get(&path)).await.unwrap();
        assert_eq!(refused.status, 500, "{}", refused.text());
    });
}

#[test]
fn a_full_etcd_says_so_and_is_read_nevertheless() {
    World(Age::New).run(async {
        // The smallest quota etcd takes seriously.
        let etcd = Etcd::start_with(Age::New, 1, &["--quota-backend-bytes=2000000"], None).await;
        let server = TestServer::start_with(over(&etcd)).await.unwrap();
        let client = server.client().unwrap();
        let filler = "x".repeat(500_000);
        let mut refused = None;
        for n in 0..20 {
            let body = format!(r#"{{"metadata":{{"name":"a{n}"}},"data":{{"k":"{filler}"}}}}"#);
            let made = within(client.post(CONFIG_MAPS, body)).await.unwrap();
            if made.status != 201 {
                refused = Some(made);
                break;
            }
        }
        let refused = refused.expect("it is full by now");
        assert_eq!((refused.status, refused.reason().as_str()), (500, ""));
        assert_eq!(refused.message(), "etcdserver: mvcc: database space exceeded");
        assert_eq!(within(client.get(&format!("{CONFIG_MAPS}/a0"))).await.unwrap().status, 200);
    });
}
