//! Streams to other servers (`log`, `exec`, `attach`, `portforward`, `proxy`).
//! No kubelet is reached from here: the answers are those the original gives
//! before it would connect to one.

use http::{Response, StatusCode};
use meta::ApiError;
use meta::options::GetOptions;
use schema::Value;

use super::Target;
use crate::filters::Exchange;
use crate::respond::{self, Body};
use crate::status::Failure;

/// Answers as far as that is possible without the other server.
pub async fn connect(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let subresource =
        target.subresource.as_ref().map(|subresource| subresource.name.as_ref()).unwrap_or_default();
    let store = target.store()?;
    let object = store.get(&exchange.context, &target.name, &GetOptions::default()).await?;
    let pod = store.decode(&object)?;
    if target.resource.definition.kind != "Pod" {
        return Err(ApiError::ServiceUnavailable(format!("no way to connect to {}", target.name)).into());
    }
    check_container(&pod, exchange.query.text("container"), &target.name, subresource)?;
    let node = pod.str_at(&["spec", "nodeName"]).unwrap_or_default();
    match (node, subresource) {
        ("", "log") => {
            let mut response = respond::bytes(StatusCode::NO_CONTENT, "text/plain", "");
            response.headers_mut().remove(http::header::CONTENT_TYPE);
            Ok(response)
        }
        ("", _) => Err(Failure::bad_request(format!("pod {} does not have a host assigned", target.name))),
        // The original looks the node up under the request's own resource, and says so.
        (node, _) => Err(ApiError::not_found(&target.resource.definition.group_resource(), node).into()),
    }
}

/// Refuses a container the pod does not have, and asks for one where there are several.
fn check_container(pod: &Value, asked: &str, name: &str, subresource: &str) -> Result<(), Failure> {
    if !matches!(subresource, "log" | "exec" | "attach") {
        return Ok(());
    }
    let of = |list| pod.list_at(&["spec", list]).iter().filter_map(|container| container.str_at(&["name"]));
    let known: Vec<&str> =
        of("containers").chain(of("initContainers")).chain(of("ephemeralContainers")).collect();
    if !asked.is_empty() && !known.contains(&asked) {
        return Err(Failure::bad_request(format!("container {asked} is not valid for pod {name}")));
    }
    Ok(())
}
