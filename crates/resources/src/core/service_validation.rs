//! Validation of services. What is taken and what is free is not known here.

use std::collections::BTreeSet;

use meta::field::FieldErrorType;
use meta::validation::{is_dns1123_label, is_dns1123_subdomain, validate_labels};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::addresses::not_special;
use super::service::needs_health_check;
use crate::{check, print, validation};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const ONCE: &str = "may not change once set";
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// Longest session affinity, a day, in seconds.
const AFFINITY_SECONDS_MAX: i64 = 86400;

/// Annotations for hints about zones: the old one and the new one.
const ZONE_HINTS: (&str, &str) =
    ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode");

/// A new service.
pub(super) fn create(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    zone_hints(object, &mut errors);
    let Some(spec) = object.at(&["spec"]) else { return errors };
    let path = FieldPath::root("spec");
    let kind = check::text(spec, &["type"]);
    if spec.list_at(&["ports"]).is_empty() && kind != "ExternalName" && !is_headless(spec) {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    by_type(spec, kind, &path, &mut errors);
    ports(spec, &path.child("ports"), &mut errors);
    if let Some(selector) = spec.map_at(&["selector"]) {
        errors.extend(validate_labels(selector, &path.child("selector")));
    }
    affinity(spec, &path, &mut errors);
    errors.extend(cluster_ips(spec));
    for (i, ip) in texts(spec, "externalIPs").into_iter().enumerate() {
        let path = path.child("externalIPs").index(i);
        let before = errors.len();
        validation::ip(&mut errors, &path, ip);
        if errors.len() == before {
            not_special(ip, &path, &mut errors);
        }
    }
    check::required_one_of(&mut errors, &path.child("type"), kind, &TYPES);
    port_pairs(spec, kind, &path.child("ports"), &mut errors);
    source_ranges(object, spec, kind, &path, &mut errors);
    if kind != "LoadBalancer" && spec.bool_at(&["allocateLoadBalancerNodePorts"]).is_some() {
        let path = path.child("allocateLoadBalancerNodePorts");
        errors.push(FieldError::forbidden(&path, BALANCED_ONLY));
    }
    load_balancer_class(spec, kind, &mut errors);
    traffic(object, spec, &path, &mut errors);
    errors
}

fn zone_hints(object: &Value, errors: &mut FieldErrors) {
    let annotations = meta::ObjectMeta::of(object).annotations();
    let (old, new) = ZONE_HINTS;
    if let (Some(hints), Some(mode)) = (annotations.str(old), annotations.str(new))
        && hints != mode
    {
        let path = FieldPath::root("metadata").child("annotations").key(new);
        let detail = format!("must match annotations[{old}] when both are specified");
        errors.push(FieldError::invalid_str(&path, mode, detail));
    }
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
    // The original looks at the class once more with everything else.
    load_balancer_class(spec_of(object), kinds[0], &mut errors);
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
    let ingresses = object.list_at(&["status", "loadBalancer", "ingress"]);
    if !ingresses.is_empty() && check::text(object, &["spec", "type"]) != "LoadBalancer" {
        let detail = "may only be used when `spec.type` is 'LoadBalancer'";
        errors.push(FieldError::forbidden(&path, detail));
        return errors;
    }
    for (i, ingress) in ingresses.iter().enumerate() {
        one_ingress(ingress, &path.index(i), &mut errors);
    }
    errors
}

fn one_ingress(ingress: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let ip = check::text(ingress, &["ip"]);
    if !ip.is_empty() {
        validation::ip(errors, &path.child("ip"), ip);
    }
    let at = path.child("ipMode");
    match ingress.str_at(&["ipMode"]) {
        None if ip.is_empty() => {}
        None => errors.push(FieldError::required(&at, "must be specified when `ip` is set")),
        Some(_) if ip.is_empty() => {
            errors.push(FieldError::forbidden(&at, "may not be specified when `ip` is not set"));
        }
        Some(mode) => check::one_of(errors, &at, mode, &["Proxy", "VIP"]),
    }
    let hostname = check::text(ingress, &["hostname"]);
    if hostname.is_empty() {
        return;
    }
    let path = path.child("hostname");
    check::messages(errors, &path, hostname, is_dns1123_subdomain(hostname));
    if hostname.parse::<std::net::IpAddr>().is_ok() {
        errors.push(FieldError::invalid_str(&path, hostname, "must be a DNS name, not an IP address"));
    }
}

pub(super) fn is_headless(spec: &Value) -> bool {
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
            // A dot at the end says that the name is complete.
            let name = check::text(spec, &["externalName"]);
            let name = name.strip_suffix('.').unwrap_or(name);
            if check::required(errors, &path.child("externalName"), name) {
                check::messages(errors, &path.child("externalName"), name, is_dns1123_subdomain(name));
            }
        }
        "LoadBalancer" | "NodePort" if is_headless(spec) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid_str(&path.child("clusterIPs").index(0), "None", detail));
        }
        _ => {}
    }
}

