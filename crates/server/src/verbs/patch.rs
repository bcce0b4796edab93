//! PATCH: JSON patch, merge patch, strategic merge patch. The patch is read
//! once and applied to the object as its JSON has it, again for each attempt.
//! Server-side apply comes by the same verb and is the business of `apply`.

use std::borrow::Cow;

use async_trait::async_trait;
use codec::FieldValidation;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use meta::ApiError;
use meta::options::{Preconditions, WriteOptions};
use patch::{JsonPatch, MergePatch, PatchError, StrategicPatch};
use registry::{RequestContext, UpdatedObject};
use schema::Value;

use super::apply::apply;
use super::face::{Face, update_kind};
use super::ownership::keep_wiping;
use super::{Target, match_name, match_namespace, output};
use crate::body::{self, report_strict};
use crate::encode::{self, Item};
use crate::filters::Exchange;
use crate::negotiation::header;
use crate::options::{WriteKind, write_options};
use crate::respond::Body;
use crate::status::Failure;

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_MERGE_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// Changes the object as the patch says.
pub async fn patch(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let output = output(exchange, target)?;
    let media_type = patch_type(exchange, target)?;
    let applies = media_type == APPLY_PATCH;
    let kind = if applies { WriteKind::Apply } else { WriteKind::Patch };
    let (options, validation) = write_options(kind, &exchange.query, &exchange.parts.headers)?;
    let bytes = body::read(exchange.take_body(), &exchange.services).await?;
    if applies {
        return apply(exchange, target, &bytes, options, validation, output).await;
    }
    let mut strict = Vec::new();
    let collect = (validation != FieldValidation::Ignore).then_some(&mut strict);
    let patch = Patch::parse(media_type, &bytes, collect).map_err(ApiError::from)?;
    let face = Face::of(target);
    let mut patched = Patched { target, face, patch, options: &options, validation, strict };
    let (outcome, created) = target
        .store()?
        .update(&exchange.context, &target.name, update_kind(target)?, &mut patched, &options, false)
        .await?;
    let code = if created { StatusCode::CREATED } else { StatusCode::OK };
    face.answer(exchange, target, Item::from(&outcome), output, code)
}

/// The media type, compared to the letter.
fn patch_type<'a>(exchange: &'a Exchange, target: &Target) -> Result<&'a str, Failure> {
    let content_type = header(&exchange.parts.headers, CONTENT_TYPE);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let custom = encode::is_custom(&target.resource);
    match media_type {
        JSON_PATCH | MERGE_PATCH | APPLY_PATCH => Ok(media_type),
        STRATEGIC_MERGE_PATCH if !custom => Ok(media_type),
        _ if custom => {
            Err(Failure::unsupported_media_type([JSON_PATCH, MERGE_PATCH, APPLY_PATCH].into_iter()))
        }
        _ => Err(Failure::RouteUnsupportedMediaType),
    }
}

/// A patch that has been read.
enum Patch {
    Json(JsonPatch),
    Merge(MergePatch),
    Strategic(StrategicPatch),
}

impl Patch {
    fn parse(media_type: &str, bytes: &[u8], strict: Option<&mut Vec<String>>) -> Result<Patch, PatchError> {
        match media_type {
            JSON_PATCH => JsonPatch::parse(bytes, strict).map(Patch::Json),
            MERGE_PATCH => MergePatch::parse(bytes, strict).map(Patch::Merge),
            _ => StrategicPatch::parse(bytes, strict).map(Patch::Strategic),
        }
    }
}

/// The object of a PATCH.
struct Patched<'a> {
    target: &'a Target,
    face: Face,
    patch: Patch,
    options: &'a WriteOptions,
    validation: FieldValidation,
    /// What strict decoding has against the patch itself.
    strict: Vec<String>,
}

#[async_trait]
impl UpdatedObject for Patched<'_> {
    fn preconditions(&self) -> Preconditions {
        Preconditions::default()
    }

    async fn updated(&mut self, context: &RequestContext, old: &Value) -> Result<Value, ApiError> {
        if old.as_map().is_some_and(schema::Map::is_empty) {
            // Only server-side apply makes what is not there.
            return Err(ApiError::not_found(
                &self.target.resource.definition.group_resource(),
                &self.target.name,
            ));
        }
        let document = self.document(old)?;
        let patched = self.apply(document)?;
        let mut body = self.decode(&patched, context)?;
        match_name(&body, &self.target.name)?;
        keep_wiping(Some(&patched), &mut body);
        match_namespace(&mut body, &context.namespace).map_err(|failure| match failure {
            Failure::Api(error) => error,
            other => ApiError::Internal(format!("{other:?}")),
        })?;
        self.face.take_tracked(&self.target.resource, context, self.options, body, old)
    }

    fn tracks_fields(&self) -> bool {
        self.face == Face::Scale
    }
}

