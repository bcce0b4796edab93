//! Who asks, and what they may do: one file per authenticator and authorizer.
//!
//! Authenticators are asked in order until one knows the caller ([`Union`]);
//! a credential that is present and wrong ends the search. Authorizers
//! implement [`registry::Authorizer`].

mod client_certificate;
mod superuser;
mod token_file;

use std::sync::Arc;

use async_trait::async_trait;
use registry::UserInfo;

pub use client_certificate::{ClientCertificates, ClientCertificatesError};
pub use superuser::SuperuserAuthorizer;
pub use token_file::{TokenFile, TokenFileError};

/// Group that may do everything.
pub const SYSTEM_MASTERS: &str = "system:masters";
/// Group of everybody who showed a credential.
pub const SYSTEM_AUTHENTICATED: &str = "system:authenticated";
/// User without a credential.
pub const SYSTEM_ANONYMOUS: &str = "system:anonymous";
/// Group of users without a credential.
pub const SYSTEM_UNAUTHENTICATED: &str = "system:unauthenticated";

/// Finds out who asks.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The user behind the credentials; none if there is no credential this
    /// authenticator reads. An error means a credential was shown and is wrong.
    async fn authenticate(
        &self,
        credentials: &Credentials<'_>,
    ) -> Result<Option<UserInfo>, InvalidCredential>;
}

/// What a request shows of its sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// The `Authorization` header, whole.
    pub authorization: Option<&'a str>,
    /// The client's certificate chain as DER, leaf first; not verified yet.
    pub peer_certificates: &'a [rustls_pki_types::CertificateDer<'static>],
}

impl<'a> Credentials<'a> {
    /// The bearer token; none for other schemes and for an empty token, which
    /// the original takes for anonymous.
    pub fn bearer_token(&self) -> Option<&'a str> {
        let (scheme, token) = self.authorization?.trim().split_once(' ')?;
        let token = token.split(' ').next().unwrap_or_default();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    }
}

/// A credential was shown and is not valid; the text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCredential(pub String);

/// Asks authenticators in order; adds the groups everybody has; whoever shows
/// no credential is anonymous.
pub struct Union {
    authenticators: Vec<Arc<dyn Authenticator>>,
}

impl Union {
    /// Asks `authenticators` in this order.
    pub fn new(authenticators: Vec<Arc<dyn Authenticator>>) -> Union {
        Union { authenticators }
    }

    /// The user, anonymous if there is no credential. A credential that one
    /// authenticator refuses may still be another's: the error is returned
    /// only if nobody knows the caller.
    pub async fn identify(&self, credentials: &Credentials<'_>) -> Result<UserInfo, InvalidCredential> {
        let mut refused = None;
        for authenticator in &self.authenticators {
            match authenticator.authenticate(credentials).await {
                Ok(Some(mut user)) => {
                    if !user.groups.iter().any(|group| group == SYSTEM_AUTHENTICATED) {
                        user.groups.push(SYSTEM_AUTHENTICATED.to_owned());
                    }
                    return Ok(user);
                }
                Ok(None) => {}
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) => Err(error),
            None if credentials.bearer_token().is_some() => {
                Err(InvalidCredential("unknown bearer token".into()))
            }
            None => Ok(anonymous()),
        }
    }
}

/// The user without a credential.
fn anonymous() -> UserInfo {
    UserInfo {
        name: SYSTEM_ANONYMOUS.to_owned(),
        groups: vec![SYSTEM_UNAUTHENTICATED.to_owned()],
        ..UserInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    struct Knows(&'static str);

    #[async_trait]
    impl Authenticator for Knows {
        async fn authenticate(
            &self,
            credentials: &Credentials<'_>,
        ) -> Result<Option<UserInfo>, InvalidCredential> {
            match credentials.bearer_token() {
                Some(token) if token == self.0 => {
                    Ok(Some(UserInfo { name: "u".into(), ..UserInfo::default() }))
                }
                Some(_) => Err(InvalidCredential("not mine".into())),
                None => Ok(None),
            }
        }
    }

    fn ask(authorization: Option<&str>) -> Result<UserInfo, InvalidCredential> {
        let union = Union::new(vec![Arc::new(Knows("a")), Arc::new(Knows("b"))]);
        block_on(union.identify(&Credentials { authorization, ..Credentials::default() }))
    }

    #[test]
    fn a_token_one_refuses_may_be_known_to_the_next() {
        assert_eq!(ask(Some("Bearer b")).map(|user| user.groups), Ok(vec![SYSTEM_AUTHENTICATED.to_owned()]));
    }

    #[test]
    fn a_token_nobody_knows_is_refused() {
        assert!(ask(Some("Bearer c")).is_err());
    }

    #[test]
    fn no_empty_and_foreign_credentials_are_anonymous() {
        for header in [None, Some("Bearer "), Some("Bearer"), Some("Basic YTpi"), Some("token")] {
            assert_eq!(ask(header).map(|user| user.name).as_deref(), Ok(SYSTEM_ANONYMOUS), "{header:?}");
        }
    }
}
