//! Paths that hold no objects: discovery, OpenAPI, version, health, metrics.
//! Owns which path is which document and how it is negotiated; the documents
//! are made elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use meta::{ApiError, GroupVersionKind};
use parking_lot::Mutex;
use registry::Served;
use schema::{Map, Value};

use crate::filters::Exchange;
use crate::negotiation::{self, MEDIA_TYPES, MediaType, header};
use crate::openapi::Documents;
use crate::respond::{self, Body, bytes};
use crate::services::Download;
use crate::status::Failure;
use crate::{KUBERNETES_VERSION, discovery, encode, health, token_discovery};

/// Swagger 2.0 as protobuf, in both spellings. Answers use the first: the
/// second is no well-formed media type, and clients that ask for it refuse it.
const SWAGGER_PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
];
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_PROTOBUF: &str =
    "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// OpenAPI documents of the resources served now; made anew when these change.
#[derive(Default)]
pub struct OpenApi(Mutex<Option<Arc<Documents>>>);

impl OpenApi {
    fn of(&self, served: &Arc<Served>) -> Arc<Documents> {
        let mut documents = self.0.lock();
        match documents.as_ref().filter(|documents| documents.describe(served)) {
            Some(documents) => documents.clone(),
            None => documents.insert(Arc::new(Documents::new(served.clone()))).clone(),
        }
    }
}

