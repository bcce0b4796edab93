//! Endpoint slices hold the addresses behind a service. A change of labels
//! counts a generation too, because labels say which service it is.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use meta::validation::{is_dns1123_label, is_dns1123_subdomain, is_label_value, is_qualified_name};
use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta, ObjectMetaMut};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::addresses;
use crate::check::{self, at, text};
use crate::defaults;
use crate::discovery::GROUP;
use crate::print as show;

const ADDRESS_TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
const ENDPOINTS_MAX: usize = 1000;
const PORTS_MAX: usize = 20_000;
const ADDRESSES_MAX: usize = 100;
const SHOWN_MAX: usize = 3;

/// Endpoint slices as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        columns: vec![
            Column::name(),
            Column::string("AddressType"),
            Column::string("Ports"),
            Column::string("Endpoints"),
            Column::string("Age"),
        ],
        generation: true,
        ..ResourceDef::stored(GROUP, "v1", "endpointslices", "EndpointSlice", EndpointSliceStrategy)
    }
}

struct EndpointSliceStrategy;

impl Strategy for EndpointSliceStrategy {
    fn default(&self, object: &mut Value) {
        for port in defaults::items(object, "ports") {
            defaults::pointer(port, "name", "");
            defaults::pointer(port, "protocol", "TCP");
        }
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        let (meta, before) = (ObjectMeta::of(object), ObjectMeta::of(old));
        if meta.labels() != before.labels() {
            let generation = before.generation() + 1;
            ObjectMetaMut::of(object).set_generation(generation);
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object, &[])
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let endpoints = old.list_at(&["endpoints"]).iter();
        let known: Vec<&str> = endpoints
            .flat_map(|endpoint| endpoint.list_at(&["addresses"]))
            .filter_map(Value::as_str)
            .collect();
        let mut errors = validate(object, &known);
        let mut fixed = Vec::new();
        check::immutable(&mut fixed, "addressType", object, old);
        if !fixed.is_empty() {
            // Addresses of the wrong type would only repeat what is wrong.
            errors.retain(|error| !error.field.as_str().contains(".addresses"));
            errors.extend(fixed);
        }
        errors
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        let deprecated = text(object, &["addressType"]) == "FQDN";
        deprecated.then(|| "spec.addressType: FQDN endpoints are deprecated".to_owned()).into_iter().collect()
    }

