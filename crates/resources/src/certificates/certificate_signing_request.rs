//! Certificate signing requests: who asks is written down by this server, and
//! what is asked for cannot be changed. `approval` writes conditions, `status`
//! the certificate. Conditions that decide are never taken back.

use jiff::SignedDuration;
use meta::validation::NameValidation;
use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource, UpdateKind};
use schema::{Map, Value};

use crate::certificates::GROUP;
use crate::check::{self, at, text};
use crate::defaults::is_empty;
use crate::print as show;

/// Conditions that decide a request.
const DECISIONS: [&str; 3] = ["Approved", "Denied", "Failed"];
const EXPIRATION_SECONDS_MIN: i64 = 600;

/// Certificate signing requests as served. Any name is accepted.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        short_names: vec!["csr".into()],
        subresources: vec![Subresource::part("approval", &["get", "patch", "update"]), Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Age"),
            Column::string("SignerName"),
            Column::string("Requestor"),
            Column::string("RequestedDuration"),
            Column::string("Condition"),
        ],
        selectable_fields: vec!["spec.signerName".into()],
        name_validation: NameValidation::None,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "certificatesigningrequests",
            "CertificateSigningRequest",
            CertificateSigningRequestStrategy,
        )
    }
}

struct CertificateSigningRequestStrategy;

