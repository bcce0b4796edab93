//! Links of proxied pages: made to point back here where they point at the
//! other server, so that a page seen through the proxy can be clicked through.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use flate2::read::{DeflateDecoder, GzDecoder};
use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::response::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use meta::ApiError;

use super::stop;
use crate::filters::Exchange;
use crate::respond::{self, Body};
use crate::status::Failure;

/// Longest page whose links are rewritten, in bytes, as sent and unpacked. A
/// longer one goes through as it is.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Where links point and where they should.
pub struct Links {
    /// What stands in front of the other server's paths here.
    pub prefix: String,
    /// This server, as the client called it.
    pub own_host: String,
    /// The other server.
    pub other_host: String,
}

impl Links {
    /// A link as the client can follow it. Links to elsewhere and relative ones stay.
    pub fn rewrite(&self, link: &str) -> String {
        let Some(url) = Url::parse(link) else { return link.to_owned() };
        let elsewhere = !url.host.is_empty() && url.host != self.other_host && url.host != self.own_host;
        if elsewhere || !url.path.starts_with('/') {
            return link.to_owned();
        }
        let start = if !url.host.is_empty() && url.host == self.own_host {
            &link[..link.len() - url.path.len() - url.rest.len()]
        } else {
            ""
        };
        if url.path.starts_with(&self.prefix) {
            return format!("{start}{}{}", url.path, url.rest);
        }
        format!("{start}{}{}{}", self.prefix.trim_end_matches('/'), url.path, url.rest)
    }
}

/// Parts of a link.
struct Url<'a> {
    host: &'a str,
    path: &'a str,
    /// Query and fragment.
    rest: &'a str,
}

impl<'a> Url<'a> {
    /// None for schemes without a host, such as `mailto:`.
    fn parse(link: &'a str) -> Option<Url<'a>> {
        let scheme = link.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
        let after = match scheme {
            Some(end) if end > 0 && link[end..].starts_with(':') => &link[end + 1..],
            _ => link,
        };
        let (host, after) = match after.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None if after.len() < link.len() && !after.starts_with('/') => return None,
            None => ("", after),
        };
        let (path, rest) = after.split_at(after.find(['?', '#']).unwrap_or(after.len()));
        Some(Url { host, path, rest })
    }
}

/// The answer, its links rewritten if it is a page.
pub async fn rewritten(
    mut parts: Parts,
    mut body: Incoming,
    links: &Links,
    exchange: &Exchange,
) -> Result<Response<Body>, Failure> {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_page = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim() == "text/html";
    let encoding = text(CONTENT_ENCODING).to_owned();
    if !is_page || !matches!(encoding.as_str(), "" | "gzip" | "deflate") {
        return Ok(Response::from_parts(parts, stop::relayed(body, exchange)));
    }
    let mut page = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::ServiceUnavailable(format!("error trying to reach service: {error}"))
        })?;
        page.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if page.len() > PAGE_BYTES_MAX {
            return Ok(Response::from_parts(parts, stop::continued(page.freeze(), body, exchange)));
        }
    }
    let page = page.freeze();
    let Some(plain) = unpacked(&page, &encoding) else {
        return Ok(Response::from_parts(parts, respond::full(page)));
    };
    parts.headers.remove(CONTENT_LENGTH);
    // Packed again it would be smaller, but nobody has to.
    parts.headers.remove(CONTENT_ENCODING);
    Ok(Response::from_parts(parts, respond::full(rewrite_page(&plain, links))))
}

/// None for what cannot be unpacked or is too long.
fn unpacked(page: &Bytes, encoding: &str) -> Option<Bytes> {
    let limit = u64::try_from(PAGE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut plain = Vec::new();
    let read = match encoding {
        "gzip" => GzDecoder::new(&page[..]).take(limit).read_to_end(&mut plain),
        "deflate" => DeflateDecoder::new(&page[..]).take(limit).read_to_end(&mut plain),
        _ => return Some(page.clone()),
    };
    read.ok().filter(|read| *read < PAGE_BYTES_MAX).map(|_| plain.into())
}

/// Attributes that hold links, by element.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is no markup.
const RAW: &[&str] = &["script", "style", "textarea", "title"];

fn rewrite_page(page: &[u8], links: &Links) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.len() + page.len() / 8);
    let mut rest = page;
    while let Some(start) = memchr(b'<', rest) {
        out.extend_from_slice(&rest[..start]);
        rest = &rest[start..];
        let length = if rest.starts_with(b"<!--") {
            find(rest, b"-->").map_or(rest.len(), |end| end + 3)
        } else if rest.get(1).is_some_and(u8::is_ascii_alphabetic) {
            let length = tag_length(rest);
            let name = rewrite_tag(&rest[..length], links, &mut out);
            rest = &rest[length..];
            let raw = if RAW.contains(&name.as_str()) { raw_length(rest, &name) } else { 0 };
            out.extend_from_slice(&rest[..raw]);
            rest = &rest[raw..];
            continue;
        } else {
            1
        };
        out.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
    out
}

fn memchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|candidate| *candidate == byte)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Up to and with the `>` that is in no quotes.
fn tag_length(tag: &[u8]) -> usize {
    let mut quote = None;
    for (index, byte) in tag.iter().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if open == *byte => quote = None,
            (Some(_), _) => {}
            // Quotes only count where a value may begin.
            (None, b'"' | b'\'') if before(tag, index) == Some(b'=') => quote = Some(*byte),
            (None, b'>') => return index + 1,
            _ => {}
        }
    }
    tag.len()
}

