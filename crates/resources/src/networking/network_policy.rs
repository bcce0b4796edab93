//! Network policies say which pods may talk to which. A policy without types
//! is about ingress, and about egress if it has egress rules.

use ipnet::IpNet;
use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::networking::{GROUP, service_cidr};
use crate::print as show;

/// Network policies as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["netpol".into()],
        columns: vec![Column::name(), Column::string("Pod-Selector"), Column::string("Age")],
        generation: true,
        ..ResourceDef::stored(GROUP, "v1", "networkpolicies", "NetworkPolicy", NetworkPolicyStrategy)
    }
}

struct NetworkPolicyStrategy;

impl Strategy for NetworkPolicyStrategy {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        for direction in ["ingress", "egress"] {
            for rule in defaults::items(spec, direction) {
                for port in defaults::items(rule, "ports") {
                    defaults::pointer(port, "protocol", "TCP");
                }
            }
        }
        if defaults::is_empty(spec.get("policyTypes")) {
            let egress = !defaults::is_empty(spec.get("egress"));
            let types: &[&str] = if egress { &["Ingress", "Egress"] } else { &["Ingress"] };
            spec.set(&["policyTypes"], types.to_vec());
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate(object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let selector = show::label_selector(object.at(&["spec", "podSelector"]));
        show::with_name_and_age(object, print, [selector.into()])
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let spec = at("spec");
    validate_selector(&mut errors, &spec.child("podSelector"), object.at(&["spec", "podSelector"]));
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in object.list_at(&["spec", direction]).iter().enumerate() {
            let path = spec.child(direction).index(i);
            for (j, port) in rule.list_at(&["ports"]).iter().enumerate() {
                validate_port(&mut errors, &path.child("ports").index(j), port);
            }
            for (j, peer) in rule.list_at(&[peers]).iter().enumerate() {
                validate_peer(&mut errors, &path.child(peers).index(j), peer);
            }
        }
    }
    validate_types(&mut errors, object.list_at(&["spec", "policyTypes"]));
    errors
}

fn validate_types(errors: &mut FieldErrors, types: &[Value]) {
    let path = at("spec.policyTypes");
    if types.len() > 2 {
        let all = Value::List(types.to_vec());
        errors.push(FieldError::invalid(&path, &all, "may not specify more than two policyTypes"));
        return;
    }
    for (i, kind) in types.iter().filter_map(Value::as_str).enumerate() {
        check::one_of(errors, &path.index(i), kind, &["Ingress", "Egress"]);
    }
}

/// Labels a selector compares with must be labels.
pub(crate) fn validate_selector(errors: &mut FieldErrors, path: &FieldPath, selector: Option<&Value>) {
    let Some(selector) = selector else { return };
    if let Some(labels) = selector.map_at(&["matchLabels"]) {
        errors.extend(meta::validation::validate_labels(labels, &path.child("matchLabels")));
    }
    for (i, requirement) in selector.list_at(&["matchExpressions"]).iter().enumerate() {
        validate_requirement(errors, &path.child("matchExpressions").index(i), requirement);
    }
}

fn validate_requirement(errors: &mut FieldErrors, path: &FieldPath, requirement: &Value) {
    let values = requirement.list_at(&["values"]);
    match text(requirement, &["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&path.child("values"), detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => {
            let detail = "not a valid selector operator";
            errors.push(FieldError::invalid_str(&path.child("operator"), other, detail));
        }
    }
    let key = text(requirement, &["key"]);
    check::messages(errors, &path.child("key"), key, meta::validation::is_qualified_name(key));
}

fn validate_port(errors: &mut FieldErrors, path: &FieldPath, port: &Value) {
    if let Some(protocol) = port.str_at(&["protocol"]) {
        check::one_of(errors, &path.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]);
    }
    let end = port.int_at(&["endPort"]);
    match port.get("port") {
        Some(Value::Int(number)) => validate_number(errors, path, *number, end),
        Some(Value::String(_)) if end.is_some() => {
            let detail = "may not be specified when `port` is non-numeric";
            errors.push(FieldError::invalid(&path.child("endPort"), &end.unwrap_or_default().into(), detail));
        }
        None if end.is_some() => {
            let detail = "may not be specified when `port` is not specified";
            errors.push(FieldError::invalid(&path.child("endPort"), &end.unwrap_or_default().into(), detail));
        }
        _ => {}
    }
}

