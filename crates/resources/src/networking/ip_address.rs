//! IP addresses record which service holds which cluster IP. The name is the
//! address, in canonical form, so that an address is held only once. Names
//! are checked here and not as names of a syntax.

use meta::validation::NameValidation;
use meta::{FieldError, FieldErrors, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::addresses;
use crate::check::{self, at, text};
use crate::networking::GROUP;

/// IP addresses as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        short_names: vec!["ip".into()],
        columns: vec![Column::name(), Column::string("ParentRef")],
        name_validation: NameValidation::None,
        ..ResourceDef::stored(GROUP, "v1", "ipaddresses", "IPAddress", IpAddressStrategy)
    }
}

struct IpAddressStrategy;

impl Strategy for IpAddressStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let name = ObjectMeta::of(object).name();
        if name.is_empty() {
            errors.push(FieldError::required(&at("metadata.name"), check::NAME_REQUIRED));
        } else if let Some(problem) = addresses::problem_of_canonical_address(name) {
            errors.push(FieldError::invalid_str(&at("metadata.name"), name, problem));
        }
        validate_parent(&mut errors, object);
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let parent = "io.k8s.api.networking.v1.ParentReference";
        check::immutable_struct(&mut errors, "spec.parentRef", parent, object, old, check::IMMUTABLE);
        errors
    }

    /// Three cells under two columns: the age has none in the original either.
    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        vec![print.name(object).into(), parent(object).into(), print.age(object).into()]
    }
}

fn parent(object: &Value) -> String {
    let Some(parent) = object.at(&["spec", "parentRef"]) else { return crate::print::NONE.to_owned() };
    let mut shown = text(parent, &["resource"]).to_owned();
    for (separator, key) in [('.', "group"), ('/', "namespace"), ('/', "name")] {
        let part = text(parent, &[key]);
        if !part.is_empty() {
            shown.push(separator);
            shown.push_str(part);
        }
    }
    shown
}

fn validate_parent(errors: &mut FieldErrors, object: &Value) {
    let path = at("spec.parentRef");
    let Some(parent) = object.at(&["spec", "parentRef"]) else {
        errors.push(FieldError::required(&path, ""));
        return;
    };
    let (group, namespace) = (text(parent, &["group"]), text(parent, &["namespace"]));
    if !group.is_empty() {
        let messages = meta::validation::is_dns1123_subdomain(group);
        check::messages(errors, &path.child("group"), group, messages);
    }
    for key in ["resource", "name"] {
        let value = text(parent, &[key]);
        if check::required(errors, &path.child(key), value) {
            check::messages(errors, &path.child(key), value, meta::validation::is_path_segment_name(value));
        }
    }
    if !namespace.is_empty() {
        let messages = meta::validation::is_path_segment_name(namespace);
        check::messages(errors, &path.child("namespace"), namespace, messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, object, refuses, refuses_updates};

    #[test]
    fn the_parent_is_printed_with_namespace_and_name() {
        let address = object(r#"{"spec":{"parentRef":{"resource":"services","namespace":"n","name":"s"}}}"#);
        assert_eq!(cells(&definition(), &address)[1], Value::from("services/n/s"));
    }

    #[test]
    fn the_parent_is_named_and_stays() {
        let base =
            r#"{"metadata":{"name":"192.0.2.1"},"spec":{"parentRef":{"resource":"services","name":"s"}}}"#;
        refuses(
            &definition(),
            base,
            &[
                (r#"{"spec":{"parentRef":null}}"#, &["spec.parentRef: Required value"]),
                (
                    r#"{"spec":{"parentRef":{"resource":"","name":"a/b"}}}"#,
                    &[
                        "spec.parentRef.resource: Required value",
                        "spec.parentRef.name: Invalid value: \"a/b\": may not contain '/'",
                    ],
                ),
                (
                    r#"{"metadata":{"name":"192.0.2.01"}}"#,
                    &["metadata.name: Invalid value: \"192.0.2.01\": must not have leading 0s"],
                ),
            ],
        );
        refuses_updates(
            &definition(),
            base,
            &[(
                r#"{"spec":{"parentRef":{"name":"t"}}}"#,
                &[
                    "spec.parentRef: Invalid value: {\"Group\":\"\",\"Resource\":\"services\",\"Namespace\":\"\",\
                   \"Name\":\"t\"}: field is immutable",
                ],
            )],
        );
    }
}
