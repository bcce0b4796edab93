//! Validation of jobs and cron jobs.

use std::collections::BTreeSet;

use meta::selector::LabelSelector;
use meta::{FieldError, FieldErrors, FieldPath};
use schema::{Map, Value};

use super::cron_job::job_spec_path;
use super::job::{generated_selector, has_generated_selector, is_labelled};
use crate::{check, go_form, validation, workload};

/// Pods at once in a job with indexes.
const INDEXED_PARALLELISM_MAX: i64 = 100_000;
/// Longest name of a cron job: its jobs get eleven characters more.
const CRON_JOB_NAME_MAX: usize = 52;

/// A new job.
pub(super) fn create(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    generated(object, &mut errors);
    job_spec(object.at(&["spec"]).unwrap_or(&Value::Null), &FieldPath::root("spec"), true, &mut errors);
    errors
}

/// A changed job.
pub(super) fn update(object: &Value, old: &Value) -> FieldErrors {
    // The original judges the whole job first and its spec once more.
    let mut errors = create(object);
    job_spec(object.at(&["spec"]).unwrap_or(&Value::Null), &FieldPath::root("spec"), true, &mut errors);
    completions(object, old, &mut errors);
    check::immutable(&mut errors, "spec.selector", object, old);
    template(object, old, &mut errors);
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        check::immutable(&mut errors, &format!("spec.{field}"), object, old);
    }
    errors
}

/// A changed status.
pub(super) fn status_update(object: &Value, old: &Value) -> FieldErrors {
    let path = FieldPath::root("status");
    let mut errors = Vec::new();
    for key in ["active", "succeeded", "failed", "ready", "terminating"] {
        check::not_negative(&mut errors, &path.child(key), object.int_at(&["status", key]));
    }
    let start = |job: &Value| job.at(&["status", "startTime"]).cloned();
    let suspended = object.bool_at(&["spec", "suspend"]) == Some(true);
    if start(old).is_some() && start(object) != start(old) && !suspended {
        let detail = "field is immutable for unsuspended job once set";
        errors.push(FieldError::invalid(
            &path.child("startTime"),
            &start(object).unwrap_or_default(),
            detail,
        ));
    }
    errors
}

/// A cron job.
pub(super) fn cron_job(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let name = meta::ObjectMeta::of(object).name();
    if name.len() > CRON_JOB_NAME_MAX {
        let detail = format!("must be no more than {CRON_JOB_NAME_MAX} characters");
        errors.push(FieldError::invalid_str(&FieldPath::root("metadata").child("name"), name, detail));
    }
    let path = FieldPath::root("spec");
    schedule(object, &path, &mut errors);
    let policy = check::text(object, &["spec", "concurrencyPolicy"]);
    let policies = ["Allow", "Forbid", "Replace"];
    check::required_one_of(&mut errors, &path.child("concurrencyPolicy"), policy, &policies);
    for key in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        check::not_negative(&mut errors, &path.child(key), object.int_at(&["spec", key]));
    }
    let template = object.at(&["spec", "jobTemplate", "spec"]).unwrap_or(&Value::Null);
    for (key, set) in [
        ("selector", template.at(&["selector"]).is_some_and(|value| !value.is_null())),
        ("manualSelector", template.bool_at(&["manualSelector"]) == Some(true)),
    ] {
        if set {
            let path = job_spec_path().child(key);
            let shown = template.at(&[key]).unwrap_or(&Value::Null);
            let detail =
                if key == "selector" { "`selector` will be auto-generated" } else { "unsupported value" };
            errors.push(FieldError::invalid(&path, shown, detail));
        }
    }
    job_spec(template, &job_spec_path(), false, &mut errors);
    errors
}

/// Warnings about a cron job.
pub(super) fn cron_job_warnings(object: &Value) -> Vec<String> {
    let schedule = check::text(object, &["spec", "schedule"]);
    if schedule.contains("TZ") {
        vec!["CRON_TZ or TZ used in spec.schedule is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details".to_owned()]
    } else {
        Vec::new()
    }
}

fn schedule(object: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let schedule = check::text(object, &["spec", "schedule"]);
    let schedule_path = path.child("schedule");
    if !check::required(errors, &schedule_path, schedule) {
        return;
    }
    if schedule.contains("TZ") {
        let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(FieldError::invalid_str(&schedule_path, schedule, detail));
    } else if let Err(detail) = super::schedule::check(schedule) {
        errors.push(FieldError::invalid_str(&schedule_path, schedule, detail));
    }
    if let Some(zone) = object.str_at(&["spec", "timeZone"]) {
        let path = path.child("timeZone");
        if zone.is_empty() {
            errors.push(FieldError::invalid_str(&path, zone, "timeZone must be nil or non-empty string"));
        } else if zone.eq_ignore_ascii_case("Local") {
            let detail =
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
            errors.push(FieldError::invalid_str(&path, zone, detail));
        }
    }
}

