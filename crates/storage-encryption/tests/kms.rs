//! KMS providers over a real socket, with the plugin for tests behind it.

use std::path::Path;

use meta::GroupResource;
use storage_encryption::test_plugin::TestPlugin;
use storage_encryption::wire::{v1, v2};
use storage_encryption::{Encryption, EncryptionOptions};

async fn load(folder: &Path, version: &str) -> Encryption {
    let path = folder.join("encryption.yaml");
    let socket = folder.join("kms.sock");
    let content = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - kms: {{apiVersion: {version}, name: test, endpoint: 'unix://{}', timeout: 30s}}\n  - identity: {{}}\n",
        socket.display()
    );
    std::fs::write(&path, content).expect("the file is written");
    let options = EncryptionOptions { path, reload: false, kms_v1: true };
    Encryption::load(environment::real::environment(), options).await.expect("the file is right")
}

fn secrets() -> GroupResource {
    GroupResource::new("", "secrets")
}

#[tokio::test]
async fn version_2_seals_and_opens_over_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = TestPlugin::start(&folder.path().join("kms.sock")).unwrap();
    let first = load(folder.path(), "v2").await.transformer(secrets());
    let value = first.to_storage("data".into(), b"/a").unwrap();
    assert!(value.starts_with(b"k8s:enc:kms:v2:test:"));
    assert_eq!(first.from_storage(value.clone(), b"/a").unwrap(), ("data".into(), false));
    assert_eq!(plugin.calls(v2::DECRYPT), 0);

    // Another server, after the plugin has got another key.
    plugin.set_key_id("2");
    let second = load(folder.path(), "v2").await.transformer(secrets());
    assert!(second.from_storage(value.clone(), b"/a").is_err(), "the plugin was not asked yet");
    assert_eq!(
        second.from_storage_or_wait(value.clone(), b"/a").wait().await.unwrap(),
        ("data".into(), true)
    );
    assert_eq!(second.from_storage(value, b"/a").unwrap(), ("data".into(), true));
    assert_eq!(plugin.calls(v2::DECRYPT), 1);
}

#[tokio::test]
async fn version_1_seals_and_opens_over_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = TestPlugin::start(&folder.path().join("kms.sock")).unwrap();
    let encryption = load(folder.path(), "v1").await;
    let transformer = encryption.transformer(secrets());
    let value = transformer.to_storage_or_wait("data".into(), b"/a").wait().await.unwrap();
    assert!(value.starts_with(b"k8s:enc:kms:v1:test:"));
    assert_eq!(transformer.from_storage(value, b"/a").unwrap(), ("data".into(), false));
    let checks = encryption.health_checks();
    assert_eq!(checks[0].name, "kms-provider-0");
    assert_eq!(checks[0].check().await, Ok(()));
    assert_eq!((plugin.calls(v1::VERSION), plugin.calls(v1::ENCRYPT)), (1, 2));
}

#[tokio::test]
async fn a_plugin_that_is_not_there_lets_the_server_start_but_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let encryption = load(folder.path(), "v2").await;
    let [check] = &encryption.health_checks()[..] else { panic!("one check for all") };
    assert_eq!(check.name, "kms-providers");
    let error = check.check().await.unwrap_err();
    let expect = "failed to perform status section of the healthz check for KMS Provider test, error: rpc error: code = Unavailable";
    assert!(error.starts_with(expect), "{error}");
    let transformer = encryption.transformer(secrets());
    let error = transformer.to_storage("data".into(), b"/a").unwrap_err();
    assert_eq!(error.to_string(), "got unexpected nil transformer");
    assert_eq!(transformer.from_storage("{}".into(), b"/a").unwrap(), ("{}".into(), true));
}

#[tokio::test]
async fn an_ill_plugin_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = TestPlugin::start(&folder.path().join("kms.sock")).unwrap();
    plugin.set_healthz("ill");
    let encryption = load(folder.path(), "v2").await;
    let error = encryption.health_checks()[0].check().await.unwrap_err();
    assert_eq!(error, "kmsv2 Provider test is not healthy, error: got unexpected healthz status: ill");
}
