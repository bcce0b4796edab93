//! Validation of pods and pod templates: what concerns the pod as a whole.
//! Containers are in `pod_containers`.

use std::collections::BTreeSet;

use meta::validation::{
    is_dns1123_label, is_dns1123_subdomain, is_label_value, is_qualified_name, validate_annotations,
    validate_labels,
};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::{Map, Value};

use super::pod_containers;
use crate::{check, print, validation};

/// Where a pod spec stands. Templates accept some things that pods refuse,
/// because they always have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a pod.
    Pod,
    /// In a template that pods are made from.
    Template,
}

/// A new pod.
pub(super) fn create(object: &Value) -> FieldErrors {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    let mut errors = Vec::new();
    let path = FieldPath::root("spec");
    let mirrored = meta::ObjectMeta::of(object).annotations().str(MIRROR);
    if let Some(mirrored) = mirrored.filter(|_| check::text(object, &["spec", "nodeName"]).is_empty()) {
        let path = FieldPath::root("metadata").child("annotations").key(MIRROR);
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(FieldError::invalid_str(&path, mirrored, detail));
    }
    spec(object.at(&["spec"]), &path, Place::Pod, &mut errors);
    if !object.list_at(&["spec", "ephemeralContainers"]).is_empty() {
        errors.push(FieldError::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
    }
    let gated = !object.list_at(&["spec", "schedulingGates"]).is_empty();
    if gated && !check::text(object, &["spec", "nodeName"]).is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(&path.child("nodeName"), detail));
    }
    errors
}

/// Labels and annotations of a template.
pub fn template_metadata(template: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(labels) = template.map_at(&["metadata", "labels"]) {
        errors.extend(validate_labels(labels, &path.child("labels")));
    }
    if let Some(annotations) = template.map_at(&["metadata", "annotations"]) {
        errors.extend(validate_annotations(annotations, &path.child("annotations")));
    }
}

/// A pod spec.
pub fn spec(spec: Option<&Value>, path: &FieldPath, place: Place, errors: &mut FieldErrors) {
    let Some(spec) = spec else { return };
    super::pod_volumes::volumes(spec, &path.child("volumes"), errors);
    resource_claims(spec, path, errors);
    pod_containers::all(spec, path, errors);
    let restart = check::text(spec, &["restartPolicy"]);
    let restarts = ["Always", "OnFailure", "Never"];
    check::required_one_of(errors, &path.child("restartPolicy"), restart, &restarts);
    let dns = check::text(spec, &["dnsPolicy"]);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    check::required_one_of(errors, &path.child("dnsPolicy"), dns, &policies);
    if let Some(selector) = spec.map_at(&["nodeSelector"]) {
        errors.extend(validate_labels(selector, &path.child("nodeSelector")));
    }
    security_context(spec, &path.child("securityContext"), errors);
    super::pod_affinity::affinity(spec, &path.child("affinity"), errors);
    dns_config(spec, dns, &path.child("dnsConfig"), errors);
    gates(spec, path, errors);
    topology_spread(spec, &path.child("topologySpreadConstraints"), errors);
    host_users(spec, path, errors);
    names(spec, path, errors);
    tolerations(spec.list_at(&["tolerations"]), &path.child("tolerations"), errors);
    host_aliases(spec, &path.child("hostAliases"), errors);
    super::pod_os::operating_system(spec, path, errors);
    if place == Place::Pod {
        pod_containers::untrimmed_images(spec, path, errors);
    }
}

fn resource_claims(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    const TYPE: &str = "io.k8s.api.core.v1.PodResourceClaim";
    let mut seen = BTreeSet::new();
    for (i, claim) in spec.list_at(&["resourceClaims"]).iter().enumerate() {
        let path = path.child("resourceClaims").index(i);
        let name = check::text(claim, &["name"]);
        if check::required(errors, &path.child("name"), name) {
            if seen.insert(name) {
                check::messages(errors, &path.child("name"), name, is_dns1123_label(name));
            } else {
                errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
            }
        }
        let given = |key: &str| claim.at(&[key]).is_some_and(|value| !value.is_null());
        let detail = match (given("resourceClaimName"), given("resourceClaimTemplateName")) {
            (true, true) => {
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            }
            (false, false) => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            _ => continue,
        };
        errors.push(check::invalid_shown(&path, crate::go_form::show(TYPE, Some(claim)), detail));
    }
}

