//! Warnings to the client as headers (F-X-2).

use http::HeaderValue;

/// All warnings of one answer together, in characters; beyond it each is cut.
const TOTAL_CHARS_MAX: usize = 4096;
/// A warning that is cut, in characters.
const CUT_CHARS_MAX: usize = 256;

/// Values of the `Warning` headers for `texts`. Texts that cannot stand in a
/// header are dropped, as are those beyond the total even when all are cut.
pub fn headers(texts: &[String]) -> Vec<HeaderValue> {
    let total: usize = texts.iter().map(|text| text.chars().count()).sum();
    let cut = total > TOTAL_CHARS_MAX;
    let mut left = TOTAL_CHARS_MAX;
    let mut values = Vec::with_capacity(texts.len());
    for text in texts {
        let text: String = if cut { text.chars().take(CUT_CHARS_MAX).collect() } else { text.clone() };
        let Some(rest) = left.checked_sub(text.chars().count()) else { break };
        left = rest;
        values.extend(header(&text));
    }
    values
}

fn header(text: &str) -> Option<HeaderValue> {
    if text.chars().any(char::is_control) {
        return None;
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_bytes(format!("299 - \"{escaped}\"").as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_escaped_and_control_characters_refused() {
        let texts = ["unknown field \"a\"".to_owned(), "two\nlines".to_owned()];
        assert_eq!(headers(&texts), [r#"299 - "unknown field \"a\"""#]);
    }

    #[test]
    fn beyond_the_total_each_text_is_cut() {
        let texts = vec!["x".repeat(400); 20];
        let values = headers(&texts);
        assert_eq!(values.len(), 16, "4096 / 256");
        assert!(values.iter().all(|value| value.len() == 256 + "299 - \"\"".len()));
    }
}
