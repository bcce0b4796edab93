//! `jobs`: pods that run to an end.
//!
//! Odd: the selector and its labels are made from the job's uid, unless
//! `manualSelector` says otherwise; a delete leaves the pods alone unless told
//! otherwise, and warns that it does.

use meta::options::DeleteOptions;
use meta::{FieldErrors, ObjectMeta, ObjectMetaMut};
use registry::{
    Column, DefaultGarbageCollection, PrintContext, RequestContext, ResourceDef, Strategy, Subresource,
};
use schema::{Key, Value};

use super::{job_status, job_validation};
use crate::{check, defaults, print, workload};

/// `jobs`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        categories: vec!["all".into()],
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Status"),
            Column::string("Completions"),
            Column::string("Duration"),
            Column::string("Age"),
            Column::string("Containers").wide(),
            Column::string("Images").wide(),
            Column::string("Selector").wide(),
        ],
        selectable_fields: vec!["status.successful".into()],
        generation: true,
        garbage_collection: DefaultGarbageCollection::OrphanDependents,
        repeats_metadata_validation: true,
        ..ResourceDef::stored("batch", "v1", "jobs", "Job", Job)
    }
}

/// Failures before a job gives up.
const BACKOFF_LIMIT: i64 = 6;
/// The same, where failures are counted per index: none.
const BACKOFF_LIMIT_PER_INDEX: i64 = i32::MAX as i64;

pub(super) const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
pub(super) const NAME_LABEL: &str = "batch.kubernetes.io/job-name";
const OLD_UID_LABEL: &str = "controller-uid";
const OLD_NAME_LABEL: &str = "job-name";

struct Job;

