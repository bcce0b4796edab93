//! The only place where an error becomes a `Status`: code, reason, message,
//! details (contract 0.3). Typed errors come in, a tree goes out; how it is
//! serialized is negotiated elsewhere.

use http::StatusCode;
use meta::{ApiError, FieldErrors, GroupKind, GroupResource};
use schema::{Map, Value};

use crate::negotiation::MediaType;

/// Why a request was not served.
#[derive(Debug)]
pub enum Failure {
    /// An error of the API.
    Api(ApiError),
    /// 406 by the route: no media type of the client is known here. Holds the known ones.
    RouteNotAcceptable(String),
    /// 415 by the route.
    RouteUnsupportedMediaType,
    /// 406 with a text of its own.
    NotAcceptable(String),
    /// Another server refused what was asked of it for the client. Text is what it said.
    Relayed {
        /// Its status code.
        code: StatusCode,
        /// What the client asked for, as `resource/subresource` of the core group.
        resource: &'static str,
        /// Name of the object.
        name: String,
        /// What it said.
        text: String,
    },
    /// An answer outside the API: plain text, without a Status.
    Text(StatusCode, String),
}

impl Failure {
    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Failure {
        Failure::Api(ApiError::BadRequest(message.into()))
    }

    /// 406 naming what could be made.
    pub fn not_acceptable(offered: &[MediaType]) -> Failure {
        Failure::Api(ApiError::NotAcceptable(
            offered.iter().map(|media_type| media_type.name().to_owned()).collect(),
        ))
    }

    /// 415 naming what is understood.
    pub fn unsupported_media_type<'a>(offered: impl Iterator<Item = &'a str>) -> Failure {
        Failure::Api(ApiError::UnsupportedMediaType(offered.map(str::to_owned).collect()))
    }

    /// 404 in plain text, for paths that belong to nobody.
    pub fn page_not_found() -> Failure {
        Failure::Text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned())
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        Failure::Api(error)
    }
}

/// A `Status`, before it is serialized.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// HTTP status code; 0 in a success.
    pub code: u16,
    /// `reason`, empty if there is none.
    pub reason: &'static str,
    /// Text for people.
    pub message: String,
    /// `metadata.continue`.
    pub continue_token: String,
    /// What it is about; none leaves `details` out, an empty one is written as `{}`.
    pub details: Option<Details>,
}

/// `details` of a Status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Object name.
    pub name: String,
    /// API group.
    pub group: String,
    /// Kind or resource.
    pub kind: String,
    /// Object uid.
    pub uid: String,
    /// Single causes.
    pub causes: Vec<Cause>,
    /// Seconds to wait before the next try, 0 if not said. Also sent as `Retry-After`.
    pub retry_after_seconds: u32,
}

/// One cause.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cause {
    /// Machine-readable reason.
    pub reason: String,
    /// Text for people.
    pub message: String,
    /// Path of the field.
    pub field: String,
}

