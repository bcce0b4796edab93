//! Validation of cron jobs: schedule, time zone and what a job's spec cannot have yet.

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use schema::Value;

use super::{job_validation, schedule};
use crate::{check, workload};

/// Longest name of a cron job: its jobs get eleven characters more.
const CRON_JOB_NAME_MAX: usize = 52;
/// Where the template of the pods is.
const TEMPLATE: &str = "spec.jobTemplate.spec.template";
/// Longest part of the name of a time zone.
const ZONE_PART_BYTES_MAX: usize = 14;
/// Names of all time zones, one a line, in the order of their bytes.
const TIME_ZONES: &str = include_str!("time_zones.txt");

/// A new cron job.
pub(super) fn create(object: &Value) -> FieldErrors {
    let mut errors = spec(object, None);
    let name = ObjectMeta::of(object).name();
    if name.len() > CRON_JOB_NAME_MAX {
        let detail = format!("must be no more than {CRON_JOB_NAME_MAX} characters");
        errors.push(FieldError::invalid_str(&FieldPath::root("metadata").child("name"), name, detail));
    }
    errors
}

/// A changed cron job. What it always had is not judged again: its name, its time zone, a zone in its schedule.
pub(super) fn update(object: &Value, old: &Value) -> FieldErrors {
    spec(object, Some(old))
}

/// Warnings about a new cron job.
pub(super) fn warnings_on_create(object: &Value) -> Vec<String> {
    let mut warnings = workload::name_warnings(object);
    warnings.extend(workload::template_warnings(object, TEMPLATE));
    warnings.extend(zone_warning(object));
    warnings
}

/// Warnings about a changed cron job.
pub(super) fn warnings_on_update(object: &Value, old: &Value) -> Vec<String> {
    let mut warnings = workload::changed_template_warnings(object, old, TEMPLATE);
    warnings.extend(zone_warning(object));
    warnings
}

fn zone_warning(object: &Value) -> Option<String> {
    check::text(object, &["spec", "schedule"]).contains("TZ").then(|| {
        "CRON_TZ or TZ used in spec.schedule is not officially supported, see \
         https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            .to_owned()
    })
}

fn spec(object: &Value, old: Option<&Value>) -> FieldErrors {
    let mut errors = Vec::new();
    let path = FieldPath::root("spec");
    let number = |key: &str| object.int_at(&["spec", key]);
    schedule_format(object, old, &path.child("schedule"), &mut errors);
    let not_negative = |errors: &mut FieldErrors, key: &str| {
        check::not_negative(errors, &path.child(key), number(key));
    };
    not_negative(&mut errors, "startingDeadlineSeconds");
    let zone = |object: &Value| object.str_at(&["spec", "timeZone"]).map(str::to_owned);
    if old.is_none_or(|old| zone(old) != zone(object))
        && let Some(zone) = zone(object)
    {
        time_zone(&zone, &path.child("timeZone"), &mut errors);
    }
    let policy = check::text(object, &["spec", "concurrencyPolicy"]);
    let policies = ["Allow", "Forbid", "Replace"];
    check::required_one_of(&mut errors, &path.child("concurrencyPolicy"), policy, &policies);
    template(object, &path.child("jobTemplate.spec"), &mut errors);
    not_negative(&mut errors, "successfulJobsHistoryLimit");
    not_negative(&mut errors, "failedJobsHistoryLimit");
    errors
}

/// A job in a template has no selector: every job made from it gets its own.
fn template(object: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let spec = object.at(&["spec", "jobTemplate", "spec"]).unwrap_or(&Value::Null);
    job_validation::job_spec(spec, path, false, errors);
    if let Some(selector) = check::given(spec, &["selector"]) {
        let detail = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(&path.child("selector"), selector, detail));
    }
    if spec.bool_at(&["manualSelector"]) == Some(true) {
        let path = path.child("manualSelector");
        errors.push(FieldError::not_supported(&path, &true.into(), &["nil", "false"]));
    }
}

fn schedule_format(object: &Value, old: Option<&Value>, path: &FieldPath, errors: &mut FieldErrors) {
    let text = |object: &Value| check::text(object, &["spec", "schedule"]).to_owned();
    let schedule = text(object);
    if !check::required(errors, path, &schedule) {
        return;
    }
    if let Err(detail) = schedule::check(&schedule, is_time_zone) {
        errors.push(FieldError::invalid_str(path, &schedule, detail));
    }
    if !schedule.contains("TZ") {
        return;
    }
    let had_zone = old.is_some_and(|old| text(old).contains("TZ"));
    let detail = match (had_zone, object.str_at(&["spec", "timeZone"])) {
        (true, None) => return,
        (true, Some(_)) => "cannot use both timeZone field and TZ or CRON_TZ in schedule",
        (false, _) => "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
    };
    errors.push(FieldError::invalid_str(path, &schedule, detail));
}

