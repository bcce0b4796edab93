//! Why a patch cannot be read or applied.

use meta::ApiError;

use crate::json_patch::OPERATIONS_MAX;

/// Why a patch cannot be read or applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is malformed: 400 with this text.
    #[error("{0}")]
    Malformed(String),
    /// A JSON patch of more than [`OPERATIONS_MAX`] operations: 413.
    #[error("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {0}")]
    TooManyOperations(usize),
    /// The patch is well-formed, but does not go with this object: 422. The
    /// client sees a generic text; this one is for the log.
    #[error("{0}")]
    DoesNotApply(String),
    /// A strategic merge patch that the original has no status for: 500 with this text.
    #[error("{0}")]
    Strategic(String),
}

impl From<PatchError> for ApiError {
    fn from(error: PatchError) -> ApiError {
        match error {
            PatchError::Malformed(text) => ApiError::BadRequest(text),
            PatchError::TooManyOperations(_) => ApiError::TooLarge(error.to_string()),
            PatchError::DoesNotApply(_) => ApiError::Unprocessable { errors: Vec::new() },
            PatchError::Strategic(text) => ApiError::Unknown(text),
        }
    }
}
