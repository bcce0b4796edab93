//! Streams to other servers (`log`, `exec`, `attach`, `portforward`, `proxy`).
//! No kubelet is reached from here: the answers are those the original gives
//! before it would connect to one.

use http::{Response, StatusCode};
use meta::options::GetOptions;
use meta::{ApiError, FieldError, FieldErrors, FieldPath, GroupKind};
use schema::Value;

use super::Target;
use crate::filters::Exchange;
use crate::query::{Query, parse_int};
use crate::respond::{self, Body};
use crate::status::Failure;

/// Answers as far as that is possible without the other server.
pub async fn connect(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let subresource =
        target.subresource.as_ref().map(|subresource| subresource.name.as_ref()).unwrap_or_default();
    if subresource == "log" {
        check_log_options(&exchange.query, &target.name)?;
    }
    let store = target.store()?;
    let name = if subresource == "proxy" { name_without_port(&target.name) } else { &target.name };
    let object = store.get(&exchange.context, name, &GetOptions::default()).await?;
    if target.resource.definition.kind != "Pod" {
        return Err(ApiError::ServiceUnavailable(format!("no way to connect to {}", target.name)).into());
    }
    let pod = store.decode(&object)?;
    check_container(&pod, exchange.query.text("container"), &target.name, subresource)?;
    let node = pod.str_at(&["spec", "nodeName"]).unwrap_or_default();
    match (node, subresource) {
        (_, "proxy") => Err(Failure::bad_request("address not allowed")),
        ("", "log") => Ok(no_content()),
        ("", _) => Err(Failure::bad_request(format!("pod {} does not have a host assigned", target.name))),
        // The original looks the node up under the request's own resource, and says so.
        (node, _) => Err(ApiError::not_found(&target.resource.definition.group_resource(), node).into()),
    }
}

/// `[scheme:]name[:port]`, as a proxied object may be named.
fn name_without_port(name: &str) -> &str {
    let name = name.strip_prefix("http:").or_else(|| name.strip_prefix("https:")).unwrap_or(name);
    name.split(':').next().unwrap_or_default()
}

fn no_content() -> Response<Body> {
    let mut response = Response::new(respond::full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Refuses a container the pod does not have, and asks for one where there are several.
fn check_container(pod: &Value, asked: &str, name: &str, subresource: &str) -> Result<(), Failure> {
    if !matches!(subresource, "log" | "exec" | "attach") {
        return Ok(());
    }
    let names_of = |list| -> Vec<&str> {
        pod.list_at(&["spec", list]).iter().filter_map(|container| container.str_at(&["name"])).collect()
    };
    let containers = names_of("containers");
    let (init, ephemeral) = (names_of("initContainers"), names_of("ephemeralContainers"));
    if asked.is_empty() {
        // kubectl's choice, where the pod names one, is kubectl's own business.
        if containers.len() == 1 {
            return Ok(());
        }
        let mut text = format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            containers.join(" ")
        );
        if !init.is_empty() {
            text += &format!(" or one of the init containers: [{}]", init.join(" "));
        }
        if !ephemeral.is_empty() {
            text += &format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" "));
        }
        return Err(Failure::bad_request(text));
    }
    if [containers, init, ephemeral].iter().any(|names| names.contains(&asked)) {
        return Ok(());
    }
    Err(Failure::bad_request(format!("container {asked} is not valid for pod {name}")))
}

/// Reads and checks `PodLogOptions`.
fn check_log_options(query: &Query, name: &str) -> Result<(), Failure> {
    let number = |key: &str| {
        query.get(key).map(parse_int).transpose().map_err(|error| Failure::bad_request(error.to_string()))
    };
    let (tail, since) = (number("tailLines")?, number("sinceSeconds")?);
    let limit = number("limitBytes")?;
    let mut errors = FieldErrors::new();
    let mut invalid = |field: &str, value: i64, detail: &str| {
        errors.push(FieldError::invalid(&FieldPath::root(field), &Value::Int(value), detail));
    };
    if let Some(lines) = tail.filter(|lines| *lines < 0) {
        invalid("tailLines", lines, "must be greater than or equal to 0");
    }
    if let Some(bytes) = limit.filter(|bytes| *bytes < 1) {
        invalid("limitBytes", bytes, "must be greater than 0");
    }
    match (since, query.get("sinceTime").filter(|time| !time.is_empty())) {
        (Some(_), Some(_)) => errors.push(FieldError::forbidden(
            // How the original prints the path of the options themselves.
            &FieldPath::root("[]"),
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        )),
        (Some(seconds), None) if seconds < 1 => {
            let path = FieldPath::root("sinceSeconds");
            errors.push(FieldError::invalid(&path, &Value::Int(seconds), "must be greater than 0"));
        }
        _ => {}
    }
    if query.get("stream").is_some() {
        // Behind a feature gate of the original that is off.
        errors.push(FieldError::forbidden(&FieldPath::root("stream"), "may not be specified"));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let kind = GroupKind { group: "".into(), kind: "PodLogOptions".into() };
    Err(ApiError::invalid(kind, name, errors).into())
}
