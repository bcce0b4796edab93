//! How others verify tokens of service accounts without asking this server
//! about each: the OpenID discovery document and the keys (KEP-1393).

use std::sync::Arc;

use auth::service_account::Keyset;
use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderValue, Response, StatusCode};
use meta::ApiError;
use schema::{Map, Value};

use crate::filters::Exchange;
use crate::negotiation::header;
use crate::respond::{self, Body};
use crate::status::Failure;

/// Path of the keys.
pub const JWKS_PATH: &str = "/openid/v1/jwks";

const JWKS: &str = "application/jwk-set+json";
/// Keys change with a restart at most; clients may keep what they got for an hour.
const FOR_AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// What is told of tokens.
pub struct TokenDiscovery {
    /// Who issues them.
    pub issuer: String,
    /// Where the keys are said to be.
    pub jwks_uri: String,
    /// The keys.
    pub keys: Arc<Keyset>,
}

/// The discovery document.
pub async fn configuration(exchange: &Exchange) -> Result<Response<Body>, Failure> {
    let discovery = &exchange.services.token_discovery;
    let algorithms = discovery.keys.algorithms().await.map_err(ApiError::Internal)?;
    let document = Map::from([
        ("issuer", Value::from(discovery.issuer.as_str())),
        ("jwks_uri", discovery.jwks_uri.as_str().into()),
        ("response_types_supported", ["id_token"].into()),
        ("subject_types_supported", ["public"].into()),
        ("id_token_signing_alg_values_supported", algorithms.into()),
    ]);
    let mut text = Vec::new();
    codec::json::encode_any(&document.into(), &mut text);
    answer(exchange, "application/json", text)
}

/// The keys.
pub async fn jwks(exchange: &Exchange) -> Result<Response<Body>, Failure> {
    // Refused first: nobody has a key made by a request that is not understood.
    accepts(exchange, JWKS)?;
    let keys = exchange.services.token_discovery.keys.jwks().await.map_err(ApiError::Internal)?;
    answer(exchange, JWKS, keys.to_string().into_bytes())
}

fn answer(exchange: &Exchange, media_type: &'static str, text: Vec<u8>) -> Result<Response<Body>, Failure> {
    accepts(exchange, media_type)?;
    let mut response = respond::bytes(StatusCode::OK, media_type, text);
    response.headers_mut().insert(CACHE_CONTROL, FOR_AN_HOUR);
    Ok(response)
}

/// Refuses a client that wants none of the only form there is.
fn accepts(exchange: &Exchange, media_type: &str) -> Result<(), Failure> {
    let accept = header(&exchange.parts.headers, ACCEPT);
    let wanted = accept.split(',').map(|clause| clause.split(';').next().unwrap_or_default().trim());
    let mut wanted = wanted.filter(|clause| !clause.is_empty()).peekable();
    if wanted.peek().is_none() || wanted.any(|it| it == "*/*" || it == "application/*" || it == media_type) {
        return Ok(());
    }
    Err(Failure::RouteNotAcceptable(media_type.to_owned()))
}
