//! Validation of persistent volumes and of claims.

use meta::validation::{is_dns1123_label, is_dns1123_subdomain};
use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use schema::quantity::Quantity;
use schema::{Map, Value};

use super::pod_affinity::node_selector;
use super::rules::present;
use super::volume_sources::{self, Owner};
use crate::{check, defaults, diff, go_form, print, validation};

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
/// Fields of a volume's spec that name where it is, in the order in which the original looks at them.
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
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

const SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeSpec";
/// The same in the order in which Go prints them.
const SOURCES_OF_GO: [&str; 22] = [
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "hostPath",
    "glusterfs",
    "nfs",
    "rbd",
    "quobyte",
    "iscsi",
    "flexVolume",
    "cinder",
    "cephfs",
    "fc",
    "flocker",
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
    let Some(spec) = object.at(&["spec"]) else { return errors };
    let modes = spec.list_at(&["accessModes"]);
    if modes.is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    access_modes(modes, &path, &mut errors);
    capacity(spec, &path.child("capacity"), &mut errors);
    let policy = check::text(spec, &["persistentVolumeReclaimPolicy"]);
    let policy_path = path.child("persistentVolumeReclaimPolicy");
    if !policy.is_empty() {
        check::one_of(&mut errors, &policy_path, policy, &["Delete", "Recycle", "Retain"]);
    }
    if let Some(affinity) = present(spec, "nodeAffinity") {
        node_affinity(affinity, &path.child("nodeAffinity"), &mut errors);
    }
    sources(object, spec, &path, &mut errors);
    let whole_host = spec.str_at(&["hostPath", "path"]).is_some_and(is_root);
    if whole_host && policy == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(&policy_path, detail));
    }
    names(spec, &path, &mut errors);
    attributes_class(spec, &path, &mut errors);
    errors
}

/// True for `/`, however it is written.
fn is_root(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|part| matches!(part, "" | "."))
}

fn node_affinity(affinity: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    match present(affinity, "required") {
        Some(required) => node_selector(required, &path.child("required"), errors),
        None => {
            let detail = "must specify required node constraints";
            errors.push(FieldError::required(&path.child("required"), detail));
        }
    }
}

fn attributes_class(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(class) = spec.str_at(&["volumeAttributesClassName"]) else { return };
    let at = path.child("volumeAttributesClassName");
    if class.is_empty() {
        errors.push(FieldError::required(&at, "an empty string is disallowed"));
    } else {
        check::messages(errors, &at, class, is_dns1123_subdomain(class));
    }
    if present(spec, "csi").is_none() {
        let detail = "has to be specified when using volumeAttributesClassName";
        errors.push(FieldError::required(&path.child("csi"), detail));
    }
}

/// A changed volume: where it is stays.
pub(super) fn volume_update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = volume(object);
    let source = |object: &Value| {
        SOURCES.iter().filter_map(|name| Some((*name, object.at(&["spec", name])?.clone()))).collect::<Map>()
    };
    let [mut new, before] = [object, old].map(|object| Value::from(source(object)));
    // The secret for growing a volume can be named later.
    if before.at(&["csi"]).is_some() && before.at(&["csi", "controllerExpandSecretRef"]).is_none() {
        new.remove(&["csi", "controllerExpandSecretRef"]);
    }
    if !check::same(Some(&new), Some(&before)) {
        let difference = diff::of_fields(SPEC, &SOURCES_OF_GO, &before, &new);
        let detail = format!("spec.persistentvolumesource is immutable after creation\n{difference}");
        errors.push(FieldError::forbidden(&FieldPath::root("spec.persistentvolumesource"), detail));
    }
    same_volume_mode(object, old, &mut errors);
    moved_affinity(object, old, &mut errors);
    kept_attributes_class(object, old, false, &mut errors);
    errors
}

