//! IP addresses and ranges of them, as text: what is read, and what is refused
//! because readers disagree about it. Messages are the original's.

use std::net::IpAddr;

use ipnet::IpNet;
use meta::{FieldError, FieldErrors, FieldPath};

const ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const RANGE: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// An IP address in a field that once took forms refused now: those in `old` may stay.
pub fn address(errors: &mut FieldErrors, path: &FieldPath, text: &str, old: &[&str]) {
    if !old.contains(&text)
        && let Some(problem) = problem_of_address(text)
    {
        errors.push(FieldError::invalid_str(path, text, problem));
    }
}

/// A range of IP addresses in a field that once took forms refused now: those in `old` may stay.
pub fn range(errors: &mut FieldErrors, path: &FieldPath, text: &str, old: &[&str]) {
    if !old.contains(&text)
        && let Some(problem) = problem_of_range(text)
    {
        errors.push(FieldError::invalid_str(path, text, problem));
    }
}

/// What keeps a text from being an IP address in canonical form; none if nothing does.
pub fn problem_of_canonical_address(text: &str) -> Option<String> {
    let canonical = text.parse::<IpAddr>().map(|address| address.to_string());
    match (problem_of_address(text), canonical) {
        (Some(problem), _) => Some(problem.to_owned()),
        (None, Ok(canonical)) if canonical != text => {
            Some(format!("must be in canonical form ({canonical:?})"))
        }
        _ => None,
    }
}

/// What keeps a text from being a range of IP addresses in canonical form; none if nothing does.
pub fn problem_of_canonical_range(text: &str) -> Option<String> {
    let canonical = strict_range(text).map(|range| range.to_string());
    match (problem_of_range(text), canonical) {
        (Some(problem), _) => Some(problem.to_owned()),
        (None, Some(canonical)) if canonical != text => {
            Some(format!("must be in canonical form ({canonical:?})"))
        }
        _ => None,
    }
}

/// The address a text means, read as generously as it once was: numbers may begin with zeros.
pub fn sloppy_address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| without_leading_zeros(text)?.parse().ok())
}

/// The range a text means, read as generously as it once was.
pub fn sloppy_range(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let length = length.parse().ok().filter(|_| digits)?;
    IpNet::new(sloppy_address(address)?, length).ok()
}

fn problem_of_address(text: &str) -> Option<&'static str> {
    match text.parse::<IpAddr>() {
        Ok(address) if is_mapped(address) => Some("must not be an IPv4-mapped IPv6 address"),
        Ok(_) => None,
        Err(_) if sloppy_address(text).is_some() => Some("must not have leading 0s"),
        Err(_) => Some(ADDRESS),
    }
}

fn problem_of_range(text: &str) -> Option<&'static str> {
    match (strict_range(text), sloppy_range(text)) {
        (Some(range), _) if is_mapped(range.addr()) => Some("must not have an IPv4-mapped IPv6 address"),
        (Some(range), _) if range.addr() != range.network() => {
            Some("must not have bits set beyond the prefix length")
        }
        (Some(_), _) => None,
        (None, Some(_)) => Some("must not have leading 0s in IP or prefix length"),
        (None, None) => Some(RANGE),
    }
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

/// A range without zeros in front of any number. The parser of `IpNet` takes them.
fn strict_range(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    address.parse::<IpAddr>().ok().filter(|_| length.len() == 1 || !length.starts_with('0'))?;
    sloppy_range(text)
}

/// An IPv4 address without the zeros in front of its numbers; none if it is something else.
fn without_leading_zeros(text: &str) -> Option<String> {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u8>().ok().filter(|_| digits).map(|number| number.to_string())
    };
    let parts: Option<Vec<String>> = text.split('.').map(number).collect();
    parts.filter(|parts| parts.len() == 4).map(|parts| parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form() {
        for (text, expected) in [
            ("192.168.77.5", None),
            ("fd00::1", None),
            ("nope", Some(ADDRESS)),
            ("fd00:0:0::1", Some("must be in canonical form (\"fd00::1\")")),
            ("192.168.077.1", Some("must not have leading 0s")),
            ("::ffff:1.2.3.4", Some("must not be an IPv4-mapped IPv6 address")),
        ] {
            assert_eq!(problem_of_canonical_address(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_range_has_one_form() {
        for (text, expected) in [
            ("192.168.1.0/24", None),
            ("fd00::/64", None),
            ("x", Some(RANGE)),
            ("10.0.0.0/33", Some(RANGE)),
            ("192.168.1.1/24", Some("must not have bits set beyond the prefix length")),
            ("192.168.001.0/24", Some("must not have leading 0s in IP or prefix length")),
            ("192.168.1.0/024", Some("must not have leading 0s in IP or prefix length")),
            ("fd00:0::/64", Some("must be in canonical form (\"fd00::/64\")")),
        ] {
            assert_eq!(problem_of_canonical_range(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_was_there_may_stay() {
        let mut errors = Vec::new();
        let path = FieldPath::root("a");
        address(&mut errors, &path, "010.0.0.1", &["010.0.0.1"]);
        range(&mut errors, &path, "10.0.0.1/8", &["10.0.0.1/8"]);
        assert_eq!(errors, []);
        range(&mut errors, &path, "10.0.0.1/8", &[]);
        assert_eq!(errors.len(), 1);
    }
}
