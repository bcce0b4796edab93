//! `persistentvolumes`: storage of the cluster, to be claimed.

use meta::{FieldErrors, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::{Map, Value};

use super::volume_validation;
use crate::{defaults, print};

/// `persistentvolumes`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        short_names: vec!["pv".into()],
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Capacity"),
            Column::string("Access Modes"),
            Column::string("Reclaim Policy"),
            Column::string("Status"),
            Column::string("Claim"),
            Column::string("StorageClass"),
            Column::string("VolumeAttributesClass"),
            Column::string("Reason"),
            Column::string("Age"),
            Column::string("VolumeMode").wide(),
        ],
        returns_deleted_object: true,
        repeats_metadata_validation: true,
        ..ResourceDef::stored("", "v1", "persistentvolumes", "PersistentVolume", PersistentVolume)
    }
}

/// Where the class stood before it had a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

struct PersistentVolume;

impl Strategy for PersistentVolume {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        defaults::text(spec, "persistentVolumeReclaimPolicy", "Retain");
        defaults::pointer(spec, "volumeMode", "Filesystem");
        defaults::resources::round(spec.get_mut("capacity"));
        source_defaults(spec);
        if let Some(status) = defaults::object(object, "status") {
            defaults::text(status, "phase", "Pending");
        }
    }

    fn prepare_for_create(&self, context: &RequestContext, object: &mut Value) {
        let now = crate::now(context);
        object.set(
            &["status"],
            Map::from([("phase", Value::from("Pending")), ("lastPhaseTransitionTime", now.into())]),
        );
    }

    fn prepare_for_status_update(&self, context: &RequestContext, object: &mut Value, old: &Value) {
        let (phase, time) = (["status", "phase"], ["status", "lastPhaseTransitionTime"]);
        let turned = object.at(&phase) != old.at(&phase);
        if turned && object.at(&time).is_none_or(|new| new.is_null() || Some(new) == old.at(&time)) {
            object.set(&time, crate::now(context));
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        volume_validation::volume(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        volume_validation::volume_update(object, old)
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        volume_validation::volume_warnings(object)
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, _: &Value) -> Vec<String> {
        volume_validation::volume_warnings(object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let claim = object.at(&["spec", "claimRef"]).filter(|claim| !claim.is_null());
        let claim = claim
            .map(|claim| format!("{}/{}", print::text(claim, &["namespace"]), print::text(claim, &["name"])));
        vec![
            print.name(object).into(),
            print::scalar_or(object.at(&["spec", "capacity", "storage"]), "0").into(),
            print::access_modes(object.list_at(&["spec", "accessModes"])).into(),
            print::text(object, &["spec", "persistentVolumeReclaimPolicy"]).into(),
            phase(object).into(),
            claim.unwrap_or_default().into(),
            class(object).into(),
            print::scalar_or(object.at(&["spec", "volumeAttributesClassName"]), "<unset>").into(),
            print::text(object, &["status", "reason"]).into(),
            print.age(object).into(),
            print::scalar_or(object.at(&["spec", "volumeMode"]), "<unset>").into(),
        ]
    }
}

fn source_defaults(spec: &mut Value) {
    if let Some(host_path) = defaults::object(spec, "hostPath") {
        defaults::pointer(host_path, "type", "");
    }
    if let Some(iscsi) = defaults::object(spec, "iscsi") {
        defaults::text(iscsi, "iscsiInterface", "default");
    }
    if let Some(rbd) = defaults::object(spec, "rbd") {
        defaults::volumes::rados(rbd);
    }
    if let Some(disk) = defaults::object(spec, "azureDisk") {
        defaults::volumes::azure_disk(disk);
    }
    if let Some(scale_io) = defaults::object(spec, "scaleIO") {
        defaults::volumes::scale_io_source(scale_io);
    }
}

/// The phase as it is printed, for volumes and claims: one being deleted is Terminating.
pub(crate) fn phase(object: &Value) -> String {
    match ObjectMeta::of(object).deletion_timestamp() {
        Some(_) => "Terminating".to_owned(),
        None => print::text(object, &["status", "phase"]),
    }
}

/// The storage class of a volume or a claim.
pub(crate) fn class(object: &Value) -> String {
    let annotated = ObjectMeta::of(object).annotations().str(CLASS_ANNOTATION);
    annotated.map_or_else(|| print::text(object, &["spec", "storageClassName"]), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_retained_holds_files_and_waits() {
        let mut object = Value::map();
        object.set(&["spec", "hostPath", "path"], "/tmp/x");
        PersistentVolume.default(&mut object);
        assert_eq!(object.str_at(&["spec", "persistentVolumeReclaimPolicy"]), Some("Retain"));
        assert_eq!(object.str_at(&["spec", "volumeMode"]), Some("Filesystem"));
        assert_eq!(object.str_at(&["spec", "hostPath", "type"]), Some(""));
        assert!(object.at(&["status"]).is_none(), "no status is made up");
    }
}
