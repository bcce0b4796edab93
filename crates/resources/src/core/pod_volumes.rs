//! Validation of the volumes of a pod: their names, and what only pods have
//! volumes of. The kinds of sources are in `volume_sources`.

use std::collections::BTreeSet;

use meta::validation::{is_dns1123_label, is_dns1123_subdomain, validate_annotations, validate_labels};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::pod_environment::{field_ref, resource_field_ref};
use super::pod_validation::Place;
use super::rules::{free_local_path, mode, present};
use super::volume_sources::{self, Owner, key_to_path};
use super::volume_validation;
use crate::check;

/// Sources in the order in which the original looks at them.
const SOURCES: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// All volumes of a pod spec. `pod` is the pod's name, empty in templates.
/// Returns the good ones: only they can be mounted.
pub(super) fn volumes<'a>(
    spec: &'a Value,
    pod: &str,
    place: Place,
    path: &FieldPath,
    errors: &mut FieldErrors,
) -> Vec<&'a Value> {
    let all = spec.list_at(&["volumes"]);
    let mut good: Vec<&Value> = Vec::with_capacity(all.len());
    for (i, volume) in all.iter().enumerate() {
        let path = path.index(i);
        let name = check::text(volume, &["name"]);
        let before = errors.len();
        source(volume, pod, place, &path, errors);
        if check::required(errors, &path.child("name"), name) {
            check::messages(errors, &path.child("name"), name, is_dns1123_label(name));
        }
        if good.iter().any(|other| check::text(other, &["name"]) == name) {
            errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
        }
        if errors.len() == before {
            good.push(volume);
        }
        made_claim(volume, all, pod, &path, errors);
    }
    good
}

/// A claim that is made for a pod cannot be used by its name as well.
fn made_claim(volume: &Value, all: &[Value], pod: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(claim) = volume.str_at(&["persistentVolumeClaim", "claimName"]) else { return };
    let made = |other: &Value| {
        present(other, "ephemeral").is_some()
            && claim.strip_prefix(pod).and_then(|rest| rest.strip_prefix('-')) == other.str_at(&["name"])
    };
    if !pod.is_empty() && all.iter().any(made) {
        let detail = "must not reference a PVC that gets created for an ephemeral volume";
        errors.push(FieldError::invalid_str(
            &path.child("persistentVolumeClaim").child("claimName"),
            claim,
            detail,
        ));
    }
}

