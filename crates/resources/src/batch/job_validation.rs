//! Validation of jobs, and of their spec in cron jobs. Their status is in `job_status`.

use std::collections::BTreeSet;

use meta::field::quoted;
use meta::selector::LabelSelector;
use meta::validation::is_dns1123_label;
use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use schema::{Key, Map, Value};

use super::indexes;
use super::job::{NAME_LABEL, UID_LABEL, generated_labels, has_generated_selector};
use crate::{check, go_form, validation, workload};

/// Pods at once in a job with indexes.
const INDEXED_PARALLELISM_MAX: i64 = 100_000;
/// Failed indexes a job may allow.
const FAILED_INDEXES_MAX: i64 = 100_000;
/// Completions above which a job with a limit per index is held to [`MANY_COMPLETIONS_LIMIT`].
const MANY_COMPLETIONS: i64 = 100_000;
/// Parallelism and failed indexes of a job with very many completions.
const MANY_COMPLETIONS_LIMIT: i64 = 10_000;
/// Rules of a policy, and conditions of a rule.
const RULES_MAX: usize = 20;
/// Exit codes of a rule.
const EXIT_CODES_MAX: usize = 255;
const SUCCEEDED_INDEXES_BYTES_MAX: usize = 64 * 1024;
const MANAGED_BY_BYTES_MAX: usize = 63;

/// A new job.
pub(super) fn create(object: &Value) -> FieldErrors {
    whole(object, true)
}

fn whole(object: &Value, prefixed_labels: bool) -> FieldErrors {
    let mut errors = Vec::new();
    generated(object, prefixed_labels, &mut errors);
    job_spec(object.at(&["spec"]).unwrap_or(&Value::Null), &FieldPath::root("spec"), true, &mut errors);
    host_names(object, &mut errors);
    errors
}

/// Pods of an indexed job are called like the job with their index behind.
fn host_names(object: &Value, errors: &mut FieldErrors) {
    let completions = object.int_at(&["spec", "completions"]).filter(|completions| *completions > 0);
    let Some(completions) = completions.filter(|_| is_indexed(object)) else { return };
    let name = ObjectMeta::of(object).name();
    let longest = format!("{name}-{}", completions - 1);
    if !is_dns1123_label(&longest).is_empty() {
        let detail = format!("will not able to create pod with invalid DNS label: {longest}");
        errors.push(FieldError::invalid_str(&FieldPath::root("metadata").child("name"), name, detail));
    }
}

fn is_indexed(object: &Value) -> bool {
    check::text(object, &["spec", "completionMode"]) == "Indexed"
}

/// A changed job.
pub(super) fn update(object: &Value, old: &Value) -> FieldErrors {
    // The original judges the whole job first and its spec once more.
    let labels = |key: &str| old.map_at(&["spec", "template", "metadata", "labels"])?.get(key);
    let had_prefixed_labels = labels(NAME_LABEL).is_some() && labels(UID_LABEL).is_some();
    let mut errors = whole(object, had_prefixed_labels);
    job_spec(object.at(&["spec"]).unwrap_or(&Value::Null), &FieldPath::root("spec"), true, &mut errors);
    completions(object, old, &mut errors);
    check::immutable(&mut errors, "spec.selector", object, old);
    template(object, old, &mut errors);
    check::immutable(&mut errors, "spec.completionMode", object, old);
    let policy = "io.k8s.api.batch.v1.PodFailurePolicy";
    check::immutable_struct(&mut errors, "spec.podFailurePolicy", policy, object, old, check::IMMUTABLE);
    check::immutable(&mut errors, "spec.backoffLimitPerIndex", object, old);
    check::immutable(&mut errors, "spec.managedBy", object, old);
    let policy = "io.k8s.api.batch.v1.SuccessPolicy";
    check::immutable_struct(&mut errors, "spec.successPolicy", policy, object, old, check::IMMUTABLE);
    errors
}