impl Strategy for Job {
    fn default(&self, object: &mut Value) {
        // Labels of the job are those of its pods, unless it has its own.
        let labels = object.map_at(&["spec", "template", "metadata", "labels"]);
        if let Some(labels) = labels.filter(|labels| !labels.is_empty()).cloned()
            && ObjectMeta::of(object).labels().is_empty()
        {
            ObjectMetaMut::of(object).map().insert(Key::borrowed("labels"), labels);
        }
        let spec = defaults::ensure(object, "spec");
        // Absent completions mean: until one pod has succeeded, several in parallel.
        if missing(spec, "completions") && missing(spec, "parallelism") {
            defaults::pointer(spec, "completions", 1);
        }
        defaults::pointer(spec, "parallelism", 1);
        let per_index = !missing(spec, "backoffLimitPerIndex");
        let limit = if per_index { BACKOFF_LIMIT_PER_INDEX } else { BACKOFF_LIMIT };
        defaults::pointer(spec, "backoffLimit", limit);
        defaults::pointer(spec, "completionMode", "NonIndexed");
        defaults::pointer(spec, "suspend", false);
        defaults::pointer(spec, "manualSelector", false);
        let replacement = if missing(spec, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
        defaults::pointer(spec, "podReplacementPolicy", replacement);
        template_defaults(spec);
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        if object.bool_at(&["spec", "manualSelector"]) != Some(true) {
            generate_selector(object);
        }
        object.set(&["status"], Value::map());
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        // A job made before the selector was generated in this form keeps its own.
        if object.at(&["spec", "selector"]).is_none()
            && let Some(selector) = old.at(&["spec", "selector"])
        {
            object.set(&["spec", "selector"], selector.clone());
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        job_validation::create(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        job_validation::update(object, old)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        job_status::update(object, old)
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        let mut warnings = workload::name_warnings(object);
        warnings.extend(many_indexes(object));
        warnings.extend(workload::template_warnings(object, "spec.template"));
        warnings
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, old: &Value) -> Vec<String> {
        if check::same(object.get("spec"), old.get("spec")) {
            return Vec::new();
        }
        let mut warnings: Vec<String> = many_indexes(object).into_iter().collect();
        warnings.extend(workload::template_warnings(object, "spec.template"));
        warnings
    }

    fn warnings_on_delete(&self, options: &DeleteOptions) -> Vec<String> {
        if options.propagation_policy.is_some() || options.orphan_dependents.is_some() {
            return Vec::new();
        }
        vec![
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
             them or set propagationPolicy=Orphan to suppress this warning"
                .to_owned(),
        ]
    }

    fn field(&self, object: &Value, label: &str) -> String {
        match label {
            "status.successful" => print::int(object, &["status", "succeeded"]).to_string(),
            _ => String::new(),
        }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let [names, images] = print::containers(object.at(&["spec", "template", "spec"]));
        vec![
            print.name(object).into(),
            status(object).into(),
            completions(object).into(),
            duration(object, print).into(),
            print.age(object).into(),
            names,
            images,
            print::label_selector(object.at(&["spec", "selector"])).into(),
        ]
    }
}

/// Defaults of a job's spec that also apply in a cron job's template.
pub(super) fn template_defaults(spec: &mut Value) {
    if let Some(policy) = defaults::object(spec, "podFailurePolicy") {
        for rule in defaults::items(policy, "rules") {
            for pattern in defaults::items(rule, "onPodConditions") {
                defaults::text(pattern, "status", "True");
            }
        }
    }
    defaults::pod::template(defaults::ensure(spec, "template"));
}

/// A warning about a job whose indexes may become too many to be told.
fn many_indexes(object: &Value) -> Option<String> {
    const COMPLETIONS: i64 = 100_000;
    const PARALLELISM: i64 = 10_000;
    let number = |key: &str| print::int(object, &["spec", key]);
    let indexed = object.str_at(&["spec", "completionMode"]) == Some("Indexed");
    let many = number("completions") > COMPLETIONS && number("parallelism") > PARALLELISM;
    (indexed && many).then(|| {
        "spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
         Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
            .to_owned()
    })
}

fn missing(spec: &Value, key: &str) -> bool {
    spec.at(&[key]).is_none_or(Value::is_null)
}

/// Marks the job's pods with its uid and selects by that. What is there is
/// kept; validation refuses it where it does not fit.
fn generate_selector(object: &mut Value) {
    let meta = ObjectMeta::of(object);
    let (uid, name) = (meta.uid().to_owned(), meta.name().to_owned());
    let labels = object.ensure_map(&["spec", "template", "metadata", "labels"]);
    for (key, value) in
        [(UID_LABEL, &uid), (NAME_LABEL, &name), (OLD_UID_LABEL, &uid), (OLD_NAME_LABEL, &name)]
    {
        if !labels.contains_key(key) {
            labels.insert(Key::borrowed(key), value.as_str());
        }
    }
    let selector = object.ensure_map(&["spec", "selector"]);
    let labels = selector.entry(Key::borrowed("matchLabels"), Value::map);
    if labels.is_null() {
        *labels = Value::map();
    }
    if let Some(labels) = labels.as_map_mut()
        && !labels.contains_key(UID_LABEL)
    {
        labels.insert(Key::borrowed(UID_LABEL), uid);
    }
}

/// The labels pods of a job are made with, those without a domain first.
pub(super) fn generated_labels(object: &Value) -> [(&'static str, String); 4] {
    let meta = ObjectMeta::of(object);
    let (uid, name) = (meta.uid(), meta.name());
    [(OLD_UID_LABEL, uid), (OLD_NAME_LABEL, name), (UID_LABEL, uid), (NAME_LABEL, name)]
        .map(|(key, value)| (key, value.to_owned()))
}

/// True if the job has the condition, and it is true.
pub(super) fn has_condition(object: &Value, kind: &str) -> bool {
    object.list_at(&["status", "conditions"]).iter().any(|condition| {
        condition.str_at(&["type"]) == Some(kind) && condition.str_at(&["status"]) == Some("True")
    })
}

fn status(object: &Value) -> &'static str {
    if has_condition(object, "Complete") {
        "Complete"
    } else if has_condition(object, "Failed") {
        "Failed"
    } else if ObjectMeta::of(object).deletion_timestamp().is_some() {
        "Terminating"
    } else {
        let known = ["Suspended", "FailureTarget", "SuccessCriteriaMet"];
        known.into_iter().find(|kind| has_condition(object, kind)).unwrap_or("Running")
    }
}

fn completions(object: &Value) -> String {
    let succeeded = print::int(object, &["status", "succeeded"]);
    match object.int_at(&["spec", "completions"]) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None => match print::int(object, &["spec", "parallelism"]) {
            parallel @ 2.. => format!("{succeeded}/1 of {parallel}"),
            _ => format!("{succeeded}/1"),
        },
    }
}

fn duration(object: &Value, print: &PrintContext) -> String {
    let Some(start) = object.str_at(&["status", "startTime"]) else { return String::new() };
    match object.str_at(&["status", "completionTime"]) {
        Some(end) => PrintContext { now: end.parse().unwrap_or(print.now) }.since(start),
        None => print.since(start),
    }
}

/// True if the selector must be the generated one.
pub(super) fn has_generated_selector(object: &Value) -> bool {
    object.bool_at(&["spec", "manualSelector"]) != Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn a_job_runs_one_pod_to_its_end() {
        let mut object = Value::map();
        Job.default(&mut object);
        for (key, number) in [("completions", 1), ("parallelism", 1), ("backoffLimit", 6)] {
            assert_eq!(object.int_at(&["spec", key]), Some(number), "{key}");
        }
        let once = object.clone();
        Job.default(&mut object);
        assert_eq!(object, once);
    }

    #[test]
    fn parallel_pods_without_completions_share_one_queue() {
        let mut object = Value::map();
        object.set(&["spec", "parallelism"], 2);
        Job.default(&mut object);
        assert!(object.at(&["spec", "completions"]).is_none());
        assert_eq!(completions(&object), "0/1 of 2");
    }

    #[test]
    fn pods_are_selected_by_the_uid_of_their_job() {
        let mut object = Value::map();
        object.set(&["metadata"], Map::from([("name", "a"), ("uid", "u")]));
        generate_selector(&mut object);
        let labels = object.map_at(&["spec", "template", "metadata", "labels"]).expect("made");
        assert!(generated_labels(&object).iter().all(|(key, value)| labels.str(key) == Some(value)));
        assert_eq!(object.str_at(&["spec", "selector", "matchLabels", UID_LABEL]), Some("u"));
    }
}
