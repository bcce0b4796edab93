//! Group `authorization.k8s.io`: who may do what. Nothing is stored; the
//! request's authorizer is asked. Owns the trait that lists a user's rules.

pub mod local_subject_access_review;
pub mod self_subject_access_review;
pub mod self_subject_rules_review;
pub mod subject_access_review;

use std::sync::Arc;

use async_trait::async_trait;
use meta::{ApiError, FieldError, FieldErrors, GroupKind};
use registry::{AuthorizationAttributes, Decision, RequestContext, ResourceDef, UserInfo};
use schema::{Map, Value};

use crate::check::{self, at, text};

const GROUP: &str = "authorization.k8s.io";

/// Lists what a user may do, for those who want to know before they ask.
#[async_trait]
pub trait RuleResolver: Send + Sync {
    /// What `user` may do in `namespace`, and everywhere.
    async fn rules_for(&self, user: &UserInfo, namespace: &str) -> Rules;
}

/// What a user may do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// `ResourceRule` objects: verbs, apiGroups, resources, resourceNames.
    pub resource_rules: Vec<Value>,
    /// `NonResourceRule` objects: verbs, nonResourceURLs.
    pub non_resource_rules: Vec<Value>,
    /// There may be more.
    pub incomplete: bool,
    /// Why, empty if it is not known.
    pub evaluation_error: String,
}

/// Lists nothing, and says so.
pub struct NoRules;

#[async_trait]
impl RuleResolver for NoRules {
    async fn rules_for(&self, _: &UserInfo, _: &str) -> Rules {
        Rules { incomplete: true, ..Rules::default() }
    }
}

/// The resources of this group.
pub fn definitions(rules: &Arc<dyn RuleResolver>) -> Vec<ResourceDef> {
    vec![
        local_subject_access_review::definition(),
        self_subject_access_review::definition(),
        self_subject_rules_review::definition(rules.clone()),
        subject_access_review::definition(),
    ]
}

/// Asks the authorizer what `object` asks about `user`, and writes the answer.
async fn answer(context: &RequestContext, mut object: Value, user: &UserInfo) -> Value {
    let decision = decide(context, &object, user).await;
    let mut status = Map::from([("allowed", matches!(decision, Decision::Allow(_)))]);
    if matches!(decision, Decision::Deny(_)) {
        status.insert("denied", true);
    }
    let (Decision::Allow(reason) | Decision::NoOpinion(reason) | Decision::Deny(reason)) = decision;
    if !reason.is_empty() {
        status.insert("reason", reason);
    }
    object.set(&["status"], status);
    object
}

async fn decide(context: &RequestContext, object: &Value, user: &UserInfo) -> Decision {
    let resource = object.at(&["spec", "resourceAttributes"]);
    let attributes = resource.or(object.at(&["spec", "nonResourceAttributes"])).unwrap_or(&Value::Null);
    let of = |key: &str| attributes.str_at(&[key]).unwrap_or_default();
    let version = of("version");
    let attributes = AuthorizationAttributes {
        user,
        verb: of("verb"),
        resource_request: resource.is_some(),
        namespace: of("namespace"),
        group: of("group"),
        version: if version.is_empty() && resource.is_some() { "*" } else { version },
        resource: of("resource"),
        subresource: of("subresource"),
        name: of("name"),
        path: of("path"),
    };
    context.authorizer.authorize(&attributes).await
}

/// The user a review names.
fn named_user(object: &Value) -> UserInfo {
    let texts = |values: &[Value]| values.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
    let extra = object.map_at(&["spec", "extra"]).into_iter().flat_map(Map::iter);
    UserInfo {
        name: text(object, &["spec", "user"]).to_owned(),
        uid: text(object, &["spec", "uid"]).to_owned(),
        groups: texts(object.list_at(&["spec", "groups"])),
        extra: extra
            .map(|(key, values)| (key.to_owned(), texts(values.as_list().unwrap_or_default())))
            .collect(),
    }
}

/// A review asks about one thing, a resource or a path.
fn validate_attributes(object: &Value) -> FieldErrors {
    let spec = at("spec");
    let (resource, other) =
        (object.at(&["spec", "resourceAttributes"]), object.at(&["spec", "nonResourceAttributes"]));
    match (resource, other) {
        (None, None) => {
            let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            check::invalid_shown(&spec.child("resourceAttributes"), "null".to_owned(), detail).into()
        }
        (Some(_), Some(_)) => {
            let detail = "cannot be specified in combination with resourceAttributes";
            not_about_paths(object, detail)
        }
        _ => Vec::new(),
    }
}

fn not_about_paths(object: &Value, detail: &str) -> FieldErrors {
    let attributes = object.at(&["spec", "nonResourceAttributes"]);
    let shown = crate::go_form::show("io.k8s.api.authorization.v1.NonResourceAttributes", attributes);
    check::invalid_shown(&at("spec.nonResourceAttributes"), shown, detail).into()
}

/// A review about somebody names a user or a group.
fn validate_subject(object: &Value) -> FieldErrors {
    if text(object, &["spec", "user"]).is_empty() && object.list_at(&["spec", "groups"]).is_empty() {
        let detail = "at least one of user or group must be specified";
        return FieldError::invalid_str(&at("spec.user"), "", detail).into();
    }
    Vec::new()
}

/// A review has no name; `namespace` is that of the request, which it may repeat.
fn validate_metadata(object: &Value, namespace: &str) -> FieldErrors {
    let Some(meta) = object.map_at(&["metadata"]) else { return Vec::new() };
    let empty = |key: &str, value: &Value| {
        key == "managedFields"
            || crate::defaults::is_empty(Some(value))
            || (key == "namespace" && value.as_str() == Some(namespace))
    };
    if meta.iter().all(|(key, value)| empty(key, value)) {
        return Vec::new();
    }
    let shown =
        crate::go_form::show("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", object.get("metadata"));
    check::invalid_shown(&at("metadata"), shown, "must be empty").into()
}

/// 422 if something is wrong. The original names neither kind nor object.
fn refuse(errors: FieldErrors) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    let kind = GroupKind { group: GROUP.into(), kind: "".into() };
    Err(ApiError::invalid(kind, "", errors))
}
