//! Validation of a container's life: probes, hooks, how it is restarted and resized.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::rules::present;
use crate::{check, print, validation};

/// Rules of one container.
const RESTART_RULES_MAX: usize = 20;
/// Exit codes of one rule.
const EXIT_CODES_MAX: usize = 255;

/// Probes and hooks. Init containers have none, unless they keep running.
pub(super) fn life(container: &Value, init: bool, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
    if init && !super::pod_resources::is_sidecar(container) {
        for field in ["lifecycle"].into_iter().chain(PROBES) {
            if present(container, field).is_some() {
                let detail = "may not be set for init containers without restartPolicy=Always";
                errors.push(FieldError::forbidden(&path.child(field), detail));
            }
        }
        return;
    }
    if let Some(lifecycle) = present(container, "lifecycle") {
        let grace = spec.int_at(&["terminationGracePeriodSeconds"]);
        for hook in ["postStart", "preStop"] {
            if let Some(handler) = present(lifecycle, hook) {
                let handlers = ["exec", "httpGet", "tcpSocket", "sleep"];
                handler_type(handler, &handlers, grace, &path.child("lifecycle").child(hook), errors);
            }
        }
    }
    for name in PROBES {
        if let Some(target) = present(container, name) {
            probe(target, name == "readinessProbe", &path.child(name), errors);
        }
    }
}

fn probe(probe: &Value, readiness: bool, path: &FieldPath, errors: &mut FieldErrors) {
    handler_type(probe, &["exec", "httpGet", "tcpSocket", "grpc"], None, path, errors);
    for key in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        check::not_negative(errors, &path.child(key), probe.int_at(&[key]));
    }
    let grace = path.child("terminationGracePeriodSeconds");
    let seconds = probe.int_at(&["terminationGracePeriodSeconds"]);
    if let Some(seconds) = seconds.filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(&grace, &seconds.into(), "must be greater than 0"));
    }
    let successes = print::int(probe, &["successThreshold"]);
    if let (true, Some(seconds)) = (readiness, seconds) {
        errors.push(FieldError::invalid(&grace, &seconds.into(), "must not be set for readinessProbes"));
    } else if !readiness && successes != 1 {
        errors.push(FieldError::invalid(&path.child("successThreshold"), &successes.into(), "must be 1"));
    }
}

fn handler_type(
    handler: &Value,
    kinds: &[&str],
    grace: Option<i64>,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    let mut found = false;
    for kind in kinds {
        let Some(action) = present(handler, kind) else { continue };
        let path = path.child(kind);
        if std::mem::replace(&mut found, true) {
            errors.push(FieldError::forbidden(&path, "may not specify more than 1 handler type"));
            continue;
        }
        match *kind {
            "exec" if action.list_at(&["command"]).is_empty() => {
                errors.push(FieldError::required(&path.child("command"), ""));
            }
            "httpGet" => http_get(action, &path, errors),
            "tcpSocket" => port(action, &path, errors),
            "grpc" => validation::port_number(errors, &path.child("port"), print::int(action, &["port"])),
            "sleep" => sleep(action, grace, &path, errors),
            _ => {}
        }
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn port(action: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let none = Value::Int(0);
    let port = action.at(&["port"]).unwrap_or(&none);
    validation::port_number_or_name(errors, &path.child("port"), port);
}

fn http_get(action: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    check::required(errors, &path.child("path"), check::text(action, &["path"]));
    port(action, path, errors);
    let scheme = check::text(action, &["scheme"]);
    check::one_of(errors, &path.child("scheme"), scheme, &["HTTP", "HTTPS"]);
    for header in action.list_at(&["httpHeaders"]) {
        let name = check::text(header, &["name"]);
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || !name.chars().all(good) {
            let detail = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', \
                          regex used for validation is '[-A-Za-z0-9]+')";
            errors.push(FieldError::invalid_str(&path.child("httpHeaders"), name, detail));
        }
    }
}

fn sleep(action: &Value, grace: Option<i64>, path: &FieldPath, errors: &mut FieldErrors) {
    let seconds = print::int(action, &["seconds"]);
    if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(path, &seconds.into(), detail));
    }
}

