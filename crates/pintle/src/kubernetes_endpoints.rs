//! Where the Service `default/kubernetes` leads: Endpoints and EndpointSlice
//! `kubernetes` with the address and port of this server, set at every start.
//!
//! Knows one server: where several share a store, the one started last is
//! named. A server that listens on the loopback address names nothing, for
//! nobody else could reach it there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use async_trait::async_trait;
use meta::ApiError;
use meta::options::{Preconditions, WriteOptions};
use registry::{RequestContext, Served, UpdateKind, UpdatedObject};
use schema::{Map, Value};

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";

/// Where others reach a server that listens on `listening`: what it was told
/// (`--advertise-address`), else the address itself, else that of the
/// interface with the default route; none if it is on the loopback address.
pub fn advertised(told: Option<IpAddr>, listening: SocketAddr) -> Option<SocketAddr> {
    let ip = match (told, listening.ip()) {
        (Some(told), _) => told,
        (None, ip) if ip.is_loopback() => return None,
        (None, ip) if ip.is_unspecified() => outbound()?,
        (None, ip) => ip,
    };
    Some(SocketAddr::new(ip, listening.port()))
}

/// The address packets leave from. A datagram socket is connected without sending any.
fn outbound() -> Option<IpAddr> {
    /// Reserved for documentation: whatever route it takes is the default one.
    const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

/// Makes both objects say `address`, and the Service lead to its port.
pub async fn reconcile(
    served: &Served,
    address: SocketAddr,
    context: impl Fn() -> RequestContext,
) -> Result<(), ApiError> {
    let wanted = [
        ("", "endpoints", endpoints(address)),
        ("discovery.k8s.io", "endpointslices", endpoint_slice(address)),
    ];
    for (group, resource, fields) in wanted {
        let Some(resource) = served.lookup(group, "v1", resource) else { continue };
        let Some(store) = &resource.store else { continue };
        let mut context = context();
        context.verb = "update".to_owned();
        context.namespace = NAMESPACE.to_owned();
        context.name = NAME.to_owned();
        context.resource = resource.definition.group_resource();
        context.version = resource.definition.version.to_string();
        let gvk = resource.definition.gvk();
        let mut wanted = Wanted { api_version: gvk.api_version(), kind: gvk.kind.to_string(), fields };
        let options = WriteOptions { field_manager: "kube-apiserver".to_owned(), ..WriteOptions::default() };
        store.update(&context, NAME, UpdateKind::Main, &mut wanted, &options, true).await?;
    }
    Ok(())
}

/// An object with certain fields and labels; everything else stays as it is.
struct Wanted {
    api_version: String,
    kind: String,
    fields: Map,
}

#[async_trait]
impl UpdatedObject for Wanted {
    fn preconditions(&self) -> Preconditions {
        Preconditions::default()
    }

    async fn updated(&mut self, _: &RequestContext, old: &Value) -> Result<Value, ApiError> {
        let mut object = old.clone();
        object.set(&["apiVersion"], self.api_version.as_str());
        object.set(&["kind"], self.kind.as_str());
        object.set(&["metadata", "name"], NAME);
        object.set(&["metadata", "namespace"], NAMESPACE);
        for (field, value) in self.fields.iter() {
            match (field, value) {
                ("labels", Value::Map(labels)) => {
                    let present = object.ensure_map(&["metadata", "labels"]);
                    for (key, value) in labels.iter() {
                        present.insert(key.to_owned(), value.clone());
                    }
                }
                (field, value) => {
                    if let Some(map) = object.as_map_mut() {
                        map.insert(field.to_owned(), value.clone());
                    }
                }
            }
        }
        Ok(object)
    }
}

fn endpoints(address: SocketAddr) -> Map {
    let subset = Map::from([
        ("addresses", Value::from(vec![Map::from([("ip", address.ip().to_string())])])),
        ("ports", vec![port(address)].into()),
    ]);
    let labels = Map::from([("endpointslice.kubernetes.io/skip-mirror", "true")]);
    Map::from([("labels", Value::from(labels)), ("subsets", vec![subset].into())])
}

fn endpoint_slice(address: SocketAddr) -> Map {
    let endpoint = Map::from([
        ("addresses", Value::from(vec![address.ip().to_string()])),
        ("conditions", Map::from([("ready", true)]).into()),
    ]);
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let labels = Map::from([("kubernetes.io/service-name", NAME)]);
    Map::from([
        ("labels", Value::from(labels)),
        ("addressType", family.into()),
        ("endpoints", vec![endpoint].into()),
        ("ports", vec![port(address)].into()),
    ])
}

fn port(address: SocketAddr) -> Map {
    Map::from([
        ("name", Value::from("https")),
        ("port", i64::from(address.port()).into()),
        ("protocol", "TCP".into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_others_can_reach_is_told() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let told = Some(IpAddr::from([192, 0, 2, 7]));
        assert_eq!(advertised(told, address("127.0.0.1:6443")), Some(address("192.0.2.7:6443")));
        assert_eq!(advertised(None, address("10.9.8.7:6443")), Some(address("10.9.8.7:6443")));
        assert_eq!(advertised(None, address("127.0.0.1:6443")), None);
        assert_eq!(advertised(None, address("[::1]:6443")), None);
    }
}
