//! Volume attachments ask that a volume be attached to a node. What is asked
//! for cannot be changed; the attacher answers in the status.

use meta::validation::is_dns1123_subdomain;
use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::check::{self, at, text};
use crate::print as show;
use crate::storage::{GROUP, csi_driver};

const METADATA_BYTES_MAX: usize = 256 * 1024;
const MESSAGE_BYTES_MAX: usize = 1024;

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
        let mut errors = common(object);
        // What only new attachments are held to.
        let attacher = text(object, &["spec", "attacher"]);
        csi_driver::validate_driver_name(&mut errors, &at("spec.attacher"), attacher);
        if let Some(name) = object.str_at(&["spec", "source", "persistentVolumeName"]) {
            let path = at("spec.source.persistentVolumeName");
            check::messages(&mut errors, &path, name, is_dns1123_subdomain(name));
        }
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = common(object);
        let spec = "io.k8s.api.storage.v1.VolumeAttachmentSpec";
        check::immutable_struct(&mut errors, "spec", spec, object, old, check::IMMUTABLE);
        errors
    }

    fn validate_status_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        self.validate_update(context, object, old)
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

fn common(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    check::required(&mut errors, &at("spec.attacher"), text(object, &["spec", "attacher"]));
    source(object, &mut errors);
    let node = text(object, &["spec", "nodeName"]);
    check::messages(&mut errors, &at("spec.nodeName"), node, is_dns1123_subdomain(node));
    status(object, &mut errors);
    errors
}

fn source(object: &Value, errors: &mut FieldErrors) {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let path = at("spec.source");
    let source = |key| check::given(object, &["spec", "source", key]);
    match (source("persistentVolumeName"), source("inlineVolumeSpec")) {
        (None, None) => errors.push(FieldError::required(&path, ONE)),
        (Some(_), Some(_)) => errors.push(FieldError::forbidden(&path, ONE)),
        (Some(name), None) if name.as_str() == Some("") => {
            let detail = "must specify non empty persistentVolumeName";
            errors.push(FieldError::required(&path.child("persistentVolumeName"), detail));
        }
        _ => {}
    }
}

fn status(object: &Value, errors: &mut FieldErrors) {
    let metadata = object.map_at(&["status", "attachmentMetadata"]);
    let entries = metadata.into_iter().flat_map(|map| map.iter());
    let bytes: usize = entries.map(|(key, value)| key.len() + value.as_str().unwrap_or_default().len()).sum();
    if bytes > METADATA_BYTES_MAX {
        errors.push(FieldError::too_long(&at("status.attachmentMetadata"), METADATA_BYTES_MAX));
    }
    for key in ["attachError", "detachError"] {
        let Some(error) = check::given(object, &["status", key]) else { continue };
        let path = at("status").child(key);
        if text(error, &["message"]).len() > MESSAGE_BYTES_MAX {
            // The original tells the limit of something else.
            errors.push(FieldError::too_long(&path.child("message"), METADATA_BYTES_MAX));
        }
        if let Some(code) = error.int_at(&["errorCode"]).filter(|code| *code < 0) {
            let detail = "must be between 0 and 2147483647, inclusive";
            errors.push(FieldError::invalid(&path.child("errorCode"), &code.into(), detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, object, problems, refuses, refuses_status, refuses_updates};

    #[test]
    fn a_source_is_needed_and_printed() {
        let attachment =
            object(r#"{"spec":{"attacher":"g","nodeName":"n","source":{"persistentVolumeName":"pv"}}}"#);
        assert!(problems(&definition(), &attachment).is_empty());
        let printed = cells(&definition(), &attachment);
        assert_eq!(printed[1..5], ["g".into(), "pv".into(), "n".into(), Value::Bool(false)]);
        assert_eq!(problems(&definition(), &object(r#"{"spec":{"attacher":"g","nodeName":"n"}}"#)).len(), 1);
    }

    const GOOD: &str = r#"{"metadata":{"name":"a"},"spec":{"attacher":"g","nodeName":"n",
        "source":{"persistentVolumeName":"pv"}}}"#;

    #[test]
    fn attachments_are_complete_and_stay() {
        refuses(
            &definition(),
            GOOD,
            &[
                (
                    r#"{"spec":{"attacher":""}}"#,
                    &["spec.attacher: Required value", "spec.attacher: Required value"],
                ),
                (
                    r#"{"spec":{"source":{"inlineVolumeSpec":{"nfs":{}}}}}"#,
                    &["spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and \
                       persistentVolumeName"],
                ),
            ],
        );
        refuses_updates(
            &definition(),
            GOOD,
            &[(
                r#"{"spec":{"attacher":"h"}}"#,
                &["spec: Invalid value: {\"Attacher\":\"h\",\"Source\":{\"PersistentVolumeName\":\"pv\",\
                   \"InlineVolumeSpec\":null},\"NodeName\":\"n\"}: field is immutable"],
            )],
        );
    }

    #[test]
    fn codes_of_errors_are_not_negative() {
        refuses_status(
            &definition(),
            GOOD,
            &[
                (r#"{"status":{"attached":true,"attachError":{"errorCode":0}}}"#, &[]),
                (
                    r#"{"status":{"detachError":{"errorCode":-1}}}"#,
                    &[
                        "status.detachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                    ],
                ),
            ],
        );
    }
}
