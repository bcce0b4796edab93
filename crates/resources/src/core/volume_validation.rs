//! Validation of persistent volumes and of claims.

use meta::validation::is_dns1123_subdomain;
use meta::{FieldError, FieldErrors, FieldPath};
use schema::quantity::Quantity;
use schema::{Map, Value};

use crate::{check, print, validation};

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
/// Fields of a volume's spec that name where it is.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// A new volume.
pub(super) fn volume(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let path = FieldPath::root("spec");
    let modes = object.list_at(&["spec", "accessModes"]);
    if modes.is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    access_modes(modes, &path, &mut errors);
    capacity(object, &path.child("capacity"), &mut errors);
    let policy = check::text(object, &["spec", "persistentVolumeReclaimPolicy"]);
    let policy_path = path.child("persistentVolumeReclaimPolicy");
    check::one_of(&mut errors, &policy_path, policy, &["Delete", "Recycle", "Retain"]);
    sources(object, &path, &mut errors);
    if object.str_at(&["spec", "hostPath", "path"]) == Some("/") && policy == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(&policy_path, detail));
    }
    names(object, &path, &mut errors);
    errors
}

/// A changed volume: where it is stays.
pub(super) fn volume_update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = volume(object);
    let source = |object: &Value| {
        SOURCES.iter().filter_map(|name| Some((*name, object.at(&["spec", name])?.clone()))).collect::<Map>()
    };
    let (new, before) = (Value::from(source(object)), Value::from(source(old)));
    if !check::same(Some(&new), Some(&before)) {
        let detail = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden(&FieldPath::root("spec.persistentvolumesource"), detail));
    }
    check::immutable(&mut errors, "spec.volumeMode", object, old);
    errors
}

fn access_modes(modes: &[Value], path: &FieldPath, errors: &mut FieldErrors) {
    let path = path.child("accessModes");
    let mut single_pod = false;
    for mode in modes {
        let mode = mode.as_str().unwrap_or_default();
        check::one_of(errors, &path, mode, &ACCESS_MODES);
        single_pod |= mode == "ReadWriteOncePod";
    }
    if single_pod && modes.len() > 1 {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(&path, detail));
    }
}

fn capacity(object: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let given = object.map_at(&["spec", "capacity"]).filter(|map| !map.is_empty());
    if given.is_none() {
        errors.push(FieldError::required(path, ""));
    }
    if given.is_none_or(|map| map.len() > 1 || !map.contains_key("storage")) {
        let shown = given.map_or(Value::Null, |map| Value::Map(map.clone()));
        errors.push(FieldError::not_supported(path, &shown, &["storage"]));
    }
    for (name, amount) in given.into_iter().flat_map(|map| map.iter()) {
        positive(errors, &path.key(name), amount);
    }
}

fn positive(errors: &mut FieldErrors, path: &FieldPath, amount: &Value) {
    if validation::quantity(amount).is_some_and(|amount| amount <= Quantity::from_int(0)) {
        errors.push(FieldError::invalid(path, amount, "must be greater than zero"));
    }
}

fn sources(object: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let given: Vec<&str> = SOURCES
        .into_iter()
        .filter(|name| object.at(&["spec", name]).is_some_and(|source| !source.is_null()))
        .collect();
    if given.is_empty() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    for extra in given.iter().skip(1) {
        errors.push(FieldError::forbidden(&path.child(extra), "may not specify more than 1 volume type"));
    }
    if let Some(first) = given.first() {
        let source = object.at(&["spec", first]).unwrap_or(&Value::Null);
        one_source(first, source, &path.child(first), errors);
    }
    if given.first() == Some(&"local") && object.at(&["spec", "nodeAffinity"]).is_none() {
        let detail = "Local volume requires node affinity";
        errors.push(FieldError::required(&path.child("nodeAffinity"), detail));
    }
}

fn one_source(kind: &str, source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let text = |key: &str| check::text(source, &[key]);
    match kind {
        "hostPath" | "local" => host_path(text("path"), &path.child("path"), errors),
        "nfs" => {
            check::required(errors, &path.child("server"), text("server"));
            if check::required(errors, &path.child("path"), text("path")) && !text("path").starts_with('/') {
                errors.push(FieldError::invalid_str(
                    &path.child("path"),
                    text("path"),
                    "must be an absolute path",
                ));
            }
        }
        "csi" => {
            check::required(errors, &path.child("driver"), text("driver"));
            check::required(errors, &path.child("volumeHandle"), text("volumeHandle"));
        }
        _ => {}
    }
}

fn host_path(text: &str, path: &FieldPath, errors: &mut FieldErrors) {
    if check::required(errors, path, text) && text.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid_str(path, text, "must not contain '..'"));
    }
}

fn names(object: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let class = check::text(object, &["spec", "storageClassName"]);
    if !class.is_empty() {
        check::messages(errors, &path.child("storageClassName"), class, is_dns1123_subdomain(class));
    }
    if let Some(mode) = object.str_at(&["spec", "volumeMode"]) {
        check::one_of(errors, &path.child("volumeMode"), mode, &VOLUME_MODES);
    }
}

