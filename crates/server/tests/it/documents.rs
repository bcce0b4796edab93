//! Paths that hold no objects.

use crate::harness::{Api, body_of};

async fn code(method: &str, path: &str) -> u16 {
    Api::new().send(method, path, &[], "").await.code.as_u16()
}

#[tokio::test]
async fn documents_on_routes_are_only_read_and_the_others_take_any_method() {
    for path in ["/version", "/api", "/api/v1", "/apis/apps", "/apis/apps/v1"] {
        assert_eq!(code("GET", path).await, 200, "{path}");
        assert_eq!(code("POST", path).await, 405, "{path}");
    }
    assert_eq!(code("PATCH", "/apis").await, 200);
    assert_eq!(code("GET", "/openapi/v3/apis/bogus/v1").await, 404);
}

#[tokio::test]
async fn an_outdated_hash_leads_to_the_document_of_today() {
    let api = Api::new();
    let index = api.send("GET", "/openapi/v3", &[], "").await.json();
    let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert_eq!(api.send("GET", &url, &[], "").await.code, 200);
    assert_eq!(api.send("GET", "/openapi/v3/api/v1?hash=OLD", &[], "").await.code, 301);
}

#[tokio::test]
async fn a_download_is_sent_whole_and_to_admins_only() {
    let api = Api::new();
    let whole = api.send("GET", "/download", &[], "").await;
    assert_eq!((whole.code.as_u16(), &whole.body[..]), (200, &b"ab"[..]));
    assert_eq!(whole.headers["content-type"], "application/octet-stream");
    assert_eq!(api.send("POST", "/download", &[], "").await.code, 405);
    assert_eq!(api.send("GET", "/download/more", &[], "").await.code, 404);
    assert_eq!(api.send_as_nobody("GET", "/download", body_of("")).await.code, 403);
}
