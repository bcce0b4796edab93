//! Warnings about addresses that are good but not written as they should be,
//! and rules about addresses that mean something else.

use std::net::IpAddr;

use meta::{FieldError, FieldErrors, FieldPath};

use crate::addresses::sloppy_address;

/// An address of a service or of endpoints: not of a single node, not of nobody.
pub(super) fn not_special(text: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let Ok(ip) = text.parse::<IpAddr>() else {
        errors.push(FieldError::invalid_str(path, text, "must be a valid IP address"));
        return;
    };
    let (link_local, local_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] & 0xff0f == 0xff02),
    };
    let mut refuse = |detail: String| errors.push(FieldError::invalid_str(path, text, detail));
    if ip.is_unspecified() {
        refuse(format!("may not be unspecified ({text})"));
    }
    if ip.is_loopback() {
        refuse("may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned());
    }
    if link_local {
        refuse("may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned());
    }
    if local_multicast {
        refuse("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned());
    }
}

/// A warning about an address in a form that will not be taken for ever, or is not the usual one.
pub(super) fn ip_warning(text: &str, path: &FieldPath) -> Option<String> {
    let quoted = meta::field::quoted;
    let usual = match sloppy_ip(text)? {
        (ip, true) => {
            return Some(format!(
                "{path}: non-standard IP address {} will be considered invalid in a future Kubernetes release: use {}",
                quoted(text),
                quoted(&ip.to_string())
            ));
        }
        (ip, false) => ip.to_string(),
    };
    (text.contains(':') && usual != text).then(|| {
        let (text, usual) = (quoted(text), quoted(&usual));
        format!("{path}: IPv6 address {text} should be in RFC 5952 canonical format ({usual})")
    })
}

/// The same of ranges.
pub(super) fn cidr_warnings(text: &str, path: &FieldPath) -> Vec<String> {
    let quoted = meta::field::quoted;
    let Some((address, length)) = text.split_once('/') else { return Vec::new() };
    let (Some((ip, non_standard)), Ok(length)) = (sloppy_ip(address), length.parse::<u8>()) else {
        return Vec::new();
    };
    let Ok(range) = ipnet::IpNet::new(ip, length) else { return Vec::new() };
    let network = range.trunc();
    let mut warnings = Vec::new();
    if network.addr() != ip {
        let single = format!("{ip}/{}", network.max_prefix_len());
        warnings.push(format!(
            "{path}: CIDR value {} is ambiguous in this context (should be {} or {}?)",
            quoted(text),
            quoted(&network.to_string()),
            quoted(&single)
        ));
    }
    if non_standard {
        warnings.push(format!(
            "{path}: non-standard CIDR value {} will be considered invalid in a future Kubernetes release: use {}",
            quoted(text),
            quoted(&network.to_string())
        ));
    }
    if warnings.is_empty() && text.contains(':') && range.to_string() != text {
        let (text, usual) = (quoted(text), quoted(&range.to_string()));
        warnings
            .push(format!("{path}: IPv6 CIDR value {text} should be in RFC 5952 canonical format ({usual})"));
    }
    warnings
}

/// An address, and whether only a generous reader takes it: numbers with
/// leading zeros, and IPv4 addresses dressed up as IPv6.
fn sloppy_ip(text: &str) -> Option<(IpAddr, bool)> {
    let ip = sloppy_address(text)?;
    let dressed = match ip {
        IpAddr::V6(six) => six.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    Some(dressed.map_or_else(|| (ip, text.parse::<IpAddr>().is_err()), |four| (four.into(), true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_nobody_and_of_one_node_are_refused() {
        for (text, good) in [
            ("10.0.0.1", true),
            ("0.0.0.0", false),
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("224.0.0.5", false),
            ("224.0.1.5", true),
            ("::", false),
            ("::1", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("fd00::1", true),
        ] {
            let mut errors = Vec::new();
            not_special(text, &FieldPath::root("ip"), &mut errors);
            assert_eq!(errors.is_empty(), good, "{text}: {errors:?}");
        }
    }

    #[test]
    fn addresses_in_other_forms_are_warned_of() {
        let path = FieldPath::root("ip");
        assert_eq!(ip_warning("10.0.0.1", &path), None);
        assert_eq!(ip_warning("fd00::1", &path), None);
        assert_eq!(
            ip_warning("010.0.0.1", &path).as_deref(),
            Some(
                "ip: non-standard IP address \"010.0.0.1\" will be considered invalid in a future Kubernetes release: use \"10.0.0.1\""
            )
        );
        assert_eq!(
            ip_warning("FD00:0::1", &path).as_deref(),
            Some("ip: IPv6 address \"FD00:0::1\" should be in RFC 5952 canonical format (\"fd00::1\")")
        );
        assert!(ip_warning("::ffff:1.2.3.4", &path).is_some());
    }

    #[test]
    fn ranges_in_other_forms_are_warned_of() {
        let path = FieldPath::root("r");
        assert!(cidr_warnings("10.0.0.0/8", &path).is_empty());
        assert_eq!(
            cidr_warnings("10.0.0.1/8", &path),
            [
                "r: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)"
            ]
        );
        assert_eq!(cidr_warnings("010.0.0.0/8", &path).len(), 1);
    }
}