fn validate_number(errors: &mut FieldErrors, path: &FieldPath, number: i64, end: Option<i64>) {
    const RANGE: &str = "must be between 1 and 65535, inclusive";
    if let Some(end) = end {
        if end < number {
            // The original shows the port, not its end.
            let detail = "must be greater than or equal to `port`";
            errors.push(FieldError::invalid(&path.child("endPort"), &number.into(), detail));
        }
        if !(1..=65535).contains(&end) {
            errors.push(FieldError::invalid(&path.child("endPort"), &end.into(), RANGE));
        }
    }
    if !(1..=65535).contains(&number) {
        errors.push(FieldError::invalid(&path.child("port"), &number.into(), RANGE));
    }
}

fn validate_peer(errors: &mut FieldErrors, path: &FieldPath, peer: &Value) {
    let (pods, namespaces) = (peer.get("podSelector"), peer.get("namespaceSelector"));
    validate_selector(errors, &path.child("podSelector"), pods);
    validate_selector(errors, &path.child("namespaceSelector"), namespaces);
    let block = peer.get("ipBlock");
    if let Some(block) = block {
        validate_block(errors, &path.child("ipBlock"), block);
    }
    let others = usize::from(pods.is_some()) + usize::from(namespaces.is_some());
    if block.is_none() && others == 0 {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if block.is_some() && others > 0 {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
}

fn validate_block(errors: &mut FieldErrors, path: &FieldPath, block: &Value) {
    let cidr = text(block, &["cidr"]);
    let path_of_cidr = path.child("cidr");
    if !check::required(errors, &path_of_cidr, cidr) {
        return;
    }
    let Ok(network) = cidr.parse::<IpNet>() else {
        errors.push(FieldError::invalid_str(&path_of_cidr, cidr, service_cidr::INVALID));
        return;
    };
    for (i, except) in block.list_at(&["except"]).iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("except").index(i);
        match except.parse::<IpNet>() {
            Err(_) => errors.push(FieldError::invalid_str(&path, except, service_cidr::INVALID)),
            Ok(hole) if !network.contains(&hole) || hole.prefix_len() <= network.prefix_len() => {
                errors.push(FieldError::invalid_str(&path, except, "must be a strict subset of `cidr`"));
            }
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems};

    #[test]
    fn types_follow_from_the_rules_and_ports_are_tcp() {
        let policy = defaulted(&definition(), r#"{"spec":{"podSelector":{}}}"#);
        assert_eq!(policy.at(&["spec", "policyTypes"]), Some(&Value::from(vec!["Ingress"])));
        assert_eq!(cells(&definition(), &policy)[1], Value::from("<none>"));
        let policy = defaulted(&definition(), r#"{"spec":{"egress":[{"ports":[{"port":1}]}]}}"#);
        assert_eq!(policy.at(&["spec", "policyTypes"]), Some(&Value::from(vec!["Ingress", "Egress"])));
        let rule = &policy.list_at(&["spec", "egress"])[0];
        assert_eq!(rule.list_at(&["ports"])[0].str_at(&["protocol"]), Some("TCP"));
    }

    #[test]
    fn peers_and_ports_are_checked() {
        for (ingress, expected) in [
            (r#"{"from":[{}]}"#, "spec.ingress[0].from[0]: Required value: must specify a peer"),
            (
                r#"{"from":[{"ipBlock":{"cidr":"192.0.2.0/24","except":["198.51.100.0/24"]}}]}"#,
                "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"198.51.100.0/24\": must be a strict \
                 subset of `cidr`",
            ),
            (
                r#"{"ports":[{"port":20,"endPort":10}]}"#,
                "spec.ingress[0].ports[0].endPort: Invalid value: 20: must be greater than or equal to `port`",
            ),
        ] {
            let policy = defaulted(&definition(), &format!(r#"{{"spec":{{"ingress":[{ingress}]}}}}"#));
            assert_eq!(problems(&definition(), &policy), [expected]);
        }
    }
}
