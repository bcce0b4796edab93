//! Watches.

use bytes::Bytes;
use http_body_util::BodyExt;
use server::respond::Body;

use crate::harness::Api;

const WATCH: &str = "/api/v1/namespaces/n/configmaps?watch=1";

/// Events of a JSON watch, one at a time.
struct Events {
    body: Body,
    rest: Vec<u8>,
}

impl Events {
    async fn open(api: &Api, query: &str, headers: &[(&str, &str)]) -> Events {
        let response = api.open(&format!("{WATCH}{query}"), headers).await;
        assert_eq!(response.status(), 200);
        Events { body: response.into_body(), rest: Vec::new() }
    }

    /// The next event, none at the end of the stream.
    async fn next(&mut self) -> Option<serde_json::Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame: Bytes = self.body.frame().await?.unwrap().into_data().unwrap();
            self.rest.extend_from_slice(&frame);
        }
    }
}

#[tokio::test]
async fn a_watch_tells_the_state_then_what_changes() {
    let api = Api::new();
    api.create_config_map("a", "v").await;
    let query = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = Events::open(&api, query, &[]).await;
    let added = events.next().await.unwrap();
    assert_eq!(
        (added["type"].as_str(), added["object"]["kind"].as_str()),
        (Some("ADDED"), Some("ConfigMap"))
    );
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    api.create_config_map("b", "v").await;
    assert_eq!(events.next().await.unwrap()["object"]["metadata"]["name"], "b");
    api.send("DELETE", "/api/v1/namespaces/n/configmaps/a", &[], "").await;
    let deleted = events.next().await.unwrap();
    assert_eq!((&deleted["type"], &deleted["object"]["metadata"]["name"]), (&"DELETED".into(), &"a".into()));
}

#[tokio::test]
async fn only_the_first_table_of_a_watch_has_columns() {
    let api = Api::new();
    api.create_config_map("a", "v").await;
    api.create_config_map("b", "v").await;
    let table = ("accept", "application/json;as=Table;g=meta.k8s.io;v=v1");
    let mut events = Events::open(&api, "", &[table]).await;
    assert_eq!(events.next().await.unwrap()["object"]["columnDefinitions"][0]["name"], "Name");
    let second = events.next().await.unwrap();
    assert!(second["object"]["columnDefinitions"].is_null());
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_over_and_when_the_server_stops() {
    let api = Api::new();
    let mut timed = Events::open(&api, "&timeoutSeconds=1", &[]).await;
    assert_eq!(timed.next().await, None);
    let mut stopped = Events::open(&api, "", &[]).await;
    api.stopper.stop();
    assert_eq!(stopped.next().await, None);
}

#[tokio::test]
async fn a_watch_in_yaml_is_refused() {
    let api = Api::new();
    let answer = api.send("GET", WATCH, &[("accept", "application/yaml")], "").await;
    assert_eq!(answer.code, 406);
    assert_eq!(answer.headers["content-type"], "application/yaml");
}
