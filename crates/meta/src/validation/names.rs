//! Syntax of names: each check returns one message per fault, none when the
//! text is good. Messages stand in answers as they are, so they are the
//! original's to the letter; the doubled spaces in some are its own.

/// How the name of a kind's objects is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameValidation {
    /// Most kinds: dot-separated labels, at most 253 characters.
    #[default]
    Dns1123Subdomain,
    /// One label, may begin with a digit.
    Dns1123Label,
    /// One label that begins with a letter.
    Dns1035Label,
    /// Anything that can stand between two slashes (RBAC, leases of old, custom names).
    PathSegment,
    /// Not checked.
    None,
}

impl NameValidation {
    /// What is wrong with a name.
    pub fn check(self, name: &str) -> Vec<String> {
        match self {
            NameValidation::Dns1123Subdomain => is_dns1123_subdomain(name),
            NameValidation::Dns1123Label => is_dns1123_label(name),
            NameValidation::Dns1035Label => is_dns1035_label(name),
            NameValidation::PathSegment => is_path_segment_name(name),
            NameValidation::None => Vec::new(),
        }
    }

    /// What is wrong with a `generateName`: the same rules, except that it may
    /// end in a dash, because a suffix follows.
    pub fn check_prefix(self, prefix: &str) -> Vec<String> {
        match self {
            NameValidation::PathSegment => path_segment_parts(prefix),
            _ => self.check(&mask_trailing_dash(prefix)),
        }
    }
}

/// The original also eats the character before the dash; messages do not show it.
fn mask_trailing_dash(name: &str) -> String {
    match name.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let kept = rest.char_indices().next_back().map_or(0, |(at, _)| at);
            format!("{}a", &rest[..kept])
        }
        _ => name.to_owned(),
    }
}

const QUALIFIED_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
     validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
     and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1123: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
     alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
     validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

const LABEL_MAX_BYTES: usize = 63;
const SUBDOMAIN_MAX_BYTES: usize = 253;

/// The original says "characters" of names and "bytes" of labels; it counts bytes in both.
fn too_long(max: usize, unit: &str) -> String {
    format!("must be no more than {max} {unit}")
}

/// A name of dot-separated lower-case labels, at most 253 bytes.
pub fn is_dns1123_subdomain(value: &str) -> Vec<String> {
    subdomain(value, "characters")
}

fn subdomain(value: &str, unit: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > SUBDOMAIN_MAX_BYTES {
        faults.push(too_long(SUBDOMAIN_MAX_BYTES, unit));
    }
    if !has_subdomain_syntax(value) {
        faults.push(SUBDOMAIN.to_owned());
    }
    faults
}

/// One lower-case label of letters, digits and dashes, at most 63 bytes.
pub fn is_dns1123_label(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > LABEL_MAX_BYTES {
        faults.push(too_long(LABEL_MAX_BYTES, "characters"));
    }
    if !has_label_syntax(value) {
        // Good but for the dots: the short message helps more than the syntax.
        let fault = if has_subdomain_syntax(value) { "must not contain dots" } else { LABEL_1123 };
        faults.push(fault.to_owned());
    }
    faults
}

/// One lower-case label that begins with a letter, at most 63 bytes.
pub fn is_dns1035_label(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > LABEL_MAX_BYTES {
        faults.push(too_long(LABEL_MAX_BYTES, "characters"));
    }
    if !(has_label_syntax(value) && value.as_bytes()[0].is_ascii_lowercase()) {
        faults.push(LABEL_1035.to_owned());
    }
    faults
}

/// Text that can be one segment of a URL path.
pub fn is_path_segment_name(name: &str) -> Vec<String> {
    match name {
        "." | ".." => vec![format!("may not be '{name}'")],
        _ => path_segment_parts(name),
    }
}

