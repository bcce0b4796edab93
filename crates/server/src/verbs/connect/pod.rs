//! Pods: which container is meant, and `exec`, `attach` and `portforward` to
//! the kubelet of the node they are on.

use http::Response;
use meta::options::GetOptions;
use meta::{ApiError, GroupResource};
use registry::{AuthorizationAttributes, Authorizer, Decision};
use schema::Value;

use super::options::{self, StreamOptions};
use super::{Target, node, translate, tunnel, upgrade, websocket};
use crate::filters::Exchange;
use crate::respond::Body;
use crate::status::Failure;

/// `exec` and `attach`.
pub async fn run(exchange: &Exchange, target: &Target, command: &str) -> Result<Response<Body>, Failure> {
    let options = StreamOptions::read(&exchange.query);
    ensure_may_create(exchange).await?;
    let pod = find(exchange, target, &target.name).await?;
    let container = container(&pod, &options.container, &target.name)?;
    let kubelet = node::kubelet(exchange, target, host(&pod, &target.name)?).await?;
    let path = format!("/{command}/{}/{}/{container}", exchange.context.namespace, target.name);
    let uri = with_query(path, &options.query());
    let channels = exchange.services.kubelets.options.websockets.translate
        && websocket::asks_for(&exchange.parts.headers, |protocol| protocol == translate::PROTOCOL);
    if channels {
        let kind = if kubelet.websockets { "proxied_to_kubelet" } else { "translated_at_apiserver" };
        exchange.services.metrics.websocket_stream(command, kind);
    }
    if channels && !kubelet.websockets {
        return translate::translate(exchange, kubelet.place, uri, options).await;
    }
    upgrade::required(exchange, kubelet.place, uri).await
}

/// `portforward`.
pub async fn port_forward(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let query = options::port_forward(&exchange.query)?;
    ensure_may_create(exchange).await?;
    let pod = find(exchange, target, &target.name).await?;
    let kubelet = node::kubelet(exchange, target, host(&pod, &target.name)?).await?;
    let uri = with_query(format!("/portForward/{}/{}", exchange.context.namespace, target.name), &query);
    let tunneled = exchange.services.kubelets.options.websockets.tunnel
        && websocket::asks_for(&exchange.parts.headers, tunnel::is_tunnel);
    if tunneled {
        let kind = if kubelet.websockets { "proxied_to_kubelet" } else { "tunneled_at_apiserver" };
        exchange.services.metrics.websocket_stream("portforward", kind);
    }
    if tunneled && !kubelet.websockets {
        return tunnel::tunnel(exchange, kubelet.place, uri).await;
    }
    upgrade::required(exchange, kubelet.place, uri).await
}

fn with_query(path: String, query: &str) -> String {
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

/// The pod, decoded.
pub async fn find(exchange: &Exchange, target: &Target, name: &str) -> Result<Value, Failure> {
    let store = target.store()?;
    let object = store.get(&exchange.context, name, &GetOptions::default()).await?;
    Ok(store.decode(&object)?)
}

fn host<'a>(pod: &'a Value, name: &str) -> Result<&'a str, Failure> {
    let node = pod.str_at(&["spec", "nodeName"]).filter(|node| !node.is_empty());
    node.ok_or_else(|| Failure::bad_request(format!("pod {name} does not have a host assigned")))
}

