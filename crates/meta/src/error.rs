//! Typed API errors: what a request can fail with, without a word of HTTP.
//! The server turns each into a `Status` in one place.

use std::time::Duration;

use crate::field::{FieldError, FieldErrors};
use crate::names::{GroupKind, GroupResource};

/// Why a request failed. Each variant is one constructor of the original's
/// `api/errors` package; texts are made where the Status is made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApiError {
    /// 404: no such object.
    #[error("{resource} {name:?} not found")]
    NotFound {
        /// Resource asked for.
        resource: GroupResource,
        /// Name asked for.
        name: String,
    },
    /// 409: the name is taken. `message` overrides the usual text.
    #[error("{resource} {name:?} already exists")]
    AlreadyExists {
        /// Resource.
        resource: GroupResource,
        /// Name.
        name: String,
        /// Text put in front, e.g. `object is being deleted: `.
        prefix: &'static str,
    },
    /// 409 AlreadyExists after all generated names were taken; retry after a second.
    #[error(
        "{resource} {name:?} already exists, the server was not able to generate a unique name for the object"
    )]
    GenerateNameConflict {
        /// Resource.
        resource: GroupResource,
        /// The last name tried.
        name: String,
    },
    /// 409: the object changed, or a precondition failed.
    #[error("Operation cannot be fulfilled on {resource} {name:?}: {message}")]
    Conflict {
        /// Resource.
        resource: GroupResource,
        /// Name.
        name: String,
        /// Why, in words.
        message: String,
    },
    /// 409 of server-side apply, one cause per field and manager.
    #[error("{message}")]
    ApplyConflict {
        /// Text for people.
        message: String,
        /// Causes: message and field path.
        causes: Vec<(String, String)>,
    },
    /// 422: fields are wrong. `name` is empty when the object has none.
    #[error("{kind} {name:?} is invalid")]
    Invalid {
        /// Kind that is invalid.
        kind: GroupKind,
        /// Object name.
        name: String,
        /// What is wrong.
        errors: FieldErrors,
    },
    /// 422 of a patch that cannot be applied: the original's generic text, field errors as causes.
    #[error("the server rejected our request due to an error in our request")]
    Unprocessable {
        /// What is wrong; may be empty.
        errors: FieldErrors,
    },
    /// 400.
    #[error("{0}")]
    BadRequest(String),
    /// 401.
    #[error("Unauthorized")]
    Unauthorized,
    /// 403 on a resource.
    #[error("{resource} {name:?} is forbidden: {message}")]
    Forbidden {
        /// Resource; empty names are printed without.
        resource: GroupResource,
        /// Object name; may be empty.
        name: String,
        /// Why.
        message: String,
        /// Causes (reason, message, field), e.g. of namespace termination.
        causes: Vec<(String, String, String)>,
    },
    /// 405 on a resource.
    #[error("{action} is not supported on resources of kind {resource:?}")]
    MethodNotSupported {
        /// Resource.
        resource: GroupResource,
        /// Verb.
        action: String,
    },
    /// 405 with the generic text.
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    /// 404 with the generic text: no such resource is served.
    #[error("the server could not find the requested resource")]
    NotServed,
    /// 406: nothing the client accepts can be made.
    #[error("only the following media types are accepted: {}", .0.join(", "))]
    NotAcceptable(Vec<String>),
    /// 415: the body's media type is not understood.
    #[error("the body of the request was in an unknown format - accepted media types include: {}", .0.join(", "))]
    UnsupportedMediaType(Vec<String>),
    /// 413.
    #[error("Request entity too large: {0}")]
    TooLarge(String),
    /// 410 Expired: the revision is gone. `continue_token` lets a list go on inconsistently.
    #[error("{message}")]
    Expired {
        /// Text for people.
        message: String,
        /// Fresh token, empty if none.
        continue_token: String,
    },
    /// 504 with cause ResourceVersionTooLarge: the revision lies in the future.
    #[error("Too large resource version: {requested}, current: {current}")]
    TooLargeResourceVersion {
        /// Asked for.
        requested: u64,
        /// Current.
        current: u64,
        /// Retry hint in seconds.
        retry_after_seconds: u32,
    },
    /// 504: a deadline passed.
    #[error("Timeout: {message}")]
    Timeout {
        /// What timed out.
        message: String,
        /// Retry hint in seconds.
        retry_after_seconds: u32,
    },
    /// 500 ServerTimeout: the backend did not answer in time; try again.
    #[error(
        "The {operation} operation against {resource} could not be completed at this time, please try again."
    )]
    ServerTimeout {
        /// Resource.
        resource: GroupResource,
        /// Verb.
        operation: String,
        /// Retry hint in seconds.
        retry_after_seconds: u32,
    },
    /// 429.
    #[error("{message}")]
    TooManyRequests {
        /// Text for people.
        message: String,
        /// Retry hint.
        retry_after: Duration,
        /// Causes (reason, message).
        causes: Vec<(String, String)>,
    },
    /// 503.
    #[error("{0}")]
    ServiceUnavailable(String),
    /// 500 StorageReadError: stored objects cannot be read. Resource and name are empty on a watch.
    #[error("{message}")]
    StorageRead {
        /// Resource.
        resource: GroupResource,
        /// What was read, e.g. `list`.
        name: String,
        /// Text for people.
        message: String,
        /// Causes (reason, message, field), one per object.
        causes: Vec<(String, String, String)>,
    },
    /// 500 InternalError: text is prefixed `Internal error occurred: `.
    #[error("Internal error occurred: {0}")]
    Internal(String),
    /// 500 without a reason: an error the original has no Status for (ERR-20).
    #[error("{0}")]
    Unknown(String),
}

impl ApiError {
    /// 422 with one field error.
    pub fn invalid(kind: GroupKind, name: impl Into<String>, errors: impl Into<FieldErrors>) -> ApiError {
        ApiError::Invalid { kind, name: name.into(), errors: errors.into() }
    }

    /// 404.
    pub fn not_found(resource: &GroupResource, name: impl Into<String>) -> ApiError {
        ApiError::NotFound { resource: resource.clone(), name: name.into() }
    }

    /// 409 after an optimistic lock lost.
    pub fn object_modified(resource: &GroupResource, name: impl Into<String>) -> ApiError {
        const MODIFIED: &str =
            "the object has been modified; please apply your changes to the latest version and try again";
        ApiError::Conflict { resource: resource.clone(), name: name.into(), message: MODIFIED.to_owned() }
    }
}

impl From<FieldError> for FieldErrors {
    fn from(error: FieldError) -> FieldErrors {
        vec![error]
    }
}
