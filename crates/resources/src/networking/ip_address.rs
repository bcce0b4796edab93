//! IP addresses record which service holds which cluster IP. The name is the
//! address, in canonical form, so that an address is held only once. Names
//! are checked here and not as names of a syntax.

use std::net::IpAddr;

use meta::validation::NameValidation;
use meta::{FieldError, FieldErrors, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::networking::GROUP;

/// IP addresses as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        short_names: vec!["ip".into()],
        columns: vec![Column::name(), Column::string("ParentRef")],
        name_validation: NameValidation::None,
        ..ResourceDef::stored(GROUP, "v1", "ipaddresses", "IPAddress", IpAddressStrategy)
    }
}

struct IpAddressStrategy;

impl Strategy for IpAddressStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let name = ObjectMeta::of(object).name();
        if name.is_empty() {
            errors.push(FieldError::required(&at("metadata.name"), check::NAME_REQUIRED));
        } else if let Some(problem) = problem_of_address(name) {
            errors.push(FieldError::invalid_str(&at("metadata.name"), name, problem));
        }
        validate_parent(&mut errors, object);
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let parent = "io.k8s.api.networking.v1.ParentReference";
        check::immutable_struct(&mut errors, "spec.parentRef", parent, object, old, check::IMMUTABLE);
        errors
    }

    /// Three cells under two columns: the age has none in the original either.
    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        vec![print.name(object).into(), parent(object).into(), print.age(object).into()]
    }
}

fn parent(object: &Value) -> String {
    let Some(parent) = object.at(&["spec", "parentRef"]) else { return crate::print::NONE.to_owned() };
    let mut shown = text(parent, &["resource"]).to_owned();
    for (separator, key) in [('.', "group"), ('/', "namespace"), ('/', "name")] {
        let part = text(parent, &[key]);
        if !part.is_empty() {
            shown.push(separator);
            shown.push_str(part);
        }
    }
    shown
}

/// What keeps a text from being an IP address in canonical form; none if nothing does.
pub(super) fn problem_of_address(text: &str) -> Option<String> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Some("must not be an IPv4-mapped IPv6 address".to_owned())
        }
        Ok(address) if address.to_string() != text => {
            Some(format!("must be in canonical form ({:?})", address.to_string()))
        }
        Ok(_) => None,
        Err(_) if has_leading_zeros(text) => Some("must not have leading 0s".to_owned()),
        Err(_) => Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()),
    }
}

/// An IPv4 address but for zeros in front of its numbers.
fn has_leading_zeros(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &&str| part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u8>().is_ok();
    parts.len() == 4 && parts.iter().all(number)
}

fn validate_parent(errors: &mut FieldErrors, object: &Value) {
    let path = at("spec.parentRef");
    let Some(parent) = object.at(&["spec", "parentRef"]) else {
        errors.push(FieldError::required(&path, ""));
        return;
    };
    let (group, namespace) = (text(parent, &["group"]), text(parent, &["namespace"]));
    if !group.is_empty() {
        let messages = meta::validation::is_dns1123_subdomain(group);
        check::messages(errors, &path.child("group"), group, messages);
    }
    for key in ["resource", "name"] {
        let value = text(parent, &[key]);
        if check::required(errors, &path.child(key), value) {
            check::messages(errors, &path.child(key), value, meta::validation::is_path_segment_name(value));
        }
    }
    if !namespace.is_empty() {
        let messages = meta::validation::is_path_segment_name(namespace);
        check::messages(errors, &path.child("namespace"), namespace, messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, object};

    #[test]
    fn a_name_is_an_address_in_canonical_form() {
        for (name, expected) in [
            ("192.168.77.5", None),
            ("fd00::1", None),
            ("nope", Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")),
            ("fd00:0:0::1", Some("must be in canonical form (\"fd00::1\")")),
            ("192.168.077.1", Some("must not have leading 0s")),
        ] {
            assert_eq!(problem_of_address(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_parent_is_printed_with_namespace_and_name() {
        let address = object(r#"{"spec":{"parentRef":{"resource":"services","namespace":"n","name":"s"}}}"#);
        assert_eq!(cells(&definition(), &address)[1], Value::from("services/n/s"));
    }
}
