//! `apiextensions.k8s.io/v1beta1`, in which definitions of custom resources
//! are stored though it is not served any more (E-FAC-8), and `v1` into each
//! other. What all versions of a definition have in common stands once, beside
//! the versions.

use schema::{Key, Value};

use crate::check::same;
use crate::defaults::{self, is_empty};

/// Place in a version, and beside the versions.
const SHARED: [(&str, &str); 4] = [
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// From `v1` to the form stored. `apiVersion` is the caller's.
pub fn to_v1beta1(mut object: Value) -> Value {
    let Some(spec) = defaults::object(&mut object, "spec") else { return object };
    let preserves = spec.bool_at(&["preserveUnknownFields"]).unwrap_or_default();
    spec.set(&["preserveUnknownFields"], preserves);
    if let Some(first) = spec.list_at(&["versions"]).first().and_then(|version| version.str_at(&["name"])) {
        let first = first.to_owned();
        spec.set(&["version"], first);
    }
    for version in defaults::items(spec, "versions") {
        rename_paths(version, "jsonPath", "JSONPath");
    }
    for (own, common) in SHARED {
        hoist(spec, own, common);
    }
    if let Some(conversion) = defaults::object(spec, "conversion")
        && let Some(mut webhook) = conversion.remove(&["webhook"])
    {
        move_member(&mut webhook, "clientConfig", conversion, "webhookClientConfig");
        move_member(&mut webhook, "conversionReviewVersions", conversion, "conversionReviewVersions");
    }
    object
}

/// From the form stored to `v1`. `apiVersion` is the caller's.
pub fn from_v1beta1(mut object: Value) -> Value {
    let Some(spec) = defaults::object(&mut object, "spec") else { return object };
    defaults::pointer(spec, "preserveUnknownFields", true);
    let version = spec.remove(&["version"]);
    if spec.list_at(&["versions"]).is_empty()
        && let Some(name) = version
    {
        let mut only = Value::map();
        only.set(&["name"], name);
        only.set(&["served"], true);
        only.set(&["storage"], true);
        spec.set(&["versions"], Value::List(vec![only]));
    }
    for (own, common) in SHARED {
        let Some(value) = spec.remove(&[common]) else { continue };
        for version in defaults::items(spec, "versions").filter(|version| is_empty(version.get(own))) {
            version.set(&[own], value.clone());
        }
    }
    for version in defaults::items(spec, "versions") {
        rename_paths(version, "JSONPath", "jsonPath");
    }
    if let Some(conversion) = defaults::object(spec, "conversion") {
        let mut webhook = Value::map();
        move_member(conversion, "webhookClientConfig", &mut webhook, "clientConfig");
        move_member(conversion, "conversionReviewVersions", &mut webhook, "conversionReviewVersions");
        if !is_empty(Some(&webhook)) {
            conversion.set(&["webhook"], webhook);
        }
    }
    object
}

/// Moves what every version says alike beside the versions.
fn hoist(spec: &mut Value, own: &'static str, common: &'static str) {
    let versions = spec.list_at(&["versions"]);
    let Some(first) = versions.first().map(|version| version.get(own).cloned()) else { return };
    if !versions.iter().all(|version| same(version.get(own), first.as_ref())) {
        return;
    }
    for version in defaults::items(spec, "versions") {
        version.remove(&[own]);
    }
    if let Some(value) = first {
        spec.set(&[common], value);
    }
}

fn rename_paths(version: &mut Value, from: &'static str, to: &'static str) {
    for column in defaults::items(version, "additionalPrinterColumns") {
        if let Some(path) = column.remove(&[from]) {
            column.set(&[to], path);
        }
    }
}

fn move_member(from: &mut Value, key: &'static str, to: &mut Value, name: &'static str) {
    if let Some(value) = from.remove(&[key])
        && let Value::Map(to) = to
    {
        to.insert(Key::borrowed(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    #[track_caller]
    fn check(served: &str, stored: &str) {
        let (served, stored) = (object(served), object(stored));
        assert_eq!(to_v1beta1(served.clone()), stored);
        assert_eq!(from_v1beta1(stored), served);
    }

    #[test]
    fn what_all_versions_share_stands_beside_them() {
        check(
            r#"{"spec":{"preserveUnknownFields":false,"versions":[
                {"name":"v2","schema":{"openAPIV3Schema":{"type":"object"}},"subresources":{"status":{}},
                 "additionalPrinterColumns":[{"name":"A","jsonPath":".a"}]},
                {"name":"v1","schema":{"openAPIV3Schema":{"type":"string"}},"subresources":{"status":{}},
                 "additionalPrinterColumns":[{"name":"A","jsonPath":".a"}]}]}}"#,
            r#"{"spec":{"preserveUnknownFields":false,"version":"v2","subresources":{"status":{}},
                "additionalPrinterColumns":[{"name":"A","JSONPath":".a"}],"versions":[
                {"name":"v2","schema":{"openAPIV3Schema":{"type":"object"}}},
                {"name":"v1","schema":{"openAPIV3Schema":{"type":"string"}}}]}}"#,
        );
    }

    #[test]
    fn a_webhook_stands_in_the_conversion_itself() {
        check(
            r#"{"spec":{"preserveUnknownFields":false,"conversion":{"strategy":"Webhook","webhook":{
                "clientConfig":{"url":"https://a"},"conversionReviewVersions":["v1"]}}}}"#,
            r#"{"spec":{"preserveUnknownFields":false,"conversion":{"strategy":"Webhook",
                "webhookClientConfig":{"url":"https://a"},"conversionReviewVersions":["v1"]}}}"#,
        );
    }

    #[test]
    fn a_definition_with_one_version_only_named_is_read() {
        let read = from_v1beta1(object(r#"{"spec":{"version":"v1","validation":{"openAPIV3Schema":{}}}}"#));
        let version = &read.list_at(&["spec", "versions"])[0];
        assert_eq!(version.bool_at(&["storage"]), Some(true));
        assert!(version.get("schema").is_some());
        assert_eq!(read.bool_at(&["spec", "preserveUnknownFields"]), Some(true));
    }
}
