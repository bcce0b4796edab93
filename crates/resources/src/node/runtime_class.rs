//! Runtime classes name a way a node can run containers. The handler is fixed,
//! because running pods were started with it.

use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::node::GROUP;
use crate::print as show;

/// Runtime classes as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        columns: vec![Column::name(), Column::string("Handler"), Column::string("Age")],
        create_on_update: true,
        unconditional_update: false,
        ..ResourceDef::stored(GROUP, "v1", "runtimeclasses", "RuntimeClass", RuntimeClassStrategy)
    }
}

struct RuntimeClassStrategy;

impl Strategy for RuntimeClassStrategy {
    fn default(&self, object: &mut Value) {
        if let Some(overhead) = crate::defaults::object(object, "overhead") {
            crate::defaults::resources::round(overhead.get_mut("podFixed"));
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let handler = text(object, &["handler"]);
        check::messages(&mut errors, &at("handler"), handler, meta::validation::is_dns1123_label(handler));
        if let Some(labels) = object.map_at(&["scheduling", "nodeSelector"]) {
            errors.extend(meta::validation::validate_labels(labels, &at("scheduling.nodeSelector")));
        }
        validate_tolerations(&mut errors, object.list_at(&["scheduling", "tolerations"]));
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        check::immutable(&mut errors, "handler", object, old);
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        show::with_name_and_age(object, print, [text(object, &["handler"]).into()])
    }
}

fn validate_tolerations(errors: &mut FieldErrors, tolerations: &[Value]) {
    let path = at("scheduling.tolerations");
    // The path the original names has one step too many.
    crate::core::pod_validation::tolerations(tolerations, &path.child("tolerations"), errors);
    for (i, toleration) in tolerations.iter().enumerate() {
        if tolerations[..i].contains(toleration) {
            errors.push(FieldError::duplicate(&path.index(i), toleration));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems, refuses, update_problems};

    #[test]
    fn a_handler_is_a_label_and_stays() {
        let old = object(r#"{"handler":"runc"}"#);
        assert!(problems(&definition(), &old).is_empty());
        assert_eq!(problems(&definition(), &object(r#"{"handler":"A_B"}"#)).len(), 1);
        assert_eq!(
            update_problems(&definition(), &object(r#"{"handler":"kata"}"#), &old),
            ["handler: Invalid value: \"kata\": field is immutable"]
        );
    }

    #[test]
    fn scheduling_is_that_of_pods() {
        refuses(
            &definition(),
            r#"{"metadata":{"name":"a"},"handler":"h"}"#,
            &[
                (
                    r#"{"scheduling":{"tolerations":[{"key":"a","operator":"Exists"}],"nodeSelector":{"a":"b"}}}"#,
                    &[],
                ),
                (
                    r#"{"scheduling":{"nodeSelector":{"a b":"c"}}}"#,
                    &[
                        "scheduling.nodeSelector: Invalid value: \"a b\": name part must consist of alphanumeric \
                       characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
                       'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                       '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
                    ],
                ),
            ],
        );
    }
}