fn time_zone(zone: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let mut invalid = |detail: String| errors.push(FieldError::invalid_str(path, zone, detail));
    let unknown = || format!("unknown time zone {zone}");
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    let good = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.starts_with('-')
            && part.len() <= ZONE_PART_BYTES_MAX
            && part.chars().all(allowed)
    };
    if zone.is_empty() {
        invalid("timeZone must be nil or non-empty string".to_owned());
    } else if !zone.split('/').all(good) {
        invalid(unknown());
    } else {
        if zone.eq_ignore_ascii_case("Local") {
            invalid(
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
                    .to_owned(),
            );
        }
        if !is_time_zone(zone) {
            invalid(unknown());
        }
    }
}

/// True for the name of a time zone, in its spelling.
fn is_time_zone(name: &str) -> bool {
    name == "Local" || TIME_ZONES.lines().any(|zone| zone == name)
}

#[cfg(test)]
mod tests {
    use crate::batch::cron_job::definition;
    use crate::testing::{changed, context, refuses, refuses_updates};

    const CRON_JOB: &str = r#"{"metadata":{"name":"a"},"spec":{"schedule":"0 0 * * *","jobTemplate":{"spec":{
        "template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i:1"}]}}}}}}"#;

    #[test]
    fn schedules_are_read_and_zones_known() {
        refuses(
            &definition(),
            CRON_JOB,
            &[
                (r#"{"spec":{"timeZone":"Europe/Paris"}}"#, &[]),
                (r#"{"spec":{"timeZone":"Etc/UTC"}}"#, &[]),
                (
                    r#"{"spec":{"timeZone":""}}"#,
                    &["spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string"],
                ),
                (
                    r#"{"spec":{"timeZone":"Mars/Base"}}"#,
                    &["spec.timeZone: Invalid value: \"Mars/Base\": unknown time zone Mars/Base"],
                ),
                (
                    r#"{"spec":{"timeZone":"local"}}"#,
                    &[
                        "spec.timeZone: Invalid value: \"local\": timeZone must be an explicit time zone as defined \
                         in https://www.iana.org/time-zones",
                        "spec.timeZone: Invalid value: \"local\": unknown time zone local",
                    ],
                ),
                (r#"{"spec":{"schedule":""}}"#, &["spec.schedule: Required value"]),
                (
                    r#"{"spec":{"schedule":"TZ=Nowhere 0 0 * * *"}}"#,
                    &[
                        "spec.schedule: Invalid value: \"TZ=Nowhere 0 0 * * *\": provided bad location Nowhere: \
                         unknown time zone Nowhere",
                        "spec.schedule: Invalid value: \"TZ=Nowhere 0 0 * * *\": cannot use TZ or CRON_TZ in \
                         schedule, use timeZone field instead",
                    ],
                ),
                (
                    r#"{"spec":{"concurrencyPolicy":"X","failedJobsHistoryLimit":-1}}"#,
                    &[
                        "spec.concurrencyPolicy: Unsupported value: \"X\": supported values: \"Allow\", \"Forbid\", \
                         \"Replace\"",
                        "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
                    ],
                ),
                (
                    r#"{"spec":{"jobTemplate":{"spec":{"manualSelector":true}}}}"#,
                    &[
                        "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \
                       \"false\"",
                    ],
                ),
                (
                    r#"{"metadata":{"name":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}"#,
                    &[
                        "metadata.name: Invalid value: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": must \
                       be no more than 52 characters",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn a_zone_in_an_old_schedule_may_stay() {
        let old = CRON_JOB.replace("0 0 * * *", "TZ=UTC 0 0 * * *");
        refuses_updates(
            &definition(),
            &old,
            &[
                (r#"{"spec":{"schedule":"CRON_TZ=UTC 1 0 * * *"}}"#, &[]),
                (
                    r#"{"spec":{"timeZone":"UTC"}}"#,
                    &[
                        "spec.schedule: Invalid value: \"TZ=UTC 0 0 * * *\": cannot use both timeZone field and TZ or \
                       CRON_TZ in schedule",
                    ],
                ),
            ],
        );
        let object = changed(&definition(), &old, "{}");
        assert_eq!(definition().strategy.warnings_on_create(&context(), &object).len(), 1);
    }
}