/// Highest user or group id.
const ID_MAX: i64 = i32::MAX as i64;

/// A user or group id.
pub(super) fn id(errors: &mut FieldErrors, path: &FieldPath, id: Option<i64>) {
    if let Some(id) = id.filter(|id| !(0..=ID_MAX).contains(id)) {
        let detail = format!("must be between 0 and {ID_MAX}, inclusive");
        errors.push(FieldError::invalid(path, &id.into(), detail));
    }
}

fn security_context(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(context) = spec.at(&["securityContext"]) else { return };
    for key in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(errors, &path.child(key), context.int_at(&[key]));
    }
    for (i, group) in context.list_at(&["supplementalGroups"]).iter().enumerate() {
        id(errors, &path.child("supplementalGroups").index(i), group.as_int());
    }
    sysctls(context, &path.child("sysctls"), errors);
    if let Some(policy) = context.str_at(&["fsGroupChangePolicy"]) {
        check::one_of(errors, &path.child("fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"]);
    }
    profile(context, "seccompProfile", "seccomp", path, errors);
    profile(context, "appArmorProfile", "apparmor", path, errors);
}

/// A seccomp or AppArmor profile; `word` names it in the text.
pub(super) fn profile(
    context: &Value,
    key: &'static str,
    word: &str,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    let Some(profile) = context.at(&[key]).filter(|profile| !profile.is_null()) else { return };
    let path = path.child(key);
    let kind = check::text(profile, &["type"]);
    let file = profile.str_at(&["localhostProfile"]);
    check::required_one_of(errors, &path.child("type"), kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
    let path = path.child("localhostProfile");
    match (kind, file) {
        ("Localhost", None) => {
            let label = if word == "seccomp" { "seccomp" } else { "AppArmor" };
            errors.push(FieldError::required(&path, format!("must be set when {label} type is Localhost")));
        }
        (other, Some(file)) if other != "Localhost" => {
            let label = if word == "seccomp" { "seccomp" } else { "AppArmor" };
            errors.push(FieldError::invalid_str(
                &path,
                file,
                format!("can only be set when {label} type is Localhost"),
            ));
        }
        _ => {}
    }
}

fn sysctls(context: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (i, sysctl) in context.list_at(&["sysctls"]).iter().enumerate() {
        let path = path.index(i).child("name");
        let name = check::text(sysctl, &["name"]);
        if !check::required(errors, &path, name) {
            continue;
        }
        if !is_sysctl(name) {
            let detail = "must have at most 253 characters and match regex \
                          ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(FieldError::invalid_str(&path, name, detail));
        }
        // Slashes and dots are the same separator.
        if !seen.insert(name.replace('/', ".")) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        }
    }
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
    name.len() <= 253 && name.split(['.', '/']).all(good)
}

/// Name servers a resolver asks.
const NAME_SERVERS_MAX: usize = 3;

fn dns_config(spec: &Value, policy: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let config = spec.at(&["dnsConfig"]).filter(|config| !config.is_null());
    let servers = config.map(|config| config.list_at(&["nameservers"])).unwrap_or_default();
    if policy == "None" {
        if config.is_none() {
            errors.push(FieldError::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
        } else if servers.is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(&path.child("nameservers"), detail));
        }
    }
    let Some(config) = config else { return };
    if servers.len() > NAME_SERVERS_MAX {
        let detail = format!("must not have more than {NAME_SERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(&path.child("nameservers"), &Value::List(servers.to_vec()), detail));
    }
    for (i, server) in servers.iter().enumerate() {
        validation::ip(errors, &path.child("nameservers").index(i), server.as_str().unwrap_or_default());
    }
    for (i, search) in config.list_at(&["searches"]).iter().enumerate() {
        let search = search.as_str().unwrap_or_default();
        let bare = if search == "." { "" } else { search.strip_suffix('.').unwrap_or(search) };
        if !bare.is_empty() && !is_search_domain(bare) {
            let detail = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', \
                          '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
                          regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]\
                          ([-_a-z0-9]*[a-z0-9])?)*')";
            errors.push(FieldError::invalid_str(&path.child("searches").index(i), search, detail));
        }
    }
    for (i, option) in config.list_at(&["options"]).iter().enumerate() {
        if check::text(option, &["name"]).is_empty() {
            errors.push(FieldError::required(&path.child("options").index(i), "must not be empty"));
        }
    }
}

