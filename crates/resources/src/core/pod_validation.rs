//! Validation of new pods and of pod templates: what concerns the pod as a
//! whole. Containers, volumes, affinity and security have files of their own,
//! and so have changes (`pod_update`).

use std::collections::BTreeSet;

use meta::validation::{
    is_dns1123_label, is_dns1123_subdomain, is_label_value, is_qualified_name, validate_annotations,
    validate_labels,
};
use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use schema::Value;

use super::rules::{ID_MAX, present};
use super::{pod_affinity, pod_amounts, pod_containers, pod_os, pod_security, pod_volumes};
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

/// Marks the copy of a pod that a kubelet runs on its own account.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
/// What it costs to delete a pod before others of its set.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A new pod.
pub(super) fn create(object: &Value) -> FieldErrors {
    let mut errors = metadata_and_spec(object);
    let path = FieldPath::root("spec");
    if !object.list_at(&["spec", "ephemeralContainers"]).is_empty() {
        errors.push(FieldError::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
    }
    let gated = !object.list_at(&["spec", "schedulingGates"]).is_empty();
    if gated && !check::text(object, &["spec", "nodeName"]).is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(&path.child("nodeName"), detail));
    }
    if let Some(spec) = object.at(&["spec"]) {
        let annotations = ObjectMeta::of(object).annotations();
        pod_security::annotations_match_fields(annotations, spec, &path, &mut errors);
    }
    errors
}

/// What every pod must be, new or changed.
pub(super) fn metadata_and_spec(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let path = FieldPath::root("spec");
    annotations(object, &FieldPath::root("metadata").child("annotations"), &mut errors);
    let Some(spec) = object.at(&["spec"]) else { return errors };
    pod_spec(spec, ObjectMeta::of(object).name(), &path, Place::Pod, &mut errors);
    if check::text(spec, &["serviceAccountName"]).is_empty() {
        tokens_of_nobody(spec, &path, &mut errors);
    }
    pod_containers::untrimmed_images(spec, &path, &mut errors);
    errors
}

/// Annotations that mean something; `object` has `metadata` and `spec`.
pub(super) fn annotations(object: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let annotations = ObjectMeta::of(object).annotations();
    if annotations.is_empty() {
        return;
    }
    let empty = Value::map();
    let spec = object.at(&["spec"]).unwrap_or(&empty);
    if let Some(mirrored) = annotations.str(MIRROR)
        && check::text(spec, &["nodeName"]).is_empty()
    {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(FieldError::invalid_str(&path.key(MIRROR), mirrored, detail));
    }
    if let Some(cost) = annotations.str(DELETION_COST)
        && !is_cost(cost)
    {
        let detail = "must be a 32bit integer";
        errors.push(FieldError::invalid_str(&path.key(DELETION_COST), cost, detail));
    }
    pod_security::annotations(annotations, spec, path, errors);
}

/// A number without a plus sign and without leading zeros.
fn is_cost(text: &str) -> bool {
    let starts_well = text == "0" || text.starts_with(|c: char| c == '-' || ('1'..='9').contains(&c));
    starts_well && text.parse::<i32>().is_ok()
}

fn tokens_of_nobody(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for (i, volume) in spec.list_at(&["volumes"]).iter().enumerate() {
        for (j, source) in volume.list_at(&["projected", "sources"]).iter().enumerate() {
            if present(source, "serviceAccountToken").is_some() {
                let path = path.child("volumes").index(i).child("projected.sources").index(j);
                let detail = "must not be specified when serviceAccountName is not set";
                errors.push(FieldError::forbidden(&path.child("serviceAccountToken"), detail));
            }
        }
    }
}

/// A template that pods are made from: labels, annotations and spec.
pub fn template(template: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    template_metadata(template, path, errors);
    annotations(template, &path.child("annotations"), errors);
    let Some(spec) = template.at(&["spec"]) else { return };
    let path = path.child("spec");
    pod_spec(spec, "", &path, Place::Template, errors);
    pod_security::annotations_match_fields(ObjectMeta::of(template).annotations(), spec, &path, errors);
    if !spec.list_at(&["ephemeralContainers"]).is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&path.child("ephemeralContainers"), detail));
    }
}

/// Labels and annotations of a template. The original leaves `metadata` out of their paths.
pub fn template_metadata(template: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(labels) = template.map_at(&["metadata", "labels"]) {
        errors.extend(validate_labels(labels, &path.child("labels")));
    }
    if let Some(annotations) = template.map_at(&["metadata", "annotations"]) {
        errors.extend(validate_annotations(annotations, &path.child("annotations")));
    }
}

