//! Ingresses route HTTP from outside to services. They are stored under
//! `ingress`, the singular, since the days of the extensions group.

use meta::validation::{is_dns1123_label, is_dns1123_subdomain};
use meta::{FieldError, FieldErrors, FieldPath, GroupVersionKind, ObjectMeta};
use registry::{
    Backing, Column, PrintContext, RequestContext, ResourceDef, StorageDef, Strategy, Subresource,
};
use schema::Value;

use crate::check::{self, at, text};
use crate::networking::{GROUP, ingress_class};
use crate::print as show;
use crate::{addresses, validation};

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
const HOSTS_SHOWN_MAX: usize = 3;

/// Ingresses as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["ing".into()],
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Class"),
            Column::string("Hosts"),
            Column::string("Address"),
            Column::string("Ports"),
            Column::string("Age"),
        ],
        backing: Backing::Stored(StorageDef {
            kind: GroupVersionKind::new(GROUP, "v1", "Ingress"),
            prefix: "ingress".into(),
            conversion: None,
        }),
        generation: true,
        repeats_metadata_validation: true,
        ..ResourceDef::stored(GROUP, "v1", "ingresses", "Ingress", IngressStrategy)
    }
}

struct IngressStrategy;

impl Strategy for IngressStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        validate_spec(&mut errors, object, Grace::default());
        let meta = ObjectMeta::of(object);
        let class = object.str_at(&["spec", "ingressClassName"]);
        let annotation = meta.annotations().str(CLASS_ANNOTATION);
        if let (Some(class), Some(annotation)) = (class, annotation)
            && class != annotation
        {
            let path = at("annotations").child(CLASS_ANNOTATION);
            let detail = "must match `ingressClassName` when both are specified";
            errors.push(FieldError::invalid_str(&path, annotation, detail));
        }
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        validate_spec(&mut errors, object, Grace::of(old));
        errors
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let points = ["status", "loadBalancer", "ingress"];
        let old: Vec<&str> = old.list_at(&points).iter().map(|point| text(point, &["ip"])).collect();
        let mut errors = Vec::new();
        for (i, point) in object.list_at(&points).iter().enumerate() {
            validate_point(&mut errors, &at("status.loadBalancer.ingress").index(i), point, &old);
        }
        errors
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        let by_annotation = ObjectMeta::of(object).annotations().contains_key(CLASS_ANNOTATION);
        if by_annotation && object.str_at(&["spec", "ingressClassName"]).is_none() {
            vec![format!(
                "annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"
            )]
        } else {
            Vec::new()
        }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let class = object.str_at(&["spec", "ingressClassName"]).unwrap_or(show::NONE);
        let ports = if object.list_at(&["spec", "tls"]).is_empty() { "80" } else { "80, 443" };
        let between = [class.into(), hosts(object).into(), addresses(object).into(), ports.into()];
        show::with_name_and_age(object, print, between)
    }
}

/// The first hosts. What is left out is counted in rules, with or without a host.
fn hosts(object: &Value) -> String {
    let rules = object.list_at(&["spec", "rules"]);
    let mut shown = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= shown.len() == HOSTS_SHOWN_MAX;
        let host = text(rule, &["host"]);
        if !more && !host.is_empty() {
            shown.push(host);
        }
    }
    match shown.join(",") {
        hosts if more => format!("{hosts} + {} more...", rules.len() - HOSTS_SHOWN_MAX),
        hosts if hosts.is_empty() => "*".to_owned(),
        hosts => hosts,
    }
}

fn addresses(object: &Value) -> String {
    let ingress = object.list_at(&["status", "loadBalancer", "ingress"]);
    let address = |point: &Value| {
        let ip = text(point, &["ip"]);
        (if ip.is_empty() { text(point, &["hostname"]) } else { ip }).to_owned()
    };
    let found: std::collections::BTreeSet<String> =
        ingress.iter().map(address).filter(|address| !address.is_empty()).collect();
    found.into_iter().collect::<Vec<_>>().join(",")
}

