//! Validation of changes of a pod's status.

use std::collections::BTreeSet;

use meta::validation::{is_dns1123_subdomain, is_qualified_name};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::{Map, Value};

use super::pod_resources;
use super::pod_update::changed_annotations;
use super::rules::id;
use crate::{check, go_form, print, validation};

/// A changed status.
pub(super) fn update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    changed_annotations(object, old, &mut errors);
    conditions(object, &mut errors);
    let path = FieldPath::root("status");
    let nominated = |pod: &Value| check::text(pod, &["status", "nominatedNodeName"]).to_owned();
    if nominated(object) != nominated(old) && !nominated(object).is_empty() {
        let name = nominated(object);
        let messages = is_dns1123_subdomain(&name);
        check::messages(&mut errors, &path.child("nominatedNodeName"), &name, messages);
    }
    let class = |pod: &Value| check::text(pod, &["status", "qosClass"]).to_owned();
    if class(object) != class(old) {
        let shown = Value::from(class(object));
        errors.push(FieldError::invalid(&path.child("qosClass"), &shown, check::IMMUTABLE));
    }
    finished_containers(object, old, &path, &mut errors);
    claim_statuses(object, &path.child("resourceClaimStatuses"), &mut errors);
    addresses(object, "podIPs", &mut errors);
    host_addresses(object, &mut errors);
    container_users(object, &path, &mut errors);
    allocated_resources(object, &path, &mut errors);
    errors
}

fn conditions(object: &Value, errors: &mut FieldErrors) {
    // The original names metadata here.
    let path = FieldPath::root("metadata").child("conditions");
    for (i, condition) in object.list_at(&["status", "conditions"]).iter().enumerate() {
        let kind = check::text(condition, &["type"]);
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            check::messages(errors, &path.index(i).child("Type"), kind, is_qualified_name(kind));
        }
    }
}

/// Containers that are not started again do not leave their end behind.
fn finished_containers(object: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let restart = check::text(old, &["spec", "restartPolicy"]);
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    for list in lists {
        // Ephemeral containers are never started again.
        let restart = if list == "ephemeralContainerStatuses" { "Never" } else { restart };
        if restart == "Always" {
            continue;
        }
        for (i, before) in old.list_at(&["status", list]).iter().enumerate() {
            let Some(ended) = before.at(&["state", "terminated"]).filter(|state| !state.is_null()) else {
                continue;
            };
            let name = check::text(before, &["name"]);
            let retried = print::int(ended, &["exitCode"]) != 0 && restart == "OnFailure";
            if retried || restarts_on_its_own(old, name, list) {
                continue;
            }
            let revived = |now: &&Value| {
                now.str_at(&["name"]) == Some(name)
                    && now.at(&["state", "terminated"]).is_none_or(Value::is_null)
            };
            for _ in object.list_at(&["status", list]).iter().filter(revived) {
                let path = path.child(list).index(i).child("state");
                let detail = "may not be transitioned to non-terminated state";
                errors.push(FieldError::forbidden(&path, detail));
            }
        }
    }
}

/// True for containers with a restart policy of their own.
fn restarts_on_its_own(pod: &Value, name: &str, statuses: &str) -> bool {
    let list = match statuses {
        "containerStatuses" => "containers",
        "initContainerStatuses" => "initContainers",
        _ => return false,
    };
    let containers = pod.list_at(&["spec", list]).iter();
    let mut own = containers.filter(|container| container.str_at(&["name"]) == Some(name));
    own.any(|container| {
        pod_resources::is_sidecar(container)
            || container.str_at(&["restartPolicy"]) == Some("OnFailure")
            || !container.list_at(&["restartPolicyRules"]).is_empty()
    })
}

fn claim_statuses(object: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let claims = object.list_at(&["spec", "resourceClaims"]);
    let mut seen = BTreeSet::new();
    for (i, status) in object.list_at(&["status", "resourceClaimStatuses"]).iter().enumerate() {
        let path = path.index(i).child("name");
        let name = check::text(status, &["name"]);
        if !claims.iter().any(|claim| claim.str_at(&["name"]) == Some(name)) {
            let detail = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(FieldError::invalid_str(&path, name, detail));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        }
        if let Some(claim) = status.str_at(&["resourceClaimName"]) {
            check::messages(errors, &path, claim, is_dns1123_subdomain(claim));
        }
    }
}

/// At most one address of each family.
fn addresses(object: &Value, list: &str, errors: &mut FieldErrors) {
    const POD_IP: &str = "io.k8s.api.core.v1.PodIP";
    const HOST_IP: &str = "io.k8s.api.core.v1.HostIP";
    let kind = if list == "podIPs" { POD_IP } else { HOST_IP };
    let path = FieldPath::root("status").child(list);
    let ips = object.list_at(&["status", list]);
    let texts: Vec<&str> = ips.iter().map(|ip| check::text(ip, &["ip"])).collect();
    for (i, text) in texts.iter().enumerate() {
        validation::ip(errors, &path.index(i), text);
    }
    if texts.len() < 2 {
        return;
    }
    let six = texts.iter().filter(|text| text.contains(':')).count();
    if texts.len() > 2 || six != 1 {
        let detail = "may specify no more than one IP for each IP family";
        errors.push(check::invalid_shown(&path, go_form::show_list(kind, ips), detail));
    }
    for (i, text) in texts.iter().enumerate().filter(|(i, text)| texts[..*i].contains(text)) {
        let shown = go_form::show(kind, Some(&Map::from([("ip", *text)]).into()));
        errors.push(FieldError::new(meta::field::FieldErrorType::Duplicate, &path.index(i), shown, ""));
    }
}

