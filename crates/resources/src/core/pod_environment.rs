//! Validation of a container's environment, and of references to fields of
//! the pod and amounts of a container, which volumes can show as well.

use meta::validation::{is_dns1123_subdomain, is_qualified_name};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::rules::{local_path, present};
use crate::{check, validation};

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
/// Fields of a pod that have names at all, beside those with a subscript.
const NAMED: [&str; 13] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
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
/// Units in which bytes are shown.
const BYTE_DIVISORS: [&str; 13] =
    ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// Variables and where they come from.
pub(super) fn environment(container: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let list = path.child("env");
    for (i, variable) in container.list_at(&["env"]).iter().enumerate() {
        let path = list.index(i);
        let name = check::text(variable, &["name"]);
        if check::required(errors, &path.child("name"), name) {
            variable_name(name, &path.child("name"), errors);
        }
        if let Some(source) = present(variable, "valueFrom") {
            value_from(variable, source, &path.child("valueFrom"), errors);
        }
    }
    sources(container, &path.child("envFrom"), errors);
}

fn variable_name(name: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let printable = |c: char| (' '..='~').contains(&c) && c != '=';
    if !name.chars().all(printable) {
        let detail = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        errors.push(FieldError::invalid_str(path, name, detail));
    }
}

fn value_from(variable: &Value, source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let mut count = 0;
    if let Some(field) = present(source, "fieldRef") {
        count += 1;
        field_ref(field, &SHOWN, &path.child("fieldRef"), errors);
    }
    if let Some(amount) = present(source, "resourceFieldRef") {
        count += 1;
        resource_field_ref(amount, false, &path.child("resourceFieldRef"), errors);
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(reference) = present(source, kind) {
            count += 1;
            key_reference(reference, &path.child(kind), errors);
        }
    }
    if let Some(reference) = present(source, "fileKeyRef") {
        count += 1;
        file_reference(reference, &path.child("fileKeyRef"), errors);
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

/// A key of a config map or secret.
fn key_reference(reference: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let name = check::text(reference, &["name"]);
    check::messages(errors, &path.child("name"), name, is_dns1123_subdomain(name));
    let key = check::text(reference, &["key"]);
    if check::required(errors, &path.child("key"), key) {
        errors.extend(validation::config_key(&path.child("key"), key));
    }
}

/// A key of a file of variables in a volume.
fn file_reference(reference: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let key = check::text(reference, &["key"]);
    if check::required(errors, &path.child("key"), key) {
        variable_name(key, &path.child("key"), errors);
    }
    check::required(errors, &path.child("volumeName"), check::text(reference, &["volumeName"]));
    let file = check::text(reference, &["path"]);
    if check::required(errors, &path.child("path"), file) {
        local_path(file, &path.child("path"), errors);
    }
}

/// A reference to a field of the pod; `shown` are those allowed here.
pub(super) fn field_ref(field: &Value, shown: &[&str], path: &FieldPath, errors: &mut FieldErrors) {
    if !check::required(errors, &path.child("apiVersion"), check::text(field, &["apiVersion"])) {
        return;
    }
    let text = check::text(field, &["fieldPath"]);
    let of_field = path.child("fieldPath");
    if !check::required(errors, &of_field, text) {
        return;
    }
    let subscript = text
        .split_once("['")
        .and_then(|(map, rest)| Some((map, rest.strip_suffix("']")?)))
        .filter(|(map, _)| !map.is_empty());
    if let Some((map, key)) = subscript {
        match map {
            "metadata.annotations" => {
                let key = key.to_lowercase();
                check::messages(errors, path, &key, is_qualified_name(&key));
            }
            "metadata.labels" => check::messages(errors, path, key, is_qualified_name(key)),
            _ => {
                let detail =
                    format!("error converting fieldPath: field label does not support subscript: {text}");
                errors.push(FieldError::invalid_str(&of_field, text, detail));
            }
        }
        return;
    }
    // The old name of the node is still known.
    let text_now = if text == "spec.host" { "spec.nodeName" } else { text };
    if NAMED.contains(&text_now) {
        check::one_of(errors, &of_field, text_now, shown);
    } else {
        let detail = format!("error converting fieldPath: field label not supported: {text}");
        errors.push(FieldError::invalid_str(&of_field, text, detail));
    }
}

/// A reference to an amount of a container; in a volume it names the container.
pub(super) fn resource_field_ref(
    amount: &Value,
    in_volume: bool,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    let [container, resource] = ["containerName", "resource"].map(|key| check::text(amount, &[key]));
    let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    if in_volume && container.is_empty() {
        errors.push(FieldError::required(&path.child("containerName"), ""));
    } else if check::required(errors, &path.child("resource"), resource) && !huge {
        check::one_of(errors, &path.child("resource"), resource, &AMOUNTS);
    }
    divisor(amount, resource, huge, &path.child("divisor"), errors);
}

fn divisor(amount: &Value, resource: &str, huge: bool, path: &FieldPath, errors: &mut FieldErrors) {
    let divisor = amount.at(&["divisor"]).and_then(validation::quantity).filter(|divisor| !divisor.is_zero());
    let Some(divisor) = divisor.map(|divisor| divisor.to_string()) else { return };
    let what = match resource {
        "limits.cpu" | "requests.cpu" => {
            if !["1m", "1"].contains(&divisor.as_str()) {
                let detail = "only divisor's values 1m and 1 are supported with the cpu resource";
                errors.push(FieldError::invalid_str(path, resource, detail));
            }
            return;
        }
        "limits.memory" | "requests.memory" => "memory",
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => "local ephemeral storage",
        _ if huge => "hugepages",
        _ => return,
    };
    if !BYTE_DIVISORS.contains(&divisor.as_str()) {
        let units = BYTE_DIVISORS.join(", ");
        let detail = format!("only divisor's values {units} are supported with the {what} resource");
        errors.push(FieldError::invalid_str(path, resource, detail));
    }
}

fn sources(container: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for (i, source) in container.list_at(&["envFrom"]).iter().enumerate() {
        let at = path.index(i);
        let prefix = check::text(source, &["prefix"]);
        variable_name(prefix, &at.child("prefix"), errors);
        let mut count = 0;
        for kind in ["configMapRef", "secretRef"] {
            let Some(reference) = present(source, kind) else { continue };
            count += 1;
            let name = check::text(reference, &["name"]);
            let at = at.child(kind).child("name");
            if check::required(errors, &at, name) {
                // A trailing dash passes, as in a prefix of names.
                check::messages(
                    errors,
                    &at,
                    name,
                    meta::validation::NameValidation::Dns1123Subdomain.check_prefix(name),
                );
            }
        }
        // The original leaves the index out of these paths.
        match count {
            0 => {
                let detail = "must specify one of: `configMapRef` or `secretRef`";
                errors.push(FieldError::invalid_str(path, "", detail));
            }
            1 => {}
            _ => {
                let detail = "may not have more than one field specified at a time";
                errors.push(FieldError::invalid_str(path, "", detail));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn faults(container: &str) -> Vec<String> {
        let mut errors = Vec::new();
        environment(&object(container), &FieldPath::root("c"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn variables_are_refused_for_what_is_wrong_with_them() {
        for (json, expected) in [
            (r#"{"env":[{"name":"A B","value":"x"}]}"#, vec![]),
            (
                r#"{"env":[{"name":"A=B"}]}"#,
                vec![
                    "c.env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist only of \
                     printable ASCII characters other than '='",
                ],
            ),
            (
                r#"{"env":[{"name":"A","valueFrom":{"resourceFieldRef":{"resource":"limits.memory","divisor":"2Mi"}}}]}"#,
                vec![
                    "c.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.memory\": only divisor's values \
                     1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource",
                ],
            ),
            (
                r#"{"env":[{"name":"A","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu","divisor":"1m"}}}]}"#,
                vec![],
            ),
            (
                r#"{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"a/b"}}}]}"#,
                vec![
                    "c.env[0].valueFrom.secretKeyRef.key: Invalid value: \"a/b\": a valid config key must consist of \
                     alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex \
                     used for validation is '[-._a-zA-Z0-9]+')",
                ],
            ),
            (
                r#"{"env":[{"name":"A","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.labels['x']"}}}]}"#,
                vec![],
            ),
            (
                r#"{"env":[{"name":"A","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"status.phase"}}}]}"#,
                vec![
                    "c.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"status.phase\": supported values: \
                     \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \
                     \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \
                     \"status.podIPs\"",
                ],
            ),
            (
                r#"{"envFrom":[{}]}"#,
                vec!["c.envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"],
            ),
            (r#"{"envFrom":[{"configMapRef":{}}]}"#, vec!["c.envFrom[0].configMapRef.name: Required value"]),
        ] {
            assert_eq!(faults(json), expected, "{json}");
        }
    }
}