impl Status {
    /// The Status of an API error.
    pub fn of(error: &ApiError) -> Status {
        let message = message(error);
        let status = |code, reason, details| Status {
            code,
            reason,
            message: message.clone(),
            details,
            ..Status::default()
        };
        let plain = |code, reason| status(code, reason, None);
        match error {
            ApiError::NotFound { resource, name } => status(404, "NotFound", Some(about(resource, name))),
            ApiError::AlreadyExists { resource, name, .. } => {
                status(409, "AlreadyExists", Some(about(resource, name)))
            }
            ApiError::GenerateNameConflict { resource, name } => status(
                409,
                "AlreadyExists",
                Some(Details { retry_after_seconds: 1, ..about(resource, name) }),
            ),
            ApiError::Conflict { resource, name, .. } => status(409, "Conflict", Some(about(resource, name))),
            ApiError::ApplyConflict { causes, .. } => {
                let causes =
                    causes.iter().map(|(message, field)| cause("FieldManagerConflict", message, field));
                status(409, "Conflict", Some(Details { causes: causes.collect(), ..Details::default() }))
            }
            ApiError::Invalid { kind, name, errors } => {
                status(422, "Invalid", Some(invalid(kind, name, errors)))
            }
            ApiError::Unprocessable { errors } => {
                status(422, "Invalid", Some(Details { causes: causes(errors), ..Details::default() }))
            }
            ApiError::BadRequest(_) => plain(400, "BadRequest"),
            ApiError::Unauthorized => plain(401, "Unauthorized"),
            ApiError::Forbidden { resource, name, causes, .. } => {
                let causes = causes.iter().map(|(reason, message, field)| cause(reason, message, field));
                status(403, "Forbidden", Some(Details { causes: causes.collect(), ..about(resource, name) }))
            }
            ApiError::MethodNotSupported { resource, .. } => {
                status(405, "MethodNotAllowed", Some(about(resource, "")))
            }
            ApiError::MethodNotAllowed => status(405, "MethodNotAllowed", Some(Details::default())),
            ApiError::NotServed => status(404, "NotFound", Some(Details::default())),
            ApiError::NotAcceptable(_) => plain(406, "NotAcceptable"),
            ApiError::UnsupportedMediaType(_) => plain(415, "UnsupportedMediaType"),
            ApiError::TooLarge(_) => plain(413, "RequestEntityTooLarge"),
            ApiError::Expired { continue_token, .. } => {
                Status { continue_token: continue_token.clone(), ..plain(410, "Expired") }
            }
            ApiError::TooLargeResourceVersion { retry_after_seconds, .. } => {
                let causes = vec![cause("ResourceVersionTooLarge", "Too large resource version", "")];
                let details =
                    Details { causes, retry_after_seconds: *retry_after_seconds, ..Details::default() };
                status(504, "Timeout", Some(details))
            }
            ApiError::Timeout { retry_after_seconds, .. } => {
                let details = Details { retry_after_seconds: *retry_after_seconds, ..Details::default() };
                status(504, "Timeout", Some(details))
            }
            ApiError::ServerTimeout { resource, operation, retry_after_seconds } => {
                let details =
                    Details { retry_after_seconds: *retry_after_seconds, ..about(resource, operation) };
                status(500, "ServerTimeout", Some(details))
            }
            ApiError::TooManyRequests { retry_after, causes, .. } => {
                let causes = causes.iter().map(|(reason, message)| cause(reason, message, "")).collect();
                let retry_after_seconds = u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX);
                status(
                    429,
                    "TooManyRequests",
                    Some(Details { causes, retry_after_seconds, ..Details::default() }),
                )
            }
            ApiError::ServiceUnavailable(_) => plain(503, "ServiceUnavailable"),
            ApiError::StorageRead { resource, name, causes, .. } => {
                let causes = causes.iter().map(|(reason, message, field)| cause(reason, message, field));
                status(
                    500,
                    "StorageReadError",
                    Some(Details { causes: causes.collect(), ..about(resource, name) }),
                )
            }
            ApiError::Internal(message) => {
                let causes = vec![cause("", message, "")];
                status(500, "InternalError", Some(Details { causes, ..Details::default() }))
            }
            ApiError::Unknown(_) => plain(500, ""),
        }
    }

    /// The Status of a failure, or code and text of an answer outside the API.
    pub fn of_failure(failure: &Failure) -> Result<Status, (StatusCode, String)> {
        match failure {
            Failure::Api(error) => Ok(Status::of(error)),
            Failure::RouteNotAcceptable(known) => Ok(Status {
                code: 406,
                reason: "NotAcceptable",
                message: format!("406: Not Acceptable\n\nAvailable representations: {known}"),
                details: Some(Details::default()),
                ..Status::default()
            }),
            Failure::RouteUnsupportedMediaType => Ok(Status {
                code: 415,
                reason: "UnsupportedMediaType",
                message: "415: Unsupported Media Type".to_owned(),
                details: Some(Details::default()),
                ..Status::default()
            }),
            Failure::NotAcceptable(message) => Ok(Status {
                code: 406,
                reason: "NotAcceptable",
                message: message.clone(),
                ..Status::default()
            }),
            Failure::Relayed { code, resource, name, text } => Ok(relayed(*code, resource, name, text)),
            Failure::Text(code, message) => Err((*code, message.clone())),
        }
    }

    /// Success, about an object that is gone.
    pub fn deleted(resource: &GroupResource, name: &str, uid: &str) -> Status {
        Status {
            details: Some(Details { uid: uid.to_owned(), ..about(resource, name) }),
            ..Status::default()
        }
    }

    /// Success, about an object that went without being read. Says less than
    /// [`Status::deleted`], and the kind where that says the resource, as the original does.
    pub fn deleted_unseen(kind: &str, name: &str) -> Status {
        let details = Details { name: name.to_owned(), kind: kind.to_owned(), ..Details::default() };
        Status { code: 200, details: Some(details), ..Status::default() }
    }

    /// The tree, of type `meta/v1 Status`, with kind and apiVersion.
    pub fn to_value(&self) -> Value {
        let mut status = Map::from([("kind", "Status"), ("apiVersion", "v1")]);
        let metadata = if self.continue_token.is_empty() {
            Map::new()
        } else {
            Map::from([("continue", self.continue_token.as_str())])
        };
        status.insert("metadata", metadata);
        let failed = self.code >= 400;
        status.insert("status", if failed { "Failure" } else { "Success" });
        insert_text(&mut status, "message", &self.message);
        insert_text(&mut status, "reason", self.reason);
        if let Some(details) = &self.details {
            status.insert("details", details.to_map());
        }
        if self.code != 0 {
            status.insert("code", i64::from(self.code));
        }
        Value::Map(status)
    }

    /// Value of the `Retry-After` header, if there is to be one (ERR-21).
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.details.as_ref().map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0)
    }
}

