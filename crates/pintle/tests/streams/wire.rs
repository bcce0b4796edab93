//! Streams and proxies as they look on the wire, to clients of our own.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use kubelet_client::KubeletOptions;
use kubelet_client::spdy::Session;
use serde_json::{Value, json};
use test_server::TestServer;
use test_server::kubelet::Kubelet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::{Cluster, node, pod};

/// Nothing here takes long; what never comes must not hang the tests.
const PATIENCE: Duration = Duration::from_secs(60);

impl Cluster {
    async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let answer = self.server.client()?.get(&pod_path(path)).await?;
        Ok((answer.status, answer.text().to_string()))
    }

    /// Sends the head of a request and reads that of the answer, which must be 101.
    async fn upgrade(&self, method: &str, path: &str, headers: &str) -> anyhow::Result<TlsStream<TcpStream>> {
        let mut stream = self.server.client()?.stream().await?;
        let path = pod_path(path);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {}\r\nConnection: Upgrade\r\n{headers}\r\n",
            self.server.token()
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await?);
        }
        let answer = String::from_utf8(answer)?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Ok(stream)
    }

    async fn websocket(
        &self,
        path: &str,
        protocol: &str,
    ) -> anyhow::Result<WebSocketStream<TlsStream<TcpStream>>> {
        let headers = format!(
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n"
        );
        let stream = self.upgrade("GET", path, &headers).await?;
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }

    async fn spdy(&self, path: &str, protocol: &str) -> anyhow::Result<Session> {
        let headers = format!("Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {protocol}\r\n");
        let stream = self.upgrade("POST", path, &headers).await?;
        Ok(Session::client(stream, &environment::real::environment())?.0)
    }
}

fn pod_path(path: &str) -> String {
    format!("/api/v1/namespaces/default/pods/{path}")
}

async fn in_time<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.context("it takes too long")?
}

fn stream_type(kind: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("streamtype"), HeaderValue::from_static(kind))])
}

/// Everything a session says, by channel, until it is closed.
async fn said(socket: &mut WebSocketStream<TlsStream<TcpStream>>) -> anyhow::Result<[String; 4]> {
    let mut said = <[String; 4]>::default();
    while let Some(message) = socket.next().await {
        match message? {
            Message::Binary(bytes) => {
                let (channel, text) = bytes.split_first().context("a channel")?;
                said.get_mut(usize::from(*channel))
                    .context("a channel")?
                    .push_str(std::str::from_utf8(text)?);
            }
            Message::Close(_) => break,
            _ => {}
        }
    }
    Ok(said)
}

#[tokio::test]
async fn a_log_comes_from_the_kubelet_of_the_pods_node() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    let (code, log) = cluster.get("p/log?tailLines=3&timestamps=true").await?;
    assert_eq!((code, log.as_str()), (200, "log of default/p/c\n"));
    let seen = cluster.kubelet.seen();
    assert_eq!(seen[0].uri, "/containerLogs/default/p/c?tailLines=3&timestamps=true");
    assert!(!seen[0].headers.contains_key("authorization"), "the client's secrets stay here");
    Ok(())
}

#[tokio::test]
async fn a_kubelets_refusal_of_a_log_is_told_in_the_originals_words() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    cluster.create("namespaces/default/pods", &pod("two", &["c", "broken"], "n")).await?;
    let (code, text) = cluster.get("two/log?container=broken").await?;
    let status: Value = serde_json::from_str(&text)?;
    let message = "the server could not find the requested resource ( pods/log two)";
    assert_eq!((code, status["message"].as_str()), (404, Some(message)));
    assert_eq!(status["details"], json!({"name": "two", "kind": "pods/log"}));
    Ok(())
}

#[tokio::test]
async fn where_no_kubelet_listens_the_error_is_that_of_the_original() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    let port = cluster.kubelet.address().port();
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut gone = node("gone", &cluster.kubelet, &[]);
    gone["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] = json!(free);
    cluster.create("nodes", &gone).await?;
    cluster.create("namespaces/default/pods", &pod("q", &["c"], "gone")).await?;
    assert_ne!(port, free);
    let message = |text: String| serde_json::from_str::<Value>(&text).map(|status| status["message"].clone());
    let (code, text) = cluster.get("q/log").await?;
    let refused = format!("dial tcp 127.0.0.1:{free}: connect: connection refused");
    let url = format!("Get \"https://127.0.0.1:{free}/containerLogs/default/q/c\": {refused}");
    assert_eq!((code, message(text)?), (500, json!(url)));
    let error = cluster
        .spdy("q/exec?command=true&stdout=true", "v4.channel.k8s.io")
        .await
        .err()
        .context("refused")?;
    assert!(error.to_string().starts_with("HTTP/1.1 500 "), "{error}");
    let (code, text) = cluster.get("q/exec?command=true").await?;
    assert_eq!((code, message(text)?), (400, json!("Upgrade request required")));
    Ok(())
}

