//! How the server reaches other servers: kubelets, and what listens in pods.
//!
//! [`Transport`] dials, does TLS and sends one HTTP/1.1 request over a
//! connection of its own, which may be upgraded; [`Kubelets`] is the set of
//! transports a server has, with the kubelet's defaults; [`spdy`] is the
//! protocol kubelets multiplex the streams of `exec` and `attach` with.
//!
//! Which node, which path and what is answered to the client is decided in
//! `server`. This room opens sockets and so belongs to the rim; time and tasks
//! still come from the [`environment::Environment`].

mod dial;
mod kubelets;
pub mod spdy;
mod tls;
mod transport;

pub use dial::DialError;
pub use kubelets::{KubeletOptions, Kubelets, WebSocketFeatures};
pub use tls::{TlsError, TlsOptions};
pub use transport::{Scheme, SendError, Transport};
