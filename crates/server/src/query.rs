//! The query of a request, and Go's ways of reading values from it. Options
//! of the verbs are made from it in `options`.

/// The parameters of a query, in order, percent-decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// A parameter cannot be read. The text is the original's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("strconv.ParseInt: parsing {}: {problem}", meta::field::quoted(.text))]
pub struct ParseIntError {
    text: String,
    problem: &'static str,
}

impl Query {
    /// Reads a raw query. Parameters that are not well encoded are left out,
    /// as in the original.
    pub fn parse(raw: &str) -> Query {
        let parameters = raw.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
        let decoded = parameters.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(key, true)?, decode(value, true)?))
        });
        Query(decoded.collect())
    }

    /// The first value of a parameter.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    /// All values of a parameter, in order.
    pub fn all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The first value, empty if there is none.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// A flag; none if it is not given.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key).map(truthy)
    }

    /// A number; none if it is not given.
    pub fn int(&self, key: &str) -> Result<Option<i64>, ParseIntError> {
        self.get(key).map(parse_int).transpose()
    }
}

/// Flags are true unless they say otherwise: a parameter without value is true.
pub fn truthy(value: &str) -> bool {
    !(value == "0" || value.eq_ignore_ascii_case("false"))
}

/// Go's `strconv.ParseInt(text, 10, 64)`.
pub fn parse_int(text: &str) -> Result<i64, ParseIntError> {
    let fail = |problem| ParseIntError { text: text.to_owned(), problem };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fail("invalid syntax"));
    }
    text.parse().map_err(|_| fail("value out of range"))
}

/// Decodes percent escapes (and `+` as a space in queries). None if an escape
/// is broken. What is no UTF-8 becomes U+FFFD, which no selector or name may
/// hold: if it were left out, a delete by a broken selector would delete everything.
pub fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    Some(
        String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_keep_their_order() {
        let query = Query::parse("a=1&b=x%20y+z&a=2&c&d=%zz&e=%ff");
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.get("b"), Some("x y z"));
        assert_eq!(query.get("c"), Some(""));
        assert_eq!(query.get("d"), None, "broken escape");
        assert_eq!(query.get("e"), Some("\u{fffd}"), "not UTF-8");
    }

    #[test]
    fn flags_are_true_unless_they_say_false_or_0() {
        let query = Query::parse("a&b=yes&c=TRUE&d=False&e=0&f=1");
        let flags = ["a", "b", "c", "d", "e", "f", "g"].map(|key| query.flag(key));
        assert_eq!(flags, [Some(true), Some(true), Some(true), Some(false), Some(false), Some(true), None]);
    }

    #[test]
    fn numbers_fail_with_the_texts_of_go() {
        assert_eq!(parse_int("-1"), Ok(-1));
        for (text, problem) in [
            ("", "invalid syntax"),
            ("1.5", "invalid syntax"),
            ("99999999999999999999", "value out of range"),
        ] {
            let error = parse_int(text).expect_err("no number").to_string();
            assert_eq!(error, format!("strconv.ParseInt: parsing {text:?}: {problem}"));
        }
    }
}
