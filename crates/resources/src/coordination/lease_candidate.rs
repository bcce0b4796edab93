//! Lease candidates are the processes that could lead under a lease; a
//! coordinator picks one by version.

use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::coordination::GROUP;
use crate::print as show;

/// Lease candidates as served in `v1beta1`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        columns: vec![
            Column::name(),
            Column::string("LeaseName"),
            Column::string("BinaryVersion"),
            Column::string("EmulationVersion"),
            Column::string("Strategy"),
            Column::string("Age"),
        ],
        create_on_update: true,
        unconditional_update: false,
        enabled_by_default: false,
        ..ResourceDef::stored(GROUP, "v1beta1", "leasecandidates", "LeaseCandidate", LeaseCandidateStrategy)
    }
}

struct LeaseCandidateStrategy;

impl Strategy for LeaseCandidateStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = validate(object);
        check::immutable(&mut errors, "spec.leaseName", object, old);
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let cell = |field| Value::from(text(object, &["spec", field]));
        let cells = ["leaseName", "binaryVersion", "emulationVersion", "strategy"].map(cell);
        show::with_name_and_age(object, print, cells)
    }
}

fn validate(object: &Value) -> FieldErrors {
    const NO_VERSION: &str = "must be a valid semantic version";
    let mut errors = Vec::new();
    let spec = at("spec");
    check::required(&mut errors, &spec.child("leaseName"), text(object, &["spec", "leaseName"]));
    let (emulated, binary) =
        (text(object, &["spec", "emulationVersion"]), text(object, &["spec", "binaryVersion"]));
    let path = spec.child("binaryVersion");
    if !emulated.is_empty() && version(emulated).is_none() {
        errors.push(FieldError::invalid_str(&spec.child("emulationVersion"), emulated, NO_VERSION));
    }
    if check::required(&mut errors, &path, binary) && version(binary).is_none() {
        errors.push(FieldError::invalid_str(&path, binary, NO_VERSION));
    }
    if let (Some(own), Some(as_if)) = (version(binary), version(emulated))
        && own < as_if
    {
        let detail = "must be greater than or equal to `emulationVersion`";
        errors.push(FieldError::invalid_str(&path, binary, detail));
    }
    let path = spec.child("strategy");
    let strategy = text(object, &["spec", "strategy"]);
    if check::required(&mut errors, &path, strategy) {
        check::messages(&mut errors, &path, strategy, meta::validation::is_qualified_name(strategy));
    }
    errors
}

/// Major, minor and patch of a semantic version; what follows them does not rank here.
fn version(text: &str) -> Option<[u64; 3]> {
    let core = text.split(['-', '+']).next()?;
    let mut numbers = core.split('.').map(|part| match part.as_bytes() {
        [b'0', _, ..] => None,
        digits if digits.iter().all(u8::is_ascii_digit) => part.parse::<u64>().ok(),
        _ => None,
    });
    let version = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems};

    #[test]
    fn a_candidate_is_not_older_than_what_it_emulates() {
        let candidate = |own: &str, emulated: &str| {
            object(&format!(
                r#"{{"spec":{{"leaseName":"l","strategy":"OldestEmulationVersion","binaryVersion":"{own}",
                    "emulationVersion":"{emulated}"}}}}"#
            ))
        };
        assert!(problems(&definition(), &candidate("1.36.0", "1.35.0")).is_empty());
        for (own, emulated, expected) in [
            (
                "1.9.0",
                "1.36.0",
                "spec.binaryVersion: Invalid value: \"1.9.0\": must be greater than or equal to `emulationVersion`",
            ),
            (
                "1.36",
                "1.35.0",
                "spec.binaryVersion: Invalid value: \"1.36\": must be a valid semantic version",
            ),
            (
                "1.36.0",
                "01.0.0",
                "spec.emulationVersion: Invalid value: \"01.0.0\": must be a valid semantic version",
            ),
        ] {
            assert_eq!(problems(&definition(), &candidate(own, emulated)), [expected]);
        }
    }
}
