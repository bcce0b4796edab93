//! Group `resource.k8s.io`: devices of nodes, and who claims them. Deletes
//! answer with the object. Shared here: requests for devices.

pub mod device_class;
pub mod device_taint_rule;
pub mod resource_claim;
pub mod resource_claim_template;
pub mod resource_pool_status_request;
pub mod resource_slice;

mod v1beta1;

use std::collections::BTreeSet;

use meta::validation::{is_dns1123_label, is_dns1123_subdomain};
use meta::{FieldError, FieldErrors, FieldPath};
use registry::ResourceDef;
use schema::Value;

use crate::check::{self, text};
use crate::resource::v1beta1::{ConvertedClaim, ConvertedSlice};
use crate::{converted, defaults, in_version};

const GROUP: &str = "resource.k8s.io";
const REQUESTS_MAX: usize = 32;
const SUBREQUESTS_MAX: usize = 8;
const CONSTRAINTS_MAX: usize = 32;
const CONFIGS_MAX: usize = 32;
const SELECTORS_MAX: usize = 32;
const TOLERATIONS_MAX: usize = 16;
const EXPRESSION_BYTES_MAX: usize = 10 * 1024;
const PARAMETERS_BYTES_MAX: usize = 10 * 1024;

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![
        device_class::definition(),
        resource_claim::definition(),
        resource_claim_template::definition(),
        resource_slice::definition(),
        in_version(device_class::definition(), "v1beta2"),
        in_version(device_taint_rule::definition(), "v1beta2"),
        in_version(resource_claim::definition(), "v1beta2"),
        in_version(resource_claim_template::definition(), "v1beta2"),
        in_version(resource_slice::definition(), "v1beta2"),
        in_version(device_class::definition(), "v1beta1"),
        converted(in_version(resource_claim::definition(), "v1beta1"), ConvertedClaim { spec: &["spec"] }),
        converted(
            in_version(resource_claim_template::definition(), "v1beta1"),
            ConvertedClaim { spec: &["spec", "spec"] },
        ),
        converted(in_version(resource_slice::definition(), "v1beta1"), ConvertedSlice),
        device_taint_rule::definition(),
        resource_pool_status_request::definition(),
    ]
}

/// A request is for exactly one device unless it says otherwise. `spec` is that of a claim.
fn default_claim_spec(spec: &mut Value) {
    let Some(devices) = defaults::object(spec, "devices") else { return };
    for request in defaults::items(devices, "requests") {
        if let Some(exactly) = defaults::object(request, "exactly") {
            default_request(exactly);
        }
        defaults::items(request, "firstAvailable").for_each(default_request);
    }
}

fn default_request(request: &mut Value) {
    defaults::text(request, "allocationMode", "ExactCount");
    if text(request, &["allocationMode"]) == "ExactCount" {
        defaults::number(request, "count", 1);
    }
    for toleration in defaults::items(request, "tolerations") {
        defaults::text(toleration, "operator", "Equal");
    }
}

/// What is asked for, under `path`, that of a claim's spec.
fn validate_claim_spec(errors: &mut FieldErrors, path: &FieldPath, spec: &Value) {
    let path = path.child("devices");
    let requests = spec.list_at(&["devices", "requests"]);
    if requests.len() > REQUESTS_MAX {
        errors.push(FieldError::too_many(&path.child("requests"), requests.len(), REQUESTS_MAX));
    }
    let mut names = BTreeSet::new();
    for (i, request) in requests.iter().enumerate() {
        let path = path.child("requests").index(i);
        validate_request(errors, &path, request);
        let name = text(request, &["name"]);
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        }
    }
    let known = request_names(requests);
    let constraints = spec.list_at(&["devices", "constraints"]);
    bounded(errors, &path.child("constraints"), constraints, CONSTRAINTS_MAX);
    for (i, constraint) in constraints.iter().enumerate() {
        validate_constraint(errors, &path.child("constraints").index(i), constraint, &known);
    }
    let configs = spec.list_at(&["devices", "config"]);
    bounded(errors, &path.child("config"), configs, CONFIGS_MAX);
    for (i, config) in configs.iter().enumerate() {
        let path = path.child("config").index(i);
        validate_request_names(errors, &path.child("requests"), config.list_at(&["requests"]), &known);
        validate_config(errors, &path, config);
    }
}

