//! POST that does something to an object instead of storing one
//! (`SubresourceKind::Action`, `bindings`). What is done is said by the
//! resource (`registry::Action`); here are the body and the answer.

use bytes::Bytes;
use http::{Response, StatusCode};
use meta::GroupVersionKind;
use registry::{Acted, Action, ActionRequest};

use super::ownership::{Written, track_body};
use super::{Target, match_namespace};
use crate::body::{self, Expected};
use crate::encode::{self};
use crate::filters::Exchange;
use crate::negotiation::{self, MEDIA_TYPES, MediaType};
use crate::options::{WriteKind, write_options};
use crate::respond::{self, Body};
use crate::status::{Failure, Status};

/// Does what the body asks for.
pub async fn act(
    exchange: &Exchange,
    target: &Target,
    action: &dyn Action,
) -> Result<Response<Body>, Failure> {
    let context = &exchange.context;
    let output = negotiation::output(&exchange.parts.headers, &exchange.query, MEDIA_TYPES, false)?;
    let media_type = negotiation::input(&exchange.parts.headers, MEDIA_TYPES)?;
    let bytes = body::read(exchange.take_body(), &exchange.services).await?;
    let (options, validation) = write_options(WriteKind::Create, &exchange.query, &exchange.parts.headers)?;
    let kind = body_kind(target);
    let schema = schema::builtin();
    let ty = schema.kind(&kind.group, &kind.version, &kind.kind);
    let ty = ty.ok_or_else(|| target.not_supported("create"))?;
    let claimed = claimed_kind(&kind, &bytes, media_type);
    let expected = Expected { schema, ty, gvk: &claimed, custom: false };
    let mut tree = body::decode(&bytes, media_type, &expected, validation, context)?;
    encode::set_kind(&mut tree, &kind);
    match_namespace(&mut tree, &context.namespace)?;
    schema::defaults::apply(schema, ty, &mut tree);
    action.default_body(&mut tree);
    track_body(
        &Written { schema, ty, kind: &kind, subresource: &context.subresource },
        context,
        &options,
        &mut tree,
    );
    let served = exchange.services.served.load();
    let mut request = ActionRequest {
        context,
        name: &target.name,
        body: tree,
        kind: &kind,
        options: &options,
        served: &served,
    };
    request.admit().await?;
    match action.act(request).await? {
        Acted::Done => {
            let done = Status { code: StatusCode::CREATED.as_u16(), ..Status::default() };
            Ok(respond::status(&done, output))
        }
        Acted::Object(object) => {
            let body = encode::typed(schema, ty, &kind, object, output);
            Ok(respond::bytes(StatusCode::CREATED, output.media_type.name(), body))
        }
    }
}

/// Kind of the bodies.
fn body_kind(target: &Target) -> GroupVersionKind {
    let own = target.subresource.as_ref().and_then(|subresource| subresource.body.clone());
    own.unwrap_or_else(|| target.resource.definition.gvk())
}

/// The kind under which a body is decoded. Evictions are still taken in the
/// version they had before, which has the same fields.
fn claimed_kind(kind: &GroupVersionKind, body: &Bytes, media_type: MediaType) -> GroupVersionKind {
    const BEFORE: &str = "policy/v1beta1";
    if kind.kind != "Eviction" {
        return kind.clone();
    }
    let claims_it = match media_type {
        MediaType::Json => {
            codec::json::decode_any(body).is_ok_and(|tree| tree.str_at(&["apiVersion"]) == Some(BEFORE))
        }
        MediaType::Yaml => {
            codec::yaml::decode_any(body).is_ok_and(|tree| tree.str_at(&["apiVersion"]) == Some(BEFORE))
        }
        MediaType::Protobuf => {
            codec::protobuf::envelope::unwrap(body).is_ok_and(|unknown| unknown.api_version == BEFORE)
        }
    };
    let version = if claims_it { "v1beta1".into() } else { kind.version.clone() };
    GroupVersionKind { version, ..kind.clone() }
}
