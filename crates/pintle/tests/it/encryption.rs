//! Encryption at rest from outside: what lies on disk, what is read back, and
//! what happens when keys, files or plugins change.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use environment::{Clock, Environment};
use futures::future::BoxFuture;
use http::Request;
use pintle::Server;
use serde_json::{Value, json};
use storage_encryption::EncryptionOptions;
use storage_encryption::test_plugin::TestPlugin;
use test_server::TestServer;
use test_server::client::Client;

use crate::metrics::{scrape, value};
use crate::process::{Pintle, contents, refused};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const KEY: &str = "cGludGxlLXRlc3Qta2V5LW9mLTMyLWJ5dGVzLWFhYWE=";
const OTHER_KEY: &str = "cGludGxlLXRlc3Qta2V5LW9mLTMyLWJ5dGVzLWJiYmI=";

fn configure(file: &Path, provider: &str) {
    let content = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [secrets]\n  providers: [{provider}, {{identity: {{}}}}]\n"
    );
    fs::write(file, content).unwrap();
}

fn aescbc(keys: &[(&str, &str)]) -> String {
    let keys: Vec<String> =
        keys.iter().map(|(name, secret)| format!("{{name: {name}, secret: {secret}}}")).collect();
    format!("{{aescbc: {{keys: [{}]}}}}", keys.join(", "))
}

async fn start(file: &Path, kms_v1: bool) -> anyhow::Result<TestServer> {
    let options = EncryptionOptions { path: file.to_owned(), reload: false, kms_v1 };
    TestServer::start_with(|flags| flags.encryption.options = Some(options)).await
}

async fn make(client: &Client, path: &str, body: Value) -> Value {
    let made = client.post(path, body.to_string()).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()
}

async fn get(client: &Client, path: &str) -> Value {
    let found = client.get(path).await.unwrap();
    assert_eq!(found.status, 200, "{}", found.text());
    found.json()
}

/// Writes an object as it was read, and gives its new resourceVersion.
async fn touch(client: &Client, path: &str) -> String {
    let object = get(client, path).await;
    let request = Request::builder().method("PUT").uri(path).header("Content-Type", "application/json");
    let answer = client.request(request.body(object.to_string().into()).unwrap()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

/// How often a text lies in the files of a store.
fn on_disk(folder: &Path, text: &str) -> usize {
    let found = |bytes: &Vec<u8>| bytes.windows(text.len()).filter(|part| *part == text.as_bytes()).count();
    contents(&folder.join("store")).values().map(found).sum()
}

#[tokio::test]
async fn secrets_lie_encrypted_on_disk_and_are_read_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e.yaml");
    configure(&file, &aescbc(&[("one", KEY)]));
    let data = folder.path().join("data");
    let flags = ["--encryption-provider-config", file.to_str().unwrap()];
    let server = Pintle::start_with(&data, &flags).await;
    let body = |text: &str| json!({"metadata": {"name": "a"}, "stringData": {"k": text}});
    let made = make(&server.admin(), SECRETS, body("never-in-plain-text")).await;
    make(&server.admin(), CONFIG_MAPS, json!({"metadata": {"name": "a"}, "data": {"k": "for-everybody"}}))
        .await;
    server.stop().await;
    assert_eq!(on_disk(&data, "never-in-plain-text"), 0);
    assert_eq!(on_disk(&data, "k8s:enc:aescbc:v1:one:"), 1);
    assert_ne!(on_disk(&data, "for-everybody"), 0, "what is not encrypted would be found");

    let server = Pintle::start_with(&data, &flags).await;
    assert_eq!(get(&server.admin(), &format!("{SECRETS}/a")).await, made);
    let listed = get(&server.admin(), SECRETS).await;
    assert_eq!(listed["items"][0]["data"], made["data"]);
    server.stop().await;

    // Without the file the secret is there, but nobody can read it.
    let server = Pintle::start(&data).await;
    let unreadable = server.admin().get(&format!("{SECRETS}/a")).await.unwrap();
    assert_eq!(unreadable.status, 500, "{}", unreadable.text());
    server.stop().await;
}

#[tokio::test]
async fn an_update_that_changes_nothing_writes_with_the_new_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e.yaml");
    configure(&file, &aescbc(&[("old", KEY)]));
    let mut server = start(&file, false).await.unwrap();
    let path = format!("{SECRETS}/a");
    let body = json!({"metadata": {"name": "a"}, "stringData": {"k": "v"}});
    let made = make(&server.client().unwrap(), SECRETS, body).await;
    let first = made["metadata"]["resourceVersion"].as_str().unwrap();
    assert_eq!(touch(&server.client().unwrap(), &path).await, first, "nothing was stale");

    configure(&file, &aescbc(&[("new", OTHER_KEY), ("old", KEY)]));
    server.restart().await.unwrap();
    assert_eq!(on_disk(server.data_folder(), "k8s:enc:aescbc:v1:new:"), 0);
    let second = touch(&server.client().unwrap(), &path).await;
    assert_ne!(second, first, "it was not written anew");
    assert_eq!(touch(&server.client().unwrap(), &path).await, second);

    configure(&file, &aescbc(&[("new", OTHER_KEY)]));
    server.restart().await.unwrap();
    assert_ne!(on_disk(server.data_folder(), "k8s:enc:aescbc:v1:new:"), 0);
    let found = get(&server.client().unwrap(), &path).await;
    assert_eq!(found["data"], made["data"]);
    server.stop().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_named_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("e.yaml"));
    let flag = format!("--encryption-provider-config={}", file.display());
    let check = async |expected: &str| {
        let error = refused(&data, &[&flag]).await;
        assert!(error.contains(file.to_str().unwrap()) && error.contains(expected), "{error}");
        assert!(error.contains("--encryption-provider-config"), "{error}");
        assert!(!data.exists(), "it made the folder");
    };
    check("error reading encryption provider configuration file").await;
    fs::write(&file, "").unwrap();
    check("is empty").await;
    configure(&file, &aescbc(&[("short", "c2hvcnQ=")]));
    check("secret is not of the expected length").await;
    configure(&file, "{kms: {name: p, endpoint: 'unix:///s'}}");
    check("--feature-gates=KMSv1=true").await;
}

