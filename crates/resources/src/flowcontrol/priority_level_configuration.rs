//! Priority levels share out how many requests run at once. `Exempt` ones are
//! never held back; of `Limited` ones, requests queue or are rejected.

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::flowcontrol::{GROUP, bootstrap, flow_schema};
use crate::print as show;

const SHARES_DEFAULT: i64 = 30;
const QUEUES_MAX: i64 = 10 * 1000 * 1000;

/// Priority level configurations as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Type"),
            Column::string("NominalConcurrencyShares"),
            Column::string("Queues"),
            Column::string("HandSize"),
            Column::string("QueueLengthLimit"),
            Column::string("Age"),
        ],
        generation: true,
        status_metadata: StatusMetadata::Kept,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "prioritylevelconfigurations",
            "PriorityLevelConfiguration",
            PriorityLevelConfigurationStrategy,
        )
    }
}

/// Bits of the hash that deals hands of queues.
const ENTROPY_BITS_MAX: i64 = 60;

struct PriorityLevelConfigurationStrategy;

impl Strategy for PriorityLevelConfigurationStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = defaults::object(object, "spec") else { return };
        if let Some(exempt) = defaults::object(spec, "exempt") {
            defaults::pointer(exempt, "nominalConcurrencyShares", 0);
            defaults::pointer(exempt, "lendablePercent", 0);
        }
        let Some(limited) = defaults::object(spec, "limited") else { return };
        defaults::pointer(limited, "nominalConcurrencyShares", SHARES_DEFAULT);
        defaults::pointer(limited, "lendablePercent", 0);
        let response = defaults::object(limited, "limitResponse");
        if let Some(queuing) = response.and_then(|response| defaults::object(response, "queuing")) {
            defaults::number(queuing, "queues", 64);
            defaults::number(queuing, "handSize", 8);
            defaults::number(queuing, "queueLengthLimit", 50);
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        flow_schema::validate_conditions(&mut errors, object);
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let number = |path: &[&str]| object.at(path).cloned().unwrap_or_else(|| show::NONE.into());
        let queuing = |key| number(&["spec", "limited", "limitResponse", "queuing", key]);
        let between = [
            text(object, &["spec", "type"]).into(),
            number(&["spec", "limited", "nominalConcurrencyShares"]),
            queuing("queues"),
            queuing("handSize"),
            queuing("queueLengthLimit"),
        ];
        show::with_name_and_age(object, print, between)
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let spec = at("spec");
    let name = ObjectMeta::of(object).name();
    let kind = text(object, &["spec", "type"]);
    let (exempt, limited) =
        (check::given(object, &["spec", "exempt"]), check::given(object, &["spec", "limited"]));
    if (name == "exempt") != (kind == "Exempt") {
        let detail = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(FieldError::invalid_str(&spec.child("type"), kind, detail));
    }
    match kind {
        "Exempt" => {
            if limited.is_some() {
                let detail = "must be nil if the type is not Limited";
                errors.push(FieldError::forbidden(&spec.child("limited"), detail));
            }
            if let Some(exempt) = exempt {
                validate_shares(&mut errors, &spec.child("exempt"), exempt);
                validate_lendable(&mut errors, &spec.child("exempt"), exempt);
            }
        }
        "Limited" => {
            if exempt.is_some() {
                let detail = "must be nil if the type is Limited";
                errors.push(FieldError::forbidden(&spec.child("exempt"), detail));
            }
            match limited {
                None => {
                    let detail = "must not be empty when type is Limited";
                    errors.push(FieldError::required(&spec.child("limited"), detail));
                }
                Some(limited) => validate_limited(&mut errors, &spec.child("limited"), limited),
            }
        }
        other => check::required_one_of(&mut errors, &spec.child("type"), other, &["Exempt", "Limited"]),
    }
    validate_fixed(&mut errors, object);
    flow_schema::validate_conditions(&mut errors, object);
    errors
}

/// Levels a cluster cannot do without keep their spec; what the exempt one lends may be changed.
fn validate_fixed(errors: &mut FieldErrors, object: &Value) {
    let Some(mut fixed) = bootstrap::mandatory(object, bootstrap::priority_levels()) else { return };
    PriorityLevelConfigurationStrategy.default(&mut fixed);
    let name = ObjectMeta::of(object).name();
    let without_exempt = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        spec.remove(&["exempt"]);
        spec
    };
    let (same, detail) = if name == "exempt" {
        let same = check::same(Some(&without_exempt(object)), Some(&without_exempt(&fixed)));
        (same, format!("spec of '{name}' except the 'spec.exempt' field must equal the fixed value"))
    } else {
        let same = check::same(object.get("spec"), fixed.get("spec"));
        (same, format!("spec of '{name}' must equal the fixed value"))
    };
    if !same {
        let kind = "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec";
        errors.push(check::invalid_shown(
            &at("spec"),
            crate::go_form::show(kind, object.get("spec")),
            detail,
        ));
    }
}

fn validate_shares(errors: &mut FieldErrors, path: &FieldPath, level: &Value) {
    let shares = level.int_at(&["nominalConcurrencyShares"]);
    if let Some(shares) = shares.filter(|shares| *shares < 0) {
        let detail = "must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child("nominalConcurrencyShares"), &shares.into(), detail));
    }
}

fn validate_lendable(errors: &mut FieldErrors, path: &FieldPath, level: &Value) {
    let percent = level.int_at(&["lendablePercent"]);
    if let Some(percent) = percent.filter(|percent| !(0..=100).contains(percent)) {
        let detail = "must be between 0 and 100, inclusive";
        errors.push(FieldError::invalid(&path.child("lendablePercent"), &percent.into(), detail));
    }
}