#[tokio::test]
async fn a_followed_log_comes_line_by_line_and_ends_with_the_server() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    let mut stream = cluster.server.client()?.stream().await?;
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {}\r\n\r\n",
        pod_path("p/log?follow=true"),
        cluster.server.token()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut read = Vec::new();
    let until = async |stream: &mut TlsStream<TcpStream>, read: &mut Vec<u8>, text: &str| {
        while !String::from_utf8_lossy(read).contains(text) {
            anyhow::ensure!(stream.read_buf(read).await? > 0, "the log ended");
        }
        anyhow::Ok(())
    };
    in_time(until(&mut stream, &mut read, "log of default/p/c")).await?;
    assert_eq!(cluster.kubelet.log("and more\n"), 1);
    in_time(until(&mut stream, &mut read, "and more")).await?;
    in_time(async {
        cluster.server.stop().await;
        stream.read_to_end(&mut read).await.ok();
        Ok(())
    })
    .await?;
    assert!(read.ends_with(b"0\r\n\r\n"), "the log ends like a log that is over");
    Ok(())
}

#[tokio::test]
async fn spdy_passes_through_to_the_kubelet() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    in_time(async {
        let path = "p/exec?command=cat&stdin=true&stdout=true&container=c";
        let session = cluster.spdy(path, "v4.channel.k8s.io").await?;
        let mut error = session.open(stream_type("error")).await?;
        let stdin = session.open(stream_type("stdin")).await?;
        let mut stdout = session.open(stream_type("stdout")).await?;
        stdin.write(Bytes::from_static(b"hello")).await?;
        stdin.finish().await?;
        let mut said = Vec::new();
        while let Some(bytes) = stdout.read().await {
            said.extend_from_slice(&bytes);
        }
        assert_eq!(said, b"hello");
        let status = error.read().await.context("a status")?;
        assert_eq!(&status[..], br#"{"metadata":{},"status":"Success"}"#);
        assert_eq!(cluster.kubelet.seen()[0].uri, "/exec/default/p/c?command=cat&input=1&output=1");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn channels_of_a_websocket_become_spdy_streams() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    in_time(async {
        let script = "cat%3Becho+oops+%3E%262%3Bexit+3";
        let path =
            format!("p/exec?command=sh&command=-c&command={script}&stdin=true&stdout=true&stderr=true");
        let mut socket = cluster.websocket(&path, "v5.channel.k8s.io").await?;
        socket.send(Message::Binary(Bytes::from_static(b"\0hello"))).await?;
        socket.send(Message::Binary(Bytes::from_static(&[255, 0]))).await?;
        let [_, stdout, stderr, status] = said(&mut socket).await?;
        assert_eq!((stdout.as_str(), stderr.as_str()), ("hello", "oops\n"));
        let status: Value = serde_json::from_str(&status)?;
        assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
        assert_eq!(cluster.kubelet.seen()[0].method, "POST", "SPDY to the kubelet");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn spdy_inside_a_websocket_reaches_the_kubelet_as_spdy() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = echo.local_addr()?.port().to_string();
    tokio::spawn(async move {
        let (mut socket, _) = echo.accept().await?;
        let (mut read, mut write) = socket.split();
        tokio::io::copy(&mut read, &mut write).await
    });
    in_time(async {
        let path = format!("p/portforward?ports={port}");
        let socket = cluster.websocket(&path, "SPDY/3.1+portforward.k8s.io").await?;
        let session = Session::client(unwrapped(socket), &environment::real::environment())?.0;
        let headers = |kind| {
            let mut headers = stream_type(kind);
            headers.insert("port", port.parse().expect("digits"));
            headers.insert("requestid", HeaderValue::from_static("0"));
            headers
        };
        let _error = session.open(headers("error")).await?;
        let mut data = session.open(headers("data")).await?;
        data.write(Bytes::from_static(b"hello")).await?;
        data.finish().await?;
        assert_eq!(data.read().await.as_deref(), Some(&b"hello"[..]));
        let seen = &cluster.kubelet.seen()[0];
        assert_eq!(
            (seen.method.as_str(), seen.uri.as_str()),
            ("POST", &*format!("/portForward/default/p?port={port}"))
        );
        assert_eq!(seen.headers["x-stream-protocol-version"], "portforward.k8s.io");
        assert!(!seen.headers.contains_key("sec-websocket-key"));
        Ok(())
    })
    .await
}

/// The bytes inside a WebSocket.
fn unwrapped(socket: WebSocketStream<TlsStream<TcpStream>>) -> tokio::io::DuplexStream {
    let (near, far) = tokio::io::duplex(4096);
    let (mut from_near, mut to_near) = tokio::io::split(far);
    let (mut to_server, mut from_server) = socket.split();
    tokio::spawn(async move {
        while let Some(Ok(Message::Binary(bytes))) = from_server.next().await {
            to_near.write_all(&bytes).await?;
        }
        to_near.shutdown().await
    });
    tokio::spawn(async move {
        let mut buffer = bytes::BytesMut::new();
        while from_near.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
            if to_server.send(Message::Binary(buffer.split().freeze())).await.is_err() {
                return;
            }
        }
    });
    near
}

#[tokio::test]
async fn a_log_can_come_in_messages() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    in_time(async {
        let mut socket = cluster.websocket("p/log", "base64.binary.k8s.io").await?;
        let message = socket.next().await.context("a message")??;
        assert_eq!(message, Message::Text("bG9nIG9mIGRlZmF1bHQvcC9jCg==".into()));
        assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_size_of_a_terminal_reaches_the_kubelet() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    in_time(async {
        let mut socket =
            cluster.websocket("p/exec?command=true&stdout=true&tty=true", "v5.channel.k8s.io").await?;
        socket.send(Message::Binary(Bytes::from_static(b"\x04{\"Width\":80,\"Height\":24}"))).await?;
        let [_, stdout, _, status] = said(&mut socket).await?;
        assert_eq!(stdout, "size {\"Width\":80,\"Height\":24}");
        assert_eq!(serde_json::from_str::<Value>(&status)?["status"], "Success");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_a_kubelet_refuses_is_told_on_the_error_channel() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    cluster.create("namespaces/default/pods", &pod("two", &["c", "broken"], "n")).await?;
    in_time(async {
        let path = "two/exec?container=broken&command=true&stdout=true";
        let mut socket = cluster.websocket(path, "v5.channel.k8s.io").await?;
        let status: Value = serde_json::from_str(&said(&mut socket).await?[3])?;
        let message =
            "Internal error occurred: unable to upgrade connection: container not found (\"broken\")";
        assert_eq!((&status["message"], &status["code"]), (&json!(message), &json!(500)));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_kubelet_that_declares_it_gets_the_websocket_itself() -> anyhow::Result<()> {
    let cluster = Cluster::start(&["ExtendWebSocketsToKubelet"]).await?;
    in_time(async {
        let mut socket = cluster.websocket("p/exec?command=echo&command=hi&stdout=true", "v5.channel.k8s.io").await?;
        assert_eq!(said(&mut socket).await?[1], "hi\n");
        let seen = cluster.kubelet.seen();
        assert_eq!((seen[0].method.as_str(), &seen[0].headers["upgrade"]), ("GET", &HeaderValue::from_static("websocket")));
        let metrics = cluster.server.client()?.get("/metrics").await?;
        let counted = r#"apiserver_websocket_streaming_requests_total{proxy_type="proxied_to_kubelet",subresource="exec"} 1"#;
        assert!(metrics.text().contains(counted));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn with_its_gate_off_no_kubelet_gets_a_websocket() -> anyhow::Result<()> {
    let off = |options: &mut KubeletOptions, _: &Kubelet| options.websockets.pass_through = false;
    let cluster = Cluster::start_with(&["ExtendWebSocketsToKubelet"], off).await?;
    in_time(async {
        let mut socket =
            cluster.websocket("p/exec?command=echo&command=hi&stdout=true", "v5.channel.k8s.io").await?;
        assert_eq!(said(&mut socket).await?[1], "hi\n");
        assert_eq!(cluster.kubelet.seen()[0].method, "POST");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_kubelet_is_trusted_by_its_authority_or_where_the_client_says_so() -> anyhow::Result<()> {
    let trusting = |options: &mut KubeletOptions, kubelet: &Kubelet| {
        options.tls.authorities_pem = Some(kubelet.certificate_pem().to_owned());
    };
    let cluster = Cluster::start_with(&[], trusting).await?;
    assert_eq!(cluster.get("p/log").await?.0, 200);
    let other = Kubelet::start().await?;
    cluster.create("nodes", &node("other", &other, &[])).await?;
    cluster.create("namespaces/default/pods", &pod("q", &["c"], "other")).await?;
    let (code, text) = cluster.get("q/log").await?;
    assert_eq!(code, 500);
    assert!(text.contains("tls: failed to verify certificate"), "{text}");
    assert_eq!(cluster.get("q/log?insecureSkipTLSVerifyBackend=true").await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn streams_beyond_the_bound_are_refused() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(&[], |options, _| options.streams_max = 1).await?;
    let path = "p/exec?command=cat&stdin=true&stdout=true";
    let first = cluster.spdy(path, "v4.channel.k8s.io").await?;
    let error = cluster.spdy(path, "v4.channel.k8s.io").await.err().context("refused")?;
    assert!(error.to_string().starts_with("HTTP/1.1 429 "), "{error}");
    drop(first);
    // The place is free as soon as the server has noticed.
    in_time(async {
        while cluster.spdy(path, "v4.channel.k8s.io").await.is_err() {}
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_stopping_server_ends_its_sessions() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    let mut passed = cluster.spdy("p/exec?command=cat&stdin=true&stdout=true", "v4.channel.k8s.io").await?;
    let mut translated =
        cluster.websocket("p/exec?command=cat&stdin=true&stdout=true", "v5.channel.k8s.io").await?;
    let greeting = translated.next().await.context("a greeting")??;
    assert_eq!(greeting, Message::Binary(Bytes::from_static(&[1])));
    in_time(async {
        cluster.server.stop().await;
        while translated.next().await.is_some_and(|message| message.is_ok()) {}
        while passed.ping().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let _ = &mut passed;
        Ok(())
    })
    .await
}

/// An address of this machine that others could use too: those that only it
/// can use are not proxied to. No packet is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[tokio::test]
async fn pods_services_and_nodes_are_proxied_to() -> anyhow::Result<()> {
    let Some(ip) = own_address() else {
        println!("proxying is left out: this machine has no address but its own");
        return Ok(());
    };
    let server = TestServer::start().await?;
    let cluster = Cluster { server, kubelet: Kubelet::start_at(ip).await? };
    let port = cluster.kubelet.address().port();
    cluster.create("nodes", &node("n", &cluster.kubelet, &[])).await?;
    cluster.create("namespaces/default/pods", &pod("p", &["c"], "n")).await?;
    let client = cluster.server.client()?;
    let status = json!({"status": {"podIPs": [{"ip": ip.to_string()}], "podIP": ip.to_string()}}).to_string();
    let patched =
        client.send(Method::PATCH, &pod_path("p/status"), "application/merge-patch+json", status).await?;
    assert_eq!(patched.status, 200, "{}", patched.text());
    cluster
        .create(
            "namespaces/default/services",
            &json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "name": "web"}]}}),
        )
        .await?;
    let target = json!({"kind": "Pod", "name": "p", "namespace": "default"});
    let subset = json!({
        "addresses": [{"ip": ip.to_string(), "targetRef": target}],
        "ports": [{"port": port, "name": "web"}],
    });
    cluster
        .create("namespaces/default/endpoints", &json!({"metadata": {"name": "s"}, "subsets": [subset]}))
        .await?;

    for path in [
        pod_path(&format!("https:p:{port}/proxy/a%20b/?x=1")),
        "/api/v1/namespaces/default/services/https:s:web/proxy/a%20b/?x=1".to_owned(),
        "/api/v1/namespaces/default/services/https:s:80/proxy/a%20b/?x=1".to_owned(),
        "/api/v1/nodes/n/proxy/a%20b/?x=1".to_owned(),
        format!("/api/v1/nodes/https:n:{port}/proxy/a%20b/?x=1"),
    ] {
        let answer = client.get(&path).await?;
        assert_eq!((answer.status, &*answer.text()), (200, "GET /a%20b/?x=1\n"), "{path}");
    }
    let seen = cluster.kubelet.seen().pop().context("seen")?;
    assert!(!seen.headers.contains_key("authorization"), "the client's secrets stay here");
    assert_eq!(seen.headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(seen.headers["x-forwarded-uri"], *format!("/api/v1/nodes/https:n:{port}/proxy/a%20b/"));

    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let answer = client.send(method.clone(), "/api/v1/nodes/n/proxy/x", "text/plain", "body").await?;
        assert_eq!((answer.status, &*answer.text()), (200, &*format!("{method} /x\n")));
    }
    let folder = client.get("/api/v1/nodes/n/proxy?x=1").await?;
    assert_eq!(
        (folder.status, &folder.headers["location"]),
        (301, &HeaderValue::from_static("/api/v1/nodes/n/proxy/?x=1"))
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_proxied_to_is_refused() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[]).await?;
    for (path, code, message) in [
        ("nodes/n/proxy/x", 400, "address not allowed"),
        ("nodes/ftp:n:1/proxy/x", 400, "invalid node request \"ftp:n:1\""),
        ("nodes/none/proxy/x", 404, "nodes \"none\" not found"),
        ("namespaces/default/pods/p/proxy/x", 400, "address not allowed"),
    ] {
        let answer = cluster.server.client()?.get(&format!("/api/v1/{path}")).await?;
        let status: Value = serde_json::from_str(&answer.text())?;
        assert_eq!((answer.status, &status["message"]), (code, &json!(message)), "{path}");
    }
    let request = Request::builder().method(Method::POST).uri(pod_path("p/attach")).body(Bytes::new())?;
    let answer = cluster.server.client()?.request(request).await?;
    assert_eq!(answer.status, 400, "{}", answer.text());
    Ok(())
}
