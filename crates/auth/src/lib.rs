//! Who asks, and what they may do: one file per authenticator and authorizer.
//!
//! Authenticators are asked in order until one knows the caller ([`Union`]);
//! a credential that is present and wrong ends the search. Authorizers
//! implement [`registry::Authorizer`].

mod client_certificate;
pub mod service_account;
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
    ) -> Result<Option<Authenticated>, InvalidCredential>;
}

/// Who somebody is, and for whom the credential was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authenticated {
    /// The user.
    pub user: UserInfo,
    /// Audiences asked for that the credential is good for; empty if it is
    /// made for nobody in particular.
    pub audiences: Vec<String>,
}

impl From<UserInfo> for Authenticated {
    fn from(user: UserInfo) -> Authenticated {
        Authenticated { user, audiences: Vec::new() }
    }
}

/// What a request shows of its sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// The `Authorization` header, whole.
    pub authorization: Option<&'a str>,
    /// The client's certificate chain as DER, leaf first; not verified yet.
    pub peer_certificates: &'a [rustls_pki_types::CertificateDer<'static>],
    /// Audiences a token must be made for one of; empty for those of this server.
    pub audiences: &'a [String],
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
    audiences: Vec<String>,
}

impl Union {
    /// Asks `authenticators` in this order. `audiences` are the server's own:
    /// what a credential that is made for nobody in particular is good for.
    pub fn new(authenticators: Vec<Arc<dyn Authenticator>>, audiences: Vec<String>) -> Union {
        Union { authenticators, audiences }
    }

    /// The user, anonymous if there is no credential. A credential that one
    /// authenticator refuses may still be another's: the error is returned
    /// only if nobody knows the caller.
    pub async fn identify(&self, credentials: &Credentials<'_>) -> Result<UserInfo, InvalidCredential> {
        match self.find(credentials).await? {
            Some(found) => Ok(found.user),
            None => Ok(anonymous()),
        }
    }

    /// Whose `token` it is and which of `audiences` (the server's own if there
    /// are none) it is good for.
    pub async fn review(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<Authenticated>, InvalidCredential> {
        let header = format!("Bearer {token}");
        let credentials = Credentials { authorization: Some(&header), audiences, ..Credentials::default() };
        let Some(mut found) = self.find(&credentials).await? else { return Ok(None) };
        if found.audiences.is_empty() {
            let asked = if audiences.is_empty() { &self.audiences } else { audiences };
            let good = asked.iter().filter(|audience| self.audiences.contains(audience));
            found.audiences = good.cloned().collect();
            if found.audiences.is_empty() {
                return Err(unknown_token(Vec::new()));
            }
        }
        Ok(Some(found))
    }

    async fn find(&self, credentials: &Credentials<'_>) -> Result<Option<Authenticated>, InvalidCredential> {
        let mut refused = Vec::new();
        for authenticator in &self.authenticators {
            match authenticator.authenticate(credentials).await {
                Ok(Some(mut found)) => {
                    let groups = &mut found.user.groups;
                    if !groups.iter().any(|group| group == SYSTEM_AUTHENTICATED) {
                        groups.push(SYSTEM_AUTHENTICATED.to_owned());
                    }
                    return Ok(Some(found));
                }
                Ok(None) => {}
                Err(error) => refused.push(error),
            }
        }
        match credentials.bearer_token() {
            Some(_) => Err(unknown_token(refused)),
            None => refused.into_iter().next().map_or(Ok(None), Err),
        }
    }
}

/// Nobody knows the token; the text is the original's, which token reviews show.
fn unknown_token(refused: Vec<InvalidCredential>) -> InvalidCredential {
    let mut texts = vec!["invalid bearer token".to_owned()];
    texts.extend(refused.into_iter().map(|error| error.0));
    match texts.as_slice() {
        [only] => InvalidCredential(only.clone()),
        _ => InvalidCredential(format!("[{}]", texts.join(", "))),
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
        ) -> Result<Option<Authenticated>, InvalidCredential> {
            match credentials.bearer_token() {
                Some(token) if token == self.0 => {
                    Ok(Some(UserInfo { name: "u".into(), ..UserInfo::default() }.into()))
                }
                Some(_) => Err(InvalidCredential("not mine".into())),
                None => Ok(None),
            }
        }
    }

    fn union() -> Union {
        Union::new(vec![Arc::new(Knows("a")), Arc::new(Knows("b"))], vec!["api".into()])
    }

    fn ask(authorization: Option<&str>) -> Result<UserInfo, InvalidCredential> {
        block_on(union().identify(&Credentials { authorization, ..Credentials::default() }))
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
    fn a_token_made_for_nobody_is_good_for_the_server_and_for_nobody_else() {
        let review = |audiences: &[&str]| {
            let asked: Vec<String> = audiences.iter().map(|it| (*it).to_owned()).collect();
            block_on(union().review("a", &asked)).map(|found| found.expect("known").audiences)
        };
        assert_eq!(review(&[]), Ok(vec!["api".to_owned()]));
        assert_eq!(review(&["vault", "api"]), Ok(vec!["api".to_owned()]));
        assert_eq!(review(&["vault"]), Err(InvalidCredential("invalid bearer token".to_owned())));
    }

    #[test]
    fn no_empty_and_foreign_credentials_are_anonymous() {
        for header in [None, Some("Bearer "), Some("Bearer"), Some("Basic YTpi"), Some("token")] {
            assert_eq!(ask(header).map(|user| user.name).as_deref(), Ok(SYSTEM_ANONYMOUS), "{header:?}");
        }
    }
}
