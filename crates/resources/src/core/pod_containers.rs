//! Validation of the containers of a pod.

use std::collections::BTreeSet;

use meta::validation::is_dns1123_label;
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::pod_validation::{id, profile};
use super::pod_volumes::local_path;
use crate::{check, print, validation};

/// All containers of a pod spec.
pub(super) fn all(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let mut names = BTreeSet::new();
    let containers = spec.list_at(&["containers"]);
    if containers.is_empty() {
        errors.push(FieldError::required(&path.child("containers"), ""));
    }
    for list in ["containers", "initContainers"] {
        for (i, container) in spec.list_at(&[list]).iter().enumerate() {
            let path = path.child(list).index(i);
            one(container, spec, &path, errors);
            unique_name(container, &mut names, &path, errors);
            life(container, list == "initContainers", spec, &path, errors);
        }
    }
    host_ports(spec, path, errors);
    ephemeral(spec, path, errors);
}

/// Ephemeral containers: no ports, probes or resources.
pub(super) fn ephemeral(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let names: BTreeSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec.list_at(&[list]))
        .map(|container| check::text(container, &["name"]))
        .collect();
    let mut seen = names.clone();
    for (i, container) in spec.list_at(&["ephemeralContainers"]).iter().enumerate() {
        let path = path.child("ephemeralContainers").index(i);
        one(container, spec, &path, errors);
        unique_name(container, &mut seen, &path, errors);
        let target = check::text(container, &["targetContainerName"]);
        if !target.is_empty() && !names.contains(target) {
            errors.push(FieldError::not_found(&path.child("targetContainerName"), &target.into()));
        }
        let forbidden = [
            "ports",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "lifecycle",
            "resources",
            "resizePolicy",
        ];
        for field in forbidden {
            if !crate::defaults::is_empty(container.at(&[field])) {
                errors.push(FieldError::forbidden(
                    &path.child(field),
                    "cannot be set for an Ephemeral Container",
                ));
            }
        }
    }
}

