//! JSON text to JSON text: with or without white space.
//!
//! Owns no understanding of the text: it must be JSON. Works on bytes, without
//! recursion.

use super::encode::{is_line_separator, unicode_escape};

/// Appends JSON with one member per line and two spaces per level, as Go's
/// `json.Indent` writes it.
pub fn pretty(json: &[u8], out: &mut Vec<u8>) {
    let mut depth: usize = 0;
    let mut opened = false;
    tokens(json, |token| {
        let closes = matches!(token, [b'}' | b']']);
        if std::mem::take(&mut opened) && !closes {
            depth += 1;
            new_line(depth, out);
        } else if closes && !matches!(out.last(), Some(b'{' | b'[')) {
            depth = usize::saturating_sub(depth, 1);
            new_line(depth, out);
        }
        out.extend_from_slice(token);
        match token {
            [b'{' | b'['] => opened = true,
            b"," => new_line(depth, out),
            b":" => out.push(b' '),
            _ => {}
        }
    });
}

/// Appends JSON without white space between tokens and with `<`, `>`, `&`
/// escaped: what Go makes of text that is embedded in output.
pub fn compact(json: &[u8], out: &mut Vec<u8>) {
    tokens(json, |token| {
        let mut start = 0;
        for (i, b) in token.iter().enumerate() {
            let html = matches!(b, b'<' | b'>' | b'&');
            if html || is_line_separator(&token[i..]) {
                out.extend_from_slice(&token[start..i]);
                start = i + 1;
                if html {
                    unicode_escape(*b, out);
                } else {
                    out.extend_from_slice(if token[i + 2] == 0xA8 { b"\\u2028" } else { b"\\u2029" });
                    start += 2;
                }
            }
        }
        out.extend_from_slice(&token[start..]);
    });
}

fn new_line(depth: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', depth * 2));
}

/// Calls `token` with each string, punctuation mark, number and literal.
fn tokens<'a>(json: &'a [u8], mut token: impl FnMut(&'a [u8])) {
    let mut pos = 0;
    while let Some(b) = json.get(pos) {
        let rest = &json[pos..];
        let length = match b {
            b' ' | b'\t' | b'\r' | b'\n' => {
                pos += 1;
                continue;
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string_length(rest),
            _ => rest
                .iter()
                .position(|b| {
                    matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"')
                })
                .unwrap_or(rest.len()),
        };
        token(&rest[..length]);
        pos += length;
    }
}

fn string_length(text: &[u8]) -> usize {
    let mut i = 1;
    while let Some(b) = text.get(i) {
        i += 1;
        match b {
            b'"' => break,
            b'\\' => i += 1,
            _ => {}
        }
    }
    i.min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indented_as_by_go() {
        let mut out = Vec::new();
        pretty(br#"{"a":[],"b":[1,{"c":"x,\"y"}],"d":{}}"#, &mut out);
        let expect = "{\n  \"a\": [],\n  \"b\": [\n    1,\n    {\n      \"c\": \"x,\\\"y\"\n    }\n  ],\n  \"d\": {}\n}";
        assert_eq!(String::from_utf8_lossy(&out), expect);
    }

    #[test]
    fn garbage_is_passed_over_without_panic() {
        for garbage in ["}}}}", "\"\\", "{\"a", "]", ""] {
            pretty(garbage.as_bytes(), &mut Vec::new());
            compact(garbage.as_bytes(), &mut Vec::new());
        }
    }

    #[test]
    fn compact_text_escapes_what_html_could_read() {
        let mut out = Vec::new();
        compact("{ \"a\" : \"<\u{2028}&\" }".as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), r#"{"a":"\u003c\u2028\u0026"}"#);
    }
}
