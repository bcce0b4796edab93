//! Validation of what a pod's operating system does not know.

use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use crate::check;

/// Fields of the pod's security context that mean nothing on Windows; those of
/// the host stand in the pod spec itself.
const POD: [(&[&str], &str); 15] = [
    (&["securityContext", "appArmorProfile"], "securityContext.appArmorProfile"),
    (&["securityContext", "seLinuxOptions"], "securityContext.seLinuxOptions"),
    (&["hostUsers"], "hostUsers"),
    (&["hostPID"], "hostPID"),
    (&["hostIPC"], "hostIPC"),
    (&["securityContext", "seccompProfile"], "securityContext.seccompProfile"),
    (&["securityContext", "fsGroup"], "securityContext.fsGroup"),
    (&["securityContext", "fsGroupChangePolicy"], "securityContext.fsGroupChangePolicy"),
    (&["securityContext", "sysctls"], "securityContext.sysctls"),
    (&["shareProcessNamespace"], "shareProcessNamespace"),
    (&["securityContext", "runAsUser"], "securityContext.runAsUser"),
    (&["securityContext", "runAsGroup"], "securityContext.runAsGroup"),
    (&["securityContext", "supplementalGroups"], "securityContext.supplementalGroups"),
    (&["securityContext", "supplementalGroupsPolicy"], "securityContext.supplementalGroupsPolicy"),
    (&["securityContext", "seLinuxChangePolicy"], "securityContext.seLinuxChangePolicy"),
];
/// The same of a container's security context.
const CONTAINER: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// The operating system of a pod spec, and fields that belong to the other one.
pub(super) fn operating_system(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(os) = spec.at(&["os"]).filter(|os| !os.is_null()) else { return };
    let name = check::text(os, &["name"]);
    match name {
        "windows" => windows(spec, path, errors),
        "linux" => linux(spec, path, errors),
        "" => errors.push(FieldError::required(&path.child("os").child("name"), "cannot be empty")),
        // The original names the struct, not its field.
        _ => check::one_of(errors, &path.child("os"), name, &["linux", "windows"]),
    };
}

fn windows(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const TEXT: &str = "cannot be set for a windows pod";
    for (at, name) in POD {
        // Some are numbers or switches that are there although they are zero or off.
        let value = spec.at(at).filter(|value| !value.is_null());
        let off = ["hostPID", "hostIPC"].contains(&name) && value.and_then(Value::as_bool) == Some(false);
        let empty_list = value.and_then(Value::as_list).is_some_and(<[Value]>::is_empty);
        if value.is_some() && !off && !empty_list {
            errors.push(FieldError::forbidden(&path.child(name), TEXT));
        }
    }
    for (context, path) in security_contexts(spec, path) {
        for field in CONTAINER {
            if context.at(&[field]).is_some_and(|value| !value.is_null()) {
                errors.push(FieldError::forbidden(&path.child(field), TEXT));
            }
        }
    }
}

fn linux(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const TEXT: &str = "windows options cannot be set for a linux pod";
    let whole = spec.at(&["securityContext"]).map(|context| (context, path.child("securityContext")));
    for (context, path) in whole.into_iter().chain(security_contexts(spec, path)) {
        if context.at(&["windowsOptions"]).is_some_and(|options| !options.is_null()) {
            errors.push(FieldError::forbidden(&path.child("windowsOptions"), TEXT));
        }
    }
}

fn security_contexts<'a>(spec: &'a Value, path: &FieldPath) -> Vec<(&'a Value, FieldPath)> {
    let of = |(container, path): (&'a Value, FieldPath)| {
        Some((container.at(&["securityContext"])?, path.child("securityContext")))
    };
    containers_of(spec, path).into_iter().filter_map(of).collect()
}

/// Every container of a pod spec with its path, in the order in which the original walks them.
pub(super) fn containers_of<'a>(spec: &'a Value, path: &FieldPath) -> Vec<(&'a Value, FieldPath)> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| {
            let path = path.child(list);
            spec.list_at(&[list]).iter().enumerate().map(move |(i, container)| (container, path.index(i)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: &str) -> Vec<String> {
        let mut errors = Vec::new();
        operating_system(&crate::testing::object(json), &FieldPath::root("spec"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn windows_knows_no_users_by_number_and_linux_no_windows_options() {
        assert_eq!(
            faults(r#"{"os":{"name":"windows"},"hostPID":false,"securityContext":{"runAsUser":1}}"#),
            ["spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod"]
        );
        assert_eq!(
            faults(r#"{"os":{"name":"linux"},"securityContext":{"windowsOptions":{}}}"#),
            ["spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"]
        );
        assert_eq!(
            faults(r#"{"os":{"name":"beos"}}"#),
            ["spec.os: Unsupported value: \"beos\": supported values: \"linux\", \"windows\""]
        );
    }
}
