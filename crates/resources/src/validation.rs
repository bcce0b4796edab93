//! Rules that several kinds share: keys of configuration, label selectors,
//! ports, addresses, resource amounts. The smallest steps are in `check`.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::validation::{is_dns1123_subdomain, is_label_value, is_qualified_name, validate_labels};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;
use schema::quantity::Quantity;

use crate::check;

/// Longest key of a config map or secret, in bytes.
const CONFIG_KEY_MAX: usize = 253;

/// What is wrong with a key of a config map or secret.
pub fn config_key(path: &FieldPath, key: &str) -> FieldErrors {
    let mut faults = Vec::new();
    if key.len() > CONFIG_KEY_MAX {
        faults.push(format!("must be no more than {CONFIG_KEY_MAX} characters"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if key.is_empty() || !key.chars().all(allowed) {
        faults.push(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
             'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                .to_owned(),
        );
    }
    if key == "." {
        faults.push("must not be '.'".to_owned());
    } else if key == ".." {
        faults.push("must not be '..'".to_owned());
    } else if key.starts_with("..") {
        faults.push("must not start with '..'".to_owned());
    }
    faults.into_iter().map(|fault| FieldError::invalid_str(path, key, fault)).collect()
}

/// Bytes that base64 text stands for.
pub fn decoded_len(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}

/// Bytes that base64 text stands for; empty if it is none, which the decoder has refused before.
pub fn decoded(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap_or_default()
}

/// Whether bytes are one JSON object; the reason in the words of Go's parser if not.
pub fn json_object(bytes: &[u8]) -> Result<(), String> {
    match codec::json::decode_any(bytes) {
        Ok(_) => Ok(()),
        Err(_) if bytes.is_empty() => Err("unexpected end of JSON input".to_owned()),
        Err(error) => {
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            match first {
                Some(byte) if !b"{[\"-0123456789tfn".contains(byte) => {
                    Err(format!("invalid character '{}' looking for beginning of value", *byte as char))
                }
                _ => Err(error.to_string()),
            }
        }
    }
}

/// An object marked `immutable` keeps its mark and its data.
pub fn immutable_data(object: &Value, old: &Value, fields: &[&'static str]) -> FieldErrors {
    const TEXT: &str = "field is immutable when `immutable` is set";
    let mut errors = Vec::new();
    if old.bool_at(&["immutable"]) != Some(true) {
        return errors;
    }
    if object.bool_at(&["immutable"]) != Some(true) {
        errors.push(FieldError::forbidden(&FieldPath::root("immutable"), TEXT));
    }
    for field in fields {
        if !check::same(object.at(&[field]), old.at(&[field])) {
            errors.push(FieldError::forbidden(&FieldPath::root(field), TEXT));
        }
    }
    errors
}

/// What is wrong with a `LabelSelector` object.
pub fn label_selector(selector: Option<&Value>, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(selector) = selector else { return };
    if let Some(labels) = selector.map_at(&["matchLabels"]) {
        errors.extend(validate_labels(labels, &path.child("matchLabels")));
    }
    for (i, expression) in selector.list_at(&["matchExpressions"]).iter().enumerate() {
        label_requirement(expression, &path.child("matchExpressions").index(i), errors);
    }
}

fn label_requirement(expression: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let values = expression.list_at(&["values"]);
    match check::text(expression, &["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            let text = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&path.child("values"), text));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&path.child("values"), text));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => {
            let text = "not a valid selector operator";
            errors.push(FieldError::invalid_str(&path.child("operator"), other, text));
        }
    }
    let key = check::text(expression, &["key"]);
    check::messages(errors, &path.child("key"), key, is_qualified_name(key));
    for (i, value) in values.iter().enumerate() {
        let value = value.as_str().unwrap_or_default();
        check::messages(errors, &path.child("values").index(i), value, is_label_value(value));
    }
}

/// A name with at most one prefix, as of labels, annotations and resources.
pub fn qualified_name(errors: &mut FieldErrors, path: &FieldPath, name: &str) {
    check::messages(errors, path, name, is_qualified_name(name));
}

/// The name of a resource that containers use: one of those known, or one with a prefix.
pub fn container_resource_name(errors: &mut FieldErrors, path: &FieldPath, name: &str) {
    const OF_CONTAINERS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
    const OF_QUOTAS: [&str; 9] = [
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    ];
    qualified_name(errors, path, name);
    if name.contains('/') || OF_CONTAINERS.contains(&name) || name.starts_with("hugepages-") {
        return;
    }
    let is_quota = name.starts_with("requests.") || name.starts_with("limits.") || name == "storage";
    if !is_quota && !OF_QUOTAS.contains(&name) {
        let detail = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid_str(path, name, detail));
    }
    errors.push(FieldError::invalid_str(path, name, "must be a standard resource for containers"));
}

/// A port number from 1 to 65535.
pub fn port_number(errors: &mut FieldErrors, path: &FieldPath, port: i64) {
    if !(1..=65535).contains(&port) {
        errors.push(FieldError::invalid(path, &port.into(), "must be between 1 and 65535, inclusive"));
    }
}

/// A port number or the name of one.
pub fn port_number_or_name(errors: &mut FieldErrors, path: &FieldPath, port: &Value) {
    match port {
        Value::Int(number) => port_number(errors, path, *number),
        Value::String(name) => check::messages(errors, path, name, port_name(name)),
        _ => {}
    }
}

/// What is wrong with the name of a port.
pub fn port_name(name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if name.len() > 15 {
        faults.push("must be no more than 15 characters".to_owned());
    }
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        faults.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        faults.push("must contain at least one letter (a-z)".to_owned());
    }
    if name.contains("--") {
        faults.push("must not contain consecutive hyphens".to_owned());
    }
    if name.starts_with('-') || name.ends_with('-') {
        faults.push("must not begin or end with a hyphen".to_owned());
    }
    faults
}

/// An IP address, of either family.
pub fn ip(errors: &mut FieldErrors, path: &FieldPath, text: &str) {
    if text.parse::<IpAddr>().is_err() {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid_str(path, text, detail));
    }
}

/// A range of IP addresses, of either family.
pub fn cidr(errors: &mut FieldErrors, path: &FieldPath, text: &str) {
    if !is_cidr(text) {
        let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        errors.push(FieldError::invalid_str(path, text, detail));
    }
}

/// True for an address with a prefix length that fits it.
pub fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    !length.starts_with('+') && length.parse::<u8>().is_ok_and(|length| length <= longest)
}

