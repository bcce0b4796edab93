//! Role bindings give a role, or a cluster role for one namespace, to users,
//! groups and service accounts. Which role cannot be changed.

use meta::validation::{NameValidation, is_dns1123_subdomain};
use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::print as show;
use crate::rbac::GROUP;

/// Role bindings as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        columns: columns(),
        name_validation: NameValidation::PathSegment,
        create_on_update: true,
        ..ResourceDef::stored(GROUP, "v1", "rolebindings", "RoleBinding", RoleBindingStrategy)
    }
}

struct RoleBindingStrategy;

impl Strategy for RoleBindingStrategy {
    fn default(&self, object: &mut Value) {
        default(object);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object, &["Role", "ClusterRole"])
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        validate_update(object, old, &["Role", "ClusterRole"])
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        cells(object, print)
    }
}

pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::name(),
        Column::string("Role"),
        Column::string("Age"),
        Column::string("Users").wide(),
        Column::string("Groups").wide(),
        Column::string("ServiceAccounts").wide(),
    ]
}

/// API groups follow from kinds.
pub(super) fn default(object: &mut Value) {
    defaults::text(defaults::ensure(object, "roleRef"), "apiGroup", GROUP);
    for subject in defaults::items(object, "subjects") {
        if matches!(text(subject, &["kind"]), "User" | "Group") {
            defaults::text(subject, "apiGroup", GROUP);
        }
    }
}

pub(super) fn cells(object: &Value, print: &PrintContext) -> Vec<Value> {
    let role = format!("{}/{}", text(object, &["roleRef", "kind"]), text(object, &["roleRef", "name"]));
    let of_kind = |kind: &str| {
        let subjects = object.list_at(&["subjects"]).iter();
        let named: Vec<String> =
            subjects.filter(|subject| text(subject, &["kind"]) == kind).map(subject_name).collect();
        Value::from(named.join(", "))
    };
    let mut cells = show::with_name_and_age(object, print, [role.into()]);
    cells.extend(["User", "Group", "ServiceAccount"].map(of_kind));
    cells
}

fn subject_name(subject: &Value) -> String {
    let name = text(subject, &["name"]);
    match text(subject, &["kind"]) {
        "ServiceAccount" => format!("{}/{name}", text(subject, &["namespace"])),
        _ => name.to_owned(),
    }
}

pub(super) fn validate_update(object: &Value, old: &Value, kinds: &[&str]) -> FieldErrors {
    let mut errors = validate(object, kinds);
    let role_ref = "io.k8s.api.rbac.v1.RoleRef";
    check::immutable_struct(&mut errors, "roleRef", role_ref, object, old, "cannot change roleRef");
    errors
}

/// A binding is to one of `kinds`, and its subjects are known kinds with names.
pub(super) fn validate(object: &Value, kinds: &[&str]) -> FieldErrors {
    let mut errors = Vec::new();
    let path = at("roleRef");
    check::one_of(&mut errors, &path.child("apiGroup"), text(object, &["roleRef", "apiGroup"]), &[GROUP]);
    check::one_of(&mut errors, &path.child("kind"), text(object, &["roleRef", "kind"]), kinds);
    let name = text(object, &["roleRef", "name"]);
    if check::required(&mut errors, &path.child("name"), name) {
        let messages = meta::validation::is_path_segment_name(name);
        check::messages(&mut errors, &path.child("name"), name, messages);
    }
    let namespaced = kinds.len() > 1;
    for (i, subject) in object.list_at(&["subjects"]).iter().enumerate() {
        validate_subject(&mut errors, &at("subjects").index(i), subject, namespaced);
    }
    errors
}

fn validate_subject(errors: &mut FieldErrors, path: &FieldPath, subject: &Value, namespaced: bool) {
    let name = text(subject, &["name"]);
    check::required(errors, &path.child("name"), name);
    let group = text(subject, &["apiGroup"]);
    match text(subject, &["kind"]) {
        "ServiceAccount" => {
            if !name.is_empty() {
                check::messages(errors, &path.child("name"), name, is_dns1123_subdomain(name));
            }
            check::one_of(errors, &path.child("apiGroup"), group, &[""]);
            if !namespaced && text(subject, &["namespace"]).is_empty() {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => check::one_of(errors, &path.child("apiGroup"), group, &[GROUP]),
        other => check::one_of(errors, &path.child("kind"), other, &["ServiceAccount", "User", "Group"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems};

    const BINDING: &str = r#"{"metadata":{"name":"a"},"roleRef":{"kind":"Role","name":"r"},"subjects":
        [{"kind":"User","name":"u"},{"kind":"ServiceAccount","name":"sa","namespace":"n"}]}"#;

    #[test]
    fn groups_follow_from_kinds() {
        let binding = defaulted(&definition(), BINDING);
        assert_eq!(binding.str_at(&["roleRef", "apiGroup"]), Some(GROUP));
        let groups: Vec<_> =
            binding.list_at(&["subjects"]).iter().map(|subject| subject.str_at(&["apiGroup"])).collect();
        assert_eq!(groups, [Some(GROUP), None]);
        assert!(problems(&definition(), &binding).is_empty());
    }

    #[test]
    fn subjects_are_printed_by_kind() {
        let cells = cells(&definition(), &defaulted(&definition(), BINDING));
        assert_eq!(cells[1], Value::from("Role/r"));
        assert_eq!(cells[3..], ["u", "", "n/sa"].map(Value::from));
    }

    #[test]
    fn a_service_account_has_a_syntax_and_no_group() {
        let binding = defaulted(
            &definition(),
            r#"{"roleRef":{"kind":"Role","name":"r"},"subjects":[{"kind":"ServiceAccount","name":"sa","apiGroup":"y"}]}"#,
        );
        assert_eq!(
            problems(&definition(), &binding),
            ["subjects[0].apiGroup: Unsupported value: \"y\": supported values: \"\""]
        );
    }
}