    fn warnings_on_update(&self, context: &RequestContext, object: &Value, _: &Value) -> Vec<String> {
        self.warnings_on_create(context, object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let between = [text(object, &["addressType"]).into(), ports(object).into(), endpoints(object).into()];
        show::with_name_and_age(object, print, between)
    }
}

fn ports(object: &Value) -> String {
    let port = |port: &Value| match (port.int_at(&["port"]), text(port, &["name"])) {
        (Some(number), _) => number.to_string(),
        (None, "") => "*".to_owned(),
        (None, name) => name.to_owned(),
    };
    first(object.list_at(&["ports"]).iter().map(port).collect())
}

fn endpoints(object: &Value) -> String {
    let endpoints = object.list_at(&["endpoints"]).iter();
    let addresses = endpoints.flat_map(|endpoint| endpoint.list_at(&["addresses"]));
    first(addresses.filter_map(Value::as_str).map(str::to_owned).collect())
}

fn first(all: Vec<String>) -> String {
    match all.len() {
        0 => "<unset>".to_owned(),
        n if n > SHOWN_MAX => format!("{} + {} more...", all[..SHOWN_MAX].join(","), n - SHOWN_MAX),
        _ => all.join(","),
    }
}

fn validate(object: &Value, known: &[&str]) -> FieldErrors {
    let mut errors = Vec::new();
    let address_type = text(object, &["addressType"]);
    check::required_one_of(&mut errors, &at("addressType"), address_type, ADDRESS_TYPES);
    let endpoints = object.list_at(&["endpoints"]);
    if endpoints.len() > ENDPOINTS_MAX {
        errors.push(FieldError::too_many(&at("endpoints"), endpoints.len(), ENDPOINTS_MAX));
    } else {
        for (i, endpoint) in endpoints.iter().enumerate() {
            validate_endpoint(&mut errors, &at("endpoints").index(i), endpoint, (address_type, known));
        }
    }
    validate_ports(&mut errors, object.list_at(&["ports"]));
    errors
}

/// `expected` is the type of addresses, and those that stood here before.
fn validate_endpoint(
    errors: &mut FieldErrors,
    path: &FieldPath,
    endpoint: &Value,
    expected: (&str, &[&str]),
) {
    let addresses = endpoint.list_at(&["addresses"]);
    let path_of_addresses = path.child("addresses");
    if addresses.is_empty() {
        errors.push(FieldError::required(&path_of_addresses, "must contain at least 1 address"));
    } else if addresses.len() > ADDRESSES_MAX {
        errors.push(FieldError::too_many(&path_of_addresses, addresses.len(), ADDRESSES_MAX));
    }
    for (i, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
        validate_address(errors, &path_of_addresses, i, address, expected);
    }
    if let Some(node) = endpoint.str_at(&["nodeName"]) {
        check::messages(errors, &path.child("nodeName"), node, is_dns1123_subdomain(node));
    }
    if let Some(hostname) = endpoint.str_at(&["hostname"]) {
        check::messages(errors, &path.child("hostname"), hostname, is_dns1123_label(hostname));
    }
    if let Some(hints) = endpoint.get("hints") {
        validate_hints(errors, &path.child("hints"), hints);
    }
}

fn validate_address(
    errors: &mut FieldErrors,
    all: &FieldPath,
    i: usize,
    address: &str,
    (address_type, known): (&str, &[&str]),
) {
    let path = all.index(i);
    if address_type == "FQDN" {
        check::messages(errors, &path, address, is_fqdn(address));
        return;
    }
    let family = match address_type {
        "IPv4" => "must be an IPv4 address",
        "IPv6" => "must be an IPv6 address",
        _ => return,
    };
    addresses::address(errors, &path, address, known);
    let Some(ip) = addresses::sloppy_address(address) else { return };
    if ip.is_ipv4() != (address_type == "IPv4") {
        errors.push(FieldError::invalid_str(all, address, family));
    }
    if let Some(detail) = special_address(ip) {
        errors.push(FieldError::invalid_str(&path, address, detail));
    }
}

/// Why an address cannot be that of an endpoint: it means something else on every machine.
fn special_address(ip: IpAddr) -> Option<&'static str> {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let link_local_multicast = match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == Ipv4Addr::new(224, 0, 0, 0).octets()[..3],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    };
    if ip.is_unspecified() {
        return Some("may not be unspecified (0.0.0.0 or ::)");
    }
    if ip.is_loopback() {
        return Some("may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if link_local {
        return Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    link_local_multicast.then_some("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
}

fn is_fqdn(name: &str) -> Vec<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let messages = is_dns1123_subdomain(name);
    if !messages.is_empty() {
        return messages;
    }
    if name.split('.').count() < 2 {
        return vec!["should be a domain with at least two segments separated by dots".to_owned()];
    }
    Vec::new()
}

fn validate_hints(errors: &mut FieldErrors, path: &FieldPath, hints: &Value) {
    for (kind, syntax) in [
        ("forZones", is_label_value as fn(&str) -> Vec<String>),
        ("forNodes", is_dns1123_subdomain as fn(&str) -> Vec<String>),
    ] {
        let path = path.child(kind);
        let targets = hints.list_at(&[kind]);
        if targets.len() > 8 {
            errors.push(FieldError::too_many(&path, targets.len(), 8));
            continue;
        }
        let mut names = BTreeSet::new();
        for (i, target) in targets.iter().enumerate() {
            let path = path.index(i).child("name");
            let name = text(target, &["name"]);
            if !names.insert(name) {
                errors.push(FieldError::duplicate(&path, &name.into()));
            } else {
                check::messages(errors, &path, name, syntax(name));
            }
        }
    }
}

fn validate_ports(errors: &mut FieldErrors, ports: &[Value]) {
    if ports.len() > PORTS_MAX {
        errors.push(FieldError::too_many(&at("ports"), ports.len(), PORTS_MAX));
        return;
    }
    let mut names = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = at("ports").index(i);
        let name = text(port, &["name"]);
        if !name.is_empty() {
            check::messages(errors, &path.child("name"), name, is_dns1123_label(name));
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
        }
        let protocol = text(port, &["protocol"]);
        check::required_one_of(errors, &path.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]);
        if let Some(protocol) = port.str_at(&["appProtocol"]) {
            check::messages(errors, &path.child("appProtocol"), protocol, is_qualified_name(protocol));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, context, defaulted, problems};

    #[test]
    fn ports_are_tcp_and_printed_with_the_addresses() {
        let slice = defaulted(
            &definition(),
            r#"{"addressType":"IPv4","ports":[{"port":80}],"endpoints":[{"addresses":["192.0.2.1"]},{"addresses":["192.0.2.2"]},
                {"addresses":["192.0.2.3"]},{"addresses":["192.0.2.4"]}]}"#,
        );
        let port = &slice.list_at(&["ports"])[0];
        assert_eq!([port.str_at(&["name"]), port.str_at(&["protocol"])], [Some(""), Some("TCP")]);
        let expected = ["IPv4", "80", "192.0.2.1,192.0.2.2,192.0.2.3 + 1 more..."].map(Value::from);
        assert_eq!(cells(&definition(), &slice)[1..4], expected);
        assert!(problems(&definition(), &slice).is_empty());
    }

    #[test]
    fn addresses_are_of_their_type_and_mean_the_same_everywhere() {
        for (address, expected) in [
            ("fd00::1", "endpoints[0].addresses: Invalid value: \"fd00::1\": must be an IPv4 address"),
            (
                "127.0.0.1",
                "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range \
                 (127.0.0.0/8, ::1/128)",
            ),
            (
                "x",
                "endpoints[0].addresses[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or \
                 2001:db8::ffff)",
            ),
        ] {
            let slice = defaulted(
                &definition(),
                &format!(r#"{{"addressType":"IPv4","endpoints":[{{"addresses":["{address}"]}}]}}"#),
            );
            assert_eq!(problems(&definition(), &slice), [expected]);
        }
    }

    #[test]
    fn a_change_of_labels_counts_a_generation() {
        let old = defaulted(&definition(), r#"{"metadata":{"generation":2},"addressType":"IPv4"}"#);
        let mut new = old.clone();
        new.set(&["metadata", "labels", "a"], "b");
        definition().strategy.prepare_for_update(&context(), &mut new, &old);
        assert_eq!(ObjectMeta::of(&new).generation(), 3);
    }
}
