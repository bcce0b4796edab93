//! Small rules that several kinds of the core group share: paths, modes,
//! names of drivers, ids. Rules of all groups are in `validation`.

use meta::validation::is_dns1123_subdomain;
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use crate::check;

/// Highest mode of a file.
const MODE_MAX: i64 = 0o777;
/// Highest user or group id.
pub(super) const ID_MAX: i64 = i32::MAX as i64;
/// Longest name of a CSI driver in bytes.
const DRIVER_NAME_MAX: usize = 63;

/// The member `key`, none if it is null.
pub(super) fn present<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

/// A path without a step back.
pub(super) fn no_backsteps(text: &str, path: &FieldPath, errors: &mut FieldErrors) {
    if text.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid_str(path, text, "must not contain '..'"));
    }
}

/// A path that stays below where it starts.
pub(super) fn local_path(text: &str, path: &FieldPath, errors: &mut FieldErrors) {
    if text.starts_with('/') {
        errors.push(FieldError::invalid_str(path, text, "must be a relative path"));
    }
    no_backsteps(text, path, errors);
}

/// A path that stays below where it starts, and not one that the kubelet keeps for itself.
pub(super) fn free_local_path(text: &str, path: &FieldPath, errors: &mut FieldErrors) {
    local_path(text, path, errors);
    let stepped_back = text.split('/').any(|part| part == "..");
    if text.starts_with("..") && !stepped_back {
        errors.push(FieldError::invalid_str(path, text, "must not start with '..'"));
    }
}

/// The mode of a file at `key`.
pub(super) fn mode(source: &Value, key: &str, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(mode) = source.int_at(&[key]).filter(|mode| !(0..=MODE_MAX).contains(mode)) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(&path.child(key), &mode.into(), detail));
    }
}

/// A user or group id.
pub(super) fn id(errors: &mut FieldErrors, path: &FieldPath, id: Option<i64>) {
    if let Some(id) = id.filter(|id| !(0..=ID_MAX).contains(id)) {
        let detail = format!("must be between 0 and {ID_MAX}, inclusive");
        errors.push(FieldError::invalid(path, &id.into(), detail));
    }
}

/// The name of a CSI driver.
pub(super) fn driver_name(errors: &mut FieldErrors, path: &FieldPath, name: &str) {
    if !check::required(errors, path, name) {
        return;
    }
    if name.len() > DRIVER_NAME_MAX {
        errors.push(FieldError::too_long(path, DRIVER_NAME_MAX));
    }
    check::messages(errors, path, name, is_dns1123_subdomain(&name.to_lowercase()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_paths_are_relative_and_start_without_two_dots() {
        for (text, faults) in
            [("a/b", 0), ("a/..b", 0), ("/a", 1), ("a/../b", 1), ("../b", 1), ("..b", 1), ("/..", 2)]
        {
            let mut errors = Vec::new();
            free_local_path(text, &FieldPath::root("p"), &mut errors);
            assert_eq!(errors.len(), faults, "{text}: {errors:?}");
        }
    }

    #[test]
    fn ids_and_modes_have_bounds() {
        for (number, good) in [(0, true), (ID_MAX, true), (-1, false), (ID_MAX + 1, false)] {
            let mut errors = Vec::new();
            id(&mut errors, &FieldPath::root("id"), Some(number));
            assert_eq!(errors.is_empty(), good, "{number}");
        }
        for (number, good) in [(0, true), (0o777, true), (-1, false), (0o1000, false)] {
            let mut errors = Vec::new();
            let mut source = Value::map();
            source.set(&["mode"], number);
            mode(&source, "mode", &FieldPath::root(""), &mut errors);
            assert_eq!(errors.is_empty(), good, "{number}");
        }
    }
}
