//! `controllerrevisions`: snapshots of a template that a controller can go back to.
//! `data` is fixed, compared byte for byte, white space included.

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::{check, print};

/// `controllerrevisions`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        columns: vec![
            Column::name(),
            Column::string("Controller"),
            Column::string("Revision"),
            Column::string("Age"),
        ],
        ..ResourceDef::stored("apps", "v1", "controllerrevisions", "ControllerRevision", ControllerRevision)
    }
}

struct ControllerRevision;

impl Strategy for ControllerRevision {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let data = object.at(&["data"]).filter(|data| !data.is_null());
        match data {
            None => errors.push(FieldError::required(&FieldPath::root("data"), "data is mandatory")),
            Some(data) => not_an_object(data, &mut errors),
        }
        check::not_negative(&mut errors, &FieldPath::root("revision"), object.int_at(&["revision"]));
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        check::not_negative(&mut errors, &FieldPath::root("revision"), object.int_at(&["revision"]));
        let (new, old) = (object.at(&["data"]), old.at(&["data"]));
        if new != old {
            let shown = new.unwrap_or(&Value::Null);
            errors.push(FieldError::invalid(&FieldPath::root("data"), shown, check::IMMUTABLE));
        }
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        print::with_name_and_age(
            object,
            print,
            [controller(object).into(), print::int(object, &["revision"]).into()],
        )
    }
}

fn not_an_object(data: &Value, errors: &mut FieldErrors) {
    let is_object = match data {
        Value::Raw(json) => json.trim_start().starts_with('{'),
        other => other.as_map().is_some(),
    };
    if !is_object {
        let detail = "error parsing data: data must be a JSON object";
        errors.push(FieldError::invalid(&FieldPath::root("data"), data, detail));
    }
}

/// The controlling owner as `kind.group/name`.
fn controller(object: &Value) -> String {
    let owners = ObjectMeta::of(object).owner_references();
    let Some(owner) = owners.iter().find(|owner| owner.bool_at(&["controller"]) == Some(true)) else {
        return print::NONE.to_owned();
    };
    let kind = print::text(owner, &["kind"]).to_lowercase();
    let name = print::text(owner, &["name"]);
    match owner.str_at(&["apiVersion"]).and_then(|version| version.split_once('/')) {
        Some((group, _)) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn the_controller_is_shown_with_its_group() {
        let owner = Map::from([
            ("apiVersion", Value::from("apps/v1")),
            ("controller", true.into()),
            ("kind", "StatefulSet".into()),
            ("name", "web".into()),
        ]);
        let mut object = Value::map();
        assert_eq!(controller(&object), "<none>");
        object.set(&["metadata", "ownerReferences"], vec![owner]);
        assert_eq!(controller(&object), "statefulset.apps/web");
    }
}
