//! What resources that answer on the spot ask of the rest of the server:
//! who a token belongs to, what a user may do.

use std::sync::Arc;

use async_trait::async_trait;
use auth::{SYSTEM_MASTERS, Union};
use registry::UserInfo;
use resources::Dependencies;
use resources::authentication::{TokenAuthenticator, TokenIssuer, TokenOwner};
use resources::authorization::{RuleResolver, Rules};
use schema::{Map, Value};

/// The dependencies of a server with this authenticator and this issuer of tokens.
pub fn dependencies(authenticator: Arc<Union>, token_issuer: Arc<dyn TokenIssuer>) -> Dependencies {
    Dependencies { token_issuer, tokens: Arc::new(Tokens(authenticator)), rules: Arc::new(MasterRules) }
}

/// Asks the server's own authenticators.
struct Tokens(Arc<Union>);

#[async_trait]
impl TokenAuthenticator for Tokens {
    async fn authenticate_token(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<TokenOwner>, String> {
        let found = self.0.review(token, audiences).await.map_err(|error| error.to_string())?;
        Ok(found.map(|found| TokenOwner { user: found.user, audiences: found.audiences }))
    }
}

/// The rules of [`auth::SuperuserAuthorizer`]: everything, or nothing but the public paths.
struct MasterRules;

#[async_trait]
impl RuleResolver for MasterRules {
    async fn rules_for(&self, user: &UserInfo, _namespace: &str) -> Rules {
        let all = || Value::from(["*"]);
        if !user.groups.iter().any(|group| group == SYSTEM_MASTERS) {
            return Rules::default();
        }
        let resources = Map::from([("verbs", all()), ("apiGroups", all()), ("resources", all())]);
        let paths = Map::from([("verbs", all()), ("nonResourceURLs", all())]);
        Rules {
            resource_rules: vec![resources.into()],
            non_resource_rules: vec![paths.into()],
            ..Rules::default()
        }
    }
}