/// Answers a request for a document; none if the path is no document's.
pub async fn answer(exchange: &Exchange) -> Option<Result<Response<Body>, Failure>> {
    let path = exchange.info.path.as_str();
    if let Some(response) = health::answer(&exchange.services.health_checks, path, &exchange.query).await {
        return Some(Ok(response));
    }
    if let Some(download) = exchange.services.downloads.iter().find(|download| download.path == path) {
        return Some(take_away(exchange, download));
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let served = exchange.services.served.load_full();
    match parts.as_slice() {
        // The original serves these from routes, which know methods; the others answer any.
        ["version"]
        | [".well-known", _]
        | ["openid", ..]
        | ["api"]
        | ["api", _]
        | ["apis", _]
        | ["apis", _, _]
            if exchange.parts.method != http::Method::GET =>
        {
            Some(Err(ApiError::MethodNotAllowed.into()))
        }
        [""] => Some(Ok(index(&served))),
        ["version"] => Some(Ok(version())),
        [".well-known", "openid-configuration"] => Some(token_discovery::configuration(exchange).await),
        ["openid", "v1", "jwks"] => Some(token_discovery::jwks(exchange).await),
        ["metrics"] => Some(Ok(exchange.services.metrics.answer().await)),
        ["openapi", "v2"] => Some(swagger(exchange, &served)),
        ["openapi", "v3"] => {
            let index = exchange.services.openapi.of(&served).index();
            Some(Ok(bytes(StatusCode::OK, "text/plain; charset=utf-8", index)))
        }
        ["openapi", "v3", place @ ..] => Some(Ok(openapi_v3(exchange, &served, &place.join("/")))),
        ["api"] => Some(roots(exchange, &served, true)),
        ["apis"] => Some(roots(exchange, &served, false)),
        ["apis", group] => {
            let document = discovery::api_group(served.group(group).filter(|group| !group.name.is_empty())?);
            Some(discover(exchange, "APIGroup", document))
        }
        ["api", version] => resource_list(exchange, &served, "", version),
        ["apis", group, version] => resource_list(exchange, &served, group, version),
        _ => None,
    }
}

fn take_away(exchange: &Exchange, download: &Download) -> Result<Response<Body>, Failure> {
    let user = &exchange.context.user;
    if !user.groups.iter().any(|group| group == auth::SYSTEM_MASTERS) {
        let (user, path) = (meta::field::quoted(&user.name), meta::field::quoted(download.path));
        let message = format!("User {user} cannot get path {path}: only {} may", auth::SYSTEM_MASTERS);
        let resource = meta::GroupResource::new("", "");
        return Err(ApiError::Forbidden { resource, name: String::new(), message, causes: Vec::new() }.into());
    }
    if exchange.parts.method != http::Method::GET {
        return Err(ApiError::MethodNotAllowed.into());
    }
    let pieces = (download.open)().map_err(ApiError::Internal)?;
    let frames = futures::stream::iter(pieces.map(|piece| Ok(Frame::data(piece))));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let content_type = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

fn resource_list(
    exchange: &Exchange,
    served: &Served,
    group: &str,
    version: &str,
) -> Option<Result<Response<Body>, Failure>> {
    let document = discovery::api_resource_list(group, served.version(group, version)?);
    Some(discover(exchange, "APIResourceList", document))
}

/// `/api` and `/apis`: aggregated for who asks for it, else the legacy document.
fn roots(exchange: &Exchange, served: &Served, core: bool) -> Result<Response<Body>, Failure> {
    if let Some(media_type) = accepts_aggregated(&exchange.parts.headers) {
        return Ok(aggregated(exchange, served, core, media_type));
    }
    if core {
        let address = header(&exchange.parts.headers, http::header::HOST);
        return discover(exchange, "APIVersions", discovery::api_versions(served, address));
    }
    discover(exchange, "APIGroupList", discovery::api_group_list(served))
}

/// A legacy discovery document in the form negotiated.
fn discover(exchange: &Exchange, kind: &'static str, document: Value) -> Result<Response<Body>, Failure> {
    let (headers, query) = (&exchange.parts.headers, &exchange.query);
    let output = match kind {
        "APIVersions" | "APIGroupList" => negotiation::root_output(headers, query, MEDIA_TYPES)?,
        _ => negotiation::output(headers, query, MEDIA_TYPES, false)?,
    };
    let table = schema::builtin();
    let ty = table.named(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"));
    let ty = ty.ok_or_else(|| ApiError::Internal(format!("the schema table lacks {kind}")))?;
    let body = if output.media_type == MediaType::Protobuf {
        encode::typed(table, ty, &GroupVersionKind::new("", "v1", kind), document, output)
    } else {
        // The document says itself whether it has an apiVersion.
        let mut json = Vec::new();
        codec::json::encode(table, ty, &document, &mut json);
        encode::finish_json(json.into(), output)
    };
    Ok(bytes(StatusCode::OK, output.media_type.name(), body))
}

/// The form of the aggregated document, if the client likes that better than
/// the legacy one: the first clause that is either decides.
fn accepts_aggregated(headers: &HeaderMap) -> Option<MediaType> {
    header(headers, http::header::ACCEPT).split(',').find_map(|clause| {
        let mut parts = clause.split(';').map(str::trim);
        let media_type = match parts.next()? {
            "application/json" | "*/*" | "application/*" => MediaType::Json,
            "application/vnd.kubernetes.protobuf" => MediaType::Protobuf,
            _ => return None,
        };
        let parameters: Vec<&str> = parts.collect();
        let asks = |parameter| parameters.contains(&parameter);
        match asks("g=apidiscovery.k8s.io") && asks("as=APIGroupDiscoveryList") {
            true if asks("v=v2") => Some(Some(media_type)),
            true => None,
            false => Some(None),
        }
    })?
}

fn aggregated(exchange: &Exchange, served: &Served, core: bool, media_type: MediaType) -> Response<Body> {
    let document = discovery::aggregated(served, core);
    let mut json = Vec::new();
    codec::json::encode_any(&document, &mut json);
    json.push(b'\n');
    let etag = crate::openapi::hash(&json);
    if media_type != MediaType::Protobuf {
        return cacheable(exchange, &etag, AGGREGATED, json.into());
    }
    let table = schema::builtin();
    let gvk = GroupVersionKind::new("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList");
    let ty = table.kind(&gvk.group, &gvk.version, &gvk.kind);
    let ty = ty.expect("the table holds the kind (test: aggregated_discovery_has_a_protobuf_form)");
    let mut message = Vec::new();
    codec::protobuf::encode(table, ty, &document, &mut message);
    cacheable(exchange, &etag, AGGREGATED_PROTOBUF, encode::envelope(&gvk, &message))
}

/// A document with an ETag; 304 for who has it.
fn cacheable(exchange: &Exchange, hash: &str, content_type: &'static str, body: Bytes) -> Response<Body> {
    let quoted = format!("\"{hash}\"");
    let known = header(&exchange.parts.headers, IF_NONE_MATCH).split(',').any(|tag| tag.trim() == quoted);
    let mut response = if known {
        let mut response = Response::new(respond::full(Bytes::new()));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        bytes(StatusCode::OK, content_type, body)
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(&quoted).expect("a hexadecimal hash is a header"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    response
}

fn swagger(exchange: &Exchange, served: &Arc<Served>) -> Result<Response<Body>, Failure> {
    let accept = header(&exchange.parts.headers, http::header::ACCEPT);
    let names = accept.split(',').map(|clause| clause.split(';').next().unwrap_or_default().trim());
    for name in names {
        if SWAGGER_PROTOBUF.contains(&name) {
            let document = exchange.services.openapi.of(served).swagger_protobuf();
            return Ok(cacheable(exchange, &document.hash, SWAGGER_PROTOBUF[0], document.bytes));
        }
        if matches!(name, "" | "*/*" | "application/*" | "application/json") {
            let document = exchange.services.openapi.of(served).swagger_json();
            return Ok(cacheable(exchange, &document.hash, "application/json", document.bytes));
        }
    }
    let offered = ["application/json"].into_iter().chain(SWAGGER_PROTOBUF).map(str::to_owned);
    Err(ApiError::NotAcceptable(offered.collect()).into())
}

fn openapi_v3(exchange: &Exchange, served: &Arc<Served>, place: &str) -> Response<Body> {
    let empty = |code| {
        let mut response = Response::new(respond::full(Bytes::new()));
        *response.status_mut() = code;
        response
    };
    let Some(document) = exchange.services.openapi.of(served).version(place) else {
        return empty(StatusCode::NOT_FOUND);
    };
    match exchange.query.text("hash") {
        "" => cacheable(exchange, &document.hash, "application/json", document.bytes),
        hash if hash == document.hash => {
            let mut response = cacheable(exchange, &document.hash, "application/json", document.bytes);
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
            response
        }
        _ => {
            let mut response = empty(StatusCode::MOVED_PERMANENTLY);
            let url = format!("/openapi/v3/{place}?hash={}", document.hash);
            let url = HeaderValue::from_str(&url).expect("places and hashes are plain ASCII");
            response.headers_mut().insert(LOCATION, url);
            response
        }
    }
}

/// `/`: the paths there are.
fn index(served: &Served) -> Response<Body> {
    let mut paths: Vec<String> = [
        "/api",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ]
    .map(str::to_owned)
    .to_vec();
    for group in served.groups() {
        let root = if group.name.is_empty() { "/api".to_owned() } else { format!("/apis/{}", group.name) };
        paths.extend(group.versions.iter().map(|version| format!("{root}/{}", version.name)));
        paths.push(root);
    }
    paths.sort();
    paths.dedup();
    indented(&Value::Map(Map::from([("paths", paths)])))
}

fn version() -> Response<Body> {
    let mut parts = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let previous = minor.parse::<u32>().unwrap_or_default().saturating_sub(1).to_string();
    let platform = format!("{}/{}", std::env::consts::OS, go_arch(std::env::consts::ARCH));
    let compiler = concat!("pintle-", env!("CARGO_PKG_VERSION"));
    indented(&Value::Map(Map::from([
        ("major", major),
        ("minor", minor),
        ("emulationMajor", major),
        ("emulationMinor", minor),
        ("minCompatibilityMajor", major),
        ("minCompatibilityMinor", &previous),
        ("gitVersion", KUBERNETES_VERSION),
        ("gitCommit", ""),
        ("gitTreeState", "clean"),
        ("buildDate", "1970-01-01T00:00:00Z"),
        ("goVersion", "none"),
        ("compiler", compiler),
        ("platform", &platform),
    ])))
}

fn go_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Raw documents of the original are indented.
fn indented(document: &Value) -> Response<Body> {
    let (mut json, mut out) = (Vec::new(), Vec::new());
    codec::json::encode_any(document, &mut json);
    codec::json::pretty(&json, &mut out);
    bytes(StatusCode::OK, "application/json", out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_form_of_discovery_wins() {
        let form = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::ACCEPT, accept.parse().expect("a header"));
            accepts_aggregated(&headers)
        };
        assert_eq!(form(AGGREGATED), Some(MediaType::Json));
        assert_eq!(form(&format!("{AGGREGATED_PROTOBUF},{AGGREGATED}")), Some(MediaType::Protobuf));
        assert_eq!(form(&format!("application/json,{AGGREGATED}")), None);
        // What is not served any more is passed over.
        let beta = AGGREGATED.replace("v=v2", "v=v2beta1");
        assert_eq!(form(&format!("{beta},{AGGREGATED}")), Some(MediaType::Json));
        assert_eq!(form("*/*"), None);
    }

    #[test]
    fn aggregated_discovery_has_a_protobuf_form() {
        assert!(schema::builtin().kind("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList").is_some());
    }
}
