//! `proxy`: a request goes to a pod, to a pod behind a service, or to a node
//! as it came, and the answer comes back with its links pointing here.

use std::net::IpAddr;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, CONNECTION, HOST, LOCATION, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use kubelet_client::{Kubelets, Scheme};
use meta::ApiError;
use meta::options::GetOptions;
use schema::Value;

use super::html::{Links, rewritten};
use super::node::Place;
use super::split::SchemeNamePort;
use super::{Target, node, pod, stop, upgrade};
use crate::filters::Exchange;
use crate::respond::{self, Body};
use crate::status::Failure;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Forwards a request and its answer.
pub async fn proxy(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let place = locate(exchange, target).await?;
    let asked = &exchange.info.path;
    let path = joined(&subpath(exchange));
    let query = exchange.parts.uri.query();
    if upgrade::is_upgrade(&exchange.parts.headers) {
        return upgrade::pass(exchange, place, uri(&path, query)).await;
    }
    if path.is_empty() && matches!(exchange.parts.method, Method::GET | Method::HEAD) {
        return Ok(to_folder(asked, query));
    }
    let prefix = prefix(asked, &path);
    let mut request = Request::new(exchange.take_body().unwrap_or_else(empty));
    *request.method_mut() = exchange.parts.method.clone();
    *request.uri_mut() =
        uri(&path, query).parse().map_err(|error| Failure::bad_request(format!("{error}")))?;
    let mut headers = forwarded_headers(exchange);
    remove_hop_by_hop(&mut headers);
    if let Ok(forwarded) = HeaderValue::from_str(&escaped(&join(&prefix, &path))) {
        headers.insert(FORWARDED_URI, forwarded);
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    *request.headers_mut() = headers;
    let answer = place
        .send(request)
        .await
        .map_err(|error| ApiError::ServiceUnavailable(format!("error trying to reach service: {error}")))?;
    let (mut parts, body) = answer.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    for name in CORS {
        parts.headers.remove(name);
    }
    let links = Links { prefix, own_host: host, other_host: place.authority() };
    if let Some(location) = parts.headers.get(LOCATION).and_then(|location| location.to_str().ok()) {
        if let Ok(location) = HeaderValue::from_str(&links.rewrite(location)) {
            parts.headers.insert(LOCATION, location);
        }
        return Ok(Response::from_parts(parts, stop::relayed(body, exchange)));
    }
    rewritten(parts, body, &links, exchange).await
}

/// Headers of the other server that would speak for this one.
const CORS: [HeaderName; 4] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
];

async fn locate(exchange: &Exchange, target: &Target) -> Result<Place, Failure> {
    let kind = target.resource.definition.kind.as_ref();
    let id = SchemeNamePort::parse(&target.name).ok_or_else(|| {
        let kind = kind.to_ascii_lowercase();
        Failure::bad_request(format!("invalid {kind} request {}", meta::field::quoted(&target.name)))
    })?;
    match kind {
        "Pod" => of_pod(exchange, target, id).await,
        "Service" => of_service(exchange, target, id).await,
        _ => of_node(exchange, target, id).await,
    }
}

async fn of_pod(exchange: &Exchange, target: &Target, id: SchemeNamePort<'_>) -> Result<Place, Failure> {
    let pod = pod::find(exchange, target, id.name).await?;
    let port = if id.port.is_empty() { first_port(&pod) } else { Some(id.port.to_owned()) };
    let ip = pod_ips(&pod).next().and_then(|ip| ip.parse::<IpAddr>().ok()).filter(is_global_unicast);
    let ip = ip.ok_or_else(|| Failure::bad_request("address not allowed"))?;
    let port = match port {
        Some(port) => port_number(&port)?,
        None => id.scheme.port(),
    };
    Ok(of_pods(&exchange.services.kubelets, id.scheme, ip.to_string(), port))
}

fn of_pods(kubelets: &Kubelets, scheme: Scheme, host: String, port: u16) -> Place {
    Place { scheme, host, port, transport: kubelets.pods.clone() }
}

fn pod_ips(pod: &Value) -> impl Iterator<Item = &str> {
    pod.list_at(&["status", "podIPs"]).iter().filter_map(|ip| ip.str_at(&["ip"]))
}

fn first_port(pod: &Value) -> Option<String> {
    let containers = pod.list_at(&["spec", "containers"]);
    let with_ports = containers.iter().find_map(|container| container.list_at(&["ports"]).first());
    with_ports.and_then(|port| port.int_at(&["containerPort"])).map(|port| port.to_string())
}

