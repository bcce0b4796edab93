//! Volume attachments ask that a volume be attached to a node. What is asked
//! for cannot be changed; the attacher answers in the status.

use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::check::{self, at, text};
use crate::print as show;
use crate::storage::{GROUP, csi_driver};

/// Volume attachments as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column { format: "name", ..Column::string("Attacher") },
            Column::string("PV"),
            Column::string("Node"),
            show::bool_column("Attached"),
            Column::string("Age"),
        ],
        unconditional_update: false,
        returns_deleted_object: true,
        status_metadata: StatusMetadata::Kept,
        ..ResourceDef::stored(GROUP, "v1", "volumeattachments", "VolumeAttachment", VolumeAttachmentStrategy)
    }
}

struct VolumeAttachmentStrategy;

impl Strategy for VolumeAttachmentStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        csi_driver::validate_driver_name(
            &mut errors,
            &at("spec.attacher"),
            text(object, &["spec", "attacher"]),
        );
        check::required(&mut errors, &at("spec.nodeName"), text(object, &["spec", "nodeName"]));
        let source = |key| object.at(&["spec", "source", key]);
        let path = at("spec.source");
        match (source("persistentVolumeName"), source("inlineVolumeSpec")) {
            (None, None) => {
                let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
                errors.push(FieldError::required(&path, detail));
            }
            (Some(_), Some(_)) => {
                let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
                errors.push(FieldError::forbidden(&path, detail));
            }
            (Some(name), None) if name.as_str() == Some("") => {
                errors.push(FieldError::required(
                    &path.child("persistentVolumeName"),
                    "must specify non empty persistentVolumeName",
                ));
            }
            _ => {}
        }
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = self.validate(context, object);
        let spec = "io.k8s.api.storage.v1.VolumeAttachmentSpec";
        check::immutable_struct(&mut errors, "spec", spec, object, old, check::IMMUTABLE);
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let spec = |path: &[&str]| {
            Value::from(object.at(&["spec"]).map(|spec| text(spec, path)).unwrap_or_default())
        };
        let attached = object.bool_at(&["status", "attached"]).unwrap_or_default();
        let between = [
            spec(&["attacher"]),
            spec(&["source", "persistentVolumeName"]),
            spec(&["nodeName"]),
            attached.into(),
        ];
        show::with_name_and_age(object, print, between)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, object, problems};

    #[test]
    fn a_source_is_needed_and_printed() {
        let attachment =
            object(r#"{"spec":{"attacher":"g","nodeName":"n","source":{"persistentVolumeName":"pv"}}}"#);
        assert!(problems(&definition(), &attachment).is_empty());
        let printed = cells(&definition(), &attachment);
        assert_eq!(printed[1..5], ["g".into(), "pv".into(), "n".into(), Value::Bool(false)]);
        assert_eq!(problems(&definition(), &object(r#"{"spec":{"attacher":"g","nodeName":"n"}}"#)).len(), 1);
    }
}
