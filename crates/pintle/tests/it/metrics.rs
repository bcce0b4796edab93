//! `/metrics` of a running server: names, labels, and numbers that move.

use std::collections::BTreeMap;

use http::Method;
use test_server::client::Client;

use crate::process::Pintle;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const EVENTS: &str = "/api/v1/namespaces/default/events";

/// Every series with its value. What is written must be well-formed, each series there once.
pub async fn scrape(client: &Client) -> BTreeMap<String, f64> {
    let text = client.get("/metrics").await.unwrap().text();
    let mut series = BTreeMap::new();
    let mut families: Vec<&str> = Vec::new();
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let name = typed.split(' ').next().unwrap();
            assert!(!families.contains(&name), "{name} comes twice");
            families.push(name);
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let family = name.split('{').next().unwrap();
        let own =
            |suffix: &str| family.strip_suffix(suffix).is_some_and(|family| families.last() == Some(&family));
        assert!(
            ["", "_bucket", "_sum", "_count"].into_iter().any(own),
            "{line} stands in {:?}",
            families.last()
        );
        let before = series.insert(name.to_owned(), value.parse().unwrap_or(f64::NAN));
        assert!(before.is_none(), "{name} stands there twice");
    }
    series
}

/// The value of a series, 0 if it is not there.
pub fn value(series: &BTreeMap<String, f64>, name: &str) -> f64 {
    series.get(name).copied().unwrap_or_default()
}

#[tokio::test]
async fn requests_to_the_store_are_counted_by_operation_and_resource() {
    let folder = tempfile::tempdir().unwrap();
    let server = Pintle::start_with(&folder.path().join("data"), &["--watch-cache=false"]).await;
    let client = server.admin();
    let before = scrape(&client).await;
    let path = format!("{CONFIG_MAPS}/a");
    client.post(CONFIG_MAPS, r#"{"metadata":{"name":"a"}}"#).await.unwrap();
    client.post(CONFIG_MAPS, r#"{"metadata":{"name":"a"}}"#).await.unwrap();
    let patch = r#"{"data":{"k":"v"}}"#;
    let patched = client.send(Method::PATCH, &path, "application/merge-patch+json", patch).await.unwrap();
    assert_eq!(patched.status, 200, "{}", patched.text());
    client.get(&path).await.unwrap();
    client.get(&format!("{CONFIG_MAPS}?labelSelector=none%3Dof")).await.unwrap();
    let deleted = client.send(Method::DELETE, &path, "", "").await.unwrap();
    assert_eq!(deleted.status, 200, "{}", deleted.text());

    let after = scrape(&client).await;
    let moved = |name: &str| value(&after, name) - value(&before, name);
    let labels = |operation: &str| format!(r#"operation="{operation}",group="",resource="configmaps""#);
    for (operation, at_least) in
        [("create", 2.0), ("update", 1.0), ("get", 2.0), ("list", 1.0), ("delete", 1.0)]
    {
        let labels = labels(operation);
        let requests = moved(&format!("etcd_requests_total{{{labels}}}"));
        assert!(requests >= at_least, "{operation}: {requests}");
        assert_eq!(moved(&format!("etcd_request_duration_seconds_count{{{labels}}}")), requests);
        assert_eq!(moved(&format!("etcd_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}}")), requests);
        assert!(
            after.contains_key(&format!("etcd_request_duration_seconds_bucket{{{labels},le=\"0.005\"}}"))
        );
        assert!(after.contains_key(&format!("etcd_request_duration_seconds_bucket{{{labels},le=\"1\"}}")));
        // That a key exists already is no failure of the request.
        assert_eq!(moved(&format!("etcd_request_errors_total{{{labels}}}")), 0.0);
    }
    let of_config_maps = r#"{group="",resource="configmaps"}"#;
    for (name, expected) in [
        ("apiserver_storage_list_total", 1.0),
        ("apiserver_storage_list_fetched_objects_total", 1.0),
        ("apiserver_storage_list_evaluated_objects_total", 1.0),
        ("apiserver_storage_list_returned_objects_total", 0.0),
    ] {
        assert_eq!(moved(&format!("{name}{of_config_maps}")), expected, "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn watches_and_leases_and_sizes_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Pintle::start(&folder.path().join("data")).await;
    let client = server.admin();
    for n in 0..3 {
        let made = client.post(CONFIG_MAPS, format!(r#"{{"metadata":{{"name":"a{n}"}}}}"#)).await.unwrap();
        assert_eq!(made.status, 201, "{}", made.text());
    }
    // Fills the cache, which follows the store from then on.
    client.get(CONFIG_MAPS).await.unwrap();
    let before = scrape(&client).await;
    client.post(CONFIG_MAPS, r#"{"metadata":{"name":"b"}}"#).await.unwrap();
    client.get(CONFIG_MAPS).await.unwrap();
    let event = r#"{"metadata":{"name":"e","namespace":"default"},"involvedObject":{"namespace":"default"}}"#;
    let made = client.post(EVENTS, event).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.text());

    let after = scrape(&client).await;
    let moved = |name: &str| value(&after, name) - value(&before, name);
    let of_config_maps = r#"{group="",resource="configmaps"}"#;
    assert_eq!(moved(&format!("apiserver_storage_events_received_total{of_config_maps}")), 1.0);
    assert_eq!(moved(&format!("apiserver_resource_objects{of_config_maps}")), 1.0);
    assert_eq!(moved(r#"apiserver_storage_objects{resource="configmaps"}"#), 1.0);
    let estimate = value(&after, &format!("apiserver_resource_size_estimate_bytes{of_config_maps}"));
    let objects = value(&after, &format!("apiserver_resource_objects{of_config_maps}"));
    assert!((50.0 * objects..5000.0 * objects).contains(&estimate), "{objects} objects of {estimate} bytes");
    // Nobody holds events, so nobody knows how large they are.
    let events = r#"apiserver_resource_size_estimate_bytes{group="",resource="events"}"#;
    assert_eq!(value(&after, events), -1.0);
    assert_eq!(value(&after, r#"etcd_lease_object_counts_bucket{le="10"}"#), 1.0);
    assert_eq!(value(&after, "etcd_lease_object_counts_count"), 1.0);
    assert!(value(&after, r#"apiserver_storage_size_bytes{storage_cluster_id="etcd-0"}"#) > 0.0);
    server.stop().await;
}
