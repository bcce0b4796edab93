//! Validation of the volumes of a pod.

use std::collections::BTreeSet;

use meta::validation::is_dns1123_label;
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::volume_validation;
use crate::{check, print};

/// Highest mode of a file.
const MODE_MAX: i64 = 0o777;
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// All volumes of a pod spec.
pub(super) fn volumes(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (i, volume) in spec.list_at(&["volumes"]).iter().enumerate() {
        let path = path.index(i);
        let name = check::text(volume, &["name"]);
        source(volume, &path, errors);
        if check::required(errors, &path.child("name"), name) {
            check::messages(errors, &path.child("name"), name, is_dns1123_label(name));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
        }
    }
}

/// Sources in the order in which the original looks at them.
const SOURCES: [&str; 15] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "nfs",
    "iscsi",
    "secret",
    "persistentVolumeClaim",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "projected",
    "csi",
    "ephemeral",
    "image",
];

fn source(volume: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let mut count = 0;
    for name in SOURCES {
        let Some(source) = volume.at(&[name]).filter(|source| !source.is_null()) else { continue };
        count += 1;
        if count > 1 {
            errors.push(FieldError::forbidden(&path.child(name), "may not specify more than 1 volume type"));
            continue;
        }
        one_source(name, source, &path.child(name), errors);
    }
    let other =
        volume.as_map().is_some_and(|map| map.iter().any(|(key, value)| key != "name" && !value.is_null()));
    if count == 0 && !other {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

fn one_source(kind: &str, source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let text = |key: &str| check::text(source, &[key]);
    let require = |key: &str, errors: &mut FieldErrors| check::required(errors, &path.child(key), text(key));
    match kind {
        "emptyDir" => size_limit(source, path, errors),
        "hostPath" => {
            if require("path", errors) && has_backstep(text("path")) {
                errors.push(FieldError::invalid_str(
                    &path.child("path"),
                    text("path"),
                    "must not contain '..'",
                ));
            }
            check::one_of(errors, &path.child("type"), text("type"), &HOST_PATH_TYPES);
        }
        "nfs" => {
            require("server", errors);
            if require("path", errors) && !text("path").starts_with('/') {
                errors.push(FieldError::invalid_str(
                    &path.child("path"),
                    text("path"),
                    "must be an absolute path",
                ));
            }
        }
        "secret" => {
            require("secretName", errors);
            files(source, path, errors);
        }
        "configMap" => {
            require("name", errors);
            files(source, path, errors);
        }
        "persistentVolumeClaim" => {
            require("claimName", errors);
        }
        "csi" => {
            require("driver", errors);
        }
        "iscsi" => iscsi(source, path, errors),
        "image" => {
            require("reference", errors);
        }
        "projected" => mode(source, "defaultMode", path, errors),
        "downwardAPI" => downward(source, path, errors),
        "ephemeral" => match source.at(&["volumeClaimTemplate", "spec"]) {
            Some(spec) => {
                let path = path.child("volumeClaimTemplate").child("spec");
                volume_validation::claim_spec(spec, &path, errors);
            }
            None => errors.push(FieldError::required(&path.child("volumeClaimTemplate"), "")),
        },
        _ => {}
    }
}

fn size_limit(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let limit = source.at(&["sizeLimit"]).and_then(crate::validation::quantity);
    if limit.is_some_and(|limit| limit.is_negative()) {
        let detail = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(&path.child("sizeLimit"), detail));
    }
}

fn iscsi(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    check::required(errors, &path.child("targetPortal"), check::text(source, &["targetPortal"]));
    let name = check::text(source, &["iqn"]);
    if check::required(errors, &path.child("iqn"), name)
        && !["iqn", "eui", "naa"].iter().any(|prefix| name.starts_with(prefix))
    {
        let detail = "must be valid format starting with iqn, eui, or naa";
        errors.push(FieldError::invalid_str(&path.child("iqn"), name, detail));
    }
    let unit = print::int(source, &["lun"]);
    if !(0..=255).contains(&unit) {
        errors.push(FieldError::invalid(
            &path.child("lun"),
            &unit.into(),
            "must be between 0 and 255, inclusive",
        ));
    }
}

fn mode(source: &Value, key: &str, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(mode) = source.int_at(&[key]).filter(|mode| !(0..=MODE_MAX).contains(mode)) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(&path.child(key), &mode.into(), detail));
    }
}

fn files(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    mode(source, "defaultMode", path, errors);
    for (i, item) in source.list_at(&["items"]).iter().enumerate() {
        let path = path.child("items").index(i);
        check::required(errors, &path.child("key"), check::text(item, &["key"]));
        let file = check::text(item, &["path"]);
        check::required(errors, &path.child("path"), file);
        local_path(file, &path.child("path"), errors);
        mode(item, "mode", &path, errors);
    }
}

/// Fields of a pod that a file may show.
const SHOWN: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

fn downward(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    mode(source, "defaultMode", path, errors);
    for item in source.list_at(&["items"]) {
        // The original leaves the index out of these paths.
        let file = check::text(item, &["path"]);
        check::required(errors, &path.child("path"), file);
        local_path(file, &path.child("path"), errors);
        let [field, resource] =
            ["fieldRef", "resourceFieldRef"].map(|key| item.at(&[key]).filter(|v| !v.is_null()));
        match (field, resource) {
            (Some(field), None) => {
                super::pod_containers::field_ref(field, &SHOWN, &path.child("fieldRef"), errors);
            }
            (None, Some(resource)) => {
                let path = path.child("resourceFieldRef");
                check::required(
                    errors,
                    &path.child("containerName"),
                    check::text(resource, &["containerName"]),
                );
            }
            (Some(_), Some(_)) => {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(check::invalid_shown(path, "\"resource\"".to_owned(), detail));
            }
            (None, None) => {
                let detail = "one of fieldRef and resourceFieldRef is required";
                errors.push(FieldError::required(path, detail));
            }
        }
        mode(item, "mode", path, errors);
    }
}

/// A path that stays below where it starts.
pub(super) fn local_path(text: &str, path: &FieldPath, errors: &mut FieldErrors) {
    if text.starts_with('/') {
        errors.push(FieldError::invalid_str(path, text, "must be a relative path"));
    }
    if has_backstep(text) {
        errors.push(FieldError::invalid_str(path, text, "must not contain '..'"));
    }
}

fn has_backstep(text: &str) -> bool {
    text.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn a_volume_has_one_source() {
        let volume = Map::from([
            ("name", Value::from("v")),
            ("emptyDir", Value::map()),
            ("hostPath", Map::from([("path", "/x")]).into()),
        ]);
        let spec = Value::from(Map::from([("volumes", vec![volume])]));
        let mut errors = Vec::new();
        volumes(&spec, &FieldPath::root("volumes"), &mut errors);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"]);
    }
}
