//! Validation of the status of jobs: whoever manages a job, its conditions
//! and counters follow the rules clients rely on. A rule is applied only when
//! something it speaks of has changed, so that old faults do not block updates.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::indexes;
use crate::{check, go_form, print};

/// A changed status.
pub(super) fn update(object: &Value, old: &Value) -> FieldErrors {
    let change = Change { new: object, old, errors: Vec::new() };
    change.judge()
}

struct Change<'a> {
    new: &'a Value,
    old: &'a Value,
    errors: FieldErrors,
}

impl Change<'_> {
    fn judge(mut self) -> FieldErrors {
        self.counts();
        self.uncounted();
        self.completion();
        self.finish();
        self.indexes();
        self.counts_against_each_other();
        self.success_criteria();
        self.terminal_conditions_stay();
        self.counters_grow();
        self.times_stay();
        self.errors
    }

    fn counts(&mut self) {
        for key in ["active", "succeeded", "failed", "ready", "terminating"] {
            let path = status(key);
            check::not_negative(&mut self.errors, &path, self.new.int_at(&["status", key]));
        }
    }

    fn uncounted(&mut self) {
        let mut seen = BTreeSet::new();
        for list in ["succeeded", "failed"] {
            let path = status("uncountedTerminatedPods").child(list);
            let uids = self.new.list_at(&["status", "uncountedTerminatedPods", list]);
            for (i, uid) in uids.iter().enumerate() {
                let path = path.index(i);
                match uid.as_str().unwrap_or_default() {
                    "" => self.errors.push(FieldError::invalid_str(&path, "", "must not be empty")),
                    text if !seen.insert(text) => self.errors.push(FieldError::duplicate(&path, uid)),
                    _ => {}
                }
            }
        }
    }

    fn completion(&mut self) {
        let complete = is(self.new, "Complete");
        let changed = self.turned("Complete");
        if (changed || self.turned("Failed")) && complete && is(self.new, "Failed") {
            self.conditions("cannot set Complete=True and Failed=true conditions");
        }
        if (changed || self.turned("FailureTarget")) && complete && is(self.new, "FailureTarget") {
            self.conditions("cannot set Complete=True and FailureTarget=true conditions");
        }
        let time = time(self.new, "completionTime").cloned();
        let path = status("completionTime");
        if changed || self.moved("completionTime") {
            match (&time, complete) {
                (Some(time), false) => {
                    let detail = "cannot set completionTime when there is no Complete=True condition";
                    self.errors.push(FieldError::invalid(&path, time, detail));
                }
                (None, true) => {
                    let detail = "completionTime is required for Complete jobs";
                    self.errors.push(FieldError::required(&path, detail));
                }
                _ => {}
            }
        }
        let timing = self.moved("startTime") || self.moved("completionTime");
        if let (true, Some(start), Some(end)) =
            (timing, self.seconds("startTime"), self.seconds("completionTime"))
            && end < start
        {
            let shown = time.unwrap_or_default();
            self.errors.push(FieldError::invalid(&path, &shown, "must be equal to or after `startTime`"));
        }
        let failed = self.turned("Failed") || self.moved("failedIndexes");
        if failed && is(self.new, "Failed") && !is(self.new, "FailureTarget") {
            self.conditions("cannot set Failed=True condition without the FailureTarget=true condition");
        }
        let succeeded = changed || self.turned("SuccessCriteriaMet");
        if succeeded && complete && !is(self.new, "SuccessCriteriaMet") {
            self.conditions(
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            );
        }
    }

    fn finish(&mut self) {
        let finished = is_finished(self.new);
        let turned = finished != is_finished(self.old);
        if !finished {
            return;
        }
        let active = print::int(self.new, &["status", "active"]);
        if (turned || self.moved("active")) && active > 0 {
            let detail = "active>0 is invalid for finished job";
            self.errors.push(FieldError::invalid(&status("active"), &active.into(), detail));
        }
        if (turned || self.moved("startTime")) && time(self.new, "startTime").is_none() {
            let detail = "startTime is required for finished job";
            self.errors.push(FieldError::required(&status("startTime"), detail));
        }
        if turned || self.moved("uncountedTerminatedPods") {
            let pods = check::given(self.new, &["status", "uncountedTerminatedPods"]);
            let some = |list: &str| pods.is_some_and(|pods| !pods.list_at(&[list]).is_empty());
            if some("succeeded") || some("failed") {
                let shown = go_form::show("io.k8s.api.batch.v1.UncountedTerminatedPods", pods);
                let path = status("uncountedTerminatedPods");
                self.errors.push(check::invalid_shown(&path, shown, "must be empty for finished job"));
            }
        }
    }

    fn indexes(&mut self) {
        let completions = self.new.int_at(&["spec", "completions"]);
        let completed = check::text(self.new, &["status", "completedIndexes"]);
        let failed = self.new.str_at(&["status", "failedIndexes"]);
        let (completed_path, failed_path) = (status("completedIndexes"), status("failedIndexes"));
        let (completed_moved, failed_moved) = (self.moved("completedIndexes"), self.moved("failedIndexes"));
        let per_index = self.new.int_at(&["spec", "backoffLimitPerIndex"]).is_some();
        if let (true, Some(completions)) = (completed_moved, completions)
            && let Err(fault) = indexes::count(completed, completions)
        {
            let detail = format!("error parsing completedIndexes: {fault}");
            self.errors.push(FieldError::invalid_str(&completed_path, completed, detail));
        }
        if let (true, true, Some(completions), Some(failed)) = (failed_moved, per_index, completions, failed)
            && let Err(fault) = indexes::count(failed, completions)
        {
            let detail = format!("error parsing failedIndexes: {fault}");
            self.errors.push(FieldError::invalid_str(&failed_path, failed, detail));
        }
        let indexed = check::text(self.new, &["spec", "completionMode"]) == "Indexed";
        if completed_moved && !completed.is_empty() && !indexed {
            let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
            self.errors.push(FieldError::invalid_str(&completed_path, completed, detail));
        }
        let Some(failed) = failed else { return };
        if failed_moved && !per_index {
            let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
            self.errors.push(FieldError::invalid_str(&failed_path, failed, detail));
        }
        if let (true, Some(completions)) = (completed_moved || failed_moved, completions)
            && let Some(index) = indexes::overlap(completed, failed, completions)
        {
            let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
            self.errors.push(FieldError::invalid_str(&failed_path, failed, detail));
        }
    }

    fn counts_against_each_other(&mut self) {
        let finished = is_finished(self.new);
        let turned = finished != is_finished(self.old);
        let terminating = print::int(self.new, &["status", "terminating"]);
        if (turned || self.moved("terminating")) && finished && terminating > 0 {
            let detail = "terminating>0 is invalid for finished job";
            self.errors.push(FieldError::invalid(&status("terminating"), &terminating.into(), detail));
        }
        let (ready, active) = (self.new.int_at(&["status", "ready"]), self.new.int_at(&["status", "active"]));
        if let (true, Some(ready)) = (self.moved("ready") || self.moved("active"), ready)
            && ready > active.unwrap_or_default()
        {
            let detail = "cannot set more ready pods than active";
            self.errors.push(FieldError::invalid(&status("ready"), &ready.into(), detail));
        }
    }

    fn success_criteria(&mut self) {
        let met = is(self.new, "SuccessCriteriaMet");
        if met && is(self.new, "Failed") {
            self.conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions");
        }
        if met && is(self.new, "FailureTarget") {
            self.conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
        }
        let policy = check::given(self.new, &["spec", "successPolicy"]).is_some();
        if policy && !met && is(self.new, "Complete") {
            self.conditions(
                "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
            );
        }
    }

    fn terminal_conditions_stay(&mut self) {
        for kind in ["Failed", "Complete", "FailureTarget"] {
            if is(self.old, kind) && !is(self.new, kind) {
                self.conditions(format!("cannot disable the terminal {kind}=True condition"));
            }
        }
    }

    fn counters_grow(&mut self) {
        let elastic = check::text(self.new, &["spec", "completionMode"]) == "Indexed"
            && self.new.int_at(&["spec", "completions"]) == self.new.int_at(&["spec", "parallelism"]);
        for (key, fixed) in [("failed", true), ("succeeded", !elastic)] {
            let count = |object: &Value| print::int(object, &["status", key]);
            if fixed && count(self.new) < count(self.old) {
                let detail = format!("cannot decrease the {key} counter");
                self.errors.push(FieldError::invalid(&status(key), &count(self.new).into(), detail));
            }
        }
    }

    fn times_stay(&mut self) {
        let (new, old) = (time(self.new, "completionTime"), time(self.old, "completionTime"));
        if let (Some(new), Some(old)) = (new, old)
            && new != old
        {
            self.errors.push(FieldError::invalid(&status("completionTime"), new, check::IMMUTABLE));
        }
        let suspended = self.new.bool_at(&["spec", "suspend"]) == Some(true);
        if time(self.old, "startTime").is_some() && self.moved("startTime") && !suspended {
            let detail = "field is immutable for unsuspended job once set";
            let shown = time(self.new, "startTime").cloned().unwrap_or_default();
            self.errors.push(FieldError::invalid(&status("startTime"), &shown, detail));
        }
        if is(self.old, "SuccessCriteriaMet") && !is(self.new, "SuccessCriteriaMet") {
            self.conditions("cannot disable the SuccessCriteriaMet=True condition");
        }
        let late = is(self.old, "Complete") && !is(self.old, "SuccessCriteriaMet");
        if late && is(self.new, "SuccessCriteriaMet") {
            self.conditions(
                "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
            );
        }
    }

    fn conditions(&mut self, detail: impl Into<String>) {
        self.errors.push(check::invalid_shown(&status("conditions"), String::new(), detail));
    }

    /// True if the condition has come or gone.
    fn turned(&self, kind: &str) -> bool {
        is(self.new, kind) != is(self.old, kind)
    }

    fn moved(&self, key: &str) -> bool {
        let [new, old] = [self.new, self.old].map(|object| check::given(object, &["status", key]));
        // An empty list of failed indexes is not the same as none.
        !check::same(new, old) || new.is_some() != old.is_some()
    }

    fn seconds(&self, key: &str) -> Option<jiff::Timestamp> {
        time(self.new, key)?.as_str()?.parse().ok()
    }
}

