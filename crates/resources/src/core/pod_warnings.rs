//! Warnings about pods and pod templates: what is taken but does not do what
//! it seems to.

use meta::validation::{is_dns1123_label, is_label_value};
use meta::{FieldPath, ObjectMeta};
use schema::{Map, Value};

use super::addresses::ip_warning;
use super::pod_os::containers_of;
use super::pod_security::APPARMOR_CONTAINER;
use super::rules::present;
use super::volume_validation::{claim_spec_warnings, deprecated_sources, fractional_bytes};
use crate::{check, print};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// Labels of nodes that have other names now.
const DEPRECATED_LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
];
/// Annotations that nobody reads any more.
const DEAD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Warnings about a new pod.
pub(super) fn create(pod: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let messages = is_dns1123_label(ObjectMeta::of(pod).name());
    if !messages.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label \
             is recommended: [{}]",
            messages.join(" ")
        ));
    }
    of(pod, &FieldPath::root(""), false, &mut warnings);
    warnings
}

/// Warnings about a template that pods are made from.
pub fn template(template: &Value, path: &FieldPath) -> Vec<String> {
    let mut warnings = Vec::new();
    of(template, path, true, &mut warnings);
    warnings
}

/// Warnings about what has `metadata` and a pod's `spec`.
fn of(holder: &Value, path: &FieldPath, is_template: bool, warnings: &mut Vec<String>) {
    let Some(spec) = holder.at(&["spec"]) else { return };
    let annotations = ObjectMeta::of(holder).annotations();
    let at = path.child("spec");
    placement(spec, &at, warnings);
    for (key, text) in DEAD_ANNOTATIONS {
        if annotations.contains_key(key) {
            warnings.push(format!("{}: {text}", path.child("metadata.annotations").key(key)));
        }
    }
    volumes(spec, &at.child("volumes"), warnings);
    lists(spec, &at, warnings);
    for name in ["memory", "ephemeral-storage"] {
        fractional_bytes(spec.get("overhead"), name, &at.child("overhead"), warnings);
    }
    dead_profile(annotations, SECCOMP_POD, spec, path, warnings);
    let containers = containers_of(spec, &at);
    for (container, at) in &containers {
        one_container(container, spec, annotations, path, at, is_template, warnings);
    }
    ports(&containers, warnings);
    if spec.int_at(&["terminationGracePeriodSeconds"]).is_some_and(|seconds| seconds < 0) {
        warnings.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            at.child("terminationGracePeriodSeconds")
        ));
    }
    lonely_terms(spec, &at, warnings);
}

fn deprecated_label(key: &str) -> Option<&'static str> {
    DEPRECATED_LABELS.iter().find(|(label, _)| *label == key).map(|(_, text)| *text)
}

/// Where the pod may run.
fn placement(spec: &Value, path: &FieldPath, warnings: &mut Vec<String>) {
    for key in spec.map_at(&["nodeSelector"]).into_iter().flat_map(Map::keys) {
        if let Some(text) = deprecated_label(key) {
            warnings.push(format!("{}: {text}", path.child("nodeSelector").key(key)));
        }
    }
    if let Some(node) = spec.at(&["affinity", "nodeAffinity"]) {
        let path = path.child("affinity.nodeAffinity");
        let terms = path.child(REQUIRED).child("nodeSelectorTerms");
        for (i, term) in node.list_at(&[REQUIRED, "nodeSelectorTerms"]).iter().enumerate() {
            node_term(term, false, &terms.index(i), warnings);
        }
        for (i, weighted) in node.list_at(&[PREFERRED]).iter().enumerate() {
            if let Some(term) = weighted.get("preference") {
                node_term(term, true, &path.child(PREFERRED).index(i).child("preference"), warnings);
            }
        }
    }
    for (i, constraint) in spec.list_at(&["topologySpreadConstraints"]).iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(i);
        let key = check::text(constraint, &["topologyKey"]);
        if let Some(text) = deprecated_label(key) {
            warnings.push(format!("{}: {key} is {text}", path.child("topologyKey")));
        }
        if present(constraint, "labelSelector").is_none() {
            warnings.push(format!("{}: {NO_SELECTOR}", path.child("labelSelector")));
        }
    }
}