fn ports(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let list = spec.list_at(&["ports"]);
    let mut names = BTreeSet::new();
    for (i, port) in list.iter().enumerate() {
        one_port(port, list.len() > 1, &mut names, &path.index(i), errors);
    }
}

/// Ports with their protocols are there once, in the cluster and on the nodes.
fn port_pairs(spec: &Value, kind: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let list = spec.list_at(&["ports"]);
    let of = |port: &Value| print::int(port, &["nodePort"]);
    for (i, _) in list.iter().enumerate().filter(|(_, port)| kind == "ClusterIP" && of(port) != 0) {
        let detail = "may not be used when `type` is 'ClusterIP'";
        errors.push(FieldError::forbidden(&path.index(i).child("nodePort"), detail));
    }
    let mut pairs = BTreeSet::new();
    for (i, port) in list.iter().enumerate().filter(|(_, port)| of(port) != 0) {
        if !pairs.insert((check::text(port, &["protocol"]), of(port))) {
            errors.push(FieldError::duplicate(&path.index(i).child("nodePort"), &of(port).into()));
        }
    }
    let mut pairs = BTreeSet::new();
    for (i, port) in list.iter().enumerate() {
        let number = print::int(port, &["port"]);
        let protocol = check::text(port, &["protocol"]);
        if !pairs.insert((protocol, number)) {
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":\"{protocol}\",\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}"
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

/// The annotation that held the ranges before there was a field.
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const BALANCED_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";

fn source_ranges(object: &Value, spec: &Value, kind: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let ranges = texts(spec, "loadBalancerSourceRanges");
    // The original names the Go field here.
    let (path, ranges): (FieldPath, Vec<(Option<usize>, &str)>) = if ranges.is_empty() {
        let annotations = meta::ObjectMeta::of(object).annotations();
        let Some(text) = annotations.str(SOURCE_RANGES) else { return };
        let path = FieldPath::root("metadata").child("annotations").key(SOURCE_RANGES);
        let parts = text.trim().split(',').filter(|_| !text.trim().is_empty());
        (path, parts.map(|range| (None, range)).collect())
    } else {
        let indexed = ranges.into_iter().enumerate().map(|(i, range)| (Some(i), range));
        (path.child("LoadBalancerSourceRanges"), indexed.collect())
    };
    if kind != "LoadBalancer" {
        errors.push(FieldError::forbidden(&path, BALANCED_ONLY));
    }
    for (index, range) in ranges {
        let path = index.map_or_else(|| path.clone(), |index| path.index(index));
        validation::cidr(errors, &path, range.trim());
    }
}

fn load_balancer_class(spec: &Value, kind: &str, errors: &mut FieldErrors) {
    let Some(class) = spec.str_at(&["loadBalancerClass"]) else { return };
    let path = FieldPath::root("spec").child("loadBalancerClass");
    if kind == "LoadBalancer" {
        validation::qualified_name(errors, &path, class);
    } else {
        errors.push(FieldError::forbidden(&path, BALANCED_ONLY));
    }
}

fn traffic(object: &Value, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const POLICIES: [&str; 2] = ["Cluster", "Local"];
    let external = check::text(spec, &["externalTrafficPolicy"]);
    let outside = match check::text(spec, &["type"]) {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !spec.list_at(&["externalIPs"]).is_empty(),
        _ => false,
    };
    let at = path.child("externalTrafficPolicy");
    if outside {
        check::required_one_of(errors, &at, external, &POLICIES);
    } else if !external.is_empty() {
        let detail = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid_str(&at, external, detail));
    }
    let health = print::int(spec, &["healthCheckNodePort"]);
    if needs_health_check(object) && health != 0 {
        validation::port_number(errors, &path.child("healthCheckNodePort"), health);
    } else if health != 0 {
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

    fn defaulted(json: &str) -> Value {
        crate::testing::defaulted(&crate::core::service::definition(), json)
    }

    #[test]
    fn services_are_refused_for_what_is_wrong_with_them() {
        let port = r#""ports":[{"port":80}]"#;
        for (spec, expected) in [
            (format!("{{{port}}}"), vec![]),
            ("{}".to_owned(), vec!["spec.ports: Required value"]),
            (r#"{"clusterIP":"None","clusterIPs":["None"]}"#.to_owned(), vec![]),
            (
                format!(r#"{{"type":"LoadBalancer","clusterIP":"None","clusterIPs":["None"],{port}}}"#),
                vec![
                    "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for LoadBalancer services",
                ],
            ),
            (r#"{"type":"ExternalName","externalName":"a.b."}"#.to_owned(), vec![]),
            (
                r#"{"type":"ExternalName","externalName":"."}"#.to_owned(),
                vec!["spec.externalName: Required value"],
            ),
            (
                r#"{"ports":[{"port":80},{"name":"b","port":81}]}"#.to_owned(),
                vec!["spec.ports[0].name: Required value"],
            ),
            (
                r#"{"ports":[{"name":"a","port":80},{"name":"b","port":80}]}"#.to_owned(),
                vec![
                    "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\
                     \"TargetPort\":0,\"NodePort\":0}",
                ],
            ),
            (
                r#"{"type":"NodePort","ports":[{"name":"a","port":80,"nodePort":30000},{"name":"b","port":81,
                    "nodePort":30000}]}"#
                    .to_owned(),
                vec!["spec.ports[1].nodePort: Duplicate value: 30000"],
            ),
            (
                r#"{"ports":[{"port":80,"nodePort":30000}]}"#.to_owned(),
                vec!["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
            ),
            (
                format!(r#"{{"externalIPs":["127.0.0.1"],{port}}}"#),
                vec![
                    "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, \
                     ::1/128)",
                ],
            ),
            (
                format!(r#"{{"loadBalancerSourceRanges":["10.0.0.0/8"],{port}}}"#),
                vec![
                    "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
                ],
            ),
            (
                format!(
                    r#"{{"sessionAffinity":"ClientIP","sessionAffinityConfig":{{"clientIP":{{"timeoutSeconds":86401}}}},{port}}}"#
                ),
                vec![
                    "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less \
                     than 86400",
                ],
            ),
            (
                format!(r#"{{"externalTrafficPolicy":"Local",{port}}}"#),
                vec![
                    "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
                ],
            ),
            (
                format!(r#"{{"healthCheckNodePort":1,{port}}}"#),
                vec![
                    "spec.healthCheckNodePort: Invalid value: 1: may only be set when `type` is 'LoadBalancer' and \
                     `externalTrafficPolicy` is 'Local'",
                ],
            ),
            (
                format!(r#"{{"loadBalancerClass":"a/b",{port}}}"#),
                vec!["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
            ),
            (
                format!(r#"{{"trafficDistribution":"PreferFar",{port}}}"#),
                vec![
                    "spec.trafficDistribution: Unsupported value: \"PreferFar\": supported values: \"PreferClose\", \
                     \"PreferSameZone\", \"PreferSameNode\"",
                ],
            ),
        ] {
            assert_eq!(texts(&create(&defaulted(&format!(r#"{{"spec":{spec}}}"#)))), expected, "{spec}");
        }
    }

    #[test]
    fn a_status_belongs_to_a_load_balancer() {
        let with = |kind: &str, ingress: &str| {
            texts(&status(&crate::testing::object(&format!(
                r#"{{"spec":{{"type":"{kind}"}},"status":{{"loadBalancer":{{"ingress":[{ingress}]}}}}}}"#
            ))))
        };
        assert_eq!(with("LoadBalancer", r#"{"ip":"10.0.0.1","ipMode":"VIP"}"#), Vec::<String>::new());
        assert_eq!(with("ClusterIP", r#"{"ip":"10.0.0.1","ipMode":"VIP"}"#).len(), 1);
        assert_eq!(
            with("LoadBalancer", r#"{"hostname":"10.0.0.1"}"#),
            [
                "status.loadBalancer.ingress[0].hostname: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address"
            ]
        );
        assert_eq!(
            with("LoadBalancer", r#"{"hostname":"a.b","ipMode":"VIP"}"#),
            ["status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set"]
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
