//! What an object looks like at an endpoint: itself, or a `Scale` over some of
//! its fields. Reading, replacing and patching go through it.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::{ObjectMeta, ObjectMetaMut};
use meta::options::WriteOptions;
use meta::selector::LabelSelector;
use meta::{ApiError, FieldError, FieldPath, GroupResource, GroupVersionKind};
use registry::{RequestContext, ServedResource, SubresourceKind, UpdateKind};
use schema::{Schema, TypeId, Value};

use super::ownership::{ScaleOwnership, set_managed_fields};
use super::{Target, answer, table_style, to_stored};
use crate::encode::{self, Item, Known};
use crate::filters::Exchange;
use crate::negotiation::{MEDIA_TYPES, Output, Transform};
use crate::respond::{self, Body};
use crate::status::Failure;
use crate::table;

/// What an object looks like at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// The object.
    Object,
    /// `autoscaling/v1 Scale`.
    Scale,
}

impl Face {
    /// The face at the target's endpoint.
    pub fn of(target: &Target) -> Face {
        match &target.subresource {
            Some(subresource) if subresource.kind == SubresourceKind::Scale => Face::Scale,
            Some(_) | None => Face::Object,
        }
    }

    /// Kind of the bodies.
    pub fn gvk(self, resource: &ServedResource) -> GroupVersionKind {
        match self {
            Face::Object => resource.definition.gvk(),
            Face::Scale => GroupVersionKind::new("autoscaling", "v1", "Scale"),
        }
    }

    /// Type of the bodies.
    pub fn ty(self, resource: &ServedResource) -> (&Schema, TypeId) {
        match self {
            Face::Object => (&resource.schema, resource.ty),
            Face::Scale => (schema::builtin(), Known::Scale.ty()),
        }
    }

    /// The body of an object given in the stored version.
    pub fn show(self, resource: &ServedResource, stored: &Value) -> Result<Value, ApiError> {
        match self {
            Face::Object => encode::tree(resource, Item::Tree(stored)),
            Face::Scale => scale_of(stored),
        }
    }

    /// The object, in the stored version, that a body makes of `old`.
    pub fn take(self, resource: &ServedResource, body: Value, old: &Value) -> Result<Value, ApiError> {
        match self {
            Face::Object => to_stored(resource, body),
            Face::Scale => rescaled(resource.definition.group_resource(), &body, old),
        }
    }

    /// As [`Face::take`]. Where the body is not the object, who owns which
    /// field of the object is worked out here; elsewhere the store does it.
    pub fn take_tracked(
        self,
        resource: &ServedResource,
        context: &RequestContext,
        options: &WriteOptions,
        body: Value,
        old: &Value,
    ) -> Result<Value, ApiError> {
        if self == Face::Object {
            return self.take(resource, body, old);
        }
        let ownership = ScaleOwnership::new(resource, context, options, old)?;
        let entries = ownership.update(&self.show(resource, old)?, &body)?;
        let mut object = self.take(resource, body, old)?;
        set_managed_fields(&mut object, entries);
        Ok(object)
    }

    /// Answers with the body of an object.
    pub fn answer(
        self,
        exchange: &Exchange,
        target: &Target,
        item: Item<'_>,
        output: Output,
        code: StatusCode,
    ) -> Result<Response<Body>, Failure> {
        if self == Face::Object {
            return answer(exchange, target, item, output, code);
        }
        let scale = scale_of(&*encode::stored_tree(&target.resource, item)?)?;
        let gvk = self.gvk(&target.resource);
        let body: Bytes = match output.transform {
            Transform::None => encode::known(Known::Scale, &gvk, scale, output),
            Transform::Table(version) if !encode::is_custom(&target.resource) => {
                table::of_scale(scale, &gvk, &table_style(exchange, version)?, output)
            }
            _ => return Err(Failure::not_acceptable(MEDIA_TYPES)),
        };
        Ok(respond::bytes(code, output.media_type.name(), body))
    }
}

/// Through which door of the store an update at this endpoint goes.
pub fn update_kind(target: &Target) -> Result<UpdateKind, ApiError> {
    match &target.subresource {
        None => Ok(UpdateKind::Main),
        Some(subresource) => match subresource.kind {
            SubresourceKind::Status => Ok(UpdateKind::Status),
            SubresourceKind::Scale => Ok(UpdateKind::Main),
            SubresourceKind::Part => Ok(UpdateKind::Part(subresource.name.to_string())),
            SubresourceKind::Action | SubresourceKind::Connect => Err(target.not_supported("update")),
        },
    }
}

fn scale_of(object: &Value) -> Result<Value, ApiError> {
    let metadata = ObjectMeta::of(object);
    let mut scale = Value::map();
    let mut shown = ObjectMetaMut::of(&mut scale);
    shown.set_name(metadata.name());
    shown.set_namespace(metadata.namespace());
    shown.set_uid(metadata.uid());
    shown.set_creation_timestamp(metadata.creation_timestamp());
    let resource_version = metadata.resource_version();
    if !resource_version.is_unset() {
        shown.map().insert("resourceVersion", resource_version.0);
    }
    copy_number(object, &["spec", "replicas"], &mut scale);
    copy_number(object, &["status", "replicas"], &mut scale);
    let selector = selector_text(object)?;
    if !selector.is_empty() {
        scale.set(&["status", "selector"], selector);
    }
    Ok(scale)
}