impl Details {
    fn to_map(&self) -> Map {
        let mut details = Map::new();
        insert_text(&mut details, "name", &self.name);
        insert_text(&mut details, "group", &self.group);
        insert_text(&mut details, "kind", &self.kind);
        insert_text(&mut details, "uid", &self.uid);
        if !self.causes.is_empty() {
            let causes: Vec<Value> = self.causes.iter().map(Cause::to_value).collect();
            details.insert("causes", causes);
        }
        if self.retry_after_seconds > 0 {
            details.insert("retryAfterSeconds", self.retry_after_seconds);
        }
        details
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut cause = Map::new();
        insert_text(&mut cause, "reason", &self.reason);
        insert_text(&mut cause, "message", &self.message);
        insert_text(&mut cause, "field", &self.field);
        Value::Map(cause)
    }
}

fn insert_text(map: &mut Map, key: &'static str, text: &str) {
    if !text.is_empty() {
        map.insert(schema::Key::borrowed(key), text);
    }
}

fn cause(reason: &str, message: &str, field: &str) -> Cause {
    Cause { reason: reason.to_owned(), message: message.to_owned(), field: field.to_owned() }
}

fn causes(errors: &FieldErrors) -> Vec<Cause> {
    let cause_of = |error: &meta::FieldError| {
        let field = if error.field.as_str().is_empty() { "<nil>" } else { error.field.as_str() };
        cause(error.kind.reason(), &error.body(), field)
    };
    errors.iter().map(cause_of).collect()
}

fn about(resource: &GroupResource, name: &str) -> Details {
    Details {
        name: name.to_owned(),
        group: resource.group.to_string(),
        kind: resource.resource.to_string(),
        ..Details::default()
    }
}

/// What the original makes of another server's refusal: its own words for the
/// code, the other's only where they are all there is.
fn relayed(code: StatusCode, resource: &str, name: &str, text: &str) -> Status {
    let quoted = meta::field::quoted(text);
    let (reason, message) = match code.as_u16() {
        400 => return Status::of(&ApiError::BadRequest(text.to_owned())),
        500 => return Status::of(&ApiError::Internal(text.to_owned())),
        401 => ("Unauthorized", "the server has asked for the client to provide credentials".to_owned()),
        403 => ("Forbidden", text.to_owned()),
        404 => ("NotFound", "the server could not find the requested resource".to_owned()),
        405 => (
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource".to_owned(),
        ),
        409 => ("Conflict", "the server reported a conflict".to_owned()),
        422 => ("Invalid", "the server rejected our request due to an error in our request".to_owned()),
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later".to_owned(),
        ),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request".to_owned()),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .to_owned(),
        ),
        501.. => (
            "InternalError",
            format!("an error on the server ({quoted}) has prevented the request from succeeding"),
        ),
        code => (
            "",
            format!("the server responded with the status code {code} but did not return more information"),
        ),
    };
    Status {
        code: code.as_u16(),
        reason,
        // The verb is not known where this is made, which leaves a gap.
        message: format!("{message} ( {resource} {name})"),
        details: Some(Details { name: name.to_owned(), kind: resource.to_owned(), ..Details::default() }),
        ..Status::default()
    }
}

fn invalid(kind: &GroupKind, name: &str, errors: &FieldErrors) -> Details {
    Details {
        name: name.to_owned(),
        group: kind.group.to_string(),
        kind: kind.kind.to_string(),
        causes: causes(errors),
        ..Details::default()
    }
}

