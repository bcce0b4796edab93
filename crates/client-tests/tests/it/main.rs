//! kube-rs against a server of this process. One test binary, a file per
//! concern; every test has a server of its own.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod deletion;
mod discovery;
mod lists;
mod objects;
mod patches;
mod watches;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use test_server::TestServer;

/// A server and the client its kubeconfig makes.
async fn start() -> (TestServer, Client) {
    let server = TestServer::start().await.unwrap();
    let client = client(&server).await;
    // What a controller does in a cluster: without the account no pod is admitted.
    let account = ServiceAccount {
        metadata: ObjectMeta { name: Some("default".into()), ..ObjectMeta::default() },
        ..ServiceAccount::default()
    };
    let accounts = Api::<ServiceAccount>::default_namespaced(client.clone());
    accounts.create(&PostParams::default(), &account).await.unwrap();
    (server, client)
}

async fn client(server: &TestServer) -> Client {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Waits for what should happen soon, so that a test whose event never comes fails instead of hanging.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it did not happen")
}

/// Code and reason of the Status a call was refused with.
#[track_caller]
fn refusal<T: Debug>(result: kube::Result<T>) -> (u16, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.reason.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

/// An object of a type from its JSON.
fn of<K: serde::de::DeserializeOwned>(json: Value) -> K {
    serde_json::from_value(json).unwrap()
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    of(json!({"metadata": {"name": name}, "data": {"k": value}}))
}