fn validate_limited(errors: &mut FieldErrors, path: &FieldPath, limited: &Value) {
    validate_shares(errors, path, limited);
    validate_response(errors, &path.child("limitResponse"), limited);
    validate_lendable(errors, path, limited);
    let borrowing = limited.int_at(&["borrowingLimitPercent"]);
    if let Some(percent) = borrowing.filter(|percent| *percent < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child("borrowingLimitPercent"), &percent.into(), detail));
    }
}

fn validate_response(errors: &mut FieldErrors, path: &FieldPath, limited: &Value) {
    let queuing = check::given(limited, &["limitResponse", "queuing"]);
    match text(limited, &["limitResponse", "type"]) {
        "Reject" if queuing.is_some() => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(&path.child("queuing"), detail));
        }
        "Reject" => {}
        "Queue" => match queuing {
            None => {
                let detail = "must not be empty if limited.limitResponse.type is Limited";
                errors.push(FieldError::required(&path.child("queuing"), detail));
            }
            Some(queuing) => validate_queuing(errors, &path.child("queuing"), queuing),
        },
        other => check::required_one_of(errors, &path.child("type"), other, &["Queue", "Reject"]),
    }
}

fn validate_queuing(errors: &mut FieldErrors, path: &FieldPath, queuing: &Value) {
    let number = |key: &str| queuing.int_at(&[key]).unwrap_or_default();
    for key in ["queueLengthLimit", "queues", "handSize"] {
        if number(key) <= 0 {
            errors.push(FieldError::invalid(&path.child(key), &number(key).into(), "must be positive"));
        }
    }
    let (queues, hand) = (number("queues"), number("handSize"));
    if queues > QUEUES_MAX {
        let detail = format!("must not be greater than {QUEUES_MAX}");
        errors.push(FieldError::invalid(&path.child("queues"), &queues.into(), detail));
    }
    let path = path.child("handSize");
    if hand > queues {
        let detail = format!("should not be greater than queues ({queues})");
        errors.push(FieldError::invalid(&path, &hand.into(), detail));
    } else if hand > 0 && entropy_bits(queues, hand) > ENTROPY_BITS_MAX {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than \
             {ENTROPY_BITS_MAX}"
        );
        errors.push(FieldError::invalid(&path, &hand.into(), detail));
    }
}

/// Bits a hash needs so that every hand of `hand` queues can be dealt.
fn entropy_bits(queues: i64, hand: i64) -> i64 {
    ((queues as f64).log2() * hand as f64).ceil() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems, refuses};

    #[test]
    fn queues_have_a_size() {
        let level = defaulted(
            &definition(),
            r#"{"metadata":{"name":"a"},"spec":{"type":"Limited","limited":{"limitResponse":{"type":"Queue","queuing":{}}}}}"#,
        );
        let expected = ["Limited".into(), 30.into(), 64.into(), 8.into(), Value::Int(50)];
        assert_eq!(cells(&definition(), &level)[1..6], expected);
        assert!(problems(&definition(), &level).is_empty());
    }

    #[test]
    fn what_rejects_does_not_queue() {
        let level = defaulted(
            &definition(),
            r#"{"metadata":{"name":"a"},"spec":{"type":"Limited","limited":{"limitResponse":{"type":"Reject","queuing":{}}}}}"#,
        );
        assert_eq!(problems(&definition(), &level).len(), 1);
    }

    #[test]
    fn shares_percentages_and_queues_have_bounds() {
        refuses(
            &definition(),
            r#"{"metadata":{"name":"a"},"spec":{"type":"Limited","limited":{"limitResponse":{"type":"Queue",
                "queuing":{"queues":64,"handSize":8,"queueLengthLimit":1}}}}}"#,
            &[
                (
                    r#"{"spec":{"limited":{"nominalConcurrencyShares":-1,"lendablePercent":101,
                        "borrowingLimitPercent":-1}}}"#,
                    &[
                        "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
                        "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
                        "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative \
                         integer",
                    ],
                ),
                (
                    r#"{"spec":{"limited":{"limitResponse":{"queuing":{"handSize":65}}}}}"#,
                    &[
                        "spec.limited.limitResponse.queuing.handSize: Invalid value: 65: should not be greater than \
                       queues (64)",
                    ],
                ),
                (r#"{"spec":{"limited":{"limitResponse":{"queuing":{"handSize":10}}}}}"#, &[]),
                (
                    r#"{"spec":{"limited":{"limitResponse":{"queuing":{"handSize":11}}}}}"#,
                    &[
                        "spec.limited.limitResponse.queuing.handSize: Invalid value: 11: required entropy bits of \
                       deckSize 64 and handSize 11 should not be greater than 60",
                    ],
                ),
                (
                    r#"{"spec":{"type":"Exempt"}}"#,
                    &[
                        "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'",
                        "spec.limited: Forbidden: must be nil if the type is not Limited",
                    ],
                ),
                (r#"{"spec":{"type":""}}"#, &["spec.type: Required value"]),
            ],
        );
    }

    #[test]
    fn what_a_cluster_begins_with_is_accepted_and_partly_fixed() {
        for mut level in bootstrap::priority_levels() {
            definition().strategy.default(&mut level);
            assert!(problems(&definition(), &level).is_empty(), "{level:?}");
            let name = ObjectMeta::of(&level).name().to_owned();
            let field: &[&'static str] = if name == "exempt" {
                &["spec", "exempt", "lendablePercent"]
            } else {
                &["spec", "limited", "lendablePercent"]
            };
            level.set(field, 7);
            assert_eq!(problems(&definition(), &level).len(), usize::from(name == "catch-all"), "{name}");
        }
    }
}