/// Images with white space around them.
pub(super) fn untrimmed_images(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for list in ["containers", "initContainers"] {
        for (i, container) in spec.list_at(&[list]).iter().enumerate() {
            let image = check::text(container, &["image"]);
            if image.trim() != image {
                let path = path.child(list).index(i).child("image");
                let detail = "must not have leading or trailing whitespace";
                errors.push(FieldError::invalid_str(&path, image, detail));
            }
        }
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
fn one(container: &Value, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let name = check::text(container, &["name"]);
    if check::required(errors, &path.child("name"), name) {
        check::messages(errors, &path.child("name"), name, is_dns1123_label(name));
    }
    check::required(errors, &path.child("image"), check::text(container, &["image"]));
    let policy = check::text(container, &["terminationMessagePolicy"]);
    let policies = ["FallbackToLogsOnError", "File"];
    check::required_one_of(errors, &path.child("terminationMessagePolicy"), policy, &policies);
    ports(container, &path.child("ports"), errors);
    environment(container, &path.child("env"), errors);
    mounts(container, spec, path, errors);
    let pull = check::text(container, &["imagePullPolicy"]);
    check::required_one_of(
        errors,
        &path.child("imagePullPolicy"),
        pull,
        &["Always", "IfNotPresent", "Never"],
    );
    resources(container, spec, &path.child("resources"), errors);
    resize_policy(container, &path.child("resizePolicy"), errors);
    restart_rules(container, path, errors);
    security(container, &path.child("securityContext"), errors);
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

fn host_ports(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let mut taken = BTreeSet::new();
    let on_host = spec.bool_at(&["hostNetwork"]) == Some(true);
    for (i, container) in spec.list_at(&["containers"]).iter().enumerate() {
        for (j, port) in container.list_at(&["ports"]).iter().enumerate() {
            let path = path.child("containers").index(i).child("ports").index(j);
            let [host, own] = ["hostPort", "containerPort"].map(|key| print::int(port, &[key]));
            if on_host && host != 0 && host != own {
                let detail = "must match `hostPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(&path.child("containerPort"), &own.into(), detail));
            }
            let [protocol, ip] = ["protocol", "hostIP"].map(|key| check::text(port, &[key]));
            if host != 0 && !taken.insert((protocol, ip, host)) {
                let shown = Value::from(format!("{protocol}/{ip}/{host}"));
                errors.push(FieldError::duplicate(&path.child("hostPort"), &shown));
            }
        }
    }
}

fn environment(container: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for (i, variable) in container.list_at(&["env"]).iter().enumerate() {
        let path = path.index(i);
        let name = check::text(variable, &["name"]);
        let printable = |c: char| (' '..='~').contains(&c) && c != '=';
        if check::required(errors, &path.child("name"), name) && !name.chars().all(printable) {
            let detail = "a valid environment variable name must consist only of printable ASCII characters other than '='";
            errors.push(FieldError::invalid_str(&path.child("name"), name, detail));
        }
        if let Some(source) = variable.at(&["valueFrom"]).filter(|source| !source.is_null()) {
            value_from(variable, source, &path.child("valueFrom"), errors);
        }
    }
}

/// Fields of a pod that a variable may show.
const SHOWN: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Amounts of a container that a variable may show.
const AMOUNTS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

fn value_from(variable: &Value, source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let part = |key: &str| source.at(&[key]).filter(|part| !part.is_null());
    let mut count = 0;
    if let Some(field) = part("fieldRef") {
        count += 1;
        field_ref(field, &SHOWN, &path.child("fieldRef"), errors);
    }
    if let Some(amount) = part("resourceFieldRef") {
        count += 1;
        resource_field_ref(amount, &path.child("resourceFieldRef"), errors);
    }
    for key in ["configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        if let Some(reference) = part(key) {
            count += 1;
            check::required(errors, &path.child(key).child("key"), check::text(reference, &["key"]));
        }
    }
    let detail = if count == 0 {
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
    } else if !check::text(variable, &["value"]).is_empty() {
        "may not be specified when `value` is not empty"
    } else if count > 1 {
        "may not have more than one field specified at a time"
    } else {
        return;
    };
    errors.push(FieldError::invalid_str(path, "", detail));
}

/// A reference to a field of the pod; `shown` are those allowed here.
pub(super) fn field_ref(field: &Value, shown: &[&str], path: &FieldPath, errors: &mut FieldErrors) {
    check::required(errors, &path.child("apiVersion"), check::text(field, &["apiVersion"]));
    let text = check::text(field, &["fieldPath"]);
    let path = path.child("fieldPath");
    if !check::required(errors, &path, text) {
        return;
    }
    let subscript = text.split_once("['").filter(|(_, rest)| rest.ends_with("']"));
    if let Some((map, _)) = subscript {
        if !["metadata.annotations", "metadata.labels"].contains(&map) {
            errors.push(FieldError::invalid_str(&path, text, "does not support subscript"));
        }
        return;
    }
    let known = SHOWN.contains(&text)
        || ["metadata.annotations", "metadata.labels", "spec.restartPolicy"].contains(&text);
    if !known {
        let detail = format!("error converting fieldPath: field label not supported: {text}");
        errors.push(FieldError::invalid_str(&path, text, detail));
    } else {
        check::one_of(errors, &path, text, shown);
    }
}

fn resource_field_ref(amount: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let resource = check::text(amount, &["resource"]);
    if !check::required(errors, &path.child("resource"), resource) {
        return;
    }
    let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    if !huge {
        check::one_of(errors, &path.child("resource"), resource, &AMOUNTS);
    }
    let divisor = amount.at(&["divisor"]).and_then(validation::quantity).filter(|divisor| !divisor.is_zero());
    let Some(divisor) = divisor.map(|divisor| divisor.to_string()) else { return };
    if resource.ends_with(".cpu") && !["1m", "1"].contains(&divisor.as_str()) {
        let detail = "only divisor's values 1m and 1 are supported with the cpu resource";
        errors.push(FieldError::invalid_str(&path.child("divisor"), resource, detail));
    }
}

fn mounts(container: &Value, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let volumes = spec.list_at(&["volumes"]);
    let known = |name: &str| volumes.iter().find(|volume| check::text(volume, &["name"]) == name);
    let mut points = BTreeSet::new();
    for (i, mount) in container.list_at(&["volumeMounts"]).iter().enumerate() {
        let list = path.child("volumeMounts");
        let path = list.index(i);
        let name = check::text(mount, &["name"]);
        if check::required(errors, &path.child("name"), name) && known(name).is_none() {
            errors.push(FieldError::not_found(&path.child("name"), &name.into()));
        }
        let point = check::text(mount, &["mountPath"]);
        check::required(errors, &path.child("mountPath"), point);
        if !points.insert(point) {
            errors.push(FieldError::invalid_str(&path.child("mountPath"), point, "must be unique"));
        }
        mount_options(mount, container, &list, &path, errors);
    }
    devices(container, known, path, errors);
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
    if let Some(propagation) = mount.str_at(&["mountPropagation"]) {
        let path = list.child("mountPropagation");
        check::one_of(errors, &path, propagation, &["Bidirectional", "HostToContainer", "None"]);
        let privileged = container.bool_at(&["securityContext", "privileged"]) == Some(true);
        if propagation == "Bidirectional" && !privileged {
            let detail = "Bidirectional mount propagation is available only to privileged containers";
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    if let Some(recursive) = mount.str_at(&["recursiveReadOnly"]).filter(|mode| *mode != "Disabled") {
        let path = list.child("recursiveReadOnly");
        check::one_of(errors, &path, recursive, &["Disabled", "Enabled", "IfPossible"]);
        if mount.bool_at(&["readOnly"]) != Some(true) {
            errors.push(FieldError::forbidden(&path, "may only be specified when readOnly is true"));
        }
    }
}

fn devices<'a>(
    container: &Value,
    known: impl Fn(&str) -> Option<&'a Value>,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    for (i, device) in container.list_at(&["volumeDevices"]).iter().enumerate() {
        let path = path.child("volumeDevices").index(i);
        let name = check::text(device, &["name"]);
        if check::required(errors, &path.child("name"), name) {
            match known(name) {
                None => errors.push(FieldError::not_found(&path.child("name"), &name.into())),
                Some(volume) => {
                    let block =
                        ["persistentVolumeClaim", "ephemeral"].iter().any(|key| volume.at(&[key]).is_some());
                    if !block {
                        let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                        errors.push(FieldError::invalid_str(&path.child("name"), name, detail));
                    }
                }
            }
        }
        let device = check::text(device, &["devicePath"]);
        check::required(errors, &path.child("devicePath"), device);
        local_device(device, &path.child("devicePath"), errors);
    }
}

fn local_device(device: &str, path: &FieldPath, errors: &mut FieldErrors) {
    if device.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid_str(path, device, "can not contain backsteps ('..')"));
    }
}

