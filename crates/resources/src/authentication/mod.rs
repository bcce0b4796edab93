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