/// Warnings about a term that selects nodes. `values` are looked at where validation does not.
pub(super) fn node_term(term: &Value, values: bool, path: &FieldPath, warnings: &mut Vec<String>) {
    for (i, requirement) in term.list_at(&["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        let key = check::text(requirement, &["key"]);
        if let Some(text) = deprecated_label(key) {
            warnings.push(format!("{}: {key} is {text}", path.child("key")));
        }
        for (i, value) in requirement.list_at(&["values"]).iter().enumerate().filter(|_| values) {
            let value = value.as_str().unwrap_or_default();
            for message in is_label_value(value) {
                warnings.push(format!("{}: {value} is invalid, {message}", path.child("values").index(i)));
            }
        }
    }
}

fn volumes(spec: &Value, path: &FieldPath, warnings: &mut Vec<String>) {
    for (i, volume) in spec.list_at(&["volumes"]).iter().enumerate() {
        let path = path.index(i);
        deprecated_sources(volume, &path, warnings);
        if let Some(claim) = volume.at(&["ephemeral", "volumeClaimTemplate", "spec"]) {
            claim_spec_warnings(claim, &path.child("ephemeral.volumeClaimTemplate.spec"), warnings);
        }
    }
    for volume in spec.list_at(&["volumes"]) {
        overlaps(volume, warnings);
    }
}

/// A file in a volume, and where it is from.
struct File<'a> {
    path: &'a str,
    source: String,
}

impl File<'_> {
    fn shown(&self) -> String {
        let path = meta::field::quoted(self.path);
        if self.source.is_empty() { path } else { format!("{path} ({})", self.source) }
    }

    fn overlaps(&self, other: &File<'_>) -> bool {
        let below =
            |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        !self.path.is_empty()
            && !other.path.is_empty()
            && (below(self.path, other.path) || below(other.path, self.path))
    }
}

fn files<'a>(source: &'a Value, from: &str) -> Vec<File<'a>> {
    let path = |item: &'a Value| check::text(item, &["path"]).trim_end_matches('/');
    source.list_at(&["items"]).iter().map(|item| File { path: path(item), source: from.to_owned() }).collect()
}

/// Files of one volume at the same place, or below each other.
fn overlaps(volume: &Value, warnings: &mut Vec<String>) {
    let quoted = meta::field::quoted;
    let name = quoted(check::text(volume, &["name"]));
    for (kind, word, key) in [
        ("configMap", "ConfigMap ", "name"),
        ("secret", "Secret ", "secretName"),
        ("downwardAPI", "DownwardAPI", ""),
    ] {
        let Some(source) = present(volume, kind) else { continue };
        let of = if key.is_empty() { String::new() } else { quoted(check::text(source, &[key])) };
        collisions(files(source, ""), &format!("volume {name} ({word}{of})"), warnings);
    }
    let Some(projected) = present(volume, "projected") else { return };
    let mut all = Vec::new();
    for source in projected.list_at(&["sources"]) {
        let of = |kind: &str, word: &str| {
            present(source, kind)
                .map(|part| files(part, &format!("{word} {}", quoted(check::text(part, &["name"])))))
        };
        if source.as_map().is_none_or(|map| map.iter().all(|(_, value)| value.is_null())) {
            warnings.push(format!("volume {name} (Projected) has no sources provided"));
        }
        let found = of("configMap", "ConfigMap")
            .or_else(|| of("secret", "Secret"))
            .or_else(|| present(source, "downwardAPI").map(|part| files(part, "DownwardAPI")))
            .or_else(|| {
                let path = source.str_at(&["serviceAccountToken", "path"])?.trim_end_matches('/');
                Some(vec![File { path, source: "ServiceAccountToken".to_owned() }])
            });
        all.extend(found.into_iter().flatten());
    }
    collisions(all, &format!("volume {name} (Projected)"), warnings);
}

fn collisions(files: Vec<File<'_>>, place: &str, warnings: &mut Vec<String>) {
    for (i, file) in files.iter().enumerate() {
        let others: Vec<String> =
            files[..i].iter().filter(|other| file.overlaps(other)).map(File::shown).collect();
        if !others.is_empty() {
            warnings.push(format!("{place}: overlapping paths: {} with {}", file.shown(), others.join(", ")));
        }
    }
}

/// Entries of lists that are there twice, or empty.
fn lists(spec: &Value, path: &FieldPath, warnings: &mut Vec<String>) {
    let aliases = spec.list_at(&["hostAliases"]);
    for (i, alias) in aliases.iter().enumerate() {
        let (path, ip) = (path.child("hostAliases").index(i).child("ip"), check::text(alias, &["ip"]));
        if aliases[..i].iter().any(|other| check::text(other, &["ip"]) == ip) {
            warnings.push(format!("{path}: duplicate ip {}", meta::field::quoted(ip)));
        }
        warnings.extend(ip_warning(ip, &path));
    }
    let secrets = spec.list_at(&["imagePullSecrets"]);
    let at = path.child("imagePullSecrets");
    for (i, secret) in secrets.iter().enumerate() {
        let name = check::text(secret, &["name"]);
        if secrets[..i].iter().any(|other| check::text(other, &["name"]) == name) {
            warnings.push(format!(
                "{}: duplicate name {}",
                at.index(i).child("name"),
                meta::field::quoted(name)
            ));
        }
    }
    for (i, _) in secrets.iter().enumerate().filter(|(_, secret)| check::text(secret, &["name"]).is_empty()) {
        warnings.push(format!("{}: invalid empty name \"\"", at.index(i).child("name")));
    }
    for (i, server) in spec.list_at(&["dnsConfig", "nameservers"]).iter().enumerate() {
        let path = path.child("dnsConfig.nameservers").index(i);
        warnings.extend(ip_warning(server.as_str().unwrap_or_default(), &path));
    }
}

