//! CSI storage capacities say how much of a class a part of the cluster has
//! left. Of one, only the amounts may change.

use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;
use schema::quantity::Quantity;

use crate::check::{self, at, text};
use crate::print as show;
use crate::storage::GROUP;

/// CSI storage capacities as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        columns: vec![Column::name(), show::date_column("Created At")],
        unconditional_update: false,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "csistoragecapacities",
            "CSIStorageCapacity",
            CsiStorageCapacityStrategy,
        )
    }
}

struct CsiStorageCapacityStrategy;

impl Strategy for CsiStorageCapacityStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        crate::validation::label_selector(object.get("nodeTopology"), &at("nodeTopology"), &mut errors);
        let class = text(object, &["storageClassName"]);
        if check::required(&mut errors, &at("storageClassName"), class) {
            let messages = meta::validation::is_dns1123_subdomain(class);
            check::messages(&mut errors, &at("storageClassName"), class, messages);
        }
        for key in ["capacity", "maximumVolumeSize"] {
            let Some(amount) = object.str_at(&[key]) else { continue };
            if Quantity::parse(amount).is_ok_and(|quantity| quantity.milli_value() < 0) {
                errors.push(FieldError::invalid_str(&at(key), amount, check::NOT_NEGATIVE));
            }
        }
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = self.validate(context, object);
        check::immutable(&mut errors, "nodeTopology", object, old);
        check::immutable(&mut errors, "storageClassName", object, old);
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        show::name_and_creation(object, print)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems};

    #[test]
    fn a_class_is_named_and_amounts_are_not_negative() {
        let capacity = object(r#"{"capacity":"-1"}"#);
        assert_eq!(
            problems(&definition(), &capacity),
            [
                "storageClassName: Required value",
                "capacity: Invalid value: \"-1\": must be greater than or equal to 0",
            ]
        );
    }
}