fn status(key: &str) -> FieldPath {
    FieldPath::root("status").child(key)
}

fn time<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    check::given(object, &["status", key])
}

fn is(object: &Value, kind: &str) -> bool {
    super::job::has_condition(object, kind)
}

fn is_finished(object: &Value) -> bool {
    is(object, "Complete") || is(object, "Failed")
}

#[cfg(test)]
mod tests {
    use crate::batch::job::definition;
    use crate::testing::refuses_status;

    const JOB: &str = r#"{"metadata":{"name":"a"},"spec":{"template":{"spec":{"restartPolicy":"Never",
        "containers":[{"name":"c","image":"i:1"}]}}},"status":{"startTime":"2024-01-01T00:00:00Z","failed":2}}"#;

    #[test]
    fn a_job_completes_in_order() {
        refuses_status(
            &definition(),
            JOB,
            &[
                (
                    r#"{"status":{"completionTime":"2024-01-02T00:00:00Z","conditions":[
                        {"type":"SuccessCriteriaMet","status":"True"},{"type":"Complete","status":"True"}]}}"#,
                    &[],
                ),
                (
                    r#"{"status":{"conditions":[{"type":"Complete","status":"True"}]}}"#,
                    &[
                        "status.completionTime: Required value: completionTime is required for Complete jobs",
                        "status.conditions: Invalid value: cannot set Complete=True condition without the \
                         SuccessCriteriaMet=true condition",
                    ],
                ),
                (
                    r#"{"status":{"active":1,"conditions":[{"type":"Failed","status":"True"}]}}"#,
                    &[
                        "status.conditions: Invalid value: cannot set Failed=True condition without the \
                         FailureTarget=true condition",
                        "status.active: Invalid value: 1: active>0 is invalid for finished job",
                    ],
                ),
                (
                    r#"{"status":{"completionTime":"2023-01-01T00:00:00Z"}}"#,
                    &[
                        "status.completionTime: Invalid value: \"2023-01-01T00:00:00Z\": cannot set completionTime \
                         when there is no Complete=True condition",
                        "status.completionTime: Invalid value: \"2023-01-01T00:00:00Z\": must be equal to or after \
                         `startTime`",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn counters_and_times_do_not_go_back() {
        refuses_status(
            &definition(),
            JOB,
            &[
                (
                    r#"{"status":{"failed":1,"startTime":null}}"#,
                    &[
                        "status.failed: Invalid value: 1: cannot decrease the failed counter",
                        "status.startTime: Invalid value: null: field is immutable for unsuspended job once set",
                    ],
                ),
                (
                    r#"{"status":{"ready":1,"completedIndexes":"0","failedIndexes":""}}"#,
                    &[
                        "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when \
                         non-indexed completion mode",
                        "status.failedIndexes: Invalid value: \"\": cannot set non-null failedIndexes when \
                         backoffLimitPerIndex is null",
                        "status.ready: Invalid value: 1: cannot set more ready pods than active",
                    ],
                ),
                (
                    r#"{"status":{"uncountedTerminatedPods":{"succeeded":["a",""],"failed":["a"]}}}"#,
                    &[
                        "status.uncountedTerminatedPods.succeeded[1]: Invalid value: \"\": must not be empty",
                        "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"",
                    ],
                ),
            ],
        );
    }
}
