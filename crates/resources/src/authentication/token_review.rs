//! Token reviews tell whose token a token is: how other servers let this one
//! authenticate their callers.

use std::sync::Arc;

use async_trait::async_trait;
use meta::ApiError;
use registry::{RequestContext, ResourceDef, VirtualResource};
use schema::{Map, Value};

use crate::authentication::{GROUP, TokenAuthenticator, user_info};

/// Token reviews as served, answered from `tokens`.
pub fn definition(tokens: Arc<dyn TokenAuthenticator>) -> ResourceDef {
    ResourceDef {
        namespaced: false,
        ..ResourceDef::virtual_create(GROUP, "v1", "tokenreviews", "TokenReview", TokenReviews { tokens })
    }
}

struct TokenReviews {
    tokens: Arc<dyn TokenAuthenticator>,
}

#[async_trait]
impl VirtualResource for TokenReviews {
    async fn create(&self, context: &RequestContext, mut object: Value) -> Result<Value, ApiError> {
        if !context.namespace.is_empty() {
            let detail = "namespace is not allowed on this type: ";
            return Err(ApiError::BadRequest(format!("{detail}{}", context.namespace)));
        }
        let token = object.str_at(&["spec", "token"]).unwrap_or_default();
        if token.is_empty() {
            return Err(ApiError::BadRequest(
                "token is required for TokenReview in authentication".to_owned(),
            ));
        }
        let audiences: Vec<String> = object
            .list_at(&["spec", "audiences"])
            .iter()
            .filter_map(|audience| audience.as_str().map(str::to_owned))
            .collect();
        let mut status = Value::map();
        match self.tokens.authenticate_token(token, &audiences).await {
            Ok(Some(owner)) => {
                status.set(&["authenticated"], true);
                status.set(&["user"], user_info(&owner.user));
                if !owner.audiences.is_empty() {
                    status.set(&["audiences"], owner.audiences);
                }
            }
            Ok(None) => status.set(&["user"], Map::new()),
            Err(text) => {
                status.set(&["user"], Map::new());
                status.set(&["error"], text);
            }
        }
        object.set(&["status"], status);
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::TokenOwner;
    use crate::testing::{context, object};
    use registry::UserInfo;

    struct OneToken;

    #[async_trait]
    impl TokenAuthenticator for OneToken {
        async fn authenticate_token(&self, token: &str, _: &[String]) -> Result<Option<TokenOwner>, String> {
            let user = UserInfo { name: "jane".to_owned(), ..UserInfo::default() };
            match token {
                "good" => Ok(Some(TokenOwner { user, audiences: vec!["api".to_owned()] })),
                "old" => Err("token has expired".to_owned()),
                _ => Ok(None),
            }
        }
    }

    fn review(token: &str) -> Result<Value, ApiError> {
        let body = object(&format!(r#"{{"spec":{{"token":"{token}"}}}}"#));
        futures::executor::block_on(TokenReviews { tokens: Arc::new(OneToken) }.create(&context(), body))
    }

    #[test]
    fn a_token_is_its_owners_or_nobodys() {
        let good = review("good").expect("answers");
        assert_eq!(good.bool_at(&["status", "authenticated"]), Some(true));
        assert_eq!(good.str_at(&["status", "user", "username"]), Some("jane"));
        let unknown = review("other").expect("answers");
        assert_eq!(unknown.at(&["status", "authenticated"]), None);
        let old = review("old").expect("answers");
        assert_eq!(old.str_at(&["status", "error"]), Some("token has expired"));
        assert!(matches!(review(""), Err(ApiError::BadRequest(_))));
    }
}
