//! `resourcequotas`: how much a namespace may use.

use meta::FieldErrors;
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::Value;

use super::quota_validation;
use crate::{defaults, print};

/// `resourcequotas`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["quota".into()],
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Request"),
            Column::string("Limit"),
            Column::string("Age"),
        ],
        returns_deleted_object: true,
        ..ResourceDef::stored("", "v1", "resourcequotas", "ResourceQuota", ResourceQuota)
    }
}

struct ResourceQuota;

impl Strategy for ResourceQuota {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = defaults::object(object, "spec") {
            defaults::resources::round(spec.get_mut("hard"));
        }
        if let Some(status) = defaults::object(object, "status") {
            for list in ["hard", "used"] {
                defaults::resources::round(status.get_mut(list));
            }
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        quota_validation::create(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        quota_validation::update(object, old)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        quota_validation::status(object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (name, hard) in object.map_at(&["status", "hard"]).into_iter().flat_map(|map| map.iter()) {
            let used = print::scalar_or(object.at(&["status", "used", name]), "0");
            let text = format!("{name}: {used}/{}", print::scalar_or(Some(hard), "0"));
            if name.starts_with("limits.") { limits.push(text) } else { requests.push(text) }
        }
        print::with_name_and_age(object, print, [requests.join(", ").into(), limits.join(", ").into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, object};

    #[test]
    fn used_and_hard_amounts_are_printed_limits_apart() {
        let quota = object(
            r#"{"metadata":{"name":"q"},"status":{"hard":{"limits.cpu":"2","pods":"3"},"used":{"pods":"1"}}}"#,
        );
        let cells = cells(&definition(), &quota);
        assert_eq!(cells[1..3], ["pods: 1/3", "limits.cpu: 0/2"].map(Value::from));
    }
}
