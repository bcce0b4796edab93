//! The server's side of a WebSocket's beginning: what is asked for and what is answered.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::upgrade::{self, Client};
use crate::respond::{self, Body};
use crate::status::Failure;

/// Longest message of a client, in bytes. Beyond it the stream is broken off.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What is written together at most, in bytes. Beyond it the writer waits for the client.
const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// True for a WebSocket that offers a subprotocol `wanted` says yes to.
pub fn asks_for(headers: &HeaderMap, wanted: impl Fn(&str) -> bool) -> bool {
    is_websocket(headers) && protocols(headers).iter().any(|protocol| wanted(protocol))
}

/// True if the client asks for a WebSocket.
pub fn is_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    upgrade.eq_ignore_ascii_case("websocket") && upgrade::is_upgrade(headers)
}

/// The subprotocols a client offers.
pub fn protocols(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|protocol| !protocol.is_empty()).collect()
}

/// The answer that opens a WebSocket, with the subprotocol chosen, if any.
pub fn accept(headers: &HeaderMap, protocol: Option<HeaderValue>) -> Result<Response<Body>, Failure> {
    let key =
        headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| Failure::bad_request("missing Sec-WebSocket-Key"))?;
    let mut response = Response::new(respond::full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accepted = HeaderValue::from_str(&accept_key(key.as_bytes())).expect("base64 is visible text");
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

/// Messages over an accepted connection.
pub async fn open(client: Client) -> WebSocketStream<Client> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .max_write_buffer_size(WRITE_BYTES_MAX);
    WebSocketStream::from_raw_socket(client, Role::Server, Some(config)).await
}

/// The end of a session that ended well: clients take a WebSocket that is closed without a code for broken.
pub fn goodbye() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

fn accept_key(key: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    // RFC 6455 names this text.
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_key_is_accepted_as_in_the_rfc() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_subprotocol_is_found_among_those_offered() {
        let mut asked = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-protocol", "a, b"),
            ("sec-websocket-protocol", "c"),
        ]);
        assert_eq!(protocols(&asked), ["a", "b", "c"]);
        assert!(asks_for(&asked, |protocol| protocol == "c"));
        assert!(!asks_for(&asked, |protocol| protocol == "d"));
        asked.remove("connection");
        assert!(!asks_for(&asked, |protocol| protocol == "c"), "no upgrade");
    }
}