fn generated(object: &Value, prefixed: bool, errors: &mut FieldErrors) {
    let Some(selector) = check::given(object, &["spec", "selector"]) else { return };
    if !has_generated_selector(object) {
        return;
    }
    if ObjectMeta::of(object).uid().is_empty() {
        errors.push(FieldError::required(&FieldPath::root("metadata").child("uid"), ""));
    }
    let expected: Map = generated_labels(object)
        .into_iter()
        .filter(|(key, _)| prefixed || !key.contains('/'))
        .map(|(key, value)| (Key::borrowed(key), value))
        .collect();
    for (key, value) in generated_labels(object).iter().filter(|(key, _)| expected.contains_key(key)) {
        generated_label(object, key, value, errors);
    }
    let matches = LabelSelector::from_object(selector).map(|selector| selector.matches(&expected));
    if matches == Ok(false) {
        let path = FieldPath::root("spec").child("selector");
        errors.push(FieldError::invalid(&path, selector, "`selector` not auto-generated"));
    }
}

fn generated_label(object: &Value, key: &str, expected: &str, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec.template.metadata.labels").key(key);
    let labels = object.map_at(&["spec", "template", "metadata", "labels"]);
    let detail = format!("must be '{expected}'");
    match labels.and_then(|labels| labels.str(key)) {
        None => errors.push(FieldError::required(&path, detail)),
        Some(value) if value == expected => {}
        Some(_) => {
            let shown = labels.cloned().map(Value::from).unwrap_or_default();
            errors.push(FieldError::invalid(&path, &shown, detail));
        }
    }
}

/// The spec of a job; in a cron job it has no selector yet.
pub(super) fn job_spec(spec: &Value, path: &FieldPath, with_selector: bool, errors: &mut FieldErrors) {
    for key in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        check::not_negative(errors, &path.child(key), spec.int_at(&[key]));
    }
    let given = |key: &str| spec.int_at(&[key]).is_some();
    if given("maxFailedIndexes") && !given("backoffLimitPerIndex") {
        let detail = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(&path.child("backoffLimitPerIndex"), detail));
    }
    if let Some(manager) = spec.str_at(&["managedBy"]) {
        let path = path.child("managedBy");
        validation::domain_prefixed_path(errors, &path, manager);
        if manager.len() > MANAGED_BY_BYTES_MAX {
            errors.push(FieldError::too_long(&path, MANAGED_BY_BYTES_MAX));
        }
    }
    let is_indexed = indexed(spec, path, errors);
    failure_policy(spec, &path.child("podFailurePolicy"), errors);
    success_policy(spec, is_indexed, &path.child("successPolicy"), errors);
    if let Some(policy) = spec.str_at(&["podReplacementPolicy"]) {
        let known: &[&str] = if spec.at(&["podFailurePolicy"]).is_some_and(|policy| !policy.is_null()) {
            &["Failed"]
        } else {
            &["Failed", "TerminatingOrFailed"]
        };
        check::one_of(errors, &path.child("podReplacementPolicy"), policy, known);
    }
    workload::template(spec.at(&["template"]), &path.child("template"), errors);
    restart_policy(spec, &path.child("template.spec.restartPolicy"), errors);
    if with_selector {
        selector(spec, path, errors);
    }
}

fn selector(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let selector = spec.at(&["selector"]).filter(|selector| !selector.is_null());
    match selector {
        None => errors.push(FieldError::required(&path.child("selector"), "")),
        selector => validation::label_selector(selector, &path.child("selector"), errors),
    }
    let empty = Map::new();
    let labels = spec.map_at(&["template", "metadata", "labels"]).unwrap_or(&empty);
    let selected = match selector.map(LabelSelector::from_object) {
        Some(Ok(selector)) => selector.matches(labels),
        Some(Err(_)) => true,
        None => false,
    };
    if !selected {
        let shown = spec.at(&["template", "metadata", "labels"]).unwrap_or(&Value::Null);
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(&path.child("template.metadata.labels"), shown, detail));
    }
}

/// Rules of the completion mode. True if it is `Indexed`.
fn indexed(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) -> bool {
    let mode = spec.str_at(&["completionMode"]);
    if let Some(mode) = mode {
        check::one_of(errors, &path.child("completionMode"), mode, &["NonIndexed", "Indexed"]);
    }
    let is_indexed = mode == Some("Indexed");
    if is_indexed {
        index_limits(spec, path, errors);
    }
    if mode.is_none_or(|mode| mode == "NonIndexed") {
        for key in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(limit) = spec.int_at(&[key]) {
                let detail = "requires indexed completion mode";
                errors.push(FieldError::invalid(&path.child(key), &limit.into(), detail));
            }
        }
    }
    is_indexed
}

