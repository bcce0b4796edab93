//! Server-side apply: PATCH with a configuration instead of a patch. The
//! object is made from the live one and the configuration, again for each
//! attempt, and created where there is none.

use async_trait::async_trait;
use bytes::Bytes;
use codec::FieldValidation;
use http::{Response, StatusCode};
use meta::options::{Preconditions, WriteOptions};
use meta::{ApiError, GroupVersion, GroupVersionKind};
use registry::{RequestContext, UpdateKind, UpdatedObject};
use schema::{Map, Value};

use super::face::{Face, update_kind};
use super::update::authorize_create;
use super::{Target, match_name, match_namespace, ownership};
use crate::body::report_strict;
use crate::encode::{self, Item};
use crate::filters::Exchange;
use crate::negotiation::Output;
use crate::respond::Body;
use crate::status::Failure;

/// Applies the configuration in `bytes`, which is YAML or JSON.
pub async fn apply(
    exchange: &Exchange,
    target: &Target,
    bytes: &Bytes,
    options: WriteOptions,
    validation: FieldValidation,
    output: Output,
) -> Result<Response<Body>, Failure> {
    let (configuration, strict) = read(bytes)?;
    let face = Face::of(target);
    let kind = update_kind(target)?;
    let may_create = target.subresource.is_none();
    let mut applied = Apply {
        exchange,
        target,
        face,
        kind: kind.clone(),
        options: &options,
        configuration,
        validation,
        strict,
    };
    let (outcome, created) = target
        .store()?
        .update(&exchange.context, &target.name, kind, &mut applied, &options, may_create)
        .await?;
    let code = if created { StatusCode::CREATED } else { StatusCode::OK };
    face.answer(exchange, target, Item::from(&outcome), output, code)
}

/// The configuration as a tree, and what a strict reader has against its text.
fn read(bytes: &[u8]) -> Result<(Value, Vec<String>), Failure> {
    let bad = |text: String| Failure::bad_request(format!("error decoding YAML: {text}"));
    let mut strict = Vec::new();
    let tree = codec::yaml::decode_any_strict(bytes, &mut strict)
        .map_err(|error| bad(format!("error converting YAML to JSON: {error}")))?;
    let found = match tree {
        Value::Map(_) => return Ok((tree, strict.iter().map(ToString::to_string).collect())),
        Value::Null => return Ok((Value::map(), Vec::new())),
        Value::List(_) => "array",
        Value::String(_) | Value::Raw(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
    };
    let problem = format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
    Err(bad(format!("error unmarshaling JSON: while decoding JSON: {problem}")))
}

/// The object of an apply.
struct Apply<'a> {
    exchange: &'a Exchange,
    target: &'a Target,
    face: Face,
    kind: UpdateKind,
    options: &'a WriteOptions,
    configuration: Value,
    validation: FieldValidation,
    /// What strict decoding has against the configuration.
    strict: Vec<String>,
}

#[async_trait]
impl UpdatedObject for Apply<'_> {
    fn preconditions(&self) -> Preconditions {
        Preconditions::default()
    }

    async fn updated(&mut self, context: &RequestContext, old: &Value) -> Result<Value, ApiError> {
        let resource = &self.target.resource;
        if old.as_map().is_some_and(Map::is_empty) {
            if self.target.subresource.is_some() {
                return Err(ApiError::not_found(&resource.definition.group_resource(), &self.target.name));
            }
            authorize_create(self.exchange).await?;
        }
        let gvk = self.face.gvk(resource);
        self.match_kind(&gvk)?;
        let object = match self.face {
            Face::Object => self.merged(context, &gvk, old)?,
            Face::Scale => self.rescaled(context, old)?,
        };
        self.report(context)?;
        self.match_identity(old)?;
        Ok(object)
    }

    fn tracks_fields(&self) -> bool {
        true
    }
}

