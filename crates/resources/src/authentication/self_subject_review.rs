//! Self subject reviews tell who the server takes the asker for.

use async_trait::async_trait;
use meta::ApiError;
use registry::{RequestContext, ResourceDef, VirtualResource};
use schema::Value;

use crate::authentication::{GROUP, user_info};

/// Self subject reviews as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        ..ResourceDef::virtual_create(
            GROUP,
            "v1",
            "selfsubjectreviews",
            "SelfSubjectReview",
            SelfSubjectReviews,
        )
    }
}

struct SelfSubjectReviews;

#[async_trait]
impl VirtualResource for SelfSubjectReviews {
    async fn create(&self, context: &RequestContext, mut object: Value) -> Result<Value, ApiError> {
        object.set(&["metadata", "creationTimestamp"], crate::check::now(context));
        object.set(&["status", "userInfo"], user_info(&context.user));
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, object};

    #[test]
    fn the_asker_is_named_whatever_the_body_says() {
        let body = object(r#"{"status":{"userInfo":{"username":"forged"}}}"#);
        let answer =
            futures::executor::block_on(SelfSubjectReviews.create(&context(), body)).expect("answers");
        assert_eq!(answer.str_at(&["status", "userInfo", "username"]), Some("admin"));
        assert_eq!(answer.at(&["status", "userInfo", "uid"]), None);
    }
}
