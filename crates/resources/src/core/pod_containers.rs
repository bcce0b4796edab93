//! Validation of the containers of a pod: their names, images, ports and
//! mounts. Environment, amounts, life and security have files of their own.

use std::collections::BTreeSet;

use meta::validation::is_dns1123_label;
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::pod_validation::Place;
use super::rules::{local_path, present};
use super::{pod_amounts, pod_environment, pod_life, pod_security};
use crate::{check, print, validation};

/// What containers share with their pod.
pub(super) struct Pod<'a> {
    /// The pod's spec.
    pub(super) spec: &'a Value,
    /// Volumes that are good: only they can be mounted.
    pub(super) volumes: Vec<&'a Value>,
    /// Names of resource claims.
    pub(super) claims: Vec<&'a str>,
}

/// All containers of a pod spec.
pub(super) fn all(pod: &Pod<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    let mut names = BTreeSet::new();
    let containers = pod.spec.list_at(&["containers"]);
    if containers.is_empty() {
        errors.push(FieldError::required(&path.child("containers"), ""));
    }
    let list = path.child("containers");
    for (i, container) in containers.iter().enumerate() {
        let path = list.index(i);
        one(container, pod, &path, errors);
        unique_name(container, &mut names, &path, errors);
        pod_life::life(container, false, pod.spec, &path, errors);
    }
    unique_host_ports(containers, &list, errors);
    let list = path.child("initContainers");
    for (i, container) in pod.spec.list_at(&["initContainers"]).iter().enumerate() {
        let path = list.index(i);
        one(container, pod, &path, errors);
        unique_name(container, &mut names, &path, errors);
        // They run one after another; the original gives each the first one's path.
        unique_host_ports(std::slice::from_ref(container), &list, errors);
        pod_life::life(container, true, pod.spec, &path, errors);
    }
    ephemeral(pod, path, errors);
}

/// Fields that ephemeral containers do not have, in the order of the type.
const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// Ephemeral containers: no ports, probes or resources.
fn ephemeral(pod: &Pod<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    const TEXT: &str = "cannot be set for an Ephemeral Container";
    let containers = pod.spec.list_at(&["ephemeralContainers"]);
    if containers.is_empty() {
        return;
    }
    let others = ["containers", "initContainers"].into_iter().flat_map(|list| pod.spec.list_at(&[list]));
    let names: BTreeSet<&str> = others.map(|container| check::text(container, &["name"])).collect();
    let mut seen = names.clone();
    for (i, container) in containers.iter().enumerate() {
        let path = path.child("ephemeralContainers").index(i);
        one(container, pod, &path, errors);
        untrimmed_image(container, &path, errors);
        let name = check::text(container, &["name"]);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
        }
        let target = check::text(container, &["targetContainerName"]);
        if !target.is_empty() && !names.contains(target) {
            errors.push(FieldError::not_found(&path.child("targetContainerName"), &target.into()));
        }
        for field in NOT_EPHEMERAL {
            if !crate::defaults::is_empty(container.at(&[field])) {
                errors.push(FieldError::forbidden(&path.child(field), TEXT));
            }
        }
        for (i, mount) in container.list_at(&["volumeMounts"]).iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !check::text(mount, &[field]).is_empty() {
                    let path = path.child("volumeMounts").index(i).child(field);
                    errors.push(FieldError::forbidden(&path, TEXT));
                }
            }
        }
    }
}

/// Images with white space around them.
pub(super) fn untrimmed_images(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for list in ["containers", "initContainers"] {
        for (i, container) in spec.list_at(&[list]).iter().enumerate() {
            untrimmed_image(container, &path.child(list).index(i), errors);
        }
    }
}

/// An image with white space around it.
pub(super) fn untrimmed_image(container: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let image = check::text(container, &["image"]);
    if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid_str(&path.child("image"), image, detail));
    }
}

fn unique_name<'a>(
    container: &'a Value,
    names: &mut BTreeSet<&'a str>,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    let name = check::text(container, &["name"]);
    if !name.is_empty() && !names.insert(name) {
        errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
    }
}