fn generated(object: &Value, errors: &mut FieldErrors) {
    if !has_generated_selector(object) {
        return;
    }
    let selector = object.at(&["spec", "selector"]);
    if !is_labelled(object) || selector != Some(&generated_selector(object)) {
        let shown = selector.unwrap_or(&Value::Null);
        let path = FieldPath::root("spec").child("selector");
        errors.push(FieldError::invalid(&path, shown, "`selector` not auto-generated"));
    }
}

fn job_spec(spec: &Value, path: &FieldPath, with_selector: bool, errors: &mut FieldErrors) {
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
        managed_by(manager, &path.child("managedBy"), errors);
    }
    indexed(spec, path, errors);
    if let Some(policy) = spec.str_at(&["podReplacementPolicy"]) {
        let known: &[&str] = if spec.at(&["podFailurePolicy"]).is_some_and(|policy| !policy.is_null()) {
            &["Failed"]
        } else {
            &["Failed", "TerminatingOrFailed"]
        };
        check::one_of(errors, &path.child("podReplacementPolicy"), policy, known);
    }
    failure_policy(spec, &path.child("podFailurePolicy"), errors);
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

fn managed_by(manager: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
    if manager.split_once('/').is_none_or(|(domain, rest)| domain.is_empty() || rest.is_empty()) {
        errors.push(FieldError::invalid_str(path, manager, detail));
    }
}

fn indexed(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let number = |key: &str| spec.int_at(&[key]);
    let mode = check::text(spec, &["completionMode"]);
    let is_indexed = mode == "Indexed";
    if !mode.is_empty() {
        check::one_of(errors, &path.child("completionMode"), mode, &["NonIndexed", "Indexed"]);
    }
    if is_indexed {
        if number("completions").is_none() {
            let detail = "when completion mode is Indexed";
            errors.push(FieldError::required(&path.child("completions"), detail));
        }
        if let Some(parallelism) = number("parallelism").filter(|n| *n > INDEXED_PARALLELISM_MAX) {
            let detail = format!(
                "must be less than or equal to {INDEXED_PARALLELISM_MAX} when completion mode is Indexed"
            );
            errors.push(FieldError::invalid(&path.child("parallelism"), &parallelism.into(), detail));
        }
        if let (Some(failed), Some(completions)) = (number("maxFailedIndexes"), number("completions"))
            && failed > completions
        {
            let detail = "must be less than or equal to completions";
            errors.push(FieldError::invalid(&path.child("maxFailedIndexes"), &failed.into(), detail));
        }
    }
    for key in ["backoffLimitPerIndex", "maxFailedIndexes"] {
        if let Some(limit) = number(key).filter(|_| !is_indexed) {
            let detail = "requires indexed completion mode";
            errors.push(FieldError::invalid(&path.child(key), &limit.into(), detail));
        }
    }
    success_policy(spec, is_indexed, &path.child("successPolicy"), errors);
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
    for (i, rule) in rules.iter().enumerate() {
        success_rule(rule, completions, &path.index(i), errors);
    }
}