impl Apply<'_> {
    fn match_kind(&self, gvk: &GroupVersionKind) -> Result<(), ApiError> {
        let text = |key| self.configuration.get(key).and_then(Value::as_str).unwrap_or_default();
        // A version that makes no sense leaves nothing of the kind either.
        let parsed = GroupVersion::parse(text("apiVersion")).map(|version| (version, text("kind")));
        let (version, kind) = parsed.unwrap_or_else(|| (GroupVersion::new("", ""), ""));
        if version == gvk.group_version() && kind == gvk.kind {
            return Ok(());
        }
        let text = format!("invalid object type: {}/{}, Kind={kind}", version.group, version.version);
        Err(ApiError::BadRequest(text))
    }

    /// Who names a uid means an object that is there.
    fn match_identity(&self, old: &Value) -> Result<(), ApiError> {
        let uid = meta::ObjectMeta::of(&self.configuration).uid();
        if uid.is_empty() || !meta::ObjectMeta::of(old).uid().is_empty() {
            return Ok(());
        }
        let why = "and no existing object was found";
        Err(ApiError::Conflict {
            resource: self.target.resource.definition.group_resource(),
            name: self.target.name.clone(),
            message: format!("uid mismatch: the provided object specified uid {uid}, {why}"),
        })
    }

    /// The live object with the configuration in it, in the stored version.
    fn merged(
        &self,
        context: &RequestContext,
        gvk: &GroupVersionKind,
        old: &Value,
    ) -> Result<Value, ApiError> {
        let management = self.target.store()?.field_management(context, &self.kind, self.options);
        let manager = management.manager();
        let applied = manager.apply(old, &self.configuration, self.options.force)?;
        let mut object = match applied.object {
            None => old.clone(),
            Some(document) => self.decoded(&document, gvk, context)?,
        };
        ownership::set_managed_fields(&mut object, applied.managed_fields);
        Ok(object)
    }

    /// The document as an object in the stored version.
    fn decoded(
        &self,
        document: &Value,
        gvk: &GroupVersionKind,
        context: &RequestContext,
    ) -> Result<Value, ApiError> {
        let resource = &self.target.resource;
        let decoded = if encode::is_custom(resource) {
            codec::custom::normal(document.clone(), None).map_err(|error| error.to_string())
        } else {
            codec::json::typed(&resource.schema, resource.ty, document, None).map_err(|error| {
                let words = patch::strategic::unconvertible(&resource.schema, resource.ty, document);
                words.unwrap_or_else(|| error.to_string())
            })
        };
        let mut object = decoded.map_err(|error| self.unconvertible(gvk, &error))?;
        match_name(&object, &self.target.name)?;
        match_namespace(&mut object, &context.namespace).map_err(|failure| match failure {
            Failure::Api(error) => error,
            other => ApiError::Internal(format!("{other:?}")),
        })?;
        self.face.take(resource, object, &Value::Null)
    }

    fn unconvertible(&self, gvk: &GroupVersionKind, error: &str) -> ApiError {
        let meta = meta::ObjectMeta::of(&self.configuration);
        let kind = format!("{}/{}, Kind={}", gvk.group, gvk.version, gvk.kind);
        // What the original cannot convert field by field it reads as JSON.
        let by_json = if error.starts_with("illegal base64") { "error decoding from json: " } else { "" };
        ApiError::Unknown(format!(
            "failed to convert new object ({}/{}; {kind}) to proper version: unable to convert unstructured object to \
             {kind}: {by_json}{error}",
            meta.namespace(),
            meta.name(),
        ))
    }

    /// The live object with the replicas of the configuration, which is a `Scale`.
    fn rescaled(&self, context: &RequestContext, old: &Value) -> Result<Value, ApiError> {
        let resource = &self.target.resource;
        let ownership = ownership::ScaleOwnership::new(resource, context, self.options, old)?;
        let (scale, entries) = ownership.apply(&self.face.show(resource, old)?, &self.configuration)?;
        match_name(&scale, &self.target.name)?;
        let mut object = self.face.take(resource, scale, old)?;
        ownership::set_managed_fields(&mut object, entries);
        Ok(object)
    }

    fn report(&self, context: &RequestContext) -> Result<(), ApiError> {
        if self.validation == FieldValidation::Strict
            && let Some(error) = self.strict.first()
        {
            let text = format!("error strict decoding YAML: error converting YAML to JSON: {error}");
            return Err(ApiError::BadRequest(text));
        }
        report_strict(&self.strict, self.validation, context).map_err(ApiError::BadRequest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    #[test]
    fn a_configuration_is_an_object_or_nothing() {
        assert_eq!(read(b"").expect("nothing").0, Value::map());
        assert_eq!(read(b"null").expect("nothing").0, Value::map());
        let (tree, strict) = read(b"a: 1\na: 2\n").expect("an object");
        assert_eq!(tree.int_at(&["a"]), Some(2));
        assert_eq!(strict.len(), 1, "{strict:?}");
        for (text, found) in [("[]", "array"), ("\"x\"", "string"), ("1", "number"), ("true", "bool")] {
            let failure = read(text.as_bytes()).expect_err("no object");
            let message = Status::of_failure(&failure).expect("a Status").message;
            assert!(message.contains(&format!("cannot unmarshal {found} into")), "{message}");
        }
    }
}