fn port_number(port: &str) -> Result<u16, Failure> {
    match port {
        "http" => Ok(80),
        "https" => Ok(443),
        port => port.parse().map_err(|_| {
            let problem = format!("dial tcp: lookup tcp/{port}: unknown port");
            ApiError::ServiceUnavailable(format!("error trying to reach service: {problem}")).into()
        }),
    }
}

/// A pod behind the service, at random, as its Endpoints say (EndpointSlices
/// are not asked, by the original neither).
async fn of_service(exchange: &Exchange, target: &Target, id: SchemeNamePort<'_>) -> Result<Place, Failure> {
    let mut port = id.port.to_owned();
    if let Ok(number) = port.parse::<i64>() {
        let store = target.store()?;
        let service = store.get(&exchange.context, id.name, &GetOptions::default()).await?;
        let service = store.decode(&service)?;
        let ports = service.list_at(&["spec", "ports"]);
        let named = ports.iter().find(|port| port.int_at(&["port"]) == Some(number));
        let named = named.ok_or_else(|| {
            let service = meta::field::quoted(id.name);
            ApiError::ServiceUnavailable(format!("no service port {number} found for service {service}"))
        })?;
        named.str_at(&["name"]).unwrap_or_default().clone_into(&mut port);
    }
    let endpoints = look_up(exchange, "endpoints", id.name).await?;
    let endpoints = endpoints
        .ok_or_else(|| ApiError::not_found(&target.resource.definition.group_resource(), id.name))?;
    let unavailable = |name: &str| {
        let message = format!("no endpoints available for service {}", meta::field::quoted(name));
        Failure::from(ApiError::ServiceUnavailable(message))
    };
    let subsets = endpoints.list_at(&["subsets"]);
    if subsets.is_empty() {
        return Err(unavailable(id.name));
    }
    for subset in from_anywhere(exchange, subsets) {
        let named = |candidate: &&Value| candidate.str_at(&["name"]).unwrap_or_default() == port;
        let Some(number) =
            subset.list_at(&["ports"]).iter().find(named).and_then(|port| port.int_at(&["port"]))
        else {
            continue;
        };
        for address in from_anywhere(exchange, subset.list_at(&["addresses"])) {
            if let (Some(ip), Ok(port)) = (pod_address(exchange, address).await?, u16::try_from(number)) {
                return Ok(of_pods(&exchange.services.kubelets, id.scheme, ip, port));
            }
        }
    }
    Err(unavailable(&target.name))
}

/// All of them, starting at a random one.
fn from_anywhere<'a>(exchange: &Exchange, list: &'a [Value]) -> impl Iterator<Item = &'a Value> + use<'a> {
    let length = u64::try_from(list.len().max(1)).unwrap_or(1);
    let start = usize::try_from(exchange.services.environment.random.below(length)).unwrap_or_default();
    list.iter().cycle().skip(start).take(list.len())
}

/// The address, if it is that of a pod of the request's namespace: endpoints
/// are written by users, who must not reach through here what they cannot reach.
async fn pod_address(exchange: &Exchange, address: &Value) -> Result<Option<String>, Failure> {
    let (Some(pod), Some(namespace)) =
        (address.str_at(&["targetRef", "name"]), address.str_at(&["targetRef", "namespace"]))
    else {
        return Ok(None);
    };
    let ip = address.str_at(&["ip"]).unwrap_or_default();
    if namespace != exchange.context.namespace {
        return Ok(None);
    }
    let pod = look_up(exchange, "pods", pod).await?;
    let is_its = pod.is_some_and(|pod| pod_ips(&pod).any(|own| own == ip));
    Ok(is_its.then(|| ip.to_owned()))
}

async fn look_up(exchange: &Exchange, resource: &str, name: &str) -> Result<Option<Value>, Failure> {
    let served = exchange.services.served.load().lookup("", "v1", resource);
    match served.as_ref().and_then(|served| served.store.as_ref()) {
        Some(store) => Ok(store.find(&exchange.context.namespace, name).await?),
        None => Ok(None),
    }
}

/// The kubelet itself, or another port of its node.
async fn of_node(exchange: &Exchange, target: &Target, id: SchemeNamePort<'_>) -> Result<Place, Failure> {
    let kubelet = node::kubelet(exchange, target, id.name).await?.place;
    let kubelets = &exchange.services.kubelets;
    let addresses = kubelets.resolve(&kubelet.host).await.map_err(Failure::bad_request)?;
    if !addresses.iter().all(is_global_unicast) {
        return Err(Failure::bad_request("address not allowed"));
    }
    if id.port.is_empty() || id.port == kubelet.port.to_string() {
        return Ok(kubelet);
    }
    Ok(of_pods(kubelets, id.scheme, kubelet.host, port_number(id.port)?))
}

