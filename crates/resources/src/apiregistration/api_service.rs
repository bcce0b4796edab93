//! API services say who serves a group version: this server itself, or a
//! service behind it. The name is version and group. Stored under its group,
//! as JSON, because it belongs to another server in the original.

use meta::validation::{NameValidation, is_path_segment_name};
use meta::{FieldError, FieldErrors, GroupVersionKind, ObjectMeta};
use registry::{
    Backing, Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, StorageDef, Strategy,
    Subresource,
};
use schema::{Map, Value};

use crate::apiregistration::GROUP;
use crate::check::{self, at, text};
use crate::defaults;
use crate::print as show;

/// API services as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        categories: vec!["api-extensions".into()],
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Service"),
            Column::string("Available"),
            Column::string("Age"),
        ],
        backing: Backing::Stored(StorageDef {
            kind: GroupVersionKind::new(GROUP, "v1", "APIService"),
            prefix: "apiregistration.k8s.io/apiservices".into(),
            conversion: None,
        }),
        name_validation: NameValidation::PathSegment,
        status_metadata: StatusMetadata::Kept,
        ..ResourceDef::stored(GROUP, "v1", "apiservices", "APIService", ApiServiceStrategy)
    }
}

struct ApiServiceStrategy;

impl Strategy for ApiServiceStrategy {
    fn default(&self, object: &mut Value) {
        let spec = object.get_mut("spec");
        if let Some(service) = spec.and_then(|spec| defaults::object(spec, "service")) {
            defaults::pointer(service, "port", 443);
        }
    }

    /// What this server serves itself is available at once.
    fn prepare_for_create(&self, context: &RequestContext, object: &mut Value) {
        if object.at(&["spec", "service"]).is_some() {
            return;
        }
        let now = check::now(context);
        let condition = Map::from([
            ("type", "Available"),
            ("status", "True"),
            ("reason", "Local"),
            ("message", "Local APIServices are always available"),
            ("lastTransitionTime", now.as_str()),
        ]);
        object.set(&["status", "conditions"], vec![condition]);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate(object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let service = match object.at(&["spec", "service"]) {
            Some(service) => format!("{}/{}", text(service, &["namespace"]), text(service, &["name"])),
            None => "Local".to_owned(),
        };
        show::with_name_and_age(object, print, [service.into(), available(object).into()])
    }
}

fn available(object: &Value) -> String {
    let conditions = object.list_at(&["status", "conditions"]);
    let Some(condition) = conditions.iter().find(|condition| text(condition, &["type"]) == "Available")
    else {
        return "Unknown".to_owned();
    };
    match text(condition, &["status"]) {
        "True" => "True".to_owned(),
        status => format!("{status} ({})", text(condition, &["reason"])),
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let spec = at("spec");
    let (group, version) = (text(object, &["spec", "group"]), text(object, &["spec", "version"]));
    let (name, expected) = (ObjectMeta::of(object).name(), format!("{version}.{group}"));
    if name != expected && is_path_segment_name(name).is_empty() {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {expected:?}");
        errors.push(FieldError::invalid_str(&at("metadata.name"), name, detail));
    }
    // An empty group is the legacy API, whose only version is v1.
    if group.is_empty() && version != "v1" {
        errors.push(FieldError::required(
            &spec.child("group"),
            "only v1 may have an empty group and it better be legacy kube",
        ));
    } else if !group.is_empty() {
        check::messages(
            &mut errors,
            &spec.child("group"),
            group,
            meta::validation::is_dns1123_subdomain(group),
        );
    }
    check::messages(
        &mut errors,
        &spec.child("version"),
        version,
        meta::validation::is_dns1035_label(version),
    );
    for (key, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let priority = object.int_at(&["spec", key]).unwrap_or_default();
        if priority <= 0 || priority > max {
            let detail = format!("must be positive and less than {max}");
            errors.push(FieldError::invalid(&spec.child(key), &priority.into(), detail));
        }
    }
    validate_service(&mut errors, object);
    errors
}

fn validate_service(errors: &mut FieldErrors, object: &Value) {
    let spec = at("spec");
    let bundle = !text(object, &["spec", "caBundle"]).is_empty();
    let skip = object.bool_at(&["spec", "insecureSkipTLSVerify"]).unwrap_or_default();
    let refuse_skip = |errors: &mut FieldErrors, detail: &str| {
        errors.push(FieldError::invalid(&spec.child("insecureSkipTLSVerify"), &true.into(), detail));
    };
    let Some(service) = object.at(&["spec", "service"]) else {
        if bundle {
            let detail = "local APIServices may not have a caBundle";
            errors.push(check::invalid_shown(&spec.child("caBundle"), bundle_bytes(object), detail));
        }
        if skip {
            refuse_skip(errors, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    };
    for key in ["namespace", "name"] {
        check::required(errors, &spec.child("service").child(key), text(service, &[key]));
    }
    if let Some(port) = service.int_at(&["port"]).filter(|port| !(1..=65535).contains(port)) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(&spec.child("service.port"), &port.into(), detail));
    }
    if skip && bundle {
        refuse_skip(errors, "may not be true if caBundle is present");
    }
}

fn bundle_bytes(object: &Value) -> String {
    meta::field::quoted(text(object, &["spec", "caBundle"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, context, defaulted, object, problems};

    #[test]
    fn the_name_is_version_and_group_and_the_port_443() {
        let service = defaulted(
            &definition(),
            r#"{"metadata":{"name":"v2.g.example"},"spec":{"group":"g.example","version":"v1","groupPriorityMinimum":100,
                "versionPriority":10,"service":{"namespace":"n","name":"s"}}}"#,
        );
        assert_eq!(service.int_at(&["spec", "service", "port"]), Some(443));
        assert_eq!(
            problems(&definition(), &service),
            [
                "metadata.name: Invalid value: \"v2.g.example\": must be `spec.version+\".\"+spec.group`: \"v1.g.example\""
            ]
        );
        assert_eq!(cells(&definition(), &service)[1..3], ["n/s", "Unknown"].map(Value::from));
    }

    #[test]
    fn what_is_served_here_is_available_at_once() {
        let mut service = object(r#"{"metadata":{"name":"v1.apps"},"spec":{"group":"apps","version":"v1"}}"#);
        definition().strategy.prepare_for_create(&context(), &mut service);
        assert_eq!(cells(&definition(), &service)[1..3], ["Local", "True"].map(Value::from));
    }
}
