//! `services`: a stable address for a set of pods. Stored under `services/specs`.
//!
//! Addresses and node ports are handed out by an allocator above this file:
//! they must be unique over all services, and a strategy sees one object.

use std::collections::BTreeSet;

use meta::validation::NameValidation;
use meta::{FieldErrors, GroupVersionKind};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::{Map, Value};

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
        addresses_of_new(object);
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        keep_addresses(object, old);
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

/// Single and plural form of the address agree; one without an address says
/// which families it is for.
fn addresses_of_new(object: &mut Value) {
    if object.str_at(&["spec", "type"]) == Some("ExternalName") {
        return;
    }
    let single = print::text(object, &["spec", "clusterIP"]);
    if !single.is_empty() && object.list_at(&["spec", "clusterIPs"]).is_empty() {
        object.set(&["spec", "clusterIPs"], vec![single.as_str()]);
    }
    if single != "None" {
        return;
    }
    // Without a selector nobody knows the addresses behind it: they may be of any family.
    let anything = object.map_at(&["spec", "selector"]).is_none_or(Map::is_empty);
    let Some(spec) = defaults::object(object, "spec") else { return };
    let (policy, families): (_, &[&str]) =
        if anything { ("RequireDualStack", &["IPv4", "IPv6"]) } else { ("SingleStack", &["IPv4"]) };
    if defaults::is_empty(spec.get("ipFamilies")) {
        defaults::pointer(spec, "ipFamilyPolicy", policy);
        spec.set(&["ipFamilies"], families.to_vec());
    }
    defaults::pointer(spec, "ipFamilyPolicy", policy);
}

/// What a client may leave out of an update keeps what was given out before.
fn keep_addresses(object: &mut Value, old: &Value) {
    let kind = |service: &Value| print::text(service, &["spec", "type"]);
    if kind(old) == "ExternalName" || kind(object) == "ExternalName" {
        return;
    }
    single_leads(object, old);
    let single = print::text(object, &["spec", "clusterIP"]);
    let plural_empty = object.list_at(&["spec", "clusterIPs"]).is_empty();
    let old_single = print::text(old, &["spec", "clusterIP"]);
    if single.is_empty() && plural_empty {
        for field in ["clusterIP", "clusterIPs"] {
            copy(object, old, field);
        }
    } else if plural_empty && single == old_single {
        copy(object, old, "clusterIPs");
    } else if single.is_empty() {
        let plural = object.at(&["spec", "clusterIPs"]);
        if plural == old.at(&["spec", "clusterIPs"]) {
            copy(object, old, "clusterIP");
        }
    }
    for field in ["ipFamilies", "ipFamilyPolicy"] {
        if defaults::is_empty(object.at(&["spec", field])) {
            copy(object, old, field);
        }
    }
    keep_node_ports(object, old);
}

/// A client that knows only the single form and changes it changes the first of the plural form.
fn single_leads(object: &mut Value, old: &Value) {
    let single = |service: &Value| print::text(service, &["spec", "clusterIP"]);
    let plural = |service: &Value| service.list_at(&["spec", "clusterIPs"]).to_vec();
    if single(object) == single(old) || plural(object) != plural(old) {
        return;
    }
    match single(object) {
        empty if empty.is_empty() => drop(object.remove(&["spec", "clusterIPs"])),
        changed => object.set(&["spec", "clusterIPs"], vec![changed]),
    }
}

fn copy(object: &mut Value, old: &Value, field: &'static str) {
    if let Some(value) = old.at(&["spec", field]) {
        object.set(&["spec", field], value.clone());
    }
}

