//! Validation of the security contexts of pods and containers, and of the
//! annotations that stood for parts of them before.

use std::collections::BTreeSet;

use meta::validation::is_dns1123_subdomain;
use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use registry::RequestContext;
use schema::{Map, Value};

use super::pod_os::containers_of;
use super::rules::{id, local_path, present};
use crate::{check, defaults, go_form};

/// Longest name of a kernel parameter in bytes.
const SYSCTL_MAX: usize = 253;
/// Longest path of an AppArmor profile in bytes.
const APPARMOR_PATH_MAX: usize = 4095;
/// Largest GMSA credential specification in KiB.
const CREDENTIAL_SPEC_KIB_MAX: usize = 64;
/// Longest domain of a Windows user in bytes, and one more.
const WINDOWS_DOMAIN_LIMIT: usize = 256;
/// Longest name of a Windows user in bytes.
const WINDOWS_USER_MAX: usize = 104;

/// The security context of a pod; `path` is that of the spec.
pub(super) fn pod(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(context) = present(spec, "securityContext") else { return };
    let path = path.child("securityContext");
    for key in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(errors, &path.child(key), context.int_at(&[key]));
    }
    for (i, group) in context.list_at(&["supplementalGroups"]).iter().enumerate() {
        id(errors, &path.child("supplementalGroups").index(i), group.as_int());
    }
    shared_processes(spec, &path, errors);
    sysctls(context, spec, &path.child("sysctls"), errors);
    if let Some(policy) = context.str_at(&["fsGroupChangePolicy"]) {
        check::one_of(errors, &path.child("fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"]);
    }
    seccomp(context, &path, errors);
    windows_options(context, &path, errors);
    apparmor(context, &path, errors);
    if let Some(policy) = context.str_at(&["supplementalGroupsPolicy"]) {
        check::one_of(errors, &path.child("supplementalGroupsPolicy"), policy, &["Merge", "Strict"]);
    }
    if let Some(policy) = context.str_at(&["seLinuxChangePolicy"]) {
        check::one_of(errors, &path.child("seLinuxChangePolicy"), policy, &["MountOption", "Recursive"]);
    }
}

fn shared_processes(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let on = |key: &str| spec.bool_at(&[key]) == Some(true);
    if on("shareProcessNamespace") && on("hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&path.child("shareProcessNamespace"), &true.into(), detail));
    }
}

fn sysctls(context: &Value, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (i, sysctl) in context.list_at(&["sysctls"]).iter().enumerate() {
        let path = path.index(i).child("name");
        let name = check::text(sysctl, &["name"]);
        if check::required(errors, &path, name) {
            if !is_sysctl(name) {
                let detail = format!(
                    "must have at most {SYSCTL_MAX} characters and match regex \
                     ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
                );
                errors.push(FieldError::invalid_str(&path, name, detail));
            } else if seen.contains(name) {
                errors.push(FieldError::duplicate(&path, &name.into()));
            }
        }
        let shared = [("hostNetwork", Namespace::Net), ("hostIPC", Namespace::Ipc)];
        let of = sysctl_namespace(name);
        let host = shared.iter().find(|(key, kind)| of == Some(*kind) && spec.bool_at(&[key]) == Some(true));
        if let Some((key, _)) = host {
            let detail = format!("may not be specified when '{key}' is true");
            errors.push(FieldError::invalid_str(&path, name, detail));
        }
        seen.insert(name);
    }
}

/// Kernel namespaces that parameters belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Ipc,
    Net,
}

fn sysctl_namespace(name: &str) -> Option<Namespace> {
    // Slashes and dots are the same separator, whichever comes first.
    let slashed = name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('/'));
    let name = if slashed {
        name.chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect()
    } else {
        name.to_owned()
    };
    if name == "kernel.sem" || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|p| name.starts_with(p))
    {
        return Some(Namespace::Ipc);
    }
    name.starts_with("net.").then_some(Namespace::Net)
}