/// What every container has.
fn one(container: &Value, pod: &Pod<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    let name = check::text(container, &["name"]);
    if check::required(errors, &path.child("name"), name) {
        check::messages(errors, &path.child("name"), name, is_dns1123_label(name));
    }
    check::required(errors, &path.child("image"), check::text(container, &["image"]));
    let policy = check::text(container, &["terminationMessagePolicy"]);
    let policies = ["File", "FallbackToLogsOnError"];
    check::required_one_of(errors, &path.child("terminationMessagePolicy"), policy, &policies);
    ports(container, &path.child("ports"), errors);
    pod_environment::environment(container, path, errors);
    mounts(container, pod, path, errors);
    let pull = check::text(container, &["imagePullPolicy"]);
    let policies = ["Always", "IfNotPresent", "Never"];
    check::required_one_of(errors, &path.child("imagePullPolicy"), pull, &policies);
    if let Some(resources) = present(container, "resources") {
        pod_amounts::container(resources, &pod.claims, &path.child("resources"), errors);
    }
    pod_life::resize_policy(container, pod.spec, &path.child("resizePolicy"), errors);
    pod_life::restart_rules(container, path, errors);
    let host_users = pod.spec.bool_at(&["hostUsers"]) != Some(false);
    pod_security::container(container, host_users, &path.child("securityContext"), errors);
}

fn ports(container: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let mut names = BTreeSet::new();
    for (i, port) in container.list_at(&["ports"]).iter().enumerate() {
        let path = path.index(i);
        let name = check::text(port, &["name"]);
        if !name.is_empty() {
            let faults = validation::port_name(name);
            if faults.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
            }
            check::messages(errors, &path.child("name"), name, faults);
        }
        match print::int(port, &["containerPort"]) {
            0 => errors.push(FieldError::required(&path.child("containerPort"), "")),
            number => validation::port_number(errors, &path.child("containerPort"), number),
        }
        match print::int(port, &["hostPort"]) {
            0 => {}
            number => validation::port_number(errors, &path.child("hostPort"), number),
        }
        let protocol = check::text(port, &["protocol"]);
        check::required_one_of(errors, &path.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]);
    }
}

/// Two containers cannot have one port of the host; `list` is the path of their list.
fn unique_host_ports(containers: &[Value], list: &FieldPath, errors: &mut FieldErrors) {
    let mut taken = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in container.list_at(&["ports"]).iter().enumerate() {
            let host = print::int(port, &["hostPort"]);
            let [protocol, ip] = ["protocol", "hostIP"].map(|key| check::text(port, &[key]));
            if host != 0 && !taken.insert((protocol, ip, host)) {
                let shown = Value::from(format!("{protocol}/{ip}/{host}"));
                let path = list.index(i).child("ports").index(j).child("hostPort");
                errors.push(FieldError::duplicate(&path, &shown));
            }
        }
    }
}

/// In the host's network a container's port is the host's port.
pub(super) fn host_network_ports(spec: &Value, place: Place, path: &FieldPath, errors: &mut FieldErrors) {
    if spec.bool_at(&["hostNetwork"]) != Some(true) {
        return;
    }
    for (i, container) in spec.list_at(&["containers"]).iter().enumerate() {
        for (j, port) in container.list_at(&["ports"]).iter().enumerate() {
            let [host, own] = ["hostPort", "containerPort"].map(|key| print::int(port, &[key]));
            // A template's pods get the port of the host by default.
            if (place == Place::Pod || host != 0) && host != own {
                let path = path.child("containers").index(i).child("ports").index(j).child("hostPort");
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(&path, &host.into(), detail));
            }
        }
    }
}