fn index_limits(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let number = |key: &str| spec.int_at(&[key]);
    let (completions, failed) = (number("completions"), number("maxFailedIndexes"));
    if completions.is_none() {
        let detail = "when completion mode is Indexed";
        errors.push(FieldError::required(&path.child("completions"), detail));
    }
    at_most(errors, path, spec, "parallelism", INDEXED_PARALLELISM_MAX, " when completion mode is Indexed");
    if let (Some(failed), Some(completions)) = (failed, completions)
        && failed > completions
    {
        let detail = "must be less than or equal to completions";
        errors.push(FieldError::invalid(&path.child("maxFailedIndexes"), &failed.into(), detail));
    }
    at_most(errors, path, spec, "maxFailedIndexes", FAILED_INDEXES_MAX, "");
    if completions.is_some_and(|completions| completions > MANY_COMPLETIONS)
        && number("backoffLimitPerIndex").is_some()
    {
        let reason =
            format!(" when completions are above {MANY_COMPLETIONS} and used with backoff limit per index");
        if failed.is_none() {
            let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            errors.push(FieldError::required(&path.child("maxFailedIndexes"), detail));
        }
        at_most(errors, path, spec, "parallelism", MANY_COMPLETIONS_LIMIT, &reason);
        at_most(errors, path, spec, "maxFailedIndexes", MANY_COMPLETIONS_LIMIT, &reason);
    }
}

/// The number in field `key`, if it is there, is at most `limit`.
fn at_most(errors: &mut FieldErrors, path: &FieldPath, spec: &Value, key: &str, limit: i64, reason: &str) {
    if let Some(number) = spec.int_at(&[key]).filter(|number| *number > limit) {
        let detail = format!("must be less than or equal to {limit}{reason}");
        errors.push(FieldError::invalid(&path.child(key), &number.into(), detail));
    }
}

fn success_policy(spec: &Value, is_indexed: bool, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(policy) = spec.at(&["successPolicy"]).filter(|policy| !policy.is_null()) else { return };
    if !is_indexed {
        let shown = go_form::show("io.k8s.api.batch.v1.SuccessPolicy", Some(policy));
        errors.push(check::invalid_shown(path, shown, "requires indexed completion mode"));
        return;
    }
    let path = path.child("rules");
    let completions = spec.int_at(&["completions"]).unwrap_or_default();
    let rules = policy.list_at(&["rules"]);
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&path, detail));
    }
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(&path, rules.len(), RULES_MAX));
    }
    for (i, rule) in rules.iter().enumerate() {
        success_rule(rule, completions, &path.index(i), errors);
    }
}

fn success_rule(rule: &Value, completions: i64, path: &FieldPath, errors: &mut FieldErrors) {
    let (listed, count) = (rule.str_at(&["succeededIndexes"]), rule.int_at(&["succeededCount"]));
    if listed.is_none() && count.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, detail));
    }
    let mut named = None;
    if let Some(text) = listed {
        if text.len() > SUCCEEDED_INDEXES_BYTES_MAX {
            errors.push(FieldError::too_long(&path.child("succeededIndexes"), SUCCEEDED_INDEXES_BYTES_MAX));
        }
        match indexes::count(text, completions) {
            Ok(total) => named = Some(total),
            Err(fault) => {
                // A list that cannot be read names no index.
                named = Some(0);
                let detail = format!("error parsing succeededIndexes: {fault}");
                errors.push(FieldError::invalid_str(&path.child("succeededIndexes"), text, detail));
            }
        }
    }
    let Some(count) = count else { return };
    let path = path.child("succeededCount");
    check::not_negative(errors, &path, Some(count));
    if count > completions {
        let detail =
            format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.push(FieldError::invalid(&path, &count.into(), detail));
    }
    if let Some(named) = named.filter(|named| count > *named) {
        let detail = format!(
            "must be less than or equal to {named} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.push(FieldError::invalid(&path, &count.into(), detail));
    }
}

fn failure_policy(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(policy) = check::given(spec, &["podFailurePolicy"]) else { return };
    let names: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec.list_at(&["template", "spec", list]))
        .map(|container| check::text(container, &["name"]))
        .collect();
    let (path, rules) = (path.child("rules"), policy.list_at(&["rules"]));
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(&path, rules.len(), RULES_MAX));
    }
    let per_index = spec.int_at(&["backoffLimitPerIndex"]).is_some();
    for (i, rule) in rules.iter().enumerate() {
        failure_rule(rule, per_index, &names, &path.index(i), errors);
    }
}