/// Addresses of this machine and of nobody in particular are not proxied to.
fn is_global_unicast(ip: &IpAddr) -> bool {
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(local || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast())
}

/// The path behind `proxy`, decoded, with the slashes it came with.
fn subpath(exchange: &Exchange) -> String {
    let rest = exchange.info.parts.get(3..).unwrap_or_default().join("/");
    let mut path = if rest.is_empty() || rest.starts_with('/') { rest } else { format!("/{rest}") };
    if exchange.info.path.ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    path
}

/// A path without `.`, `..` and double slashes, its last slash kept.
fn joined(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("/{}{slash}", parts.join("/"))
}

fn join(prefix: &str, path: &str) -> String {
    joined(&format!("{prefix}/{path}"))
}

/// What stands in front of the other server's paths here.
fn prefix(asked: &str, path: &str) -> String {
    let suffix =
        if asked.ends_with('/') && !path.ends_with('/') { format!("{path}/") } else { path.to_owned() };
    asked.strip_suffix(&suffix).unwrap_or(asked).to_owned()
}

fn uri(path: &str, query: Option<&str>) -> String {
    let path = if path.is_empty() { "/".to_owned() } else { escaped(path) };
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

/// A decoded path, escaped again as Go does it.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn to_folder(asked: &str, query: Option<&str>) -> Response<Body> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(respond::full(""));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{query}", escaped(asked))) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn empty() -> crate::filters::RequestBody {
    use http_body_util::BodyExt;
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// The client's headers as another server may see them: without who the client
/// is, with where it is.
pub fn forwarded_headers(exchange: &Exchange) -> HeaderMap {
    let mut headers = exchange.parts.headers.clone();
    headers.remove(AUTHORIZATION);
    let impersonation: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in impersonation {
        headers.remove(name);
    }
    if !headers.contains_key(HOST)
        && let Some(authority) = exchange.parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
    if let Some(peer) = exchange.peer() {
        let prior = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let mut addresses: Vec<String> = prior.map(str::to_owned).collect();
        addresses.push(peer.ip().to_string());
        if let Ok(forwarded) = HeaderValue::from_str(&addresses.join(", ")) {
            headers.insert(FORWARDED_FOR, forwarded);
        }
    }
    headers
}

/// Removes what is between two neighbours only.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let trailers = headers.get_all(TE).iter().any(|value| value.as_bytes() == b"trailers");
    let always = [
        CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("keep-alive"),
    ];
    for name in named.into_iter().chain(always) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_dots_and_keep_their_last_slash() {
        for (path, expected) in [
            ("", ""),
            ("/", "/"),
            ("/a//b/", "/a/b/"),
            ("/a/../../b", "/b"),
            ("/a/./b", "/a/b"),
            ("/..", "/"),
        ] {
            assert_eq!(joined(path), expected, "{path}");
        }
    }

    #[test]
    fn the_prefix_is_what_stands_in_front_of_the_others_path() {
        let folder = "/api/v1/namespaces/n/pods/p/proxy";
        assert_eq!(prefix(&format!("{folder}/a/b"), "/a/b"), folder);
        assert_eq!(prefix(&format!("{folder}/"), "/"), folder);
        assert_eq!(prefix(&format!("{folder}/a/"), "/a/"), folder);
    }

    #[test]
    fn uris_are_escaped_and_keep_their_query() {
        assert_eq!(uri("/a b/ü", Some("x=%20")), "/a%20b/%C3%BC?x=%20");
        assert_eq!(uri("", None), "/");
    }

    #[test]
    fn what_is_between_neighbours_is_not_handed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "close, X-Own"), ("x-own", "1"), ("te", "trailers"), ("x", "2")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert("transfer-encoding", HeaderValue::from_static("chunked"));
        remove_hop_by_hop(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(headers.contains_key("x") && headers.contains_key("te"));
    }

    #[test]
    fn addresses_of_this_machine_are_not_proxied_to() {
        let allowed = |ip: &str| is_global_unicast(&ip.parse().expect("an address"));
        assert!(allowed("10.0.0.1") && allowed("fd00::1") && allowed("8.8.8.8"));
        for ip in [
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!allowed(ip), "{ip}");
        }
    }
}
