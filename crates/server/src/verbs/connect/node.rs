//! Where the kubelet of a node is, as the node says.

use http::HeaderMap;
use kubelet_client::{Kubelets, Scheme, Transport};
use meta::ApiError;
use schema::Value;

use super::Target;
use crate::filters::Exchange;
use crate::status::Failure;

/// What a node must declare for WebSockets to be passed through to its kubelet.
const WEBSOCKETS: &str = "ExtendWebSocketsToKubelet";

/// Another server and the way to it.
#[derive(Clone)]
pub struct Place {
    /// How to speak to it.
    pub scheme: Scheme,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// With what.
    pub transport: Transport,
}

impl Place {
    /// Host and port as in a URL and in `Host`.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Sends a request there.
    pub async fn send<B>(
        &self,
        request: http::Request<B>,
    ) -> Result<http::Response<hyper::body::Incoming>, kubelet_client::SendError>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.transport.send(self.scheme, &self.host, self.port, request).await
    }

    /// Headers of a request of the server's own.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(host) = self.authority().parse() {
            headers.insert(http::header::HOST, host);
        }
        headers.insert(http::header::USER_AGENT, http::HeaderValue::from_static("pintle"));
        headers
    }
}

/// The kubelet of a node.
pub struct Kubelet {
    /// Where it is.
    pub place: Place,
    /// It takes the WebSockets clients speak, and is to be given them.
    pub websockets: bool,
}

/// Finds the kubelet of a node. A node that is not there is told as the
/// request's own resource, as the original does.
pub async fn kubelet(exchange: &Exchange, target: &Target, name: &str) -> Result<Kubelet, Failure> {
    let nodes = exchange.services.served.load().lookup("", "v1", "nodes");
    let node = match nodes.as_ref().and_then(|nodes| nodes.store.as_ref()) {
        Some(store) => store.find("", name).await?,
        None => None,
    };
    let node = node.ok_or_else(|| ApiError::not_found(&target.resource.definition.group_resource(), name))?;
    Ok(of_node(&node, &exchange.services.kubelets)?)
}

fn of_node(node: &Value, kubelets: &Kubelets) -> Result<Kubelet, ApiError> {
    let host = preferred_address(node, &kubelets.options.preferred_address_types)?;
    let port = node.int_at(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).unwrap_or_default();
    let port = u16::try_from(port).ok().filter(|port| *port > 0).unwrap_or(kubelets.options.port);
    let transport = kubelets.checked.clone();
    let features = node.list_at(&["status", "declaredFeatures"]);
    let declared = features.iter().any(|feature| feature.as_str() == Some(WEBSOCKETS));
    let websockets = declared && kubelets.options.websockets.pass_through;
    Ok(Kubelet { place: Place { scheme: Scheme::Https, host, port, transport }, websockets })
}

fn preferred_address(node: &Value, preferred: &[String]) -> Result<String, ApiError> {
    let addresses = node.list_at(&["status", "addresses"]);
    let text = |address: &Value, key| address.str_at(&[key]).unwrap_or_default().to_owned();
    for kind in preferred {
        if let Some(address) = addresses.iter().find(|address| address.str_at(&["type"]) == Some(kind)) {
            return Ok(text(address, "address"));
        }
    }
    let known =
        addresses.iter().map(|address| format!("{{{} {}}}", text(address, "type"), text(address, "address")));
    let known = known.collect::<Vec<_>>().join(" ");
    Err(ApiError::Unknown(format!("no preferred addresses found; known addresses: [{known}]")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubelet_client::KubeletOptions;

    fn node(json: &str) -> Value {
        codec::json::decode_any(json.as_bytes()).expect("JSON")
    }

    #[tokio::test]
    async fn the_preferred_address_and_the_reported_port_are_used() {
        let environment = environment::real::environment();
        let kubelets = Kubelets::new(KubeletOptions::default(), &environment).expect("TLS");
        let found = |json: &str| of_node(&node(json), &kubelets).map(|kubelet| kubelet.place.authority());
        let addresses = r#"{"status":{"addresses":[{"type":"InternalIP","address":"fd00::1"},{"type":"Hostname","address":"h"}]"#;
        let port = r#","daemonEndpoints":{"kubeletEndpoint":{"Port":1}}}}"#;
        assert_eq!(found(&format!("{addresses}}}}}")), Ok("h:10250".to_owned()));
        assert_eq!(found(&format!("{addresses}{port}")), Ok("h:1".to_owned()));
        let unknown = r#"{"status":{"addresses":[{"type":"Other","address":"x"}]}}"#;
        let error =
            ApiError::Unknown("no preferred addresses found; known addresses: [{Other x}]".to_owned());
        assert_eq!(found(unknown), Err(error));
    }
}