impl Strategy for CertificateSigningRequestStrategy {
    fn prepare_for_create(&self, context: &RequestContext, object: &mut Value) {
        let user = &context.user;
        let spec = object.ensure_map(&["spec"]);
        for key in ["username", "uid", "groups", "extra"] {
            spec.remove(key);
        }
        for (key, text) in [("username", &user.name), ("uid", &user.uid)] {
            if !text.is_empty() {
                spec.insert(key, text.as_str());
            }
        }
        if !user.groups.is_empty() {
            spec.insert("groups", user.groups.clone());
        }
        if !user.extra.is_empty() {
            let extra: Map = user.extra.iter().map(|(key, values)| (key.as_str(), values.clone())).collect();
            spec.insert("extra", extra);
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn reset_fields(&self, kind: &UpdateKind) -> &'static [&'static [&'static str]] {
        match kind {
            UpdateKind::Main => &[&["spec"]],
            UpdateKind::Status => &[&["status", "conditions"]],
            UpdateKind::Part(_) => &[&["spec"], &["status", "certificate"]],
        }
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        keep(object, old, &["spec"]);
    }

    fn prepare_for_status_update(&self, context: &RequestContext, object: &mut Value, old: &Value) {
        stamp_conditions(context, object, old);
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        validate_conditions(&mut errors, object, old, &["Failed"]);
        validate_certificate(&mut errors, object, old);
        errors
    }

    fn prepare_for_part_update(&self, _: &str, context: &RequestContext, object: &mut Value, old: &Value) {
        let conditions = object.at(&["status", "conditions"]).cloned();
        keep(object, old, &["spec"]);
        keep(object, old, &["status"]);
        match conditions {
            Some(conditions) => object.set(&["status", "conditions"], conditions),
            None => drop(object.remove(&["status", "conditions"])),
        }
        stamp_conditions(context, object, old);
    }

    fn validate_part_update(&self, _: &str, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        validate_conditions(&mut errors, object, old, &["Approved", "Denied"]);
        errors
    }

    fn field(&self, object: &Value, label: &str) -> String {
        match label {
            "spec.signerName" => text(object, &["spec", "signerName"]).to_owned(),
            _ => String::new(),
        }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let duration = object.int_at(&["spec", "expirationSeconds"]);
        let duration = duration.map_or(show::NONE.to_owned(), |seconds| {
            meta::time::human_duration(SignedDuration::from_secs(seconds))
        });
        vec![
            print.name(object).into(),
            print.age(object).into(),
            show::or_none(text(object, &["spec", "signerName"])).into(),
            text(object, &["spec", "username"]).into(),
            duration.into(),
            state(object).into(),
        ]
    }
}

fn conditions(object: &Value) -> &[Value] {
    object.list_at(&["status", "conditions"])
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    conditions(object).iter().find(|condition| text(condition, &["type"]) == kind)
}

fn state(object: &Value) -> String {
    let has = |kind| condition(object, kind).is_some();
    let mut state = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !is_empty(object.at(&["status", "certificate"])) {
        state.push_str(",Issued");
    }
    state
}

fn keep(object: &mut Value, old: &Value, path: &[&'static str]) {
    match old.at(path) {
        Some(value) => object.set(path, value.clone()),
        None => drop(object.remove(path)),
    }
}

/// New and changed conditions carry the time of this request.
fn stamp_conditions(context: &RequestContext, object: &mut Value, old: &Value) {
    let now = check::now(context);
    let Some(list) = object.at_mut(&["status", "conditions"]).and_then(Value::as_list_mut) else { return };
    for new in list {
        if is_empty(new.get("lastUpdateTime")) {
            new.set(&["lastUpdateTime"], now.as_str());
        }
        if !is_empty(new.get("lastTransitionTime")) {
            continue;
        }
        let before = condition(old, text(new, &["type"]));
        let unchanged = before.filter(|before| before.get("status") == new.get("status"));
        let since = unchanged.and_then(|before| before.str_at(&["lastTransitionTime"]));
        new.set(&["lastTransitionTime"], since.unwrap_or(&now).to_owned());
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let spec = at("spec");
    if !holds_pem(text(object, &["spec", "request"]), "CERTIFICATE REQUEST") {
        let shown = "\"<certificate request data>\"".to_owned();
        errors.push(check::invalid_shown(
            &spec.child("request"),
            shown,
            "PEM block type must be CERTIFICATE REQUEST",
        ));
    }
    let usages = object.list_at(&["spec", "usages"]);
    if usages.is_empty() {
        errors.push(FieldError::required(&spec.child("usages"), ""));
    }
    for (i, usage) in usages.iter().enumerate() {
        let path = spec.child("usages").index(i);
        if !USAGES.contains(&usage.as_str().unwrap_or_default()) {
            errors.push(FieldError::not_supported(&path, usage, USAGES));
        }
        if usages[..i].contains(usage) {
            errors.push(FieldError::duplicate(&path, usage));
        }
    }
    validate_signer_name(&mut errors, text(object, &["spec", "signerName"]));
    let seconds = object.int_at(&["spec", "expirationSeconds"]);
    if let Some(seconds) = seconds.filter(|seconds| *seconds < EXPIRATION_SECONDS_MIN) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(&spec.child("expirationSeconds"), &seconds.into(), detail));
    }
    errors
}

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

fn validate_signer_name(errors: &mut FieldErrors, name: &str) {
    let path = at("spec.signerName");
    if !check::required(errors, &path, name) {
        return;
    }
    let Some((domain, rest)) = name.split_once('/').filter(|(_, rest)| !rest.contains('/')) else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid_str(&path, name, detail));
        return;
    };
    check::messages(errors, &path, domain, meta::validation::is_dns1123_subdomain(domain));
    if domain.split('.').count() < 2 {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid_str(&path, domain, detail));
    }
    check::messages(errors, &path, rest, meta::validation::is_dns1123_subdomain(rest));
}

