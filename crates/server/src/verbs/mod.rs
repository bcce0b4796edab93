//! The verbs, a file each, and what several of them do: negotiate, tell what
//! an object looks like at an endpoint, answer with it.

pub mod action;
pub mod apply;
pub mod connect;
pub mod create;
pub mod delete;
pub mod delete_collection;
pub mod face;
pub mod get;
pub mod list;
pub mod ownership;
pub mod patch;
pub mod update;
pub mod watch;

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use meta::ApiError;
use meta::object::{ObjectMeta, ObjectMetaMut};
use registry::{PrintContext, ServedResource, Store, Subresource};
use schema::Value;

use crate::encode::{self, Item};
use crate::filters::Exchange;
use crate::negotiation::{self, MediaType, MetaVersion, Output, Transform};
use crate::respond::{self, Body};
use crate::status::Failure;
use crate::stream::{self, ListForm, ListMetadata};
use crate::table::{self, IncludeObject, TableStyle};

/// What a verb is applied to.
pub struct Target {
    /// The resource.
    pub resource: Arc<ServedResource>,
    /// The subresource, if any.
    pub subresource: Option<Subresource>,
    /// Name of the object, empty for collections.
    pub name: String,
}

impl Target {
    /// The store of the resource. Virtual resources have none and serve no verb that needs one.
    pub fn store(&self) -> Result<&Arc<Store>, ApiError> {
        self.resource.store.as_ref().ok_or(ApiError::MethodNotAllowed)
    }

    /// 405 that names the resource.
    pub fn not_supported(&self, verb: &str) -> ApiError {
        let mut resource = self.resource.definition.group_resource();
        if let Some(subresource) = &self.subresource {
            resource.resource = format!("{}/{}", resource.resource, subresource.name).into();
        }
        ApiError::MethodNotSupported { resource, action: verb.to_owned() }
    }
}

/// The form of the answer to a request about one object.
pub fn output(exchange: &Exchange, target: &Target) -> Result<Output, Failure> {
    let offered = encode::media_types(&target.resource);
    let output = negotiation::output(&exchange.parts.headers, &exchange.query, offered, false)?;
    if let Transform::Table(_) = output.transform {
        IncludeObject::parse(&exchange.query)?;
    }
    Ok(output)
}

/// Answers with one object.
pub fn answer(
    exchange: &Exchange,
    target: &Target,
    item: Item<'_>,
    output: Output,
    code: StatusCode,
) -> Result<Response<Body>, Failure> {
    let resource = &target.resource;
    let body = match output.transform {
        Transform::None => encode::object(resource, item, output)?,
        Transform::Table(version) => table_of_one(exchange, resource, item, version, output)?,
        Transform::PartialObject(version) => partial(resource, item, version, output)?,
        Transform::PartialObjectList(_) => {
            let problem = "but the requested object is not a list";
            let ty = go_type(resource, "");
            return Err(Failure::NotAcceptable(format!(
                "you requested PartialObjectMetadataList, {problem} ({ty})"
            )));
        }
    };
    let response = respond::bytes(code, output.media_type.name(), Bytes::new());
    Ok(stream::compressed(response, body, &exchange.parts.headers))
}

/// What is written of each object of a list.
pub fn list_form(exchange: &Exchange, target: &Target, output: Output) -> Result<ListForm, Failure> {
    match output.transform {
        Transform::None => Ok(ListForm::Objects),
        Transform::Table(version) => Ok(ListForm::Table(table_style(exchange, version)?)),
        Transform::PartialObjectList(version) => Ok(ListForm::Partial(version)),
        Transform::PartialObject(_) => {
            let ty = go_type(&target.resource, "List");
            let problem = "but the requested object is a list";
            Err(Failure::NotAcceptable(format!("you requested PartialObjectMetadata, {problem} ({ty})")))
        }
    }
}

/// How rows are made for this request.
pub fn table_style(exchange: &Exchange, version: MetaVersion) -> Result<TableStyle, Failure> {
    let print = PrintContext { now: exchange.services.environment.clock.now() };
    Ok(TableStyle { version, include: IncludeObject::parse(&exchange.query)?, print })
}

/// Brings a decoded body into the stored version, defaulted.
pub fn to_stored(resource: &ServedResource, tree: Value) -> Result<Value, ApiError> {
    let Some(storage) = resource.definition.storage() else { return Ok(tree) };
    let mut tree = match &storage.conversion {
        Some(conversion) => conversion.to_stored(tree)?,
        None => tree,
    };
    encode::set_kind(&mut tree, &storage.kind);
    if let Some(store) = &resource.store {
        store.fill_defaults(&mut tree);
    }
    Ok(tree)
}

/// Makes the namespace of an object that of the request, and refuses another (D-CRE-5).
pub fn match_namespace(tree: &mut Value, namespace: &str) -> Result<(), Failure> {
    let mut metadata = ObjectMetaMut::of(tree);
    let own = metadata.view().namespace().to_owned();
    if !own.is_empty() && !namespace.is_empty() && own != namespace {
        let text = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Failure::bad_request(text));
    }
    metadata.set_namespace(namespace);
    Ok(())
}

/// Refuses an object whose name is not that of the path (F-MUT-3).
pub fn match_name(tree: &Value, name: &str) -> Result<(), ApiError> {
    match ObjectMeta::of(tree).name() {
        own if own == name => Ok(()),
        "" => Err(ApiError::BadRequest(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        ))),
        own => {
            let text = format!("the name of the object ({own}) does not match the name on the URL ({name})");
            Err(ApiError::BadRequest(text))
        }
    }
}

fn table_of_one(
    exchange: &Exchange,
    resource: &ServedResource,
    item: Item<'_>,
    version: MetaVersion,
    output: Output,
) -> Result<Bytes, Failure> {
    let style = table_style(exchange, version)?;
    let mut out = Vec::with_capacity(1024);
    let metadata = match item {
        Item::Stored(object) => ListMetadata::at(object.revision).json(),
        Item::Tree(tree) => {
            let revision = ObjectMeta::of(tree).resource_version().parse().unwrap_or_default();
            ListMetadata::at(revision).json()
        }
    };
    table::open(version, &metadata, Some(&resource.definition.columns), &mut out);
    out.push(b'[');
    table::put_row(resource, item, &style, &mut out)?;
    out.extend_from_slice(b"]}");
    Ok(encode::finish_json(Bytes::from(out), output))
}

fn partial(
    resource: &ServedResource,
    item: Item<'_>,
    version: MetaVersion,
    output: Output,
) -> Result<Bytes, Failure> {
    let tree = encode::stored_tree(resource, item)?;
    if output.media_type == MediaType::Protobuf {
        let gvk = table::meta_kind(version, "PartialObjectMetadata");
        return Ok(encode::envelope(&gvk, &table::partial_protobuf(&resource.definition, &tree)));
    }
    let mut out = Vec::with_capacity(512);
    table::put_partial(&resource.definition, &tree, version, &mut out);
    Ok(encode::finish_json(Bytes::from(out), output))
}

/// What Go calls the type: part of a text clients see.
fn go_type(resource: &ServedResource, suffix: &str) -> String {
    if encode::is_custom(resource) {
        return format!("*unstructured.Unstructured{suffix}");
    }
    let definition = &resource.definition;
    format!("*{}.{}{suffix}", crate::body::internal_package(&definition.group), definition.kind)
}