/// What an ingress that was stored with certain faults may keep.
#[derive(Clone, Copy, Default)]
struct Grace {
    secret_names: bool,
    wildcard_rules: bool,
}

impl Grace {
    fn of(old: &Value) -> Grace {
        let bad_secret = |tls: &Value| {
            let name = text(tls, &["secretName"]);
            !name.is_empty() && !is_dns1123_subdomain(name).is_empty()
        };
        let bad_wildcard = |rule: &Value| {
            let mut errors = Vec::new();
            validate_http(&mut errors, &FieldPath::default(), rule);
            text(rule, &["host"]).contains('*') && !errors.is_empty()
        };
        Grace {
            secret_names: old.list_at(&["spec", "tls"]).iter().any(bad_secret),
            wildcard_rules: old.list_at(&["spec", "rules"]).iter().any(bad_wildcard),
        }
    }
}

/// A point where traffic enters.
fn validate_point(errors: &mut FieldErrors, path: &FieldPath, point: &Value, old: &[&str]) {
    let (ip, host) = (text(point, &["ip"]), text(point, &["hostname"]));
    if !ip.is_empty() {
        addresses::address(errors, &path.child("ip"), ip, old);
    }
    if !host.is_empty() {
        let path = path.child("hostname");
        check::messages(errors, &path, host, is_dns1123_subdomain(host));
        if addresses::sloppy_address(host).is_some() {
            errors.push(FieldError::invalid_str(&path, host, NO_ADDRESS));
        }
    }
}

const NO_ADDRESS: &str = "must be a DNS name, not an IP address";

fn validate_spec(errors: &mut FieldErrors, object: &Value, grace: Grace) {
    let spec = at("spec");
    let rules = object.list_at(&["spec", "rules"]);
    let default_backend = object.at(&["spec", "defaultBackend"]);
    if rules.is_empty() && default_backend.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(check::invalid_shown(&spec, "null".to_owned(), detail));
    }
    if let Some(backend) = default_backend {
        validate_backend(errors, &spec.child("defaultBackend"), backend);
    }
    for (i, rule) in rules.iter().enumerate() {
        validate_rule(errors, &spec.child("rules").index(i), rule, grace);
    }
    for (i, tls) in object.list_at(&["spec", "tls"]).iter().enumerate() {
        for (j, host) in tls.list_at(&["hosts"]).iter().filter_map(Value::as_str).enumerate() {
            validate_host(errors, &spec.child("tls").index(i).child("hosts").index(j), host);
        }
        if let Some(secret) =
            tls.str_at(&["secretName"]).filter(|name| !name.is_empty() && !grace.secret_names)
        {
            let path = spec.child("tls").index(i).child("secretName");
            check::messages(errors, &path, secret, is_dns1123_subdomain(secret));
        }
    }
    if let Some(class) = object.str_at(&["spec", "ingressClassName"]) {
        check::messages(errors, &spec.child("ingressClassName"), class, is_dns1123_subdomain(class));
    }
}

fn validate_rule(errors: &mut FieldErrors, path: &FieldPath, rule: &Value, grace: Grace) {
    let host = text(rule, &["host"]);
    if !host.is_empty() {
        let path = path.child("host");
        if addresses::sloppy_address(host).is_some() {
            errors.push(FieldError::invalid_str(&path, host, NO_ADDRESS));
        }
        validate_host(errors, &path, host);
    }
    if !(host.contains('*') && grace.wildcard_rules) {
        validate_http(errors, path, rule);
    }
}

fn validate_http(errors: &mut FieldErrors, path: &FieldPath, rule: &Value) {
    let Some(http) = check::given(rule, &["http"]) else { return };
    let paths = http.list_at(&["paths"]);
    let path = path.child("http.paths");
    if paths.is_empty() {
        errors.push(FieldError::required(&path, ""));
    }
    for (i, http_path) in paths.iter().enumerate() {
        validate_http_path(errors, &path.index(i), http_path);
    }
}

