//! Objects that nobody can read any more: how they are named, and how they are
//! deleted where gate AllowUnsafeMalformedObjectDeletion is on.

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::Method;
use pintle::Server;
use serde_json::{Value, json};
use storage_encryption::EncryptionOptions;
use test_server::client::{Answer, Client};

use crate::encryption::{hasty, until};
use crate::process::Pintle;

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const OPTION: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";
const GATE: &str = "--feature-gates=AllowUnsafeMalformedObjectDeletion=true";
const KEY: &str = "cGludGxlLXRlc3Qta2V5LW9mLTMyLWJ5dGVzLWFhYWE=";
const OTHER_KEY: &str = "cGludGxlLXRlc3Qta2V5LW9mLTMyLWJ5dGVzLWJiYmI=";

fn configure(file: &Path, key: &str) {
    let provider = format!("{{aesgcm: {{keys: [{{name: k, secret: {key}}}]}}}}");
    let content = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [secrets]\n  providers: [{provider}]\n"
    );
    fs::write(file, content).unwrap();
}

async fn make(client: &Client, name: &str) {
    let body = json!({"metadata": {"name": name, "finalizers": ["e.com/f"]}});
    let made = client.post(SECRETS, body.to_string()).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
}

async fn delete(client: &Client, path: &str, options: Value) -> Answer {
    client.send(Method::DELETE, path, "application/json", options.to_string()).await.unwrap()
}

async fn delete_unseen(client: &Client, name: &str) -> Answer {
    delete(client, &format!("{SECRETS}/{name}"), json!({OPTION: true})).await
}

/// A folder whose secrets `lost` and `lost-too` are sealed with a key that the file no longer has.
async fn lose_the_key(data: &Path, file: &Path) {
    configure(file, KEY);
    let server = Pintle::start_with(data, &["--encryption-provider-config", file.to_str().unwrap()]).await;
    make(&server.admin(), "lost").await;
    make(&server.admin(), "lost-too").await;
    server.stop().await;
    configure(file, OTHER_KEY);
}

#[tokio::test]
async fn objects_whose_key_was_lost_are_named_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("e.yaml"));
    lose_the_key(&data, &file).await;
    let server =
        Pintle::start_with(&data, &["--encryption-provider-config", file.to_str().unwrap(), GATE]).await;
    let client = server.admin();
    make(&client, "good").await;

    let got = client.get(&format!("{SECRETS}/lost")).await.unwrap();
    assert_eq!((got.status, got.reason().as_str()), (500, "InternalError"));
    assert_eq!(
        got.message(),
        "Internal error occurred: StorageError: corrupt object, Code: 7, Key: /secrets/default/lost, \
         ResourceVersion: 0, AdditionalErrorMsg: data from the storage is not transformable revision=0: cipher: \
         message authentication failed"
    );
    let listed = client.get(SECRETS).await.unwrap();
    assert_eq!((listed.status, listed.reason().as_str()), (500, "StorageReadError"));
    let details = &listed.json()["details"];
    assert_eq!((&details["kind"], &details["name"]), (&json!("secrets"), &json!("list")));
    let keys: Vec<&Value> =
        details["causes"].as_array().unwrap().iter().map(|cause| &cause["field"]).collect();
    assert_eq!(keys, ["/registry/secrets/default/lost", "/registry/secrets/default/lost-too"]);

    let plain = delete(&client, &format!("{SECRETS}/lost"), json!({})).await;
    assert_eq!((plain.status, plain.reason().as_str()), (500, "InternalError"));
    let collection = delete(&client, SECRETS, json!({OPTION: true})).await;
    assert_eq!(collection.status, 422, "{}", collection.text());
    assert!(
        collection.message().contains("is not allowed with DELETECOLLECTION"),
        "{}",
        collection.message()
    );
    let readable = delete_unseen(&client, "good").await;
    assert_eq!(readable.status, 422, "{}", readable.text());
    assert!(readable.message().starts_with("secrets \"good\" is invalid: "), "{}", readable.message());

    let gone = delete_unseen(&client, "lost").await;
    assert_eq!(
        gone.json(),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
               "details": {"name": "lost", "kind": "Secret"}, "code": 200})
    );
    assert_eq!(client.get(&format!("{SECRETS}/lost")).await.unwrap().status, 404);
    assert_eq!(delete_unseen(&client, "lost-too").await.status, 200);
    let listed = client.get(SECRETS).await.unwrap();
    let names: Vec<Value> = listed.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, ["good"]);
    server.stop().await;
}

