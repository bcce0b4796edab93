//! `[scheme:]name[:port]`, as what is proxied to may be named.

use kubelet_client::Scheme;

/// A name, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemeNamePort<'a> {
    /// Plain HTTP if none was named.
    pub scheme: Scheme,
    /// The object's name.
    pub name: &'a str,
    /// Name or number of a port, empty if none was named.
    pub port: &'a str,
}

impl<'a> SchemeNamePort<'a> {
    /// None if it has too many parts, an unknown scheme or no name.
    pub fn parse(id: &'a str) -> Option<SchemeNamePort<'a>> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match parts[..] {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => return None,
        };
        let scheme = match scheme {
            "" | "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        (!name.is_empty()).then_some(SchemeNamePort { scheme, name, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let parse = |id| SchemeNamePort::parse(id).map(|parts| (parts.scheme.name(), parts.name, parts.port));
        assert_eq!(parse("a"), Some(("http", "a", "")));
        assert_eq!(parse("a:80"), Some(("http", "a", "80")));
        assert_eq!(parse("https:a:"), Some(("https", "a", "")));
        assert_eq!(parse("https:a:http"), Some(("https", "a", "http")));
        for wrong in ["", ":80", "ftp:a:80", "a:b:c:d"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
