//! Validation of jobs and cron jobs.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

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
    let mut errors = Vec::new();
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
    if with_selector {
        match spec.at(&["selector"]).filter(|selector| !selector.is_null()) {
            None => errors.push(FieldError::required(&path.child("selector"), "")),
            selector => validation::label_selector(selector, &path.child("selector"), errors),
        }
    }
    workload::template(spec.at(&["template"]), &path.child("template"), errors);
    restart_policy(spec, &path.child("template.spec.restartPolicy"), errors);
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
    if number("maxFailedIndexes").is_some() && number("backoffLimitPerIndex").is_none() {
        let detail = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(&path.child("backoffLimitPerIndex"), detail));
    }
    if let Some(policy) = spec.at(&["successPolicy"]).filter(|policy| !policy.is_null())
        && !is_indexed
    {
        let shown = go_form::show("io.k8s.api.batch.v1.SuccessPolicy", Some(policy));
        errors.push(check::invalid_shown(
            &path.child("successPolicy"),
            shown,
            "requires indexed completion mode",
        ));
    }
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
    let suspended =
        old.bool_at(&["spec", "suspend"]) == Some(true) || object.bool_at(&["spec", "suspend"]) == Some(true);
    if suspended && old.at(&["status", "startTime"]).is_none() {
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
    if !check::same(Some(&new_template), Some(&old_template)) {
        let shown = go_form::show("io.k8s.api.core.v1.PodTemplateSpec", object.at(&path));
        errors.push(check::invalid_shown(
            &FieldPath::root("spec").child("template"),
            shown,
            check::IMMUTABLE,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

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
