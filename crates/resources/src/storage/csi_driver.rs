//! CSI drivers tell what a driver needs. Some of it can be changed later; a
//! change counts a generation although a new driver has none.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta, ObjectMetaMut};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::print as show;
use crate::storage::GROUP;

const DRIVER_NAME_BYTES_MAX: usize = 63;
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

const TOKENS_IN_THE_OPEN: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to \
                                  true to prevent possible logging of tokens in volume attributes";

/// CSI drivers as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        columns: vec![
            Column::name(),
            show::bool_column("AttachRequired"),
            show::bool_column("PodInfoOnMount"),
            show::bool_column("StorageCapacity"),
            Column::string("TokenRequests"),
            show::bool_column("RequiresRepublish"),
            Column::string("Modes"),
            Column::string("Age"),
        ],
        unconditional_update: false,
        returns_deleted_object: true,
        ..ResourceDef::stored(GROUP, "v1", "csidrivers", "CSIDriver", CsiDriverStrategy)
    }
}

struct CsiDriverStrategy;

impl Strategy for CsiDriverStrategy {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        defaults::pointer(spec, "attachRequired", true);
        defaults::pointer(spec, "podInfoOnMount", false);
        defaults::pointer(spec, "storageCapacity", false);
        defaults::pointer(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if defaults::is_empty(spec.get("volumeLifecycleModes")) {
            spec.set(&["volumeLifecycleModes"], vec!["Persistent"]);
        }
        defaults::pointer(spec, "requiresRepublish", false);
        defaults::pointer(spec, "seLinuxMount", false);
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        const COUNTED: [&str; 5] = [
            "fsGroupPolicy",
            "tokenRequests",
            "requiresRepublish",
            "seLinuxMount",
            "nodeAllocatableUpdatePeriodSeconds",
        ];
        let changed = |key: &&str| !check::same(object.at(&["spec", key]), old.at(&["spec", key]));
        let generation = ObjectMeta::of(old).generation();
        let counted = if COUNTED.iter().any(changed) { generation + 1 } else { generation };
        ObjectMetaMut::of(object).set_generation(counted);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        validate_spec(&mut errors, object);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = self.validate(context, object);
        // The path the original names does not exist.
        let attach = |object: &Value| object.at(&["spec", "attachRequired"]).cloned().unwrap_or_default();
        if attach(object) != attach(old) {
            errors.push(FieldError::invalid(&at("spec.attachedRequired"), &attach(object), check::IMMUTABLE));
        }
        check::immutable(&mut errors, "spec.volumeLifecycleModes", object, old);
        errors
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        let asks = !object.list_at(&["spec", "tokenRequests"]).is_empty();
        if asks && object.bool_at(&["spec", "serviceAccountTokenInSecrets"]).is_none() {
            vec![TOKENS_IN_THE_OPEN.to_owned()]
        } else {
            Vec::new()
        }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let flag = |key: &str| object.bool_at(&["spec", key]);
        let requests = object.list_at(&["spec", "tokenRequests"]);
        let audiences: Vec<&str> = requests.iter().map(|request| text(request, &["audience"])).collect();
        let tokens = if requests.is_empty() { "<unset>".to_owned() } else { audiences.join(",") };
        let modes = object.list_at(&["spec", "volumeLifecycleModes"]).iter().filter_map(Value::as_str);
        let modes = show::or_none(&modes.collect::<Vec<_>>().join(","));
        let between = [
            flag("attachRequired").unwrap_or(true).into(),
            flag("podInfoOnMount").unwrap_or_default().into(),
            flag("storageCapacity").unwrap_or_default().into(),
            tokens.into(),
            flag("requiresRepublish").unwrap_or_default().into(),
            modes.into(),
        ];
        show::with_name_and_age(object, print, between)
    }
}

fn validate_spec(errors: &mut FieldErrors, object: &Value) {
    let spec = at("spec");
    // The path the original names for the first does not exist.
    let required = [("attachRequired", "attachedRequired"), ("podInfoOnMount", "podInfoOnMount")];
    for (key, named) in required.into_iter().chain([("storageCapacity", "storageCapacity")]) {
        if object.bool_at(&["spec", key]).is_none() {
            errors.push(FieldError::required(&spec.child(named), ""));
        }
    }
    if let Some(policy) = object.str_at(&["spec", "fsGroupPolicy"]) {
        let policies = ["File", "None", "ReadWriteOnceWithFSType"];
        check::one_of(errors, &spec.child("fsGroupPolicy"), policy, &policies);
    }
    validate_token_requests(errors, object.list_at(&["spec", "tokenRequests"]));
    for mode in object.list_at(&["spec", "volumeLifecycleModes"]).iter().filter_map(Value::as_str) {
        let path = spec.child("volumeLifecycleModes");
        check::one_of(errors, &path, mode, &["Persistent", "Ephemeral"]);
    }
    if let Some(period) =
        object.int_at(&["spec", "nodeAllocatableUpdatePeriodSeconds"]).filter(|period| *period < 10)
    {
        let path = spec.child("nodeAllocatableUpdatePeriodSeconds");
        errors.push(FieldError::invalid(
            &path,
            &period.into(),
            "must be greater than or equal to 10 seconds",
        ));
    }
    let in_secrets = object.bool_at(&["spec", "serviceAccountTokenInSecrets"]);
    if let Some(in_secrets) = in_secrets.filter(|_| object.list_at(&["spec", "tokenRequests"]).is_empty()) {
        let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        let path = spec.child("serviceAccountTokenInSecrets");
        errors.push(FieldError::invalid(&path, &in_secrets.into(), detail));
    }
}

