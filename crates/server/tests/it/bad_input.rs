//! Whatever a client sends, it gets an answer that says what is wrong.

use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use server::{RequestBody, RequestLimits};

use crate::harness::Api;

const COLLECTION: &str = "/api/v1/namespaces/n/configmaps";

#[tokio::test]
async fn bodies_that_are_no_objects_are_refused_with_a_status() {
    let api = Api::new();
    let deep = "[".repeat(100_000);
    let nested = format!(r#"{{"metadata":{{"name":"a"}},"x":{deep}"#);
    let bodies: [(&str, &[u8]); 8] = [
        ("application/json", b""),
        ("application/json", b"{"),
        ("application/json", b"\xff\xfe"),
        ("application/json", deep.as_bytes()),
        ("application/json", nested.as_bytes()),
        ("application/yaml", b"a: b: c"),
        ("application/vnd.kubernetes.protobuf", b"not protobuf"),
        ("application/vnd.kubernetes.protobuf", b"k8s\0\x0a\xff"),
    ];
    for (content_type, body) in bodies {
        let body = Bytes::copy_from_slice(body);
        let answer = api.send("POST", COLLECTION, &[("content-type", content_type)], body.clone()).await;
        assert_eq!(answer.code, 400, "{content_type} {:?}", &body[..body.len().min(40)]);
        assert_eq!(answer.json()["kind"], "Status");
    }
}

#[tokio::test]
async fn requests_nobody_understands_are_refused_with_the_code_of_the_original() {
    let api = Api::new();
    type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16);
    let cases: [Case; 16] = [
        ("POST", COLLECTION, &[("content-type", "text/plain")], 415),
        ("POST", COLLECTION, &[("accept", "text/plain")], 406),
        ("PATCH", "/api/v1/namespaces/n/configmaps/a", &[("content-type", "application/json")], 415),
        (
            "PATCH",
            "/api/v1/namespaces/n/configmaps/a",
            &[("content-type", "Application/Merge-Patch+JSON")],
            415,
        ),
        ("PUT", COLLECTION, &[], 405),
        ("HEAD", COLLECTION, &[], 405),
        ("OPTIONS", COLLECTION, &[], 405),
        ("BOGUS", "/api/v1/namespaces/n/configmaps/a", &[], 405),
        ("GET", "/api/v1/bogus", &[], 404),
        ("GET", "/api/v1/configmaps/a", &[], 404),
        ("GET", "/api/v1/namespaces/n/configmaps/a/scale", &[], 404),
        ("GET", "/api/v1/namespaces/n/configmaps?labelSelector=a%3D%3D%3Db", &[], 400),
        ("GET", "/api/v1/namespaces/n/configmaps?limit=x", &[], 400),
        ("GET", "/api/v1/namespaces/n/configmaps?continue=x", &[], 400),
        ("GET", "/api/v1/namespaces/n/configmaps?timeout=x", &[], 400),
        ("GET", "/api/v1/namespaces/n/configmaps?resourceVersionMatch=Exact", &[], 422),
    ];
    for (method, url, headers, code) in cases {
        let answer = api.send(method, url, headers, "").await;
        assert_eq!(answer.code, code, "{method} {url} {headers:?}: {answer:?}");
        assert_eq!(answer.json()["code"], code);
    }
    let nobodys = api.send("GET", "/apis/bogus/v1/things", &[], "").await;
    assert_eq!((nobodys.code.as_u16(), &nobodys.body[..]), (404, &b"404 page not found\n"[..]));
    let watch = api.send("GET", "/api/v1/watch", &[], "").await;
    assert_eq!(watch.code, 500);
    assert!(watch.body.starts_with(br#"Internal Server Error: "/api/v1/watch": "#));
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_before_it_is_read_to_its_end() {
    let api = Api::new();
    let endless = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![b' '; 64 * 1024]))));
    let endless: RequestBody = StreamBody::new(endless).boxed_unsync();
    let answer = api.send_stream("POST", COLLECTION, endless).await;
    assert_eq!(answer.code, 413);
    assert_eq!(answer.message(), "Request entity too large: limit is 3145728");
}

#[tokio::test]
async fn a_body_that_breaks_off_or_never_comes_is_answered() {
    let limits = RequestLimits { body_read_timeout: Duration::from_millis(20), ..RequestLimits::default() };
    let api = Api::with_limits(limits);
    let broken = futures::stream::iter([Ok(Frame::data(Bytes::from("{"))), Err("gone".into())]);
    let answer = api.send_stream("POST", COLLECTION, StreamBody::new(broken).boxed_unsync()).await;
    assert_eq!(answer.code, 400);
    let silent: RequestBody = StreamBody::new(futures::stream::pending()).boxed_unsync();
    let answer = api.send_stream("POST", COLLECTION, silent).await;
    assert_eq!((answer.code.as_u16(), answer.json()["reason"].as_str()), (504, Some("Timeout")));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_with_a_timeout() {
    let limits = RequestLimits { request_timeout: Duration::from_millis(20), ..RequestLimits::default() };
    let api = Api::with_limits(limits);
    let silent: RequestBody = StreamBody::new(futures::stream::pending()).boxed_unsync();
    let answer = api.send_stream("POST", COLLECTION, silent).await;
    assert_eq!(answer.code, 504);
    assert_eq!(answer.message(), "Timeout: request did not complete within the allotted timeout");
}
