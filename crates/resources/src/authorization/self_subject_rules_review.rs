//! Self subject rules reviews list what the asker may do in a namespace. For
//! showing, not for deciding: the list may be incomplete.

use std::sync::Arc;

use async_trait::async_trait;
use meta::ApiError;
use registry::{RequestContext, ResourceDef, VirtualResource};
use schema::Value;

use crate::authorization::{GROUP, RuleResolver};
use crate::check::text;

/// Self subject rules reviews as served, answered from `rules`.
pub fn definition(rules: Arc<dyn RuleResolver>) -> ResourceDef {
    ResourceDef {
        namespaced: false,
        ..ResourceDef::virtual_create(
            GROUP,
            "v1",
            "selfsubjectrulesreviews",
            "SelfSubjectRulesReview",
            SelfSubjectRulesReviews { rules },
        )
    }
}

struct SelfSubjectRulesReviews {
    rules: Arc<dyn RuleResolver>,
}

#[async_trait]
impl VirtualResource for SelfSubjectRulesReviews {
    async fn create(&self, context: &RequestContext, object: Value) -> Result<Value, ApiError> {
        let namespace = text(&object, &["spec", "namespace"]);
        if namespace.is_empty() {
            return Err(ApiError::BadRequest("no namespace on request".to_owned()));
        }
        let rules = self.rules.rules_for(&context.user, namespace).await;
        let mut answer = object;
        answer.set(&["status", "resourceRules"], Value::List(rules.resource_rules));
        answer.set(&["status", "nonResourceRules"], Value::List(rules.non_resource_rules));
        answer.set(&["status", "incomplete"], rules.incomplete);
        if !rules.evaluation_error.is_empty() {
            answer.set(&["status", "evaluationError"], rules.evaluation_error);
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization::NoRules;
    use crate::testing::{context, object};

    #[test]
    fn a_namespace_is_needed_and_lists_are_never_missing() {
        let review = |json: &str| {
            let reviews = SelfSubjectRulesReviews { rules: Arc::new(NoRules) };
            futures::executor::block_on(reviews.create(&context(), object(json)))
        };
        let answer = review(r#"{"spec":{"namespace":"n"}}"#).expect("answers");
        assert_eq!(answer.bool_at(&["status", "incomplete"]), Some(true));
        assert!(answer.at(&["status", "nonResourceRules"]).is_some());
        assert!(matches!(review(r#"{"spec":{}}"#), Err(ApiError::BadRequest(_))));
    }
}
