//! `statefulsets`: pods with names and storage of their own. Little of the
//! spec can be changed once it stands.

use meta::validation::NameValidation;
use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::{Map, Value};

use crate::core::persistent_volume_claim;
use crate::{check, defaults, go_form, print, validation, workload};

/// `statefulsets`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["sts".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::scale(), Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Ready"),
            Column::string("Age"),
            Column::string("Containers").wide(),
            Column::string("Images").wide(),
        ],
        name_validation: NameValidation::Dns1123Label,
        generation: true,
        ..ResourceDef::stored("apps", "v1", "statefulsets", "StatefulSet", StatefulSet)
    }
}

const ROLLING_UPDATE: &str = "io.k8s.api.apps.v1.RollingUpdateStatefulSetStrategy";

struct StatefulSet;

impl Strategy for StatefulSet {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        defaults::pod::template(defaults::ensure(spec, "template"));
        defaults::text(spec, "podManagementPolicy", "OrderedReady");
        defaults::pointer(spec, "replicas", 1);
        defaults::pointer(spec, "revisionHistoryLimit", 10);
        let strategy = defaults::ensure(spec, "updateStrategy");
        defaults::text(strategy, "type", "RollingUpdate");
        if strategy.str_at(&["type"]) == Some("RollingUpdate") {
            defaults::pointer(defaults::ensure(strategy, "rollingUpdate"), "partition", 0);
        }
        let retention = defaults::ensure(spec, "persistentVolumeClaimRetentionPolicy");
        defaults::text(retention, "whenDeleted", "Retain");
        defaults::text(retention, "whenScaled", "Retain");
        defaults::items(spec, "volumeClaimTemplates").for_each(claim_template);
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        object.set(&["status"], Map::from([("replicas", 0), ("availableReplicas", 0)]));
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        spec(object, &mut errors);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = self.validate(context, object);
        if !check::same(Some(&fixed_part(object)), Some(&fixed_part(old))) {
            let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                          'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                          'minReadySeconds' are forbidden";
            errors.push(FieldError::forbidden(&FieldPath::root("spec"), detail));
        }
        errors
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        let mut warnings = workload::template_warnings(object, "spec.template");
        warnings.extend(history_warnings(object));
        warnings
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, old: &Value) -> Vec<String> {
        let mut warnings = workload::changed_template_warnings(object, old, "spec.template");
        warnings.extend(history_warnings(object));
        warnings
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        const COUNTS: [&str; 7] = [
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ];
        let path = FieldPath::root("status");
        let number = |key: &str| print::int(object, &["status", key]);
        let mut errors = Vec::new();
        for key in COUNTS {
            check::not_negative(&mut errors, &path.child(key), Some(number(key)));
        }
        for key in ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"] {
            if number(key) > number("replicas") {
                let detail = "cannot be greater than status.replicas";
                errors.push(FieldError::invalid(&path.child(key), &number(key).into(), detail));
            }
        }
        let available = number("availableReplicas");
        if available > number("readyReplicas") {
            let detail = "cannot be greater than status.readyReplicas";
            errors.push(FieldError::invalid(&path.child("availableReplicas"), &available.into(), detail));
        }
        workload::collisions_only_grow(object, old, &mut errors);
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let ready = print::int(object, &["status", "readyReplicas"]);
        let wanted = print::int(object, &["spec", "replicas"]);
        let mut cells = print::with_name_and_age(object, print, [format!("{ready}/{wanted}").into()]);
        cells.extend(print::containers(object.at(&["spec", "template", "spec"])));
        cells
    }
}

fn history_warnings(object: &Value) -> Vec<String> {
    let limit = object.int_at(&["spec", "revisionHistoryLimit"]);
    let negative = limit.filter(|limit| *limit < 0);
    negative
        .map(|_| {
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is \
             recommended"
                .to_owned()
        })
        .into_iter()
        .collect()
}

/// A claim template is a whole claim, down to its kind.
fn claim_template(claim: &mut Value) {
    defaults::text(claim, "apiVersion", "v1");
    defaults::text(claim, "kind", "PersistentVolumeClaim");
    persistent_volume_claim::spec_defaults(defaults::ensure(claim, "spec"));
    defaults::text(defaults::ensure(claim, "status"), "phase", "Pending");
}

/// The spec without what may change.
fn fixed_part(object: &Value) -> Value {
    let mut spec = object.at(&["spec"]).cloned().unwrap_or_default();
    for field in [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ] {
        spec.remove(&[field]);
    }
    spec
}

fn spec(object: &Value, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec");
    let text = |keys: &[&str]| object.str_at(keys).unwrap_or_default();
    let policy = text(&["spec", "podManagementPolicy"]);
    if !["OrderedReady", "Parallel"].contains(&policy) {
        let detail = "must be 'OrderedReady' or 'Parallel'";
        errors.push(FieldError::invalid_str(&path.child("podManagementPolicy"), policy, detail));
    }
    update_strategy(object, errors);
    for when in ["whenDeleted", "whenScaled"] {
        let policy = text(&["spec", "persistentVolumeClaimRetentionPolicy", when]);
        if !policy.is_empty() {
            let path = path.child("persistentVolumeClaimRetentionPolicy").child(when);
            check::one_of(errors, &path, policy, &["Retain", "Delete"]);
        }
    }
    check::not_negative(errors, &path.child("replicas"), object.int_at(&["spec", "replicas"]));
    check::not_negative(errors, &path.child("minReadySeconds"), object.int_at(&["spec", "minReadySeconds"]));
    let start = object.int_at(&["spec", "ordinals", "start"]);
    check::not_negative(errors, &path.child("ordinals.start"), start);
    workload::required_selector(object, "statefulset", errors);
    let selector = object.at(&["spec", "selector"]).filter(|selector| !selector.is_null());
    workload::template_for_selector(object, selector, errors);
    workload::always_restarted(object, "StatefulSet", errors);
}

