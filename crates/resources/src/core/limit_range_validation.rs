//! Validation of limit ranges: the five lists of one limit must be in order.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath};
use schema::quantity::Quantity;
use schema::{Map, Value};

use crate::{check, validation};

/// What is wrong with a limit range.
pub(super) fn check_all(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let mut types = BTreeSet::new();
    for (i, limit) in object.list_at(&["spec", "limits"]).iter().enumerate() {
        let path = FieldPath::root("spec").child("limits").index(i);
        let kind = check::text(limit, &["type"]);
        validation::qualified_name(&mut errors, &path.child("type"), kind);
        if !types.insert(kind) {
            errors.push(FieldError::duplicate(&path.child("type"), &kind.into()));
        }
        of_type(limit, kind, &path, &mut errors);
        let lists = Lists::of(limit);
        let mut names = BTreeSet::new();
        for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            names.extend(limit.map_at(&[list]).into_iter().flat_map(Map::keys));
        }
        for name in names {
            lists.check(name, &path, &mut errors);
        }
    }
    errors
}

fn of_type(limit: &Value, kind: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let has = |list: &str| limit.map_at(&[list]).is_some_and(|map| !map.is_empty());
    if kind == "Pod" {
        for list in ["default", "defaultRequest"] {
            if has(list) {
                errors.push(FieldError::forbidden(
                    &path.child(list),
                    "may not be specified when `type` is 'Pod'",
                ));
            }
        }
    }
    if kind == "PersistentVolumeClaim" {
        let says = |list: &str| limit.at(&[list, "storage"]).is_some();
        if !says("min") && !says("max") {
            let detail = "either minimum or maximum storage value is required, but neither was provided";
            errors.push(FieldError::required(&path.child("limits"), detail));
        }
    }
}

struct Lists<'a>(&'a Value);

/// An amount as it is written and as a number.
struct Amount<'a> {
    text: &'a Value,
    quantity: Quantity,
}

impl<'a> Lists<'a> {
    fn of(limit: &'a Value) -> Lists<'a> {
        Lists(limit)
    }

    fn get(&self, list: &str, name: &str) -> Option<Amount<'a>> {
        let text = self.0.at(&[list, name])?;
        Some(Amount { text, quantity: validation::quantity(text)? })
    }

    /// One resource over all lists.
    fn check(&self, name: &str, path: &FieldPath, errors: &mut FieldErrors) {
        let [min, max, default, request, ratio] =
            ["min", "max", "default", "defaultRequest", "maxLimitRequestRatio"]
                .map(|list| self.get(list, name));
        let at = |list: &str| path.child(list).key(name);
        let mut ordered = |small: &Option<Amount<'_>>,
                           large: &Option<Amount<'_>>,
                           field: &Option<Amount<'_>>,
                           list: &str,
                           words: [&str; 2]| {
            if let (Some(small), Some(large), Some(field)) = (small, large, field)
                && small.quantity > large.quantity
            {
                let detail = format!(
                    "{} value {} is greater than {} value {}",
                    words[0], small.quantity, words[1], large.quantity
                );
                errors.push(FieldError::invalid(&at(list), field.text, detail));
            }
        };
        ordered(&min, &max, &min, "min", ["min", "max"]);
        ordered(&min, &request, &request, "defaultRequest", ["min", "default request"]);
        ordered(&request, &max, &request, "defaultRequest", ["default request", "max"]);
        ordered(&request, &default, &request, "defaultRequest", ["default request", "default limit"]);
        ordered(&min, &default, &min, "default", ["min", "default"]);
        ordered(&default, &max, &max, "default", ["default", "max"]);
        if let Some(ratio) = ratio
            && ratio.quantity < Quantity::from_int(1)
        {
            let detail = format!("ratio {} is less than 1", ratio.quantity);
            errors.push(FieldError::invalid(&at("maxLimitRequestRatio"), ratio.text, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimum_is_not_above_the_maximum() {
        let limit = Map::from([
            ("type", Value::from("Container")),
            ("max", Map::from([("cpu", "1")]).into()),
            ("min", Map::from([("cpu", "2")]).into()),
        ]);
        let mut object = Value::map();
        object.set(&["spec", "limits"], vec![limit]);
        assert_eq!(
            check_all(&object)[0].to_string(),
            "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"
        );
    }
}
