//! `deployments`: replica sets that follow one another as the template changes.

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta, ObjectMetaMut};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::{check, defaults, go_form, print, validation, workload};

/// `deployments`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["deploy".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::scale(), Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Ready"),
            Column::string("Up-to-date"),
            Column::string("Available"),
            Column::string("Age"),
            Column::string("Containers").wide(),
            Column::string("Images").wide(),
            Column::string("Selector").wide(),
        ],
        generation: true,
        status_metadata: StatusMetadata::LabelsKept,
        ..ResourceDef::stored("apps", "v1", "deployments", "Deployment", Deployment)
    }
}

/// Seconds without progress after which a deployment counts as failed.
const PROGRESS_SECONDS: i64 = 600;

struct Deployment;

impl Strategy for Deployment {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        defaults::pod::template(defaults::ensure(spec, "template"));
        defaults::pointer(spec, "replicas", 1);
        defaults::pointer(spec, "revisionHistoryLimit", 10);
        defaults::pointer(spec, "progressDeadlineSeconds", PROGRESS_SECONDS);
        let strategy = defaults::ensure(spec, "strategy");
        defaults::text(strategy, "type", "RollingUpdate");
        if strategy.str_at(&["type"]) == Some("RollingUpdate") {
            let rolling = defaults::ensure(strategy, "rollingUpdate");
            defaults::pointer(rolling, "maxUnavailable", "25%");
            defaults::pointer(rolling, "maxSurge", "25%");
        }
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        object.set(&["status"], Value::map());
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        // Annotations are copied to replica sets, so a change of them counts too.
        let annotations = ["metadata", "annotations"];
        if !check::same(object.at(&annotations), old.at(&annotations)) {
            let generation = ObjectMeta::of(old).generation() + 1;
            ObjectMetaMut::of(object).set_generation(generation);
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let spec = FieldPath::root("spec");
        let number = |key: &str| object.int_at(&["spec", key]);
        check::not_negative(&mut errors, &spec.child("replicas"), number("replicas"));
        workload::required_selector(object, "deployment", &mut errors);
        workload::template_for_selector(
            object,
            object.at(&["spec", "selector"]).filter(|s| !s.is_null()),
            &mut errors,
        );
        workload::always_restarted(object, "ReplicaSet", &mut errors);
        strategy(object, &mut errors);
        check::not_negative(&mut errors, &spec.child("minReadySeconds"), number("minReadySeconds"));
        check::not_negative(&mut errors, &spec.child("revisionHistoryLimit"), number("revisionHistoryLimit"));
        progress_deadline(object, &mut errors);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = self.validate(context, object);
        check::immutable(&mut errors, "spec.selector", object, old);
        errors
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        let mut warnings = workload::name_warnings(object);
        warnings.extend(workload::template_warnings(object, "spec.template"));
        warnings
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, old: &Value) -> Vec<String> {
        workload::changed_template_warnings(object, old, "spec.template")
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let path = FieldPath::root("status");
        let number = |key: &str| print::int(object, &["status", key]);
        let mut errors = Vec::new();
        let counts = [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ];
        for key in counts {
            check::not_negative(&mut errors, &path.child(key), Some(number(key)));
        }
        let mut bounded = |key: &str, bound: &str, text: &str| {
            if number(key) > number(bound) {
                errors.push(FieldError::invalid(&path.child(key), &number(key).into(), text));
            }
        };
        bounded("updatedReplicas", "replicas", "cannot be greater than status.replicas");
        bounded("readyReplicas", "replicas", "cannot be greater than status.replicas");
        bounded("availableReplicas", "replicas", "cannot be greater than status.replicas");
        bounded("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas");
        workload::collisions_only_grow(object, old, &mut errors);
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let status = |key: &str| print::int(object, &["status", key]);
        let ready = format!("{}/{}", status("readyReplicas"), print::int(object, &["spec", "replicas"]));
        let [names, images] = print::containers(object.at(&["spec", "template", "spec"]));
        vec![
            print.name(object).into(),
            ready.into(),
            status("updatedReplicas").into(),
            status("availableReplicas").into(),
            print.age(object).into(),
            names,
            images,
            print::label_selector(object.at(&["spec", "selector"])).into(),
        ]
    }
}

fn strategy(object: &Value, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec").child("strategy");
    let Some(strategy) = object.at(&["spec", "strategy"]) else { return };
    let rolling = strategy.at(&["rollingUpdate"]).filter(|rolling| !rolling.is_null());
    match check::text(strategy, &["type"]) {
        "Recreate" => {
            if rolling.is_some() {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(FieldError::forbidden(&path.child("rollingUpdate"), detail));
            }
        }
        "RollingUpdate" => match rolling {
            Some(rolling) => rolling_update(rolling, &path.child("rollingUpdate"), errors),
            None => {
                let detail = "this should be defaulted and never be nil";
                errors.push(FieldError::required(&path.child("rollingUpdate"), detail));
            }
        },
        _ => {
            let shown = go_form::show("io.k8s.api.apps.v1.DeploymentStrategy", Some(strategy));
            errors.push(check::unsupported_shown(&path, shown, &["Recreate", "RollingUpdate"]));
        }
    }
}

fn rolling_update(rolling: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let zero = Value::Int(0);
    let [unavailable, surge] = ["maxUnavailable", "maxSurge"].map(|key| rolling.at(&[key]).unwrap_or(&zero));
    validation::int_or_percent(errors, &path.child("maxUnavailable"), unavailable);
    validation::int_or_percent(errors, &path.child("maxSurge"), surge);
    if validation::is_nothing(unavailable) && validation::is_nothing(surge) {
        let detail = "may not be 0 when `maxSurge` is 0";
        errors.push(FieldError::invalid(&path.child("maxUnavailable"), unavailable, detail));
    }
    validation::at_most_everything(errors, &path.child("maxUnavailable"), unavailable);
}

