//! Which IP families a service is for: the two spellings of its address are
//! brought together, and policy, families and addresses complete each other.
//!
//! Everything here is decided from the service, the one before it and the
//! families of the cluster; nothing is taken or given back.

use std::fmt;
use std::net::IpAddr;

use meta::{FieldError, FieldErrors, FieldPath};
use schema::{Map, Value};

use crate::check::text;
use crate::core::service::needs_health_check;
use crate::core::service_validation;
use crate::{defaults, print};

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `IPv4`
    V4,
    /// `IPv6`
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    fn parse(text: &str) -> Option<Family> {
        match text {
            "IPv4" => Some(Family::V4),
            "IPv6" => Some(Family::V6),
            _ => None,
        }
    }

    fn other(self) -> Family {
        match self {
            Family::V4 => Family::V6,
            Family::V6 => Family::V4,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

const SINGLE_STACK: &str = "SingleStack";
const PREFER_DUAL_STACK: &str = "PreferDualStack";
const REQUIRE_DUAL_STACK: &str = "RequireDualStack";
const NONE: &str = "None";

/// Completes policy and families of `object`. `configured` are the families of
/// the cluster, the default one first. Returns what is wrong; then nothing may be taken.
pub(super) fn initialize(object: &mut Value, old: Option<&Value>, configured: &[Family]) -> FieldErrors {
    if is_external_name(object) || old.is_some_and(|old| stays_preferred(object, old)) {
        return Vec::new();
    }
    default_policy(object, old);
    let mut errors = object.get("spec").map(service_validation::cluster_ips).unwrap_or_default();
    if !errors.is_empty() {
        return errors;
    }
    if let Some(old) = old {
        reduce(object, old, &mut errors);
    }
    single_means_one(object, &mut errors);
    infer_families(object, configured, &mut errors);
    if !errors.is_empty() {
        return errors;
    }
    if is_headless_of_anything(object) {
        complete_headless(object, configured);
        return errors;
    }
    check_configured(object, configured, &mut errors);
    if errors.is_empty() {
        complete(object, configured);
    }
    errors
}

/// The families a service names, in order.
pub(super) fn families(object: &Value) -> Vec<Family> {
    texts(object, "ipFamilies").into_iter().filter_map(Family::parse).collect()
}

/// `spec.clusterIPs`.
pub(super) fn cluster_ips(object: &Value) -> Vec<&str> {
    texts(object, "clusterIPs")
}

/// True for services that are only a name for another.
pub(super) fn is_external_name(object: &Value) -> bool {
    kind(object) == "ExternalName"
}

/// True for services that have no address of their own.
pub(super) fn is_headless(object: &Value) -> bool {
    cluster_ips(object).first() == Some(&NONE)
}

/// `spec.type`.
pub(super) fn kind(object: &Value) -> &str {
    text(object, &["spec", "type"])
}

/// True where the type is reached through ports of nodes.
pub(super) fn has_node_ports(object: &Value) -> bool {
    matches!(kind(object), "NodePort" | "LoadBalancer")
}

/// A service that prefers two families and says nothing new about them keeps
/// what it has, whatever the cluster has by now.
pub(super) fn stays_preferred(object: &Value, old: &Value) -> bool {
    let preferred = |policy: &str| policy == PREFER_DUAL_STACK;
    kind(object) == kind(old)
        && matches!(kind(object), "ClusterIP" | "NodePort" | "LoadBalancer")
        && preferred(policy(object))
        && (policy(old).is_empty() || preferred(policy(old)))
        && cluster_ips(object) == cluster_ips(old)
        && texts(object, "ipFamilies") == texts(old, "ipFamilies")
}

/// A new service may give its address in the singular form alone.
pub(super) fn normalize_new(object: &mut Value) {
    let single = print::text(object, &["spec", "clusterIP"]);
    if !single.is_empty() && cluster_ips(object).is_empty() {
        object.set(&["spec", "clusterIPs"], vec![single]);
    }
}

/// A client may leave out what was given to it, and one that knows only the
/// singular form of the address changes both by it.
pub(super) fn normalize_changed(object: &mut Value, old: &Value) {
    keep_allocated(object, old);
    let single = |service: &Value| print::text(service, &["spec", "clusterIP"]);
    if cluster_ips(object).is_empty() && !cluster_ips(old).is_empty() && single(object) == single(old) {
        copy(object, old, "clusterIPs");
    }
    if single(object) == single(old) || cluster_ips(object) != cluster_ips(old) {
        return;
    }
    match single(object) {
        cleared if cleared.is_empty() => drop(object.remove(&["spec", "clusterIPs"])),
        changed => object.set(&["spec", "clusterIPs"], vec![changed]),
    }
}

fn keep_allocated(object: &mut Value, old: &Value) {
    if !is_external_name(old) && !is_external_name(object) {
        if text(object, &["spec", "clusterIP"]).is_empty() {
            copy(object, old, "clusterIP");
        }
        if cluster_ips(object).is_empty() {
            copy(object, old, "clusterIPs");
        }
    }
    if has_node_ports(old) && has_node_ports(object) {
        keep_node_ports(object, old);
    }
    if needs_health_check(old)
        && needs_health_check(object)
        && defaults::number_at(object, &["spec", "healthCheckNodePort"]) == 0
    {
        copy(object, old, "healthCheckNodePort");
    }
}

/// Ports without a node port get that of the old port of the same name, unless another has it now.
fn keep_node_ports(object: &mut Value, old: &Value) {
    let ports = |service: &Value| -> Vec<(String, i64)> {
        let list = service.list_at(&["spec", "ports"]).iter();
        list.map(|port| (print::text(port, &["name"]), print::int(port, &["nodePort"]))).collect()
    };
    let (before, now) = (ports(old), ports(object));
    let Some(spec) = defaults::object(object, "spec") else { return };
    for port in defaults::items(spec, "ports").filter(|port| print::int(port, &["nodePort"]) == 0) {
        let name = print::text(port, &["name"]);
        let number = before.iter().rev().find(|(old, _)| *old == name).map_or(0, |(_, number)| *number);
        if number != 0 && now.iter().all(|(_, taken)| *taken != number) {
            port.set(&["nodePort"], number);
        }
    }
}

fn default_policy(object: &mut Value, old: Option<&Value>) {
    if !policy(object).is_empty() {
        return;
    }
    let before = old.map(policy).unwrap_or_default();
    let policy = match before {
        "" if is_headless_of_anything(object) => REQUIRE_DUAL_STACK,
        "" => SINGLE_STACK,
        before => before,
    };
    object.set(&["spec", "ipFamilyPolicy"], policy);
}

/// Going back to one family must be said by the policy; then the second address goes by itself.
fn reduce(object: &mut Value, old: &Value, errors: &mut FieldErrors) {
    for (field, released) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (now, before) = (texts(object, field), texts(old, field));
        if policy(object) == SINGLE_STACK {
            if now == before && now.len() > 1 {
                let first = now[0].to_owned();
                set_list(object, field, vec![first]);
            }
        } else if !now.is_empty() && now.len() < before.len() {
            let detail = format!("must be 'SingleStack' to release the secondary {released}");
            errors.push(bad_policy(object, detail));
        }
    }
}

fn single_means_one(object: &Value, errors: &mut FieldErrors) {
    for (field, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
        if policy(object) == SINGLE_STACK && texts(object, field).len() == 2 {
            let detail =
                format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
            errors.push(bad_policy(object, detail));
        }
    }
}

/// Families that are not named are those of the addresses.
fn infer_families(object: &mut Value, configured: &[Family], errors: &mut FieldErrors) {
    let mut named: Vec<String> = texts(object, "ipFamilies").into_iter().map(str::to_owned).collect();
    let known = named.len();
    for (i, ip) in cluster_ips(object).into_iter().enumerate().take_while(|(_, ip)| *ip != NONE) {
        let Ok(address) = ip.parse::<IpAddr>() else { continue };
        let family = Family::of(address);
        if i < named.len() {
            continue;
        }
        if configured.contains(&family) {
            named.push(family.to_string());
        } else {
            let path = FieldPath::root("spec").child("clusterIPs").index(i);
            let shown = object.at(&["spec", "clusterIPs"]).unwrap_or(&Value::Null);
            let detail = format!("{family} is not configured on this cluster");
            errors.push(FieldError::invalid(&path, shown, detail));
        }
    }
    if named.len() > known {
        set_list(object, "ipFamilies", named);
    }
}

/// Without a selector nobody knows the addresses behind a service: they may be of any family.
fn is_headless_of_anything(object: &Value) -> bool {
    text(object, &["spec", "clusterIP"]) == NONE
        && object.map_at(&["spec", "selector"]).is_none_or(Map::is_empty)
}

fn complete_headless(object: &mut Value, configured: &[Family]) {
    let mut named = families(object);
    if named.is_empty() {
        named.extend(configured.first());
    }
    if named.len() == 1 && policy(object) != SINGLE_STACK {
        named.push(named[0].other());
    }
    set_families(object, &named);
}

fn check_configured(object: &Value, configured: &[Family], errors: &mut FieldErrors) {
    if policy(object) == REQUIRE_DUAL_STACK && configured.len() < 2 {
        errors.push(bad_policy(object, "this cluster is not configured for dual-stack services".to_owned()));
    }
    for (i, family) in families(object).into_iter().enumerate() {
        if !configured.contains(&family) {
            let path = FieldPath::root("spec").child("ipFamilies").index(i);
            let detail = "not configured on this cluster";
            errors.push(FieldError::invalid_str(&path, &family.to_string(), detail));
        }
    }
}

fn complete(object: &mut Value, configured: &[Family]) {
    let mut named = families(object);
    if named.is_empty() {
        named.extend(configured.first());
    }
    if policy(object) != SINGLE_STACK && named.len() == 1 && configured.len() == 2 {
        named.push(named[0].other());
    }
    set_families(object, &named);
}

fn bad_policy(object: &Value, detail: String) -> FieldError {
    let path = FieldPath::root("spec").child("ipFamilyPolicy");
    FieldError::invalid_str(&path, policy(object), detail)
}

fn policy(object: &Value) -> &str {
    text(object, &["spec", "ipFamilyPolicy"])
}

fn texts<'a>(object: &'a Value, field: &str) -> Vec<&'a str> {
    let list = object.list_at(&["spec", field]).iter();
    list.map(|value| value.as_str().unwrap_or_default()).collect()
}

