//! Validation of services. What is taken and what is free is not known here.

use std::collections::BTreeSet;

use meta::field::FieldErrorType;
use meta::validation::{is_dns1123_label, is_dns1123_subdomain, validate_labels};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::service::needs_health_check;
use crate::{check, print, validation};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const ONCE: &str = "may not change once set";
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// Longest session affinity, a day, in seconds.
const AFFINITY_SECONDS_MAX: i64 = 86400;

/// A new service.
pub(super) fn create(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let Some(spec) = object.at(&["spec"]) else { return errors };
    let path = FieldPath::root("spec");
    let kind = check::text(spec, &["type"]);
    if spec.list_at(&["ports"]).is_empty() && kind != "ExternalName" && !is_headless(spec) {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    by_type(spec, kind, &path, &mut errors);
    ports(spec, kind, &path.child("ports"), &mut errors);
    if let Some(selector) = spec.map_at(&["selector"]) {
        errors.extend(validate_labels(selector, &path.child("selector")));
    }
    affinity(spec, &path, &mut errors);
    errors.extend(cluster_ips(spec));
    for (i, ip) in spec.list_at(&["externalIPs"]).iter().enumerate() {
        validation::ip(&mut errors, &path.child("externalIPs").index(i), ip.as_str().unwrap_or_default());
    }
    check::one_of(&mut errors, &path.child("type"), kind, &TYPES);
    load_balancer(spec, kind, &path, &mut errors);
    traffic(object, spec, &path, &mut errors);
    errors
}

/// A changed service.
pub(super) fn update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let kinds = [object, old].map(|service| check::text(service, &["spec", "type"]));
    if !kinds.contains(&"ExternalName") {
        changed_addresses(object, old, &mut errors);
        changed_families(object, old, &mut errors);
    }
    if kinds == ["LoadBalancer"; 2] {
        let class = |service: &Value| service.at(&["spec", "loadBalancerClass"]).cloned();
        if class(object) != class(old) {
            let shown = class(object).unwrap_or_default();
            let path = FieldPath::root("spec").child("loadBalancerClass");
            errors.push(FieldError::invalid(&path, &shown, ONCE));
        }
    }
    let health = |service: &Value| print::int(service, &["spec", "healthCheckNodePort"]);
    if needs_health_check(old) && needs_health_check(object) && health(old) != health(object) {
        let path = FieldPath::root("spec").child("healthCheckNodePort");
        errors.push(FieldError::forbidden(&path, "field is immutable"));
    }
    errors.extend(create(object));
    errors
}

/// A second address may come and go; the first stays.
fn changed_addresses(object: &Value, old: &Value, errors: &mut FieldErrors) {
    let of = |service| texts(spec_of(service), "clusterIPs");
    let (now, before) = (of(object), of(old));
    if now == ["None"] && before == ["None"] {
        return;
    }
    let path = FieldPath::root("spec").child("clusterIPs");
    let shown = object.at(&["spec", "clusterIPs"]).unwrap_or(&Value::Null);
    let same_length = now.len() == before.len();
    for (i, (now, before)) in now.iter().zip(&before).enumerate() {
        if now != before && (i == 0 || same_length) {
            errors.push(FieldError::invalid(&path.index(i), shown, ONCE));
        }
    }
    if now.is_empty() && !before.is_empty() {
        errors.push(FieldError::invalid(&path.index(0), shown, "primary clusterIP can not be unset"));
    }
    if now.len() < before.len() {
        must_be_single(object, &now, "clusterIP", errors);
    }
}

/// The same of families, which headless services may change.
fn changed_families(object: &Value, old: &Value, errors: &mut FieldErrors) {
    if is_headless(spec_of(object)) || is_headless(spec_of(old)) {
        return;
    }
    let of = |service| texts(spec_of(service), "ipFamilies");
    let (now, before) = (of(object), of(old));
    let path = FieldPath::root("spec").child("ipFamilies").index(0);
    let shown = |field| object.at(&["spec", field]).unwrap_or(&Value::Null);
    if now.len() == before.len() {
        for _ in now.iter().zip(&before).filter(|(now, before)| now != before) {
            errors.push(FieldError::invalid(&path, shown("ipFamilies"), ONCE));
        }
        return;
    }
    if now.len() < before.len() && texts(spec_of(object), "clusterIPs").is_empty() {
        errors.push(FieldError::invalid(&path, shown("ipFamilies"), "primary ipFamily can not be unset"));
    }
    if now.first().zip(before.first()).is_some_and(|(now, before)| now != before) {
        // The original shows the addresses here.
        errors.push(FieldError::invalid(&path, shown("clusterIPs"), ONCE));
    }
    if now.len() < before.len() {
        must_be_single(object, &now, "ipFamily", errors);
    }
}

