//! How it ends: asked to, and without being asked.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::json;
use test_server::client::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::process::Pintle;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn sigterm_ends_watches_and_lets_a_request_on_its_way_finish() {
    let folder = tempfile::tempdir().unwrap();
    let pintle = Pintle::start(folder.path()).await;
    let mut watch = pintle.admin().watch(&format!("{CONFIG_MAPS}?watch=1")).await.unwrap();

    // Half of a request is on its way when the signal comes.
    let body = r#"{"metadata":{"name":"late"}}"#;
    let (half, rest) = body.split_at(10);
    let mut upload = pintle.admin().stream().await.unwrap();
    let head = format!(
        "POST {CONFIG_MAPS} HTTP/1.1\r\nHost: pintle\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    upload.write_all(head.as_bytes()).await.unwrap();
    // The interim answer proves that the server works on the request.
    let mut interim = [0; 25];
    upload.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    upload.write_all(half.as_bytes()).await.unwrap();

    pintle.signal(Signal::TERM);
    while let Some(event) = watch.next().await.expect("the watch ends in order, it does not break") {
        assert_eq!(event["type"], "ADDED", "{event}");
    }
    upload.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let status = pintle.wait().await;
    assert_eq!(status.code(), Some(0));

    let again = Pintle::start(folder.path()).await;
    assert_eq!(again.admin().get(&format!("{CONFIG_MAPS}/late")).await.unwrap().status, 200);
    again.stop().await;
}

#[tokio::test]
async fn sigkill_under_concurrent_writes_loses_nothing_acknowledged() {
    const WRITERS: usize = 8;
    const ACKNOWLEDGED_BEFORE_THE_KILL: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let pintle = Pintle::start(folder.path()).await;
    let (acknowledge, mut acknowledged) = mpsc::unbounded_channel();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write_until_it_breaks(pintle.admin(), writer, acknowledge.clone())))
        .collect();
    drop(acknowledge);
    let mut kept = BTreeSet::new();
    while kept.len() < ACKNOWLEDGED_BEFORE_THE_KILL {
        kept.insert(acknowledged.recv().await.expect("writers write until the kill"));
    }
    pintle.signal(Signal::KILL);
    assert!(!pintle.wait().await.success());
    for writer in writers {
        writer.await.unwrap();
    }
    while let Some(name) = acknowledged.recv().await {
        kept.insert(name);
    }

    let again = Pintle::start(folder.path()).await;
    let listed = again.admin().get(CONFIG_MAPS).await.unwrap().json();
    let found: BTreeSet<String> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            assert_eq!(item["data"]["name"], item["metadata"]["name"], "an object came back changed");
            item["metadata"]["name"].as_str().unwrap().to_owned()
        })
        .collect();
    let lost: Vec<_> = kept.difference(&found).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged objects are lost: {lost:?}", lost.len(), kept.len());
    again.stop().await;
}

/// Creates config maps on one connection until it breaks, and reports each that was acknowledged.
async fn write_until_it_breaks(client: Client, writer: usize, acknowledge: mpsc::UnboundedSender<String>) {
    let mut connection = client.connect().await.unwrap();
    for number in 0.. {
        let name = format!("w{writer}-{number}");
        let body = json!({"metadata": {"name": name}, "data": {"name": name}}).to_string();
        match connection.post(CONFIG_MAPS, body).await {
            Ok(answer) if answer.status == 201 => acknowledge.send(name).unwrap(),
            Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
            Err(_) => return,
        }
    }
}