/// The original leaves `spec` out of this path.
fn same_volume_mode(object: &Value, old: &Value, errors: &mut FieldErrors) {
    let mode = |object: &Value| object.at(&["spec", "volumeMode"]).cloned();
    if !check::same(mode(object).as_ref(), mode(old).as_ref()) {
        let shown = mode(object).unwrap_or_default();
        errors.push(FieldError::invalid(&FieldPath::root("volumeMode"), &shown, check::IMMUTABLE));
    }
}

/// Labels that have other names now.
const RENAMED_LABELS: [(&str, &str); 5] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

/// Where a volume can be reached from stays, but may be said with the new names of labels.
fn moved_affinity(object: &Value, old: &Value, errors: &mut FieldErrors) {
    const TYPE: &str = "io.k8s.api.core.v1.VolumeNodeAffinity";
    let affinity = |object: &Value| object.at(&["spec", "nodeAffinity"]).cloned().filter(|it| !it.is_null());
    let Some(mut before) = affinity(old) else { return };
    let new = affinity(object);
    if let (Some(new), Some(Value::List(terms))) = (&new, before.at_mut(&["required", "nodeSelectorTerms"])) {
        rename_labels(terms, new.list_at(&["required", "nodeSelectorTerms"]));
    }
    if !check::same(new.as_ref(), Some(&before)) {
        let shown = new.map_or("null".to_owned(), |new| go_form::show(TYPE, Some(&new)));
        let detail = "field is immutable, except for updating from beta label to GA";
        errors.push(check::invalid_shown(&FieldPath::root("nodeAffinity"), shown, detail));
    }
}

fn rename_labels(before: &mut [Value], new: &[Value]) {
    for (term, new_term) in before.iter_mut().zip(new) {
        let new_requirements = new_term.list_at(&["matchExpressions"]);
        for (requirement, new) in defaults::items(term, "matchExpressions").zip(new_requirements) {
            let names = (check::text(requirement, &["key"]), check::text(new, &["key"]));
            if RENAMED_LABELS.contains(&names) {
                let name = names.1.to_owned();
                requirement.set(&["key"], name);
            }
        }
    }
}

/// A class of attributes that has been named stays named.
fn kept_attributes_class(object: &Value, old: &Value, of_claim: bool, errors: &mut FieldErrors) {
    let class = |object: &Value| object.str_at(&["spec", "volumeAttributesClassName"]).map(str::to_owned);
    let detail = match (class(old), class(object).as_deref()) {
        (Some(_), None) => "update from non-nil value to nil is forbidden",
        (Some(before), Some("")) if of_claim && !before.is_empty() => {
            "update from non-nil value to an empty string is forbidden"
        }
        _ => return,
    };
    errors.push(FieldError::forbidden(&FieldPath::root("spec.volumeAttributesClassName"), detail));
}

fn access_modes(modes: &[Value], path: &FieldPath, errors: &mut FieldErrors) {
    let path = path.child("accessModes");
    let (mut single_pod, mut other) = (false, false);
    for mode in modes {
        let mode = mode.as_str().unwrap_or_default();
        check::one_of(errors, &path, mode, &ACCESS_MODES);
        single_pod |= mode == "ReadWriteOncePod";
        other |= mode != "ReadWriteOncePod" && ACCESS_MODES.contains(&mode);
    }
    if single_pod && other {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(&path, detail));
    }
}

fn capacity(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let given = spec.map_at(&["capacity"]).filter(|map| !map.is_empty());
    if given.is_none() {
        errors.push(FieldError::required(path, ""));
    }
    if given.is_none_or(|map| map.len() > 1 || !map.contains_key("storage")) {
        let shown = given.map_or(Value::Null, |map| Value::Map(map.clone()));
        errors.push(FieldError::not_supported(path, &shown, &["storage"]));
    }
    for (name, amount) in given.into_iter().flat_map(|map| map.iter()) {
        basic_amount(errors, &path.key(name), amount);
        positive(errors, &path.key(name), amount);
    }
}

