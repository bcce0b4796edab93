//! The small checks validation is made of, with the original's texts. Each
//! adds to a list of errors what it finds. Owns no rule of a single kind.

use meta::field::FieldErrorType;
use meta::{FieldError, FieldErrors, FieldPath};
use registry::RequestContext;
use schema::Value;

use crate::defaults::is_empty;

/// The text every change of a fixed field is refused with.
pub const IMMUTABLE: &str = "field is immutable";

/// The text a number below zero is refused with.
pub const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// The text an object without a name is refused with.
pub const NAME_REQUIRED: &str = "name or generateName is required";

/// The path of a field from the object down, steps joined by dots.
pub fn at(path: &str) -> FieldPath {
    FieldPath::root(path)
}

/// The time of a request as the API writes it, in whole seconds.
pub fn now(context: &RequestContext) -> String {
    meta::time::rfc3339(context.environment.clock.now())
}

/// The string at a path, empty if there is none.
pub fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    object.str_at(path).unwrap_or_default()
}

/// Something must stand here. True if it does.
pub fn required(errors: &mut FieldErrors, path: &FieldPath, text: &str) -> bool {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    !text.is_empty()
}

/// One of `supported`, which the message lists in the order given.
pub fn one_of(errors: &mut FieldErrors, path: &FieldPath, text: &str, supported: &[&str]) {
    if !supported.contains(&text) {
        errors.push(FieldError::not_supported(path, &text.into(), supported));
    }
}

/// [`required`], then [`one_of`].
pub fn required_one_of(errors: &mut FieldErrors, path: &FieldPath, text: &str, supported: &[&str]) {
    if required(errors, path, text) {
        one_of(errors, path, text, supported);
    }
}

/// One error for each message about a text.
pub fn messages(errors: &mut FieldErrors, path: &FieldPath, text: &str, messages: Vec<String>) {
    errors.extend(messages.into_iter().map(|message| FieldError::invalid_str(path, text, message)));
}

/// A number that may be missing must not be negative.
pub fn not_negative(errors: &mut FieldErrors, path: &FieldPath, number: Option<i64>) {
    if let Some(number) = number.filter(|number| *number < 0) {
        errors.push(FieldError::invalid(path, &number.into(), NOT_NEGATIVE));
    }
}

/// An error whose value stands in the message as `shown`.
pub fn invalid_shown(path: &FieldPath, shown: String, detail: impl Into<String>) -> FieldError {
    FieldError::new(FieldErrorType::Invalid, path, shown, detail)
}

/// [`FieldError::not_supported`] about a value that stands in the message as `shown`.
pub fn unsupported_shown(path: &FieldPath, shown: String, supported: &[&str]) -> FieldError {
    let detail = FieldError::not_supported(path, &Value::Null, supported).detail;
    FieldError::new(FieldErrorType::NotSupported, path, shown, detail)
}

/// The value at a path, none if it is null.
pub fn given<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    object.at(path).filter(|value| !value.is_null())
}

/// Equal as the original's semantic comparison sees it: absent, null and empty are the same.
pub fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(Value::Map(a)), Some(Value::Map(b))) => {
            let keys = a.keys().chain(b.keys());
            keys.into_iter().all(|key| same(a.get(key), b.get(key)))
        }
        (Some(Value::List(a)), Some(Value::List(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(Some(a), Some(b)))
        }
        (Some(a), Some(b)) if a == b => true,
        _ => is_empty(a) && is_empty(b),
    }
}

/// The value at `path` must be what it was.
pub fn immutable(errors: &mut FieldErrors, path: &str, object: &Value, old: &Value) {
    let steps: Vec<&str> = path.split('.').collect();
    let (new, old) = (object.at(&steps), old.at(&steps));
    if !same(new, old) {
        errors.push(FieldError::invalid(&at(path), new.unwrap_or(&Value::Null), IMMUTABLE));
    }
}

/// [`immutable`] for a field of Go struct `type_name`, shown as Go shows it.
pub fn immutable_struct(
    errors: &mut FieldErrors,
    path: &str,
    type_name: &str,
    object: &Value,
    old: &Value,
    detail: &str,
) {
    let steps: Vec<&str> = path.split('.').collect();
    let (new, old) = (object.at(&steps), old.at(&steps));
    if !same(new, old) {
        errors.push(invalid_shown(&at(path), crate::go_form::show(type_name, new), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn absent_and_empty_are_the_same_at_any_depth() {
        let list = Value::List(Vec::new());
        assert!(same(None, Some(&list)));
        let a = Value::from(Map::from([("a", Value::from("x")), ("b", list)]));
        let b = Value::from(Map::from([("a", "x")]));
        assert!(same(Some(&a), Some(&b)));
        assert!(!same(Some(&a), Some(&Value::from(Map::from([("a", "y")])))));
        assert!(!same(Some(&Value::from(0)), None), "a pointer to zero is not absent");
    }

    #[test]
    fn a_fixed_field_is_named_with_its_new_value() {
        let [new, old] = ["x", "y"].map(|text| Value::from(Map::from([("provisioner", text)])));
        let mut errors = Vec::new();
        immutable(&mut errors, "provisioner", &new, &old);
        assert_eq!(errors[0].to_string(), "provisioner: Invalid value: \"x\": field is immutable");
    }
}
