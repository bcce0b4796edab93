//! Label selectors: requirements on the labels of an object.

use std::fmt;

use schema::{Map, Value};

use super::parser;
use super::{LabelSelectorError, SelectorError};

/// Which labels an object must have: all of its requirements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// Sorted by key.
    requirements: Vec<LabelRequirement>,
    /// Selects no object at all, which no set of requirements can say.
    nothing: bool,
}

/// A demand on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequirement {
    pub(super) key: String,
    pub(super) operator: LabelOperator,
    /// Sorted, each once.
    pub(super) values: Vec<String>,
}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelOperator {
    /// `key=value`
    Equals,
    /// `key==value`: the same, printed as it came.
    DoubleEquals,
    /// `key!=value`: true without the label, too.
    NotEquals,
    /// `key in (a,b)`
    In,
    /// `key notin (a,b)`: true without the label, too.
    NotIn,
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `key>5`
    GreaterThan,
    /// `key<5`
    LessThan,
}

impl LabelSelector {
    /// Reads the text form, e.g. `app=web,tier in (a,b),!old`. Empty text selects everything.
    pub fn parse(text: &str) -> Result<LabelSelector, SelectorError> {
        Ok(LabelSelector::of(parser::parse(text)?))
    }

    /// Reads a `LabelSelector` object (`matchLabels`, `matchExpressions`). An
    /// absent one (null) selects nothing, an empty one everything.
    pub fn from_object(selector: &Value) -> Result<LabelSelector, SelectorError> {
        if selector.is_null() {
            return Ok(LabelSelector::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in selector.map_at(&["matchLabels"]).unwrap_or(&Map::new()).iter() {
            let values = vec![value.as_str().unwrap_or_default().to_owned()];
            requirements.push(LabelRequirement::new(key, LabelOperator::Equals, values)?);
        }
        for expression in selector.list_at(&["matchExpressions"]) {
            requirements.push(requirement_of(expression)?);
        }
        Ok(LabelSelector::of(requirements))
    }

    /// Selects every object.
    pub fn everything() -> LabelSelector {
        LabelSelector::default()
    }

    /// Selects no object.
    pub fn nothing() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }

    fn of(mut requirements: Vec<LabelRequirement>) -> LabelSelector {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        LabelSelector { requirements, nothing: false }
    }

    /// True if the labels meet every requirement.
    pub fn matches(&self, labels: &Map) -> bool {
        !self.nothing
            && self.requirements.iter().all(|requirement| requirement.matches(labels.str(&requirement.key)))
    }

    /// True if every object is selected.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// The one value the label `key` must have, if the selector says so.
    pub fn exact(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.iter().find(|requirement| requirement.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (LabelOperator::Equals | LabelOperator::DoubleEquals | LabelOperator::In, [value]) => Some(value),
            _ => None,
        }
    }

    /// The requirements, sorted by key.
    pub fn requirements(&self) -> &[LabelRequirement] {
        &self.requirements
    }
}

fn requirement_of(expression: &Value) -> Result<LabelRequirement, LabelSelectorError> {
    let operator = match expression.str_at(&["operator"]).unwrap_or_default() {
        "In" => LabelOperator::In,
        "NotIn" => LabelOperator::NotIn,
        "Exists" => LabelOperator::Exists,
        "DoesNotExist" => LabelOperator::DoesNotExist,
        other => return Err(LabelSelectorError::UnknownOperator(other.to_owned())),
    };
    let values =
        expression.list_at(&["values"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    LabelRequirement::new(expression.str_at(&["key"]).unwrap_or_default(), operator, values)
}

impl LabelRequirement {
    /// The label.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How it compares.
    pub fn operator(&self) -> LabelOperator {
        self.operator
    }

    /// With what, sorted; empty for existence.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    fn matches(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|wanted| wanted == value);
        match self.operator {
            LabelOperator::Equals | LabelOperator::DoubleEquals | LabelOperator::In => {
                value.is_some_and(listed)
            }
            LabelOperator::NotEquals | LabelOperator::NotIn => !value.is_some_and(listed),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
            LabelOperator::GreaterThan => self.compare(value, |value, bound| value > bound),
            LabelOperator::LessThan => self.compare(value, |value, bound| value < bound),
        }
    }

    /// A label that is no integer is neither greater nor less.
    fn compare(&self, value: Option<&str>, holds: impl Fn(i64, i64) -> bool) -> bool {
        let value = value.and_then(|text| text.parse().ok());
        let bound = self.values.first().and_then(|text| text.parse().ok());
        value.zip(bound).is_some_and(|(value, bound)| holds(value, bound))
    }
}

/// The canonical text. Parses to an equal selector, but for the set of the
/// empty value alone, which the original prints as `in ()` and cannot read back.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let values = self.values.join(",");
        match self.operator {
            LabelOperator::Equals => write!(f, "{key}={values}"),
            LabelOperator::DoubleEquals => write!(f, "{key}=={values}"),
            LabelOperator::NotEquals => write!(f, "{key}!={values}"),
            LabelOperator::In => write!(f, "{key} in ({values})"),
            LabelOperator::NotIn => write!(f, "{key} notin ({values})"),
            LabelOperator::Exists => write!(f, "{key}"),
            LabelOperator::DoesNotExist => write!(f, "!{key}"),
            LabelOperator::GreaterThan => write!(f, "{key}>{values}"),
            LabelOperator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// A `LabelSelector` object in a printed column: its text, `<none>` when it is
/// empty or absent, `<error>` when it cannot be read.
pub fn format_label_selector(selector: &Value) -> String {
    match LabelSelector::from_object(selector) {
        Ok(selector) => none_if_empty(selector.to_string()),
        Err(_) => "<error>".to_owned(),
    }
}

/// Labels in a printed column: `a=1,b=2`, or `<none>`.
pub fn format_labels(labels: &Map) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    none_if_empty(pairs.join(","))
}

fn none_if_empty(text: String) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels: Map = labels.iter().copied().collect();
        LabelSelector::parse(selector).expect("a good selector").matches(&labels)
    }

