//! `persistentvolumeclaims`: a request for storage.

use meta::FieldErrors;
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::{Map, Value};

use super::persistent_volume::{class, phase};
use super::volume_validation;
use crate::{defaults, print};

/// `persistentvolumeclaims`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["pvc".into()],
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Status"),
            Column::string("Volume"),
            Column::string("Capacity"),
            Column::string("Access Modes"),
            Column::string("StorageClass"),
            Column::string("VolumeAttributesClass"),
            Column::string("Age"),
            Column::string("VolumeMode").wide(),
        ],
        returns_deleted_object: true,
        ..ResourceDef::stored(
            "",
            "v1",
            "persistentvolumeclaims",
            "PersistentVolumeClaim",
            PersistentVolumeClaim,
        )
    }
}

struct PersistentVolumeClaim;

impl Strategy for PersistentVolumeClaim {
    fn default(&self, object: &mut Value) {
        if let Some(status) = defaults::object(object, "status") {
            defaults::text(status, "phase", "Pending");
            for list in ["capacity", "allocatedResources"] {
                defaults::resources::round(status.get_mut(list));
            }
        }
        spec_defaults(defaults::ensure(object, "spec"));
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        object.set(&["status"], Map::from([("phase", "Pending")]));
        drop_unknown_source(object);
        copy_data_source(object);
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        // Objects from before the second form existed are not touched by updates of anything else.
        if old.at(&["spec", "dataSource"]).is_none() && old.at(&["spec", "dataSourceRef"]).is_none() {
            drop_unknown_source(object);
            copy_data_source(object);
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        volume_validation::claim(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        volume_validation::claim_update(object, old)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        volume_validation::claim_status_update(object)
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        volume_validation::claim_warnings(object)
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, _: &Value) -> Vec<String> {
        volume_validation::claim_warnings(object)
    }

    fn field(&self, object: &Value, label: &str) -> String {
        if label == "name" { print::text(object, &["metadata", "name"]) } else { String::new() }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let volume = print::text(object, &["spec", "volumeName"]);
        let bound = !volume.is_empty();
        let capacity = print::scalar_or(object.at(&["status", "capacity", "storage"]), "0");
        let modes = print::access_modes(object.list_at(&["status", "accessModes"]));
        vec![
            print.name(object).into(),
            phase(object).into(),
            volume.into(),
            if bound { capacity } else { String::new() }.into(),
            if bound { modes } else { String::new() }.into(),
            class(object).into(),
            print::scalar_or(object.at(&["spec", "volumeAttributesClassName"]), "<unset>").into(),
            print.age(object).into(),
            print::scalar_or(object.at(&["spec", "volumeMode"]), "<unset>").into(),
        ]
    }
}

/// Fills in a claim's spec, in a claim or in a template of one.
pub(crate) fn spec_defaults(spec: &mut Value) {
    defaults::pointer(spec, "volumeMode", "Filesystem");
    defaults::resources::round_requirements(spec.get_mut("resources"));
}

/// The kinds of which a claim can be filled through the old form.
const SOURCES: [(&str, &str); 2] =
    [("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")];

/// The old form silently loses what it does not know.
fn drop_unknown_source(object: &mut Value) {
    let Some(source) = object.at(&["spec", "dataSource"]).filter(|source| !source.is_null()) else { return };
    let text = |key: &str| source.str_at(&[key]).unwrap_or_default();
    if !SOURCES.contains(&(text("apiGroup"), text("kind"))) {
        object.remove(&["spec", "dataSource"]);
    }
}

/// The old and the new form of the data source are kept equal, unless the new
/// one says something the old one cannot.
fn copy_data_source(object: &mut Value) {
    let [old, new] = ["dataSource", "dataSourceRef"].map(|key| object.at(&["spec", key]).cloned());
    let [old, new] = [old, new].map(|source| source.filter(|source| !source.is_null()));
    match (old, new) {
        (Some(source), None) => object.set(&["spec", "dataSourceRef"], source),
        (None, Some(source)) if source.str_at(&["namespace"]).is_none_or(str::is_empty) => {
            let group = source.str_at(&["apiGroup"]).unwrap_or_default();
            let kind = source.str_at(&["kind"]).unwrap_or_default();
            if SOURCES.contains(&(group, kind)) {
                object.set(&["spec", "dataSource"], source);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_data_source_are_equal() {
        let source = Map::from([("kind", "PersistentVolumeClaim"), ("name", "a")]);
        for (given, other) in [("dataSource", "dataSourceRef"), ("dataSourceRef", "dataSource")] {
            let mut object = Value::map();
            object.set(&["spec"], Map::from([(given, source.clone())]));
            copy_data_source(&mut object);
            assert_eq!(object.map_at(&["spec", other]), Some(&source), "{given}");
        }
    }
}
