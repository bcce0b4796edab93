//! The token that continues a list (A-PAG-4..6): a start key relative to the
//! list's prefix, so that cache and backend read each other's tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const VERSION: &str = "meta.k8s.io/v1";

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinueToken {
    /// Revision the list is pinned to; -1 goes on at the newest one.
    pub revision: i64,
    /// First key to read, in full.
    pub start: String,
}

/// The token was not made by a list below this prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContinueTokenError {
    /// No base64, no JSON, or a start that climbs out of the prefix.
    #[error("continue key is not valid: {0}")]
    Malformed(String),
    /// Revision 0.
    #[error("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")]
    StartRevision,
    /// Empty start.
    #[error("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")]
    EmptyStart,
    /// Another version of the token.
    #[error("continue key is not valid: server does not recognize this encoded version {0}")]
    Version(String),
}

impl ContinueToken {
    /// The text of the token for a list below `prefix` (a full key that ends in
    /// a slash); none if `start` does not lie there.
    pub fn encode(&self, prefix: &str) -> Option<String> {
        let start = self.start.strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
        let start = Value::from(start).to_string();
        // Written by hand because the order of the members is part of the form.
        let json = format!(r#"{{"v":"{VERSION}","rv":{},"start":{start}}}"#, self.revision);
        Some(URL_SAFE_NO_PAD.encode(json))
    }

    /// Reads a token for a list below `prefix`.
    pub fn decode(text: &str, prefix: &str) -> Result<ContinueToken, ContinueTokenError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|error| ContinueTokenError::Malformed(base64_text(&error)))?;
        let token: Value = serde_json::from_slice(&bytes)
            .map_err(|error| ContinueTokenError::Malformed(error.to_string()))?;
        let version = text_of(&token, "v")?;
        if version != VERSION {
            return Err(ContinueTokenError::Version(version));
        }
        let revision = match token.get("rv").unwrap_or(&json!(0)) {
            Value::Null => 0,
            number => {
                number.as_i64().ok_or_else(|| ContinueTokenError::Malformed("rv is no int64".into()))?
            }
        };
        if revision == 0 {
            return Err(ContinueTokenError::StartRevision);
        }
        let start = text_of(&token, "start")?;
        if start.is_empty() {
            return Err(ContinueTokenError::EmptyStart);
        }
        let relative = start.strip_prefix('/').unwrap_or(&start);
        if !is_clean(relative) {
            return Err(ContinueTokenError::Malformed(start));
        }
        Ok(ContinueToken { revision, start: format!("{prefix}{relative}") })
    }
}

/// True if the path climbs nowhere and has no empty segment. The empty path is the prefix itself.
fn is_clean(relative: &str) -> bool {
    relative.is_empty() || relative.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

fn text_of(token: &Value, key: &str) -> Result<String, ContinueTokenError> {
    match token.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(ContinueTokenError::Malformed(format!("{key} is no string"))),
    }
}

/// Go's text for the same fault.
fn base64_text(error: &base64::DecodeError) -> String {
    let offset = match error {
        base64::DecodeError::InvalidByte(offset, _) | base64::DecodeError::InvalidLastSymbol(offset, _) => {
            *offset
        }
        base64::DecodeError::InvalidLength(length) => length.saturating_sub(1),
        base64::DecodeError::InvalidPadding => 0,
    };
    format!("illegal base64 data at input byte {offset}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "/registry/pods/ns/";

    fn token(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn the_wire_form_is_the_originals() {
        let text =
            ContinueToken { revision: 7, start: "/registry/pods/ns/a\0".into() }.encode(PREFIX).unwrap();
        let json = String::from_utf8(URL_SAFE_NO_PAD.decode(&text).unwrap()).unwrap();
        assert_eq!(json, "{\"v\":\"meta.k8s.io/v1\",\"rv\":7,\"start\":\"a\\u0000\"}");
        let back = ContinueToken::decode(&text, PREFIX).unwrap();
        assert_eq!(back, ContinueToken { revision: 7, start: "/registry/pods/ns/a\0".into() });
    }

    #[test]
    fn a_key_outside_the_prefix_makes_no_token() {
        let token = ContinueToken { revision: 7, start: "/registry/pods/other/a".into() };
        assert_eq!(token.encode(PREFIX), None);
    }

    #[test]
    fn starts_with_and_without_a_slash_mean_the_same() {
        for (start, want) in [("a", "a"), ("/a", "a"), ("/", ""), ("x/a", "x/a")] {
            let text = token(&format!(r#"{{"v":"meta.k8s.io/v1","rv":1,"start":"{start}"}}"#));
            assert_eq!(ContinueToken::decode(&text, PREFIX).unwrap().start, format!("{PREFIX}{want}"));
        }
    }

    #[test]
    fn bad_tokens_are_refused_with_the_originals_text() {
        for (text, want) in [
            (
                token(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
                "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            ),
            (
                token(r#"{"v":"meta.k8s.io/v2","rv":5,"start":"a"}"#),
                "server does not recognize this encoded version meta.k8s.io/v2",
            ),
            (token(r#"{"v":"meta.k8s.io/v1","rv":5,"start":"../a"}"#), "../a"),
            (token(r#"{"v":"meta.k8s.io/v1","rv":5,"start":"a//b"}"#), "a//b"),
            (token(r#"{"v":"meta.k8s.io/v1","rv":5,"start":"a/"}"#), "a/"),
            (
                token(r#"{"v":"meta.k8s.io/v1","rv":5,"start":""}"#),
                "encoded start key empty (version meta.k8s.io/v1)",
            ),
            ("!!!".into(), "illegal base64 data at input byte 0"),
        ] {
            let error = ContinueToken::decode(&text, PREFIX).unwrap_err().to_string();
            assert_eq!(error, format!("continue key is not valid: {want}"));
        }
    }
}