/// A pod spec without a pod around it.
pub fn spec(spec: Option<&Value>, path: &FieldPath, place: Place, errors: &mut FieldErrors) {
    if let Some(spec) = spec {
        pod_spec(spec, "", path, place, errors);
    }
}

/// A pod spec; `name` is the pod's, empty in templates.
fn pod_spec(spec: &Value, name: &str, path: &FieldPath, place: Place, errors: &mut FieldErrors) {
    let volumes = pod_volumes::volumes(spec, name, place, &path.child("volumes"), errors);
    resource_claims(spec, path, errors);
    let claims = spec.list_at(&["resourceClaims"]).iter().map(|claim| check::text(claim, &["name"]));
    let claims = claims.filter(|name| !name.is_empty()).collect();
    pod_containers::all(&pod_containers::Pod { spec, volumes, claims }, path, errors);
    pod_amounts::pod(spec, &path.child("resources"), errors);
    pod_containers::host_network_ports(spec, place, path, errors);
    policies(spec, path, errors);
    if let Some(selector) = spec.map_at(&["nodeSelector"]) {
        errors.extend(validate_labels(selector, &path.child("nodeSelector")));
    }
    pod_security::pod(spec, path, errors);
    pod_affinity::affinity(spec, &path.child("affinity"), errors);
    dns_config(spec, &path.child("dnsConfig"), errors);
    gates(spec, path, errors);
    topology_spread(spec, &path.child("topologySpreadConstraints"), errors);
    pod_security::host_processes(spec, path, errors);
    host_users(spec, path, errors);
    names(spec, path, errors);
    tolerations(spec.list_at(&["tolerations"]), &path.child("tolerations"), errors);
    host_aliases(spec, &path.child("hostAliases"), errors);
    late_names(spec, path, errors);
    if let Some(policy) = spec.str_at(&["preemptionPolicy"]) {
        let policies = ["PreemptLowerPriority", "Never"];
        check::required_one_of(errors, &path.child("preemptionPolicy"), policy, &policies);
    }
    if let Some(overhead) = present(spec, "overhead") {
        pod_amounts::overhead(overhead, &path.child("overhead"), errors);
    }
    pod_os::operating_system(spec, path, errors);
}

fn policies(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let restart = check::text(spec, &["restartPolicy"]);
    let restarts = ["Always", "OnFailure", "Never"];
    check::required_one_of(errors, &path.child("restartPolicy"), restart, &restarts);
    let dns = check::text(spec, &["dnsPolicy"]);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    check::required_one_of(errors, &path.child("dnsPolicy"), dns, &policies);
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
        const NAMES: [&str; 2] = ["resourceClaimName", "resourceClaimTemplateName"];
        let given = NAMES.map(|key| claim.str_at(&[key]));
        let detail = match given {
            [Some(_), Some(_)] => {
                Some("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified")
            }
            [None, None] => Some("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            _ => None,
        };
        if let Some(detail) = detail {
            errors.push(check::invalid_shown(&path, crate::go_form::show(TYPE, Some(claim)), detail));
        }
        for (key, name) in NAMES.into_iter().zip(given) {
            if let Some(name) = name {
                check::messages(errors, &path.child(key), name, is_dns1123_subdomain(name));
            }
        }
    }
}

/// Name servers a resolver asks.
const NAME_SERVERS_MAX: usize = 3;
/// Domains a resolver searches.
const SEARCHES_MAX: usize = 32;
/// All of them in characters, with the spaces between.
const SEARCH_CHARS_MAX: usize = 2048;

