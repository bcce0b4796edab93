//! Subject access reviews tell what somebody may do.

use async_trait::async_trait;
use meta::ApiError;
use registry::{RequestContext, ResourceDef, VirtualResource};
use schema::Value;

use crate::authorization::{self as shared, GROUP};

/// Subject access reviews as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        ..ResourceDef::virtual_create(
            GROUP,
            "v1",
            "subjectaccessreviews",
            "SubjectAccessReview",
            SubjectAccessReviews,
        )
    }
}

struct SubjectAccessReviews;

#[async_trait]
impl VirtualResource for SubjectAccessReviews {
    async fn create(&self, context: &RequestContext, object: Value) -> Result<Value, ApiError> {
        let mut errors = shared::validate_attributes(&object);
        errors.extend(shared::validate_subject(&object));
        errors.extend(shared::validate_metadata(&object, ""));
        shared::refuse(errors)?;
        let user = shared::named_user(&object);
        Ok(shared::answer(context, object, &user).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, object};

    fn review(json: &str) -> Result<Value, ApiError> {
        futures::executor::block_on(SubjectAccessReviews.create(&context(), object(json)))
    }

    #[test]
    fn the_named_user_is_judged() {
        for (user, allowed, denied, reason) in [
            ("jane", true, None, Some("jane may")),
            ("nobody", false, None, None),
            ("banned", false, Some(true), Some("banned")),
        ] {
            let answer = review(&format!(
                r#"{{"spec":{{"user":"{user}","resourceAttributes":{{"verb":"get","resource":"pods"}}}}}}"#
            ))
            .expect("answers");
            let status = answer.get("status").expect("a status");
            assert_eq!(status.bool_at(&["allowed"]), Some(allowed), "{user}");
            assert_eq!((status.bool_at(&["denied"]), status.str_at(&["reason"])), (denied, reason), "{user}");
        }
    }

    #[test]
    fn a_review_is_about_somebody_and_something_and_has_no_name() {
        let Err(ApiError::Invalid { kind, errors, .. }) = review(r#"{"metadata":{"name":"x"},"spec":{}}"#)
        else {
            panic!("refused")
        };
        assert_eq!(kind.to_string(), ".authorization.k8s.io");
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["spec.resourceAttributes", "spec.user", "metadata"]);
    }
}