fn source(volume: &Value, pod: &str, place: Place, path: &FieldPath, errors: &mut FieldErrors) {
    let name = check::text(volume, &["name"]);
    let mut found = false;
    for kind in SOURCES {
        let Some(source) = present(volume, kind) else { continue };
        if std::mem::replace(&mut found, true) {
            let path = path.child(volume_sources::path_of_extra(kind));
            errors.push(FieldError::forbidden(&path, "may not specify more than 1 volume type"));
        } else {
            let own = path.child(volume_sources::path_of(kind));
            match kind {
                "emptyDir" => size_limit(source, &own, errors),
                "downwardAPI" => downward(source, &own, errors),
                "projected" => projected(source, &own, errors),
                "ephemeral" => ephemeral(source, name, pod, path, errors),
                "image" => image(source, place, &own, errors),
                _ => volume_sources::source(kind, source, Owner::Pod(name), &own, errors),
            }
        }
        if kind == "iscsi" {
            iscsi_name(source, name, path, errors);
        }
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

fn size_limit(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let limit = source.at(&["sizeLimit"]).and_then(crate::validation::quantity);
    if limit.is_some_and(|limit| limit.is_negative()) {
        let detail = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(&path.child("sizeLimit"), detail));
    }
}

fn iscsi_name(source: &Value, name: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let portal = check::text(source, &["targetPortal"]);
    if source.str_at(&["initiatorName"]).is_some() && name.len() + 1 + portal.len() > 64 {
        let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                      iscsi.initiatorName is specified.";
        errors.push(FieldError::invalid_str(&path.child("name"), name, detail));
    }
}

fn image(source: &Value, place: Place, path: &FieldPath, errors: &mut FieldErrors) {
    if place == Place::Pod {
        check::required(errors, &path.child("reference"), check::text(source, &["reference"]));
    }
    let policy = check::text(source, &["pullPolicy"]);
    check::required_one_of(errors, &path.child("pullPolicy"), policy, &["Always", "IfNotPresent", "Never"]);
}

fn ephemeral(source: &Value, name: &str, pod: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let own = path.child("ephemeral").child("volumeClaimTemplate");
    match present(source, "volumeClaimTemplate") {
        None => errors.push(FieldError::required(&own, "")),
        Some(template) => {
            claim_metadata(template, &own.child("metadata"), errors);
            let spec = template.get("spec").unwrap_or(&Value::Null);
            volume_validation::claim_spec(spec, &own.child("spec"), errors);
        }
    }
    if pod.is_empty() || name.is_empty() {
        return;
    }
    let claim = format!("{pod}-{name}");
    for message in is_dns1123_subdomain(&claim) {
        let detail = format!("PVC name {}: {message}", meta::field::quoted(&claim));
        errors.push(FieldError::invalid_str(&path.child("name"), name, detail));
    }
}

/// A claim that is made for a pod brings labels and annotations and nothing else.
fn claim_metadata(template: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(metadata) = template.map_at(&["metadata"]) else { return };
    if let Some(annotations) = template.map_at(&["metadata", "annotations"]) {
        errors.extend(validate_annotations(annotations, &path.child("annotations")));
    }
    if let Some(labels) = template.map_at(&["metadata", "labels"]) {
        errors.extend(validate_labels(labels, &path.child("labels")));
    }
    for (key, value) in metadata.iter() {
        if !matches!(key, "annotations" | "labels") && !crate::defaults::is_empty(Some(value)) {
            errors.push(FieldError::forbidden(&path.child(key), "cannot be set"));
        }
    }
}

/// Fields of a pod that a file may show.
const SHOWN: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

fn downward(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    mode(source, "defaultMode", path, errors);
    for item in source.list_at(&["items"]) {
        // The original leaves the index out of these paths.
        downward_file(item, path, errors);
    }
}

fn downward_file(item: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let file = check::text(item, &["path"]);
    check::required(errors, &path.child("path"), file);
    free_local_path(file, &path.child("path"), errors);
    match (present(item, "fieldRef"), present(item, "resourceFieldRef")) {
        (Some(field), resource) => {
            field_ref(field, &SHOWN, &path.child("fieldRef"), errors);
            if resource.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid_str(path, "resource", detail));
            }
        }
        (None, Some(resource)) => {
            resource_field_ref(resource, true, &path.child("resourceFieldRef"), errors);
        }
        (None, None) => {
            errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
        }
    }
    mode(item, "mode", path, errors);
}

/// Shortest and longest lifetime of a projected token in seconds.
const TOKEN_SECONDS: (i64, i64) = (600, 1 << 32);

fn projected(projection: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    mode(projection, "defaultMode", path, errors);
    let mut taken = BTreeSet::new();
    for (i, source) in projection.list_at(&["sources"]).iter().enumerate() {
        let at = path.child("sources").index(i);
        let mut count = 0;
        for kind in ["secret", "configMap"] {
            let Some(files) = present(source, kind) else { continue };
            count += 1;
            let name = check::text(files, &["name"]);
            check::required(errors, &at.child(kind).child("name"), name);
            for (i, item) in files.list_at(&["items"]).iter().enumerate() {
                key_to_path(item, &at.child(kind).child("items").index(i), errors);
                take(&mut taken, check::text(item, &["path"]), name, path, errors);
            }
        }
        if let Some(files) = present(source, "downwardAPI") {
            count += 1;
            for item in files.list_at(&["items"]) {
                downward_file(item, &at.child("downwardAPI"), errors);
                let file = check::text(item, &["path"]);
                take(&mut taken, file, file, path, errors);
            }
        }
        if let Some(token) = present(source, "serviceAccountToken") {
            count += 1;
            projected_token(token, &at.child("serviceAccountToken"), path, errors);
        }
        if count > 1 {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type per source"));
        }
    }
}