fn must_be_single(object: &Value, now: &[&str], what: &str, errors: &mut FieldErrors) {
    let policy = check::text(object, &["spec", "ipFamilyPolicy"]);
    if now.len() == 1 && policy != "SingleStack" {
        let path = FieldPath::root("spec").child("ipFamilyPolicy");
        let detail = format!("must be set to 'SingleStack' when releasing the secondary {what}");
        errors.push(FieldError::invalid_str(&path, policy, detail));
    }
}

fn spec_of(service: &Value) -> &Value {
    service.get("spec").unwrap_or(&Value::Null)
}

/// A changed status.
pub(super) fn status(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let path = FieldPath::root("status").child("loadBalancer").child("ingress");
    for (i, ingress) in object.list_at(&["status", "loadBalancer", "ingress"]).iter().enumerate() {
        let ip = check::text(ingress, &["ip"]);
        if !ip.is_empty() {
            validation::ip(&mut errors, &path.index(i).child("ip"), ip);
        }
        let hostname = check::text(ingress, &["hostname"]);
        if !hostname.is_empty() {
            check::messages(
                &mut errors,
                &path.index(i).child("hostname"),
                hostname,
                is_dns1123_subdomain(hostname),
            );
        }
    }
    errors
}

fn is_headless(spec: &Value) -> bool {
    spec.list_at(&["clusterIPs"]).first().and_then(Value::as_str) == Some("None")
        || check::text(spec, &["clusterIP"]) == "None"
}

fn by_type(spec: &Value, kind: &str, path: &FieldPath, errors: &mut FieldErrors) {
    match kind {
        "ExternalName" => {
            let detail = "may not be set for ExternalName services";
            if !spec.list_at(&["clusterIPs"]).is_empty() {
                errors.push(FieldError::forbidden(&path.child("clusterIPs"), detail));
            }
            if !spec.list_at(&["ipFamilies"]).is_empty() {
                errors.push(FieldError::forbidden(&path.child("ipFamilies"), detail));
            }
            if spec.str_at(&["ipFamilyPolicy"]).is_some() {
                errors.push(FieldError::forbidden(&path.child("ipFamilyPolicy"), detail));
            }
            let name = check::text(spec, &["externalName"]);
            if check::required(errors, &path.child("externalName"), name) {
                let bare = name.strip_suffix('.').unwrap_or(name);
                check::messages(errors, &path.child("externalName"), name, is_dns1123_subdomain(bare));
            }
        }
        "LoadBalancer" | "NodePort" => exposed(spec, kind, path, errors),
        _ => {}
    }
}

/// Port of the kubelet, which a load balancer must not cover up.
const KUBELET_PORT: i64 = 10250;

fn exposed(spec: &Value, kind: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let ports = spec.list_at(&["ports"]).iter().enumerate().filter(|_| kind == "LoadBalancer");
    for (i, _) in ports.filter(|(_, port)| print::int(port, &["port"]) == KUBELET_PORT) {
        let detail = format!("may not expose port {KUBELET_PORT} externally since it is used by kubelet");
        errors.push(FieldError::invalid(&path.child("ports").index(i), &KUBELET_PORT.into(), detail));
    }
    if is_headless(spec) {
        let detail = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid_str(&path.child("clusterIPs").index(0), "None", detail));
    }
}

