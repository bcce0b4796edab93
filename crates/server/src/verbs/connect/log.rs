//! `pods/log`: the kubelet's answer, piece by piece as it comes.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;

use super::options::LogOptions;
use super::{Target, node, pod, stop};
use crate::filters::Exchange;
use crate::respond::{self, Body};
use crate::status::Failure;

/// What is read of a kubelet's error, in bytes.
const ERROR_BYTES_MAX: usize = 50_000;

/// Streams the log of a container. A pod that is on no node has none: 204.
pub async fn log(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let options = LogOptions::read(&exchange.query, &target.name)?;
    let pod = pod::find(exchange, target, &target.name).await?;
    let container = pod::container(&pod, &options.container, &target.name)?;
    let node = pod.str_at(&["spec", "nodeName"]).unwrap_or_default();
    if node.is_empty() {
        let mut response = Response::new(respond::full(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let mut place = node::kubelet(exchange, target, node).await?.place;
    if options.insecure {
        place.transport = exchange.services.kubelets.unchecked.clone();
    }
    let path = format!("/containerLogs/{}/{}/{container}", exchange.context.namespace, target.name);
    let uri = if options.query.is_empty() { path } else { format!("{path}?{}", options.query) };
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.headers_mut() = place.headers();
    *request.uri_mut() = uri.parse().map_err(|error| Failure::bad_request(format!("{error}")))?;
    let answer = place.send(request).await.map_err(|error| {
        let url = format!("{}://{}{uri}", place.scheme.name(), place.authority());
        meta::ApiError::Unknown(format!("Get {}: {error}", meta::field::quoted(&url)))
    })?;
    if !(200..=206).contains(&answer.status().as_u16()) {
        return Err(refused(answer, &target.name).await);
    }
    let mut response = Response::new(stop::relayed(answer.into_body(), exchange));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn refused(answer: Response<Incoming>, name: &str) -> Failure {
    let code = answer.status();
    let text = Limited::new(answer.into_body(), ERROR_BYTES_MAX).collect().await;
    let text = text.map(|text| String::from_utf8_lossy(&text.to_bytes()).into_owned()).unwrap_or_default();
    Failure::Relayed { code, resource: "pods/log", name: name.to_owned(), text }
}
