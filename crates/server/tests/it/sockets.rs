//! Real connections, without TLS.

use std::sync::Arc;

use server::{ConnectionLimits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::Api;

async fn connect(address: std::net::SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads until `text` has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.unwrap();
        assert_ne!(n, 0, "closed before {text:?} came: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn a_stopping_server_ends_watches_finishes_requests_and_returns() {
    let api = Api::new();
    let server = Arc::new(Server::new(api.services.clone(), ConnectionLimits::default(), None));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(server.serve(listener));

    let head = "Host: x\r\nAuthorization: Bearer admin\r\n";
    let watch = format!("GET /api/v1/configmaps?watch=1&resourceVersion=1 HTTP/1.1\r\n{head}\r\n");
    let mut watch = connect(address, &watch).await;
    // The head comes at once, before any event.
    assert!(read_until(&mut watch, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
    let body = r#"{"metadata":{"name":"a"}}"#;
    let half = body.len() / 2;
    let post = format!(
        "POST /api/v1/namespaces/n/configmaps HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{}",
        body.len(),
        &body[..half]
    );
    let mut post = connect(address, &post).await;
    // The first half is on its way; an answer to something else proves that connections are served meanwhile.
    let get = format!("GET /api/v1/configmaps HTTP/1.1\r\n{head}Connection: close\r\n\r\n");
    read_until(&mut connect(address, &get).await, "ConfigMapList").await;

    api.stopper.stop();
    read_until(&mut watch, "0\r\n\r\n").await;
    post.write_all(&body.as_bytes()[half..]).await.unwrap();
    assert!(read_until(&mut post, "\r\n\r\n").await.starts_with("HTTP/1.1 201 Created\r\n"));
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