fn path_segment_parts(name: &str) -> Vec<String> {
    ['/', '%'].into_iter().filter(|c| name.contains(*c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// The key of a label or annotation, or a finalizer: a name of at most 63
/// bytes with an optional DNS prefix before a slash.
pub fn is_qualified_name(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut parts = value.split('/');
    let (prefix, name) = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => (None, name),
        (Some(prefix), Some(name), None) => (Some(prefix), name),
        _ => {
            let with_prefix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {QUALIFIED_NAME} {with_prefix}")];
        }
    };
    match prefix {
        Some("") => faults.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            faults.extend(subdomain(prefix, "bytes").into_iter().map(|fault| format!("prefix part {fault}")));
        }
        None => {}
    }
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX_BYTES {
        faults.push(format!("name part {}", too_long(LABEL_MAX_BYTES, "bytes")));
    }
    if !has_qualified_name_syntax(name) {
        faults.push(format!("name part {QUALIFIED_NAME}"));
    }
    faults
}

/// The value of a label: empty, or at most 63 bytes.
pub fn is_label_value(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > LABEL_MAX_BYTES {
        faults.push(too_long(LABEL_MAX_BYTES, "bytes"));
    }
    if !value.is_empty() && !has_qualified_name_syntax(value) {
        faults.push(LABEL_VALUE.to_owned());
    }
    faults
}

fn has_subdomain_syntax(value: &str) -> bool {
    value.split('.').all(has_label_syntax)
}

fn has_label_syntax(value: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    framed(value, alphanumeric, |b| alphanumeric(b) || *b == b'-')
}

fn has_qualified_name_syntax(value: &str) -> bool {
    framed(value, u8::is_ascii_alphanumeric, |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Not empty, first and last byte of class `edge`, every byte of class `inner`.
fn framed(value: &str, edge: impl Fn(&u8) -> bool, inner: impl Fn(&u8) -> bool) -> bool {
    let bytes = value.as_bytes();
    bytes.first().is_some_and(&edge) && bytes.last().is_some_and(&edge) && bytes.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_have_no_faults() {
        for name in ["a", "a.b", "0a-b.c9", &"a".repeat(253)] {
            assert_eq!(is_dns1123_subdomain(name), [""; 0], "{name}");
        }
        assert_eq!(is_dns1035_label("a-1"), [""; 0]);
        assert_eq!(is_path_segment_name("system:node:A_b"), [""; 0]);
        assert_eq!(is_qualified_name("example.com/My_name.1"), [""; 0]);
        assert_eq!(is_label_value(""), [""; 0]);
    }

    #[test]
    fn bad_names_are_refused_with_a_reason() {
        for name in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a/b", "a b", "é"] {
            assert_eq!(is_dns1123_subdomain(name), [SUBDOMAIN], "{name}");
        }
        assert_eq!(is_dns1123_subdomain(&"a".repeat(254)), ["must be no more than 253 characters"]);
        assert_eq!(is_dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(is_dns1035_label("1a"), [LABEL_1035]);
        assert_eq!(is_dns1035_label(""), [LABEL_1035]);
        assert_eq!(is_path_segment_name(".."), ["may not be '..'"]);
        assert_eq!(is_path_segment_name("a/%"), ["may not contain '/'", "may not contain '%'"]);
    }

    #[test]
    fn qualified_names_report_the_part_at_fault() {
        assert_eq!(is_qualified_name("/a"), ["prefix part must be non-empty"]);
        assert_eq!(is_qualified_name(&"x".repeat(64)), ["name part must be no more than 63 bytes"]);
        assert_eq!(
            is_qualified_name("x/"),
            ["name part must be non-empty".to_owned(), format!("name part {QUALIFIED_NAME}")]
        );
        assert!(is_qualified_name("a/b/c")[0].starts_with("a valid label key must consist of"));
    }

    #[test]
    fn a_generated_name_may_end_in_a_dash() {
        assert_eq!(NameValidation::Dns1123Subdomain.check_prefix("web-"), [""; 0]);
        assert_eq!(NameValidation::Dns1123Subdomain.check_prefix("-"), [SUBDOMAIN]);
        assert_eq!(NameValidation::Dns1123Subdomain.check_prefix("Bad_-").len(), 1);
        assert_eq!(NameValidation::PathSegment.check_prefix(".."), [""; 0]);
    }
}
