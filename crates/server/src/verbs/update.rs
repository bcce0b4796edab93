//! PUT: an object in place of another.

use async_trait::async_trait;
use http::{Response, StatusCode};
use meta::ApiError;
use meta::object::ObjectMeta;
use meta::options::{Preconditions, WriteOptions};
use registry::{RequestContext, UpdatedObject};
use schema::Value;

use super::face::{Face, update_kind};
use super::ownership::{keep_wiping, wiping_document};
use super::{Target, match_name, match_namespace, output};
use crate::body::{self, Expected};
use crate::encode::{self, Item};
use crate::filters::{Exchange, authorize};
use crate::negotiation;
use crate::options::{WriteKind, write_options};
use crate::respond::Body;
use crate::status::Failure;

/// Replaces the object by that of the body, or creates it where PUT may.
pub async fn update(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let resource = &target.resource;
    let output = output(exchange, target)?;
    let face = Face::of(target);
    let bytes = body::read(exchange.take_body(), &exchange.services).await?;
    let (options, validation) = write_options(WriteKind::Update, &exchange.query, &exchange.parts.headers)?;
    let media_type = negotiation::input(&exchange.parts.headers, encode::media_types(resource))?;
    let gvk = face.gvk(resource);
    let (schema, ty) = face.ty(resource);
    let custom = face == Face::Object && encode::is_custom(resource);
    let mut tree = body::decode(
        &bytes,
        media_type,
        &Expected { schema, ty, gvk: &gvk, custom },
        validation,
        &exchange.context,
    )?;
    match_namespace(&mut tree, &exchange.context.namespace)?;
    match_name(&tree, &target.name)?;
    keep_wiping(wiping_document(&bytes, &tree).as_ref(), &mut tree);
    let mut replacement = Replacement { exchange, target, face, options: &options, body: tree };
    let (outcome, created) = target
        .store()?
        .update(&exchange.context, &target.name, update_kind(target)?, &mut replacement, &options, false)
        .await?;
    let code = if created { StatusCode::CREATED } else { StatusCode::OK };
    face.answer(exchange, target, Item::from(&outcome), output, code)
}

/// The object of a PUT.
struct Replacement<'a> {
    exchange: &'a Exchange,
    target: &'a Target,
    face: Face,
    options: &'a WriteOptions,
    body: Value,
}

#[async_trait]
impl UpdatedObject for Replacement<'_> {
    fn preconditions(&self) -> Preconditions {
        let uid = ObjectMeta::of(&self.body).uid();
        Preconditions { uid: (!uid.is_empty()).then(|| uid.to_owned()), resource_version: None }
    }

    async fn updated(&mut self, context: &RequestContext, old: &Value) -> Result<Value, ApiError> {
        if old.as_map().is_some_and(schema::Map::is_empty) {
            authorize_create(self.exchange).await?;
        }
        self.face.take_tracked(&self.target.resource, context, self.options, self.body.clone(), old)
    }

    fn tracks_fields(&self) -> bool {
        self.face == Face::Scale
    }
}

/// Who creates by an update must be allowed to create (F-MUT-3).
pub async fn authorize_create(exchange: &Exchange) -> Result<(), ApiError> {
    let info = crate::request_info::RequestInfo { verb: "create".to_owned(), ..exchange.info.clone() };
    authorize(&exchange.services, &exchange.context.user, &info).await
}
