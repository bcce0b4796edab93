//! Defaults of the volumes of a pod.

use schema::Value;

use super::{items, object, pointer, text};

/// `0644`, the mode of files made from secrets and the like.
const FILE_MODE: i64 = 0o644;
/// Lifetime of a projected service account token in seconds.
const TOKEN_SECONDS: i64 = 3600;

/// Fills in what a volume leaves out. A volume without a source is an empty directory.
pub fn volume(volume: &mut Value) {
    let sources =
        volume.as_map().map_or(0, |map| map.iter().filter(|(key, v)| *key != "name" && !v.is_null()).count());
    if sources == 0 {
        volume.set(&["emptyDir"], Value::map());
        return;
    }
    if let Some(host_path) = object(volume, "hostPath") {
        pointer(host_path, "type", "");
    }
    for source in ["secret", "configMap"] {
        if let Some(source) = object(volume, source) {
            pointer(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(source) = object(volume, "downwardAPI") {
        pointer(source, "defaultMode", FILE_MODE);
        downward_items(source);
    }
    if let Some(source) = object(volume, "projected") {
        projected(source);
    }
    if let Some(template) =
        object(volume, "ephemeral").and_then(|source| object(source, "volumeClaimTemplate"))
    {
        pointer(super::ensure(template, "spec"), "volumeMode", "Filesystem");
    }
    if let Some(image) = object(volume, "image") {
        let reference = image.str_at(&["reference"]).unwrap_or_default().to_owned();
        text(image, "pullPolicy", super::pod::pull_policy(&reference));
    }
    network_disks(volume);
}

fn network_disks(volume: &mut Value) {
    if let Some(iscsi) = object(volume, "iscsi") {
        text(iscsi, "iscsiInterface", "default");
    }
    if let Some(rbd) = object(volume, "rbd") {
        rados(rbd);
    }
    if let Some(disk) = object(volume, "azureDisk") {
        azure_disk(disk);
    }
    if let Some(scale_io) = object(volume, "scaleIO") {
        scale_io_source(scale_io);
    }
}

/// Defaults of an RBD source, of pods and of persistent volumes.
pub fn rados(rbd: &mut Value) {
    text(rbd, "pool", "rbd");
    text(rbd, "user", "admin");
    text(rbd, "keyring", "/etc/ceph/keyring");
}

/// Defaults of an Azure disk, of pods and of persistent volumes.
pub fn azure_disk(disk: &mut Value) {
    pointer(disk, "cachingMode", "ReadWrite");
    pointer(disk, "kind", "Shared");
    pointer(disk, "fsType", "ext4");
    pointer(disk, "readOnly", false);
}

/// Defaults of a ScaleIO source, of pods and of persistent volumes.
pub fn scale_io_source(scale_io: &mut Value) {
    text(scale_io, "storageMode", "ThinProvisioned");
    text(scale_io, "fsType", "xfs");
}

fn projected(source: &mut Value) {
    pointer(source, "defaultMode", FILE_MODE);
    for part in items(source, "sources") {
        if let Some(downward) = object(part, "downwardAPI") {
            downward_items(downward);
        }
        if let Some(token) = object(part, "serviceAccountToken") {
            pointer(token, "expirationSeconds", TOKEN_SECONDS);
        }
    }
}

fn downward_items(source: &mut Value) {
    for item in items(source, "items") {
        if let Some(field) = object(item, "fieldRef") {
            text(field, "apiVersion", "v1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn a_volume_without_a_source_is_an_empty_directory() {
        let mut bare = Value::from(Map::from([("name", "v")]));
        volume(&mut bare);
        assert_eq!(bare.at(&["emptyDir"]), Some(&Value::map()));
    }

    #[test]
    fn files_of_a_secret_are_0644() {
        let mut secret = Value::from(Map::from([("secret", Map::from([("secretName", "s")]))]));
        volume(&mut secret);
        assert_eq!(secret.int_at(&["secret", "defaultMode"]), Some(420));
        assert!(secret.at(&["emptyDir"]).is_none());
    }
}
