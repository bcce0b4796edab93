//! Volume attributes classes name settings a volume can be switched between.
//! One in use is protected by a finalizer, which admission gives every new one.

use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::print as show;
use crate::storage::{GROUP, storage_class};
use crate::validation;

/// Volume attributes classes as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        short_names: vec!["vac".into()],
        columns: vec![Column::name(), Column::string("DriverName"), Column::string("Age")],
        returns_deleted_object: true,
        repeats_metadata_validation: true,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "volumeattributesclasses",
            "VolumeAttributesClass",
            VolumeAttributesClassStrategy,
        )
    }
}

struct VolumeAttributesClassStrategy;

impl Strategy for VolumeAttributesClassStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let driver = text(object, &["driverName"]);
        if check::required(&mut errors, &at("driverName"), driver) {
            validation::qualified_name(&mut errors, &at("driverName"), &driver.to_lowercase());
        }
        storage_class::validate_parameters(&mut errors, object, false);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let changed = |field: &&str| !check::same(object.get(field), old.get(field));
        let refused = |field| FieldError::forbidden(&at(field), format!("updates to {field} are forbidden."));
        let mut errors: FieldErrors =
            ["driverName", "parameters"].into_iter().filter(changed).map(refused).collect();
        errors.extend(self.validate(context, object));
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        show::with_name_and_age(object, print, [text(object, &["driverName"]).into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems, update_problems};

    #[test]
    fn settings_are_given_and_fixed() {
        let old = object(r#"{"driverName":"d","parameters":{"a":"b"}}"#);
        let new = object(r#"{"driverName":"d"}"#);
        assert_eq!(
            problems(&definition(), &new),
            ["parameters: Required value: must contain at least one key/value pair"]
        );
        assert_eq!(
            update_problems(&definition(), &new, &old),
            [
                "parameters: Forbidden: updates to parameters are forbidden.",
                "parameters: Required value: must contain at least one key/value pair",
            ]
        );
    }
}
