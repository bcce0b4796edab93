//! `podtemplates`: a pod template on its own.

use meta::{FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::{defaults, print, workload};

/// `podtemplates`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        columns: vec![
            Column::name(),
            Column::string("Containers"),
            Column::string("Images"),
            Column::string("Pod Labels"),
        ],
        generation: true,
        returns_deleted_object: true,
        ..ResourceDef::stored("", "v1", "podtemplates", "PodTemplate", PodTemplate)
    }
}

struct PodTemplate;

impl Strategy for PodTemplate {
    fn default(&self, object: &mut Value) {
        defaults::pod::template(defaults::ensure(object, "template"));
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        workload::template(object.at(&["template"]), &FieldPath::root("template"), &mut errors);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        self.validate(context, object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let [names, images] = print::containers(object.at(&["template", "spec"]));
        let labels = print::labels(object.map_at(&["template", "metadata", "labels"]));
        vec![print.name(object).into(), names, images, labels.into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems};

    #[test]
    fn a_template_is_printed_with_its_labels() {
        let template = defaulted(
            &definition(),
            r#"{"metadata":{"name":"a"},"template":{"metadata":{"labels":{"app":"a"}},
                "spec":{"containers":[{"name":"c","image":"nginx:1.27"}]}}}"#,
        );
        assert_eq!(template.str_at(&["template", "spec", "restartPolicy"]), Some("Always"));
        assert_eq!(cells(&definition(), &template), ["a", "c", "nginx:1.27", "app=a"].map(Value::from));
        assert!(problems(&definition(), &template).is_empty());
    }
}
