//! Storage versions say in which version each server writes a resource and
//! which versions it can read. The name is `<group>.<resource>`.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::apiserverinternal::GROUP;
use crate::check::{self, at, text};
use crate::print as show;

/// Storage versions as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("CommonEncodingVersion"),
            Column::string("StorageVersions"),
            Column::string("Age"),
        ],
        unconditional_update: false,
        status_metadata: StatusMetadata::Kept,
        enabled_by_default: false,
        ..ResourceDef::stored(GROUP, "v1alpha1", "storageversions", "StorageVersion", StorageVersionStrategy)
    }
}

struct StorageVersionStrategy;

impl Strategy for StorageVersionStrategy {
    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let path = at("status.storageVersions");
        let servers = object.list_at(&["status", "storageVersions"]);
        let mut ids = BTreeSet::new();
        for (i, server) in servers.iter().enumerate() {
            let path = path.index(i);
            let id = text(server, &["apiServerID"]);
            if !ids.insert(id) {
                errors.push(FieldError::duplicate(&path.child("apiServerID"), &id.into()));
            }
            validate_server(&mut errors, &path, server);
        }
        validate_common(&mut errors, object, servers);
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let common = object.str_at(&["status", "commonEncodingVersion"]).unwrap_or(show::NONE);
        let servers = object.list_at(&["status", "storageVersions"]).iter();
        let servers: Vec<String> = servers
            .map(|server| {
                format!("{}={}", text(server, &["apiServerID"]), text(server, &["encodingVersion"]))
            })
            .collect();
        let servers = if servers.is_empty() { "<unset>".to_owned() } else { servers.join(",") };
        show::with_name_and_age(object, print, [common.into(), servers.into()])
    }
}

fn validate_server(errors: &mut FieldErrors, path: &FieldPath, server: &Value) {
    let id = text(server, &["apiServerID"]);
    check::messages(errors, &path.child("apiServerID"), id, meta::validation::is_dns1123_subdomain(id));
    let written = text(server, &["encodingVersion"]);
    let readable = server.list_at(&["decodableVersions"]);
    if !readable.iter().any(|version| version.as_str() == Some(written)) {
        let detail = format!("decodableVersions must include encodingVersion {written}");
        let shown = Value::List(readable.to_vec());
        errors.push(FieldError::invalid(&path.child("decodableVersions"), &shown, detail));
    }
    for (i, version) in server.list_at(&["servedVersions"]).iter().enumerate() {
        if !readable.contains(version) {
            let detail = format!(
                "individual served version : {} must be included in decodableVersions : {}",
                version.as_str().unwrap_or_default(),
                show_versions(readable)
            );
            errors.push(FieldError::invalid(&path.child("servedVersions").index(i), version, detail));
        }
    }
}

fn show_versions(versions: &[Value]) -> String {
    let versions: Vec<&str> = versions.iter().filter_map(Value::as_str).collect();
    format!("[{}]", versions.join(" "))
}

/// The common version is what all servers write, and there is none if they differ.
fn validate_common(errors: &mut FieldErrors, object: &Value, servers: &[Value]) {
    let written: BTreeSet<&str> = servers.iter().map(|server| text(server, &["encodingVersion"])).collect();
    let agreed = if written.len() == 1 { written.first().copied() } else { None };
    let common = object.str_at(&["status", "commonEncodingVersion"]);
    let path = at("status.commonEncodingVersion");
    match (agreed, common) {
        (None, Some(common)) => {
            let detail = "should be nil if servers do not agree on the same encoding version, or if there is no \
                          server reporting the supported versions yet";
            errors.push(FieldError::invalid_str(&path, common, detail));
        }
        (Some(agreed), None) => {
            let detail = format!("the common encoding version is {agreed}");
            errors.push(FieldError::invalid(&path, &Value::Null, detail));
        }
        (Some(agreed), Some(common)) if agreed != common => {
            let detail = format!("the actual common encoding version is {agreed}");
            errors.push(FieldError::invalid_str(&path, common, detail));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, object};

    fn problems(status: &str) -> Vec<String> {
        let object = object(&format!(r#"{{"status":{status}}}"#));
        let errors = definition().strategy.validate_status_update(&context(), &object, &object);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_common_version_is_what_all_write() {
        let server = |id: &str, version: &str| {
            format!(
                r#"{{"apiServerID":"{id}","encodingVersion":"{version}","decodableVersions":["v1","v2"]}}"#
            )
        };
        let both = |a: &str, b: &str| format!("[{},{}]", server("a", a), server("b", b));
        let agreed = both("v1", "v1");
        let status = format!(r#"{{"storageVersions":{agreed},"commonEncodingVersion":"v1"}}"#);
        assert!(problems(&status).is_empty());
        let status = format!(r#"{{"storageVersions":{agreed},"commonEncodingVersion":"v2"}}"#);
        assert_eq!(
            problems(&status),
            ["status.commonEncodingVersion: Invalid value: \"v2\": the actual common encoding version is v1"]
        );
        let split = both("v1", "v2");
        assert!(problems(&format!(r#"{{"storageVersions":{split}}}"#)).is_empty());
    }

    #[test]
    fn what_a_server_writes_it_can_read() {
        let status = r#"{"storageVersions":[{"apiServerID":"a","encodingVersion":"v1","decodableVersions":["v2"]}],
            "commonEncodingVersion":"v1"}"#;
        assert_eq!(
            problems(status),
            [
                "status.storageVersions[0].decodableVersions: Invalid value: [\"v2\"]: decodableVersions must include \
              encodingVersion v1"
            ]
        );
    }
}