impl Patched<'_> {
    /// The object as the client sees it, as JSON has it.
    fn document(&self, old: &Value) -> Result<Value, ApiError> {
        let resource = &self.target.resource;
        let mut shown = self.face.show(resource, old)?;
        encode::set_kind(&mut shown, &self.face.gvk(resource));
        if encode::is_custom(resource) && self.face == Face::Object {
            return Ok(shown);
        }
        let (schema, ty) = self.face.ty(resource);
        patch::document(schema, ty, &shown).map_err(|error| ApiError::Internal(error.to_string()))
    }

    fn apply(&self, document: Value) -> Result<Value, ApiError> {
        let (schema, ty) = self.face.ty(&self.target.resource);
        Ok(match &self.patch {
            Patch::Json(patch) => patch.apply(document)?,
            Patch::Merge(patch) => patch.apply(document),
            Patch::Strategic(patch) => patch.apply(schema, ty, document)?,
        })
    }

    /// The patched document as an object of the type.
    fn decode(&self, patched: &Value, context: &RequestContext) -> Result<Value, ApiError> {
        let (schema, ty) = self.face.ty(&self.target.resource);
        if let Some(refusal) = self.kind_changed(patched) {
            return Err(refusal);
        }
        let mut found = Vec::new();
        let nameless = patched.get("kind").is_none() && patched.get("apiVersion").is_none();
        let schema_errors = (self.validation != FieldValidation::Ignore).then_some(&mut found);
        // Without a kind the original decodes into a type that has no fields at all.
        let decoded = if nameless {
            found.extend(patched.as_map().into_iter().flat_map(schema::Map::keys).map(unknown));
            Value::map()
        } else {
            let typed = if self.face == Face::Object && encode::is_custom(&self.target.resource) {
                codec::custom::normal(patched.clone(), schema_errors)
            } else {
                codec::json::typed(schema, ty, patched, schema_errors)
            };
            typed.map_err(|error| patch::undecodable(&self.shown(patched), self.in_words(patched, &error)))?
        };
        let mut strict = self.strict.clone();
        strict.extend(found.iter().map(ToString::to_string));
        report_strict(&strict, self.validation, context)
            .map_err(|text| patch::undecodable(&self.shown(patched), text))?;
        Ok(decoded)
    }

    /// A patch must not make another kind of an object.
    fn kind_changed(&self, patched: &Value) -> Option<ApiError> {
        let gvk = self.face.gvk(&self.target.resource);
        let text = |key| patched.get(key).and_then(Value::as_str);
        let kind = text("kind").unwrap_or(&gvk.kind);
        let expected = gvk.api_version();
        let api_version = text("apiVersion").unwrap_or(&expected);
        if kind == gvk.kind && api_version == expected {
            return None;
        }
        let quoted = meta::field::quoted;
        let why = format!("no kind {} is registered for version {}", quoted(kind), quoted(api_version));
        Some(patch::undecodable(&self.shown(patched), why))
    }

    /// What a refusal shows: a strategic patch itself, else the patched document.
    fn shown(&self, patched: &Value) -> Cow<'_, str> {
        match &self.patch {
            Patch::Strategic(patch) => Cow::Owned(patch.go_text()),
            Patch::Json(_) | Patch::Merge(_) => {
                let mut json = Vec::new();
                codec::json::encode_any(patched, &mut json);
                Cow::Owned(String::from_utf8_lossy(&json).into_owned())
            }
        }
    }

    /// Strategic patches are converted, not decoded, and fail in other words.
    fn in_words(&self, patched: &Value, error: &codec::DecodeError) -> String {
        let (schema, ty) = self.face.ty(&self.target.resource);
        let words = match &self.patch {
            Patch::Strategic(_) => patch::strategic::unconvertible(schema, ty, patched),
            Patch::Json(_) | Patch::Merge(_) => None,
        };
        words.unwrap_or_else(|| error.to_string())
    }
}

fn unknown(field: &str) -> codec::StrictError {
    codec::StrictError::Unknown(field.to_owned())
}
