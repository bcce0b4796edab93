//! Validation of endpoints.

use std::net::IpAddr;

use meta::validation::{is_dns1123_label, is_dns1123_subdomain};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use crate::{check, print, validation};

/// What is wrong with the subsets.
pub(super) fn subsets(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    for (i, subset) in object.list_at(&["subsets"]).iter().enumerate() {
        let path = FieldPath::root("subsets").index(i);
        let (ready, not_ready) = (subset.list_at(&["addresses"]), subset.list_at(&["notReadyAddresses"]));
        if ready.is_empty() && not_ready.is_empty() {
            errors.push(FieldError::required(&path, "must specify `addresses` or `notReadyAddresses`"));
        }
        for (name, list) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
            for (i, item) in list.iter().enumerate() {
                address(item, &path.child(name).index(i), &mut errors);
            }
        }
        let ports = subset.list_at(&["ports"]);
        for (i, item) in ports.iter().enumerate() {
            port(item, ports.len() > 1, &path.child("ports").index(i), &mut errors);
        }
    }
    errors
}

fn address(address: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let ip = check::text(address, &["ip"]);
    validation::ip(errors, &path.child("ip"), ip);
    let hostname = check::text(address, &["hostname"]);
    if !hostname.is_empty() {
        check::messages(errors, &path.child("hostname"), hostname, is_dns1123_label(hostname));
    }
    if let Some(node) = address.str_at(&["nodeName"]) {
        check::messages(errors, &path.child("nodeName"), node, is_dns1123_subdomain(node));
    }
    special(ip, &path.child("ip"), errors);
}

/// Addresses that never lead to another machine.
fn special(text: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let Ok(ip) = text.parse::<IpAddr>() else {
        errors.push(FieldError::invalid_str(path, text, "must be a valid IP address"));
        return;
    };
    let (link_local, link_local_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] & 0xff0f == 0xff02),
    };
    let rules = [
        (ip.is_unspecified(), "may not be unspecified (0.0.0.0 or ::)"),
        (ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (link_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ];
    for (_, detail) in rules.iter().filter(|(broken, _)| *broken) {
        errors.push(FieldError::invalid_str(path, text, *detail));
    }
}

fn port(port: &Value, name_required: bool, path: &FieldPath, errors: &mut FieldErrors) {
    let name = check::text(port, &["name"]);
    if !name.is_empty() {
        check::messages(errors, &path.child("name"), name, is_dns1123_label(name));
    } else if name_required {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    validation::port_number(errors, &path.child("port"), print::int(port, &["port"]));
    let protocol = check::text(port, &["protocol"]);
    check::required_one_of(errors, &path.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn an_address_leads_to_another_machine() {
        for (ip, faults) in [("192.0.2.1", 0), ("127.0.0.1", 1), ("169.254.1.1", 1), ("fe80::1", 1), ("x", 2)]
        {
            let subset = Map::from([("addresses", vec![Map::from([("ip", ip)])])]);
            let object = Value::from(Map::from([("subsets", vec![subset])]));
            assert_eq!(subsets(&object).len(), faults, "{ip}");
        }
    }
}
