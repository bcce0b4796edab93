//! Defaults of pods and pod templates.
//!
//! A template gets what every pod spec gets ([`pod_spec`]); a pod gets some
//! more ([`pod`]): requests that follow limits, host ports, service links.

use schema::{Key, Value};

use super::{ensure, items, number, object, pointer, resources, text, volumes};

/// Lists of containers in a pod spec.
pub const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Fills in a pod template, the object that holds a pod's `metadata` and `spec`.
pub fn template(template: &mut Value) {
    pod_spec(ensure(template, "spec"));
}

/// Fills in what every pod spec gets, in a pod or in a template.
pub fn pod_spec(spec: &mut Value) {
    text(spec, "dnsPolicy", "ClusterFirst");
    text(spec, "restartPolicy", "Always");
    text(spec, "schedulerName", "default-scheduler");
    pointer(spec, "securityContext", Value::map());
    pointer(spec, "terminationGracePeriodSeconds", 30);
    service_account_alias(spec);
    for list in CONTAINER_LISTS {
        items(spec, list).for_each(container);
    }
    items(spec, "volumes").for_each(volumes::volume);
    resources::round(spec.get_mut("overhead"));
    resources::round_requirements(spec.get_mut("resources"));
}

/// Fills in a pod beyond its spec's common part.
pub fn pod(spec: &mut Value) {
    pod_spec(spec);
    pointer(spec, "enableServiceLinks", true);
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            if let Some(requirements) = object(container, "resources") {
                resources::requests_from_limits(requirements);
            }
        }
    }
    if spec.bool_at(&["hostNetwork"]) == Some(true) {
        host_ports(spec);
    }
    pod_level_requests(spec);
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are always shown.
fn service_account_alias(spec: &mut Value) {
    let current = spec.str_at(&["serviceAccountName"]).filter(|name| !name.is_empty());
    let name = current.or_else(|| spec.str_at(&["serviceAccount"])).unwrap_or_default().to_owned();
    if !name.is_empty() {
        spec.set(&["serviceAccountName"], name.as_str());
        spec.set(&["serviceAccount"], name);
    }
}

/// A pod in the host's network has its ports on the host.
fn host_ports(spec: &mut Value) {
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            for port in items(container, "ports") {
                let number_of_port = port.int_at(&["containerPort"]).unwrap_or_default();
                if number_of_port != 0 {
                    number(port, "hostPort", number_of_port);
                }
            }
        }
    }
}

/// Resources a pod may ask for as a whole.
const POD_LEVEL: [&str; 2] = ["cpu", "memory"];

/// Requests of the pod as a whole, where it has limits: the sum of its
/// containers' requests where they all have one, else the limit.
fn pod_level_requests(spec: &mut Value) {
    let Some(limits) = spec.map_at(&["resources", "limits"]).filter(|limits| !limits.is_empty()).cloned()
    else {
        return;
    };
    let sums: Vec<_> =
        POD_LEVEL.iter().map(|name| super::super::core::pod_resources::requested(spec, name)).collect();
    let requests = spec.ensure_map(&["resources", "requests"]);
    for (key, limit) in limits {
        let name: Key = key;
        if requests.contains_key(name.as_str()) {
            continue;
        }
        let sum = POD_LEVEL.iter().position(|known| *known == name.as_str()).and_then(|i| sums[i].clone());
        requests.insert(name, sum.map_or(limit, Value::from));
    }
    if requests.is_empty() {
        spec.remove(&["resources", "requests"]);
    }
}

fn container(container: &mut Value) {
    let image = container.str_at(&["image"]).unwrap_or_default().to_owned();
    text(container, "imagePullPolicy", pull_policy(&image));
    text(container, "terminationMessagePath", "/dev/termination-log");
    text(container, "terminationMessagePolicy", "File");
    items(container, "ports").for_each(|port| text(port, "protocol", "TCP"));
    items(container, "env").for_each(environment_variable);
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(target) = object(container, name) {
            probe(target);
        }
    }
    if let Some(lifecycle) = object(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(get) = object(lifecycle, hook).and_then(|handler| object(handler, "httpGet")) {
                http_get(get);
            }
        }
    }
    resources::round_requirements(container.get_mut("resources"));
}

