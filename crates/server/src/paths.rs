//! Paths that are no resources: discovery, OpenAPI, version, health, metrics.
//! The one place where they are handed over to who answers them.

use http::Response;

use crate::filters::Exchange;
use crate::respond::Body;
use crate::status::Failure;

/// Answers a request that is not for a resource.
pub async fn answer(exchange: &Exchange) -> Result<Response<Body>, Failure> {
    let path = exchange.info.path.trim_matches('/');
    let mut parts = path.split('/');
    match (parts.next().unwrap_or_default(), parts.next()) {
        // One arm per family of paths: `api`, `apis`, `openapi`, `version`,
        // `healthz`, `livez`, `readyz`, `metrics`, `openid`, `.well-known`.
        _ => Err(Failure::page_not_found()),
    }
}
