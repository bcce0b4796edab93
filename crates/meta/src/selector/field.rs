//! Field selectors: comparisons of fields with exact values.

use std::fmt;

use super::SelectorError;

/// Which fields an object must have: all of its comparisons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// Field label, e.g. `metadata.name`.
    pub label: String,
    /// Equal or not.
    pub operator: FieldOperator,
    /// The value, unescaped.
    pub value: String,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOperator {
    /// `=` or `==`
    Equals,
    /// `!=`
    NotEquals,
}

/// What is wrong with a field selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    /// A term without an operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    NoOperator {
        /// The whole.
        selector: String,
        /// The term.
        term: String,
    },
    /// A backslash before a character that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    InvalidEscape(String),
    /// A character that needs a backslash; shown as its number.
    #[error("invalid field selector: unescaped character in value: {}", *.0 as u32)]
    Unescaped(char),
}

impl FieldSelector {
    /// Reads the text form, e.g. `metadata.name=a,status.phase!=Running`. In
    /// values `\`, `,` and `=` are escaped by a backslash. Empty terms are skipped.
    pub fn parse(text: &str) -> Result<FieldSelector, SelectorError> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let terms = terms.into_iter().filter(|term| !term.is_empty());
        let requirements = terms.map(|term| requirement(text, term)).collect::<Result<_, _>>()?;
        Ok(FieldSelector { requirements })
    }

    /// Selects objects whose field `label` is `value`.
    pub fn equals(label: impl Into<String>, value: impl Into<String>) -> FieldSelector {
        let operator = FieldOperator::Equals;
        FieldSelector {
            requirements: vec![FieldRequirement { label: label.into(), operator, value: value.into() }],
        }
    }

    /// True if the fields, as `value_of` gives them by label, compare as
    /// demanded. A field that is absent is empty.
    pub fn matches<S: AsRef<str>>(&self, value_of: impl Fn(&str) -> S) -> bool {
        self.requirements
            .iter()
            .all(|r| (value_of(&r.label).as_ref() == r.value) == (r.operator == FieldOperator::Equals))
    }

    /// True if every object is selected.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The value `label` must have, if the selector says so.
    pub fn requires_exact(&self, label: &str) -> Option<&str> {
        let wanted = |r: &&FieldRequirement| r.label == label && r.operator == FieldOperator::Equals;
        self.requirements.iter().find(wanted).map(|r| r.value.as_str())
    }

    /// The comparisons, in order of their text.
    pub fn requirements(&self) -> impl Iterator<Item = &FieldRequirement> {
        self.requirements.iter()
    }

    /// The selector with labels and values replaced by what `convert` makes of
    /// them, e.g. an alias by its field. A comparison converted to none is dropped.
    pub fn transform<E>(
        &self,
        convert: impl Fn(&str, &str) -> Result<Option<(String, String)>, E>,
    ) -> Result<FieldSelector, E> {
        let mut requirements = Vec::with_capacity(self.requirements.len());
        for requirement in &self.requirements {
            if let Some((label, value)) = convert(&requirement.label, &requirement.value)? {
                requirements.push(FieldRequirement { label, operator: requirement.operator, value });
            }
        }
        Ok(FieldSelector { requirements })
    }
}

fn requirement(selector: &str, term: &str) -> Result<FieldRequirement, FieldSelectorError> {
    // The first operator counts; `!=` begins before its `=` and `==` is tried before `=`.
    let at = term.find("!=").into_iter().chain(term.find('=')).min();
    let Some(at) = at else {
        return Err(FieldSelectorError::NoOperator { selector: selector.to_owned(), term: term.to_owned() });
    };
    let (label, rest) = term.split_at(at);
    let (operator, value) = match rest.strip_prefix("!=") {
        Some(value) => (FieldOperator::NotEquals, value),
        None => (FieldOperator::Equals, rest.strip_prefix("==").unwrap_or(&rest[1..])),
    };
    Ok(FieldRequirement { label: label.to_owned(), operator, value: unescape(value)? })
}

/// Splits at commas that no backslash escapes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn unescape(value: &str) -> Result<String, FieldSelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(FieldSelectorError::InvalidEscape(format!("\\{c}"))),
                None => return Err(FieldSelectorError::InvalidEscape("\\".to_owned())),
            },
            ',' | '=' => return Err(FieldSelectorError::Unescaped(c)),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// The canonical text; parses to a selector of the same comparisons.
impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let operator = if requirement.operator == FieldOperator::Equals { "=" } else { "!=" };
            let value = requirement.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", requirement.label)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> FieldSelector {
        FieldSelector::parse(text).expect("a good selector")
    }

    #[test]
    fn comparisons_select() {
        let value_of = |label: &str| if label == "metadata.name" { "a".to_owned() } else { String::new() };
        for text in
            ["", ",", "metadata.name=a", "metadata.name==a", "metadata.name!=b", "metadata.name=a,", "x="]
        {
            assert!(parse(text).matches(value_of), "{text}");
        }
        for text in ["metadata.name=b", "metadata.name!=a", "x!=", "metadata.name=a,metadata.name=b"] {
            assert!(!parse(text).matches(value_of), "{text}");
        }
    }

    #[test]
    fn values_are_unescaped_and_printed_escaped() {
        let selector = parse("a=x\\,y\\=z\\\\");
        assert_eq!(selector.requires_exact("a"), Some("x,y=z\\"));
        assert_eq!(selector.to_string(), "a=x\\,y\\=z\\\\");
        assert_eq!(parse("b!=1,a==2").to_string(), "a=2,b!=1");
    }

    #[test]
    fn errors_say_what_is_not_understood() {
        for (text, expected) in [
            ("bad", "invalid selector: 'bad'; can't understand 'bad'"),
            ("!metadata.name", "invalid selector: '!metadata.name'; can't understand '!metadata.name'"),
            ("metadata.name=a\\", "invalid field selector: invalid escape sequence: \\"),
            ("metadata.name=a\\x", "invalid field selector: invalid escape sequence: \\x"),
            ("metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
        ] {
            assert_eq!(FieldSelector::parse(text).expect_err(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn only_equality_is_exact() {
        let selector = parse("metadata.name!=a,spec.nodeName=n");
        assert_eq!(selector.requires_exact("metadata.name"), None);
        assert_eq!(selector.requires_exact("spec.nodeName"), Some("n"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_parses_prints_and_parses_again(text in "[ab=!,\\\\é]{0,12}") {
            let Ok(selector) = FieldSelector::parse(&text) else { return Ok(()) };
            let sorted = |selector: &FieldSelector| {
                let mut terms: Vec<String> = selector.requirements().map(|term| format!("{term:?}")).collect();
                terms.sort();
                terms
            };
            proptest::prop_assert_eq!(sorted(&parse(&selector.to_string())), sorted(&selector));
        }
    }

    #[test]
    fn aliases_are_replaced_and_unknown_labels_reported() {
        let convert = |label: &str, value: &str| match label {
            "spec.host" => Ok(Some(("spec.nodeName".to_owned(), value.to_owned()))),
            "any" => Ok(None),
            _ => Err(label.to_owned()),
        };
        assert_eq!(parse("spec.host=n,any=1").transform(convert), Ok(parse("spec.nodeName=n")));
        assert_eq!(parse("x=1").transform(convert), Err("x".to_owned()));
    }
}
