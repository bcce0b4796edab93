//! How Go prints a struct in an error text: JSON with the names of the Go
//! fields, in their order, everything absent written out.
//!
//! The original validates internal types, which have no JSON names. Their
//! fields are those of the served types, so the schema table is enough. Types
//! of `apimachinery` are shared and keep their JSON form.

use schema::{Field, FieldFlags, Kind, Scalar, Schema, TypeId, Value};

const SHARED: &str = "io.k8s.apimachinery.";

/// Abbreviations that Go writes in capitals at the start of a name.
const CAPITALS: &[&str] = &[
    "api", "ca", "cel", "cidr", "csi", "dns", "fs", "gce", "http", "id", "ip", "iscsi", "nfs", "os", "rbd",
    "se", "tls", "tty", "uid", "url",
];

/// Names that follow no rule.
const IRREGULAR: &[(&str, &str)] = &[
    ("awsElasticBlockStore", "AWSElasticBlockStore"),
    ("cephfs", "CephFS"),
    ("fc", "FC"),
    ("storageos", "StorageOS"),
];

const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const POD_SECURITY_CONTEXT: &str = "io.k8s.api.core.v1.PodSecurityContext";
const POD_TEMPLATE: &str = "io.k8s.api.core.v1.PodTemplateSpec";

/// Fields of a pod spec in the order of the internal type, which differs from
/// the served one.
const POD_SPEC_ORDER: &[&str] = &[
    "volumes",
    "initContainers",
    "containers",
    "ephemeralContainers",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "activeDeadlineSeconds",
    "dnsPolicy",
    "nodeSelector",
    "serviceAccountName",
    "automountServiceAccountToken",
    "nodeName",
    "securityContext",
    "imagePullSecrets",
    "hostname",
    "subdomain",
    "setHostnameAsFQDN",
    "affinity",
    "schedulerName",
    "tolerations",
    "hostAliases",
    "priorityClassName",
    "priority",
    "preemptionPolicy",
    "dnsConfig",
    "readinessGates",
    "runtimeClassName",
    "overhead",
    "enableServiceLinks",
    "topologySpreadConstraints",
    "os",
    "schedulingGates",
    "resourceClaims",
    "resources",
    "hostnameOverride",
    "schedulingGroup",
];
/// Fields of a pod spec that the internal type keeps in the security context.
const HOST_FIELDS: &[&str] = &["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"];
const SECURITY_CONTEXT_ORDER: &[&str] = &[
    "seLinuxOptions",
    "windowsOptions",
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "seccompProfile",
    "appArmorProfile",
    "seLinuxChangePolicy",
];

/// `value` of the type with an OpenAPI name, e.g. `io.k8s.api.rbac.v1.RoleRef`.
/// A type the table does not know is shown as plain JSON.
pub fn show(type_name: &str, value: Option<&Value>) -> String {
    let schema = schema::builtin();
    let mut out = String::new();
    match schema.named(type_name) {
        Some(ty) => write(schema, ty, value, true, &mut out),
        None => plain(value.unwrap_or(&Value::Null), &mut out),
    }
    out
}

/// Some fields of a struct, in this order.
pub fn show_fields(type_name: &str, order: &[&str], value: &Value) -> String {
    let schema = schema::builtin();
    let mut out = String::from("{");
    if let Some(ty) = schema.named(type_name) {
        write_fields(schema, schema.ty(ty).fields(), order, Some(value), &mut out);
    }
    out.push('}');
    out
}

/// A list of structs of one type.
pub fn show_list(type_name: &str, items: &[Value]) -> String {
    let items: Vec<String> = items.iter().map(|item| show(type_name, Some(item))).collect();
    format!("[{}]", items.join(","))
}

fn write(schema: &Schema, ty: TypeId, value: Option<&Value>, zero_struct: bool, out: &mut String) {
    let ty = schema.ty(ty);
    let value = value.filter(|value| !value.is_null());
    match (&ty.kind, value) {
        (Kind::Struct { .. }, _) if ty.name.starts_with(SHARED) => match value {
            Some(value) => plain(value, out),
            None => out.push_str(if zero_struct { "{}" } else { "null" }),
        },
        (Kind::Struct { fields, .. }, _) if value.is_some() || zero_struct => match ty.name.as_ref() {
            POD_SPEC => write_pod_spec(schema, fields, value, out),
            POD_TEMPLATE => write_pod_template(schema, value, out),
            _ => write_struct(schema, fields, value, out),
        },
        (Kind::List(item), Some(Value::List(items))) => {
            out.push('[');
            for (i, value) in items.iter().enumerate() {
                comma(i, out);
                write(schema, *item, Some(value), true, out);
            }
            out.push(']');
        }
        (Kind::Map(item), Some(Value::Map(map))) => {
            out.push('{');
            for (i, (key, value)) in map.iter().enumerate() {
                comma(i, out);
                string(key, out);
                out.push(':');
                write(schema, *item, Some(value), true, out);
            }
            out.push('}');
        }
        (_, Some(value)) => plain(value, out),
        (Kind::Scalar(scalar), None) if zero_struct => out.push_str(zero(*scalar)),
        (_, None) => out.push_str("null"),
    }
}