/// An annotation for a profile where there is no field; `holder` has the security context, if any.
fn dead_profile(annotations: &Map, key: &str, holder: &Value, path: &FieldPath, warnings: &mut Vec<String>) {
    let field = holder.at(&["securityContext", "seccompProfile"]).filter(|profile| !profile.is_null());
    if field.is_none() && annotations.contains_key(key) {
        let path = path.child("metadata.annotations").key(key);
        // The original has the backslashes in its text.
        warnings
            .push(format!("{path}: non-functional in v1.27+; use the \\\"seccompProfile\\\" field instead"));
    }
}

fn one_container(
    container: &Value,
    spec: &Value,
    annotations: &Map,
    path: &FieldPath,
    at: &FieldPath,
    is_template: bool,
    warnings: &mut Vec<String>,
) {
    let name = check::text(container, &["name"]);
    if !annotations.is_empty() {
        dead_profile(annotations, &format!("{SECCOMP_CONTAINER}{name}"), container, path, warnings);
        // Pods are told of it where the annotation becomes a field.
        let key = format!("{APPARMOR_CONTAINER}{name}");
        let field = [container, spec].iter().any(|holder| {
            holder.at(&["securityContext", "appArmorProfile"]).is_some_and(|profile| !profile.is_null())
        });
        if is_template && !field && annotations.contains_key(&key) {
            let path = path.child("metadata.annotations").key(&key);
            warnings.push(format!(
                "{path}: deprecated since v1.30; use the \\\"appArmorProfile\\\" field instead"
            ));
        }
    }
    if let Some(resources) = present(container, "resources") {
        for (name, list) in [
            ("memory", "limits"),
            ("memory", "requests"),
            ("ephemeral-storage", "limits"),
            ("ephemeral-storage", "requests"),
        ] {
            fractional_bytes(resources.get(list), name, &at.child("resources").child(list), warnings);
        }
    }
    let variables = container.list_at(&["env"]);
    for (i, variable) in variables.iter().enumerate() {
        let name = check::text(variable, &["name"]);
        if variables[..i].iter().any(|other| check::text(other, &["name"]) == name) && hides(variable, name) {
            warnings.push(format!(
                "{}: hides previous definition of {}, which may be dropped when using apply",
                at.child("env").index(i),
                meta::field::quoted(name)
            ));
        }
    }
}

/// A variable that does not build on the one of its name before.
fn hides(variable: &Value, name: &str) -> bool {
    let reference = format!("$({name})");
    let value = check::text(variable, &["value"]);
    present(variable, "valueFrom").is_some() || value == reference || !value.contains(&reference)
}

/// Ports that are named more than once, and addresses of the host without a port.
fn ports(containers: &[(&Value, FieldPath)], warnings: &mut Vec<String>) {
    let mut seen: Vec<(i64, &str, i64, &str, FieldPath)> = Vec::new();
    for (container, path) in containers {
        for (i, port) in container.list_at(&["ports"]).iter().enumerate() {
            let at = path.child("ports").index(i);
            let [own, host] = ["containerPort", "hostPort"].map(|key| print::int(port, &[key]));
            let [protocol, ip, name] = ["protocol", "hostIP", "name"].map(|key| check::text(port, &[key]));
            if !ip.is_empty() && host == 0 {
                warnings.push(format!(
                    "{at}: hostIP set without hostPort: {{Name:{name} HostPort:{host} ContainerPort:{own} \
                     Protocol:{protocol} HostIP:{ip}}}"
                ));
            }
            for (_, _, other_host, other_ip, other) in
                seen.iter().filter(|(number, kind, ..)| *number == own && *kind == protocol)
            {
                if ip == *other_ip && host == *other_host {
                    warnings.push(format!("{at}: duplicate port definition with {other}"));
                } else if host == 0 || *other_host == 0 {
                    warnings.push(format!("{at}: overlapping port definition with {other}"));
                } else if host == *other_host && ip.is_empty() != other_ip.is_empty() {
                    warnings.push(format!("{at}: dangerously ambiguous port definition with {other}"));
                }
            }
            seen.push((own, protocol, host, ip, at));
        }
    }
}

