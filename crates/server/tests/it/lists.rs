//! Collections.

use std::io::Read;

use http::StatusCode;
use serde_json::json;

use crate::harness::Api;

const COLLECTION: &str = "/api/v1/namespaces/n/configmaps";

#[tokio::test]
async fn items_of_a_list_have_no_kind_and_an_empty_list_has_items() {
    let api = Api::new();
    let empty = api.send("GET", COLLECTION, &[], "").await;
    assert_eq!(empty.json()["items"], json!([]));
    api.create_config_map("b", "v").await;
    api.create_config_map("a", "v").await;
    let list = api.send("GET", COLLECTION, &[], "").await;
    assert!(
        list.body
            .starts_with(br#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":""#)
    );
    let list = list.json();
    assert_eq!(list["items"][0]["metadata"]["name"], "a");
    assert!(list["items"][0].get("kind").is_none());
    assert_eq!(
        api.send("GET", "/api/v1/configmaps/", &[], "").await.json()["items"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn pages_follow_each_other_by_token() {
    let api = Api::new();
    for name in ["a", "b", "c"] {
        api.create_config_map(name, "v").await;
    }
    let first = api.send("GET", &format!("{COLLECTION}?limit=2"), &[], "").await.json();
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = api.send("GET", &format!("{COLLECTION}?limit=2&continue={token}"), &[], "").await.json();
    assert_eq!(second["items"][0]["metadata"]["name"], "c");
    assert!(second["metadata"].get("continue").is_none());
}

#[tokio::test]
async fn a_long_list_is_the_same_streamed_compressed_and_whole() {
    let api = Api::new();
    let value = "x".repeat(10_000);
    for i in 0..40 {
        api.create_config_map(&format!("c{i:02}"), &value).await;
    }
    let streamed = api.send("GET", COLLECTION, &[], "").await;
    let list: serde_json::Value = streamed.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 40);
    assert!(streamed.body.ends_with(b"]}\n"));
    let compressed = api.send("GET", COLLECTION, &[("accept-encoding", "gzip")], "").await;
    assert_eq!(compressed.headers["content-encoding"], "gzip");
    assert!(compressed.body.len() < streamed.body.len() / 10);
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&compressed.body[..]).read_to_end(&mut plain).unwrap();
    assert_eq!(plain, streamed.body);
    let pretty = api.send("GET", &format!("{COLLECTION}?pretty=1"), &[], "").await;
    assert_eq!(pretty.json(), list);
    let protobuf = ("accept", "application/vnd.kubernetes.protobuf");
    let protobuf = api.send("GET", COLLECTION, &[protobuf], "").await;
    assert!(protobuf.body.starts_with(b"k8s\0"));
    assert!(codec::protobuf::envelope::unwrap(&protobuf.body).is_ok_and(|list| list.kind == "ConfigMapList"));
}

#[tokio::test]
async fn a_list_can_be_a_table_or_metadata() {
    let api = Api::new();
    api.create_config_map("a", "v").await;
    let accept = |kind| ("accept", format!("application/json;as={kind};g=meta.k8s.io;v=v1"));
    let (name, table) = accept("Table");
    let table =
        api.send("GET", &format!("{COLLECTION}?includeObject=None"), &[(name, &table)], "").await.json();
    assert_eq!(table["columnDefinitions"][1]["name"], "Data");
    assert_eq!((&table["rows"][0]["cells"][1], &table["rows"][0]["object"]), (&json!(1), &json!(null)));
    let (name, partial) = accept("PartialObjectMetadataList");
    let partial = api.send("GET", COLLECTION, &[(name, &partial)], "").await.json();
    assert_eq!(partial["items"][0]["kind"], "PartialObjectMetadata");
    let (name, one) = accept("PartialObjectMetadata");
    let refused = api.send("GET", COLLECTION, &[(name, &one)], "").await;
    assert_eq!(refused.code, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(
        refused.message(),
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    );
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let api = Api::new();
    api.create_config_map("a", "v").await;
    let none = api.send("DELETE", &format!("{COLLECTION}?labelSelector=l%3D2"), &[], "").await;
    assert_eq!(none.json()["items"], json!([]));
    let all = api.send("DELETE", &format!("{COLLECTION}?labelSelector=l%3D1"), &[], "").await;
    assert_eq!((all.code, all.json()["items"].as_array().unwrap().len()), (StatusCode::OK, 1));
    assert_eq!(api.send("GET", COLLECTION, &[], "").await.json()["items"], json!([]));
}