fn progress_deadline(object: &Value, errors: &mut FieldErrors) {
    let Some(deadline) = object.int_at(&["spec", "progressDeadlineSeconds"]) else { return };
    let path = FieldPath::root("spec").child("progressDeadlineSeconds");
    check::not_negative(errors, &path, Some(deadline));
    if deadline <= print::int(object, &["spec", "minReadySeconds"]) {
        let detail = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid(&path, &deadline.into(), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{changed, context, refuses, refuses_status};
    use schema::Map;

    #[test]
    fn a_quarter_of_the_pods_is_replaced_at_a_time() {
        let mut object = Value::map();
        Deployment.default(&mut object);
        let rolling = object.at(&["spec", "strategy", "rollingUpdate"]).expect("made");
        assert_eq!(rolling, &Value::from(Map::from([("maxSurge", "25%"), ("maxUnavailable", "25%")])));
        let once = object.clone();
        Deployment.default(&mut object);
        assert_eq!(object, once);
    }

    #[test]
    fn recreating_knows_no_rolling_update() {
        let mut object = Value::map();
        object.set(&["spec", "strategy", "type"], "Recreate");
        Deployment.default(&mut object);
        assert!(object.at(&["spec", "strategy", "rollingUpdate"]).is_none());
        object.set(&["spec", "strategy", "rollingUpdate"], Value::map());
        let mut errors = Vec::new();
        strategy(&object, &mut errors);
        assert_eq!(
            errors[0].to_string(),
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"
        );
    }

    const GOOD: &str = r#"{"metadata":{"name":"a"},"spec":{"selector":{"matchLabels":{"app":"a"}},
        "template":{"metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"i:1",
        "terminationMessagePolicy":"File"}]}}}}"#;

    #[test]
    fn counts_are_not_negative_and_the_selector_selects_the_template() {
        refuses(
            &definition(),
            GOOD,
            &[
                (r#"{"spec":{"replicas":0,"minReadySeconds":0,"revisionHistoryLimit":0}}"#, &[]),
                (
                    r#"{"spec":{"replicas":-1,"minReadySeconds":-1,"revisionHistoryLimit":-1}}"#,
                    &[
                        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                        "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
                        "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
                    ],
                ),
                (
                    r#"{"spec":{"selector":{"matchLabels":null}}}"#,
                    &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
                ),
                (
                    r#"{"spec":{"selector":{"matchLabels":{"app":"z"}}}}"#,
                    &[
                        "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match \
                       template `labels`",
                    ],
                ),
                (
                    r#"{"spec":{"template":{"spec":{"restartPolicy":"OnFailure"}}}}"#,
                    &[
                        "spec.template.spec.restartPolicy: Unsupported value: \"OnFailure\": supported values: \
                       \"Always\"",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn something_must_be_allowed_to_be_missing_or_too_much() {
        refuses(
            &definition(),
            GOOD,
            &[
                (
                    r#"{"spec":{"strategy":{"rollingUpdate":{"maxUnavailable":"100%","maxSurge":"200%"}}}}"#,
                    &[],
                ),
                (
                    r#"{"spec":{"strategy":{"rollingUpdate":{"maxUnavailable":"101%"}}}}"#,
                    &[
                        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater \
                       than 100%",
                    ],
                ),
                (
                    r#"{"spec":{"strategy":{"rollingUpdate":{"maxUnavailable":0,"maxSurge":"0%"}}}}"#,
                    &[
                        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` \
                       is 0",
                    ],
                ),
                (
                    r#"{"spec":{"strategy":{"type":"X","rollingUpdate":null}}}"#,
                    &[
                        "spec.strategy: Unsupported value: {\"Type\":\"X\",\"RollingUpdate\":null}: supported \
                       values: \"Recreate\", \"RollingUpdate\"",
                    ],
                ),
                (
                    r#"{"spec":{"minReadySeconds":600}}"#,
                    &[
                        "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
                    ],
                ),
                (r#"{"spec":{"minReadySeconds":599}}"#, &[]),
            ],
        );
    }

    #[test]
    fn a_status_counts_what_can_be() {
        let base = GOOD.replacen("{\"metadata\"", "{\"status\":{\"collisionCount\":2},\"metadata\"", 1);
        refuses_status(
            &definition(),
            &base,
            &[
                (r#"{"status":{"replicas":2,"readyReplicas":2,"availableReplicas":2}}"#, &[]),
                (
                    r#"{"status":{"replicas":1,"readyReplicas":0,"availableReplicas":2,"collisionCount":1}}"#,
                    &[
                        "status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas",
                        "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas",
                        "status.collisionCount: Invalid value: 1: cannot be decremented",
                    ],
                ),
                (
                    r#"{"status":{"terminatingReplicas":-1}}"#,
                    &["status.terminatingReplicas: Invalid value: -1: must be greater than or equal to 0"],
                ),
            ],
        );
    }

    #[test]
    fn a_name_that_is_no_name_of_a_host_is_warned_of() {
        let object = changed(&definition(), GOOD, r#"{"metadata":{"name":"a.b"}}"#);
        assert_eq!(
            Deployment.warnings_on_create(&context(), &object),
            [
                "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a \
              DNS label is recommended: [must not contain dots]"
            ]
        );
    }
}
