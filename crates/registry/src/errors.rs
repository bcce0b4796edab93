//! Errors of storage become API errors here, per verb (contract 0.2). What a
//! verb has no mapping for passes with its own text and no reason (ERR-20).

use std::time::Duration;

use meta::{ApiError, GroupResource};
use storage::Error;

/// Seconds a client is asked to wait when the backend was out of reach.
const UNREACHABLE_RETRY_SECONDS: u32 = 2;
/// How long a client is asked to wait while storage starts.
const NOT_READY_RETRY: Duration = Duration::from_secs(1);

/// The verb during which storage failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    List,
    Get,
    Create,
    Update,
    Delete,
    Watch,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::List => "list",
            Verb::Get => "get",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Delete => "delete",
            Verb::Watch => "watch",
        }
    }

    fn writes_existing(self) -> bool {
        matches!(self, Verb::Update | Verb::Delete)
    }
}

/// The API error for a failure of storage while `verb` worked on `name` (empty for lists).
pub(crate) fn interpret(error: Error, verb: Verb, resource: &GroupResource, name: &str) -> ApiError {
    let not_found = || ApiError::not_found(resource, name);
    let conflict = |error: &Error| ApiError::Conflict {
        resource: resource.clone(),
        name: name.to_owned(),
        message: error.to_string(),
    };
    match error {
        Error::Api(error) => error,
        Error::KeyNotFound { .. } if matches!(verb, Verb::Create | Verb::Watch) => passthrough(&error),
        Error::KeyNotFound { .. } => not_found(),
        Error::KeyExists { .. } if verb == Verb::Create => {
            ApiError::AlreadyExists { resource: resource.clone(), name: name.to_owned(), prefix: "" }
        }
        Error::KeyExists { .. } | Error::Conflict { .. } | Error::InvalidObject { .. }
            if verb.writes_existing() =>
        {
            conflict(&error)
        }
        Error::KeyExists { .. } | Error::Conflict { .. } | Error::InvalidObject { .. } => passthrough(&error),
        Error::Unreachable { .. } => server_timeout(verb, resource),
        Error::Timeout { .. } if verb == Verb::List => server_timeout(verb, resource),
        Error::Timeout { .. } | Error::ResourceVersionSet => passthrough(&error),
        Error::Internal(_) | Error::Corrupt { .. } => ApiError::Internal(error.to_string()),
        Error::NotReady => ApiError::TooManyRequests {
            message: error.to_string(),
            retry_after: NOT_READY_RETRY,
            causes: Vec::new(),
        },
    }
}

fn passthrough(error: &Error) -> ApiError {
    ApiError::Unknown(error.to_string())
}

fn server_timeout(verb: Verb, resource: &GroupResource) -> ApiError {
    ApiError::ServerTimeout {
        resource: resource.clone(),
        operation: verb.name().to_owned(),
        retry_after_seconds: UNREACHABLE_RETRY_SECONDS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meta::Revision;

    fn pods() -> GroupResource {
        GroupResource::new("", "pods")
    }

    #[test]
    fn a_missing_key_is_404_for_every_verb_that_names_an_object() {
        for verb in [Verb::List, Verb::Get, Verb::Update, Verb::Delete] {
            let error = Error::KeyNotFound { key: "/registry/pods/a/b".into(), revision: Revision(0) };
            assert_eq!(interpret(error, verb, &pods(), "b"), ApiError::not_found(&pods(), "b"));
        }
    }

    #[test]
    fn a_taken_name_is_already_exists_only_on_create() {
        let error = || Error::KeyExists { key: "/registry/pods/a/b".into(), revision: Revision(0) };
        assert!(matches!(interpret(error(), Verb::Create, &pods(), "b"), ApiError::AlreadyExists { .. }));
        assert!(matches!(interpret(error(), Verb::Update, &pods(), "b"), ApiError::Conflict { .. }));
    }

    #[test]
    fn a_failed_precondition_of_an_update_keeps_the_text_of_storage() {
        let error = Error::InvalidObject {
            key: "/registry/pods/a/b".into(),
            message: "Precondition failed: x".into(),
        };
        let ApiError::Conflict { message, .. } = interpret(error, Verb::Update, &pods(), "b") else {
            panic!("a conflict")
        };
        assert_eq!(
            message,
            "StorageError: invalid object, Code: 4, Key: /registry/pods/a/b, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: x"
        );
    }

    #[test]
    fn a_resource_version_on_create_has_no_reason() {
        let text = "resourceVersion should not be set on objects to be created";
        let error = interpret(Error::ResourceVersionSet, Verb::Create, &pods(), "b");
        assert_eq!(error, ApiError::Unknown(text.to_owned()));
    }
}