fn success_rule(rule: &Value, completions: i64, path: &FieldPath, errors: &mut FieldErrors) {
    let (indexes, count) = (rule.str_at(&["succeededIndexes"]), rule.int_at(&["succeededCount"]));
    if indexes.is_none() && count.is_none() {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, detail));
    }
    let mut named = None;
    if let Some(text) = indexes {
        match count_indexes(text, completions) {
            Ok(total) => named = Some(total),
            Err(fault) => {
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

/// How many indexes a list such as `1,3-5` names; they ascend and are below `completions`.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let (mut total, mut last) = (0, None);
    for interval in text.split(',').filter(|_| !text.is_empty()) {
        let (first, end) = interval.split_once('-').unwrap_or((interval, interval));
        let start = index(first, last, completions)?;
        let stop = if interval.contains('-') { index(end, Some(start), completions)? } else { start };
        total += stop - start + 1;
        last = Some(stop);
    }
    Ok(total)
}

fn index(text: &str, last: Option<i64>, completions: i64) -> Result<i64, String> {
    let index: i64 =
        text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
    if let Some(last) = last.filter(|last| index <= *last) {
        return Err(format!("non-increasing order, previous: {last}, current: {index}"));
    }
    if index >= completions { Err(format!("too large index: {text:?}")) } else { Ok(index) }
}

fn failure_policy(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let names: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec.list_at(&["template", "spec", list]))
        .map(|container| check::text(container, &["name"]))
        .collect();
    for (i, rule) in spec.list_at(&["podFailurePolicy", "rules"]).iter().enumerate() {
        let path = path.child("rules").index(i);
        let action = check::text(rule, &["action"]);
        let actions = ["Count", "FailIndex", "FailJob", "Ignore"];
        check::required_one_of(errors, &path.child("action"), action, &actions);
        let codes = rule.at(&["onExitCodes"]).filter(|codes| !codes.is_null());
        let conditions = rule.list_at(&["onPodConditions"]);
        if codes.is_none() && conditions.is_empty() {
            let shown = "specifying one of OnExitCodes and OnPodConditions is required";
            errors.push(check::invalid_shown(&path, shown.to_owned(), ""));
        } else if codes.is_some() && !conditions.is_empty() {
            let shown = "specifying both OnExitCodes and OnPodConditions is not supported";
            errors.push(check::invalid_shown(&path, shown.to_owned(), ""));
        }
        if let Some(codes) = codes {
            exit_codes(codes, &names, &path.child("onExitCodes"), errors);
        }
        for (i, condition) in conditions.iter().enumerate() {
            let path = path.child("onPodConditions").index(i);
            validation::qualified_name(errors, &path.child("type"), check::text(condition, &["type"]));
            let status = check::text(condition, &["status"]);
            check::required_one_of(errors, &path.child("status"), status, &["False", "True", "Unknown"]);
        }
    }
}

fn exit_codes(codes: &Value, names: &[&str], path: &FieldPath, errors: &mut FieldErrors) {
    let operator = check::text(codes, &["operator"]);
    check::required_one_of(errors, &path.child("operator"), operator, &["In", "NotIn"]);
    if let Some(name) = codes.str_at(&["containerName"]).filter(|name| !names.contains(name)) {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.push(FieldError::invalid_str(&path.child("containerName"), name, detail));
    }
    let values = codes.list_at(&["values"]);
    if values.is_empty() {
        errors.push(FieldError::invalid(
            &path.child("values"),
            &Value::List(Vec::new()),
            "at least one value is required",
        ));
    }
    let mut seen = BTreeSet::new();
    for (i, value) in values.iter().enumerate() {
        let path = path.child("values").index(i);
        let number = value.as_int().unwrap_or_default();
        if operator == "In" && number == 0 {
            errors.push(FieldError::invalid(&path, value, "must not be 0 for the In operator"));
        }
        if !seen.insert(number) {
            errors.push(FieldError::duplicate(&path, value));
        }
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
    let number = |job: &Value, key: &str| job.int_at(&["spec", key]);
    let elastic = check::text(object, &["spec", "completionMode"]) == "Indexed";
    let moved_together = number(object, "completions") == number(object, "parallelism");
    if !(elastic && moved_together) {
        check::immutable(errors, "spec.completions", object, old);
    }
}

/// A suspended job that has not started may have its pods placed elsewhere.
fn template(object: &Value, old: &Value, errors: &mut FieldErrors) {
    let path = ["spec", "template"];
    let (mut new_template, mut old_template) =
        (object.at(&path).cloned().unwrap_or_default(), old.at(&path).cloned().unwrap_or_default());
    let movable =
        old.bool_at(&["spec", "suspend"]) == Some(true) && old.at(&["status", "startTime"]).is_none();
    if movable {
        for template in [&mut new_template, &mut old_template] {
            for free in [
                &["metadata", "annotations"][..],
                &["metadata", "labels"],
                &["spec", "nodeSelector"],
                &["spec", "tolerations"],
                &["spec", "schedulingGates"],
                &["spec", "affinity", "nodeAffinity"],
            ] {
                template.remove(free);
            }
        }
    }
    if check::same(Some(&new_template), Some(&old_template)) {
        return;
    }
    let path = FieldPath::root("spec").child("template");
    let (path, shown) = if movable {
        let spec = object.at(&["spec", "template", "spec"]);
        (path.child("spec"), go_form::show("io.k8s.api.core.v1.PodSpec", spec))
    } else {
        let template = object.at(&["spec", "template"]);
        (path, go_form::show("io.k8s.api.core.v1.PodTemplateSpec", template))
    };
    errors.push(check::invalid_shown(&path, shown, check::IMMUTABLE));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(spec: Map) -> Vec<String> {
        let mut errors = Vec::new();
        indexed(&Value::from(spec), &FieldPath::root("spec"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn indexes_need_the_indexed_mode() {
        assert_eq!(
            texts(Map::from([("backoffLimitPerIndex", 1)])),
            ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"]
        );
    }

    #[test]
    fn pods_of_a_job_end() {
        let mut errors = Vec::new();
        let mut spec = Value::map();
        spec.set(&["template", "spec", "restartPolicy"], "Always");
        restart_policy(&spec, &FieldPath::root("p"), &mut errors);
        assert_eq!(errors[0].to_string(), "p: Required value: valid values: \"OnFailure\", \"Never\"");
    }

    #[test]
    fn a_manager_has_a_domain() {
        let mut errors = Vec::new();
        managed_by("nodomain", &FieldPath::root("m"), &mut errors);
        managed_by("a.example/b", &FieldPath::root("m"), &mut errors);
        assert_eq!(errors.len(), 1);
    }
}