fn mounts(container: &Value, pod: &Pod<'_>, path: &FieldPath, errors: &mut FieldErrors) {
    let known = |name: &str| pod.volumes.iter().find(|volume| check::text(volume, &["name"]) == name);
    let (mounts, devices) = (container.list_at(&["volumeMounts"]), container.list_at(&["volumeDevices"]));
    let mut points = BTreeSet::new();
    let list = path.child("volumeMounts");
    for (i, mount) in mounts.iter().enumerate() {
        let path = list.index(i);
        let [name, point] = ["name", "mountPath"].map(|key| check::text(mount, &[key]));
        check::required(errors, &path.child("name"), name);
        let volume = known(name);
        if volume.is_none() {
            errors.push(FieldError::not_found(&path.child("name"), &name.into()));
        }
        check::required(errors, &path.child("mountPath"), point);
        if !points.insert(point) {
            errors.push(FieldError::invalid_str(&path.child("mountPath"), point, "must be unique"));
        }
        let device = |key: &str, text: &str| devices.iter().any(|device| device.str_at(&[key]) == Some(text));
        if device("name", name) {
            let detail = "must not already exist in volumeDevices";
            errors.push(FieldError::invalid_str(&path.child("name"), name, detail));
        }
        if device("devicePath", point) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid_str(&path.child("mountPath"), point, detail));
        }
        mount_options(mount, container, &list, &path, errors);
    }
    block_devices(devices, mounts, known, &path.child("volumeDevices"), errors);
}

/// `list` is the path of the list: the original leaves the index out of some of these.
fn mount_options(
    mount: &Value,
    container: &Value,
    list: &FieldPath,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    let [below, expression] = ["subPath", "subPathExpr"].map(|key| check::text(mount, &[key]));
    if !below.is_empty() {
        local_path(below, &list.child("subPath"), errors);
    }
    if !expression.is_empty() {
        if !below.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid_str(&path.child("subPathExpr"), expression, detail));
        }
        local_path(expression, &list.child("subPathExpr"), errors);
    }
    let propagation = mount.str_at(&["mountPropagation"]);
    if let Some(propagation) = propagation {
        let path = list.child("mountPropagation");
        check::one_of(errors, &path, propagation, &["Bidirectional", "HostToContainer", "None"]);
        let privileged = container.bool_at(&["securityContext", "privileged"]) == Some(true);
        if propagation == "Bidirectional" && !privileged {
            let detail = "Bidirectional mount propagation is available only to privileged containers";
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    if let Some(recursive) = mount.str_at(&["recursiveReadOnly"]) {
        let read_only = mount.bool_at(&["readOnly"]) == Some(true);
        recursive_read_only(recursive, read_only, propagation, &list.child("recursiveReadOnly"), errors);
    }
}

fn recursive_read_only(
    mode: &str,
    read_only: bool,
    propagation: Option<&str>,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    match mode {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !read_only {
                errors.push(FieldError::forbidden(path, "may only be specified when readOnly is true"));
            }
            if propagation.is_some_and(|propagation| propagation != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.push(FieldError::forbidden(path, detail));
            }
        }
        _ => check::one_of(errors, path, mode, &["Disabled", "Enabled", "IfPossible"]),
    }
}