fn resources(container: &Value, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(resources) = container.at(&["resources"]) else { return };
    let (mut huge, mut compute) = (false, false);
    for list in ["limits", "requests"] {
        for (name, amount) in resources.map_at(&[list]).into_iter().flat_map(|map| map.iter()) {
            let at = path.child(list).key(name);
            resource_name(name, &at, errors);
            validation::quantity_not_negative(errors, &at, amount);
            if list == "requests" {
                request_within_limit(resources, name, amount, &path.child("requests"), errors);
            }
            if let Some(size) = name.strip_prefix("hugepages-") {
                whole_pages(name, size, amount, &at, errors);
            }
            huge |= name.starts_with("hugepages-");
            compute |= matches!(name, "cpu" | "memory");
        }
    }
    if huge && !compute {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
    claims(resources, spec, &path.child("claims"), errors);
}

/// Huge pages come whole.
fn whole_pages(name: &str, size: &str, amount: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let size = validation::quantity(&size.into()).map_or(0, |size| size.as_i64());
    let wanted = validation::quantity(amount).map_or(0, |amount| amount.as_i64());
    if size > 0 && wanted % size != 0 {
        let shown = print::scalar_or(Some(amount), "");
        let detail = format!("{shown} is not positive integer multiple of {name}");
        errors.push(FieldError::invalid(path, amount, detail));
    }
}

fn resource_name(name: &str, path: &FieldPath, errors: &mut FieldErrors) {
    validation::qualified_name(errors, path, name);
    let standard = ["cpu", "memory", "ephemeral-storage", "storage"];
    if !name.contains('/') && !standard.contains(&name) && !name.starts_with("hugepages-") {
        for detail in [
            "must be a standard resource type or fully qualified",
            "must be a standard resource for containers",
        ] {
            errors.push(FieldError::invalid_str(path, name, detail));
        }
    }
}

fn request_within_limit(
    resources: &Value,
    name: &str,
    request: &Value,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    let limit = resources.at(&["limits", name]);
    // What cannot be shared is requested in full.
    let exact = name.contains('/') || name.starts_with("hugepages-");
    let (Some(wanted), limit_amount) = (validation::quantity(request), limit.and_then(validation::quantity))
    else {
        return;
    };
    match (limit, limit_amount) {
        (Some(limit), Some(most)) if exact && wanted != most => {
            let detail = format!("must be equal to {name} limit of {}", print::scalar_or(Some(limit), ""));
            errors.push(FieldError::invalid(path, request, detail));
        }
        (Some(limit), Some(most)) if !exact && wanted > most => {
            let detail = format!(
                "must be less than or equal to {name} limit of {}",
                print::scalar_or(Some(limit), "")
            );
            errors.push(FieldError::invalid(path, request, detail));
        }
        (None, _) if exact => {
            errors.push(FieldError::required(
                &path.key(name),
                "Limit must be set for non overcommitable resources",
            ));
        }
        _ => {}
    }
}

fn claims(resources: &Value, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let known: Vec<&str> =
        spec.list_at(&["resourceClaims"]).iter().map(|claim| check::text(claim, &["name"])).collect();
    let mut seen = BTreeSet::new();
    for (i, claim) in resources.list_at(&["claims"]).iter().enumerate() {
        let path = path.index(i);
        let [name, request] = ["name", "request"].map(|key| check::text(claim, &[key]));
        if name.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if !seen.insert((name, request)) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        } else if !known.contains(&name) {
            let mut error = FieldError::not_found(&path, &name.into());
            error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            if known.is_empty() {
                error.detail.push_str(" which is empty");
            }
            errors.push(error);
        }
    }
}