#[tokio::test]
async fn a_plugin_of_either_protocol_encrypts() {
    for (version, check) in [("v1", "kms-provider-0"), ("v2", "kms-providers")] {
        let folder = tempfile::tempdir().unwrap();
        let (file, socket) = (folder.path().join("e.yaml"), folder.path().join("kms"));
        let _plugin = TestPlugin::start(&socket).unwrap();
        let endpoint = format!("unix://{}", socket.display());
        configure(&file, &format!("{{kms: {{apiVersion: {version}, name: p, endpoint: '{endpoint}'}}}}"));
        let mut server = start(&file, version == "v1").await.unwrap();
        let body = json!({"metadata": {"name": "a"}, "stringData": {"k": "never-in-plain-text"}});
        let made = make(&server.client().unwrap(), SECRETS, body).await;
        server.restart().await.unwrap();
        assert_eq!(on_disk(server.data_folder(), "never-in-plain-text"), 0);
        assert_ne!(on_disk(server.data_folder(), &format!("k8s:enc:kms:{version}:p:")), 0);
        let client = server.client().unwrap();
        assert_eq!(get(&client, &format!("{SECRETS}/a")).await, made);
        let listed = get(&client, SECRETS).await;
        assert_eq!(listed["items"][0]["data"], made["data"]);
        for (endpoint, status) in [("healthz", 200), ("readyz", 200), ("livez", 404)] {
            let answer = client.get(&format!("/{endpoint}/{check}")).await.unwrap();
            assert_eq!(answer.status, status, "{endpoint}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_sick_plugin_takes_readiness_but_not_life() {
    let folder = tempfile::tempdir().unwrap();
    let (file, socket) = (folder.path().join("e.yaml"), folder.path().join("kms"));
    let plugin = TestPlugin::start(&socket).unwrap();
    plugin.set_healthz("sick");
    let endpoint = format!("unix://{}", socket.display());
    configure(&file, &format!("{{kms: {{apiVersion: v2, name: p, endpoint: '{endpoint}'}}}}"));
    let server = start(&file, false).await.unwrap();
    let client = server.client().unwrap();
    for (path, status) in [("/healthz", 500), ("/readyz", 500), ("/livez", 200)] {
        assert_eq!(client.get(path).await.unwrap().status, status, "{path}");
    }
    server.stop().await;
}

/// The real world, but for minutes, which last a second: so that files are looked at more often.
pub fn hasty() -> Environment {
    let real = environment::real::environment();
    Environment { clock: Arc::new(Hasty(real.clock.clone())), ..real }
}

struct Hasty(Arc<dyn Clock>);

impl Clock for Hasty {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(if duration == Duration::from_secs(60) { Duration::from_secs(1) } else { duration })
    }
}

/// Waits until a condition holds; a test that waits longer than a minute has failed.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited in vain for {what}");
}

#[tokio::test]
async fn a_changed_file_takes_effect_without_a_restart_and_a_wrong_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e.yaml");
    configure(&file, &aescbc(&[("old", KEY)]));
    let mut builder = Server::builder().data_dir(folder.path().join("data")).environment(hasty());
    let options = EncryptionOptions { path: file.clone(), reload: true, kms_v1: false };
    builder.flags().encryption.options = Some(options);
    let server = builder.start().await.unwrap();
    let client =
        Client::new(server.address(), server.authority_pem()).unwrap().with_token(server.admin_token());
    let body = json!({"metadata": {"name": "a"}, "stringData": {"k": "v"}});
    let made = make(&client, SECRETS, body).await;
    let first = made["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{SECRETS}/a");
    assert_eq!(touch(&client, &path).await, first, "nothing was stale");

    const RELOADS: &str = "apiserver_encryption_config_controller_automatic_reloads_total";
    let reloads = async |status: &str| {
        let series = scrape(&client).await;
        let own = |name: &String| name.starts_with(RELOADS) && name.contains(&format!("status=\"{status}\""));
        series.iter().filter(|(name, _)| own(name)).map(|(_, count)| count).sum::<f64>()
    };
    assert_eq!(reloads("success").await, 0.0);
    configure(&file, &aescbc(&[("new", OTHER_KEY), ("old", KEY)]));
    until("the new key", async || reloads("success").await == 1.0).await;
    assert_ne!(touch(&client, &path).await, first, "it was not written anew");
    assert_ne!(on_disk(&folder.path().join("data"), "k8s:enc:aescbc:v1:new:"), 0);

    fs::write(&file, "nonsense").unwrap();
    until("the refusal", async || reloads("failure").await >= 1.0).await;
    assert_eq!(reloads("success").await, 1.0);
    assert_eq!(get(&client, &path).await["data"], made["data"]);
    let series = scrape(&client).await;
    let transformed = |direction: &str| {
        let labels = format!("transformation_type=\"{direction}\",transformer_prefix=\"k8s:enc:aescbc:v1:\"");
        let name = "apiserver_storage_transformation";
        let operations = value(&series, &format!("{name}_operations_total{{{labels},status=\"OK\"}}"));
        assert_eq!(value(&series, &format!("{name}_duration_seconds_count{{{labels}}}")), operations);
        assert!(series.contains_key(&format!("{name}_duration_seconds_bucket{{{labels},le=\"5e-06\"}}")));
        operations
    };
    assert!(transformed("to_storage") >= 2.0 && transformed("from_storage") >= 1.0);
    server.shutdown().await;
}

