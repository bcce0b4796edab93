//! Group `authentication.k8s.io`: who somebody is. Nothing is stored. Owns the
//! trait a token is judged by; implementations are handed in by the wiring.

pub mod self_subject_review;
pub mod token_review;

use std::sync::Arc;

use async_trait::async_trait;
use registry::{ResourceDef, UserInfo};
use schema::{Map, Value};

const GROUP: &str = "authentication.k8s.io";

/// Says whose token a token is.
#[async_trait]
pub trait TokenAuthenticator: Send + Sync {
    /// The owner of `token`, none if nobody's. `audiences` are those it is
    /// meant to be for; empty means the API server's own. The error says in
    /// words why the token was refused or could not be judged.
    async fn authenticate_token(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<TokenOwner>, String>;
}

/// Whose token it is, and for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenOwner {
    /// The user.
    pub user: UserInfo,
    /// Audiences asked for that the token is valid for.
    pub audiences: Vec<String>,
}

/// Knows no token.
pub struct NoTokens;

#[async_trait]
impl TokenAuthenticator for NoTokens {
    async fn authenticate_token(&self, _: &str, _: &[String]) -> Result<Option<TokenOwner>, String> {
        Ok(None)
    }
}

/// Issues tokens of service accounts.
#[async_trait]
pub trait TokenIssuer: Send + Sync {
    /// What tokens it issues.
    fn policy(&self) -> &TokenPolicy;

    /// Issues one. The error says in words why it cannot.
    async fn issue(&self, token: IssuedToken) -> Result<String, String>;
}

/// Bounds of the tokens issued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenPolicy {
    /// Audiences of this server: of tokens that ask for none.
    pub audiences: Vec<String>,
    /// Longest life of a token, in seconds; what asks for more gets this and a warning.
    pub max_expiration_seconds: Option<i64>,
    /// Tokens the admission plugin asked for on behalf of pods outlive the time
    /// asked for, so that programs which read their token once go on working.
    pub extend_expiration: bool,
}

/// What a token is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuedToken {
    /// For whom.
    pub audiences: Vec<String>,
    /// How long it lives, in seconds.
    pub expiration_seconds: i64,
    /// After how many seconds the client should have fetched a new one.
    pub warn_after_seconds: Option<i64>,
    /// Namespace of the account.
    pub namespace: String,
    /// The account: name and uid.
    pub service_account: (String, String),
    /// The pod it is bound to.
    pub pod: Option<(String, String)>,
    /// The secret it is bound to.
    pub secret: Option<(String, String)>,
    /// The node it is bound to, or the node of its pod, whose uid is empty if there is no such node.
    pub node: Option<(String, String)>,
}

/// Issues no token; for servers that have no keys.
pub struct NoTokenIssuer;

#[async_trait]
impl TokenIssuer for NoTokenIssuer {
    fn policy(&self) -> &TokenPolicy {
        static NONE: TokenPolicy =
            TokenPolicy { audiences: Vec::new(), max_expiration_seconds: None, extend_expiration: false };
        &NONE
    }

    async fn issue(&self, _: IssuedToken) -> Result<String, String> {
        Err("this server has no key to sign tokens with".to_owned())
    }
}

/// The resources of this group.
pub fn definitions(tokens: &Arc<dyn TokenAuthenticator>) -> Vec<ResourceDef> {
    vec![self_subject_review::definition(), token_review::definition(tokens.clone())]
}

/// A user as the API shows one. What is empty is left out.
fn user_info(user: &UserInfo) -> Value {
    let mut info = Value::map();
    for (key, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            info.set(&[key], text.as_str());
        }
    }
    if !user.groups.is_empty() {
        info.set(&["groups"], user.groups.clone());
    }
    if !user.extra.is_empty() {
        let extra: Map = user.extra.iter().map(|(key, values)| (key.as_str(), values.clone())).collect();
        info.set(&["extra"], extra);
    }
    info
}
