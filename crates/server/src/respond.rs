//! Answers as HTTP: the body type, and responses made from bytes, from a
//! Status and from a failure. Knows no objects.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use meta::GroupVersionKind;

use crate::encode::{self, Known};
use crate::negotiation::Output;
use crate::status::{Failure, Status};

/// Body of a response.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body cannot be finished; the connection is cut, so that the client does
/// not take a part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(pub String);

/// A body held in memory.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A response with a body in memory.
pub fn bytes(code: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Plain text, as Go's `http.Error` answers.
pub fn text(code: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = bytes(code, "text/plain; charset=utf-8", text.into());
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A Status, with the code it carries (200 for a success).
pub fn status(status: &Status, output: Output) -> Response<Body> {
    let code = if status.code == 0 {
        StatusCode::OK
    } else {
        StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    };
    let gvk = GroupVersionKind::new("", "v1", "Status");
    let body = encode::known(Known::Status, &gvk, status.to_value(), output);
    let mut response = bytes(code, output.media_type.name(), body);
    if let Some(seconds) = status.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A failure. `output` is what the client accepts, or JSON if that cannot be made.
pub fn failure(failure: &Failure, output: Output) -> Response<Body> {
    match Status::of_failure(failure) {
        Ok(failed) => status(&failed, output),
        Err((code, message)) => text(code, message),
    }
}