fn dns_config(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let config = present(spec, "dnsConfig");
    let servers = config.map(|config| config.list_at(&["nameservers"])).unwrap_or_default();
    if check::text(spec, &["dnsPolicy"]) == "None" && servers.is_empty() {
        let (path, what) = match config {
            None => (path.clone(), "must provide `dnsConfig` when `dnsPolicy` is None"),
            Some(_) => (
                path.child("nameservers"),
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            ),
        };
        errors.push(FieldError::required(&path, what));
        return;
    }
    let Some(config) = config else { return };
    if servers.len() > NAME_SERVERS_MAX {
        let detail = format!("must not have more than {NAME_SERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(&path.child("nameservers"), &Value::List(servers.to_vec()), detail));
    }
    for (i, server) in servers.iter().enumerate() {
        validation::ip(errors, &path.child("nameservers").index(i), server.as_str().unwrap_or_default());
    }
    searches(config, &path.child("searches"), errors);
    for (i, option) in config.list_at(&["options"]).iter().enumerate() {
        if check::text(option, &["name"]).is_empty() {
            errors.push(FieldError::required(&path.child("options").index(i), "must not be empty"));
        }
    }
}

fn searches(config: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let searches = config.list_at(&["searches"]);
    let mut refuse = |detail: String| {
        errors.push(FieldError::invalid(path, &Value::List(searches.to_vec()), detail));
    };
    if searches.len() > SEARCHES_MAX {
        refuse(format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    let texts: Vec<&str> = searches.iter().filter_map(Value::as_str).collect();
    if texts.join(" ").len() > SEARCH_CHARS_MAX {
        refuse(format!(
            "must not have more than {SEARCH_CHARS_MAX} characters (including spaces) in the search list"
        ));
    }
    for (i, search) in texts.into_iter().enumerate().filter(|(_, search)| *search != ".") {
        let bare = search.strip_suffix('.').unwrap_or(search);
        if bare.len() > 253 {
            errors.push(FieldError::invalid_str(&path.index(i), bare, "must be no more than 253 characters"));
        }
        if !is_search_domain(bare) {
            let detail = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', \
                          '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
                          regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]\
                          ([-_a-z0-9]*[a-z0-9])?)*')";
            errors.push(FieldError::invalid_str(&path.index(i), bare, detail));
        }
    }
}

/// A domain whose labels may hold underscores.
fn is_search_domain(text: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.split('.').all(|label| {
        let bytes = label.strip_prefix('_').unwrap_or(label).as_bytes();
        let inner = |b: &u8| edge(*b) || matches!(b, b'-' | b'_');
        bytes.first().is_some_and(|b| edge(*b))
            && bytes.last().is_some_and(|b| edge(*b))
            && bytes.iter().all(inner)
    })
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
        pod_affinity::label_keys(constraint, "matchLabelKeys", &path, errors);
        for (i, key) in pod_affinity::keys_selected_twice(constraint) {
            let detail = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid_str(&path.child("matchLabelKeys").index(i), key, detail));
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
    // The original writes two of the names as in Go.
    for (key, name) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.bool_at(&[key]) == Some(true) {
            errors.push(FieldError::forbidden(&path.child(name), "when `hostUsers` is false"));
        }
    }
}

type NameRule = fn(&str) -> Vec<String>;

fn check_names(spec: &Value, names: &[(&str, NameRule)], path: &FieldPath, errors: &mut FieldErrors) {
    for (key, rule) in names {
        let name = check::text(spec, &[key]);
        if !name.is_empty() {
            check::messages(errors, &path.child(key), name, rule(name));
        }
    }
}

fn names(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let accounts: [(&str, NameRule); 2] =
        [("serviceAccountName", is_dns1123_subdomain), ("nodeName", is_dns1123_subdomain)];
    check_names(spec, &accounts, path, errors);
    if let Some(seconds) = spec.int_at(&["activeDeadlineSeconds"]).filter(|n| !(1..=ID_MAX).contains(n)) {
        let detail = format!("must be between 1 and {ID_MAX}, inclusive");
        errors.push(FieldError::invalid(&path.child("activeDeadlineSeconds"), &seconds.into(), detail));
    }
    let hosts: [(&str, NameRule); 2] = [("hostname", is_dns1123_label), ("subdomain", is_dns1123_label)];
    check_names(spec, &hosts, path, errors);
    host_name_override(spec, &path.child("hostnameOverride"), errors);
}

/// Longest host name of a kernel in bytes.
const HOST_NAME_MAX: usize = 64;

fn host_name_override(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(name) = spec.str_at(&["hostnameOverride"]) else { return };
    check::messages(errors, path, name, is_dns1123_subdomain(name));
    if name.len() > HOST_NAME_MAX {
        errors.push(FieldError::too_long(path, HOST_NAME_MAX));
    }
    for other in ["setHostnameAsFQDN", "hostNetwork"] {
        if spec.bool_at(&[other]) == Some(true) {
            let detail = format!("may not be specified when `{other}` is true");
            errors.push(FieldError::forbidden(path, detail));
        }
    }
}