fn keep_node_ports(object: &mut Value, old: &Value) {
    let wants = |service: &Value| {
        matches!(service.str_at(&["spec", "type"]), Some("NodePort" | "LoadBalancer"))
            && service.bool_at(&["spec", "allocateLoadBalancerNodePorts"]) != Some(false)
    };
    if !wants(object) || !wants(old) {
        return;
    }
    if defaults::number_at(object, &["spec", "healthCheckNodePort"]) == 0 && needs_health_check(object) {
        copy(object, old, "healthCheckNodePort");
    }
    let same = |a: &Value, b: &Value| {
        let port = |port: &Value| (print::text(port, &["protocol"]), print::int(port, &["port"]));
        port(a) == port(b)
    };
    let taken: Vec<i64> =
        object.list_at(&["spec", "ports"]).iter().map(|port| print::int(port, &["nodePort"])).collect();
    let Some(spec) = defaults::object(object, "spec") else { return };
    for port in defaults::items(spec, "ports").filter(|port| print::int(port, &["nodePort"]) == 0) {
        let before = old.list_at(&["spec", "ports"]).iter().find(|old| same(old, port));
        let number = before.map_or(0, |old| print::int(old, &["nodePort"]));
        if number != 0 && !taken.contains(&number) {
            port.set(&["nodePort"], number);
        }
    }
}

/// A load balancer that keeps traffic on the node asks it for its health.
pub(crate) fn needs_health_check(object: &Value) -> bool {
    object.str_at(&["spec", "type"]) == Some("LoadBalancer")
        && object.str_at(&["spec", "externalTrafficPolicy"]) == Some("Local")
}

/// Drops what a change of type has made meaningless, unless the client set it anew.
fn drop_unused_fields(object: &mut Value, old: &Value) {
    let was = print::text(old, &["spec", "type"]);
    let is = print::text(object, &["spec", "type"]);
    if was == is || was.is_empty() {
        return;
    }
    let unchanged = |object: &Value, field: &str| object.at(&["spec", field]) == old.at(&["spec", field]);
    let loses = |needs: &[&str]| needs.contains(&was.as_str()) && !needs.contains(&is.as_str());
    let clustered: &[&str] = &["ClusterIP", "NodePort", "LoadBalancer"];
    let external: &[&str] = &["NodePort", "LoadBalancer"];
    let balanced: &[&str] = &["LoadBalancer"];
    let dropped: [(&[&str], &[&str]); 3] = [
        (clustered, &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]),
        (external, &["externalTrafficPolicy"]),
        (balanced, &["healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"]),
    ];
    for (needs, fields) in dropped {
        for field in fields.iter().filter(|_| loses(needs)) {
            if unchanged(object, field) {
                object.remove(&["spec", field]);
            }
        }
    }
    if loses(external) {
        drop_node_ports(object, old);
    }
    if loses(balanced) {
        object.set(&["status", "loadBalancer"], Value::map());
    }
}

fn drop_node_ports(object: &mut Value, old: &Value) {
    let before: BTreeSet<i64> =
        old.list_at(&["spec", "ports"]).iter().map(|port| print::int(port, &["nodePort"])).collect();
    let Some(spec) = defaults::object(object, "spec") else { return };
    for port in defaults::items(spec, "ports") {
        if before.contains(&print::int(port, &["nodePort"])) {
            port.remove(&["nodePort"]);
        }
    }
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
    fn an_update_that_leaves_the_address_out_keeps_it() {
        let old = service(Map::from([
            ("clusterIP", Value::from("10.0.0.5")),
            ("clusterIPs", vec!["10.0.0.5"].into()),
        ]));
        let mut new = service(Map::new());
        keep_addresses(&mut new, &old);
        assert_eq!(new.str_at(&["spec", "clusterIP"]), Some("10.0.0.5"));
        assert_eq!(new.list_at(&["spec", "clusterIPs"]), [Value::from("10.0.0.5")]);
    }

    #[test]
    fn a_balanced_service_waits_for_its_address() {
        let mut object = service(Map::from([("type", "LoadBalancer")]));
        assert_eq!(external_ip(&object), "<pending>");
        object.set(&["status", "loadBalancer", "ingress"], vec![Map::from([("ip", "192.0.2.5")])]);
        assert_eq!(external_ip(&object), "192.0.2.5");
    }
}