fn validate_http_path(errors: &mut FieldErrors, path: &FieldPath, http_path: &Value) {
    let location = text(http_path, &["path"]);
    let Some(kind) = http_path.str_at(&["pathType"]) else {
        errors.push(FieldError::required(&path.child("pathType"), "pathType must be specified"));
        return;
    };
    match kind {
        "Exact" | "Prefix" => validate_absolute_path(errors, &path.child("path"), location),
        "ImplementationSpecific" => {
            if !location.is_empty() && !location.starts_with('/') {
                errors.push(FieldError::invalid_str(
                    &path.child("path"),
                    location,
                    "must be an absolute path",
                ));
            }
        }
        other => errors.push(FieldError::not_supported(&path.child("pathType"), &other.into(), PATH_TYPES)),
    }
    validate_backend(errors, &path.child("backend"), http_path.get("backend").unwrap_or(&Value::Null));
}

fn validate_absolute_path(errors: &mut FieldErrors, path: &FieldPath, location: &str) {
    const INVALID_SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
    const INVALID_SUFFIXES: [&str; 2] = ["/..", "/."];
    if !location.starts_with('/') {
        errors.push(FieldError::invalid_str(path, location, "must be an absolute path"));
    }
    for sequence in INVALID_SEQUENCES.iter().filter(|sequence| location.contains(**sequence)) {
        errors.push(FieldError::invalid_str(path, location, format!("must not contain '{sequence}'")));
    }
    for suffix in INVALID_SUFFIXES.iter().filter(|suffix| location.ends_with(**suffix)) {
        errors.push(FieldError::invalid_str(path, location, format!("cannot end with '{suffix}'")));
    }
}

fn validate_host(errors: &mut FieldErrors, path: &FieldPath, host: &str) {
    if !host.contains('*') {
        check::messages(errors, path, host, is_dns1123_subdomain(host));
    } else if !is_wildcard_subdomain(host) {
        errors.push(FieldError::invalid_str(path, host, WILDCARD));
    }
}

const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, \
     which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character \
     (e.g. '*.example.com', regex used for validation is \
     '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn is_wildcard_subdomain(host: &str) -> bool {
    host.strip_prefix("*.").is_some_and(|rest| is_dns1123_subdomain(rest).is_empty())
}

fn validate_backend(errors: &mut FieldErrors, path: &FieldPath, backend: &Value) {
    let (service, resource) = (check::given(backend, &["service"]), check::given(backend, &["resource"]));
    match (service, resource) {
        (Some(_), Some(_)) => {
            let detail = "cannot set both resource and service backends";
            errors.push(FieldError::invalid_str(path, "", detail));
        }
        (None, None) => {
            errors.push(FieldError::invalid_str(path, "", "resource or service backend is required"));
        }
        (Some(service), None) => validate_service_backend(errors, path, service),
        (None, Some(resource)) => {
            ingress_class::validate_reference(errors, &path.child("resource"), resource);
        }
    }
}

