//! `cronjobs`: jobs made by the clock.

use meta::FieldErrors;
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::Value;

use super::{cron_job_validation, job};
use crate::{defaults, print};

/// `cronjobs`.
pub fn definition() -> ResourceDef {
    let suspend = Column { kind: "boolean", ..Column::string("Suspend") };
    ResourceDef {
        short_names: vec!["cj".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Schedule"),
            Column::string("Timezone"),
            suspend,
            Column::integer("Active"),
            Column::string("Last Schedule"),
            Column::string("Age"),
            Column::string("Containers").wide(),
            Column::string("Images").wide(),
            Column::string("Selector").wide(),
        ],
        generation: true,
        ..ResourceDef::stored("batch", "v1", "cronjobs", "CronJob", CronJob)
    }
}

struct CronJob;

impl Strategy for CronJob {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        defaults::text(spec, "concurrencyPolicy", "Allow");
        defaults::pointer(spec, "suspend", false);
        defaults::pointer(spec, "successfulJobsHistoryLimit", 3);
        defaults::pointer(spec, "failedJobsHistoryLimit", 1);
        let template = defaults::ensure(spec, "jobTemplate");
        job::template_defaults(defaults::ensure(template, "spec"));
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        object.set(&["status"], Value::map());
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        cron_job_validation::create(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        cron_job_validation::update(object, old)
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        cron_job_validation::warnings_on_create(object)
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, old: &Value) -> Vec<String> {
        cron_job_validation::warnings_on_update(object, old)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let template = ["spec", "jobTemplate", "spec", "template", "spec"];
        let [names, images] = print::containers(object.at(&template));
        let last = object.str_at(&["status", "lastScheduleTime"]).map(|time| print.since(time));
        vec![
            print.name(object).into(),
            print::text(object, &["spec", "schedule"]).into(),
            print::scalar_or(object.at(&["spec", "timeZone"]), print::NONE).into(),
            print::optional_bool(object.bool_at(&["spec", "suspend"])).into(),
            (object.list_at(&["status", "active"]).len() as i64).into(),
            last.unwrap_or_else(|| print::NONE.to_owned()).into(),
            print.age(object).into(),
            names,
            images,
            print::label_selector(object.at(&["spec", "jobTemplate", "spec", "selector"])).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_good_and_one_failed_job_are_kept() {
        let mut object = Value::map();
        CronJob.default(&mut object);
        assert_eq!(object.int_at(&["spec", "successfulJobsHistoryLimit"]), Some(3));
        assert_eq!(object.int_at(&["spec", "failedJobsHistoryLimit"]), Some(1));
        let job = object.at(&["spec", "jobTemplate", "spec"]).expect("made");
        assert!(job.at(&["parallelism"]).is_none(), "a job gets these when it is made");
    }
}
