//! Self subject access reviews tell the asker what they may do.

use async_trait::async_trait;
use meta::ApiError;
use registry::{RequestContext, ResourceDef, VirtualResource};
use schema::Value;

use crate::authorization::{self as shared, GROUP};

/// Self subject access reviews as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        ..ResourceDef::virtual_create(
            GROUP,
            "v1",
            "selfsubjectaccessreviews",
            "SelfSubjectAccessReview",
            SelfSubjectAccessReviews,
        )
    }
}

struct SelfSubjectAccessReviews;

#[async_trait]
impl VirtualResource for SelfSubjectAccessReviews {
    async fn create(&self, context: &RequestContext, object: Value) -> Result<Value, ApiError> {
        let mut errors = shared::validate_attributes(&object);
        errors.extend(shared::validate_metadata(&object, ""));
        shared::refuse(errors)?;
        Ok(shared::answer(context, object, &context.user).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, object};

    #[test]
    fn the_asker_is_judged() {
        let body = object(r#"{"spec":{"nonResourceAttributes":{"path":"/healthz","verb":"get"}}}"#);
        let answer =
            futures::executor::block_on(SelfSubjectAccessReviews.create(&context(), body)).expect("answers");
        assert_eq!(answer.str_at(&["status", "reason"]), Some("admin may"));
    }

    #[test]
    fn a_review_about_two_things_is_refused() {
        let body =
            object(r#"{"spec":{"nonResourceAttributes":{"path":"/","verb":"get"},"resourceAttributes":{}}}"#);
        let Err(ApiError::Invalid { errors, .. }) =
            futures::executor::block_on(SelfSubjectAccessReviews.create(&context(), body))
        else {
            panic!("refused")
        };
        assert_eq!(
            errors[0].to_string(),
            "spec.nonResourceAttributes: Invalid value: {\"Path\":\"/\",\"Verb\":\"get\"}: cannot be specified in \
             combination with resourceAttributes"
        );
    }
}
