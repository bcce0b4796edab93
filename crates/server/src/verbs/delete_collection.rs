//! DELETE of a collection: every object the selectors match.

use http::Response;

use super::delete::options_of;
use super::{Target, list_form};
use crate::encode;
use crate::filters::Exchange;
use crate::negotiation;
use crate::options::{read_options, refuse_unsafe_collection};
use crate::respond::Body;
use crate::status::Failure;
use crate::stream;

/// Deletes, and answers with the objects as they were.
pub async fn delete_collection(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let headers = &exchange.parts.headers;
    let output = negotiation::output(headers, &exchange.query, encode::media_types(&target.resource), false)?;
    let list = read_options(&exchange.query, &target.resource.definition, &target.name, false)?.list;
    let options = options_of(exchange, target).await?;
    refuse_unsafe_collection(&options)?;
    let form = list_form(exchange, target, output)?;
    let deleted = target.store()?.delete_collection(&exchange.context, options, &list).await?;
    Ok(stream::respond(target.resource.clone(), deleted, form, output, headers)?)
}
