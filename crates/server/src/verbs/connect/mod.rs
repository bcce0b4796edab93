//! Streams to other servers: `log`, `exec`, `attach`, `portforward` to the
//! kubelet of a pod's node, `proxy` to pods, services and nodes.
//!
//! ```text
//! options (options) -> object (pod, proxy) -> where (node, place)
//!     -> log:      a request, its answer streamed           (log)
//!     -> proxy:    a request as it came, rewritten          (proxy, html)
//!     -> upgrades: passed through byte by byte              (upgrade)
//!                  SPDY inside a WebSocket taken out of it  (tunnel)
//!                  WebSocket channels turned into SPDY      (translate)
//! ```
//!
//! How a socket is opened and what SPDY is stands in `kubelet-client`.

mod html;
mod log;
mod node;
mod options;
mod pod;
mod proxy;
mod split;
mod stop;
mod translate;
mod tunnel;
mod upgrade;
mod websocket;

use http::Response;

use super::Target;
use crate::filters::Exchange;
use crate::respond::Body;
use crate::status::Failure;

/// Answers a subresource that is a stream to another server.
pub async fn connect(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let subresource = target.subresource.as_ref().map(|part| part.name.as_ref()).unwrap_or_default();
    match subresource {
        "log" => log::log(exchange, target).await,
        "proxy" => proxy::proxy(exchange, target).await,
        "portforward" => pod::port_forward(exchange, target).await,
        command => pod::run(exchange, target, command).await,
    }
}