/// A count that is not zero: zero is not written.
fn copy_number(from: &Value, path: &[&'static str], to: &mut Value) {
    if let Some(count) = from.int_at(path).filter(|count| *count != 0) {
        to.set(path, count);
    }
}

/// The selector as text. Controllers of old have a plain map of labels.
fn selector_text(object: &Value) -> Result<String, ApiError> {
    let Some(selector) = object.at(&["spec", "selector"]) else { return Ok(String::new()) };
    let structured = ["matchLabels", "matchExpressions"].iter().any(|key| selector.get(key).is_some());
    let selector = if structured {
        Cow::Borrowed(selector)
    } else {
        let mut wrapped = Value::map();
        wrapped.set(&["matchLabels"], selector.clone());
        Cow::Owned(wrapped)
    };
    LabelSelector::from_object(&selector)
        .map(|selector| selector.to_string())
        .map_err(|error| ApiError::Internal(error.to_string()))
}

fn rescaled(resource: GroupResource, scale: &Value, old: &Value) -> Result<Value, ApiError> {
    same_uid(resource, scale, old)?;
    let replicas = scale.int_at(&["spec", "replicas"]).unwrap_or(0);
    if replicas < 0 {
        let path = FieldPath::root("spec").child("replicas");
        let error = FieldError::invalid(&path, &Value::Int(replicas), "must be greater than or equal to 0");
        let kind = GroupVersionKind::new("autoscaling", "v1", "Scale").group_kind();
        return Err(ApiError::invalid(kind, ObjectMeta::of(scale).name(), error));
    }
    let mut object = old.clone();
    object.set(&["spec", "replicas"], replicas);
    let mut metadata = ObjectMetaMut::of(&mut object);
    // The resourceVersion is the client's lock; without one the change is unconditional.
    match ObjectMeta::of(scale).resource_version() {
        version if version.is_unset() => {}
        version => {
            metadata.map().insert("resourceVersion", version.0);
        }
    }
    Ok(object)
}

/// A scale that names a uid is for the object with that uid.
fn same_uid(resource: GroupResource, scale: &Value, old: &Value) -> Result<(), ApiError> {
    let old = ObjectMeta::of(old);
    let (asked, found) = (ObjectMeta::of(scale).uid(), old.uid());
    if asked.is_empty() || asked == found {
        return Ok(());
    }
    let resource = GroupResource { resource: format!("{}/scale", resource.resource).into(), ..resource };
    let message = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {found}");
    Err(ApiError::Conflict { resource, name: old.name().to_owned(), message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(selector: &str) -> Value {
        let json = format!(
            r#"{{"metadata":{{"name":"a","resourceVersion":"5"}},"spec":{{"replicas":3,"selector":{selector}}}}}"#
        );
        codec::json::decode_any(json.as_bytes()).expect("JSON")
    }

    fn replicas() -> GroupResource {
        GroupResource::new("apps", "replicasets")
    }

    #[test]
    fn a_scale_for_another_object_is_a_conflict() {
        let mut scale = Value::map();
        scale.set(&["metadata", "uid"], "x");
        let mut old = object("{}");
        old.set(&["metadata", "uid"], "y");
        let Err(ApiError::Conflict { resource, message, .. }) = rescaled(replicas(), &scale, &old) else {
            panic!("a conflict")
        };
        assert_eq!(resource.to_string(), "replicasets/scale.apps");
        assert_eq!(message, "Precondition failed: UID in precondition: x, UID in object meta: y");
    }

    #[test]
    fn a_scale_shows_counts_and_selector() {
        for selector in [r#"{"matchLabels":{"app":"a"}}"#, r#"{"app":"a"}"#] {
            let scale = scale_of(&object(selector)).expect("a selector");
            assert_eq!(scale.int_at(&["spec", "replicas"]), Some(3));
            assert_eq!(scale.str_at(&["status", "selector"]), Some("app=a"));
            assert_eq!(scale.str_at(&["metadata", "resourceVersion"]), Some("5"));
        }
    }

    #[test]
    fn a_scale_changes_replicas_only_and_refuses_negative_ones() {
        let mut scale = Value::map();
        scale.set(&["spec", "replicas"], 7);
        scale.set(&["metadata", "name"], "a");
        let changed = rescaled(replicas(), &scale, &object("{}")).expect("allowed");
        assert_eq!(changed.int_at(&["spec", "replicas"]), Some(7));
        assert_eq!(changed.str_at(&["metadata", "resourceVersion"]), Some("5"));
        scale.set(&["spec", "replicas"], -1);
        assert!(matches!(rescaled(replicas(), &scale, &object("{}")), Err(ApiError::Invalid { .. })));
    }
}