/// The text for people. Names are quoted as Go quotes them.
fn message(error: &ApiError) -> String {
    let quoted = meta::field::quoted;
    match error {
        ApiError::NotFound { resource, name } => format!("{resource} {} not found", quoted(name)),
        ApiError::AlreadyExists { resource, name, prefix } => {
            format!("{prefix}{resource} {} already exists", quoted(name))
        }
        ApiError::GenerateNameConflict { resource, name } => {
            let taken = "already exists, the server was not able to generate a unique name for the object";
            format!("{resource} {} {taken}", quoted(name))
        }
        ApiError::Conflict { resource, name, message } => {
            format!("Operation cannot be fulfilled on {resource} {}: {message}", quoted(name))
        }
        ApiError::Invalid { kind, name, errors } if errors.is_empty() => {
            format!("{kind} {} is invalid", quoted(name))
        }
        ApiError::Invalid { kind, name, errors } => {
            format!("{kind} {} is invalid: {}", quoted(name), aggregate(errors))
        }
        ApiError::Forbidden { resource, name, message, .. } => {
            match (resource.resource.is_empty(), name.is_empty()) {
                (true, _) => format!("forbidden: {message}"),
                (false, true) => format!("{resource} is forbidden: {message}"),
                (false, false) => format!("{resource} {} is forbidden: {message}", quoted(name)),
            }
        }
        ApiError::MethodNotSupported { resource, action } => {
            format!("{action} is not supported on resources of kind {}", quoted(&resource.to_string()))
        }
        ApiError::TooLargeResourceVersion { .. } => format!("Timeout: {error}"),
        ApiError::ApplyConflict { .. }
        | ApiError::Unprocessable { .. }
        | ApiError::BadRequest(_)
        | ApiError::Unauthorized
        | ApiError::MethodNotAllowed
        | ApiError::NotServed
        | ApiError::NotAcceptable(_)
        | ApiError::UnsupportedMediaType(_)
        | ApiError::TooLarge(_)
        | ApiError::Expired { .. }
        | ApiError::Timeout { .. }
        | ApiError::ServerTimeout { .. }
        | ApiError::TooManyRequests { .. }
        | ApiError::ServiceUnavailable(_)
        | ApiError::StorageRead { .. }
        | ApiError::Internal(_)
        | ApiError::Unknown(_) => error.to_string(),
    }
}

/// Several errors in one text, each text once.
fn aggregate(errors: &FieldErrors) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for text in errors.iter().map(ToString::to_string) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    if texts.len() == 1 { texts.remove(0) } else { format!("[{}]", texts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meta::{FieldError, FieldPath};

    fn check(error: ApiError, code: u16, reason: &str, message: &str) -> Status {
        let status = Status::of(&error);
        assert_eq!((status.code, status.reason, status.message.as_str()), (code, reason, message));
        status
    }

    #[test]
    fn texts_are_those_of_the_original() {
        let deployments = GroupResource::new("apps", "deployments");
        check(ApiError::not_found(&deployments, "a"), 404, "NotFound", r#"deployments.apps "a" not found"#);
        check(ApiError::Unknown("odd".into()), 500, "", "odd");
        check(
            ApiError::TooLarge("limit is 3145728".into()),
            413,
            "RequestEntityTooLarge",
            "Request entity too large: limit is 3145728",
        );
        let nobody = ApiError::Forbidden {
            resource: GroupResource::new("", ""),
            name: String::new(),
            message: "no".into(),
            causes: vec![],
        };
        check(nobody, 403, "Forbidden", "forbidden: no");
    }

    #[test]
    fn several_field_errors_stand_in_brackets_and_each_is_a_cause() {
        let path = FieldPath::root("spec");
        let errors = vec![FieldError::required(&path, ""), FieldError::forbidden(&path, "no")];
        let error = ApiError::invalid(GroupKind { group: "".into(), kind: "Pod".into() }, "p", errors);
        let text = r#"Pod "p" is invalid: [spec: Required value, spec: Forbidden: no]"#;
        let status = check(error, 422, "Invalid", text);
        let details = status.details.expect("causes");
        assert_eq!(details.causes[1], cause("FieldValueForbidden", "Forbidden: no", "spec"));
    }

    #[test]
    fn a_route_error_has_empty_details_and_a_bad_request_none() {
        let tree = Status::of(&ApiError::MethodNotAllowed).to_value();
        assert_eq!(tree.get("details"), Some(&Value::map()));
        assert_eq!(Status::of(&ApiError::BadRequest("x".into())).to_value().get("details"), None);
    }
}