fn failure_rule(rule: &Value, per_index: bool, names: &[&str], path: &FieldPath, errors: &mut FieldErrors) {
    match check::text(rule, &["action"]) {
        "FailIndex" if !per_index => {
            let detail = "requires the backoffLimitPerIndex to be set";
            errors.push(FieldError::invalid_str(&path.child("action"), "FailIndex", detail));
        }
        action => {
            one_of_listed(
                errors,
                &path.child("action"),
                action,
                &["Count", "FailIndex", "FailJob", "Ignore"],
            );
        }
    }
    let codes = check::given(rule, &["onExitCodes"]);
    let conditions = rule.list_at(&["onPodConditions"]);
    if let Some(codes) = codes {
        exit_codes(codes, names, &path.child("onExitCodes"), errors);
    }
    pod_conditions(conditions, &path.child("onPodConditions"), errors);
    let detail = match (codes.is_some(), conditions.is_empty()) {
        (true, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (false, true) => "specifying one of OnExitCodes and OnPodConditions is required",
        _ => return,
    };
    errors.push(check::invalid_shown(path, String::new(), detail));
}

fn pod_conditions(conditions: &[Value], path: &FieldPath, errors: &mut FieldErrors) {
    if conditions.len() > RULES_MAX {
        errors.push(FieldError::too_many(path, conditions.len(), RULES_MAX));
    }
    for (i, condition) in conditions.iter().enumerate() {
        let path = path.index(i);
        validation::qualified_name(errors, &path.child("type"), check::text(condition, &["type"]));
        let status = check::text(condition, &["status"]);
        one_of_listed(errors, &path.child("status"), status, &["False", "True", "Unknown"]);
    }
}

/// One of `supported`, which the error lists even if there is nothing.
fn one_of_listed(errors: &mut FieldErrors, path: &FieldPath, text: &str, supported: &[&str]) {
    if text.is_empty() {
        let list: Vec<String> = supported.iter().map(|value| quoted(value)).collect();
        errors.push(FieldError::required(path, format!("valid values: [{}]", list.join(" "))));
    } else {
        check::one_of(errors, path, text, supported);
    }
}

fn exit_codes(codes: &Value, names: &[&str], path: &FieldPath, errors: &mut FieldErrors) {
    let operator = check::text(codes, &["operator"]);
    one_of_listed(errors, &path.child("operator"), operator, &["In", "NotIn"]);
    if let Some(name) = codes.str_at(&["containerName"]).filter(|name| !names.contains(name)) {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.push(FieldError::invalid_str(&path.child("containerName"), name, detail));
    }
    let (path, values) = (path.child("values"), codes.list_at(&["values"]));
    if values.is_empty() {
        let shown = codes.at(&["values"]).unwrap_or(&Value::Null);
        errors.push(FieldError::invalid(&path, shown, "at least one value is required"));
    } else if values.len() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(&path, values.len(), EXIT_CODES_MAX));
    }
    let mut seen = BTreeSet::new();
    for (i, value) in values.iter().enumerate() {
        let path = path.index(i);
        let number = value.as_int().unwrap_or_default();
        if operator == "In" && number == 0 {
            errors.push(FieldError::invalid(&path, value, "must not be 0 for the In operator"));
        }
        if !seen.insert(number) {
            errors.push(FieldError::duplicate(&path, value));
        }
    }
    if !values.is_sorted_by_key(|value| value.as_int()) {
        let shown = Value::from(values.to_vec());
        errors.push(FieldError::invalid(&path, &shown, "must be ordered"));
    }
}

fn restart_policy(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let policy = check::text(spec, &["template", "spec", "restartPolicy"]);
    match policy {
        "" | "Always" => {
            errors.push(FieldError::required(path, "valid values: \"OnFailure\", \"Never\""));
        }
        "OnFailure" | "Never" => {
            if policy != "Never" && spec.at(&["podFailurePolicy"]).is_some_and(|policy| !policy.is_null()) {
                let detail = "only \"Never\" is supported when podFailurePolicy is specified";
                errors.push(FieldError::invalid_str(path, policy, detail));
            }
        }
        _ => errors.push(FieldError::not_supported(path, &policy.into(), &["OnFailure", "Never"])),
    }
}