fn ports(spec: &Value, kind: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let list = spec.list_at(&["ports"]);
    let mut names = BTreeSet::new();
    for (i, port) in list.iter().enumerate() {
        one_port(port, list.len() > 1, &mut names, &path.index(i), errors);
    }
    let mut pairs = BTreeSet::new();
    for (i, port) in list.iter().enumerate() {
        let node_port = print::int(port, &["nodePort"]);
        if kind == "ClusterIP" && node_port != 0 {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(&path.index(i).child("nodePort"), detail));
        }
        let number = print::int(port, &["port"]);
        if !pairs.insert((check::text(port, &["protocol"]), number)) {
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":\"{}\",\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}",
                check::text(port, &["protocol"])
            );
            errors.push(FieldError::new(FieldErrorType::Duplicate, &path.index(i), shown, ""));
        }
    }
}

fn one_port<'a>(
    port: &'a Value,
    name_required: bool,
    names: &mut BTreeSet<&'a str>,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    let name = check::text(port, &["name"]);
    if name.is_empty() && name_required {
        errors.push(FieldError::required(&path.child("name"), ""));
    } else if !name.is_empty() {
        check::messages(errors, &path.child("name"), name, is_dns1123_label(name));
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
        }
    }
    validation::port_number(errors, &path.child("port"), print::int(port, &["port"]));
    let protocol = check::text(port, &["protocol"]);
    check::required_one_of(errors, &path.child("protocol"), protocol, &PROTOCOLS);
    if let Some(target) = port.at(&["targetPort"]) {
        validation::port_number_or_name(errors, &path.child("targetPort"), target);
    }
    if let Some(protocol) = port.str_at(&["appProtocol"]) {
        validation::qualified_name(errors, &path.child("appProtocol"), protocol);
    }
}

fn affinity(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let affinity = check::text(spec, &["sessionAffinity"]);
    check::required_one_of(errors, &path.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
    if affinity == "ClientIP" {
        let path = path.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds");
        let seconds = print::int(spec, &["sessionAffinityConfig", "clientIP", "timeoutSeconds"]);
        if seconds <= 0 || seconds > AFFINITY_SECONDS_MAX {
            let detail = format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
            errors.push(FieldError::invalid(&path, &seconds.into(), detail));
        }
    }
}

/// Addresses, families and policy of a service, as far as they can be judged
/// from the service alone. Also asked before addresses are handed out.
pub(super) fn cluster_ips(spec: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    if check::text(spec, &["type"]) == "ExternalName" {
        return errors;
    }
    let root = FieldPath::root("spec");
    let path = root.child("clusterIPs");
    let list = texts(spec, "clusterIPs");
    let shown = Value::List(spec.list_at(&["clusterIPs"]).to_vec());
    let single = check::text(spec, &["clusterIP"]);
    match list.first() {
        None if !single.is_empty() => errors.push(FieldError::required(&path, "")),
        Some(_) if single.is_empty() => {
            errors.push(FieldError::invalid(
                &path,
                &shown,
                "must be empty when `clusterIP` is not specified",
            ));
        }
        Some(first) if *first != single => {
            errors.push(FieldError::invalid(&path, &shown, "first value must match `clusterIP`"));
        }
        _ => {}
    }
    families(spec, &root, &mut errors);
    let before = errors.len();
    for (i, ip) in list.iter().enumerate() {
        if i > 0 || *ip != "None" {
            validation::ip(&mut errors, &path.index(i), ip);
        } else if list.len() > 1 {
            errors.push(FieldError::invalid(&path, &shown, "'None' must be the first and only value"));
        }
    }
    let malformed = errors.len() > before;
    if list.len() > 2 {
        errors.push(FieldError::invalid(&path, &shown, "may only hold up to 2 values"));
    }
    if malformed {
        return errors;
    }
    let is_v6: Vec<bool> = list.iter().map(|ip| ip.contains(':')).collect();
    if list.len() > 1 && is_v6.iter().all(|v6| *v6 == is_v6[0]) {
        errors.push(FieldError::invalid(&path, &shown, "may specify no more than one IP for each IP family"));
    }
    if list != ["None"] {
        for (i, (ip, family)) in list.iter().zip(texts(spec, "ipFamilies")).enumerate() {
            if matches!((family, is_v6[i]), ("IPv4", true) | ("IPv6", false)) {
                let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
                errors.push(FieldError::invalid_str(&path.index(i), ip, detail));
            }
        }
    }
    errors
}

fn families(spec: &Value, root: &FieldPath, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (i, family) in texts(spec, "ipFamilies").into_iter().enumerate() {
        let path = root.child("ipFamilies").index(i);
        check::one_of(errors, &path, family, &["IPv4", "IPv6"]);
        if !seen.insert(family) {
            errors.push(FieldError::duplicate(&path, &family.into()));
        }
    }
    if let Some(policy) = spec.str_at(&["ipFamilyPolicy"]) {
        let known = ["PreferDualStack", "RequireDualStack", "SingleStack"];
        check::one_of(errors, &root.child("ipFamilyPolicy"), policy, &known);
    }
}

fn texts<'a>(spec: &'a Value, field: &str) -> Vec<&'a str> {
    spec.list_at(&[field]).iter().map(|value| value.as_str().unwrap_or_default()).collect()
}

