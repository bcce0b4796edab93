//! From what is asked to who answers: which paths and methods exist for a
//! resource (F-RTE-2), and the hand-over to the verbs.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::{Method, Response};
use meta::ApiError;
use registry::{ServedGroup, ServedResource, Subresource, SubresourceKind};

use crate::documents;
use crate::filters::Exchange;
use crate::request_info::RequestInfo;
use crate::respond::Body;
use crate::status::Failure;
use crate::verbs::{self, Target};

type Answer = Result<Response<Body>, Failure>;

/// Answers an authorized request.
pub async fn route(exchange: &mut Exchange) -> Answer {
    if !exchange.info.resource_request {
        let answered = documents::answer(exchange).await;
        return answered.unwrap_or_else(|| Err(Failure::page_not_found()));
    }
    let resource = find(exchange)?;
    let place = Place::of(&exchange.info, &resource)?;
    let subresource = match place {
        Place::Subresource => resource.definition.subresource(&exchange.info.subresource).cloned(),
        Place::Collection | Place::AllNamespaces | Place::Item => None,
    };
    let verb = match &subresource {
        Some(subresource) if passes_any_method(subresource) => Some(Verb::Get),
        _ => Verb::of(&exchange.parts.method, &exchange.info, place),
    };
    let verb = verb.filter(|verb| verb.is_served(place, &resource, subresource.as_ref()));
    let verb = verb.ok_or(ApiError::MethodNotAllowed)?;
    if !resource.definition.namespaced {
        exchange.context.namespace.clear();
    }
    exchange.info.parts.get(1).cloned().unwrap_or_default().clone_into(&mut exchange.context.name);
    if !resource.definition.deprecation.is_empty() {
        exchange.context.warn(resource.definition.deprecation.clone());
    }
    let name = exchange.context.name.clone();
    serve(exchange, verb, &Target { resource, subresource, name }).await
}

/// What is behind a proxy may know methods that resources do not.
fn passes_any_method(subresource: &Subresource) -> bool {
    subresource.kind == SubresourceKind::Connect && subresource.name == "proxy"
}

/// Boxed, because the futures of all verbs together would make every request
/// as big as the biggest, and because the compiler cannot prove the whole
/// column `Send` in one piece.
fn serve<'a>(exchange: &'a Exchange, verb: Verb, target: &'a Target) -> BoxFuture<'a, Answer> {
    if target.subresource.as_ref().is_some_and(|subresource| subresource.kind == SubresourceKind::Connect) {
        return Box::pin(verbs::connect::connect(exchange, target));
    }
    match verb {
        Verb::Get => Box::pin(verbs::get::get(exchange, target)),
        Verb::List => Box::pin(verbs::list::list(exchange, target)),
        Verb::Watch => Box::pin(verbs::watch::watch(exchange, target)),
        Verb::Create => Box::pin(verbs::create::create(exchange, target)),
        Verb::Update => Box::pin(verbs::update::update(exchange, target)),
        Verb::Patch => Box::pin(verbs::patch::patch(exchange, target)),
        Verb::Delete => Box::pin(verbs::delete::delete(exchange, target)),
        Verb::DeleteCollection => Box::pin(verbs::delete_collection::delete_collection(exchange, target)),
    }
}

/// The resource asked for. Unknown resources of a served version and unknown
/// versions of a built-in group have a Status, everything else is nobody's.
fn find(exchange: &Exchange) -> Result<Arc<ServedResource>, Failure> {
    let info = &exchange.info;
    let served = exchange.services.served.load();
    match served.lookup(&info.group, &info.version, &info.resource) {
        Some(resource) => Ok(resource),
        None if served.version(&info.group, &info.version).is_some() => Err(ApiError::NotServed.into()),
        // A built-in group answers for its whole path, versions it does not have included.
        None if served.group(&info.group).is_some_and(ServedGroup::is_built_in) => {
            Err(ApiError::NotServed.into())
        }
        None => Err(Failure::page_not_found()),
    }
}

/// The kinds of paths a resource has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// All objects, in the namespace if the resource has them.
    Collection,
    /// All objects of a namespaced resource.
    AllNamespaces,
    /// One object.
    Item,
    /// Something about one object.
    Subresource,
}

impl Place {
    fn of(info: &RequestInfo, resource: &ServedResource) -> Result<Place, ApiError> {
        let definition = &resource.definition;
        let in_namespace = !info.namespace.is_empty();
        if !definition.namespaced && in_namespace && info.resource != "namespaces" {
            return Err(ApiError::NotServed);
        }
        let everywhere = definition.namespaced && !in_namespace;
        match info.parts.as_slice() {
            [_] if everywhere && !definition.serves("list") => Err(ApiError::NotServed),
            [_] if everywhere => Ok(Place::AllNamespaces),
            [_] => Ok(Place::Collection),
            _ if everywhere => Err(ApiError::NotServed),
            [_, _] if ["get", "update", "patch", "delete"].iter().any(|verb| definition.serves(verb)) => {
                Ok(Place::Item)
            }
            [_, _] => Err(ApiError::NotServed),
            [_, _, name, rest @ ..] => {
                let found = definition.subresource(name).ok_or(ApiError::NotServed)?;
                let goes_on = found.kind == SubresourceKind::Connect || rest.is_empty();
                if goes_on { Ok(Place::Subresource) } else { Err(ApiError::NotServed) }
            }
            [] => Err(ApiError::NotServed),
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// None for methods that mean nothing here. HEAD and OPTIONS do not, although HEAD is authorized as GET.
    fn of(method: &Method, info: &RequestInfo, place: Place) -> Option<Verb> {
        let collection = matches!(place, Place::Collection | Place::AllNamespaces);
        match (method.as_str(), collection) {
            ("GET", _) if info.watch_prefix => Some(Verb::Watch),
            (_, _) if info.watch_prefix => None,
            ("GET", true) if info.verb == "watch" => Some(Verb::Watch),
            ("GET", true) => Some(Verb::List),
            ("GET", false) => Some(Verb::Get),
            ("POST", _) => Some(Verb::Create),
            ("PUT", false) => Some(Verb::Update),
            ("PATCH", false) => Some(Verb::Patch),
            ("DELETE", true) => Some(Verb::DeleteCollection),
            ("DELETE", false) => Some(Verb::Delete),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }

    fn is_served(self, place: Place, resource: &ServedResource, subresource: Option<&Subresource>) -> bool {
        if let Some(subresource) = subresource {
            return subresource.verbs.iter().any(|verb| verb == self.name());
        }
        let reads = matches!(self, Verb::Get | Verb::List | Verb::Watch);
        let fits = match place {
            Place::AllNamespaces => reads,
            Place::Item => self != Verb::Create,
            Place::Collection | Place::Subresource => true,
        };
        fits && resource.definition.serves(self.name())
    }
}