#[tokio::test]
async fn the_binary_tells_the_health_of_plugins_and_counts_their_calls() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file, socket) =
        (folder.path().join("data"), folder.path().join("e.yaml"), folder.path().join("kms"));
    let plugin = TestPlugin::start(&socket).unwrap();
    plugin.set_healthz("sick");
    let endpoint = format!("unix://{}", socket.display());
    configure(&file, &format!("{{kms: {{apiVersion: v2, name: p, endpoint: '{endpoint}'}}}}"));
    let flags = ["--encryption-provider-config", file.to_str().unwrap()];
    let server = Pintle::start_with(&data, &flags).await;
    let client = server.admin();
    let status = async |path: &str| client.get(path).await.unwrap().status;
    for (path, expected) in
        [("/healthz", 500), ("/readyz", 500), ("/livez", 200), ("/healthz/kms-providers", 500)]
    {
        assert_eq!(status(path).await, expected, "{path}");
    }
    plugin.set_healthz("ok");
    until("health", async || status("/readyz/kms-providers").await == 200).await;
    assert_eq!(status("/readyz").await, 200);

    make(&client, SECRETS, json!({"metadata": {"name": "a"}, "stringData": {"k": "v"}})).await;
    get(&client, &format!("{SECRETS}/a")).await;
    let series = scrape(&client).await;
    let call = |method: &str, code: &str| {
        value(
            &series,
            &format!(
                "apiserver_envelope_encryption_kms_operations_latency_seconds_count{{provider_name=\"p\",\
                 method_name=\"/v2.KeyManagementService/{method}\",grpc_status_code=\"{code}\"}}"
            ),
        )
    };
    assert!(call("Status", "OK") >= 2.0 && call("Encrypt", "OK") == 1.0, "{series:?}");
    assert_eq!(value(&series, "apiserver_storage_data_key_generation_duration_seconds_count"), 1.0);
    let held = "apiserver_envelope_encryption_dek_source_cache_size{provider_name=\"p\"}";
    assert_eq!(value(&series, held), 1.0);
    let used = |direction: &str| {
        let own = format!(
            "apiserver_envelope_encryption_key_id_hash_total{{transformation_type=\"{direction}\",\
             provider_name=\"p\",key_id_hash=\"sha256:"
        );
        series.iter().filter(|(name, _)| name.starts_with(&own)).map(|(_, count)| count).sum::<f64>()
    };
    assert!(used("to_storage") >= 1.0);
    server.stop().await;

    // Another process has to ask for the key of what it reads.
    let server = Pintle::start_with(&data, &flags).await;
    get(&server.admin(), &format!("{SECRETS}/a")).await;
    let series = scrape(&server.admin()).await;
    assert_eq!(value(&series, "apiserver_storage_envelope_transformation_cache_misses_total"), 1.0);
    drop(plugin);
    server.stop().await;
}
