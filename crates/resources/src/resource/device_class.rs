//! Device classes name kinds of devices that claims ask for.

use meta::FieldErrors;
use registry::{Column, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::at;
use crate::resource::{GROUP, validate_config};

/// Device classes as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        columns: vec![Column::name(), Column::string("Age")],
        generation: true,
        returns_deleted_object: true,
        ..ResourceDef::stored(GROUP, "v1", "deviceclasses", "DeviceClass", DeviceClassStrategy)
    }
}

struct DeviceClassStrategy;

impl Strategy for DeviceClassStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate(object)
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    for (i, config) in object.list_at(&["spec", "config"]).iter().enumerate() {
        validate_config(&mut errors, &at("spec.config").index(i), config);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems};

    #[test]
    fn settings_are_for_a_driver() {
        let class = object(r#"{"spec":{"config":[{"opaque":{"parameters":{"a":1}}}]}}"#);
        assert_eq!(problems(&definition(), &class), ["spec.config[0].opaque.driver: Required value"]);
    }
}
