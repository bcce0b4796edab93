//! Service CIDRs are the ranges cluster IPs of services are taken from: one
//! range, or one of each IP family. They cannot be changed, only added to.

use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::addresses;
use crate::check::{self, at};
use crate::networking::GROUP;
use crate::print as show;

/// Service CIDRs as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        subresources: vec![Subresource::status()],
        columns: vec![Column::name(), Column::string("CIDRs"), Column::string("Age")],
        status_metadata: StatusMetadata::Kept,
        ..ResourceDef::stored(GROUP, "v1", "servicecidrs", "ServiceCIDR", ServiceCidrStrategy)
    }
}

struct ServiceCidrStrategy;

impl Strategy for ServiceCidrStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let (new, old) = (object.list_at(&["spec", "cidrs"]), old.list_at(&["spec", "cidrs"]));
        let path = at("spec.cidrs");
        let becomes_dual_stack = old.len() == 1 && new.len() == 2;
        if new.len() != old.len() && !becomes_dual_stack {
            let shown = Value::List(new.to_vec());
            return FieldError::invalid(&path, &shown, check::IMMUTABLE).into();
        }
        for (i, (new, _)) in new.iter().zip(old).enumerate().filter(|(_, (new, old))| new != old) {
            errors.push(FieldError::invalid(&path.index(i), new, check::IMMUTABLE));
        }
        if becomes_dual_stack {
            errors.extend(validate(object));
        }
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let cidrs: Vec<&str> = object.list_at(&["spec", "cidrs"]).iter().filter_map(Value::as_str).collect();
        show::with_name_and_age(object, print, [cidrs.join(",").into()])
    }
}

fn validate(object: &Value) -> FieldErrors {
    let path = at("spec.cidrs");
    let cidrs = object.list_at(&["spec", "cidrs"]);
    if cidrs.is_empty() {
        return FieldError::required(&path, "at least one CIDR required").into();
    }
    let mut errors = Vec::new();
    if cidrs.len() > 2 {
        let shown = crate::go_form::show("io.k8s.api.networking.v1.ServiceCIDRSpec", object.get("spec"));
        return check::invalid_shown(&path, shown, "may only hold up to 2 values").into();
    }
    for (i, text) in cidrs.iter().filter_map(Value::as_str).enumerate() {
        if let Some(problem) = addresses::problem_of_canonical_range(text) {
            errors.push(FieldError::invalid_str(&path.index(i), text, problem));
        }
    }
    let families: Vec<bool> = cidrs
        .iter()
        .filter_map(|text| addresses::sloppy_range(text.as_str()?))
        .map(|range| range.addr().is_ipv4())
        .collect();
    if let [a, b] = families[..]
        && a == b
    {
        let detail =
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(&path, &Value::List(cidrs.to_vec()), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems, update_problems};

    #[test]
    fn one_range_for_each_family() {
        for (cidrs, expected) in [
            (r#"["192.168.1.0/24","fd00::/64"]"#, None),
            ("[]", Some("spec.cidrs: Required value: at least one CIDR required")),
            (
                r#"["192.168.1.1/24"]"#,
                Some(
                    "spec.cidrs[0]: Invalid value: \"192.168.1.1/24\": must not have bits set beyond the prefix length",
                ),
            ),
            (
                r#"["192.168.1.0/24","fd00::/64","192.168.2.0/24"]"#,
                Some(
                    "spec.cidrs: Invalid value: {\"CIDRs\":[\"192.168.1.0/24\",\"fd00::/64\",\"192.168.2.0/24\"]}: \
                     may only hold up to 2 values",
                ),
            ),
        ] {
            let range = object(&format!(r#"{{"spec":{{"cidrs":{cidrs}}}}}"#));
            assert_eq!(problems(&definition(), &range), expected.into_iter().collect::<Vec<_>>(), "{cidrs}");
        }
    }

    #[test]
    fn a_range_stays_and_may_be_joined_by_one_of_the_other_family() {
        for (cidrs, expected) in [
            (r#"["10.0.0.0/24"]"#, None),
            (r#"["10.0.0.0/24","fd00::/64"]"#, None),
            (r#"["10.9.0.0/24"]"#, Some("spec.cidrs[0]: Invalid value: \"10.9.0.0/24\": field is immutable")),
            ("[]", Some("spec.cidrs: Invalid value: []: field is immutable")),
        ] {
            let old = object(r#"{"spec":{"cidrs":["10.0.0.0/24"]}}"#);
            let new = object(&format!(r#"{{"spec":{{"cidrs":{cidrs}}}}}"#));
            let expected: Vec<_> = expected.into_iter().collect();
            assert_eq!(update_problems(&definition(), &new, &old), expected, "{cidrs}");
        }
    }
}