fn validate_constraint(
    errors: &mut FieldErrors,
    path: &FieldPath,
    constraint: &Value,
    known: &BTreeSet<String>,
) {
    validate_request_names(errors, &path.child("requests"), constraint.list_at(&["requests"]), known);
    let given = |key: &'static str| constraint.str_at(&[key]).map(|attribute| (key, attribute));
    match given("matchAttribute").or_else(|| given("distinctAttribute")) {
        Some((key, attribute)) => validate_qualified(errors, &path.child(key), attribute),
        None => {
            // What is missing is told as if there were too much.
            let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple \
                          fields are set";
            errors.push(FieldError::required(path, detail));
        }
    }
}

/// A list has at most `max` items.
fn bounded(errors: &mut FieldErrors, path: &FieldPath, items: &[Value], max: usize) {
    if items.len() > max {
        errors.push(FieldError::too_many(path, items.len(), max));
    }
}

/// Expressions that choose devices. What they say is not looked into.
fn validate_selectors(errors: &mut FieldErrors, path: &FieldPath, selectors: &[Value]) {
    bounded(errors, path, selectors, SELECTORS_MAX);
    for (i, selector) in selectors.iter().enumerate() {
        let path = path.index(i).child("cel");
        match check::given(selector, &["cel"]) {
            None => errors.push(FieldError::required(&path, "")),
            Some(cel) if text(cel, &["expression"]).len() > EXPRESSION_BYTES_MAX => {
                errors.push(FieldError::too_long(&path.child("expression"), EXPRESSION_BYTES_MAX));
            }
            Some(_) => {}
        }
    }
}

/// Names under which requests and their alternatives are referred to.
fn request_names(requests: &[Value]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for request in requests {
        let name = text(request, &["name"]);
        names.insert(name.to_owned());
        for alternative in request.list_at(&["firstAvailable"]) {
            names.insert(format!("{name}/{}", text(alternative, &["name"])));
        }
    }
    names
}

const NO_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

fn validate_request_names(
    errors: &mut FieldErrors,
    path: &FieldPath,
    names: &[Value],
    known: &BTreeSet<String>,
) {
    bounded(errors, path, names, REQUESTS_MAX);
    let mut seen = BTreeSet::new();
    for (i, name) in names.iter().filter_map(Value::as_str).enumerate() {
        let path = path.index(i);
        validate_request_name(errors, &path, name, known);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        }
    }
}

/// The name of a request, or of a request and one of its alternatives.
fn validate_request_name(errors: &mut FieldErrors, path: &FieldPath, name: &str, known: &BTreeSet<String>) {
    let segments: Vec<&str> = name.split('/').collect();
    if segments.len() <= 2 {
        for segment in segments {
            if check::required(errors, path, segment) {
                check::messages(errors, path, segment, is_dns1123_label(segment));
            }
        }
    }
    if !known.contains(name) {
        errors.push(FieldError::invalid_str(path, name, NO_REQUEST));
    }
}

fn validate_request(errors: &mut FieldErrors, path: &FieldPath, request: &Value) {
    let name = text(request, &["name"]);
    if check::required(errors, &path.child("name"), name) {
        check::messages(errors, &path.child("name"), name, is_dns1123_label(name));
    }
    let alternatives = request.list_at(&["firstAvailable"]);
    match (request.get("exactly"), alternatives) {
        (None, []) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required";
            errors.push(FieldError::required(path, detail));
        }
        (Some(_), [_, ..]) => {
            let detail =
                "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(FieldError::invalid_str(path, "{`exactly`, `firstAvailable`}", detail));
        }
        (Some(exactly), []) => validate_details(errors, &path.child("exactly"), exactly),
        (None, alternatives) => validate_alternatives(errors, &path.child("firstAvailable"), alternatives),
    }
}

fn validate_alternatives(errors: &mut FieldErrors, path: &FieldPath, alternatives: &[Value]) {
    if alternatives.len() > SUBREQUESTS_MAX {
        errors.push(FieldError::too_many(path, alternatives.len(), SUBREQUESTS_MAX));
    }
    let mut names = BTreeSet::new();
    for (i, alternative) in alternatives.iter().enumerate() {
        let path = path.index(i);
        let name = text(alternative, &["name"]);
        if check::required(errors, &path.child("name"), name) {
            check::messages(errors, &path.child("name"), name, is_dns1123_label(name));
        }
        validate_details(errors, &path, alternative);
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        }
    }
}