fn resize_policy(container: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (i, policy) in container.list_at(&["resizePolicy"]).iter().enumerate() {
        let resource = check::text(policy, &["resourceName"]);
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(&path.index(i), &resource.into()));
        }
        check::required_one_of(errors, path, resource, &["cpu", "memory"]);
        let restart = check::text(policy, &["restartPolicy"]);
        check::required_one_of(errors, path, restart, &["NotRequired", "RestartContainer"]);
    }
}

fn restart_rules(container: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let rules = container.list_at(&["restartPolicyRules"]);
    let policy = check::text(container, &["restartPolicy"]);
    if !rules.is_empty() && policy.is_empty() {
        let detail = "must specify restartPolicy when restart rules are used";
        errors.push(FieldError::required(&path.child("restartPolicy"), detail));
    }
    if !policy.is_empty() {
        let policies = ["Always", "OnFailure", "Never"];
        check::one_of(errors, &path.child("restartPolicy"), policy, &policies);
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = path.child("restartPolicyRules").index(i);
        let action = check::text(rule, &["action"]);
        check::required_one_of(errors, &path.child("action"), action, &["Restart", "RestartAllContainers"]);
        match rule.at(&["exitCodes"]).filter(|codes| !codes.is_null()) {
            None => errors.push(FieldError::required(&path.child("exitCodes"), "must be specified")),
            Some(codes) => {
                let operator = check::text(codes, &["operator"]);
                let path = path.child("exitCodes").child("operator");
                check::required_one_of(errors, &path, operator, &["In", "NotIn"]);
            }
        }
    }
}