#[tokio::test]
async fn a_watch_without_a_cache_hears_of_the_deletion_as_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("e.yaml"));
    lose_the_key(&data, &file).await;
    let flags = ["--encryption-provider-config", file.to_str().unwrap(), GATE, "--watch-cache=false"];
    let server = Pintle::start_with(&data, &flags).await;
    let client = server.admin();
    let made =
        client.post("/api/v1/namespaces/default/configmaps", r#"{"metadata":{"name":"now"}}"#).await.unwrap();
    let now = made.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut watch = client.watch(&format!("{SECRETS}?watch=true&resourceVersion={now}")).await.unwrap();
    assert_eq!(delete_unseen(&client, "lost").await.status, 200);
    let event = watch.next().await.unwrap().unwrap();
    assert_eq!((&event["type"], &event["object"]["reason"]), (&json!("ERROR"), &json!("StorageReadError")));
    let message = event["object"]["message"].as_str().unwrap();
    let expected =
        "saw a DELETED event, but object data is corrupt - data from the storage is not transformable";
    assert!(message.starts_with(expected), "{message}");
    server.stop().await;
}

#[tokio::test]
async fn the_option_goes_with_no_other_and_means_nothing_without_the_gate() {
    let folder = tempfile::tempdir().unwrap();
    let others = json!({OPTION: true, "dryRun": ["All"], "gracePeriodSeconds": 0, "preconditions": {},
                        "propagationPolicy": "Background"});
    let path = format!("{SECRETS}/a");
    let body = r#"{"metadata":{"name":"a"}}"#;

    let server = Pintle::start_with(&folder.path().join("with"), &[GATE]).await;
    let client = server.admin();
    client.post(SECRETS, body).await.unwrap();
    let refused = delete(&client, &path, others.clone()).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    let causes: Vec<Value> = refused.json()["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| {
            assert_eq!(cause["field"], OPTION);
            cause["message"].clone()
        })
        .collect();
    let expected = [".dryRun", ".propagationPolicy", ".gracePeriodSeconds", ".preconditions"]
        .map(|other| json!(format!("Invalid value: true: cannot be set together with {other}")));
    assert_eq!(causes, expected);
    server.stop().await;

    let server = Pintle::start(&folder.path().join("without")).await;
    let client = server.admin();
    client.post(SECRETS, body).await.unwrap();
    assert_eq!(delete(&client, &path, others).await.status, 200);
    assert_eq!(client.get(&path).await.unwrap().status, 200, "it was a dry run");
    assert_eq!(delete(&client, &format!("{path}?{OPTION}=true"), json!({OPTION: true})).await.status, 200);
    assert_eq!(client.get(&path).await.unwrap().status, 404);
    server.stop().await;
}

#[tokio::test]
async fn what_a_cache_still_holds_is_judged_by_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e.yaml");
    configure(&file, KEY);
    let mut builder = Server::builder().data_dir(folder.path().join("data")).environment(hasty());
    builder.flags().features.unsafe_deletion = true;
    let options = EncryptionOptions { path: file.clone(), reload: true, kms_v1: false };
    builder.flags().encryption.options = Some(options);
    let server = builder.start().await.unwrap();
    let client =
        Client::new(server.address(), server.authority_pem()).unwrap().with_token(server.admin_token());
    make(&client, "lost").await;
    let listed = client.get(SECRETS).await.unwrap().json();
    let revision = listed["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = client.watch(&format!("{SECRETS}?watch=true&resourceVersion={revision}")).await.unwrap();
    let readable = delete_unseen(&client, "lost").await;
    assert_eq!(readable.status, 422, "{}", readable.text());

    configure(&file, OTHER_KEY);
    until("the loss of the key", async || delete_unseen(&client, "lost").await.status == 200).await;
    assert_eq!(client.get(&format!("{SECRETS}/lost")).await.unwrap().status, 404);
    until("a list without it", async || {
        let listed = client.get(SECRETS).await.unwrap();
        listed.status == 200 && listed.json()["items"].as_array().unwrap().is_empty()
    })
    .await;
    // Nobody can say what went, so whoever watched has to list again.
    let ended = tokio::time::timeout(Duration::from_secs(30), watch.next()).await.expect("the watch ends");
    assert!(matches!(ended, Ok(None)), "{ended:?}");
    server.shutdown().await;
}