fn validate_service_backend(errors: &mut FieldErrors, path: &FieldPath, service: &Value) {
    let name = text(service, &["name"]);
    if check::required(errors, &path.child("service.name"), name) {
        check::messages(errors, &path.child("service.name"), name, is_dns1123_label(name));
    }
    let port_name = text(service, &["port", "name"]);
    let number = service.int_at(&["port", "number"]).unwrap_or_default();
    match (port_name, number) {
        ("", 0) => errors.push(FieldError::required(path, "port name or number is required")),
        ("", number) => validation::port_number(errors, &path.child("service.port.number"), number),
        (name, 0) => {
            let path = path.child("service.port.name");
            check::messages(errors, &path, name, validation::port_name(name));
        }
        _ => errors.push(FieldError::invalid_str(path, "", "cannot set both port name & port number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, changed, context, object, problems, refuses, refuses_status};

    #[test]
    fn hosts_addresses_and_ports_are_printed() {
        let ingress = object(
            r#"{"metadata":{"name":"b"},"spec":{"ingressClassName":"c","tls":[{}],"rules":[{"host":"a"},{"host":"b"},{"host":"c"},{"host":"d"}]},
                "status":{"loadBalancer":{"ingress":[{"hostname":"h.example"},{"ip":"192.0.2.3"}]}}}"#,
        );
        let printed = cells(&definition(), &ingress);
        assert_eq!(
            printed[1..5],
            ["c", "a,b,c + 1 more...", "192.0.2.3,h.example", "80, 443"].map(Value::from)
        );
        let plain = object(r#"{"metadata":{"name":"a"},"spec":{"defaultBackend":{}}}"#);
        assert_eq!(cells(&definition(), &plain)[1..5], ["<none>", "*", "", "80"].map(Value::from));
    }

    #[test]
    fn paths_and_backends_are_checked() {
        let backend = r#"{"service":{"name":"s","port":{"number":80}}}"#;
        for (path, expected) in [
            (
                r#"{"path":"/"}"#,
                "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
            ),
            (
                r#"{"pathType":"Prefix","path":"/a//b"}"#,
                "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'",
            ),
            (
                r#"{"pathType":"Regex"}"#,
                "spec.rules[0].http.paths[0].pathType: Unsupported value: \"Regex\": supported values: \"Exact\", \
                 \"ImplementationSpecific\", \"Prefix\"",
            ),
        ] {
            let path = path.replacen('{', &format!("{{\"backend\":{backend},"), 1);
            let ingress = object(&format!(r#"{{"spec":{{"rules":[{{"http":{{"paths":[{path}]}}}}]}}}}"#));
            assert_eq!(problems(&definition(), &ingress), [expected]);
        }
    }

    const GOOD: &str = r#"{"metadata":{"name":"a"},"spec":{"defaultBackend":{"service":{"name":"s",
        "port":{"number":80}}}}}"#;

    #[test]
    fn hosts_and_backends_are_names() {
        refuses(
            &definition(),
            GOOD,
            &[
                (
                    r#"{"spec":{"defaultBackend":{"service":{"name":"1s","port":{"name":"http","number":0}}}}}"#,
                    &[],
                ),
                (
                    r#"{"spec":{"defaultBackend":{"service":{"port":{"number":65536}}}}}"#,
                    &[
                        "spec.defaultBackend.service.port.number: Invalid value: 65536: must be between 1 and 65535, \
                       inclusive",
                    ],
                ),
                (
                    r#"{"spec":{"defaultBackend":{"service":null,"resource":{"kind":"","name":"a/b"}}}}"#,
                    &[
                        "spec.defaultBackend.resource.kind: Required value",
                        "spec.defaultBackend.resource.name: Invalid value: \"a/b\": may not contain '/'",
                    ],
                ),
                (r#"{"spec":{"rules":[{"host":"*.a.example"}]}}"#, &[]),
                (
                    r#"{"spec":{"rules":[{"host":"192.0.2.1"}]}}"#,
                    &[
                        "spec.rules[0].host: Invalid value: \"192.0.2.1\": must be a DNS name, not an IP address",
                    ],
                ),
                (
                    r#"{"spec":{"rules":[{"http":{"paths":[{"pathType":"Exact","backend":{}}]}}]}}"#,
                    &[
                        "spec.rules[0].http.paths[0].path: Invalid value: \"\": must be an absolute path",
                        "spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is \
                         required",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn a_status_tells_addresses_and_names() {
        refuses_status(
            &definition(),
            GOOD,
            &[
                (
                    r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.3"},{"hostname":"a.example"}]}}}"#,
                    &[],
                ),
                (
                    r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.03","hostname":"192.0.2.3"}]}}}"#,
                    &[
                        "status.loadBalancer.ingress[0].ip: Invalid value: \"192.0.2.03\": must not have leading 0s",
                        "status.loadBalancer.ingress[0].hostname: Invalid value: \"192.0.2.3\": must be a DNS name, \
                         not an IP address",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn the_class_in_an_annotation_is_warned_of_and_must_agree() {
        let object = changed(
            &definition(),
            GOOD,
            r#"{"metadata":{"annotations":{"kubernetes.io/ingress.class":"x"}}}"#,
        );
        assert_eq!(
            definition().strategy.warnings_on_create(&context(), &object),
            [
                "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
            ]
        );
    }
}
