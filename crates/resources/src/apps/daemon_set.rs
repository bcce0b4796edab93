//! `daemonsets`: one pod on each node.
//!
//! Odd: the number of template changes is counted in an annotation, the form
//! it has had since the field was taken out.

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta, ObjectMetaMut};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::{Key, Map, Value};

use crate::{check, defaults, go_form, print, validation, workload};

/// `daemonsets`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["ds".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::integer("Desired"),
            Column::integer("Current"),
            Column::integer("Ready"),
            Column::integer("Up-to-date"),
            Column::integer("Available"),
            Column::string("Node Selector"),
            Column::string("Age"),
            Column::string("Containers").wide(),
            Column::string("Images").wide(),
            Column::string("Selector").wide(),
        ],
        generation: true,
        field_annotations: vec![TEMPLATE_GENERATION.into()],
        ..ResourceDef::stored("apps", "v1", "daemonsets", "DaemonSet", DaemonSet)
    }
}

/// Counts changes of the template.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

struct DaemonSet;

impl Strategy for DaemonSet {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        defaults::pod::template(defaults::ensure(spec, "template"));
        defaults::pointer(spec, "revisionHistoryLimit", 10);
        let strategy = defaults::ensure(spec, "updateStrategy");
        defaults::text(strategy, "type", "RollingUpdate");
        if strategy.str_at(&["type"]) == Some("RollingUpdate") {
            let rolling = defaults::ensure(strategy, "rollingUpdate");
            defaults::pointer(rolling, "maxUnavailable", 1);
            defaults::pointer(rolling, "maxSurge", 0);
        }
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        set_template_generation(object, template_generation(object).max(1));
        object.set(&["status"], empty_status());
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        // Counted here alone: what a client sends does not matter.
        let changed = !check::same(object.at(&["spec", "template"]), old.at(&["spec", "template"]));
        set_template_generation(object, template_generation(old) + i64::from(changed));
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let spec = FieldPath::root("spec");
        workload::selector(object, "daemonset", &mut errors);
        workload::template_for_selector(object, check::given(object, &["spec", "selector"]), &mut errors);
        workload::always_restarted(object, "DaemonSet", &mut errors);
        check::not_negative(
            &mut errors,
            &spec.child("minReadySeconds"),
            object.int_at(&["spec", "minReadySeconds"]),
        );
        update_strategy(object, &mut errors);
        let history = object.int_at(&["spec", "revisionHistoryLimit"]);
        check::not_negative(&mut errors, &spec.child("revisionHistoryLimit"), history);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = self.validate(context, object);
        check::immutable(&mut errors, "spec.selector", object, old);
        errors
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        workload::template_warnings(object, "spec.template")
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, old: &Value) -> Vec<String> {
        workload::changed_template_warnings(object, old, "spec.template")
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        const COUNTS: [&str; 9] = [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        let path = FieldPath::root("status");
        let mut errors = Vec::new();
        for key in COUNTS {
            check::not_negative(&mut errors, &path.child(key), object.int_at(&["status", key]));
        }
        workload::collisions_only_grow(object, old, &mut errors);
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let status = |key: &str| Value::from(print::int(object, &["status", key]));
        let [names, images] = print::containers(object.at(&["spec", "template", "spec"]));
        vec![
            print.name(object).into(),
            status("desiredNumberScheduled"),
            status("currentNumberScheduled"),
            status("numberReady"),
            status("updatedNumberScheduled"),
            status("numberAvailable"),
            print::labels(object.map_at(&["spec", "template", "spec", "nodeSelector"])).into(),
            print.age(object).into(),
            names,
            images,
            print::label_selector(object.at(&["spec", "selector"])).into(),
        ]
    }
}

fn empty_status() -> Map {
    ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"]
        .into_iter()
        .map(|key| (Key::borrowed(key), 0))
        .collect()
}