/// An indexed job may grow and shrink if its pods change with it.
fn completions(object: &Value, old: &Value, errors: &mut FieldErrors) {
    if !is_indexed(object) {
        check::immutable(errors, "spec.completions", object, old);
        return;
    }
    let number = |job: &Value, key: &str| job.int_at(&["spec", key]);
    let Some(completions) = number(object, "completions") else { return };
    if Some(completions) != number(old, "completions") && Some(completions) != number(object, "parallelism") {
        let path = FieldPath::root("spec").child("completions");
        let detail = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid(&path, &completions.into(), detail));
    }
}

/// Fields of a pod's spec that say where it may run.
const DIRECTIVES: [&[&str]; 4] =
    [&["nodeSelector"], &["tolerations"], &["schedulingGates"], &["affinity", "nodeAffinity"]];

/// A suspended job that has not started may have its pods placed elsewhere
/// and given other resources, and labelled anew.
fn template(object: &Value, old: &Value, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec").child("template");
    let movable = old.bool_at(&["spec", "suspend"]) == Some(true)
        && check::given(old, &["status", "startTime"]).is_none();
    if !movable {
        let (new, old) = (object.at(&["spec", "template"]), old.at(&["spec", "template"]));
        if !check::same(new, old) {
            let shown = go_form::show("io.k8s.api.core.v1.PodTemplateSpec", new);
            errors.push(check::invalid_shown(&path, shown, check::IMMUTABLE));
        }
        return;
    }
    let fixed = |job: &Value| {
        let mut spec = job.at(&["spec", "template", "spec"]).cloned().unwrap_or_default();
        DIRECTIVES.iter().for_each(|directive| drop(spec.remove(directive)));
        spec
    };
    let (new, mut old) = (fixed(object), fixed(old));
    for list in ["containers", "initContainers"] {
        take_resources(&mut old, &new, list);
    }
    if !check::same(Some(&new), Some(&old)) {
        let shown = go_form::show("io.k8s.api.core.v1.PodSpec", object.at(&["spec", "template", "spec"]));
        errors.push(check::invalid_shown(&path.child("spec"), shown, check::IMMUTABLE));
    }
}