/// The container asked for, or the only one.
pub fn container(pod: &Value, asked: &str, name: &str) -> Result<String, Failure> {
    let names_of = |list| -> Vec<&str> {
        pod.list_at(&["spec", list]).iter().filter_map(|container| container.str_at(&["name"])).collect()
    };
    let containers = names_of("containers");
    let (init, ephemeral) = (names_of("initContainers"), names_of("ephemeralContainers"));
    if !asked.is_empty() {
        let known = [containers, init, ephemeral].iter().any(|names| names.contains(&asked));
        let unknown = || Failure::bad_request(format!("container {asked} is not valid for pod {name}"));
        return known.then(|| asked.to_owned()).ok_or_else(unknown);
    }
    // kubectl's choice, where the pod names one, is kubectl's own business.
    let mut text = match containers[..] {
        [only] => return Ok(only.to_owned()),
        [] => format!("a container name must be specified for pod {name}"),
        _ => {
            let choice = containers.join(" ");
            format!("a container name must be specified for pod {name}, choose one of: [{choice}]")
        }
    };
    if !init.is_empty() {
        text += &format!(" or one of the init containers: [{}]", init.join(" "));
    }
    if !ephemeral.is_empty() {
        text += &format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" "));
    }
    Err(Failure::bad_request(text))
}

/// WebSockets begin with a GET, SPDY with a POST. Who may only get must not
/// run commands by choosing the other protocol.
async fn ensure_may_create(exchange: &Exchange) -> Result<(), ApiError> {
    let asked = exchange.authorization();
    if asked.verb == "create" {
        return Ok(());
    }
    may_create(&*exchange.services.authorizer, &asked).await
}

async fn may_create(
    authorizer: &dyn Authorizer,
    asked: &AuthorizationAttributes<'_>,
) -> Result<(), ApiError> {
    let attributes = AuthorizationAttributes { verb: "create", ..*asked };
    let reason = match authorizer.authorize(&attributes).await {
        Decision::Allow(_) => return Ok(()),
        Decision::NoOpinion(reason) | Decision::Deny(reason) => reason,
    };
    let resource = GroupResource::new(asked.group.to_owned(), asked.resource.to_owned());
    Err(ApiError::Forbidden { resource, name: asked.name.to_owned(), message: reason, causes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(pod: &str, asked: &str) -> Result<String, String> {
        let pod = codec::json::decode_any(pod.as_bytes()).expect("JSON");
        let message = |failure| crate::status::Status::of_failure(&failure).expect("a Status").message;
        container(&pod, asked, "p").map_err(message)
    }

    /// Allows to get and nothing else.
    struct Reader;

    #[async_trait::async_trait]
    impl Authorizer for Reader {
        async fn authorize(&self, attributes: &AuthorizationAttributes<'_>) -> Decision {
            match attributes.verb {
                "get" => Decision::Allow(String::new()),
                verb => Decision::NoOpinion(format!("no {verb}")),
            }
        }
    }

    #[tokio::test]
    async fn who_may_only_get_does_not_run_commands_over_websockets() {
        let asked = AuthorizationAttributes {
            user: &registry::UserInfo::default(),
            verb: "get",
            resource_request: true,
            namespace: "n",
            group: "",
            version: "v1",
            resource: "pods",
            subresource: "exec",
            name: "p",
            path: "",
        };
        let error = may_create(&Reader, &asked).await.expect_err("forbidden");
        assert_eq!(crate::status::Status::of(&error).message, "pods \"p\" is forbidden: no create");
    }

    #[test]
    fn the_only_container_is_meant_where_none_is_named() {
        let one = r#"{"spec":{"containers":[{"name":"c"}],"initContainers":[{"name":"i"}]}}"#;
        assert_eq!(chosen(one, ""), Ok("c".to_owned()));
        assert_eq!(chosen(one, "i"), Ok("i".to_owned()));
        assert_eq!(chosen(one, "x"), Err("container x is not valid for pod p".to_owned()));
    }

    #[test]
    fn where_there_are_several_the_choice_is_named() {
        let two = r#"{"spec":{"containers":[{"name":"c"},{"name":"d"}],"initContainers":[{"name":"i"}],"ephemeralContainers":[{"name":"e"}]}}"#;
        let expected = "a container name must be specified for pod p, choose one of: [c d] or one of the init containers: [i] or one of the ephemeral containers: [e]";
        assert_eq!(chosen(two, ""), Err(expected.to_owned()));
    }
}