/// A new claim.
pub(super) fn claim(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    claim_spec(object.at(&["spec"]).unwrap_or(&Value::Null), &FieldPath::root("spec"), &mut errors);
    errors
}

/// The spec of a claim, in a claim or in a template of one.
pub(crate) fn claim_spec(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let modes = spec.list_at(&["accessModes"]);
    if modes.is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), "at least 1 access mode is required"));
    }
    validation::label_selector(spec.at(&["selector"]), &path.child("selector"), errors);
    access_modes(modes, path, errors);
    let storage = path.child("resources").key("storage");
    match spec.at(&["resources", "requests", "storage"]) {
        None => errors.push(FieldError::required(&storage, "")),
        Some(amount) => positive(errors, &storage, amount),
    }
    if let Some(class) = spec.str_at(&["storageClassName"]).filter(|class| !class.is_empty()) {
        check::messages(errors, &path.child("storageClassName"), class, is_dns1123_subdomain(class));
    }
    if let Some(mode) = spec.str_at(&["volumeMode"]) {
        check::one_of(errors, &path.child("volumeMode"), mode, &VOLUME_MODES);
    }
    data_sources(spec, path, errors);
}

fn data_sources(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let [old, new] =
        ["dataSource", "dataSourceRef"].map(|key| spec.at(&[key]).filter(|source| !source.is_null()));
    for (key, source) in [("dataSource", old), ("dataSourceRef", new)] {
        let Some(source) = source else { continue };
        let path = path.child(key);
        for field in ["name", "kind"] {
            check::required(errors, &path.child(field), check::text(source, &[field]));
        }
        let group = check::text(source, &["apiGroup"]);
        if group.is_empty() && check::text(source, &["kind"]) != "PersistentVolumeClaim" {
            let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.push(FieldError::invalid_str(&path, check::text(source, &["kind"]), detail));
        }
    }
    if let (Some(old), Some(new)) = (old, new) {
        let same = ["apiGroup", "kind", "name"].iter().all(|key| check::same(old.get(key), new.get(key)));
        if !same {
            errors.push(FieldError::invalid(path, &Value::map(), "must match dataSourceRef"));
        }
    }
}

/// A changed claim: it may be bound, and grow once it is.
pub(super) fn claim_update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = claim(object);
    let path = FieldPath::root("spec");
    let mut fixed = old.at(&["spec"]).cloned().unwrap_or_default();
    let mut wanted = object.at(&["spec"]).cloned().unwrap_or_default();
    let bound = old.str_at(&["status", "phase"]) == Some("Bound");
    let mut ignore = |field: &[&str]| {
        fixed.remove(field);
        wanted.remove(field);
    };
    if check::text(old, &["spec", "volumeName"]).is_empty() {
        ignore(&["volumeName"]);
    }
    if bound {
        ignore(&["resources", "requests"]);
    }
    ignore(&["volumeAttributesClassName"]);
    if !check::same(Some(&fixed), Some(&wanted)) {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName \
                      for bound claims";
        errors.push(FieldError::forbidden(&path, detail));
    }
    let storage = |object: &Value, list: &[&str]| object.at(list).and_then(validation::quantity);
    let asked = storage(object, &["spec", "resources", "requests", "storage"]);
    let asked_before = storage(old, &["spec", "resources", "requests", "storage"]);
    let has = storage(old, &["status", "capacity", "storage"]);
    if bound && asked < asked_before && has.is_none_or(|has| asked.is_none_or(|asked| asked <= has)) {
        let path = path.child("resources.requests.storage");
        errors.push(FieldError::forbidden(&path, "field can not be less than status.capacity"));
    }
    errors
}

/// Warnings about a volume.
pub(super) fn volume_warnings(object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if print::text(object, &["spec", "persistentVolumeReclaimPolicy"]) == "Recycle" {
        warnings.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim_of(gigabytes: &str, phase: &str) -> Value {
        let mut object = Value::map();
        object.set(&["spec", "accessModes"], vec!["ReadWriteOnce"]);
        object.set(&["spec", "resources", "requests", "storage"], gigabytes);
        object.set(&["status", "phase"], phase);
        object
    }

    #[test]
    fn a_claim_grows_once_it_is_bound() {
        assert_eq!(claim_update(&claim_of("2Gi", "Bound"), &claim_of("1Gi", "Bound")), []);
        let errors = claim_update(&claim_of("2Gi", "Pending"), &claim_of("1Gi", "Pending"));
        assert_eq!(errors[0].field.as_str(), "spec");
    }

    #[test]
    fn a_volume_is_in_one_place() {
        let mut object = Value::map();
        object.set(&["spec", "accessModes"], vec!["ReadWriteOnce"]);
        object.set(&["spec", "persistentVolumeReclaimPolicy"], "Retain");
        object.set(&["spec", "capacity", "storage"], "1Gi");
        assert_eq!(volume(&object)[0].to_string(), "spec: Required value: must specify a volume type");
        object.set(&["spec", "hostPath", "path"], "/x");
        assert_eq!(volume(&object), []);
        object.set(&["spec", "nfs"], Map::from([("server", "s"), ("path", "/")]));
        assert_eq!(
            volume(&object)[0].to_string(),
            "spec.nfs: Forbidden: may not specify more than 1 volume type"
        );
    }
}
