//! What plugins ask about a request, and how they refuse one.

use meta::{ApiError, ObjectMeta};
use registry::{AdmissionAttributes, RequestContext};
use schema::Value;

/// Shown for an object that has neither a name nor a prefix of one.
const NAMELESS: &str = "Unknown!";

/// True for a request of the resource itself, not of a subresource.
pub(crate) fn concerns(context: &RequestContext, group: &str, resource: &str) -> bool {
    concerns_part(context, group, resource, "")
}

/// True for a request of a subresource.
pub(crate) fn concerns_part(
    context: &RequestContext,
    group: &str,
    resource: &str,
    subresource: &str,
) -> bool {
    context.resource.resource == resource
        && context.resource.group == group
        && context.subresource == subresource
}

/// The name by which a refusal calls the object: it may not have one yet.
pub(crate) fn shown_name<'a>(attributes: &AdmissionAttributes<'a>, object: Option<&'a Value>) -> &'a str {
    let meta = object.map(ObjectMeta::of);
    let names =
        meta.map_or([attributes.name, "", ""], |meta| [attributes.name, meta.name(), meta.generate_name()]);
    names.into_iter().find(|name| !name.is_empty()).unwrap_or(NAMELESS)
}

/// 403 on the object of the request.
pub(crate) fn forbidden<'a>(
    context: &RequestContext,
    attributes: &AdmissionAttributes<'a>,
    object: impl Into<Option<&'a Value>>,
    message: impl Into<String>,
) -> ApiError {
    ApiError::Forbidden {
        resource: context.resource.clone(),
        name: shown_name(attributes, object.into()).to_owned(),
        message: message.into(),
        causes: Vec::new(),
    }
}