fn update_strategy(object: &Value, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec").child("updateStrategy");
    let Some(strategy) = object.at(&["spec", "updateStrategy"]) else { return };
    let rolling = strategy.at(&["rollingUpdate"]).filter(|rolling| !rolling.is_null());
    match check::text(strategy, &["type"]) {
        "OnDelete" => {
            if let Some(rolling) = rolling {
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                let shown = go_form::show(ROLLING_UPDATE, Some(rolling));
                errors.push(check::invalid_shown(&path.child("rollingUpdate"), shown, detail));
            }
        }
        "RollingUpdate" => {
            if let Some(rolling) = rolling {
                let path = path.child("rollingUpdate");
                check::not_negative(errors, &path.child("partition"), rolling.int_at(&["partition"]));
                if let Some(unavailable) = check::given(rolling, &["maxUnavailable"]) {
                    max_unavailable(errors, &path.child("maxUnavailable"), unavailable);
                }
            }
        }
        _ => {
            let shown = go_form::show("io.k8s.api.apps.v1.StatefulSetUpdateStrategy", Some(strategy));
            errors.push(check::invalid_shown(&path, shown, "must be 'RollingUpdate' or 'OnDelete'"));
        }
    }
}

fn max_unavailable(errors: &mut FieldErrors, path: &FieldPath, unavailable: &Value) {
    validation::int_or_percent(errors, path, unavailable);
    if validation::is_nothing(unavailable) {
        errors.push(FieldError::invalid(path, unavailable, "cannot be 0"));
    }
    validation::at_most_everything(errors, path, unavailable);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{refuses, refuses_status};

    #[test]
    fn claims_are_whole_and_kept() {
        let mut object = Value::map();
        object.set(
            &["spec", "volumeClaimTemplates"],
            vec![Map::from([("metadata", Map::from([("name", "d")]))])],
        );
        StatefulSet.default(&mut object);
        let claim = &object.list_at(&["spec", "volumeClaimTemplates"])[0];
        assert_eq!(claim.str_at(&["kind"]), Some("PersistentVolumeClaim"));
        assert_eq!(claim.str_at(&["spec", "volumeMode"]), Some("Filesystem"));
        assert_eq!(claim.str_at(&["status", "phase"]), Some("Pending"));
        let policy = ["spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"];
        assert_eq!(object.str_at(&policy), Some("Retain"));
    }

    #[test]
    fn the_service_name_belongs_to_the_fixed_part_and_replicas_do_not() {
        let set = |name: &str, replicas: i64| {
            let mut object = Value::map();
            object.set(&["spec", "serviceName"], name);
            object.set(&["spec", "replicas"], replicas);
            fixed_part(&object)
        };
        assert_eq!(set("a", 1), set("a", 2));
        assert_ne!(set("a", 1), set("b", 1));
    }

    const GOOD: &str = r#"{"metadata":{"name":"a"},"spec":{"selector":{"matchLabels":{"app":"a"}},"serviceName":"s",
        "template":{"metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}}}"#;

    #[test]
    fn bounds_are_kept() {
        refuses(
            &definition(),
            GOOD,
            &[
                (r#"{"spec":{"replicas":0,"ordinals":{"start":0},"revisionHistoryLimit":-1}}"#, &[]),
                (
                    r#"{"spec":{"replicas":-1,"minReadySeconds":-1,"ordinals":{"start":-1}}}"#,
                    &[
                        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                        "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
                        "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
                    ],
                ),
                (
                    r#"{"spec":{"podManagementPolicy":"X","updateStrategy":{"type":"Y","rollingUpdate":null}}}"#,
                    &[
                        "spec.podManagementPolicy: Invalid value: \"X\": must be 'OrderedReady' or 'Parallel'",
                        "spec.updateStrategy: Invalid value: {\"Type\":\"Y\",\"RollingUpdate\":null}: must be \
                         'RollingUpdate' or 'OnDelete'",
                    ],
                ),
                (
                    r#"{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"X"}}}"#,
                    &[
                        "spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: \"X\": supported \
                       values: \"Retain\", \"Delete\"",
                    ],
                ),
                (r#"{"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":"100%"}}}}"#, &[]),
                (
                    r#"{"spec":{"updateStrategy":{"rollingUpdate":{"partition":-1,"maxUnavailable":"0%"}}}}"#,
                    &[
                        "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or \
                         equal to 0",
                        "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": cannot be 0",
                    ],
                ),
                (
                    r#"{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":{"partition":1}}}}"#,
                    &[
                        "spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":1,\"MaxUnavailable\":null}: \
                       only allowed for updateStrategy 'RollingUpdate'",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn no_more_is_available_than_ready() {
        refuses_status(
            &definition(),
            GOOD,
            &[
                (r#"{"status":{"replicas":2,"readyReplicas":2,"availableReplicas":2}}"#, &[]),
                (
                    r#"{"status":{"replicas":2,"readyReplicas":1,"availableReplicas":2}}"#,
                    &[
                        "status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas",
                    ],
                ),
            ],
        );
    }
}