/// A domain whose labels may hold underscores.
fn is_search_domain(text: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = |label: &str| {
        let bytes = label.strip_prefix('_').unwrap_or(label).as_bytes();
        let inner = |b: &u8| edge(*b) || matches!(b, b'-' | b'_');
        bytes.first().is_some_and(|b| edge(*b))
            && bytes.last().is_some_and(|b| edge(*b))
            && bytes.iter().all(inner)
    };
    text.len() <= 253 && text.split('.').all(good)
}

fn gates(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for (i, gate) in spec.list_at(&["readinessGates"]).iter().enumerate() {
        let path = path.child("readinessGates").index(i).child("conditionType");
        validation::qualified_name(errors, &path, check::text(gate, &["conditionType"]));
    }
    let mut seen = BTreeSet::new();
    for (i, gate) in spec.list_at(&["schedulingGates"]).iter().enumerate() {
        let path = path.child("schedulingGates").index(i);
        let name = check::text(gate, &["name"]);
        check::messages(errors, &path, name, is_qualified_name(name));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        }
    }
}

fn topology_spread(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let constraints = spec.list_at(&["topologySpreadConstraints"]);
    let identity =
        |constraint| ["topologyKey", "whenUnsatisfiable"].map(|key: &str| check::text(constraint, &[key]));
    for (i, constraint) in constraints.iter().enumerate() {
        let path = path.index(i);
        let [key, when] = identity(constraint);
        let skew = print::int(constraint, &["maxSkew"]);
        if skew <= 0 {
            errors.push(FieldError::invalid(
                &path.child("maxSkew"),
                &skew.into(),
                "must be greater than zero",
            ));
        }
        if key.is_empty() {
            errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
        }
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        check::one_of(errors, &path.child("whenUnsatisfiable"), when, &actions);
        // The earlier of two equal constraints is blamed.
        if constraints[i + 1..].iter().any(|later| identity(later) == [key, when]) {
            let shown = Value::from(format!("{{{key}, {when}}}"));
            errors.push(FieldError::duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), &shown));
        }
        if let Some(domains) = constraint.int_at(&["minDomains"]) {
            min_domains(domains, when, &path.child("minDomains"), errors);
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if let Some(text) = constraint.str_at(&[policy]) {
                check::one_of(errors, &path.child(policy), text, &["Honor", "Ignore"]);
            }
        }
        validation::label_selector(constraint.at(&["labelSelector"]), &path.child("labelSelector"), errors);
    }
}

fn min_domains(domains: i64, when: &str, path: &FieldPath, errors: &mut FieldErrors) {
    if domains <= 0 {
        errors.push(FieldError::invalid(path, &domains.into(), "must be greater than zero"));
    }
    if when != "DoNotSchedule" {
        let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}");
        errors.push(FieldError::invalid(path, &domains.into(), detail));
    }
}

fn host_users(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if spec.bool_at(&["hostUsers"]) != Some(false) {
        return;
    }
    // The original writes one of the names as in Go.
    for (key, name) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.bool_at(&[key]) == Some(true) {
            errors.push(FieldError::forbidden(&path.child(name), "when `hostUsers` is false"));
        }
    }
}

type NameCheck = fn(&str) -> Vec<String>;

fn names(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let early: [(&str, NameCheck); 2] =
        [("serviceAccountName", is_dns1123_subdomain), ("nodeName", is_dns1123_subdomain)];
    let late: [(&str, NameCheck); 4] = [
        ("hostname", is_dns1123_label),
        ("subdomain", is_dns1123_label),
        ("priorityClassName", is_dns1123_subdomain),
        ("runtimeClassName", is_dns1123_subdomain),
    ];
    let check_name = |(key, rule): (&str, NameCheck), errors: &mut FieldErrors| {
        let name = check::text(spec, &[key]);
        if !name.is_empty() {
            check::messages(errors, &path.child(key), name, rule(name));
        }
    };
    early.into_iter().for_each(|name| check_name(name, errors));
    if let Some(seconds) = spec.int_at(&["activeDeadlineSeconds"]).filter(|n| !(1..=ID_MAX).contains(n)) {
        let detail = format!("must be between 1 and {ID_MAX}, inclusive");
        errors.push(FieldError::invalid(&path.child("activeDeadlineSeconds"), &seconds.into(), detail));
    }
    late.into_iter().for_each(|name| check_name(name, errors));
}

