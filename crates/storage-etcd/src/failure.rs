//! What a failed call means: which error of the contract it is, whether
//! another endpoint may know better, and whether the request may have taken effect.
//!
//! etcd tells its errors apart by text; the gRPC code says too little.

use std::error::Error as _;

use meta::Revision;
use storage::backend::BackendError;
use tonic::{Code, ConnectError, Status};

/// A failed call, as far as the answer alone tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Below the compaction. etcd does not say where that is.
    Compacted,
    /// Above the current revision. etcd does not say which that is.
    FutureRevision,
    /// Anything else.
    Known(BackendError),
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Failure {
        Failure::Known(error)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        match status.message() {
            "etcdserver: mvcc: required revision has been compacted" => Failure::Compacted,
            "etcdserver: mvcc: required revision is a future revision" => Failure::FutureRevision,
            "etcdserver: request is too large" => Failure::Known(BackendError::TooLarge),
            "etcdserver: mvcc: database space exceeded" => Failure::Known(BackendError::NoSpace),
            "etcdserver: requested lease not found" => Failure::Known(BackendError::LeaseNotFound),
            // The limit of etcd's gRPC server, a little above that of etcd itself.
            text if text.starts_with("grpc: received message larger than max") => {
                Failure::Known(BackendError::TooLarge)
            }
            _ => Failure::Known(unavailable(&status)),
        }
    }
}

/// The error of a watch that cannot go on because its start was compacted.
pub(crate) fn compacted(revision: Revision) -> BackendError {
    BackendError::Compacted { compacted: revision }
}

/// etcd's own words where it sent some, else what broke on the way.
pub(crate) fn unavailable(status: &Status) -> BackendError {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Wrapped errors repeat each other, and some say nothing.
        if cause != "transport error" && !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    BackendError::Unavailable(text)
}

/// True if another endpoint, or the same one later, may answer the same request.
pub(crate) fn is_passing(status: &Status) -> bool {
    match status.code() {
        // Unknown and Internal are what a connection that breaks within an answer looks like.
        Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Internal | Code::DeadlineExceeded => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// True if the request has certainly not been executed, so that even a write
/// may be sent again: no connection stood, or the member cannot take it for
/// want of a leader or as a mere learner.
pub(crate) fn is_unsent(status: &Status) -> bool {
    const NOT_TAKEN: [&str; 2] = ["etcdserver: no leader", "etcdserver: rpc not supported for learner"];
    if status.code() == Code::Unavailable && NOT_TAKEN.contains(&status.message()) {
        return true;
    }
    let mut source = status.source();
    while let Some(error) = source {
        // hyper's word for a request that was still waiting for its turn when the connection closed.
        let waiting = status.code() == Code::Cancelled && error.to_string() == "operation was canceled";
        if waiting || error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_by_their_text() {
        let failure = |code, text: &str| Failure::from(Status::new(code, text));
        let cases = [
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted", Failure::Compacted),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
                Failure::FutureRevision,
            ),
            (Code::InvalidArgument, "etcdserver: request is too large", BackendError::TooLarge.into()),
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (3000000 vs. 2097152)",
                BackendError::TooLarge.into(),
            ),
            (Code::NotFound, "etcdserver: requested lease not found", BackendError::LeaseNotFound.into()),
            (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
                BackendError::NoSpace.into(),
            ),
        ];
        for (code, text, want) in cases {
            assert_eq!(failure(code, text), want, "{text}");
        }
    }

    #[test]
    fn a_request_is_unsent_only_if_nobody_took_it() {
        assert!(is_unsent(&Status::unavailable("etcdserver: no leader")));
        assert!(!is_unsent(&Status::unavailable("etcdserver: request timed out")));
        let refused = ConnectError("connection refused".into());
        assert!(is_unsent(&Status::from_error(Box::new(refused))));
        assert!(!is_unsent(&Status::from_error("broken pipe".into())));
        assert!(!is_unsent(&Status::cancelled("by etcd itself")));
    }
}