fn late_names(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let classes: [(&str, NameRule); 2] =
        [("priorityClassName", is_dns1123_subdomain), ("runtimeClassName", is_dns1123_subdomain)];
    check_names(spec, &classes, path, errors);
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
                let faults = is_label_value(value);
                if !faults.is_empty() {
                    let detail = faults.join(";");
                    errors.push(FieldError::invalid_str(&path.child("operator"), value, detail));
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;
    use schema::Map;

    /// Faults of a new pod with these parts of a spec, beside its one container.
    fn faults(metadata: &str, spec: &str) -> Vec<String> {
        let mut pod = object(&format!(r#"{{"metadata":{metadata},"spec":{spec}}}"#));
        let container = Map::from([("name", "c"), ("image", "i")]);
        pod.set_default(&["spec", "containers"], vec![container]);
        crate::defaults::pod::pod(pod.at_mut(&["spec"]).expect("just set"));
        create(&pod).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pods_are_refused_for_what_is_wrong_with_them() {
        let long = "a".repeat(64);
        let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'";
        for (json, expected) in [
            ("{}", vec![]),
            (r#"{"restartPolicy":"Sometimes"}"#, vec!["spec.restartPolicy: Unsupported value"]),
            (r#"{"dnsPolicy":"None"}"#, vec!["spec.dnsConfig: Required value: must provide `dnsConfig`"]),
            (
                r#"{"dnsPolicy":"None","dnsConfig":{}}"#,
                vec!["spec.dnsConfig.nameservers: Required value: must provide at least one"],
            ),
            (
                r#"{"dnsConfig":{"nameservers":["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]}}"#,
                vec!["spec.dnsConfig.nameservers: Invalid value"],
            ),
            (r#"{"dnsConfig":{"searches":[".","_a.b.","x"]}}"#, vec![]),
            (r#"{"dnsConfig":{"searches":["-"]}}"#, vec!["spec.dnsConfig.searches[0]: Invalid value: \"-\""]),
            (r#"{"activeDeadlineSeconds":0}"#, vec!["spec.activeDeadlineSeconds: Invalid value: 0"]),
            (r#"{"activeDeadlineSeconds":1}"#, vec![]),
            (r#"{"hostname":"A"}"#, vec!["spec.hostname: Invalid value: \"A\""]),
            (&format!(r#"{{"subdomain":"{long}"}}"#), vec!["spec.subdomain: Invalid value"]),
            (
                r#"{"hostUsers":false,"hostPID":true}"#,
                vec!["spec.HostPID: Forbidden: when `hostUsers` is false"],
            ),
            (
                r#"{"schedulingGates":[{"name":"a"},{"name":"a"}]}"#,
                vec!["spec.schedulingGates[1]: Duplicate value: \"a\""],
            ),
            (
                r#"{"schedulingGates":[{"name":"a"}],"nodeName":"n"}"#,
                vec!["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
            ),
            (
                r#"{"tolerations":[{"key":"a","operator":"Equal","value":"a b"}]}"#,
                vec!["spec.tolerations[0].operator: Invalid value: \"a b\": a valid label must be"],
            ),
            (
                r#"{"resourceClaims":[{"name":"c"}]}"#,
                vec!["spec.resourceClaims[0]: Invalid value: {\"Name\":\"c\""],
            ),
            (r#"{"preemptionPolicy":"X"}"#, vec!["spec.preemptionPolicy: Unsupported value: \"X\""]),
            (r#"{"overhead":{"cpu":"-1"}}"#, vec!["spec.overhead.limits[cpu]: Invalid value: \"-1\""]),
            (r#"{"os":{"name":""}}"#, vec!["spec.os.name: Required value: cannot be empty"]),
            (r#"{"hostAliases":[{"ip":"x"}]}"#, vec!["spec.hostAliases[0].ip: Invalid value: \"x\""]),
            (
                r#"{"volumes":[{"name":"t","projected":{"sources":[{"serviceAccountToken":{"path":"t",
                    "expirationSeconds":600}}]}}]}"#,
                vec![
                    "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when",
                ],
            ),
        ] {
            let found = faults("{}", json);
            let agree = found.len() == expected.len()
                && found.iter().zip(&expected).all(|(found, start)| found.starts_with(start));
            assert!(agree, "{json}: {found:?}");
        }
        assert!(faults("{}", r#"{"hostname":"A"}"#)[0].contains(label));
    }

    #[test]
    fn annotations_mean_something() {
        for (json, count) in [
            (r#"{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"-5"}}"#, 0),
            (r#"{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"+5"}}"#, 1),
            (r#"{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"3000000000"}}"#, 1),
            (r#"{"annotations":{"kubernetes.io/config.mirror":"x"}}"#, 1),
            (r#"{"annotations":{"seccomp.security.alpha.kubernetes.io/pod":"x"}}"#, 1),
            (r#"{"annotations":{"container.apparmor.security.beta.kubernetes.io/c":"unconfined"}}"#, 0),
            (r#"{"annotations":{"container.apparmor.security.beta.kubernetes.io/x":"unconfined"}}"#, 1),
        ] {
            assert_eq!(faults(json, "{}").len(), count, "{json}");
        }
    }

    #[test]
    fn tolerations_are_complete() {
        let toleration = Map::from([("operator", "Equal")]);
        let mut errors = Vec::new();
        tolerations(&[toleration.into()], &FieldPath::root("t"), &mut errors);
        assert_eq!(errors[0].field.as_str(), "t[0].operator");
        assert_eq!(errors.len(), 1);
    }
}