/// The quantity a value holds; none if it is no quantity.
pub fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Int(n) => Some(Quantity::from_int(*n)),
        _ => None,
    }
}

/// A quantity must not be negative.
pub fn quantity_not_negative(errors: &mut FieldErrors, path: &FieldPath, value: &Value) {
    if quantity(value).is_some_and(|quantity| quantity.is_negative()) {
        errors.push(FieldError::invalid(path, value, check::NOT_NEGATIVE));
    }
}

/// A number, or a percentage as text; neither negative.
pub fn int_or_percent(errors: &mut FieldErrors, path: &FieldPath, value: &Value) {
    match value {
        Value::Int(number) => check::not_negative(errors, path, Some(*number)),
        Value::String(text) if percent(text).is_none() => {
            let detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
                          '93%', regex used for validation is '[0-9]+%')";
            errors.push(FieldError::invalid(path, value, detail));
        }
        _ => {}
    }
}

/// A percentage must not be more than 100%.
pub fn at_most_everything(errors: &mut FieldErrors, path: &FieldPath, value: &Value) {
    if value.as_str().and_then(percent).is_some_and(|percent| percent > 100) {
        errors.push(FieldError::invalid(path, value, "must not be greater than 100%"));
    }
}

/// True for a number or percentage that means nothing at all. Text that is no percentage counts as its number.
pub fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Int(number) => *number == 0,
        Value::String(text) => percent(text).or_else(|| text.parse().ok()).unwrap_or_default() == 0,
        _ => true,
    }
}

/// A path below a domain, such as `acme.io/foo`.
pub fn domain_prefixed_path(errors: &mut FieldErrors, path: &FieldPath, text: &str) {
    if !check::required(errors, path, text) {
        return;
    }
    let Some((domain, rest)) = text.split_once('/').filter(|(a, b)| !a.is_empty() && !b.is_empty()) else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(FieldError::invalid_str(path, text, detail));
        return;
    };
    check::messages(errors, path, domain, is_dns1123_subdomain(domain));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
    if !rest.chars().all(allowed) {
        let detail = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        errors.push(FieldError::invalid_str(path, rest, detail));
    }
}

/// The number before a percent sign.
pub fn percent(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('%')?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) { None } else { digits.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn config_keys_are_file_names_that_stay_in_their_folder() {
        let path = FieldPath::root("data");
        for good in ["a", "a.b", "A_b-c", ".hidden"] {
            assert_eq!(config_key(&path, good), [], "{good}");
        }
        for bad in ["", ".", "..", "..a", "a/b", "ä"] {
            assert!(!config_key(&path, bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn ranges_have_a_prefix_that_fits_the_address() {
        for (text, good) in [("10.0.0.0/24", true), ("fd00::/64", true), ("10.0.0.0/33", false), ("x", false)]
        {
            assert_eq!(is_cidr(text), good, "{text}");
        }
    }

    #[test]
    fn an_operator_with_values_needs_them() {
        let expression = Map::from([("key", "a"), ("operator", "In")]);
        let selector = Value::from(Map::from([("matchExpressions", vec![expression])]));
        let mut errors = Vec::new();
        label_selector(Some(&selector), &FieldPath::root("s"), &mut errors);
        assert_eq!(
            errors[0].to_string(),
            "s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
        );
    }

    #[test]
    fn the_length_of_base64_is_known_without_decoding() {
        for (text, length) in [("", 0), ("eA==", 1), ("eHg=", 2), ("eHh4", 3)] {
            assert_eq!(decoded_len(text), length, "{text}");
            assert_eq!(decoded(text).len(), length, "{text}");
        }
    }
}
