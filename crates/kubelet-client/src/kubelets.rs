//! The transports a server has: to kubelets, to kubelets whose certificate is
//! not to be checked, and to what listens in pods.

use std::sync::Arc;
use std::time::Duration;

use environment::Environment;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::tls::{TlsError, TlsOptions, client_config};
use crate::transport::Transport;

/// How kubelets are found and reached.
#[derive(Clone, Debug)]
pub struct KubeletOptions {
    /// Types of node addresses, the one to be used first in front (`--kubelet-preferred-address-types`).
    pub preferred_address_types: Vec<String>,
    /// Port of kubelets that do not report theirs (`--kubelet-port`).
    pub port: u16,
    /// Longest time for a connection, its handshake included (`--kubelet-timeout`).
    pub timeout: Duration,
    /// Whom to trust and what to show.
    pub tls: TlsOptions,
    /// Upgraded connections at once. Beyond it: 429.
    pub streams_max: usize,
    /// What is done with WebSockets.
    pub websockets: WebSocketFeatures,
}

/// What is done with the WebSockets of clients that kubelets did not know in
/// the past. What is switched off is passed through as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketFeatures {
    /// Channels of `exec` and `attach` become SPDY streams (gate `TranslateStreamCloseWebsocketRequests`).
    pub translate: bool,
    /// SPDY of `portforward` is taken out of them (gate `PortForwardWebsockets`).
    pub tunnel: bool,
    /// Both are left to kubelets that declare they can (gate `ExtendWebSocketsToKubelet`).
    pub pass_through: bool,
}

impl Default for WebSocketFeatures {
    fn default() -> WebSocketFeatures {
        WebSocketFeatures { translate: true, tunnel: true, pass_through: true }
    }
}

impl Default for KubeletOptions {
    fn default() -> KubeletOptions {
        let types = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"];
        KubeletOptions {
            preferred_address_types: types.map(str::to_owned).to_vec(),
            port: 10250,
            timeout: Duration::from_secs(5),
            tls: TlsOptions::default(),
            streams_max: 10_000,
            websockets: WebSocketFeatures::default(),
        }
    }
}

/// Ways to kubelets and pods. Cheap to clone.
#[derive(Clone)]
pub struct Kubelets {
    /// What was asked for.
    pub options: Arc<KubeletOptions>,
    /// To kubelets.
    pub checked: Transport,
    /// To kubelets, their certificate unchecked (`insecureSkipTLSVerifyBackend`).
    pub unchecked: Transport,
    /// To pods, services and other ports of nodes: nothing is checked, nothing shown.
    pub pods: Transport,
    places: Arc<Semaphore>,
}

/// How long the original waits for a connection to a pod.
const POD_DIAL_TIMEOUT: Duration = Duration::from_secs(30);

impl Kubelets {
    /// Transports as the options say. Fails if the PEM in them is no good.
    pub fn new(options: KubeletOptions, environment: &Environment) -> Result<Kubelets, TlsError> {
        let transport =
            |tls: &TlsOptions, timeout| Ok(Transport::new(environment.clone(), client_config(tls)?, timeout));
        let unchecked = TlsOptions { authorities_pem: None, ..options.tls.clone() };
        Ok(Kubelets {
            checked: transport(&options.tls, options.timeout)?,
            unchecked: transport(&unchecked, options.timeout)?,
            pods: transport(&TlsOptions::default(), POD_DIAL_TIMEOUT)?,
            places: Arc::new(Semaphore::new(options.streams_max)),
            options: Arc::new(options),
        })
    }

    /// A place among the upgraded connections, given back when dropped; none if all are taken.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// The addresses of a host, with Go's text if there are none.
    pub async fn resolve(&self, host: &str) -> Result<Vec<std::net::IpAddr>, String> {
        crate::dial::resolve(host).await.map_err(|error| error.to_string())
    }
}