fn template_generation(object: &Value) -> i64 {
    let text = ObjectMeta::of(object).annotations().str(TEMPLATE_GENERATION);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn set_template_generation(object: &mut Value, generation: i64) {
    let mut meta = ObjectMetaMut::of(object);
    let annotations = meta.map().entry(Key::borrowed("annotations"), Value::map);
    if annotations.is_null() {
        *annotations = Value::map();
    }
    if let Some(annotations) = annotations.as_map_mut() {
        annotations.insert(Key::borrowed(TEMPLATE_GENERATION), generation.to_string());
    }
}

fn update_strategy(object: &Value, errors: &mut FieldErrors) {
    const TYPE: &str = "io.k8s.api.apps.v1.DaemonSetUpdateStrategy";
    let path = FieldPath::root("spec").child("updateStrategy");
    let Some(strategy) = object.at(&["spec", "updateStrategy"]) else { return };
    match check::text(strategy, &["type"]) {
        "OnDelete" => {}
        "RollingUpdate" => rolling_update(strategy, &path.child("rollingUpdate"), errors),
        _ => {
            let shown = go_form::show(TYPE, Some(strategy));
            errors.push(check::unsupported_shown(&path, shown, &["RollingUpdate", "OnDelete"]));
        }
    }
}

fn rolling_update(strategy: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(rolling) = strategy.at(&["rollingUpdate"]).filter(|rolling| !rolling.is_null()) else {
        errors.push(FieldError::required(path, ""));
        return;
    };
    let zero = Value::Int(0);
    let [unavailable, surge] = ["maxUnavailable", "maxSurge"].map(|key| rolling.at(&[key]).unwrap_or(&zero));
    validation::int_or_percent(errors, &path.child("maxUnavailable"), unavailable);
    validation::int_or_percent(errors, &path.child("maxSurge"), surge);
    validation::at_most_everything(errors, &path.child("maxUnavailable"), unavailable);
    validation::at_most_everything(errors, &path.child("maxSurge"), surge);
    match (validation::is_nothing(unavailable), validation::is_nothing(surge)) {
        (false, false) => errors.push(FieldError::invalid(
            &path.child("maxSurge"),
            surge,
            "may not be set when maxUnavailable is non-zero",
        )),
        (true, true) => {
            let detail = "cannot be 0 when maxSurge is 0";
            errors.push(FieldError::required(&path.child("maxUnavailable"), detail));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{changed, context, refuses, refuses_status};

    #[test]
    fn one_pod_may_be_missing_during_an_update() {
        let mut object = Value::map();
        DaemonSet.default(&mut object);
        assert_eq!(object.int_at(&["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"]), Some(1));
        assert_eq!(object.int_at(&["spec", "updateStrategy", "rollingUpdate", "maxSurge"]), Some(0));
        let once = object.clone();
        DaemonSet.default(&mut object);
        assert_eq!(object, once);
    }

    #[test]
    fn an_update_must_be_able_to_move() {
        let mut object = Value::map();
        object.set(&["spec", "updateStrategy", "type"], "RollingUpdate");
        object.set(
            &["spec", "updateStrategy", "rollingUpdate"],
            Map::from([("maxUnavailable", 0), ("maxSurge", 0)]),
        );
        let mut errors = Vec::new();
        update_strategy(&object, &mut errors);
        assert_eq!(errors[0].body(), "Required value: cannot be 0 when maxSurge is 0");
    }

    const GOOD: &str = r#"{"metadata":{"name":"a"},"spec":{"selector":{"matchLabels":{"app":"a"}},
        "template":{"metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}}}"#;

    #[test]
    fn at_most_every_pod_may_be_missing() {
        refuses(
            &definition(),
            GOOD,
            &[
                (r#"{"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":"100%"}}}}"#, &[]),
                (
                    r#"{"spec":{"updateStrategy":{"rollingUpdate":{"maxUnavailable":"101%"}}}}"#,
                    &[
                        "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be \
                       greater than 100%",
                    ],
                ),
                (
                    r#"{"spec":{"updateStrategy":{"rollingUpdate":{"maxSurge":"x"}}}}"#,
                    &[
                        "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: \"x\": a valid percent string \
                       must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for \
                       validation is '[0-9]+%')",
                    ],
                ),
                (
                    r#"{"spec":{"revisionHistoryLimit":-1}}"#,
                    &["spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"],
                ),
            ],
        );
    }

    #[test]
    fn collisions_are_not_forgotten() {
        let base = GOOD.replacen("{\"metadata\"", "{\"status\":{\"collisionCount\":1},\"metadata\"", 1);
        refuses_status(
            &definition(),
            &base,
            &[(
                r#"{"status":{"collisionCount":null,"numberReady":-1}}"#,
                &[
                    "status.numberReady: Invalid value: -1: must be greater than or equal to 0",
                    "status.collisionCount: Invalid value: 0: cannot be decremented",
                ],
            )],
        );
    }

    #[test]
    fn what_its_pods_do_without_effect_is_warned_of() {
        let change = r#"{"spec":{"template":{"spec":{"nodeSelector":{"beta.kubernetes.io/os":"linux"}}}}}"#;
        let old = changed(&definition(), GOOD, "{}");
        let new = changed(&definition(), GOOD, change);
        let expected =
            ["spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \
                         \"kubernetes.io/os\" instead"];
        assert_eq!(DaemonSet.warnings_on_create(&context(), &new), expected);
        assert_eq!(DaemonSet.warnings_on_update(&context(), &new, &old), expected);
        assert!(DaemonSet.warnings_on_update(&context(), &new, &new).is_empty());
    }
}
