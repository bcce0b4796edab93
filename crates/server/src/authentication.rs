//! Who asks: the one question the server puts to authentication. Which
//! credentials there are and how they are checked is the business of `auth`.

use async_trait::async_trait;
use registry::UserInfo;
use rustls_pki_types::CertificateDer;

/// Finds out who sent a request.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The user behind the credentials; none if they identify nobody, not even
    /// an anonymous user. Called once per request, before the body is read.
    /// None and an error are both answered with 401.
    async fn authenticate(
        &self,
        request: &AuthenticationRequest<'_>,
    ) -> Result<Option<UserInfo>, AuthenticationError>;
}

/// What a request shows of its sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthenticationRequest<'a> {
    /// The `Authorization` header, whole.
    pub authorization: Option<&'a str>,
    /// The client's certificate chain as the handshake delivered it, leaf
    /// first. The client holds the key of the leaf; nothing else is proven.
    pub peer_certificates: &'a [CertificateDer<'static>],
}

/// A credential was shown and is not valid. The text is for the log; the client learns only that it failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AuthenticationError(pub String);