/// Conditions may be added; which decide may only be written where `own` says, and are never removed.
fn validate_conditions(errors: &mut FieldErrors, object: &Value, old: &Value, own: &[&str]) {
    let path = at("status.conditions");
    for kind in DECISIONS {
        let (new, before) = (condition(object, kind), condition(old, kind));
        if new.is_none() && before.is_some() {
            let detail = format!("updates may not remove a condition of type {kind:?}");
            errors.push(FieldError::forbidden(&path, detail));
        }
        if !own.contains(&kind) && new.is_some() && before.is_none() {
            let detail = format!("updates may not add a condition of type {kind:?}");
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    for (i, new) in conditions(object).iter().enumerate() {
        let path = path.index(i);
        let kind = text(new, &["type"]);
        check::required(errors, &path.child("type"), kind);
        let status = text(new, &["status"]);
        if DECISIONS.contains(&kind) {
            check::required_one_of(errors, &path.child("status"), status, &["True"]);
        } else {
            check::required_one_of(errors, &path.child("status"), status, &["True", "False", "Unknown"]);
        }
        if conditions(object)[..i].iter().any(|other| text(other, &["type"]) == kind) {
            errors.push(FieldError::duplicate(&path.child("type"), &kind.into()));
        }
    }
    if condition(object, "Approved").is_some() && condition(object, "Denied").is_some() {
        let detail = "Approved and Denied conditions are mutually exclusive";
        let shown = "\"Denied\"".to_owned();
        let index = conditions(object).iter().position(|condition| text(condition, &["type"]) == "Denied");
        errors.push(check::invalid_shown(
            &path.index(index.unwrap_or_default()).child("type"),
            shown,
            detail,
        ));
    }
}

fn validate_certificate(errors: &mut FieldErrors, object: &Value, old: &Value) {
    let path = at("status.certificate");
    let certificate = |object: &Value| text(object, &["status", "certificate"]).to_owned();
    let (new, before) = (certificate(object), certificate(old));
    if !before.is_empty() && new != before {
        errors.push(FieldError::forbidden(&path, "updates may not modify existing certificate content"));
    } else if !new.is_empty() && !holds_pem(&new, "CERTIFICATE") {
        let shown = "\"<certificate data>\"".to_owned();
        let detail = "must contain at least one CERTIFICATE PEM block";
        errors.push(check::invalid_shown(&path, shown, detail));
    }
}

/// True if base64 text holds a PEM block with a label. What is in the block is the signer's business.
fn holds_pem(base64_text: &str, label: &str) -> bool {
    let decoded = crate::validation::decoded(base64_text);
    String::from_utf8_lossy(&decoded).contains(&format!("-----BEGIN {label}-----"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, context, object, problems};

    const REQUEST: &str = r#"{"metadata":{"name":"a"},"spec":{"request":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K","signerName":"g.example/signer","usages":["client auth"],"username":"forged"}}"#;

    #[test]
    fn who_asks_is_written_down_by_the_server() {
        let mut request = object(REQUEST);
        definition().strategy.prepare_for_create(&context(), &mut request);
        assert_eq!(text(&request, &["spec", "username"]), "admin");
        assert_eq!(request.at(&["spec", "groups"]), Some(&Value::from(vec!["system:masters"])));
        assert!(problems(&definition(), &request).is_empty());
        let cells = cells(&definition(), &request);
        assert_eq!(cells[2..], ["g.example/signer", "admin", "<none>", "Pending"].map(Value::from));
    }

    #[test]
    fn approval_writes_conditions_only_and_a_decision_stands() {
        let strategy = definition().strategy;
        let old = object(REQUEST);
        let mut new = old.clone();
        new.set(&["spec", "signerName"], "other.example/s");
        new.set(&["status", "conditions"], vec![Map::from([("type", "Approved"), ("status", "True")])]);
        strategy.prepare_for_part_update("approval", &context(), &mut new, &old);
        assert_eq!(text(&new, &["spec", "signerName"]), "g.example/signer");
        assert!(conditions(&new)[0].str_at(&["lastTransitionTime"]).is_some());
        assert!(strategy.validate_part_update("approval", &context(), &new, &old).is_empty());
        let errors = strategy.validate_part_update("approval", &context(), &old, &new);
        assert_eq!(
            errors[0].to_string(),
            "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""
        );
    }

    #[test]
    fn a_certificate_is_pem_and_stays() {
        let strategy = definition().strategy;
        let old = object(REQUEST);
        let mut new = old.clone();
        new.set(&["status", "certificate"], "bm90YWNlcnQ=");
        let errors = strategy.validate_status_update(&context(), &new, &old);
        assert_eq!(errors.len(), 1);
        assert_eq!(
            strategy.validate_status_update(&context(), &old, &new)[0].field.as_str(),
            "status.certificate"
        );
    }
}