fn write_struct(schema: &Schema, fields: &[Field], value: Option<&Value>, out: &mut String) {
    out.push('{');
    for (i, field) in fields.iter().enumerate() {
        comma(i, out);
        string(&go_name(&field.name), out);
        out.push(':');
        let pointer = field.flags.has(FieldFlags::POINTER);
        write(schema, field.ty, value.and_then(|value| value.get(&field.name)), !pointer, out);
    }
    out.push('}');
}

/// The fields with these JSON names, in this order.
fn write_fields(schema: &Schema, fields: &[Field], order: &[&str], value: Option<&Value>, out: &mut String) {
    for (i, field) in
        order.iter().filter_map(|name| fields.iter().find(|field| field.name == *name)).enumerate()
    {
        comma(i, out);
        string(&go_name(&field.name), out);
        out.push(':');
        let pointer = field.flags.has(FieldFlags::POINTER);
        write(schema, field.ty, value.and_then(|value| value.get(&field.name)), !pointer, out);
    }
}

fn write_pod_spec(schema: &Schema, fields: &[Field], value: Option<&Value>, out: &mut String) {
    let at = POD_SPEC_ORDER.iter().position(|name| *name == "securityContext").unwrap_or_default();
    out.push('{');
    write_fields(schema, fields, &POD_SPEC_ORDER[..at], value, out);
    out.push_str(",\"SecurityContext\":{");
    write_fields(schema, fields, HOST_FIELDS, value, out);
    if let Some(context) = schema.named(POD_SECURITY_CONTEXT) {
        out.push(',');
        let value = value.and_then(|value| value.get("securityContext"));
        write_fields(schema, schema.ty(context).fields(), SECURITY_CONTEXT_ORDER, value, out);
    }
    out.push_str("},");
    write_fields(schema, fields, &POD_SPEC_ORDER[at + 1..], value, out);
    out.push('}');
}

/// Metadata is embedded: its fields stand beside the spec, under their JSON names.
fn write_pod_template(schema: &Schema, value: Option<&Value>, out: &mut String) {
    out.push('{');
    let metadata = value.and_then(|value| value.map_at(&["metadata"]));
    for (key, value) in metadata.into_iter().flat_map(|map| map.iter()) {
        string(key, out);
        out.push(':');
        plain(value, out);
        out.push(',');
    }
    out.push_str("\"Spec\":");
    match schema.named(POD_SPEC) {
        Some(ty) => write(schema, ty, value.and_then(|value| value.get("spec")), true, out),
        None => out.push_str("null"),
    }
    out.push('}');
}

fn zero(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::String => "\"\"",
        Scalar::Int32 | Scalar::Int64 | Scalar::Float64 | Scalar::IntOrString => "0",
        Scalar::Bool => "false",
        Scalar::Quantity => "\"0\"",
        Scalar::Bytes
        | Scalar::Time
        | Scalar::MicroTime
        | Scalar::RawExtension
        | Scalar::FieldsV1
        | Scalar::Json
        | Scalar::JsonSchemaOr
        | Scalar::Object => "null",
    }
}

/// The Go name of a field: first letter large, leading and trailing abbreviations in capitals.
fn go_name(json_name: &str) -> String {
    if let Some((_, name)) = IRREGULAR.iter().find(|(json, _)| *json == json_name) {
        return (*name).to_owned();
    }
    let head = json_name.find(|c: char| c.is_ascii_uppercase()).unwrap_or(json_name.len());
    let (first, rest) = json_name.split_at(head);
    let mut name = match first.strip_suffix('s') {
        _ if CAPITALS.contains(&first) => first.to_ascii_uppercase(),
        Some(one) if CAPITALS.contains(&one) => one.to_ascii_uppercase() + "s",
        _ => capitalized(first),
    };
    name.push_str(rest);
    name
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

fn plain(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => string(text, out),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                comma(i, out);
                plain(item, out);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (i, (key, value)) in map.iter().enumerate() {
                comma(i, out);
                string(key, out);
                out.push(':');
                plain(value, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&meta::field::show(scalar)),
    }
}

fn comma(i: usize, out: &mut String) {
    if i > 0 {
        out.push(',');
    }
}

/// A JSON string as Go's encoder writes it: HTML characters are escaped.
fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn fields_have_go_names_and_none_is_left_out() {
        let role = Value::from(Map::from([("kind", "Role"), ("name", "other"), ("apiGroup", "g")]));
        assert_eq!(
            show("io.k8s.api.rbac.v1.RoleRef", Some(&role)),
            r#"{"APIGroup":"g","Kind":"Role","Name":"other"}"#
        );
        let driver = Value::from(Map::from([("nodeID", "m"), ("name", "d")]));
        assert_eq!(
            show("io.k8s.api.storage.v1.CSINodeDriver", Some(&driver)),
            r#"{"Name":"d","NodeID":"m","TopologyKeys":null,"Allocatable":null}"#
        );
    }

    #[test]
    fn shared_types_keep_their_json_names() {
        let selector = Value::from(Map::from([("matchLabels", Map::from([("a", "<")]))]));
        assert_eq!(
            show("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", Some(&selector)),
            r#"{"matchLabels":{"a":"\u003c"}}"#
        );
    }
}
