//! GET of a collection.

use http::Response;
use registry::Backing;

use super::{Target, list_form};
use crate::encode;
use crate::filters::Exchange;
use crate::negotiation;
use crate::options::read_options;
use crate::respond::Body;
use crate::status::Failure;
use crate::stream::{self, Items, ListMetadata, Listed};

/// Answers with the objects of a collection.
pub async fn list(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let headers = &exchange.parts.headers;
    let definition = &target.resource.definition;
    let output = negotiation::output(headers, &exchange.query, encode::media_types(&target.resource), true)?;
    let options = read_options(&exchange.query, definition, &target.name, false)?.list;
    let form = list_form(exchange, target, output)?;
    let listed = match &definition.backing {
        Backing::Virtual(answers) => {
            let items = Items::Trees(answers.list(&exchange.context).await?);
            Listed { metadata: ListMetadata::at(meta::Revision(0)), items }
        }
        Backing::Stored(_) | Backing::Action(_) => {
            target.store()?.list(&exchange.context, &options).await?.into()
        }
    };
    Ok(stream::respond(target.resource.clone(), listed, form, output, headers)?)
}
