//! The grammar of label selectors.
//!
//! Requirements are joined by commas. Every error text names the token at
//! fault as the original does, which is why the tokens keep their text.

use super::label::{LabelOperator, LabelRequirement};
use crate::field::{FieldError, FieldErrorType, FieldPath, quoted};
use crate::validation::{is_label_value, is_qualified_name};

/// What is wrong with a label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelSelectorError {
    /// A requirement cannot be read or is not allowed.
    #[error("unable to parse requirement: {0}")]
    Requirement(String),
    /// Something else stands where a requirement should begin or end.
    #[error("found '{found}', expected: {expected}")]
    Unexpected {
        /// The text found; empty at the end.
        found: String,
        /// What would have been good.
        expected: &'static str,
    },
    /// The operator of an expression in a selector object.
    #[error("{} is not a valid label selector operator", quoted(.0))]
    UnknownOperator(String),
    /// A requirement of a selector object is not allowed.
    #[error("{0}")]
    Invalid(String),
}

/// Reads all requirements of a selector, in the order of the text.
pub(super) fn parse(text: &str) -> Result<Vec<LabelRequirement>, LabelSelectorError> {
    let mut parser = Parser { tokens: tokens(text), at: 0 };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token::End => return Ok(requirements),
            Token::Word(_) | Token::Not => {}
            other => return Err(unexpected(other, "!, identifier, or 'end of string'")),
        }
        let requirement = parser.requirement().map_err(LabelSelectorError::Requirement)?;
        requirements.push(requirement);
        match parser.next() {
            Token::End => return Ok(requirements),
            Token::Comma => match parser.peek() {
                Token::Word(_) | Token::Not => {}
                other => return Err(unexpected(other, "identifier after ','")),
            },
            other => return Err(unexpected(other, "',' or 'end of string'")),
        }
    }
}

fn unexpected(found: Token<'_>, expected: &'static str) -> LabelSelectorError {
    LabelSelectorError::Unexpected { found: found.text().to_owned(), expected }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    End,
    Word(&'a str),
    Comma,
    Open,
    Close,
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Token::End => "",
            Token::Word(word) => word,
            Token::Comma => ",",
            Token::Open => "(",
            Token::Close => ")",
            Token::Not => "!",
            Token::Equals => "=",
            Token::DoubleEquals => "==",
            Token::NotEquals => "!=",
            Token::Greater => ">",
            Token::Less => "<",
        }
    }
}

const SYMBOLS: [Token<'static>; 9] = [
    Token::DoubleEquals,
    Token::NotEquals,
    Token::Comma,
    Token::Open,
    Token::Close,
    Token::Not,
    Token::Equals,
    Token::Greater,
    Token::Less,
];

/// `in` and `notin` come out as words: they are operators only where one may stand.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            return tokens;
        }
        let token = match SYMBOLS.iter().find(|symbol| rest.starts_with(symbol.text())) {
            Some(symbol) => *symbol,
            None => {
                let ends = |c: char| " \t\r\n=!(),><".contains(c);
                Token::Word(&rest[..rest.find(ends).unwrap_or(rest.len())])
            }
        };
        rest = &rest[token.text().len()..];
        tokens.push(token);
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).copied().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<LabelRequirement, String> {
        let (key, existence) = self.key()?;
        let (operator, values) = match existence {
            Some(operator) => (operator, Vec::new()),
            None => self.comparison()?,
        };
        LabelRequirement::validated(key, operator, values)
    }

    /// The key, and the operator if it is one of existence.
    fn key(&mut self) -> Result<(&'a str, Option<LabelOperator>), String> {
        let negated = self.peek() == Token::Not;
        if negated {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        if let Some(error) = key_error(key) {
            return Err(error.to_string());
        }
        let alone = matches!(self.peek(), Token::End | Token::Comma);
        let existence = match (negated, alone) {
            (true, _) => Some(LabelOperator::DoesNotExist),
            (false, true) => Some(LabelOperator::Exists),
            (false, false) => None,
        };
        Ok((key, existence))
    }

    fn comparison(&mut self) -> Result<(LabelOperator, Vec<String>), String> {
        let operator = match self.next() {
            Token::Word("in") => LabelOperator::In,
            Token::Word("notin") => LabelOperator::NotIn,
            Token::Equals => LabelOperator::Equals,
            Token::DoubleEquals => LabelOperator::DoubleEquals,
            Token::NotEquals => LabelOperator::NotEquals,
            Token::Greater => LabelOperator::GreaterThan,
            Token::Less => LabelOperator::LessThan,
            other => return Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.text())),
        };
        let values = match operator {
            LabelOperator::In | LabelOperator::NotIn => self.list()?,
            _ => vec![self.value()?],
        };
        Ok((operator, values))
    }

    /// One value; none at all is the empty one.
    fn value(&mut self) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            Token::Word(word) => Ok(word.to_owned()),
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }

    /// Values in parentheses. Nothing between two commas is the empty value.
    fn list(&mut self) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != Token::Open {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        match self.peek() {
            Token::Word(_) | Token::Comma => {}
            Token::Close => {
                // No value at all is the empty one, too.
                self.next();
                return Ok(vec![String::new()]);
            }
            other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.text())),
        }
        let values = self.items()?;
        self.next();
        Ok(values)
    }

    /// Up to, without, the closing parenthesis.
    fn items(&mut self) -> Result<Vec<String>, String> {
        let mut values: Vec<String> = Vec::new();
        loop {
            match self.next() {
                Token::Word(word) => {
                    values.push(word.to_owned());
                    match self.peek() {
                        Token::Comma => {}
                        Token::Close => return Ok(values),
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
                    }
                }
                Token::Comma => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.peek() {
                        Token::Close => {
                            values.push(String::new());
                            return Ok(values);
                        }
                        Token::Comma => {
                            self.next();
                            values.push(String::new());
                        }
                        _ => {}
                    }
                }
                other => return Err(format!("found '{}', expected: ',', or identifier", other.text())),
            }
        }
    }
}

