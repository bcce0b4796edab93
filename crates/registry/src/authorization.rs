//! The authorizer as the registry and the server call it. Implementations live in `auth`.

use async_trait::async_trait;

use crate::context::UserInfo;

/// Decides what a user may do.
#[async_trait]
pub trait Authorizer: Send + Sync {
    /// Judges one request.
    async fn authorize(&self, attributes: &AuthorizationAttributes<'_>) -> Decision;
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationAttributes<'a> {
    /// Who asks.
    pub user: &'a UserInfo,
    /// Verb, e.g. `list`; the lower-case HTTP method for other paths.
    pub verb: &'a str,
    /// True for API resources, false for other paths such as `/healthz`.
    pub resource_request: bool,
    /// Namespace, empty for cluster scope.
    pub namespace: &'a str,
    /// API group.
    pub group: &'a str,
    /// API version.
    pub version: &'a str,
    /// Resource.
    pub resource: &'a str,
    /// Subresource, empty if none.
    pub subresource: &'a str,
    /// Object name, empty for collections.
    pub name: &'a str,
    /// Path of a request that is not for an API resource.
    pub path: &'a str,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed; the text says by what.
    Allow(String),
    /// Not allowed by this authorizer; the text may say why.
    NoOpinion(String),
    /// Refused whatever others say.
    Deny(String),
}
