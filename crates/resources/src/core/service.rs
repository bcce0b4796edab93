//! `services`: a stable address for a set of pods. Stored under `services/specs`.
//!
//! Addresses, families and node ports are filled in before this strategy is
//! asked (`service_allocation`): they must be unique over all services, and a
//! strategy sees one object.

use std::collections::BTreeSet;

use meta::validation::NameValidation;
use meta::{FieldErrors, FieldPath, GroupVersionKind, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::{Map, Value};

use super::addresses::{cidr_warnings, ip_warning};
use super::service_validation;
use crate::{defaults, print};

/// `services`.
pub fn definition() -> ResourceDef {
    let proxy = GroupVersionKind::new("", "v1", "ServiceProxyOptions");
    let resource = ResourceDef {
        short_names: vec!["svc".into()],
        categories: vec!["all".into()],
        subresources: vec![
            Subresource::connect("proxy", proxy, &["create", "delete", "get", "patch", "update"]),
            Subresource::status(),
        ],
        columns: vec![
            Column::name(),
            Column::string("Type"),
            Column::string("Cluster-IP"),
            Column::string("External-IP"),
            Column::string("Port(s)"),
            Column::string("Age"),
            Column::string("Selector").wide(),
        ],
        selectable_fields: vec!["spec.clusterIP".into(), "spec.type".into()],
        name_validation: NameValidation::Dns1123Label,
        create_on_update: true,
        returns_deleted_object: true,
        repeats_metadata_validation: true,
        ..ResourceDef::stored("", "v1", "services", "Service", Service)
    };
    crate::with_prefix(resource, "services/specs")
}

/// Seconds a client sticks to a pod.
const AFFINITY_SECONDS: i64 = 10800;

struct Service;

impl Strategy for Service {
    fn default(&self, object: &mut Value) {
        spec_defaults(defaults::ensure(object, "spec"));
        let balanced = object.str_at(&["spec", "type"]) == Some("LoadBalancer");
        let balancer = object.at_mut(&["status", "loadBalancer"]).filter(|_| balanced);
        for ingress in balancer.into_iter().flat_map(|balancer| defaults::items(balancer, "ingress")) {
            if ingress.str_at(&["ip"]).is_some_and(|ip| !ip.is_empty()) {
                defaults::pointer(ingress, "ipMode", "VIP");
            }
        }
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        object.set(&["status"], Map::from([("loadBalancer", Value::map())]));
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        drop_unused_fields(object, old);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        service_validation::create(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        service_validation::update(object, old)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        service_validation::status(object)
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        warnings(object)
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, _: &Value) -> Vec<String> {
        warnings(object)
    }

    fn field(&self, object: &Value, label: &str) -> String {
        match label {
            "spec.clusterIP" => print::text(object, &["spec", "clusterIP"]),
            "spec.type" => print::text(object, &["spec", "type"]),
            _ => String::new(),
        }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let cluster_ip = object.list_at(&["spec", "clusterIPs"]).first().and_then(Value::as_str);
        vec![
            print.name(object).into(),
            print::text(object, &["spec", "type"]).into(),
            print::or_none(cluster_ip.unwrap_or_default()).into(),
            external_ip(object).into(),
            ports(object).into(),
            print.age(object).into(),
            print::labels(object.map_at(&["spec", "selector"])).into(),
        ]
    }
}

/// What is taken but means nothing, or will not be taken for ever.
fn warnings(object: &Value) -> Vec<String> {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    let mut warnings = Vec::new();
    if ObjectMeta::of(object).annotations().contains_key(HINTS) {
        warnings.push(format!(
            "annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    let Some(spec) = object.at(&["spec"]) else { return warnings };
    let path = FieldPath::root("spec");
    let external = spec.list_at(&["externalIPs"]);
    let headless = service_validation::is_headless(spec);
    let ignored = [
        ("spec.loadBalancerIP", !print::text(spec, &["loadBalancerIP"]).is_empty()),
        ("spec.externalIPs", !external.is_empty()),
        ("spec.SessionAffinity", spec.str_at(&["sessionAffinity"]) == Some("ClientIP")),
    ];
    if headless {
        let ignored = ignored.iter().filter(|(_, given)| *given);
        warnings.extend(ignored.map(|(field, _)| format!("{field} is ignored for headless services")));
    } else {
        addresses(spec.list_at(&["clusterIPs"]), &path.child("clusterIPs"), &mut warnings);
    }
    addresses(external, &path.child("externalIPs"), &mut warnings);
    if let Some(ip) = spec.str_at(&["loadBalancerIP"]) {
        warnings.extend(ip_warning(ip, &path.child("loadBalancerIP")));
    }
    for (i, range) in spec.list_at(&["loadBalancerSourceRanges"]).iter().enumerate() {
        let path = path.child("loadBalancerSourceRanges").index(i);
        warnings.extend(cidr_warnings(range.as_str().unwrap_or_default().trim(), &path));
    }
    if spec.str_at(&["type"]) == Some("ExternalName") && !external.is_empty() {
        warnings.push("spec.externalIPs is ignored when type is \"ExternalName\"".to_owned());
    }
    warnings
}

fn addresses(ips: &[Value], path: &FieldPath, warnings: &mut Vec<String>) {
    for (i, ip) in ips.iter().enumerate() {
        warnings.extend(ip_warning(ip.as_str().unwrap_or_default(), &path.index(i)));
    }
}

fn spec_defaults(spec: &mut Value) {
    defaults::text(spec, "sessionAffinity", "None");
    defaults::text(spec, "type", "ClusterIP");
    if spec.str_at(&["sessionAffinity"]) == Some("None") {
        spec.remove(&["sessionAffinityConfig"]);
    } else if spec.str_at(&["sessionAffinity"]) == Some("ClientIP")
        && spec.at(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"]).is_none_or(Value::is_null)
    {
        spec.set(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"], AFFINITY_SECONDS);
    }
    for port in defaults::items(spec, "ports") {
        defaults::text(port, "protocol", "TCP");
        let target = port.at(&["targetPort"]);
        if matches!(target, None | Some(Value::Null | Value::Int(0)))
            || target.and_then(Value::as_str) == Some("")
        {
            let number = port.int_at(&["port"]).unwrap_or_default();
            port.set(&["targetPort"], number);
        }
    }
    let kind = spec.str_at(&["type"]).unwrap_or_default().to_owned();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") || is_externally_reachable(spec) {
        defaults::text(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        defaults::pointer(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        defaults::pointer(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// A service of its cluster that has external addresses nevertheless.
fn is_externally_reachable(spec: &Value) -> bool {
    spec.str_at(&["type"]) == Some("ClusterIP") && !spec.list_at(&["externalIPs"]).is_empty()
}

/// A load balancer that keeps traffic on the node asks it for its health.
pub(crate) fn needs_health_check(object: &Value) -> bool {
    object.str_at(&["spec", "type"]) == Some("LoadBalancer")
        && object.str_at(&["spec", "externalTrafficPolicy"]) == Some("Local")
}

/// Who needs certain fields, and which.
type Needed = (fn(&Value) -> bool, &'static [&'static str]);

/// Drops what a change has made meaningless, unless the client set it anew.
fn drop_unused_fields(object: &mut Value, old: &Value) {
    let unchanged = |object: &Value, field: &str| object.at(&["spec", field]) == old.at(&["spec", field]);
    let losing: [Needed; 5] = [
        (has_cluster_ip, &["clusterIPs", "ipFamilies", "ipFamilyPolicy"]),
        (needs_health_check, &["healthCheckNodePort"]),
        (is_balanced, &["allocateLoadBalancerNodePorts", "loadBalancerClass"]),
        (is_reachable_from_outside, &["externalTrafficPolicy"]),
        (has_cluster_ip, &["internalTrafficPolicy"]),
    ];
    for (needs, fields) in losing {
        if !needs(old) || needs(object) {
            continue;
        }
        for field in fields {
            if unchanged(object, field) {
                object.remove(&["spec", field]);
                if *field == "clusterIPs" {
                    object.remove(&["spec", "clusterIP"]);
                }
            }
        }
    }
    if has_node_ports(old) && !has_node_ports(object) && node_ports(object) == node_ports(old) {
        let spec = defaults::object(object, "spec");
        for port in spec.into_iter().flat_map(|spec| defaults::items(spec, "ports")) {
            port.remove(&["nodePort"]);
        }
    }
    if is_balanced(old) && !is_balanced(object) {
        object.set(&["status", "loadBalancer"], Value::map());
    }
}

fn node_ports(object: &Value) -> BTreeSet<i64> {
    let ports = object.list_at(&["spec", "ports"]).iter();
    ports.map(|port| print::int(port, &["nodePort"])).filter(|port| *port != 0).collect()
}

fn has_cluster_ip(object: &Value) -> bool {
    object.str_at(&["spec", "type"]) != Some("ExternalName")
}

fn has_node_ports(object: &Value) -> bool {
    matches!(object.str_at(&["spec", "type"]), Some("NodePort" | "LoadBalancer"))
}

fn is_balanced(object: &Value) -> bool {
    object.str_at(&["spec", "type"]) == Some("LoadBalancer")
}

fn is_reachable_from_outside(object: &Value) -> bool {
    has_node_ports(object) || object.get("spec").is_some_and(is_externally_reachable)
}

fn external_ip(object: &Value) -> String {
    let listed = |values: &[Value]| values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
    let external = listed(object.list_at(&["spec", "externalIPs"]));
    match object.str_at(&["spec", "type"]).unwrap_or_default() {
        "ClusterIP" | "NodePort" => print::or_none(&external),
        "LoadBalancer" => {
            let balanced: BTreeSet<&str> = object
                .list_at(&["status", "loadBalancer", "ingress"])
                .iter()
                .filter_map(|ingress| {
                    let text = |key: &str| ingress.str_at(&[key]).filter(|text| !text.is_empty());
                    text("ip").or_else(|| text("hostname"))
                })
                .collect();
            let balanced = balanced.into_iter().collect::<Vec<_>>().join(",");
            match (balanced.is_empty(), external.is_empty()) {
                (true, true) => "<pending>".to_owned(),
                (true, false) => external,
                (false, true) => balanced,
                (false, false) => format!("{balanced},{external}"),
            }
        }
        "ExternalName" => print::text(object, &["spec", "externalName"]),
        _ => "<unknown>".to_owned(),
    }
}

fn ports(object: &Value) -> String {
    let text = |port: &Value| {
        let (number, protocol) = (print::int(port, &["port"]), print::text(port, &["protocol"]));
        match print::int(port, &["nodePort"]) {
            0 => format!("{number}/{protocol}"),
            node => format!("{number}:{node}/{protocol}"),
        }
    };
    print::or_none(&object.list_at(&["spec", "ports"]).iter().map(text).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Map) -> Value {
        let mut object = Value::from(Map::from([("spec", spec)]));
        Service.default(&mut object);
        object
    }

    #[test]
    fn a_port_leads_to_the_same_port_over_tcp() {
        let object = service(Map::from([("ports", vec![Map::from([("port", 80)])])]));
        let port = &object.list_at(&["spec", "ports"])[0];
        assert_eq!(port.int_at(&["targetPort"]), Some(80));
        assert_eq!(port.str_at(&["protocol"]), Some("TCP"));
        assert_eq!(object.str_at(&["spec", "internalTrafficPolicy"]), Some("Cluster"));
        assert!(object.at(&["spec", "externalTrafficPolicy"]).is_none());
    }

    #[test]
    fn a_change_of_type_drops_what_it_makes_meaningless_unless_it_is_set_anew() {
        let mut old = service(Map::from([("type", "LoadBalancer")]));
        old.set(&["spec", "clusterIP"], "10.0.0.5");
        old.set(&["spec", "clusterIPs"], vec!["10.0.0.5"]);
        old.set(&["spec", "ports"], vec![Map::from([("port", 80), ("nodePort", 30001)])]);
        let mut new = old.clone();
        new.set(&["spec", "type"], "ExternalName");
        drop_unused_fields(&mut new, &old);
        let left: Vec<&str> = new.map_at(&["spec"]).expect("a spec").keys().collect();
        assert_eq!(left, ["ports", "sessionAffinity", "type"]);
        assert!(new.list_at(&["spec", "ports"])[0].get("nodePort").is_none());

        let mut new = old.clone();
        new.set(&["spec", "type"], "ExternalName");
        new.set(&["spec", "clusterIPs"], vec!["10.0.0.6"]);
        drop_unused_fields(&mut new, &old);
        assert_eq!(new.list_at(&["spec", "clusterIPs"]), [Value::from("10.0.0.6")]);
    }

    #[test]
    fn a_policy_that_needs_no_health_check_drops_its_port() {
        let mut old = service(Map::from([("type", "LoadBalancer"), ("externalTrafficPolicy", "Local")]));
        old.set(&["spec", "healthCheckNodePort"], 30001);
        let mut new = old.clone();
        new.set(&["spec", "externalTrafficPolicy"], "Cluster");
        drop_unused_fields(&mut new, &old);
        assert!(new.at(&["spec", "healthCheckNodePort"]).is_none());
    }

    #[test]
    fn a_balanced_service_waits_for_its_address() {
        let mut object = service(Map::from([("type", "LoadBalancer")]));
        assert_eq!(external_ip(&object), "<pending>");
        object.set(&["status", "loadBalancer", "ingress"], vec![Map::from([("ip", "192.0.2.5")])]);
        assert_eq!(external_ip(&object), "192.0.2.5");
    }
}