fn set_families(object: &mut Value, named: &[Family]) {
    set_list(object, "ipFamilies", named.iter().map(Family::to_string).collect());
}

/// Sets a list of texts of the spec.
pub(super) fn set_list(object: &mut Value, field: &'static str, texts: Vec<String>) {
    object.set(&["spec", field], texts);
}

fn copy(object: &mut Value, old: &Value, field: &'static str) {
    if let Some(value) = old.at(&["spec", field]) {
        object.set(&["spec", field], value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn check(spec: &str, configured: &[Family], expected: &str) {
        let mut service = object(&format!(r#"{{"spec":{spec}}}"#));
        service.set(&["spec", "type"], "ClusterIP");
        normalize_new(&mut service);
        let errors = initialize(&mut service, None, configured);
        let told = match errors.is_empty() {
            true => format!("{} {}", policy(&service), texts(&service, "ipFamilies").join(",")),
            false => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        };
        assert_eq!(told, expected, "{spec}");
    }

    #[test]
    fn a_new_service_is_for_the_families_its_policy_and_addresses_ask_for() {
        use Family::{V4, V6};
        for (spec, configured, expected) in [
            ("{}", &[V4][..], "SingleStack IPv4"),
            ("{}", &[V6, V4], "SingleStack IPv6"),
            (r#"{"ipFamilyPolicy":"PreferDualStack"}"#, &[V4], "PreferDualStack IPv4"),
            (r#"{"ipFamilyPolicy":"PreferDualStack"}"#, &[V4, V6], "PreferDualStack IPv4,IPv6"),
            (
                r#"{"ipFamilyPolicy":"RequireDualStack","ipFamilies":["IPv6"]}"#,
                &[V4, V6],
                "RequireDualStack IPv6,IPv4",
            ),
            (r#"{"clusterIP":"fd00::1"}"#, &[V4, V6], "SingleStack IPv6"),
            (r#"{"clusterIP":"None"}"#, &[V4], "RequireDualStack IPv4,IPv6"),
            (r#"{"clusterIP":"None","selector":{"a":"b"}}"#, &[V4], "SingleStack IPv4"),
            (r#"{"clusterIP":"None","ipFamilyPolicy":"SingleStack"}"#, &[V6], "SingleStack IPv6"),
        ] {
            check(spec, configured, expected);
        }
    }

    #[test]
    fn what_the_cluster_does_not_have_is_refused() {
        use Family::{V4, V6};
        for (spec, configured, expected) in [
            (
                r#"{"clusterIP":"fd00::1"}"#,
                &[V4][..],
                "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster",
            ),
            (
                r#"{"ipFamilyPolicy":"RequireDualStack"}"#,
                &[V4],
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
            ),
            (
                r#"{"ipFamilies":["IPv6"]}"#,
                &[V4],
                "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
            ),
            (
                r#"{"ipFamilies":["IPv4","IPv6"]}"#,
                &[V4, V6],
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' \
                 when multiple IP families are specified",
            ),
            (
                r#"{"ipFamilies":["IPv6"],"clusterIP":"10.0.0.9"}"#,
                &[V4, V6],
                "spec.clusterIPs[0]: Invalid value: \"10.0.0.9\": expected an IPv6 value as indicated by `ipFamilies[0]`",
            ),
        ] {
            check(spec, configured, expected);
        }
    }

    fn old() -> Value {
        object(
            r#"{"spec":{"type":"NodePort","clusterIP":"10.0.0.5","clusterIPs":["10.0.0.5","fd00::5"],
            "ipFamilies":["IPv4","IPv6"],"ipFamilyPolicy":"RequireDualStack",
            "ports":[{"name":"a","port":80,"nodePort":30001},{"name":"b","port":81,"nodePort":30002}]}}"#,
        )
    }

    #[test]
    fn what_was_given_out_may_be_left_out() {
        let mut new = object(
            r#"{"spec":{"type":"NodePort","ports":[{"name":"b","port":80},{"name":"c","port":82,"nodePort":30001},
            {"name":"a","port":83}]}}"#,
        );
        normalize_changed(&mut new, &old());
        assert_eq!(cluster_ips(&new), ["10.0.0.5", "fd00::5"]);
        assert_eq!(new.str_at(&["spec", "clusterIP"]), Some("10.0.0.5"));
        let ports = new.list_at(&["spec", "ports"]);
        let ports: Vec<i64> = ports.iter().map(|port| print::int(port, &["nodePort"])).collect();
        assert_eq!(ports, [30002, 30001, 0], "a port another has now is not kept");
    }

    #[test]
    fn the_singular_form_alone_changes_both() {
        let mut new = old();
        new.set(&["spec", "clusterIP"], "10.0.0.9");
        normalize_changed(&mut new, &old());
        assert_eq!(cluster_ips(&new), ["10.0.0.9"]);
    }

    #[test]
    fn going_back_to_one_family_is_said_by_the_policy() {
        let both = [Family::V4, Family::V6];
        let mut new = old();
        new.set(&["spec", "ipFamilyPolicy"], "SingleStack");
        assert!(initialize(&mut new, Some(&old()), &both).is_empty());
        assert_eq!((cluster_ips(&new), families(&new)), (vec!["10.0.0.5"], vec![Family::V4]));

        let mut new = old();
        set_list(&mut new, "clusterIPs", vec!["10.0.0.5".to_owned()]);
        let errors = initialize(&mut new, Some(&old()), &both);
        assert_eq!(
            errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary cluster IP"
            ]
        );
    }
}