fn load_balancer(spec: &Value, kind: &str, path: &FieldPath, errors: &mut FieldErrors) {
    for (i, range) in spec.list_at(&["loadBalancerSourceRanges"]).iter().enumerate() {
        // The original names the Go field here.
        let path = path.child("LoadBalancerSourceRanges").index(i);
        validation::cidr(errors, &path, range.as_str().unwrap_or_default().trim());
    }
    if let Some(class) = spec.str_at(&["loadBalancerClass"]) {
        let path = path.child("loadBalancerClass");
        if kind == "LoadBalancer" {
            validation::qualified_name(errors, &path, class);
        } else {
            errors.push(FieldError::forbidden(&path, "may only be used when `type` is 'LoadBalancer'"));
        }
    }
    if kind != "LoadBalancer" && spec.bool_at(&["allocateLoadBalancerNodePorts"]).is_some() {
        let path = path.child("allocateLoadBalancerNodePorts");
        errors.push(FieldError::forbidden(&path, "may only be used when `type` is 'LoadBalancer'"));
    }
}

fn traffic(object: &Value, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const POLICIES: [&str; 2] = ["Cluster", "Local"];
    let external = check::text(spec, &["externalTrafficPolicy"]);
    let outside = matches!(check::text(spec, &["type"]), "NodePort" | "LoadBalancer")
        || !spec.list_at(&["externalIPs"]).is_empty();
    if !external.is_empty() {
        let path = path.child("externalTrafficPolicy");
        if outside {
            check::one_of(errors, &path, external, &POLICIES);
        } else {
            let detail = "may only be set for externally-accessible services";
            errors.push(FieldError::invalid_str(&path, external, detail));
        }
    }
    let health = print::int(spec, &["healthCheckNodePort"]);
    if health != 0 && !needs_health_check(object) {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(&path.child("healthCheckNodePort"), &health.into(), detail));
    }
    if let Some(policy) = spec.str_at(&["internalTrafficPolicy"]) {
        check::one_of(errors, &path.child("internalTrafficPolicy"), policy, &POLICIES);
    }
    if let Some(distribution) = spec.str_at(&["trafficDistribution"]) {
        let known = ["PreferClose", "PreferSameZone", "PreferSameNode"];
        check::one_of(errors, &path.child("trafficDistribution"), distribution, &known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    fn service(port: Map) -> Value {
        let mut object = Value::map();
        object.set(&["spec"], Map::from([("type", "ClusterIP"), ("sessionAffinity", "None")]));
        object.set(&["spec", "ports"], vec![port]);
        object
    }

    fn texts(errors: &FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ports_are_numbers_that_exist() {
        let object = service(Map::from([("port", Value::from(0)), ("protocol", "TCP".into())]));
        assert_eq!(
            texts(&create(&object)),
            ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"]
        );
    }

    #[test]
    fn an_address_stays_once_it_is_given_out() {
        let mut old = service(Map::from([("port", Value::from(80)), ("protocol", "TCP".into())]));
        let mut new = old.clone();
        old.set(&["spec", "clusterIPs"], vec!["10.0.0.5"]);
        new.set(&["spec", "clusterIPs"], vec!["10.0.0.6"]);
        old.set(&["spec", "clusterIP"], "10.0.0.5");
        new.set(&["spec", "clusterIP"], "10.0.0.6");
        assert_eq!(
            texts(&update(&new, &old)),
            ["spec.clusterIPs[0]: Invalid value: [\"10.0.0.6\"]: may not change once set"]
        );
    }
}
