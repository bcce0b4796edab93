//! Local subject access reviews tell what somebody may do in one namespace, so
//! that whoever may ask can be limited to it.

use async_trait::async_trait;
use meta::{ApiError, FieldError};
use registry::{RequestContext, ResourceDef, VirtualResource};
use schema::Value;

use crate::authorization::{self as shared, GROUP};
use crate::check::{at, text};

/// Local subject access reviews as served.
pub fn definition() -> ResourceDef {
    ResourceDef::virtual_create(
        GROUP,
        "v1",
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        LocalSubjectAccessReviews,
    )
}

struct LocalSubjectAccessReviews;

#[async_trait]
impl VirtualResource for LocalSubjectAccessReviews {
    async fn create(&self, context: &RequestContext, object: Value) -> Result<Value, ApiError> {
        let mut errors = shared::validate_attributes(&object);
        errors.extend(shared::validate_subject(&object));
        errors.extend(shared::validate_metadata(&object, &context.namespace));
        if let Some(attributes) = object.at(&["spec", "resourceAttributes"]) {
            let namespace = text(attributes, &["namespace"]);
            if namespace != context.namespace {
                let path = at("spec.resourceAttributes.namespace");
                errors.push(FieldError::invalid_str(&path, namespace, "must match metadata.namespace"));
            }
        }
        if object.at(&["spec", "nonResourceAttributes"]).is_some() {
            errors.extend(shared::not_about_paths(&object, "disallowed on this kind of request"));
        }
        shared::refuse(errors)?;
        let user = shared::named_user(&object);
        Ok(shared::answer(context, object, &user).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, object};

    #[test]
    fn only_the_namespace_of_the_request_is_asked_about() {
        let mut context = context();
        context.namespace = "n".to_owned();
        let review = |namespace: &str| {
            let body = object(&format!(
                r#"{{"metadata":{{"namespace":"n"}},"spec":{{"user":"jane","resourceAttributes":{{"namespace":"{namespace}"}}}}}}"#
            ));
            futures::executor::block_on(LocalSubjectAccessReviews.create(&context, body))
        };
        assert_eq!(review("n").expect("answers").bool_at(&["status", "allowed"]), Some(true));
        let Err(ApiError::Invalid { errors, .. }) = review("default") else { panic!("refused") };
        assert_eq!(
            errors[0].to_string(),
            "spec.resourceAttributes.namespace: Invalid value: \"default\": must match metadata.namespace"
        );
    }
}