fn validate_token_requests(errors: &mut FieldErrors, requests: &[Value]) {
    let mut audiences = BTreeSet::new();
    for (i, request) in requests.iter().enumerate() {
        let path = at("spec.tokenRequests").index(i);
        let audience = text(request, &["audience"]);
        if !audiences.insert(audience) {
            errors.push(FieldError::duplicate(&path.child("audience"), &audience.into()));
            continue;
        }
        let Some(seconds) = request.int_at(&["expirationSeconds"]) else { continue };
        let path = path.child("expirationSeconds");
        if seconds < TOKEN_SECONDS_MIN {
            let detail = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(&path, &seconds.into(), detail));
        }
        if seconds > TOKEN_SECONDS_MAX {
            errors.push(FieldError::invalid(
                &path,
                &seconds.into(),
                "may not specify a duration larger than 2^32 seconds",
            ));
        }
    }
}

/// Names of CSI drivers: short domain names in which large letters are allowed.
pub(super) fn validate_driver_name(errors: &mut FieldErrors, path: &FieldPath, name: &str) {
    if !check::required(errors, path, name) {
        return;
    }
    if name.len() > DRIVER_NAME_BYTES_MAX {
        errors.push(FieldError::too_long(path, DRIVER_NAME_BYTES_MAX));
    }
    let messages = meta::validation::is_dns1123_subdomain(&name.to_lowercase());
    check::messages(errors, path, name, messages);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, changed, context, defaulted, problems, refuses};

    #[test]
    fn a_driver_attaches_persistent_volumes_by_default() {
        let driver = defaulted(&definition(), r#"{"metadata":{"name":"d"},"spec":{}}"#);
        let printed = cells(&definition(), &driver);
        assert_eq!(printed[1], Value::Bool(true));
        assert_eq!([&printed[4], &printed[6]], [&Value::from("<unset>"), &Value::from("Persistent")]);
        assert!(problems(&definition(), &driver).is_empty());
    }

    #[test]
    fn problems_come_in_the_order_of_the_original() {
        let driver = defaulted(
            &definition(),
            r#"{"metadata":{"name":"d"},"spec":{"volumeLifecycleModes":["X"],"fsGroupPolicy":"Y",
                "tokenRequests":[{"audience":"a"},{"audience":"a","expirationSeconds":5}]}}"#,
        );
        let fields: Vec<String> = problems(&definition(), &driver)
            .iter()
            .map(|problem| problem.split(':').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(
            fields,
            ["spec.fsGroupPolicy", "spec.tokenRequests[1].audience", "spec.volumeLifecycleModes"]
        );
    }

    #[test]
    fn only_a_change_of_what_may_change_counts_a_generation() {
        let old = defaulted(&definition(), r#"{"metadata":{"name":"d"},"spec":{}}"#);
        let mut new = old.clone();
        definition().strategy.prepare_for_update(&context(), &mut new, &old);
        assert_eq!(ObjectMeta::of(&new).generation(), 0);
        new.set(&["spec", "fsGroupPolicy"], "None");
        definition().strategy.prepare_for_update(&context(), &mut new, &old);
        assert_eq!(ObjectMeta::of(&new).generation(), 1);
    }

    #[test]
    fn tokens_and_times_have_bounds() {
        refuses(
            &definition(),
            r#"{"metadata":{"name":"d"},"spec":{}}"#,
            &[
                (
                    r#"{"spec":{"nodeAllocatableUpdatePeriodSeconds":10,"tokenRequests":[{"expirationSeconds":600}]}}"#,
                    &[],
                ),
                (
                    r#"{"spec":{"nodeAllocatableUpdatePeriodSeconds":9,"serviceAccountTokenInSecrets":true}}"#,
                    &[
                        "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to \
                         10 seconds",
                        "spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set \
                         but no tokenRequests are specified",
                    ],
                ),
                (
                    r#"{"spec":{"tokenRequests":[{"expirationSeconds":599},
                        {"audience":"a","expirationSeconds":4294967297}]}}"#,
                    &[
                        "spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less \
                         than 10 minutes",
                        "spec.tokenRequests[1].expirationSeconds: Invalid value: 4294967297: may not specify a \
                         duration larger than 2^32 seconds",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn tokens_in_volume_attributes_are_warned_of() {
        let mut driver = changed(
            &definition(),
            r#"{"metadata":{"name":"d"},"spec":{"tokenRequests":[{"audience":"a"}]}}"#,
            "{}",
        );
        assert_eq!(definition().strategy.warnings_on_create(&context(), &driver), [TOKENS_IN_THE_OPEN]);
        driver.set(&["spec", "serviceAccountTokenInSecrets"], true);
        assert!(definition().strategy.warnings_on_create(&context(), &driver).is_empty());
    }
}
