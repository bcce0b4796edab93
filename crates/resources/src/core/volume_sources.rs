//! Validation of where a volume's data are: every kind of source, of pods and
//! of persistent volumes. What only pods have (projections, the downward API,
//! claims made for a pod) is in `pod_volumes`.

use meta::validation::{is_dns1123_label, is_dns1123_subdomain};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::rules::{driver_name, free_local_path, local_path, mode, no_backsteps, present};
use crate::{check, print};

/// Whose volume it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// A pod's or a template's, with the name of the volume.
    Pod(&'a str),
    /// A persistent volume, with its name.
    Volume(&'a str),
}

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
/// Longest pair of volume name and portal that initiators get as one name.
const ISCSI_NAME_MAX: usize = 64;
const ISCSI_NAME_TOO_LONG: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                                   iscsi.initiatorName is specified.";

/// Fields that must stand in a source, where nothing else is asked of it.
const REQUIRED: [(&str, &[&str]); 8] = [
    ("glusterfs", &["endpoints", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cinder", &["volumeID"]),
];

/// Where the original speaks of a source under a name that is not its field's.
pub(super) fn path_of(kind: &'static str) -> &'static str {
    match kind {
        "gcePersistentDisk" => "persistentDisk",
        other => other,
    }
}

/// The same, where it is one source too many.
pub(super) fn path_of_extra(kind: &'static str) -> &'static str {
    match kind {
        "cephfs" => "cephFS",
        "downwardAPI" => "downwarAPI",
        other => other,
    }
}

/// One source; `path` is its own.
pub(super) fn source(
    kind: &str,
    source: &Value,
    owner: Owner<'_>,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    for (_, fields) in REQUIRED.iter().filter(|(name, _)| *name == kind) {
        for field in *fields {
            check::required(errors, &path.child(field), check::text(source, &[field]));
        }
    }
    match kind {
        "hostPath" => host_path(source, path, errors),
        "local" => local(source, path, errors),
        "gitRepo" => git(source, path, errors),
        "gcePersistentDisk" => partitioned(source, "pdName", path, errors),
        "awsElasticBlockStore" => partitioned(source, "volumeID", path, errors),
        "secret" => files(source, "secretName", path, errors),
        "configMap" => files(source, "name", path, errors),
        "nfs" => nfs(source, path, errors),
        "iscsi" => iscsi(source, owner, path, errors),
        "glusterfs" => endpoints_namespace(source, owner, path, errors),
        "flocker" => flocker(source, path, errors),
        "rbd" => rados(source, path, errors),
        "cinder" => secret_reference(source, owner, path, errors),
        "cephfs" => monitors(source, path, errors),
        "quobyte" => quobyte(source, path, errors),
        "fc" => fibre_channel(source, path, errors),
        "flexVolume" => flex(source, path, errors),
        "azureFile" => azure_file(source, owner, path, errors),
        "azureDisk" => azure_disk(source, path, errors),
        "storageos" => storage_os(source, owner, path, errors),
        "csi" => csi(source, owner, path, errors),
        _ => {}
    }
}

fn host_path(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let text = check::text(source, &["path"]);
    if !check::required(errors, &path.child("path"), text) {
        return;
    }
    no_backsteps(text, &path.child("path"), errors);
    if let Some(kind) = source.str_at(&["type"]) {
        check::one_of(errors, &path.child("type"), kind, &HOST_PATH_TYPES);
    }
}

fn local(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let text = check::text(source, &["path"]);
    if check::required(errors, &path.child("path"), text) {
        no_backsteps(text, &path.child("path"), errors);
    }
}

fn git(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    check::required(errors, &path.child("repository"), check::text(source, &["repository"]));
    local_path(check::text(source, &["directory"]), &path.child("directory"), errors);
}

/// A disk by its name, and a partition of it.
fn partitioned(source: &Value, name: &str, path: &FieldPath, errors: &mut FieldErrors) {
    check::required(errors, &path.child(name), check::text(source, &[name]));
    let partition = print::int(source, &["partition"]);
    if !(0..=255).contains(&partition) {
        // The original speaks of 1 and takes 0.
        let detail = "must be between 1 and 255, inclusive";
        errors.push(FieldError::invalid(&path.child("partition"), &partition.into(), detail));
    }
}

/// A secret or config map, named by the field `name`, as files.
fn files(source: &Value, name: &str, path: &FieldPath, errors: &mut FieldErrors) {
    check::required(errors, &path.child(name), check::text(source, &[name]));
    mode(source, "defaultMode", path, errors);
    for (i, item) in source.list_at(&["items"]).iter().enumerate() {
        key_to_path(item, &path.child("items").index(i), errors);
    }
}

/// A key and the file it becomes.
pub(super) fn key_to_path(item: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    check::required(errors, &path.child("key"), check::text(item, &["key"]));
    let file = check::text(item, &["path"]);
    check::required(errors, &path.child("path"), file);
    free_local_path(file, &path.child("path"), errors);
    mode(item, "mode", path, errors);
}

fn nfs(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    check::required(errors, &path.child("server"), check::text(source, &["server"]));
    let exported = check::text(source, &["path"]);
    let path = path.child("path");
    check::required(errors, &path, exported);
    if !exported.starts_with('/') {
        errors.push(FieldError::invalid_str(&path, exported, "must be an absolute path"));
    }
}

fn iscsi(source: &Value, owner: Owner<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    const MALFORMED: &str = "must be valid format";
    let portal = check::text(source, &["targetPortal"]);
    check::required(errors, &path.child("targetPortal"), portal);
    let initiator = source.str_at(&["initiatorName"]);
    if let (Some(_), Owner::Volume(name)) = (initiator, owner)
        && name.len() + 1 + portal.len() > ISCSI_NAME_MAX
    {
        errors.push(FieldError::invalid_str(&path.child("targetportal"), portal, ISCSI_NAME_TOO_LONG));
    }
    let unknown = match owner {
        Owner::Pod(_) => "must be valid format starting with iqn, eui, or naa",
        Owner::Volume(_) => MALFORMED,
    };
    let qualified = |name: &str, path: &FieldPath, errors: &mut FieldErrors| match iscsi_name(name) {
        None => errors.push(FieldError::invalid_str(path, name, unknown)),
        Some(false) => errors.push(FieldError::invalid_str(path, name, MALFORMED)),
        Some(true) => {}
    };
    let name = check::text(source, &["iqn"]);
    if check::required(errors, &path.child("iqn"), name) {
        qualified(name, &path.child("iqn"), errors);
    }
    logical_unit(source, path, errors);
    iscsi_secret(source, owner, path, errors);
    if let Some(initiator) = initiator {
        qualified(initiator, &path.child("initiatorname"), errors);
    }
}

fn iscsi_secret(source: &Value, owner: Owner<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    let path = path.child("secretRef");
    let authenticates =
        ["chapAuthDiscovery", "chapAuthSession"].iter().any(|key| source.bool_at(&[key]) == Some(true));
    match present(source, "secretRef") {
        None if authenticates => errors.push(FieldError::required(&path, "")),
        Some(secret) if matches!(owner, Owner::Volume(_)) => {
            check::required(errors, &path.child("name"), check::text(secret, &["name"]));
        }
        _ => {}
    }
}

/// Whether an iSCSI name is well formed; none if it is of no known type.
fn iscsi_name(name: &str) -> Option<bool> {
    let letters = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if name.starts_with("iqn") {
        return Some(is_qualified_iscsi_name(name));
    }
    let (prefix, length) =
        [("eui", 16), ("naa", 32)].into_iter().find(|(prefix, _)| name.starts_with(prefix))?;
    let rest = &name[prefix.len()..];
    let separator = rest.chars().next().map_or(0, char::len_utf8);
    Some(letters(&rest[separator..], length))
}

/// `iqn.2001-04.com.example:storage.disk1`
fn is_qualified_iscsi_name(name: &str) -> bool {
    let Some((date, rest)) = name.strip_prefix("iqn.").and_then(|rest| rest.split_at_checked(7)) else {
        return false;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let dated = digits(&date[..4]) && date.as_bytes()[4] == b'-' && digits(&date[5..]);
    let Some((authority, unique)) = rest.strip_prefix('.').and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let free = |c: char| !",;*&$|".contains(c) && !c.is_ascii_whitespace();
    dated
        && !authority.is_empty()
        && authority.chars().all(named)
        && !unique.is_empty()
        && unique.chars().all(free)
}

fn logical_unit(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let unit = print::int(source, &["lun"]);
    if !(0..=255).contains(&unit) {
        let detail = "must be between 0 and 255, inclusive";
        errors.push(FieldError::invalid(&path.child("lun"), &unit.into(), detail));
    }
}

fn endpoints_namespace(source: &Value, owner: Owner<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    let Owner::Volume(_) = owner else { return };
    let path = path.child("endpointsNamespace");
    match source.str_at(&["endpointsNamespace"]) {
        Some("") => {
            let detail = "if the endpointnamespace is set, it must be a valid namespace name";
            errors.push(FieldError::invalid_str(&path, "", detail));
        }
        Some(namespace) => check::messages(errors, &path, namespace, is_dns1123_label(namespace)),
        None => {}
    }
}

fn flocker(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let [name, uid] = ["datasetName", "datasetUUID"].map(|key| check::text(source, &[key]));
    if name.is_empty() && uid.is_empty() {
        errors.push(FieldError::required(path, "one of datasetName and datasetUUID is required"));
    }
    if !name.is_empty() && !uid.is_empty() {
        let detail = "datasetName and datasetUUID can not be specified simultaneously";
        errors.push(FieldError::invalid_str(path, "resource", detail));
    }
    if name.contains('/') {
        errors.push(FieldError::invalid_str(&path.child("datasetName"), name, "must not contain '/'"));
    }
}

fn monitors(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if source.list_at(&["monitors"]).is_empty() {
        errors.push(FieldError::required(&path.child("monitors"), ""));
    }
}

fn rados(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    monitors(source, path, errors);
    check::required(errors, &path.child("image"), check::text(source, &["image"]));
}

/// A secret by name; that of a persistent volume has a namespace, too.
fn secret_reference(source: &Value, owner: Owner<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(secret) = present(source, "secretRef") else { return };
    let path = path.child("secretRef");
    check::required(errors, &path.child("name"), check::text(secret, &["name"]));
    if let Owner::Volume(_) = owner {
        check::required(errors, &path.child("namespace"), check::text(secret, &["namespace"]));
    }
}

fn quobyte(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const REGISTRY: &str = "must be a host:port pair or multiple pairs separated by commas";
    let [registry, tenant, volume] = ["registry", "tenant", "volume"].map(|key| check::text(source, &[key]));
    if registry.is_empty() {
        errors.push(FieldError::required(&path.child("registry"), REGISTRY));
    } else if tenant.len() > 64 {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(FieldError::required(&path.child("tenant"), detail));
    } else {
        for _ in registry.split(',').filter(|pair| !is_host_and_port(pair)) {
            errors.push(FieldError::invalid_str(&path.child("registry"), registry, REGISTRY));
        }
    }
    check::required(errors, &path.child("volume"), volume);
}

fn is_host_and_port(pair: &str) -> bool {
    match pair.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') => host.ends_with(']'),
        Some((host, _)) => !host.contains([':', '[', ']']),
        None => false,
    }
}

fn fibre_channel(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let (names, ids) = (source.list_at(&["targetWWNs"]), source.list_at(&["wwids"]));
    let target = path.child("targetWWNs");
    if names.is_empty() && ids.is_empty() {
        errors.push(FieldError::required(&target, "must specify either targetWWNs or wwids, but not both"));
    }
    if !names.is_empty() && !ids.is_empty() {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        errors.push(FieldError::invalid(&target, &Value::List(names.to_vec()), detail));
    }
    if names.is_empty() {
        return;
    }
    match source.int_at(&["lun"]) {
        None => {
            let detail = "lun is required if targetWWNs is specified";
            errors.push(FieldError::required(&path.child("lun"), detail));
        }
        Some(_) => logical_unit(source, path, errors),
    }
}

fn flex(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    check::required(errors, &path.child("driver"), check::text(source, &["driver"]));
    for key in source.map_at(&["options"]).into_iter().flat_map(|options| options.keys()) {
        let namespace = key.split_once('/').map_or(key, |(namespace, _)| namespace);
        let namespace = format!(".{}", namespace.to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(FieldError::invalid_str(&path.child("options").key(key), key, detail));
        }
    }
}

fn azure_file(source: &Value, owner: Owner<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    if let (Owner::Volume(_), Some("")) = (owner, source.str_at(&["secretNamespace"])) {
        errors.push(FieldError::required(&path.child("secretNamespace"), ""));
    }
}

fn azure_disk(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const MANAGED: &str =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    for field in ["diskName", "diskURI"] {
        check::required(errors, &path.child(field), check::text(source, &[field]));
    }
    if let Some(mode) = source.str_at(&["cachingMode"]) {
        check::one_of(errors, &path.child("cachingMode"), mode, &["None", "ReadOnly", "ReadWrite"]);
    }
    let Some(kind) = source.str_at(&["kind"]) else { return };
    check::one_of(errors, &path.child("kind"), kind, &["Dedicated", "Managed", "Shared"]);
    let address = check::text(source, &["diskURI"]);
    let (prefix, form) = if kind == "Managed" { ("/subscriptions/", MANAGED) } else { ("https://", BLOB) };
    if !address.starts_with(prefix) {
        errors.push(FieldError::not_supported(&path.child("diskURI"), &address.into(), &[form]));
    }
}

fn storage_os(source: &Value, owner: Owner<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    let [name, namespace] = ["volumeName", "volumeNamespace"].map(|key| check::text(source, &[key]));
    if check::required(errors, &path.child("volumeName"), name) {
        check::messages(errors, &path.child("volumeName"), name, is_dns1123_label(name));
    }
    if !namespace.is_empty() {
        check::messages(errors, &path.child("volumeNamespace"), namespace, is_dns1123_label(namespace));
    }
    secret_reference(source, owner, path, errors);
}

fn csi(source: &Value, owner: Owner<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    driver_name(errors, &path.child("driver"), check::text(source, &["driver"]));
    let Owner::Volume(_) = owner else { return csi_pod_secret(source, path, errors) };
    check::required(errors, &path.child("volumeHandle"), check::text(source, &["volumeHandle"]));
    for field in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        let Some(secret) = present(source, field) else { continue };
        let path = path.child(field);
        let [name, namespace] = ["name", "namespace"].map(|key| check::text(secret, &[key]));
        if check::required(errors, &path.child("name"), name) {
            check::messages(errors, &path.child("name"), name, is_dns1123_subdomain(name));
        }
        if check::required(errors, &path.child("namespace"), namespace) {
            check::messages(errors, &path.child("namespace"), namespace, is_dns1123_label(namespace));
        }
    }
}

fn csi_pod_secret(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(secret) = present(source, "nodePublishSecretRef") else { return };
    let name = check::text(secret, &["name"]);
    if check::required(errors, &path.child("nodePublishSecretRef").child("name"), name) {
        check::messages(errors, &path.child("name"), name, is_dns1123_subdomain(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn faults(kind: &'static str, owner: Owner<'_>, json: &str) -> Vec<String> {
        let mut errors = Vec::new();
        source(kind, &object(json), owner, &FieldPath::root(path_of(kind)), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_kind_of_source_says_what_it_misses() {
        const POD: Owner<'_> = Owner::Pod("v");
        const VOLUME: Owner<'_> = Owner::Volume("v");
        let required = |path: &str| format!("{path}: Required value");
        for (kind, owner, json, expected) in [
            ("hostPath", POD, "{}", vec![required("hostPath.path")]),
            ("hostPath", POD, r#"{"path":"/x","type":""}"#, vec![]),
            (
                "hostPath",
                POD,
                r#"{"path":"/../x"}"#,
                vec![r#"hostPath.path: Invalid value: "/../x": must not contain '..'"#.to_owned()],
            ),
            ("gcePersistentDisk", POD, r#"{"pdName":"d","partition":255}"#, vec![]),
            (
                "gcePersistentDisk",
                POD,
                r#"{"partition":256}"#,
                vec![
                    required("persistentDisk.pdName"),
                    "persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive".to_owned(),
                ],
            ),
            ("rbd", POD, "{}", vec![required("rbd.monitors"), required("rbd.image")]),
            ("cinder", POD, r#"{"volumeID":"v","secretRef":{}}"#, vec![required("cinder.secretRef.name")]),
            (
                "cinder",
                VOLUME,
                r#"{"volumeID":"v","secretRef":{"name":"s"}}"#,
                vec![required("cinder.secretRef.namespace")],
            ),
            ("scaleIO", POD, r#"{"gateway":"g"}"#, vec![required("scaleIO.system"), required("scaleIO.volumeName")]),
            ("csi", POD, r#"{"driver":"d"}"#, vec![]),
            ("csi", VOLUME, r#"{"driver":"d"}"#, vec![required("csi.volumeHandle")]),
            (
                "fc",
                POD,
                r#"{"targetWWNs":["a"]}"#,
                vec!["fc.lun: Required value: lun is required if targetWWNs is specified".to_owned()],
            ),
            (
                "flexVolume",
                POD,
                r#"{"driver":"d","options":{"a.k8s.io/x":"1"}}"#,
                vec![
                    r#"flexVolume.options[a.k8s.io/x]: Invalid value: "a.k8s.io/x": kubernetes.io and k8s.io namespaces are reserved"#
                        .to_owned(),
                ],
            ),
            ("quobyte", POD, r#"{"registry":"a:1,b:2","volume":"v"}"#, vec![]),
        ] {
            assert_eq!(faults(kind, owner, json), expected, "{kind} {json}");
        }
    }

    #[test]
    fn iscsi_names_are_of_three_types() {
        for (name, known) in [
            ("iqn.2001-04.com.example:storage", Some(true)),
            ("iqn.2001-04.com.example", Some(false)),
            ("iqn.01-04.com.example:s", Some(false)),
            ("eui.0123456789abcdef", Some(true)),
            ("eui.0123", Some(false)),
            ("naa.0123456789abcdef0123456789abcdef", Some(true)),
            ("abc", None),
        ] {
            assert_eq!(iscsi_name(name), known, "{name}");
        }
    }
}