/// An image without a tag, or tagged `latest`, is always pulled.
pub fn pull_policy(image: &str) -> &'static str {
    if tag_of(image) == "latest" { "Always" } else { "IfNotPresent" }
}

/// The tag of an image reference; `latest` if it has neither tag nor digest.
fn tag_of(image: &str) -> &str {
    let (name, digest) = image.split_once('@').map_or((image, ""), |(name, digest)| (name, digest));
    // A colon before the last slash belongs to the registry's port.
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag,
        None if digest.is_empty() && !image.is_empty() => "latest",
        None => "",
    }
}

fn environment_variable(variable: &mut Value) {
    if let Some(source) = object(variable, "valueFrom") {
        if let Some(field) = object(source, "fieldRef") {
            text(field, "apiVersion", "v1");
        }
        if let Some(file) = object(source, "fileKeyRef") {
            pointer(file, "optional", false);
        }
    }
}

fn probe(probe: &mut Value) {
    number(probe, "timeoutSeconds", 1);
    number(probe, "periodSeconds", 10);
    number(probe, "successThreshold", 1);
    number(probe, "failureThreshold", 3);
    if let Some(get) = object(probe, "httpGet") {
        http_get(get);
    }
    if let Some(grpc) = object(probe, "grpc") {
        pointer(grpc, "service", "");
    }
}

fn http_get(get: &mut Value) {
    text(get, "path", "/");
    text(get, "scheme", "HTTP");
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    fn spec_of(container: Map) -> Value {
        Value::from(Map::from([("containers", vec![container])]))
    }

    #[test]
    fn images_without_a_fixed_tag_are_always_pulled() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("registry:5000/nginx", "Always"),
            ("registry:5000/nginx:1", "IfNotPresent"),
            ("nginx@sha256:0123", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }

    #[test]
    fn defaults_of_a_template_do_not_change_when_applied_again() {
        let mut spec = spec_of(Map::from([("name", "c"), ("image", "nginx:1.27")]));
        pod_spec(&mut spec);
        let once = spec.clone();
        pod_spec(&mut spec);
        assert_eq!(spec, once);
        assert_eq!(spec.str_at(&["restartPolicy"]), Some("Always"));
        assert_eq!(spec.int_at(&["terminationGracePeriodSeconds"]), Some(30));
        assert!(spec.at(&["enableServiceLinks"]).is_none(), "only pods get service links");
        let container = &spec.list_at(&["containers"])[0];
        assert_eq!(container.str_at(&["terminationMessagePolicy"]), Some("File"));
    }

    #[test]
    fn a_pod_in_the_host_network_has_its_ports_there() {
        let port = Map::from([("containerPort", 80)]);
        let mut spec = spec_of(Map::from([("ports", vec![port])]));
        spec.set(&["hostNetwork"], true);
        pod(&mut spec);
        let container = &spec.list_at(&["containers"])[0];
        assert_eq!(container.list_at(&["ports"])[0].int_at(&["hostPort"]), Some(80));
    }

    #[test]
    fn both_names_of_the_service_account_are_set() {
        let mut spec = Value::from(Map::from([("serviceAccount", "sa")]));
        pod_spec(&mut spec);
        assert_eq!(spec.str_at(&["serviceAccountName"]), Some("sa"));
    }

    #[test]
    fn a_probe_asks_the_root_over_http() {
        let mut spec =
            spec_of(Map::from([("livenessProbe", Map::from([("httpGet", Map::from([("port", 80)]))]))]));
        pod_spec(&mut spec);
        let probe = spec.list_at(&["containers"])[0].at(&["livenessProbe"]).expect("still there");
        assert_eq!(probe.str_at(&["httpGet", "path"]), Some("/"));
        assert_eq!(probe.int_at(&["failureThreshold"]), Some(3));
    }
}
