//! POST: a new object, or a question to a virtual resource.

use http::{Response, StatusCode};
use meta::Revision;
use meta::object::ObjectMetaMut;
use meta::options::WriteOptions;
use registry::{Backing, VirtualResource};
use schema::Value;

use super::action::act;
use super::ownership::track_question;
use super::{Target, answer, match_namespace, output, to_stored};
use crate::body::{self, Expected};
use crate::encode::{self, Item};
use crate::filters::Exchange;
use crate::negotiation;
use crate::options::{WriteKind, write_options};
use crate::respond::Body;
use crate::status::Failure;

/// Creates the object of the body.
pub async fn create(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let resource = &target.resource;
    let subresource = target.subresource.as_ref().map_or("", |subresource| &subresource.name);
    if let Some(action) = resource.definition.action(subresource) {
        return act(exchange, target, action.as_ref()).await;
    }
    if target.subresource.is_some() {
        return Err(target.not_supported("create").into());
    }
    let output = output(exchange, target)?;
    let media_type = negotiation::input(&exchange.parts.headers, encode::media_types(resource))?;
    let bytes = body::read(exchange.take_body(), &exchange.services).await?;
    let (options, validation) = write_options(WriteKind::Create, &exchange.query, &exchange.parts.headers)?;
    let gvk = resource.definition.gvk();
    let expected = Expected {
        schema: &resource.schema,
        ty: resource.ty,
        gvk: &gvk,
        custom: encode::is_custom(resource),
    };
    let mut tree = body::decode(&bytes, media_type, &expected, validation, &exchange.context)?;
    match_namespace(&mut tree, &exchange.context.namespace)?;
    if let Backing::Virtual(answers) = &resource.definition.backing {
        return ask(exchange, target, answers.as_ref(), tree, &options, output).await;
    }
    wipe_system_fields(&mut tree);
    let stored = to_stored(resource, tree)?;
    let outcome = target.store()?.create(&exchange.context, stored, &options).await?;
    answer(exchange, target, Item::from(&outcome), output, StatusCode::CREATED)
}

async fn ask(
    exchange: &Exchange,
    target: &Target,
    answers: &dyn VirtualResource,
    mut tree: Value,
    options: &WriteOptions,
    output: negotiation::Output,
) -> Result<Response<Body>, Failure> {
    let resource = &target.resource;
    schema::defaults::apply(&resource.schema, resource.ty, &mut tree);
    resource.definition.strategy.default(&mut tree);
    track_question(resource, &exchange.context, options, &mut tree);
    let answered = answers.create(&exchange.context, tree).await?;
    answer(exchange, target, Item::Tree(&answered), output, StatusCode::CREATED)
}

/// What only the server sets is not taken from a client (D-CRE-7).
fn wipe_system_fields(tree: &mut Value) {
    let mut metadata = ObjectMetaMut::of(tree);
    metadata.set_creation_timestamp("");
    metadata.set_uid("");
    metadata.set_deletion_timestamp(None);
    metadata.set_deletion_grace_period_seconds(None);
    metadata.map().remove("selfLink");
    // A zero says nothing; any other resourceVersion is refused by storage.
    if metadata.view().resource_version().parse().is_ok_and(|revision| revision == Revision(0)) {
        metadata.set_resource_version(Revision(0));
    }
}