fn block_devices<'a>(
    devices: &[Value],
    mounts: &[Value],
    known: impl Fn(&str) -> Option<&'a &'a Value>,
    list: &FieldPath,
    errors: &mut FieldErrors,
) {
    let (mut names, mut points) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in devices.iter().enumerate() {
        let path = list.index(i);
        let [name, point] = ["name", "devicePath"].map(|key| check::text(device, &[key]));
        let [of_name, of_point] = ["name", "devicePath"].map(|key| path.child(key));
        check::required(errors, &of_name, name);
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::invalid_str(&of_name, name, "must be unique"));
        }
        match known(name) {
            Some(volume)
                if !["persistentVolumeClaim", "ephemeral"]
                    .iter()
                    .any(|key| present(volume, key).is_some()) =>
            {
                let detail =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(FieldError::invalid_str(&of_name, name, detail));
            }
            Some(_) => {}
            None => errors.push(FieldError::not_found(&of_name, &name.into())),
        }
        check::required(errors, &of_point, point);
        if points.contains(point) {
            errors.push(FieldError::invalid_str(&of_point, point, "must be unique"));
        }
        if point.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid_str(&of_point, point, "can not contain backsteps ('..')"));
        } else {
            points.insert(point);
        }
        let mounted = |key: &str, text: &str| mounts.iter().any(|mount| mount.str_at(&[key]) == Some(text));
        if mounted("name", name) {
            errors.push(FieldError::invalid_str(&of_name, name, "must not already exist in volumeMounts"));
        }
        if mounted("mountPath", point) {
            let detail = "must not already exist as a path in volumeMounts";
            errors.push(FieldError::invalid_str(&of_point, point, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;
    use schema::Map;

    fn faults_of(mut spec: Value) -> Vec<String> {
        crate::defaults::pod::pod(&mut spec);
        let volumes = spec.list_at(&["volumes"]).iter().collect();
        let pod = Pod { spec: &spec, volumes, claims: Vec::new() };
        let mut errors = Vec::new();
        all(&pod, &FieldPath::root("spec"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    fn faults(container: &str) -> Vec<String> {
        let mut container = object(container);
        for (key, value) in [("name", "c"), ("image", "i")] {
            container.set_default(&[key], value);
        }
        let mut spec = Value::from(Map::from([("containers", vec![container])]));
        spec.set(
            &["volumes"],
            vec![
                Map::from([("name", Value::from("v")), ("emptyDir", Value::map())]),
                Map::from([("name", Value::from("p")), ("persistentVolumeClaim", Value::map())]),
            ],
        );
        faults_of(spec)
    }

    #[test]
    fn containers_are_refused_for_what_is_wrong_with_them() {
        for (json, expected) in [
            ("{}", vec![]),
            (r#"{"image":""}"#, vec!["spec.containers[0].image: Required value"]),
            (
                r#"{"ports":[{"containerPort":0},{"containerPort":65535},{"containerPort":65536}]}"#,
                vec![
                    "spec.containers[0].ports[0].containerPort: Required value",
                    "spec.containers[0].ports[2].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
                ],
            ),
            (
                r#"{"ports":[{"containerPort":1,"hostPort":80},{"containerPort":2,"hostPort":80}]}"#,
                vec![r#"spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80""#],
            ),
            (
                r#"{"volumeMounts":[{"name":"v","mountPath":"/a"},{"name":"x","mountPath":"/a"}]}"#,
                vec![
                    r#"spec.containers[0].volumeMounts[1].name: Not found: "x""#,
                    r#"spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique"#,
                ],
            ),
            (
                r#"{"volumeMounts":[{"name":"v","mountPath":"/a","recursiveReadOnly":"Enabled"}]}"#,
                vec![
                    "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is \
                     true",
                ],
            ),
            (
                r#"{"volumeDevices":[{"name":"v","devicePath":"/a"}]}"#,
                vec![
                    "spec.containers[0].volumeDevices[0].name: Invalid value: \"v\": can only use volume source type of \
                     PersistentVolumeClaim or Ephemeral for block mode",
                ],
            ),
            (r#"{"volumeDevices":[{"name":"p","devicePath":"/a"}]}"#, vec![]),
            (
                r#"{"volumeDevices":[{"name":"p","devicePath":"/a"}],"volumeMounts":[{"name":"p","mountPath":"/b"}]}"#,
                vec![
                    "spec.containers[0].volumeMounts[0].name: Invalid value: \"p\": must not already exist in volumeDevices",
                    "spec.containers[0].volumeDevices[0].name: Invalid value: \"p\": must not already exist in volumeMounts",
                ],
            ),
        ] {
            assert_eq!(faults(json), expected, "{json}");
        }
    }

    #[test]
    fn ephemeral_containers_have_no_ports_and_new_names() {
        let spec = object(
            r#"{"containers":[{"name":"c","image":"i"}],"ephemeralContainers":[{"name":"c","image":"i",
                "ports":[{"containerPort":1}],"targetContainerName":"x"}]}"#,
        );
        assert_eq!(
            faults_of(spec),
            [
                "spec.ephemeralContainers[0].name: Duplicate value: \"c\"",
                "spec.ephemeralContainers[0].targetContainerName: Not found: \"x\"",
                "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            ]
        );
    }

    #[test]
    fn ports_in_the_hosts_network_are_the_hosts_ports() {
        let spec = object(
            r#"{"hostNetwork":true,"containers":[{"ports":[{"containerPort":1},{"containerPort":2,"hostPort":3}]}]}"#,
        );
        for (place, count) in [(Place::Pod, 2), (Place::Template, 1)] {
            let mut errors = Vec::new();
            host_network_ports(&spec, place, &FieldPath::root("spec"), &mut errors);
            assert_eq!(errors.len(), count, "{errors:?}");
        }
    }
}
