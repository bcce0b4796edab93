//! The group `batch`.

pub mod cron_job;
mod cron_job_validation;
mod indexes;
pub mod job;
mod job_status;
mod job_validation;
mod schedule;

use registry::ResourceDef;

/// Resources of the group, one line each.
pub fn definitions() -> Vec<ResourceDef> {
    vec![cron_job::definition(), job::definition()]
}