fn is_sysctl(name: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = |part: &str| {
        let bytes = part.as_bytes();
        let inner = |b: &u8| edge(*b) || matches!(b, b'-' | b'_');
        bytes.first().is_some_and(|b| edge(*b))
            && bytes.last().is_some_and(|b| edge(*b))
            && bytes.iter().all(inner)
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(good)
}

/// The security context of a container; `host_users` says whether the pod's users are the host's.
pub(super) fn container(container: &Value, host_users: bool, path: &FieldPath, errors: &mut FieldErrors) {
    const TYPE: &str = "io.k8s.api.core.v1.SecurityContext";
    let Some(context) = present(container, "securityContext") else { return };
    for key in ["runAsUser", "runAsGroup"] {
        id(errors, &path.child(key), context.int_at(&[key]));
    }
    if let Some(mount) = context.str_at(&["procMount"]) {
        let path = path.child("procMount");
        check::one_of(errors, &path, mount, &["Default", "Unmasked"]);
        if host_users && mount == "Unmasked" {
            errors.push(FieldError::invalid_str(&path, mount, "`hostUsers` must be false to use `Unmasked`"));
        }
    }
    seccomp(context, path, errors);
    if context.bool_at(&["allowPrivilegeEscalation"]) == Some(false) {
        let mut refuse = |detail: &str| {
            let shown = go_form::show(TYPE, Some(context));
            errors.push(check::invalid_shown(path, shown, detail));
        };
        if context.bool_at(&["privileged"]) == Some(true) {
            refuse("cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        let added = context.list_at(&["capabilities", "add"]);
        for _ in added.iter().filter(|name| name.as_str() == Some("CAP_SYS_ADMIN")) {
            refuse("cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
        }
    }
    windows_options(context, path, errors);
    apparmor(context, path, errors);
}

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

fn seccomp(context: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const TYPE: &str = "io.k8s.api.core.v1.SeccompProfile";
    let Some(profile) = present(context, "seccompProfile") else { return };
    let path = path.child("seccompProfile");
    let kind = check::text(profile, &["type"]);
    if kind.is_empty() {
        let detail = "type is required when seccompProfile is set";
        errors.push(FieldError::required(&path.child("type"), detail));
    } else {
        check::one_of(errors, &path.child("type"), kind, &PROFILES);
    }
    let file = path.child("localhostProfile");
    match (kind, profile.str_at(&["localhostProfile"])) {
        ("Localhost", None) => {
            errors.push(FieldError::required(&file, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(text)) => local_path(text, &file, errors),
        (_, Some(_)) => {
            let shown = go_form::show(TYPE, Some(profile));
            let detail = "can only be set when seccomp type is Localhost";
            errors.push(check::invalid_shown(&file, shown, detail));
        }
        (_, None) => {}
    }
}

fn apparmor(context: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const MISSING: &str = "must be set when AppArmor type is Localhost";
    let Some(profile) = present(context, "appArmorProfile") else { return };
    let path = path.child("appArmorProfile");
    let file = path.child("localhostProfile");
    match (check::text(profile, &["type"]), profile.str_at(&["localhostProfile"])) {
        ("Localhost", None) => errors.push(FieldError::required(&file, MISSING)),
        ("Localhost", Some(text)) => {
            if text.trim() != text {
                errors.push(FieldError::invalid_str(&file, text, "must not be padded with whitespace"));
            } else if text.is_empty() {
                errors.push(FieldError::required(&file, MISSING));
            }
            if text.len() > APPARMOR_PATH_MAX {
                errors.push(FieldError::too_long(&file, APPARMOR_PATH_MAX));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(text)) => {
            let detail = "can only be set when AppArmor type is Localhost";
            errors.push(FieldError::invalid_str(&file, text, detail));
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => {
            let detail = "type is required when appArmorProfile is set";
            errors.push(FieldError::required(&path.child("type"), detail));
        }
        (kind, _) => check::one_of(errors, &path.child("type"), kind, &PROFILES),
    }
}

fn windows_options(context: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(options) = present(context, "windowsOptions") else { return };
    let path = path.child("windowsOptions");
    if let Some(name) = options.str_at(&["gmsaCredentialSpecName"]) {
        check::messages(errors, &path.child("gmsaCredentialSpecName"), name, is_dns1123_subdomain(name));
    }
    if let Some(text) = options.str_at(&["gmsaCredentialSpec"]) {
        let path = path.child("gmsaCredentialSpec");
        if text.is_empty() {
            let detail = "gmsaCredentialSpec cannot be an empty string";
            errors.push(FieldError::invalid_str(&path, text, detail));
        } else if text.len() > CREDENTIAL_SPEC_KIB_MAX * 1024 {
            let detail = format!("gmsaCredentialSpec size must be under {CREDENTIAL_SPEC_KIB_MAX} KiB");
            errors.push(FieldError::invalid_str(&path, text, detail));
        }
    }
    if let Some(name) = options.str_at(&["runAsUserName"]) {
        for detail in windows_user(name) {
            errors.push(FieldError::invalid_str(&path.child("runAsUserName"), name, detail));
        }
    }
}

/// What is wrong with `[DOMAIN\]USER`.
fn windows_user(name: &str) -> Vec<String> {
    let one = |text: &str| vec![text.to_owned()];
    if name.is_empty() {
        return one("runAsUserName cannot be an empty string");
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return one("runAsUserName cannot contain control characters");
    }
    let parts: Vec<&str> = name.split('\\').collect();
    let (domain, user) = match parts.as_slice() {
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return one("runAsUserName cannot contain more than one backslash"),
    };
    let mut faults = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= WINDOWS_DOMAIN_LIMIT) {
        faults.push(format!("runAsUserName's Domain length must be under {WINDOWS_DOMAIN_LIMIT} characters"));
    }
    if domain.is_some_and(|domain| !is_netbios_name(domain) && !is_windows_domain(domain)) {
        faults.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format".to_owned());
    }
    if user.is_empty() {
        faults.push("runAsUserName's User cannot be empty".to_owned());
    } else if user.len() > WINDOWS_USER_MAX {
        faults.push(format!(
            "runAsUserName's User length must not be longer than {WINDOWS_USER_MAX} characters"
        ));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        faults.push("runAsUserName's User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(|c| "\"/\\:;|=,+*?<>@[]".contains(c)) {
        faults.push(
            "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]".to_owned(),
        );
    }
    faults
}

fn is_netbios_name(domain: &str) -> bool {
    let good = |c: char| !"\\/:*?\"<>|".contains(c);
    (1..=15).contains(&domain.chars().count()) && !domain.starts_with('.') && domain.chars().all(good)
}

fn is_windows_domain(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// A pod with Windows containers in the host's place consists of nothing else.
pub(super) fn host_processes(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let of_pod = spec.bool_at(&["securityContext", "windowsOptions", "hostProcess"]);
    let (mut all, mut on_host) = (0, 0);
    for (container, path) in containers_of(spec, path) {
        all += 1;
        let own = container.bool_at(&["securityContext", "windowsOptions", "hostProcess"]);
        if let (Some(of_pod), Some(own)) = (of_pod, own)
            && of_pod != own
        {
            let path = path.child("securityContext.windowsOptions.hostProcess");
            let detail =
                format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
            errors.push(FieldError::invalid(&path, &own.into(), detail));
        }
        on_host += usize::from(own.or(of_pod) == Some(true));
    }
    if on_host == 0 {
        return;
    }
    if on_host != all {
        let detail =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(FieldError::invalid_str(path, "", detail));
    }
    if spec.bool_at(&["hostNetwork"]) != Some(true) {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(&path.child("hostNetwork"), &false.into(), detail));
    }
}

const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
/// Prefix of the annotations that named AppArmor profiles before.
pub(super) const APPARMOR_CONTAINER: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Annotations that name profiles; `path` is that of the annotations.
pub(super) fn annotations(annotations: &Map, spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(profile) = annotations.str(SECCOMP_POD) {
        seccomp_text(profile, &path.child(SECCOMP_POD), errors);
    }
    for (key, value) in annotations.iter() {
        let value = value.as_str().unwrap_or_default();
        if key.starts_with(SECCOMP_CONTAINER) {
            seccomp_text(value, &path.child(key), errors);
        }
    }
    for (key, value) in annotations.iter() {
        let value = value.as_str().unwrap_or_default();
        let Some(name) = key.strip_prefix(APPARMOR_CONTAINER) else { continue };
        let named = |(container, _): &(&Value, FieldPath)| container.str_at(&["name"]) == Some(name);
        if !containers_of(spec, &FieldPath::root("")).iter().any(named) {
            errors.push(FieldError::invalid_str(&path.key(key), name, "container not found"));
        }
        let known = matches!(value, "" | "runtime/default" | "unconfined") || value.starts_with("localhost/");
        if !known {
            let detail = format!("invalid AppArmor profile name: {}", meta::field::quoted(value));
            errors.push(FieldError::invalid_str(&path.key(key), value, detail));
        }
    }
}

fn seccomp_text(profile: &str, path: &FieldPath, errors: &mut FieldErrors) {
    match profile.strip_prefix("localhost/") {
        Some(file) => local_path(file, path, errors),
        None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {}
        None => errors.push(FieldError::invalid_str(path, profile, "must be a valid seccomp profile")),
    }
}

/// Profiles in annotations and in fields are the same ones; `path` is that of the spec.
pub(super) fn annotations_match_fields(
    annotations: &Map,
    spec: &Value,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    if annotations.is_empty() {
        return;
    }
    let of_pod = |key: &str| spec.at(&["securityContext", key]).filter(|profile| !profile.is_null());
    let context = path.child("securityContext");
    if let (Some(field), Some(text)) = (of_pod("seccompProfile"), annotations.str(SECCOMP_POD)) {
        same_profile("seccomp", text, field, &context.child("seccompProfile"), errors);
    }
    let containers = containers_of(spec, path);
    let own = |container: &'_ Value, key: &str| {
        container.at(&["securityContext", key]).filter(|profile| !profile.is_null()).cloned()
    };
    for (container, path) in &containers {
        let name = check::text(container, &["name"]);
        let text = annotations.str(&format!("{SECCOMP_CONTAINER}{name}"));
        if let (Some(field), Some(text)) = (own(container, "seccompProfile"), text) {
            same_profile("seccomp", text, &field, &path.child("securityContext.seccompProfile"), errors);
        }
    }
    if spec.str_at(&["os", "name"]) == Some("windows") {
        return;
    }
    for (container, path) in &containers {
        let name = check::text(container, &["name"]);
        let field = own(container, "appArmorProfile").or_else(|| of_pod("appArmorProfile").cloned());
        let text = annotations.str(&format!("{APPARMOR_CONTAINER}{name}"));
        if let (Some(field), Some(text)) = (field, text) {
            same_profile("apparmor", text, &field, &path.child("securityContext.appArmorProfile"), errors);
        }
    }
}

fn same_profile(word: &str, text: &str, field: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let file = field.str_at(&["localhostProfile"]);
    let (good, wrong) = match check::text(field, &["type"]) {
        "Unconfined" => (text == "unconfined", "type"),
        "RuntimeDefault" => {
            (text == "runtime/default" || word == "seccomp" && text == "docker/default", "type")
        }
        "Localhost" => match text.strip_prefix("localhost/") {
            None => (false, "type"),
            Some(named) => (file == Some(named), "localhostProfile"),
        },
        _ => return,
    };
    if !good {
        let what = if wrong == "type" { "type" } else { "profile" };
        let detail = format!("{word} {what} in annotation and field must match");
        errors.push(FieldError::forbidden(&path.child(wrong), detail));
    }
}

/// Profiles named by annotations become fields. Fields become annotations no
/// longer: the kubelets that knew only those are gone.
pub(super) fn sync_apparmor(context: &RequestContext, pod: &mut Value) {
    if pod.str_at(&["spec", "os", "name"]) == Some("windows") {
        return;
    }
    let annotations = ObjectMeta::of(pod).annotations().clone();
    if annotations.is_empty() {
        return;
    }
    let given = |holder: &Value| {
        holder.at(&["securityContext", "appArmorProfile"]).filter(|profile| !profile.is_null()).cloned()
    };
    let of_pod = pod.at(&["spec"]).and_then(given);
    let Some(spec) = defaults::object(pod, "spec") else { return };
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in defaults::items(spec, list) {
            let key = format!("{APPARMOR_CONTAINER}{}", check::text(container, &["name"]));
            let Some(text) = annotations.str(&key) else { continue };
            if given(container).is_some() {
                continue;
            }
            let named = profile_named(text);
            let differs = named.is_some() && named != of_pod;
            if named.is_none() || differs {
                let path = FieldPath::root("metadata").child("annotations").key(&key);
                context.warn(format!(
                    "{path}: deprecated since v1.30; use the \"appArmorProfile\" field instead"
                ));
            }
            if let Some(profile) = named.filter(|_| differs) {
                container.set(&["securityContext", "appArmorProfile"], profile);
            }
        }
    }
}

/// The profile that an annotation names, if it is a good one.
fn profile_named(text: &str) -> Option<Value> {
    let profile = match text {
        "unconfined" => Map::from([("type", "Unconfined")]),
        "runtime/default" => Map::from([("type", "RuntimeDefault")]),
        other => {
            let file =
                other.strip_prefix("localhost/").filter(|file| !file.is_empty() && file.trim() == *file)?;
            Map::from([("type", "Localhost"), ("localhostProfile", file)])
        }
    };
    Some(profile.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn texts(errors: &FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn of_pod(json: &str) -> Vec<String> {
        let mut errors = Vec::new();
        pod(&object(json), &FieldPath::root("spec"), &mut errors);
        texts(&errors)
    }

    fn of_container(json: &str) -> Vec<String> {
        let mut errors = Vec::new();
        container(
            &object(&format!(r#"{{"securityContext":{json}}}"#)),
            true,
            &FieldPath::root("s"),
            &mut errors,
        );
        texts(&errors)
    }

    #[test]
    fn contexts_of_pods_are_refused_for_what_is_wrong_with_them() {
        for (json, expected) in [
            (r#"{"securityContext":{"runAsUser":0,"fsGroup":2147483647}}"#, vec![]),
            (
                r#"{"securityContext":{"runAsUser":-1}}"#,
                vec![
                    "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                ],
            ),
            (
                r#"{"hostNetwork":true,"securityContext":{"sysctls":[{"name":"net.ipv4.tcp_syncookies"}]}}"#,
                vec![
                    "spec.securityContext.sysctls[0].name: Invalid value: \"net.ipv4.tcp_syncookies\": may not be specified \
                     when 'hostNetwork' is true",
                ],
            ),
            (r#"{"hostIPC":true,"securityContext":{"sysctls":[{"name":"net.a"}]}}"#, vec![]),
            (
                r#"{"securityContext":{"sysctls":[{"name":"a.b"},{"name":"a.b"}]}}"#,
                vec![r#"spec.securityContext.sysctls[1].name: Duplicate value: "a.b""#],
            ),
            (
                r#"{"hostPID":true,"shareProcessNamespace":true,"securityContext":{}}"#,
                vec![
                    "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID \
                     cannot both be enabled",
                ],
            ),
            (
                r#"{"securityContext":{"supplementalGroupsPolicy":"X","seLinuxChangePolicy":"Y"}}"#,
                vec![
                    "spec.securityContext.supplementalGroupsPolicy: Unsupported value: \"X\": supported values: \"Merge\", \
                     \"Strict\"",
                    "spec.securityContext.seLinuxChangePolicy: Unsupported value: \"Y\": supported values: \
                     \"MountOption\", \"Recursive\"",
                ],
            ),
        ] {
            assert_eq!(of_pod(json), expected, "{json}");
        }
    }

    #[test]
    fn contexts_of_containers_are_refused_for_what_is_wrong_with_them() {
        for (json, expected) in [
            (
                r#"{"procMount":"Unmasked"}"#,
                vec!["s.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`"],
            ),
            (
                r#"{"seccompProfile":{}}"#,
                vec!["s.seccompProfile.type: Required value: type is required when seccompProfile is set"],
            ),
            (
                r#"{"seccompProfile":{"type":"Localhost","localhostProfile":"/x"}}"#,
                vec!["s.seccompProfile.localhostProfile: Invalid value: \"/x\": must be a relative path"],
            ),
            (
                r#"{"seccompProfile":{"type":"Unconfined","localhostProfile":"x"}}"#,
                vec![
                    "s.seccompProfile.localhostProfile: Invalid value: \
                     {\"Type\":\"Unconfined\",\"LocalhostProfile\":\"x\"}: can only be set when seccomp type is Localhost",
                ],
            ),
            (
                r#"{"appArmorProfile":{"type":"Localhost","localhostProfile":" x"}}"#,
                vec![
                    "s.appArmorProfile.localhostProfile: Invalid value: \" x\": must not be padded with whitespace",
                ],
            ),
            (r#"{"windowsOptions":{"runAsUserName":"CORP\\user"}}"#, vec![]),
            (
                r#"{"windowsOptions":{"runAsUserName":"a\\b\\c"}}"#,
                vec![
                    "s.windowsOptions.runAsUserName: Invalid value: \"a\\\\b\\\\c\": runAsUserName cannot contain more than \
                     one backslash",
                ],
            ),
            (
                r#"{"windowsOptions":{"runAsUserName":"..."}}"#,
                vec![
                    "s.windowsOptions.runAsUserName: Invalid value: \"...\": runAsUserName's User cannot contain only \
                     periods or spaces",
                ],
            ),
        ] {
            assert_eq!(of_container(json), expected, "{json}");
        }
    }

    #[test]
    fn profiles_in_annotations_and_fields_are_the_same() {
        let spec = object(
            r#"{"securityContext":{"seccompProfile":{"type":"RuntimeDefault"}},"containers":[{"name":"c",
                "securityContext":{"appArmorProfile":{"type":"Localhost","localhostProfile":"a"}}}]}"#,
        );
        let mut errors = Vec::new();
        let annotations = Map::from([
            (SECCOMP_POD, "unconfined"),
            ("container.apparmor.security.beta.kubernetes.io/c", "localhost/b"),
        ]);
        annotations_match_fields(&annotations, &spec, &FieldPath::root("spec"), &mut errors);
        assert_eq!(
            texts(&errors),
            [
                "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match",
                "spec.containers[0].securityContext.appArmorProfile.localhostProfile: Forbidden: apparmor profile in \
                 annotation and field must match",
            ]
        );
    }

    #[test]
    fn profiles_are_said_in_both_ways() {
        let context = crate::testing::context();
        let mut pod = object(
            r#"{"metadata":{"annotations":{"container.apparmor.security.beta.kubernetes.io/a":"unconfined"}},"spec":
                {"containers":[{"name":"a"},{"name":"b","securityContext":{"appArmorProfile":{"type":"RuntimeDefault"}}}]}}"#,
        );
        sync_apparmor(&context, &mut pod);
        let [a, b] = pod.list_at(&["spec", "containers"]) else { panic!("two containers") };
        assert_eq!(a.str_at(&["securityContext", "appArmorProfile", "type"]), Some("Unconfined"));
        assert_eq!(b.str_at(&["securityContext", "appArmorProfile", "type"]), Some("RuntimeDefault"));
        let key = "container.apparmor.security.beta.kubernetes.io/b";
        assert_eq!(ObjectMeta::of(&pod).annotations().str(key), None);
        assert_eq!(
            context.take_warnings(),
            [
                "metadata.annotations[container.apparmor.security.beta.kubernetes.io/a]: deprecated since v1.30; use the \
                 \"appArmorProfile\" field instead"
            ]
        );
    }

    #[test]
    fn windows_containers_in_the_hosts_place_are_not_mixed() {
        let spec =
            object(r#"{"containers":[{"securityContext":{"windowsOptions":{"hostProcess":true}}},{}]}"#);
        let mut errors = Vec::new();
        host_processes(&spec, &FieldPath::root("spec"), &mut errors);
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert_eq!(errors[1].field.as_str(), "spec.hostNetwork");
    }

    #[test]
    fn kernel_parameters_are_dotted_or_slashed() {
        assert!(is_sysctl("net.ipv4/tcp_x"));
        assert!(!is_sysctl("BAD name"));
        assert!(sysctl_namespace("net/ipv4/tcp.x") == Some(Namespace::Net));
        assert!(sysctl_namespace("kernel.sem") == Some(Namespace::Ipc));
        assert!(sysctl_namespace("vm.x").is_none());
    }
}