/// What a change of its resources does to a container.
pub(super) fn resize_policy(container: &Value, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let never = check::text(spec, &["restartPolicy"]) == "Never";
    let mut seen = BTreeSet::new();
    for (i, policy) in container.list_at(&["resizePolicy"]).iter().enumerate() {
        let resource = check::text(policy, &["resourceName"]);
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(&path.index(i), &resource.into()));
        }
        // The original names the whole list.
        check::required_one_of(errors, path, resource, &["cpu", "memory"]);
        let restart = check::text(policy, &["restartPolicy"]);
        check::required_one_of(errors, path, restart, &["NotRequired", "RestartContainer"]);
        if never && restart != "NotRequired" {
            let detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid_str(path, restart, detail));
        }
    }
}

/// When a container is started again, whatever its pod says.
pub(super) fn restart_rules(container: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let rules = container.list_at(&["restartPolicyRules"]);
    match container.str_at(&["restartPolicy"]) {
        None if !rules.is_empty() => {
            let detail = "must specify restartPolicy when restart rules are used";
            errors.push(FieldError::required(&path.child("restartPolicy"), detail));
        }
        None => {}
        Some(policy) => {
            let policies = ["Always", "OnFailure", "Never"];
            check::one_of(errors, &path.child("restartPolicy"), policy, &policies);
        }
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > RESTART_RULES_MAX {
        errors.push(FieldError::too_many(&path, rules.len(), RESTART_RULES_MAX));
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = path.index(i);
        let action = check::text(rule, &["action"]);
        check::one_of(errors, &path.child("action"), action, &["Restart", "RestartAllContainers"]);
        match present(rule, "exitCodes") {
            None => errors.push(FieldError::required(&path.child("exitCodes"), "must be specified")),
            Some(codes) => exit_codes(codes, &path.child("exitCodes"), errors),
        }
    }
}

fn exit_codes(codes: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let operator = check::text(codes, &["operator"]);
    check::one_of(errors, &path.child("operator"), operator, &["In", "NotIn"]);
    let count = codes.list_at(&["values"]).len();
    if count > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(&path.child("values"), count, EXIT_CODES_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn faults(container: &str, init: bool) -> Vec<String> {
        let spec = object(r#"{"terminationGracePeriodSeconds":30,"restartPolicy":"Never"}"#);
        let container = object(container);
        let path = FieldPath::root("c");
        let mut errors = Vec::new();
        life(&container, init, &spec, &path, &mut errors);
        resize_policy(&container, &spec, &path.child("resizePolicy"), &mut errors);
        restart_rules(&container, &path, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lives_are_refused_for_what_is_wrong_with_them() {
        for (json, expected) in [
            (r#"{"livenessProbe":{"exec":{"command":["a"]},"successThreshold":1}}"#, vec![]),
            (
                r#"{"livenessProbe":{"exec":{},"successThreshold":2}}"#,
                vec![
                    "c.livenessProbe.exec.command: Required value",
                    "c.livenessProbe.successThreshold: Invalid value: 2: must be 1",
                ],
            ),
            (
                r#"{"readinessProbe":{"tcpSocket":{"port":0},"terminationGracePeriodSeconds":1}}"#,
                vec![
                    "c.readinessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                    "c.readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes",
                ],
            ),
            (
                r#"{"startupProbe":{"successThreshold":1}}"#,
                vec!["c.startupProbe: Required value: must specify a handler type"],
            ),
            (
                r#"{"lifecycle":{"preStop":{"sleep":{"seconds":31}}}}"#,
                vec![
                    "c.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than \
                     terminationGracePeriodSeconds (30)",
                ],
            ),
            (r#"{"lifecycle":{"preStop":{"sleep":{"seconds":30}}}}"#, vec![]),
            (
                r#"{"livenessProbe":{"httpGet":{"path":"/","port":"http","scheme":"HTTP","httpHeaders":[{"name":"a b"}]},
                    "successThreshold":1}}"#,
                vec![
                    "c.livenessProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must consist of \
                     alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is \
                     '[-A-Za-z0-9]+')",
                ],
            ),
            (
                r#"{"resizePolicy":[{"resourceName":"cpu","restartPolicy":"RestartContainer"}]}"#,
                vec![
                    "c.resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is \
                     'Never'",
                ],
            ),
        ] {
            assert_eq!(faults(json, false), expected, "{json}");
        }
    }

    #[test]
    fn init_containers_that_end_are_not_probed() {
        assert_eq!(
            faults(r#"{"lifecycle":{},"livenessProbe":{}}"#, true),
            [
                "c.lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always",
                "c.livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            ]
        );
    }
}
