//! Fields that an applied configuration would take from others.

use meta::ApiError;

use super::field_set::FieldSet;
use super::managers::Manager;

/// What one manager would lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Whose fields.
    pub manager: Manager,
    /// Which, in the version of that manager.
    pub fields: FieldSet,
}

/// How long the paths in one refusal may be together, in bytes; the rest is only counted.
const PATHS_BYTES_MAX: usize = 1024 * 1024;

/// 409 with one cause per manager and field, in the order of managers.
pub(crate) fn refusal(mut conflicts: Vec<Conflict>) -> ApiError {
    conflicts.sort_by(|a, b| order(&a.manager).cmp(&order(&b.manager)));
    let mut causes = Vec::new();
    let mut sections = Vec::new();
    let mut bytes_left = PATHS_BYTES_MAX;
    let mut left_out = 0;
    for conflict in &conflicts {
        let manager = conflict.manager.shown();
        let paths = conflict.fields.paths_within(bytes_left);
        left_out += conflict.fields.len() - paths.len();
        bytes_left -= paths.iter().map(String::len).sum::<usize>();
        sections.push(format!("conflicts with {manager}:"));
        for path in paths {
            sections.push(format!("- {path}"));
            causes.push((format!("conflict with {manager}"), path));
        }
    }
    let message = match causes.as_slice() {
        [(conflict, path)] if left_out == 0 => format!("Apply failed with 1 conflict: {conflict}: {path}"),
        causes => {
            if left_out > 0 {
                sections.push(format!("and {left_out} more"));
            }
            format!("Apply failed with {} conflicts: {}", causes.len() + left_out, sections.join("\n"))
        }
    };
    ApiError::ApplyConflict { message, causes }
}

fn order(manager: &Manager) -> (&str, super::managers::Operation, &str, &str) {
    (&manager.name, manager.operation, &manager.api_version, &manager.subresource)
}