fn before(tag: &[u8], index: usize) -> Option<u8> {
    tag[..index].iter().rev().find(|byte| !byte.is_ascii_whitespace()).copied()
}

/// Up to the element's end tag.
fn raw_length(rest: &[u8], name: &str) -> usize {
    let end = format!("</{name}");
    let found = rest.windows(end.len()).position(|window| window.eq_ignore_ascii_case(end.as_bytes()));
    found.unwrap_or(rest.len())
}

/// Writes a start tag with its links rewritten; tells its name.
fn rewrite_tag(tag: &[u8], links: &Links, out: &mut Vec<u8>) -> String {
    let name_end = 1 + tag[1..].iter().take_while(|byte| is_name(**byte)).count();
    let name = String::from_utf8_lossy(&tag[1..name_end]).to_ascii_lowercase();
    let attributes = LINKS.iter().find(|(element, _)| *element == name).map(|(_, attributes)| *attributes);
    let Some(attributes) = attributes else {
        out.extend_from_slice(tag);
        return name;
    };
    let mut written = 0;
    let mut at = name_end;
    while let Some((attribute, value)) = next_attribute(tag, &mut at) {
        let wanted = attributes.iter().any(|wanted| attribute.eq_ignore_ascii_case(wanted.as_bytes()));
        if let (true, Ok(link)) = (wanted, std::str::from_utf8(&tag[value.clone()])) {
            out.extend_from_slice(&tag[written..value.start]);
            out.extend_from_slice(links.rewrite(link).as_bytes());
            written = value.end;
        }
    }
    out.extend_from_slice(&tag[written..]);
    name
}

fn is_name(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !matches!(byte, b'/' | b'>' | b'=')
}

/// The next attribute's name and where its value is, without quotes.
fn next_attribute<'a>(tag: &'a [u8], at: &mut usize) -> Option<(&'a [u8], std::ops::Range<usize>)> {
    let skip = |from: usize, wanted: &dyn Fn(u8) -> bool| {
        from + tag[from..].iter().take_while(|byte| wanted(**byte)).count()
    };
    let start = skip(*at, &|byte| !is_name(byte));
    let end = skip(start, &is_name);
    if start == end {
        return None;
    }
    let equals = skip(end, &|byte| byte.is_ascii_whitespace());
    if tag.get(equals) != Some(&b'=') {
        *at = end;
        return Some((&tag[start..end], end..end));
    }
    let value = skip(equals + 1, &|byte| byte.is_ascii_whitespace());
    let range = match tag.get(value) {
        Some(quote @ (b'"' | b'\'')) => value + 1..skip(value + 1, &|byte| byte != *quote),
        _ => value..skip(value, &|byte| !byte.is_ascii_whitespace() && byte != b'>'),
    };
    *at = (range.end + 1).min(tag.len());
    Some((&tag[start..end], range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Links {
        Links {
            prefix: "/api/v1/namespaces/n/pods/p/proxy".to_owned(),
            own_host: "api:6443".to_owned(),
            other_host: "10.0.0.1:80".to_owned(),
        }
    }

    #[test]
    fn links_to_the_other_server_lead_through_here() {
        let through = |path: &str| format!("/api/v1/namespaces/n/pods/p/proxy{path}");
        for (link, expected) in [
            ("/a?b=c#d", through("/a?b=c#d")),
            ("/", through("/")),
            ("http://10.0.0.1:80/a/", through("/a/")),
            ("https://api:6443/a", format!("https://api:6443{}", through("/a"))),
            ("/api/v1/namespaces/n/pods/p/proxy/a", through("/a")),
            ("a/b", "a/b".to_owned()),
            ("http://elsewhere/a", "http://elsewhere/a".to_owned()),
            ("mailto:a@b", "mailto:a@b".to_owned()),
            ("#top", "#top".to_owned()),
        ] {
            assert_eq!(links().rewrite(link), expected, "{link}");
        }
    }

    #[test]
    fn only_attributes_that_hold_links_are_rewritten() {
        let page = r#"<html><body data-x="/x"><a class=c HREF="/a">/b</a><img src='/i.png'><a href=/c>
<!-- <a href="/d"> --><script src="/s.js">"<a href='/e'>"</script><p title="a > b"><a href="x">1 < 2"#;
        let expected = r#"<html><body data-x="/x"><a class=c HREF="P/a">/b</a><img src='P/i.png'><a href=P/c>
<!-- <a href="/d"> --><script src="P/s.js">"<a href='/e'>"</script><p title="a > b"><a href="x">1 < 2"#;
        let rewritten = String::from_utf8(rewrite_page(page.as_bytes(), &links())).expect("text");
        assert_eq!(rewritten, expected.replace("P/", &format!("{}/", links().prefix)));
    }

    #[test]
    fn broken_pages_do_no_harm() {
        for page in [
            "<",
            "<a",
            "<a href",
            "<a href=",
            "<a href=\"",
            "<!--",
            "<script",
            "<script>",
            "</a",
            "<a href='/x",
        ] {
            let _ = rewrite_page(page.as_bytes(), &links());
        }
    }
}