fn validate_details(errors: &mut FieldErrors, path: &FieldPath, request: &Value) {
    let class = text(request, &["deviceClassName"]);
    if check::required(errors, &path.child("deviceClassName"), class) {
        check::messages(errors, &path.child("deviceClassName"), class, is_dns1123_subdomain(class));
    }
    validate_selectors(errors, &path.child("selectors"), request.list_at(&["selectors"]));
    let count = request.int_at(&["count"]).unwrap_or_default();
    let path_of_count = path.child("count");
    match text(request, &["allocationMode"]) {
        "All" if count != 0 => {
            let detail = "must not be specified when allocationMode is 'All'";
            errors.push(FieldError::invalid(&path_of_count, &count.into(), detail));
        }
        "ExactCount" if count <= 0 => {
            errors.push(FieldError::invalid(&path_of_count, &count.into(), "must be greater than zero"));
        }
        "All" | "ExactCount" => {}
        other => check::one_of(errors, &path.child("allocationMode"), other, &["All", "ExactCount"]),
    }
    let tolerations = request.list_at(&["tolerations"]);
    bounded(errors, &path.child("tolerations"), tolerations, TOLERATIONS_MAX);
    for (i, toleration) in tolerations.iter().enumerate() {
        validate_toleration(errors, &path.child("tolerations").index(i), toleration);
    }
}

fn validate_toleration(errors: &mut FieldErrors, path: &FieldPath, toleration: &Value) {
    let key = text(toleration, &["key"]);
    if !key.is_empty() {
        check::messages(errors, &path.child("key"), key, meta::validation::is_qualified_name(key));
    }
    match text(toleration, &["operator"]) {
        "Exists" => {
            let value = text(toleration, &["value"]);
            if !value.is_empty() {
                let detail = "must be empty for operator `Exists`";
                errors.push(FieldError::invalid_str(&path.child("value"), value, detail));
            }
        }
        "Equal" => {}
        "" => errors.push(FieldError::required(&path.child("operator"), "")),
        other => check::one_of(errors, &path.child("operator"), other, &["Equal", "Exists"]),
    }
    let effect = text(toleration, &["effect"]);
    if !effect.is_empty() {
        check::one_of(errors, &path.child("effect"), effect, &["NoExecute", "NoSchedule"]);
    }
}

/// A driver's own settings: opaque, but there.
fn validate_config(errors: &mut FieldErrors, path: &FieldPath, config: &Value) {
    let Some(opaque) = config.get("opaque") else {
        errors.push(FieldError::required(&path.child("opaque"), ""));
        return;
    };
    validate_driver(errors, &path.child("opaque.driver"), text(opaque, &["driver"]));
    validate_raw(errors, &path.child("opaque.parameters"), opaque.get("parameters"));
}

/// An object of somebody else's making, as JSON: there, and not too long.
fn validate_raw(errors: &mut FieldErrors, path: &FieldPath, value: Option<&Value>) {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        errors.push(FieldError::required(path, ""));
        return;
    };
    let mut json = Vec::new();
    codec::json::encode_any(value, &mut json);
    if json.len() > PARAMETERS_BYTES_MAX {
        errors.push(FieldError::too_long(path, PARAMETERS_BYTES_MAX));
    } else if json.first() != Some(&b'{') {
        errors.push(FieldError::invalid_str(path, "<value omitted>", "must be a valid JSON object"));
    }
}

fn validate_driver(errors: &mut FieldErrors, path: &FieldPath, driver: &str) {
    const BYTES_MAX: usize = 63;
    if !check::required(errors, path, driver) {
        return;
    }
    if driver.len() > BYTES_MAX {
        errors.push(FieldError::too_long(path, BYTES_MAX));
    }
    check::messages(errors, path, driver, is_dns1123_subdomain(driver));
}

fn validate_qualified(errors: &mut FieldErrors, path: &FieldPath, name: &str) {
    if !check::required(errors, path, name) {
        return;
    }
    match name.split_once('/') {
        Some((domain, _)) => check::messages(errors, path, domain, is_dns1123_subdomain(domain)),
        None => {
            let detail = "a fully qualified name must be a domain and a name separated by a slash";
            errors.push(FieldError::invalid_str(path, name, detail));
        }
    }
}