/// Affinity to pods that are not selected at all.
fn lonely_terms(spec: &Value, path: &FieldPath, warnings: &mut Vec<String>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = spec.at(&["affinity", kind]) else { continue };
        let path = path.child("affinity").child(kind);
        for (i, term) in affinity.list_at(&[REQUIRED]).iter().enumerate() {
            if present(term, "labelSelector").is_none() {
                warnings
                    .push(format!("{}: {NO_SELECTOR}", path.child(REQUIRED).index(i).child("labelSelector")));
            }
        }
        for (i, weighted) in affinity.list_at(&[PREFERRED]).iter().enumerate() {
            if weighted.at(&["podAffinityTerm", "labelSelector"]).is_none_or(Value::is_null) {
                let path = path.child(PREFERRED).index(i).child("podAffinityTerm.labelSelector");
                warnings.push(format!("{path}: {NO_SELECTOR}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn warned(json: &str) -> Vec<String> {
        create(&object(json))
    }

    #[test]
    fn names_with_dots_make_bad_names_of_hosts() {
        assert_eq!(
            warned(r#"{"metadata":{"name":"a.b"}}"#),
            [
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label \
                 is recommended: [must not contain dots]"
            ]
        );
    }

    #[test]
    fn pods_are_warned_of_what_does_not_do_what_it_seems_to() {
        for (spec, expected) in [
            (r#"{"containers":[{"name":"c"}]}"#, vec![]),
            (
                r#"{"nodeSelector":{"beta.kubernetes.io/os":"linux"}}"#,
                vec![
                    "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
                ],
            ),
            (
                r#"{"volumes":[{"name":"v","gitRepo":{"repository":"r"}}]}"#,
                vec!["spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+"],
            ),
            (
                r#"{"volumes":[{"name":"v","projected":{"sources":[{}]}}]}"#,
                vec!["volume \"v\" (Projected) has no sources provided"],
            ),
            (
                r#"{"volumes":[{"name":"v","configMap":{"name":"c","items":[{"key":"a","path":"x"},{"key":"b","path":"x/y"}]}}]}"#,
                vec!["volume \"v\" (ConfigMap \"c\"): overlapping paths: \"x/y\" with \"x\""],
            ),
            (
                r#"{"containers":[{"name":"c","env":[{"name":"A","value":"1"},{"name":"A","value":"2"}]}]}"#,
                vec![
                    "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
                ],
            ),
            (
                r#"{"containers":[{"name":"c","env":[{"name":"A","value":"1"},{"name":"A","value":"$(A)2"}]}]}"#,
                vec![],
            ),
            (
                r#"{"containers":[{"name":"c","ports":[{"containerPort":1,"protocol":"TCP"},
                    {"containerPort":1,"protocol":"TCP"},{"containerPort":1,"protocol":"TCP","hostPort":2}]}]}"#,
                vec![
                    "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
                    "spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[0]",
                    "spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[1]",
                ],
            ),
            (
                r#"{"containers":[{"name":"c","resources":{"limits":{"memory":"500m"}}}]}"#,
                vec![
                    "spec.containers[0].resources.limits[memory]: fractional byte value \"500m\" is invalid, must be an \
                     integer",
                ],
            ),
            (
                r#"{"imagePullSecrets":[{"name":"a"},{"name":"a"},{"name":""}]}"#,
                vec![
                    "spec.imagePullSecrets[1].name: duplicate name \"a\"",
                    "spec.imagePullSecrets[2].name: invalid empty name \"\"",
                ],
            ),
            (
                r#"{"terminationGracePeriodSeconds":-1}"#,
                vec![
                    "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
                ],
            ),
            (
                r#"{"topologySpreadConstraints":[{"topologyKey":"x"}]}"#,
                vec![
                    "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
                ],
            ),
        ] {
            assert_eq!(
                warned(&format!(r#"{{"metadata":{{"name":"p"}},"spec":{spec}}}"#)),
                expected,
                "{spec}"
            );
        }
    }

    #[test]
    fn templates_are_warned_of_under_their_own_path() {
        let holder = object(r#"{"spec":{"terminationGracePeriodSeconds":-1}}"#);
        let warnings = template(&holder, &FieldPath::root("spec").child("template"));
        assert!(
            warnings[0].starts_with("spec.template.spec.terminationGracePeriodSeconds: "),
            "{warnings:?}"
        );
    }
}
