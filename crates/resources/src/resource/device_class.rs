//! Device classes name kinds of devices that claims ask for.

use meta::validation::is_qualified_name;
use meta::{FieldError, FieldErrors};
use registry::{Column, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::at;
use crate::resource::{CONFIGS_MAX, GROUP, bounded, validate_config, validate_selectors};

/// Device classes as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        columns: vec![Column::name(), Column::string("Age")],
        generation: true,
        returns_deleted_object: true,
        repeats_metadata_validation: true,
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
    let spec = at("spec");
    validate_selectors(&mut errors, &spec.child("selectors"), object.list_at(&["spec", "selectors"]));
    let configs = object.list_at(&["spec", "config"]);
    bounded(&mut errors, &spec.child("config"), configs, CONFIGS_MAX);
    for (i, config) in configs.iter().enumerate() {
        validate_config(&mut errors, &spec.child("config").index(i), config);
    }
    if let Some(name) = object.str_at(&["spec", "extendedResourceName"]).filter(|name| !is_extended(name)) {
        let path = spec.child("extendedResourceName");
        errors.push(FieldError::invalid_str(&path, name, "must be a valid extended resource name"));
    }
    errors
}

/// True for the name of a resource that nodes may offer beside those Kubernetes knows.
fn is_extended(name: &str) -> bool {
    let own = !name.contains('/') || name.contains("kubernetes.io/") || name.starts_with("requests.");
    !own && is_qualified_name(&format!("requests.{name}")).is_empty()
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

    #[test]
    fn an_extended_resource_has_a_domain_of_its_own() {
        let refused =
            ["spec.extendedResourceName: Invalid value: ", ": must be a valid extended resource name"];
        for (name, good) in
            [("a.example/b", true), ("b", false), ("kubernetes.io/b", false), ("requests.x/b", false)]
        {
            let class = object(&format!(r#"{{"spec":{{"extendedResourceName":"{name}"}}}}"#));
            let expected =
                if good { Vec::new() } else { vec![format!("{}{name:?}{}", refused[0], refused[1])] };
            assert_eq!(problems(&definition(), &class), expected, "{name}");
        }
    }
}
