//! What must never come in, over the wire: each gets an answer that says what
//! is wrong, in the original's words where it has them, and the server goes on.

use bytes::Bytes;
use http::{Method, Request};
use test_server::TestServer;
use test_server::client::{Answer, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const UNRECOGNIZED: &str = "the object provided is unrecognized (must be of type ConfigMap): ";
/// Longest body of a write, as the original has it.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// A server that is asked at the end whether it still works.
struct Victim {
    server: TestServer,
    client: Client,
}

impl Victim {
    async fn start() -> Victim {
        let server = TestServer::start().await.unwrap();
        let client = server.client().unwrap();
        Victim { server, client }
    }

    /// Posts a config map that is none.
    async fn post(&self, content_type: &str, body: impl Into<Bytes>) -> Answer {
        self.client.send(Method::POST, CONFIG_MAPS, content_type, body).await.unwrap()
    }

    /// Checks that the server serves and that nothing bad was stored.
    async fn serves_on(self) {
        let listed = self.client.get(CONFIG_MAPS).await.unwrap();
        assert_eq!(listed.status, 200, "{}", listed.text());
        assert_eq!(listed.json()["items"].as_array().map(Vec::len), Some(0), "{}", listed.text());
        let created = self.client.post(CONFIG_MAPS, r#"{"metadata":{"name":"good"}}"#).await.unwrap();
        assert_eq!(created.status, 201, "{}", created.text());
        self.server.stop().await;
    }
}

#[track_caller]
fn assert_status(answer: &Answer, status: u16, reason: &str, message: &str) {
    assert_eq!(answer.json()["kind"], "Status", "{}", answer.text());
    assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{}", answer.text());
    assert!(answer.message().contains(message), "{message:?} is not in {:?}", answer.message());
}

#[tokio::test]
async fn malformed_json_is_a_bad_request() {
    let victim = Victim::start().await;
    for (body, message) in [
        ("", "json parse error: unexpected end of JSON input (<empty>)"),
        ("{", "json parse error: unexpected end of JSON input ({)"),
        (
            "not json",
            "json parse error: invalid character 'o' in literal null (expecting 'u') (6e6f74206a736f6e)",
        ),
        (r#"{"metadata":{"name":"ok"}} trailing"#, "invalid character 't' after top-level value"),
        (r#"{"metadata":{"name":"a"},}"#, "invalid character '}' looking for beginning of object key string"),
        ("[]", "json: cannot unmarshal array into Go value of type struct"),
    ] {
        let answer = victim.post("application/json", body).await;
        assert_status(&answer, 400, "BadRequest", UNRECOGNIZED);
        assert_status(&answer, 400, "BadRequest", message);
    }
    let answer = victim.post("application/json", r#"{"metadata":{"name":"a"},"data":[]}"#).await;
    let message = "cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string";
    assert_status(&answer, 400, "BadRequest", message);
    victim.serves_on().await;
}

#[tokio::test]
async fn malformed_yaml_is_a_bad_request() {
    let victim = Victim::start().await;
    let answer = victim.post("application/yaml", "a: b: c").await;
    let message = "yaml: mapping values are not allowed in this context (613a20623a2063)";
    assert_status(&answer, 400, "BadRequest", &format!("{UNRECOGNIZED}{message}"));
    for body in ["a: [", "a: &x [*x, *x]\nb: *y", "\u{1}", "- a\n b: c"] {
        assert_status(&victim.post("application/yaml", body).await, 400, "BadRequest", "");
    }
    // Each name stands for ten of the one before: a billion if they were written out.
    let mut bomb = "a0: &a0 x\n".to_owned();
    for level in 1..10 {
        let before = format!("*a{},", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let answer = victim.post("application/yaml", bomb).await;
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    victim.serves_on().await;
}

#[tokio::test]
async fn malformed_protobuf_is_a_bad_request() {
    let victim = Victim::start().await;
    let bodies: [&[u8]; 6] = [
        b"",
        b"no magic number",
        b"k8s\0",
        b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        // A field longer than the message.
        b"k8s\0\x0a\x7fv1",
        // The right kind with a body that claims 2 GiB.
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x06\x0a\xff\xff\xff\xff\x07",
    ];
    for body in bodies {
        let answer = victim.post("application/vnd.kubernetes.protobuf", body).await;
        assert!(matches!(answer.status, 400 | 422), "{body:?}: {}", answer.text());
        assert_eq!(answer.json()["kind"], "Status", "{body:?}: {}", answer.text());
    }
    victim.serves_on().await;
}

#[tokio::test]
async fn broken_utf_8_does_no_harm() {
    let victim = Victim::start().await;
    let answer = victim.post("application/yaml", &b"metadata: {name: a}\ndata: {k: \"\xff\"}\n"[..]).await;
    assert_status(&answer, 400, "BadRequest", "");
    // In a name it is refused like every other bad name, because the original puts U+FFFD in its place.
    let answer = victim.post("application/json", &b"{\"metadata\":{\"name\":\"a\xff\"}}"[..]).await;
    assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
    victim.serves_on().await;
}

#[tokio::test]
async fn broken_utf_8_in_json_text_becomes_the_replacement_character() {
    let server = TestServer::start().await.unwrap();
    let client = server.client().unwrap();
    let body = &b"{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"<\xff>\"}}"[..];
    let answer = client.post(CONFIG_MAPS, body).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["data"]["k"], "<\u{fffd}>");
    server.stop().await;
}

#[tokio::test]
async fn absurd_nesting_is_a_bad_request() {
    const DEPTH: usize = 200_000;
    let victim = Victim::start().await;
    let open = format!(r#"{{"metadata":{{"name":"a"}},"x":{}"#, "[".repeat(DEPTH));
    let closed = format!("{open}{}}}", "]".repeat(DEPTH));
    for body in [open, closed, r#"{"a":"#.repeat(DEPTH)] {
        assert_status(&victim.post("application/json", body.clone()).await, 400, "BadRequest", "");
        assert_status(&victim.post("application/yaml", body).await, 400, "BadRequest", "");
    }
    let created = victim.client.post(CONFIG_MAPS, r#"{"metadata":{"name":"a"}}"#).await.unwrap();
    assert_eq!(created.status, 201);
    let path = format!("{CONFIG_MAPS}/a");
    let deep = format!(r#"{{"data":{}1{}}}"#, r#"{"a":"#.repeat(DEPTH), "}".repeat(DEPTH));
    for kind in ["merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"] {
        let content_type = format!("application/{kind}");
        let path = format!("{path}?fieldManager=test");
        let answer = victim.client.send(Method::PATCH, &path, &content_type, deep.clone()).await.unwrap();
        assert!((400..=500).contains(&answer.status), "{kind}: {}", answer.text());
    }
    assert_eq!(victim.client.send(Method::DELETE, &path, "", "").await.unwrap().status, 200);
    victim.serves_on().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let victim = Victim::start().await;
    let message = format!("Request entity too large: limit is {BODY_BYTES_MAX}");
    let body = |bytes: usize| {
        let start = r#"{"metadata":{"name":"a"},"data":{"k":""#;
        format!(r#"{start}{}"}}}}"#, "x".repeat(bytes - start.len() - 3))
    };
    let answer = victim.post("application/json", body(BODY_BYTES_MAX + 1)).await;
    assert_status(&answer, 413, "RequestEntityTooLarge", &message);
    let path = format!("{CONFIG_MAPS}/missing");
    for (method, content_type) in
        [(Method::PATCH, "application/merge-patch+json"), (Method::DELETE, "application/json")]
    {
        let answer = victim.client.send(method, &path, content_type, body(BODY_BYTES_MAX + 1)).await.unwrap();
        assert_status(&answer, 413, "RequestEntityTooLarge", &message);
    }
    // What goes on for ever is cut off; whether the answer is still read is up to the client.
    let mut stream = victim.client.stream().await.unwrap();
    let head = upload_head(&victim, 1 << 40);
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while stream.write_all(&piece).await.is_ok() {
        sent += piece.len();
        assert!(sent < 64 * BODY_BYTES_MAX, "the server reads without end");
    }
    victim.serves_on().await;
}

#[tokio::test]
async fn unknown_media_types_are_refused() {
    let victim = Victim::start().await;
    let known = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    for content_type in ["text/plain", "application/cbor", "bogus", "application/json-seq"] {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {known}"
        );
        assert_status(&victim.post(content_type, "{}").await, 415, "UnsupportedMediaType", &message);
    }
    let path = format!("{CONFIG_MAPS}/a");
    for content_type in ["application/json", "text/plain", "Application/Merge-Patch+JSON"] {
        let answer = victim.client.send(Method::PATCH, &path, content_type, "{}").await.unwrap();
        assert_status(&answer, 415, "UnsupportedMediaType", "415: Unsupported Media Type");
    }
    for accept in ["application/cbor", "text/html"] {
        let request = Request::get(CONFIG_MAPS).header("Accept", accept).body(Bytes::new()).unwrap();
        let answer = victim.client.request(request).await.unwrap();
        let message = format!("406: Not Acceptable\n\nAvailable representations: {known}");
        assert_status(&answer, 406, "NotAcceptable", &message);
    }
    victim.serves_on().await;
}

#[tokio::test]
async fn invalid_selectors_and_tokens_and_numbers_are_refused() {
    let victim = Victim::start().await;
    for (query, message) in [
        ("labelSelector=env%3Da%3Db", "found '=', expected: ',' or 'end of string'"),
        ("labelSelector=env%20in%20%28a", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("labelSelector=-bad%3Dx", r#"unable to parse requirement: <nil>: Invalid value: "-bad": name part"#),
        ("labelSelector=%ff%3Dx", "unable to parse requirement: <nil>: Invalid value:"),
        ("fieldSelector=metadata.name%3Da%3Db", "invalid field selector: unescaped character in value: 61"),
        ("fieldSelector=no.such.field%3D1", "no.such.field"),
        ("limit=abc", r#"strconv.ParseInt: parsing "abc": invalid syntax"#),
        ("resourceVersion=abc", r#"invalid resource version: resourceVersion: Invalid value: "abc""#),
        ("continue=garbage", "continue key is not valid"),
        (
            "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIuLi9hIn0",
            "invalid continue token: continue key is not valid: ../a",
        ),
        (
            "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjIiLCJydiI6NSwic3RhcnQiOiJhIn0",
            "server does not recognize this encoded version meta.k8s.io/v2",
        ),
    ] {
        let answer = victim.client.get(&format!("{CONFIG_MAPS}?{query}")).await.unwrap();
        assert_eq!(answer.json()["kind"], "Status", "{query}: {}", answer.text());
        assert_status(&answer, 400, "BadRequest", message);
    }
    let answer = victim.client.get(&format!("{CONFIG_MAPS}?resourceVersionMatch=Exact")).await.unwrap();
    assert_status(
        &answer,
        422,
        "Invalid",
        r#"ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden"#,
    );
    victim.serves_on().await;
}

#[tokio::test]
async fn a_truncated_upload_stores_nothing() {
    let victim = Victim::start().await;
    for half in [r#"{"metadata":{"name":"a"}}"#, r#"{"metadata"#, ""] {
        let mut stream = victim.client.stream().await.unwrap();
        // The first is even complete JSON, but not all that was announced.
        stream.write_all(upload_head(&victim, 100).as_bytes()).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Whether there is an answer is not promised, only that it is no success.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    victim.serves_on().await;
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_is_not_waited_for() {
    const PATIENCE: std::time::Duration = std::time::Duration::from_millis(300);
    let server = TestServer::start_with(|flags| flags.serving.request_timeout = PATIENCE).await.unwrap();
    let client = server.client().unwrap();
    let victim = Victim { server, client };
    let mut stream = victim.client.stream().await.unwrap();
    stream.write_all(upload_head(&victim, 100).as_bytes()).await.unwrap();
    stream.write_all(br#"{"metadata":{"#).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 504");
    victim.serves_on().await;
}

#[tokio::test]
async fn what_is_no_http_or_no_tls_does_no_harm() {
    let victim = Victim::start().await;
    let mut plain = tokio::net::TcpStream::connect(victim.server.address()).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    for bytes in [
        &b"\0\x01\x02\xff\r\n\r\n"[..],
        b"GET /%ff%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxx",
    ] {
        let mut stream = victim.client.stream().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut answer).await;
    }
    let mut stream = victim.client.stream().await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n", "x".repeat(2 << 20));
    let _ = stream.write_all(head.as_bytes()).await;
    answer.clear();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "a head of two megabytes was accepted");
    victim.serves_on().await;
}

/// Head of a POST that announces a length.
fn upload_head(victim: &Victim, length: u64) -> String {
    format!(
        "POST {CONFIG_MAPS} HTTP/1.1\r\nHost: pintle\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
        victim.server.token()
    )
}
