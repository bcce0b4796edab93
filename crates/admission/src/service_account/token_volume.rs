//! The volume in which a pod finds a token of its account, the authority of
//! the API server and its own namespace, and the mounts of it.

use schema::{Map, Value};

use crate::tree;

/// Where clients in a pod look.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// An hour and seven seconds: the seven tell such tokens from those somebody asked for.
const TOKEN_SECONDS: i64 = 3607;
/// 0644.
const FILE_MODE: i64 = 420;

/// Mounts the volume into each container that has nothing at its path, and
/// adds it if one has it now. A volume that has such a name is taken for it;
/// otherwise `new_name` makes one with a prefix.
pub(super) fn mount(pod: &mut Value, new_name: impl FnOnce(&str) -> String) {
    let volumes = pod.list_at(&["spec", "volumes"]);
    let mut names = volumes.iter().filter_map(|volume| volume.str_at(&["name"]));
    let existing = names.find(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned);
    let is_there = existing.is_some();
    let name = existing.unwrap_or_else(|| new_name(VOLUME_PREFIX));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = pod.at_mut(&["spec", list]).and_then(Value::as_list_mut);
        for container in containers.into_iter().flatten() {
            mounted |= mount_into(container, &name);
        }
    }
    if mounted && !is_there {
        tree::push(pod, &["spec", "volumes"], volume(&name));
    }
}

/// False if the container has something else there.
fn mount_into(container: &mut Value, volume: &str) -> bool {
    let mut mounts = container.list_at(&["volumeMounts"]).iter();
    if mounts.any(|mount| mount.str_at(&["mountPath"]) == Some(MOUNT_PATH)) {
        return false;
    }
    let mount = Map::from([
        ("name", Value::from(volume)),
        ("readOnly", true.into()),
        ("mountPath", MOUNT_PATH.into()),
    ]);
    tree::push(container, &["volumeMounts"], mount);
    true
}

fn volume(name: &str) -> Map {
    let token = Map::from([("path", Value::from("token")), ("expirationSeconds", TOKEN_SECONDS.into())]);
    let authority = Map::from([
        ("name", Value::from("kube-root-ca.crt")),
        ("items", [Map::from([("key", "ca.crt"), ("path", "ca.crt")])].into()),
    ]);
    let field = Map::from([("apiVersion", "v1"), ("fieldPath", "metadata.namespace")]);
    let namespace = Map::from([("path", Value::from("namespace")), ("fieldRef", field.into())]);
    let sources = [
        Map::from([("serviceAccountToken", token)]),
        Map::from([("configMap", authority)]),
        Map::from([("downwardAPI", Map::from([("items", [namespace])]))]),
    ];
    let projected = Map::from([("defaultMode", Value::from(FILE_MODE)), ("sources", sources.into())]);
    Map::from([("name", Value::from(name)), ("projected", projected.into())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn mounted(json: &str) -> Value {
        let mut pod = object(json);
        mount(&mut pod, |prefix| format!("{prefix}abcde"));
        pod
    }

    #[test]
    fn every_container_that_has_nothing_there_mounts_one_volume() {
        let pod = mounted(
            r#"{"spec":{"initContainers":[{"name":"i"}],
                "containers":[{"name":"a"},{"name":"b","volumeMounts":[{"name":"v","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]}]}}"#,
        );
        let [volume] = pod.list_at(&["spec", "volumes"]) else { panic!("one volume") };
        assert_eq!(volume.str_at(&["name"]), Some("kube-api-access-abcde"));
        let mount = object(
            r#"[{"name":"kube-api-access-abcde","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]"#,
        );
        assert_eq!(pod.list_at(&["spec", "initContainers"])[0].get("volumeMounts"), Some(&mount));
        let containers = pod.list_at(&["spec", "containers"]);
        assert_eq!(containers[0].get("volumeMounts"), Some(&mount));
        assert_eq!(containers[1].list_at(&["volumeMounts"])[0].str_at(&["name"]), Some("v"));
    }

    #[test]
    fn the_volume_holds_token_authority_and_namespace() {
        let pod = mounted(r#"{"spec":{"containers":[{"name":"a"}]}}"#);
        let expected = object(
            r#"{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},
                {"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},
                {"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"}}]}}],
                "defaultMode":420}"#,
        );
        assert_eq!(pod.list_at(&["spec", "volumes"])[0].get("projected"), Some(&expected));
    }

    #[test]
    fn a_volume_of_that_name_is_used_and_none_is_added_for_nobody() {
        let pod = mounted(
            r#"{"spec":{"volumes":[{"name":"kube-api-access-mine","emptyDir":{}}],"containers":[{"name":"a"}]}}"#,
        );
        assert_eq!(pod.list_at(&["spec", "volumes"]).len(), 1);
        let mounts = pod.list_at(&["spec", "containers"])[0].list_at(&["volumeMounts"]);
        assert_eq!(mounts[0].str_at(&["name"]), Some("kube-api-access-mine"));
        let taken = r#"{"spec":{"containers":[{"name":"a","volumeMounts":[{"name":"v","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]}]}}"#;
        assert_eq!(mounted(taken), object(taken));
    }
}