impl LabelRequirement {
    /// A requirement, if key, operator and values go together.
    pub fn new(
        key: &str,
        operator: LabelOperator,
        values: Vec<String>,
    ) -> Result<LabelRequirement, LabelSelectorError> {
        LabelRequirement::validated(key, operator, values).map_err(LabelSelectorError::Invalid)
    }

    fn validated(
        key: &str,
        operator: LabelOperator,
        mut values: Vec<String>,
    ) -> Result<LabelRequirement, String> {
        values.sort();
        values.dedup();
        let mut errors: Vec<FieldError> = key_error(key).into_iter().collect();
        errors.extend(count_error(operator, &values));
        let path = FieldPath::root("values");
        let ordered = matches!(operator, LabelOperator::GreaterThan | LabelOperator::LessThan);
        for (i, value) in values.iter().enumerate() {
            let path = path.index(i);
            if ordered && value.parse::<i64>().is_err() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid_str(&path, value, detail));
            }
            let faults = is_label_value(value);
            if !faults.is_empty() {
                errors.push(FieldError::invalid_str(&path.key(key), value, faults.join("; ")));
            }
        }
        match aggregate(&errors) {
            Some(text) => Err(text),
            None => Ok(LabelRequirement { key: key.to_owned(), operator, values }),
        }
    }
}

fn key_error(key: &str) -> Option<FieldError> {
    let faults = is_qualified_name(key);
    (!faults.is_empty()).then(|| FieldError::invalid_str(&FieldPath::default(), key, faults.join("; ")))
}

fn count_error(operator: LabelOperator, values: &[String]) -> Option<FieldError> {
    let detail = match (operator, values.len()) {
        (LabelOperator::In | LabelOperator::NotIn, 0) => {
            "for 'in', 'notin' operators, values set can't be empty"
        }
        (LabelOperator::In | LabelOperator::NotIn, _) => return None,
        (LabelOperator::Exists | LabelOperator::DoesNotExist, 0) => return None,
        (LabelOperator::Exists | LabelOperator::DoesNotExist, _) => {
            "values set must be empty for exists and does not exist"
        }
        (_, 1) => return None,
        (LabelOperator::GreaterThan | LabelOperator::LessThan, _) => {
            "for 'Gt', 'Lt' operators, exactly one value is required"
        }
        (LabelOperator::Equals | LabelOperator::DoubleEquals | LabelOperator::NotEquals, _) => {
            "exact-match compatibility requires one single value"
        }
    };
    let shown: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    let shown = format!("[{}]", shown.join(","));
    Some(FieldError::new(FieldErrorType::Invalid, &FieldPath::root("values"), shown, detail))
}

/// Several errors in one text, as Go's aggregate prints them.
fn aggregate(errors: &[FieldError]) -> Option<String> {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_errors_name_the_token_at_fault() {
        for (selector, expected) in [
            ("env=prod,", "found '', expected: identifier after ','"),
            (",env=prod", "found ',', expected: !, identifier, or 'end of string'"),
            ("env=a=b", "found '=', expected: ',' or 'end of string'"),
            ("k=a b", "found 'b', expected: ',' or 'end of string'"),
            ("env in", "unable to parse requirement: found '' expected: '('"),
            ("env in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("env in a", "unable to parse requirement: found 'a' expected: '('"),
            ("=x", "found '=', expected: !, identifier, or 'end of string'"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("env===x", "unable to parse requirement: found '=', expected: identifier"),
            ("env=!x", "unable to parse requirement: found '!', expected: identifier"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("env in (a))", "found ')', expected: ',' or 'end of string'"),
            ("!env=x", "found '=', expected: ',' or 'end of string'"),
            ("()", "found '(', expected: !, identifier, or 'end of string'"),
            (
                "/x=y",
                "unable to parse requirement: <nil>: Invalid value: \"/x\": prefix part must be non-empty",
            ),
            (
                "k>abc",
                "unable to parse requirement: values[0]: Invalid value: \"abc\": for 'Gt', 'Lt' operators, the value \
                 must be an integer",
            ),
        ] {
            assert_eq!(parse(selector).expect_err(selector).to_string(), expected, "{selector}");
        }
    }

    #[test]
    fn a_bad_value_is_shown_with_its_index_and_key() {
        let error = parse("k in (a,-b)").expect_err("bad").to_string();
        let start = "unable to parse requirement: values[0][k]: Invalid value: \"-b\": a valid label must be an empty";
        assert!(error.starts_with(start), "{error}");
    }

    #[test]
    fn in_and_notin_can_be_labels_too() {
        assert_eq!(parse("in=x").expect("good")[0].key(), "in");
        assert_eq!(parse("k in ()").expect("good")[0].values(), [""]);
        assert_eq!(parse("notin in (in)").expect("good")[0].values(), ["in"]);
    }
}
