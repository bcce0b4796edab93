//! The vocabulary of the API: names of kinds and resources, revisions and
//! resource versions, object metadata, selectors, options, field errors and
//! typed API errors. Knows nothing of HTTP, storage or encodings.

pub mod error;
pub mod field;
mod names;
pub mod object;
pub mod options;
mod revision;
pub mod selector;
pub mod time;
pub mod validation;

pub use error::ApiError;
pub use field::{FieldError, FieldErrors, FieldPath};
pub use names::{GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use object::{ObjectMeta, ObjectMetaMut};
pub use revision::{ParseResourceVersionError, ResourceVersion, Revision};