/// Tolerations of a pod or a runtime class.
pub fn tolerations(list: &[Value], path: &FieldPath, errors: &mut FieldErrors) {
    for (i, toleration) in list.iter().enumerate() {
        let path = path.index(i);
        let [key, operator, value, effect] =
            ["key", "operator", "value", "effect"].map(|field| check::text(toleration, &[field]));
        if !key.is_empty() {
            validation::qualified_name(errors, &path.child("key"), key);
        }
        if key.is_empty() && operator != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid_str(&path.child("operator"), operator, detail));
        }
        if toleration.int_at(&["tolerationSeconds"]).is_some() && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid_str(&path.child("effect"), effect, detail));
        }
        match operator {
            "Equal" | "" => {
                check::messages(errors, &path.child("operator"), value, is_label_value(value));
            }
            "Exists" => {
                if !value.is_empty() {
                    let detail = "value must be empty when `operator` is 'Exists'";
                    errors.push(FieldError::invalid_str(&path.child("operator"), value, detail));
                }
            }
            _ => check::one_of(errors, &path.child("operator"), operator, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            check::one_of(errors, &path.child("effect"), effect, &effects);
        }
    }
}

fn host_aliases(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for (i, alias) in spec.list_at(&["hostAliases"]).iter().enumerate() {
        let path = path.index(i);
        validation::ip(errors, &path.child("ip"), check::text(alias, &["ip"]));
        for (i, name) in alias.list_at(&["hostnames"]).iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            check::messages(errors, &path.child("hostnames").index(i), name, is_dns1123_subdomain(name));
        }
    }
}