fn security(container: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const TYPE: &str = "io.k8s.api.core.v1.SecurityContext";
    let Some(context) = container.at(&["securityContext"]).filter(|context| !context.is_null()) else {
        return;
    };
    for key in ["runAsUser", "runAsGroup"] {
        id(errors, &path.child(key), context.int_at(&[key]));
    }
    if let Some(mount) = context.str_at(&["procMount"]) {
        check::one_of(errors, &path.child("procMount"), mount, &["Default", "Unmasked"]);
    }
    profile(context, "seccompProfile", "seccomp", path, errors);
    profile(context, "appArmorProfile", "apparmor", path, errors);
    if context.bool_at(&["allowPrivilegeEscalation"]) == Some(false) {
        let mut refuse = |detail: &str| {
            let shown = crate::go_form::show(TYPE, Some(context));
            errors.push(check::invalid_shown(path, shown, detail));
        };
        if context.bool_at(&["privileged"]) == Some(true) {
            refuse("cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        let added = context.list_at(&["capabilities", "add"]);
        if added.iter().any(|name| name.as_str() == Some("CAP_SYS_ADMIN")) {
            refuse("cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
        }
    }
}

/// Probes and hooks. Init containers have none, unless they keep running.
fn life(container: &Value, init: bool, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let sidecar = super::pod_resources::is_sidecar(container);
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(target) = container.at(&[name]).filter(|probe| !probe.is_null()) else { continue };
        let path = path.child(name);
        if init && !sidecar {
            errors.push(FieldError::forbidden(
                &path,
                "may not be set for init containers without restartPolicy=Always",
            ));
            continue;
        }
        probe(target, &path, errors);
        let successes = print::int(target, &["successThreshold"]);
        if name != "readinessProbe" && successes != 1 {
            errors.push(FieldError::invalid(&path.child("successThreshold"), &successes.into(), "must be 1"));
        }
    }
    let Some(lifecycle) = container.at(&["lifecycle"]).filter(|lifecycle| !lifecycle.is_null()) else {
        return;
    };
    let grace = spec.int_at(&["terminationGracePeriodSeconds"]);
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = lifecycle.at(&[hook]).filter(|handler| !handler.is_null()) {
            handler_type(handler, grace, &path.child("lifecycle").child(hook), errors);
        }
    }
}

fn probe(probe: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    handler_type(probe, None, path, errors);
    for key in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        check::not_negative(errors, &path.child(key), probe.int_at(&[key]));
    }
    if let Some(seconds) = probe.int_at(&["terminationGracePeriodSeconds"]).filter(|seconds| *seconds <= 0) {
        let path = path.child("terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(&path, &seconds.into(), "must be greater than 0"));
    }
}

fn handler_type(handler: &Value, grace: Option<i64>, path: &FieldPath, errors: &mut FieldErrors) {
    let mut count = 0;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let Some(action) = handler.at(&[kind]).filter(|action| !action.is_null()) else { continue };
        count += 1;
        let path = path.child(kind);
        if count > 1 {
            errors.push(FieldError::forbidden(&path, "may not specify more than 1 handler type"));
            continue;
        }
        match kind {
            "exec" if action.list_at(&["command"]).is_empty() => {
                errors.push(FieldError::required(&path.child("command"), ""));
            }
            "httpGet" | "tcpSocket" => {
                let none = Value::Int(0);
                let port = action.at(&["port"]).unwrap_or(&none);
                validation::port_number_or_name(errors, &path.child("port"), port);
                if kind == "httpGet" {
                    check::required(errors, &path.child("path"), check::text(action, &["path"]));
                    let scheme = check::text(action, &["scheme"]);
                    check::one_of(errors, &path.child("scheme"), scheme, &["HTTP", "HTTPS"]);
                }
            }
            "grpc" => validation::port_number(errors, &path.child("port"), print::int(action, &["port"])),
            "sleep" => sleep(action, grace, &path, errors),
            _ => {}
        }
    }
    if count == 0 {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn sleep(action: &Value, grace: Option<i64>, path: &FieldPath, errors: &mut FieldErrors) {
    let seconds = print::int(action, &["seconds"]);
    if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(path, &seconds.into(), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    fn faults(container: Map) -> Vec<String> {
        let mut spec = Value::from(Map::from([("containers", vec![container])]));
        crate::defaults::pod::pod(&mut spec);
        let mut errors = Vec::new();
        all(&spec, &FieldPath::root("spec"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_container_has_a_name_and_an_image() {
        assert!(faults(Map::from([("name", "c"), ("image", "i")])).is_empty());
        assert_eq!(faults(Map::from([("name", "c")])), ["spec.containers[0].image: Required value"]);
        assert_eq!(faults(Map::from([("image", "i")])), ["spec.containers[0].name: Required value"]);
    }

    #[test]
    fn requests_stay_within_limits() {
        let resources = Map::from([
            ("limits", Map::from([("memory", "256Mi")])),
            ("requests", Map::from([("memory", "1Gi")])),
        ]);
        let container =
            Map::from([("name", Value::from("c")), ("image", "i".into()), ("resources", resources.into())]);
        assert_eq!(
            faults(container),
            [
                "spec.containers[0].resources.requests: Invalid value: \"1Gi\": must be less than or equal to memory limit of 256Mi"
            ]
        );
    }

    #[test]
    fn a_probe_does_one_thing() {
        let container =
            Map::from([("name", Value::from("c")), ("image", "i".into()), ("readinessProbe", Value::map())]);
        assert_eq!(
            faults(container),
            ["spec.containers[0].readinessProbe: Required value: must specify a handler type"]
        );
    }

    #[test]
    fn mounts_name_volumes_of_the_pod() {
        let mount = Map::from([("name", "nope"), ("mountPath", "/x")]);
        let container = Map::from([
            ("name", Value::from("c")),
            ("image", "i".into()),
            ("volumeMounts", vec![mount].into()),
        ]);
        assert_eq!(faults(container), ["spec.containers[0].volumeMounts[0].name: Not found: \"nope\""]);
    }
}
