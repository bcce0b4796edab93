//! Network policies say which pods may talk to which. A policy without types
//! is about ingress, and about egress if it has egress rules.

use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::networking::GROUP;
use crate::print as show;
use crate::{addresses, validation};

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
        validate(object, &[])
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        validate(object, &ranges(old))
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let selector = show::label_selector(object.at(&["spec", "podSelector"]));
        show::with_name_and_age(object, print, [selector.into()])
    }
}

fn validate(object: &Value, old: &[&str]) -> FieldErrors {
    let mut errors = Vec::new();
    let spec = at("spec");
    validation::label_selector(object.at(&["spec", "podSelector"]), &spec.child("podSelector"), &mut errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in object.list_at(&["spec", direction]).iter().enumerate() {
            let path = spec.child(direction).index(i);
            for (j, port) in rule.list_at(&["ports"]).iter().enumerate() {
                validate_port(&mut errors, &path.child("ports").index(j), port);
            }
            for (j, peer) in rule.list_at(&[peers]).iter().enumerate() {
                validate_peer(&mut errors, &path.child(peers).index(j), peer, old);
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

fn validate_port(errors: &mut FieldErrors, path: &FieldPath, port: &Value) {
    if let Some(protocol) = port.str_at(&["protocol"]) {
        check::one_of(errors, &path.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]);
    }
    let end = port.int_at(&["endPort"]);
    match port.get("port") {
        Some(Value::Int(number)) => validate_number(errors, path, *number, end),
        Some(Value::String(name)) => {
            if let Some(end) = end {
                let detail = "may not be specified when `port` is non-numeric";
                errors.push(FieldError::invalid(&path.child("endPort"), &end.into(), detail));
            }
            check::messages(errors, &path.child("port"), name, validation::port_name(name));
        }
        None if end.is_some() => {
            let detail = "may not be specified when `port` is not specified";
            errors.push(FieldError::invalid(&path.child("endPort"), &end.unwrap_or_default().into(), detail));
        }
        _ => {}
    }
}

fn validate_number(errors: &mut FieldErrors, path: &FieldPath, number: i64, end: Option<i64>) {
    validation::port_number(errors, &path.child("port"), number);
    let Some(end) = end else { return };
    if end < number {
        // The original shows the port, not its end.
        let detail = "must be greater than or equal to `port`";
        errors.push(FieldError::invalid(&path.child("endPort"), &number.into(), detail));
    }
    validation::port_number(errors, &path.child("endPort"), end);
}

fn validate_peer(errors: &mut FieldErrors, path: &FieldPath, peer: &Value, old: &[&str]) {
    let (pods, namespaces) = (peer.get("podSelector"), peer.get("namespaceSelector"));
    validation::label_selector(pods, &path.child("podSelector"), errors);
    validation::label_selector(namespaces, &path.child("namespaceSelector"), errors);
    let block = peer.get("ipBlock");
    if let Some(block) = block {
        validate_block(errors, &path.child("ipBlock"), block, old);
    }
    let others = usize::from(pods.is_some()) + usize::from(namespaces.is_some());
    if block.is_none() && others == 0 {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if block.is_some() && others > 0 {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
}

fn validate_block(errors: &mut FieldErrors, path: &FieldPath, block: &Value, old: &[&str]) {
    let cidr = text(block, &["cidr"]);
    let path_of_cidr = path.child("cidr");
    if !check::required(errors, &path_of_cidr, cidr) {
        return;
    }
    addresses::range(errors, &path_of_cidr, cidr, old);
    let Some(network) = addresses::sloppy_range(cidr).map(|range| range.trunc()) else { return };
    for (i, except) in block.list_at(&["except"]).iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("except").index(i);
        addresses::range(errors, &path, except, old);
        let Some(hole) = addresses::sloppy_range(except) else { continue };
        if !network.contains(&hole.network()) || hole.prefix_len() <= network.prefix_len() {
            errors.push(FieldError::invalid_str(&path, except, "must be a strict subset of `cidr`"));
        }
    }
}

/// Every range a policy names. On an update those may stay, however they are written.
fn ranges(object: &Value) -> Vec<&str> {
    let rules = [("ingress", "from"), ("egress", "to")].into_iter().flat_map(|(direction, peers)| {
        object.list_at(&["spec", direction]).iter().flat_map(move |rule| rule.list_at(&[peers]))
    });
    rules
        .filter_map(|peer| peer.get("ipBlock"))
        .flat_map(|block| block.get("cidr").into_iter().chain(block.list_at(&["except"])))
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems, refuses, refuses_updates};

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

    #[test]
    fn ranges_of_new_peers_are_strict() {
        let base = r#"{"metadata":{"name":"a"},"spec":{"podSelector":{},"ingress":[
            {"from":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}]}}"#;
        refuses(
            &definition(),
            base,
            &[
                (
                    r#"{"spec":{"ingress":[{"from":[{"ipBlock":{"cidr":"10.0.0.1/8","except":["10.0.0.0/8"]}}]}]}}"#,
                    &[
                        "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.1/8\": must not have bits set \
                         beyond the prefix length",
                        "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict \
                         subset of `cidr`",
                    ],
                ),
                (
                    r#"{"spec":{"egress":[{"ports":[{"port":"A--b"},{"endPort":1},{"port":0}]}]}}"#,
                    &[
                        "spec.egress[0].ports[0].port: Invalid value: \"A--b\": must contain only alpha-numeric \
                         characters (a-z, 0-9), and hyphens (-)",
                        "spec.egress[0].ports[0].port: Invalid value: \"A--b\": must not contain consecutive hyphens",
                        "spec.egress[0].ports[1].endPort: Invalid value: 1: may not be specified when `port` is not \
                         specified",
                        "spec.egress[0].ports[2].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                    ],
                ),
                (
                    r#"{"spec":{"policyTypes":["Ingress","X"]}}"#,
                    &[
                        "spec.policyTypes[1]: Unsupported value: \"X\": supported values: \"Ingress\", \"Egress\"",
                    ],
                ),
            ],
        );
        let sloppy = base.replace("10.0.0.0/8", "10.0.0.1/8");
        refuses_updates(&definition(), &sloppy, &[(r#"{"spec":{"policyTypes":["Ingress"]}}"#, &[])]);
    }
}
