//! GET of one object or subresource.

use http::{Response, StatusCode};
use meta::ResourceVersion;
use meta::options::GetOptions;
use registry::Backing;

use super::face::Face;
use super::{Target, answer, output};
use crate::encode::Item;
use crate::filters::Exchange;
use crate::respond::Body;
use crate::status::Failure;

/// Answers with the object, or with its subresource.
pub async fn get(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let output = output(exchange, target)?;
    if exchange.query.flag("export") == Some(true) {
        return Err(Failure::bad_request(
            "the export parameter, deprecated since v1.14, is no longer supported",
        ));
    }
    if let Backing::Virtual(answers) = &target.resource.definition.backing {
        let tree = answers.get(&exchange.context, &target.name).await?;
        return answer(exchange, target, Item::Tree(&tree), output, StatusCode::OK);
    }
    let resource_version = ResourceVersion(exchange.query.text("resourceVersion").to_owned());
    let object =
        target.store()?.get(&exchange.context, &target.name, &GetOptions { resource_version }).await?;
    Face::of(target).answer(exchange, target, Item::Stored(&object), output, StatusCode::OK)
}
