//! The group `batch`.

pub mod cron_job;
pub mod job;
mod job_validation;
mod schedule;

use registry::ResourceDef;

/// Resources of the group, one line each.
pub fn definitions() -> Vec<ResourceDef> {
    vec![cron_job::definition(), job::definition()]
}