/// A changed pod: only a few fields may change.
pub(super) fn update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    spec(object.at(&["spec"]), &FieldPath::root("spec"), Place::Pod, &mut errors);
    let path = FieldPath::root("spec");
    for list in ["containers", "initContainers"] {
        let count = |pod: &Value| pod.list_at(&["spec", list]).len();
        if count(object) != count(old) {
            // What follows would only repeat this.
            let detail = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path.child(list), detail));
            return errors;
        }
    }
    deadline(object, old, &path, &mut errors);
    added_gates(object, old, &path, &mut errors);
    added_tolerations(object, old, &path, &mut errors);
    let gated = !old.list_at(&["spec", "schedulingGates"]).is_empty();
    if gated {
        added_node_selector(object, old, &path, &mut errors);
    }
    let (new, before) = (fixed_part(object, old, gated), fixed_part(old, old, gated));
    if !check::same(Some(&new), Some(&before)) {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,\
                      `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions \
                      to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it \
                      was previously negative)";
        errors.push(FieldError::forbidden(&path, detail));
    }
    errors
}

fn deadline(object: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let path = path.child("activeDeadlineSeconds");
    let seconds = |pod: &Value| pod.int_at(&["spec", "activeDeadlineSeconds"]);
    match (seconds(object), seconds(old)) {
        (Some(new), Some(before)) if new > before => {
            let detail = "must be less than or equal to previous value";
            errors.push(FieldError::invalid(&path, &new.into(), detail));
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(&path, &Value::Null, detail));
        }
        _ => {}
    }
}

fn added_gates(object: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let before: BTreeSet<&str> =
        old.list_at(&["spec", "schedulingGates"]).iter().map(|gate| check::text(gate, &["name"])).collect();
    for (i, gate) in object.list_at(&["spec", "schedulingGates"]).iter().enumerate() {
        let name = check::text(gate, &["name"]);
        if !before.contains(name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(FieldError::forbidden(&path.child("schedulingGates").index(i).child("name"), detail));
        }
    }
}

fn added_tolerations(object: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let new = object.list_at(&["spec", "tolerations"]);
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.remove(&["tolerationSeconds"]);
        toleration
    };
    let kept = old
        .list_at(&["spec", "tolerations"])
        .iter()
        .all(|toleration| new.iter().any(|other| without_seconds(other) == without_seconds(toleration)));
    if !kept {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(&path.child("tolerations"), detail));
    }
}

fn added_node_selector(object: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let empty = Map::new();
    let new = object.map_at(&["spec", "nodeSelector"]);
    let before = old.map_at(&["spec", "nodeSelector"]).unwrap_or(&empty);
    if before.iter().any(|(key, value)| new.and_then(|new| new.get(key)) != Some(value)) {
        let shown = new.map_or(Value::Null, |new| Value::Map(new.clone()));
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(&path.child("nodeSelector"), &shown, detail));
    }
}

/// The spec without what an update may change.
fn fixed_part(object: &Value, old: &Value, gated: bool) -> Value {
    let mut spec = object.at(&["spec"]).cloned().unwrap_or_default();
    for list in ["containers", "initContainers"] {
        for container in crate::defaults::items(&mut spec, list) {
            container.remove(&["image"]);
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        spec.remove(&[field]);
    }
    let grace = |pod: &Value| pod.int_at(&["spec", "terminationGracePeriodSeconds"]);
    if grace(old).is_some_and(|seconds| seconds < 0) && grace(object) == Some(1) {
        spec.remove(&["terminationGracePeriodSeconds"]);
    }
    if gated {
        spec.remove(&["nodeSelector"]);
        spec.remove(&["affinity", "nodeAffinity"]);
        if spec.map_at(&["affinity"]).is_some_and(Map::is_empty) {
            spec.remove(&["affinity"]);
        }
    }
    spec
}

/// A changed status.
pub(super) fn status_update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let path = FieldPath::root("status");
    let nominated = check::text(object, &["status", "nominatedNodeName"]);
    if !nominated.is_empty() {
        check::messages(
            &mut errors,
            &path.child("nominatedNodeName"),
            nominated,
            is_dns1123_subdomain(nominated),
        );
    }
    let class = |pod: &Value| check::text(pod, &["status", "qosClass"]).to_owned();
    if !class(old).is_empty() && class(object) != class(old) {
        let shown = Value::from(class(object));
        errors.push(FieldError::invalid(&path.child("qosClass"), &shown, check::IMMUTABLE));
    }
    for (i, ip) in object.list_at(&["status", "podIPs"]).iter().enumerate() {
        validation::ip(&mut errors, &path.child("podIPs").index(i), check::text(ip, &["ip"]));
    }
    errors
}

/// Changed ephemeral containers: they only grow in number.
pub(super) fn ephemeral_containers_update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let path = FieldPath::root("spec").child("ephemeralContainers");
    pod_containers::ephemeral(
        object.at(&["spec"]).unwrap_or(&Value::Null),
        &FieldPath::root("spec"),
        &mut errors,
    );
    let new = object.list_at(&["spec", "ephemeralContainers"]);
    for container in old.list_at(&["spec", "ephemeralContainers"]) {
        let name = check::text(container, &["name"]);
        let Some((i, now)) = new.iter().enumerate().find(|(_, now)| check::text(now, &["name"]) == name)
        else {
            let detail = format!("existing ephemeral containers {name:?} may not be removed\n");
            errors.push(FieldError::forbidden(&path, detail));
            continue;
        };
        if !check::same(Some(now), Some(container)) {
            let detail = format!("existing ephemeral containers {name:?} may not be changed\n");
            errors.push(FieldError::forbidden(&path.index(i), detail));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(image: &str, seconds: i64) -> Value {
        let mut object = Value::map();
        object.set(&["spec", "containers"], vec![Map::from([("name", "c"), ("image", image)])]);
        object.set(&["spec", "activeDeadlineSeconds"], seconds);
        crate::defaults::pod::pod(object.at_mut(&["spec"]).expect("just set"));
        object
    }

    #[test]
    fn images_and_a_shorter_deadline_may_change_and_nothing_else() {
        let old = pod("a:1", 50);
        assert_eq!(update(&pod("a:2", 20), &old), []);
        let longer = update(&pod("a:1", 60), &old);
        assert_eq!(longer[0].body(), "Invalid value: 60: must be less than or equal to previous value");
        let mut moved = pod("a:1", 50);
        moved.set(&["spec", "nodeName"], "n");
        assert_eq!(update(&moved, &old)[0].field.as_str(), "spec");
    }

    #[test]
    fn tolerations_are_complete() {
        let toleration = Map::from([("operator", "Equal")]);
        let mut errors = Vec::new();
        tolerations(&[toleration.into()], &FieldPath::root("t"), &mut errors);
        assert_eq!(errors[0].field.as_str(), "t[0].operator");
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn kernel_parameters_are_dotted_or_slashed() {
        assert!(is_sysctl("net.ipv4/tcp_x"));
        assert!(!is_sysctl("BAD name"));
    }
}
