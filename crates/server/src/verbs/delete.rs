//! DELETE of one object.

use http::{Response, StatusCode};
use meta::options::DeleteOptions;

use super::{Target, answer, output};
use crate::body;
use crate::encode::Item;
use crate::filters::Exchange;
use crate::negotiation::{self, MEDIA_TYPES, Transform};
use crate::options::{delete_options_of_body, delete_options_of_query};
use crate::respond::{self, Body};
use crate::status::{Failure, Status};

/// Deletes, and answers with a Status, or with the object where the resource
/// does so or where the object is still there (D-DEL-11).
pub async fn delete(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let output = output(exchange, target)?;
    let options = options_of(exchange, target).await?;
    if options.ignore_store_read_error {
        target.store()?.delete_unreadable(&exchange.context, &target.name).await?;
        let (user, namespace) = (&exchange.context.user.name, &exchange.context.namespace);
        tracing::warn!(path = exchange.info.path, user, namespace, "an unreadable object was deleted unseen");
        let status = Status::deleted_unseen(&target.resource.definition.kind, &target.name);
        return Ok(respond::status(&status, negotiation::Output { transform: Transform::None, ..output }));
    }
    let orphaning_refused = options.orphan_dependents == Some(false);
    let deleted = target.store()?.delete(&exchange.context, &target.name, options).await?;
    let definition = &target.resource.definition;
    if deleted.removed && !definition.returns_deleted_object {
        let status = Status::deleted(&definition.group_resource(), &target.name, &deleted.uid);
        return Ok(respond::status(&status, negotiation::Output { transform: Transform::None, ..output }));
    }
    let code = if !deleted.removed && orphaning_refused { StatusCode::ACCEPTED } else { StatusCode::OK };
    answer(exchange, target, Item::from(&deleted.outcome), output, code)
}

/// The options of a delete: of the body if there is one, else of the query (F-MUT-7).
pub async fn options_of(exchange: &Exchange, target: &Target) -> Result<DeleteOptions, Failure> {
    let unsafe_deletion = target.resource.store.as_ref().is_some_and(|store| store.allows_unsafe_deletion());
    let body = body::read(exchange.take_body(), &exchange.services).await?;
    if body.is_empty() {
        return delete_options_of_query(&exchange.query, unsafe_deletion);
    }
    let media_type = negotiation::input(&exchange.parts.headers, MEDIA_TYPES)?;
    delete_options_of_body(&body::decode_delete_options(&body, media_type)?, unsafe_deletion)
}