/// Gives containers of `old` the resources of their namesakes in `new`, if none has come or gone.
fn take_resources(old: &mut Value, new: &Value, list: &'static str) {
    let new = new.list_at(&[list]);
    let Some(old) = old.get_mut(list).and_then(Value::as_list_mut) else { return };
    if old.len() != new.len() {
        return;
    }
    for (old, new) in old.iter_mut().zip(new) {
        if check::text(old, &["name"]) == check::text(new, &["name"]) {
            match new.at(&["resources"]) {
                Some(resources) => old.set(&["resources"], resources.clone()),
                None => drop(old.remove(&["resources"])),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::batch::job::definition;
    use crate::testing::{refuses, refuses_updates};

    const JOB: &str = r#"{"metadata":{"name":"a","uid":"u"},"spec":{"template":{"metadata":{"labels":{
        "batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"a","controller-uid":"u",
        "job-name":"a"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i:1"}]}},
        "selector":{"matchLabels":{"batch.kubernetes.io/controller-uid":"u"}}}}"#;

    #[test]
    fn indexes_need_the_indexed_mode_and_have_limits() {
        refuses(
            &definition(),
            JOB,
            &[
                (
                    r#"{"spec":{"backoffLimitPerIndex":1}}"#,
                    &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
                ),
                (r#"{"spec":{"completionMode":"Indexed","completions":100000,"parallelism":100000}}"#, &[]),
                (
                    r#"{"spec":{"completionMode":"Indexed","parallelism":1}}"#,
                    &["spec.completions: Required value: when completion mode is Indexed"],
                ),
                (
                    r#"{"spec":{"completionMode":"Indexed","completions":100001,"parallelism":10001,
                        "backoffLimitPerIndex":1}}"#,
                    &[
                        "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
                        "spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when \
                         completions are above 100000 and used with backoff limit per index",
                    ],
                ),
                (
                    r#"{"metadata":{"name":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
                        "spec":{"completionMode":"Indexed","completions":11,"manualSelector":true}}"#,
                    &["metadata.name: Invalid value: \
                       \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": will not able to create \
                       pod with invalid DNS label: \
                       aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-10"],
                ),
            ],
        );
    }

    #[test]
    fn a_failure_policy_is_complete() {
        refuses(
            &definition(),
            JOB,
            &[
                (
                    r#"{"spec":{"podFailurePolicy":{"rules":[{"onPodConditions":[{"type":"A","status":""}]}]}}}"#,
                    &[
                        "spec.podFailurePolicy.rules[0].action: Required value: valid values: [\"Count\" \"FailIndex\" \
                       \"FailJob\" \"Ignore\"]",
                    ],
                ),
                (
                    r#"{"spec":{"podFailurePolicy":{"rules":[{"action":"FailIndex",
                        "onExitCodes":{"operator":"NotIn","values":[2,1]}}]}}}"#,
                    &[
                        "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the \
                         backoffLimitPerIndex to be set",
                        "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1]: must be ordered",
                    ],
                ),
                (
                    r#"{"spec":{"podFailurePolicy":{"rules":[{"action":"Count","onExitCodes":{"values":[]}}]}}}"#,
                    &[
                        "spec.podFailurePolicy.rules[0].onExitCodes.operator: Required value: valid values: [\"In\" \
                         \"NotIn\"]",
                        "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: []: at least one value is \
                         required",
                    ],
                ),
                (
                    r#"{"spec":{"podFailurePolicy":{"rules":[]},"podReplacementPolicy":"TerminatingOrFailed"}}"#,
                    &[
                        "spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: \
                       \"Failed\"",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn labels_and_selector_are_the_generated_ones() {
        refuses(
            &definition(),
            JOB,
            &[
                (
                    r#"{"spec":{"template":{"metadata":{"labels":{"job-name":"x"}}}}}"#,
                    &["spec.template.metadata.labels[job-name]: Invalid value: \
                       {\"batch.kubernetes.io/controller-uid\":\"u\",\"batch.kubernetes.io/job-name\":\"a\",\
                       \"controller-uid\":\"u\",\"job-name\":\"x\"}: must be 'a'"],
                ),
                (r#"{"spec":{"managedBy":"a.example/b"}}"#, &[]),
                (
                    r#"{"spec":{"managedBy":"A/b c"}}"#,
                    &[
                        "spec.managedBy: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower \
                         case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric \
                         character (e.g. 'example.com', regex used for validation is \
                         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                        "spec.managedBy: Invalid value: \"b c\": Invalid path (regex used for validation is \
                         '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
                    ],
                ),
                (
                    r#"{"spec":{"template":{"spec":{"restartPolicy":"Always"}}}}"#,
                    &[
                        "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn a_running_job_keeps_its_shape() {
        refuses_updates(
            &definition(),
            JOB,
            &[
                (r#"{"spec":{"parallelism":7,"suspend":true}}"#, &[]),
                (
                    r#"{"spec":{"completions":2}}"#,
                    &["spec.completions: Invalid value: 2: field is immutable"],
                ),
                (
                    r#"{"spec":{"managedBy":"a.example/b"}}"#,
                    &["spec.managedBy: Invalid value: \"a.example/b\": field is immutable"],
                ),
            ],
        );
    }

    #[test]
    fn an_indexed_job_grows_in_tandem() {
        let base =
            JOB.replacen("\"spec\":{", "\"spec\":{\"completionMode\":\"Indexed\",\"completions\":3,", 1);
        refuses_updates(
            &definition(),
            &base,
            &[
                (r#"{"spec":{"completions":5,"parallelism":5}}"#, &[]),
                (
                    r#"{"spec":{"completions":5}}"#,
                    &[
                        "spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn pods_of_a_suspended_job_may_be_placed_elsewhere() {
        let base = JOB.replacen("\"spec\":{", "\"spec\":{\"suspend\":true,", 1);
        refuses_updates(
            &definition(),
            &base,
            &[(
                r#"{"spec":{"template":{"metadata":{"labels":{"x":"y"}},"spec":{"nodeSelector":{"a":"b"},
                    "containers":[{"name":"c","image":"i:1","resources":{"requests":{"cpu":"1"}}}]}}}}"#,
                &[],
            )],
        );
    }
}