/// Two files cannot have one path; `shown` is whose file comes second.
fn take<'a>(
    taken: &mut BTreeSet<&'a str>,
    file: &'a str,
    shown: &str,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    if !file.is_empty() && !taken.insert(file) {
        errors.push(FieldError::invalid_str(path, shown, "conflicting duplicate paths"));
    }
}

fn projected_token(token: &Value, path: &FieldPath, volume: &FieldPath, errors: &mut FieldErrors) {
    let seconds = token.int_at(&["expirationSeconds"]).unwrap_or_default();
    let detail = match seconds {
        seconds if seconds < TOKEN_SECONDS.0 => Some("may not specify a duration less than 10 minutes"),
        seconds if seconds > TOKEN_SECONDS.1 => Some("may not specify a duration larger than 2^32 seconds"),
        _ => None,
    };
    if let Some(detail) = detail {
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), &seconds.into(), detail));
    }
    // The original names the path of the volume here.
    let file = check::text(token, &["path"]);
    if check::required(errors, &volume.child("path"), file) {
        free_local_path(file, &volume.child("path"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn faults(volumes_json: &str) -> Vec<String> {
        let spec = object(&format!(r#"{{"volumes":{volumes_json}}}"#));
        let mut errors = Vec::new();
        volumes(&spec, "p", Place::Pod, &FieldPath::root("volumes"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn volumes_are_refused_for_what_is_wrong_with_them() {
        for (json, expected) in [
            (r#"[{"name":"v","emptyDir":{}}]"#, vec![]),
            (
                r#"[{"name":"v","emptyDir":{},"hostPath":{"path":"/x"}}]"#,
                vec!["volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
            ),
            (r#"[{"name":"v"}]"#, vec!["volumes[0]: Required value: must specify a volume type"]),
            (
                r#"[{"name":"v","emptyDir":{}},{"name":"v","emptyDir":{}}]"#,
                vec![r#"volumes[1].name: Duplicate value: "v""#],
            ),
            (
                r#"[{"name":"v","projected":{"sources":[{"secret":{"name":"s","items":[{"key":"k","path":"p"}]}},
                    {"configMap":{"name":"c","items":[{"key":"k","path":"p"}]}}]}}]"#,
                vec![r#"volumes[0].projected: Invalid value: "c": conflicting duplicate paths"#],
            ),
            (
                r#"[{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"t","expirationSeconds":599}}]}}]"#,
                vec![
                    "volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: may \
                     not specify a duration less than 10 minutes",
                ],
            ),
            (
                r#"[{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"t","expirationSeconds":600}}]}}]"#,
                vec![],
            ),
            (
                r#"[{"name":"v","secret":{"secretName":"s","items":[{"key":"k","path":"..x","mode":512}]}}]"#,
                vec![
                    r#"volumes[0].secret.items[0].path: Invalid value: "..x": must not start with '..'"#,
                    "volumes[0].secret.items[0].mode: Invalid value: 512: must be a number between 0 and 0777 (octal), \
                     both inclusive",
                ],
            ),
            (
                r#"[{"name":"v","image":{"pullPolicy":"Sometimes"}}]"#,
                vec![
                    "volumes[0].image.reference: Required value",
                    "volumes[0].image.pullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \
                     \"IfNotPresent\", \"Never\"",
                ],
            ),
            (
                r#"[{"name":"v","ephemeral":{"volumeClaimTemplate":{"metadata":{"name":"x"},"spec":{"accessModes":
                    ["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}}},
                    {"name":"w","persistentVolumeClaim":{"claimName":"p-v"}}]"#,
                vec![
                    "volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
                    "volumes[1].persistentVolumeClaim.claimName: Invalid value: \"p-v\": must not reference a PVC that \
                     gets created for an ephemeral volume",
                ],
            ),
            (
                r#"[{"name":"v","downwardAPI":{"items":[{"path":"a","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.name"},
                    "resourceFieldRef":{"containerName":"c","resource":"limits.cpu"}}]}}]"#,
                vec![
                    "volumes[0].downwardAPI: Invalid value: \"resource\": fieldRef and resourceFieldRef can not be \
                     specified simultaneously",
                ],
            ),
        ] {
            assert_eq!(faults(json), expected, "{json}");
        }
    }
}