fn host_addresses(object: &Value, errors: &mut FieldErrors) {
    let Some(first) = object.list_at(&["status", "hostIPs"]).first() else { return };
    let first = check::text(first, &["ip"]);
    if first != check::text(object, &["status", "hostIP"]) {
        let path = FieldPath::root("status").child("hostIPs").index(0).child("ip");
        errors.push(FieldError::invalid_str(&path, first, "must be equal to `hostIP`"));
    }
    addresses(object, "hostIPs", errors);
}

fn container_users(object: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let windows = object.str_at(&["spec", "os", "name"]) == Some("windows");
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for (i, status) in object.list_at(&["status", list]).iter().enumerate() {
            let Some(user) = status.at(&["user", "linux"]).filter(|user| !user.is_null()) else { continue };
            let path = path.child(list).index(i).child("linux");
            if windows {
                errors.push(FieldError::forbidden(&path, "cannot be set for a windows pod"));
                continue;
            }
            for key in ["uid", "gid"] {
                id(errors, &path.child(key), user.int_at(&[key]));
            }
            for (i, group) in user.list_at(&["supplementalGroups"]).iter().enumerate() {
                id(errors, &path.child("supplementalGroups").index(i), group.as_int());
            }
        }
    }
}

fn allocated_resources(object: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const FIELD: &str = "allocatedResourcesStatus";
    for (list, containers) in
        [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")]
    {
        for (i, status) in object.list_at(&["status", list]).iter().enumerate() {
            let own = object.list_at(&["spec", containers]).iter();
            let container = own.clone().find(|container| container.get("name") == status.get("name"));
            for (j, allocated) in status.list_at(&[FIELD]).iter().enumerate() {
                let path = path.child(list).index(i).child(FIELD).index(j);
                allocated_resource(allocated, container, &path, errors);
            }
        }
    }
    for (i, status) in object.list_at(&["status", "ephemeralContainerStatuses"]).iter().enumerate() {
        if !status.list_at(&[FIELD]).is_empty() {
            let path = path.child("ephemeralContainerStatuses").index(i).child(FIELD);
            errors.push(FieldError::forbidden(&path, "must not be specified in container status"));
        }
    }
}

fn allocated_resource(
    allocated: &Value,
    container: Option<&Value>,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    let name = check::text(allocated, &["name"]);
    if let Some(container) = container {
        let (found, detail) = match name.strip_prefix("claim:") {
            Some(claim) => (
                container.list_at(&["resources", "claims"]).iter().any(|own| is_claim(own, claim)),
                "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or \
                 'claim:<claimName>' if request is empty",
            ),
            None => (
                container.at(&["resources", "requests", name]).is_some(),
                "must match one of the container's resource requests",
            ),
        };
        if !found {
            errors.push(FieldError::invalid_str(&path.child("name"), name, detail));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, resource) in allocated.list_at(&["resources"]).iter().enumerate() {
        let path = path.child("resources").index(i);
        let health = check::text(resource, &["health"]);
        check::one_of(errors, &path.child("health"), health, &["Healthy", "Unhealthy", "Unknown"]);
        let id = check::text(resource, &["resourceID"]);
        if !seen.insert(id) {
            errors.push(FieldError::duplicate(&path.child("resourceID"), &id.into()));
        }
    }
}

fn is_claim(own: &Value, text: &str) -> bool {
    let [name, request] = ["name", "request"].map(|key| check::text(own, &[key]));
    match text.split_once('/') {
        Some((claim, of)) => claim == name && of == request && !request.is_empty(),
        None => text == name && request.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    #[test]
    fn containers_that_have_ended_stay_so() {
        let status = |restart: &str, code: i64, state: &str| {
            object(&format!(
                r#"{{"spec":{{"restartPolicy":"{restart}"}},"status":{{"containerStatuses":[{{"name":"c",
                    "state":{{"{state}":{{"exitCode":{code}}}}}}}]}}}}"#
            ))
        };
        for (restart, code, refused) in [
            ("Never", 0, true),
            ("Never", 1, true),
            ("OnFailure", 0, true),
            ("OnFailure", 1, false),
            ("Always", 0, false),
        ] {
            let errors = update(&status(restart, code, "running"), &status(restart, code, "terminated"));
            assert_eq!(!errors.is_empty(), refused, "{restart} {code}: {errors:?}");
        }
    }

    #[test]
    fn addresses_are_one_of_each_family() {
        for (json, count) in [
            (r#"{"podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}]}"#, 0),
            (r#"{"podIPs":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]}"#, 1),
            (r#"{"podIPs":[{"ip":"10.0.0.1"},{"ip":"10.0.0.1"}]}"#, 2),
            (r#"{"podIPs":[{"ip":"x"}]}"#, 1),
            (r#"{"hostIP":"10.0.0.1","hostIPs":[{"ip":"10.0.0.2"}]}"#, 1),
        ] {
            let mut pod = Value::map();
            pod.set(&["status"], object(json));
            assert_eq!(update(&pod, &Value::map()).len(), count, "{json}");
        }
    }
}