/// An amount that is not below zero once it is rounded up.
fn basic_amount(errors: &mut FieldErrors, path: &FieldPath, amount: &Value) {
    let rounded = validation::quantity(amount).map_or(0, |amount| amount.as_i64());
    if rounded < 0 {
        errors.push(FieldError::invalid(path, &rounded.into(), "must be a valid resource quantity"));
    }
}

fn positive(errors: &mut FieldErrors, path: &FieldPath, amount: &Value) {
    if validation::quantity(amount).is_some_and(|amount| amount <= Quantity::from_int(0)) {
        errors.push(FieldError::invalid(path, amount, "must be greater than zero"));
    }
}

fn sources(object: &Value, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let owner = Owner::Volume(ObjectMeta::of(object).name());
    let mut found = false;
    for kind in SOURCES {
        let Some(source) = present(spec, kind) else { continue };
        // The original does not mind that a flexVolume is one more.
        if std::mem::replace(&mut found, true) && kind != "flexVolume" {
            let path = path.child(volume_sources::path_of_extra(kind));
            errors.push(FieldError::forbidden(&path, "may not specify more than 1 volume type"));
            continue;
        }
        volume_sources::source(kind, source, owner, &path.child(volume_sources::path_of(kind)), errors);
        if kind == "local" && present(spec, "nodeAffinity").is_none() {
            let detail = "Local volume requires node affinity";
            errors.push(FieldError::required(&path.child("nodeAffinity"), detail));
        }
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

fn names(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let class = check::text(spec, &["storageClassName"]);
    if !class.is_empty() {
        check::messages(errors, &path.child("storageClassName"), class, is_dns1123_subdomain(class));
    }
    if let Some(mode) = spec.str_at(&["volumeMode"]) {
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
    names(spec, path, errors);
    data_sources(spec, path, errors);
    let class = check::text(spec, &["volumeAttributesClassName"]);
    if !class.is_empty() {
        let path = path.child("volumeAttributesClassName");
        check::messages(errors, &path, class, is_dns1123_subdomain(class));
    }
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
        if !group.is_empty() {
            check::messages(errors, &path.child("apiGroup"), group, is_dns1123_subdomain(group));
        }
        let namespace = check::text(source, &["namespace"]);
        if !namespace.is_empty() {
            check::messages(errors, &path.child("namespace"), namespace, is_dns1123_label(namespace));
        }
    }
    let Some(old) = old else { return };
    let detail = match new {
        Some(new) if !check::text(new, &["namespace"]).is_empty() => {
            "may not be specified when dataSourceRef.namespace is specified"
        }
        Some(new)
            if !["apiGroup", "kind", "name"].iter().all(|key| check::same(old.get(key), new.get(key))) =>
        {
            "must match dataSourceRef"
        }
        _ => return,
    };
    // The original shows a path, which has nothing to show.
    errors.push(FieldError::invalid(path, &Value::map(), detail));
}

/// The annotation that named the storage class before there was a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// A changed claim: it may be bound, and grow once it is.
pub(super) fn claim_update(object: &Value, old: &Value) -> FieldErrors {
    const SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeClaimSpec";
    const STORAGE: [&str; 3] = ["resources", "requests", "storage"];
    let mut errors = claim(object);
    let path = FieldPath::root("spec");
    let spec = |object: &Value| object.at(&["spec"]).cloned().unwrap_or_default();
    let (mut fixed, mut wanted) = (spec(old), spec(object));
    if check::text(&fixed, &["volumeName"]).is_empty() {
        copy(&wanted, &mut fixed, &["volumeName"]);
    }
    storage_class(object, old, &mut wanted, &mut errors);
    if object.str_at(&["status", "phase"]) == Some("Bound") {
        if wanted.map_at(&["resources", "requests"]).is_some() {
            copy(&fixed, &mut wanted, &STORAGE);
        }
        if wanted.str_at(&["volumeAttributesClassName"]).is_some() {
            copy(&fixed, &mut wanted, &["volumeAttributesClassName"]);
        }
    }
    if !check::same(Some(&fixed), Some(&wanted)) {
        let difference = diff::of_type(SPEC, &fixed, &wanted);
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
             claims\n{difference}"
        );
        errors.push(FieldError::forbidden(&path, detail));
    }
    let amount =
        |value: Option<&Value>| value.and_then(validation::quantity).unwrap_or_else(|| Quantity::from_int(0));
    let [asked, before] = [object, old].map(|object| amount(spec(object).at(&STORAGE)));
    if asked < before && asked <= amount(old.at(&["status", "capacity", "storage"])) {
        let path = path.child("resources.requests.storage");
        errors.push(FieldError::forbidden(&path, "field can not be less than status.capacity"));
    }
    same_volume_mode(object, old, &mut errors);
    kept_attributes_class(object, old, true, &mut errors);
    errors
}

/// Takes what stands at a path, also when nothing does.
fn copy(from: &Value, to: &mut Value, path: &[&'static str]) {
    match from.at(path) {
        Some(value) => to.set(path, value.clone()),
        None => drop(to.remove(path)),
    }
}

/// A claim without a class gets one, by the annotation it had or anew; otherwise the class stays.
fn storage_class(object: &Value, old: &Value, wanted: &mut Value, errors: &mut FieldErrors) {
    let annotated =
        |object: &Value| ObjectMeta::of(object).annotations().str(CLASS_ANNOTATION).map(str::to_owned);
    let class = |object: &Value| object.str_at(&["spec", "storageClassName"]).map(str::to_owned);
    let (before, now) = (annotated(old), annotated(object));
    let (old_class, new_class) = (class(old), class(object));
    let moved =
        before.is_some() && old_class.is_none() && new_class == before && (now.is_none() || now == before);
    if moved {
        wanted.remove(&["storageClassName"]);
        return;
    }
    if before.clone().unwrap_or_default() != now.clone().unwrap_or_default() {
        let path = FieldPath::root("metadata").child("annotations").child(CLASS_ANNOTATION);
        errors.push(FieldError::invalid_str(&path, &now.unwrap_or_default(), check::IMMUTABLE));
    }
    if new_class.is_some() && old_class.is_none() && (before.is_none() || new_class == before) {
        wanted.remove(&["storageClassName"]);
    }
}

/// A changed status of a claim.
pub(super) fn claim_status_update(object: &Value) -> FieldErrors {
    const RESIZE: [&str; 5] = [
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
        "NodeResizePending",
    ];
    let mut errors = Vec::new();
    let status = FieldPath::root("status");
    if object.list_at(&["spec", "accessModes"]).is_empty() {
        errors.push(FieldError::required(&FieldPath::root("Spec.accessModes"), ""));
    }
    let map = |name: &str| object.map_at(&["status", name]).cloned().unwrap_or_default();
    for (name, amount) in map("capacity").iter() {
        basic_amount(&mut errors, &status.child("capacity").key(name), amount);
    }
    for (name, state) in map("allocatedResourceStatuses").iter() {
        let path = status.child("allocatedResourceStatus");
        storage_key(name, &path, &mut errors);
        if !RESIZE.contains(&state.as_str().unwrap_or_default()) {
            let mut sorted = RESIZE;
            sorted.sort_unstable();
            errors.push(FieldError::not_supported(&path, &name.into(), &sorted));
        }
    }
    for (name, amount) in map("allocatedResources").iter() {
        let path = status.child("allocatedResources");
        let before = errors.len();
        storage_key(name, &path, &mut errors);
        if errors.len() == before {
            basic_amount(&mut errors, &path.key(name), amount);
        }
    }
    errors
}

/// Of the resources without a foreign prefix, claims have `storage` alone.
fn storage_key(name: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let before = errors.len();
    validation::qualified_name(errors, path, name);
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    if errors.len() == before && native {
        check::one_of(errors, path, name, &["storage"]);
    }
}

/// Warnings about a volume.
pub(super) fn volume_warnings(object: &Value) -> Vec<String> {
    const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
    let mut warnings = class_annotation_warnings(object);
    if ObjectMeta::of(object).annotations().contains_key(MOUNT_OPTIONS) {
        warnings.push(format!(
            "metadata.annotations[{MOUNT_OPTIONS}]: deprecated since v1.31; use \"mountOptions\" attribute instead"
        ));
    }
    if print::text(object, &["spec", "persistentVolumeReclaimPolicy"]) == "Recycle" {
        warnings.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
    let spec = FieldPath::root("spec");
    if let Some(volume) = object.at(&["spec"]) {
        deprecated_sources(volume, &spec, &mut warnings);
    }
    fractional_bytes(object.at(&["spec", "capacity"]), "storage", &spec.child("capacity"), &mut warnings);
    warnings
}

/// Sources that nothing mounts any more, or soon will not; pods are told of them as well.
pub(super) fn deprecated_sources(volume: &Value, path: &FieldPath, warnings: &mut Vec<String>) {
    const DEPRECATED: [(&str, &str); 9] = [
        ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
        ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
        ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
        ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ];
    for (kind, text) in DEPRECATED {
        if present(volume, kind).is_some() {
            // The original writes one of the names as in Go.
            let kind = if kind == "storageos" { "storageOS" } else { kind };
            warnings.push(format!("{}: {text}", path.child(kind)));
        }
    }
}

/// Bytes come whole.
pub(super) fn fractional_bytes(
    amounts: Option<&Value>,
    name: &str,
    path: &FieldPath,
    warnings: &mut Vec<String>,
) {
    let amount = amounts.and_then(|amounts| amounts.get(name)).and_then(validation::quantity);
    if let Some(amount) = amount.filter(|amount| amount.milli_value() % 1000 != 0) {
        let text = meta::field::quoted(&amount.to_string());
        warnings
            .push(format!("{}: fractional byte value {text} is invalid, must be an integer", path.key(name)));
    }
}

fn class_annotation_warnings(object: &Value) -> Vec<String> {
    let annotated = ObjectMeta::of(object).annotations().contains_key(CLASS_ANNOTATION);
    let warning = || {
        format!(
            "metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
        )
    };
    annotated.then(warning).into_iter().collect()
}

/// Warnings about a claim.
pub(super) fn claim_warnings(object: &Value) -> Vec<String> {
    let mut warnings = class_annotation_warnings(object);
    if let Some(spec) = object.at(&["spec"]) {
        claim_spec_warnings(spec, &FieldPath::root("spec"), &mut warnings);
    }
    warnings
}

/// Warnings about the spec of a claim, in a claim or in a template of one.
pub(super) fn claim_spec_warnings(spec: &Value, path: &FieldPath, warnings: &mut Vec<String>) {
    let requests = spec.at(&["resources", "requests"]);
    fractional_bytes(requests, "storage", &path.child("resources.requests"), warnings);
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

    fn texts(errors: FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_claim_asks_for_is_shown_when_it_changes() {
        let errors = texts(claim_update(&claim_of("2Gi", "Pending"), &claim_of("1Gi", "Pending")));
        assert_eq!(
            errors,
            ["spec: Forbidden: spec is immutable after creation except resources.requests and \
                 volumeAttributesClassName for bound claims\n@@ -6,7 +6,7 @@\n  \"Resources\": {\n   \"Limits\": null,\n   \
                 \"Requests\": {\n-   \"storage\": \"1Gi\"\n+   \"storage\": \"2Gi\"\n   }\n  },\n  \"VolumeName\": \"\",\n"]
        );
    }

    #[test]
    fn a_bound_claim_shrinks_down_to_what_it_has() {
        let mut old = claim_of("3Gi", "Bound");
        old.set(&["status", "capacity", "storage"], "1Gi");
        let mut half = claim_of("2Gi", "Bound");
        half.set(&["status", "capacity", "storage"], "1Gi");
        assert_eq!(claim_update(&half, &old), []);
        let mut none = claim_of("1Gi", "Bound");
        none.set(&["status", "capacity", "storage"], "1Gi");
        assert_eq!(
            texts(claim_update(&none, &old)),
            ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]
        );
    }

    #[test]
    fn a_claim_without_a_class_gets_one_once() {
        let with = |class: &str| {
            let mut claim = claim_of("1Gi", "Pending");
            claim.set(&["spec", "storageClassName"], class);
            claim
        };
        assert_eq!(claim_update(&with("a"), &claim_of("1Gi", "Pending")), []);
        assert_eq!(claim_update(&with("b"), &with("a")).len(), 1);
    }

    #[test]
    fn volumes_are_refused_for_what_is_wrong_with_them() {
        let base = r#""accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"}"#;
        for (rest, expected) in [
            (r#""hostPath":{"path":"/x"}"#, vec![]),
            (
                r#""hostPath":{"path":"//."},"persistentVolumeReclaimPolicy":"Recycle""#,
                vec![
                    "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
                ],
            ),
            (
                r#""local":{"path":"/x"}"#,
                vec!["spec.nodeAffinity: Required value: Local volume requires node affinity"],
            ),
            (
                r#""nfs":{"server":"s","path":"x"}"#,
                vec!["spec.nfs.path: Invalid value: \"x\": must be an absolute path"],
            ),
            (
                r#""hostPath":{"path":"/x"},"cephfs":{"monitors":["m"]}"#,
                vec!["spec.cephFS: Forbidden: may not specify more than 1 volume type"],
            ),
            (
                r#""hostPath":{"path":"/x"},"volumeAttributesClassName":"""#,
                vec![
                    "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
                    "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
                ],
            ),
            (
                r#""hostPath":{"path":"/x"},"nodeAffinity":{}"#,
                vec!["spec.nodeAffinity.required: Required value: must specify required node constraints"],
            ),
        ] {
            let object = crate::testing::object(&format!(r#"{{"spec":{{{base},{rest}}}}}"#));
            assert_eq!(texts(volume(&object)), expected, "{rest}");
        }
    }

    #[test]
    fn a_volume_stays_where_it_is() {
        let at = |path: &str| {
            let json = format!(
                r#"{{"spec":{{"accessModes":["ReadWriteOnce"],"capacity":{{"storage":"1Gi"}},"hostPath":{{"path":"{path}"}}}}}}"#
            );
            crate::testing::object(&json)
        };
        let errors = texts(volume_update(&at("/b"), &at("/a")));
        let shown = "-  \"Path\": \"/a\",\n+  \"Path\": \"/b\",\n";
        assert!(errors.len() == 1 && errors[0].contains(shown), "{errors:?}");
    }

    #[test]
    fn labels_of_an_affinity_may_get_their_new_names() {
        let with = |key: &str| {
            let term =
                format!(r#"{{"matchExpressions":[{{"key":"{key}","operator":"In","values":["z"]}}]}}"#);
            crate::testing::object(&format!(
                r#"{{"spec":{{"accessModes":["ReadWriteOnce"],"capacity":{{"storage":"1Gi"}},"hostPath":{{"path":"/x"}},
                    "nodeAffinity":{{"required":{{"nodeSelectorTerms":[{term}]}}}}}}}}"#
            ))
        };
        let old = with("failure-domain.beta.kubernetes.io/zone");
        assert_eq!(volume_update(&with("topology.kubernetes.io/zone"), &old), []);
        assert_eq!(
            volume_update(&with("topology.kubernetes.io/region"), &old)[0].field.as_str(),
            "nodeAffinity"
        );
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
