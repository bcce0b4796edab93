//! What a request brings with it beside its object.

use std::sync::Arc;

use environment::Environment;
use meta::{ApiError, GroupResource};
use parking_lot::Mutex;

use crate::admission::Admission;
use crate::authorization::Authorizer;

/// Who asks, for what, and whom to ask on the way. Made per request by the server.
pub struct RequestContext {
    /// Who asks.
    pub user: UserInfo,
    /// Verb as authorization names it, e.g. `create`.
    pub verb: String,
    /// Resource asked for.
    pub resource: GroupResource,
    /// Version asked for.
    pub version: String,
    /// Subresource, empty if none.
    pub subresource: String,
    /// Namespace of the request, empty for cluster scope and all namespaces.
    pub namespace: String,
    /// Name of the request, empty for collections.
    pub name: String,
    /// Admission, mutating then validating.
    pub admission: Arc<dyn Admission>,
    /// Whom to ask what the user may do beyond the request itself.
    pub authorizer: Arc<dyn Authorizer>,
    /// Clock and randomness.
    pub environment: Environment,
    warnings: Mutex<Vec<String>>,
}

/// An authenticated user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// User name, e.g. `system:anonymous`.
    pub name: String,
    /// Unique id, empty if the authenticator gives none.
    pub uid: String,
    /// Groups, including `system:authenticated` or `system:unauthenticated`.
    pub groups: Vec<String>,
    /// Further facts.
    pub extra: Vec<(String, Vec<String>)>,
}

impl RequestContext {
    /// A context of a request.
    pub fn new(
        user: UserInfo,
        admission: Arc<dyn Admission>,
        authorizer: Arc<dyn Authorizer>,
        environment: Environment,
    ) -> RequestContext {
        RequestContext {
            user,
            verb: String::new(),
            resource: GroupResource::new("", ""),
            version: String::new(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            admission,
            authorizer,
            environment,
            warnings: Mutex::default(),
        }
    }

    /// Adds a warning for the client; duplicates are dropped.
    pub fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.lock();
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Takes the warnings collected.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock())
    }

    /// 405 on this request's resource.
    pub fn method_not_allowed(&self, action: &str) -> ApiError {
        ApiError::MethodNotSupported { resource: self.resource.clone(), action: action.to_owned() }
    }
}