    #[test]
    fn every_operator_selects() {
        let labels = [("env", "prod"), ("n", "7"), ("empty", "")];
        for selector in [
            "",
            "env=prod",
            "env==prod",
            "env!=dev",
            "other!=x",
            "env in (dev, prod)",
            "env notin (dev)",
            "other notin (a)",
            "env",
            "!other",
            "n>6",
            "n<8",
            "empty=",
            "env=prod,n",
            "env in (,prod)",
        ] {
            assert!(matches(selector, &labels), "{selector}");
        }
        for selector in
            ["env=dev", "env!=prod", "env notin (prod)", "!env", "other", "n>7", "env>1", "other="]
        {
            assert!(!matches(selector, &labels), "{selector}");
        }
    }

    #[test]
    fn the_canonical_text_is_sorted_and_parses_to_the_same() {
        for (text, canonical) in [
            ("b=1, a==2", "a==2,b=1"),
            ("x in (c,a,b,a)", "x in (a,b,c)"),
            ("x notin (a)", "x notin (a)"),
            ("!x,y,z!=", "!x,y,z!="),
            ("x>1,y<2", "x>1,y<2"),
            ("x in (,)", "x in ()"),
        ] {
            let selector = LabelSelector::parse(text).expect("a good selector");
            assert_eq!(selector.to_string(), canonical);
        }
    }

    #[test]
    fn an_object_selector_is_read_and_printed() {
        let expression = Map::from([
            ("key", Value::from("tier")),
            ("operator", "In".into()),
            ("values", ["y", "x"].into()),
        ]);
        let selector: Value = Map::from([
            ("matchLabels", Value::from(Map::from([("app", "a")]))),
            ("matchExpressions", vec![expression].into()),
        ])
        .into();
        assert_eq!(format_label_selector(&selector), "app=a,tier in (x,y)");
        let read = LabelSelector::from_object(&selector).expect("good");
        assert!(read.matches(&Map::from([("app", "a"), ("tier", "x")])));
        assert_eq!(read.exact("app"), Some("a"));
        assert_eq!(read.exact("tier"), None);
    }

    #[test]
    fn an_absent_selector_selects_nothing_an_empty_one_everything() {
        let nothing = LabelSelector::from_object(&Value::Null).expect("good");
        assert!(!nothing.matches(&Map::new()) && !nothing.is_empty());
        let everything = LabelSelector::from_object(&Value::map()).expect("good");
        assert!(everything.matches(&Map::new()) && everything.is_empty());
        assert_eq!(format_label_selector(&Value::Null), "<none>");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_parses_prints_and_parses_again(text in "(a|b|e.com/c|in|notin|[ !=<>(),12-]){0,12}") {
            let Ok(selector) = LabelSelector::parse(&text) else { return Ok(()) };
            let printed = selector.to_string();
            if !printed.contains("in ()") {
                proptest::prop_assert_eq!(LabelSelector::parse(&printed), Ok(selector));
            }
        }
    }

    #[test]
    fn an_unknown_operator_is_refused_by_name() {
        let expression = Map::from([("key", "a"), ("operator", "Odd")]);
        let selector: Value = Map::from([("matchExpressions", vec![expression])]).into();
        let error = LabelSelector::from_object(&selector).expect_err("odd");
        assert_eq!(error.to_string(), "\"Odd\" is not a valid label selector operator");
        assert_eq!(format_label_selector(&selector), "<error>");
    }
}
