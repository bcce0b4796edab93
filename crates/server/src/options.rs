//! Options of the verbs, read from a query or a body and checked. The typed
//! options that result are those of `meta`; the texts are the original's.

use codec::FieldValidation;
use meta::options::{
    DeleteOptions, ListOptions, Preconditions, PropagationPolicy, ResourceVersionMatch, WriteOptions,
};
use meta::selector::{FieldSelector, LabelSelector};
use meta::{ApiError, FieldError, FieldErrors, FieldPath, GroupKind, ResourceVersion};
use registry::{IGNORE_STORE_READ_ERROR, ResourceDef};
use schema::Value;

use crate::negotiation::header;
use crate::query::Query;
use crate::status::Failure;

/// Longest name of a field manager, in bytes.
const FIELD_MANAGER_BYTES_MAX: usize = 128;

/// Which writes' options: names the kind in errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// POST
    Create,
    /// PUT
    Update,
    /// PATCH
    Patch,
    /// PATCH with a configuration to apply
    Apply,
}

/// Reads and checks the options of a write.
pub fn write_options(
    kind: WriteKind,
    query: &Query,
    headers: &http::HeaderMap,
) -> Result<(WriteOptions, FieldValidation), Failure> {
    let manager = query.text("fieldManager");
    let mut errors = FieldErrors::new();
    let force = query.flag("force");
    if kind == WriteKind::Patch && force.is_some() {
        errors.push(FieldError::forbidden(
            &FieldPath::root("force"),
            "may not be specified for non-apply patch",
        ));
    }
    if kind == WriteKind::Apply && manager.is_empty() {
        let path = FieldPath::root("fieldManager");
        errors.push(FieldError::required(&path, "is required for apply patch"));
    }
    check_field_manager(manager, &mut errors);
    let dry_run: Vec<&str> = query.all("dryRun").collect();
    check_dry_run(&dry_run, &mut errors);
    let validation = check_field_validation(query.text("fieldValidation"), &mut errors);
    let kind = match kind {
        WriteKind::Create => "CreateOptions",
        WriteKind::Update => "UpdateOptions",
        WriteKind::Patch | WriteKind::Apply => "PatchOptions",
    };
    refuse_if_any(kind, errors)?;
    let field_manager = if manager.is_empty() { manager_of_agent(headers) } else { manager.to_owned() };
    Ok((
        WriteOptions { dry_run: !dry_run.is_empty(), field_manager, force: force.unwrap_or(false) },
        validation,
    ))
}

/// The options of a list or watch, and how long a watch is to last.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The options.
    pub list: ListOptions,
    /// `timeoutSeconds`; none or not positive: the server chooses.
    pub timeout_seconds: Option<i64>,
}

/// Reads and checks the options of a list or watch. `name` is the object the
/// path names, empty if none. `watch` says that the query asks for a watch:
/// a path with `/watch/` in front is checked as a list is.
pub fn read_options(
    query: &Query,
    definition: &ResourceDef,
    name: &str,
    watch: bool,
) -> Result<ReadOptions, Failure> {
    let bad = |text: String| Failure::bad_request(text);
    let label_selector =
        LabelSelector::parse(query.text("labelSelector")).map_err(|error| bad(error.to_string()))?;
    let field_selector =
        FieldSelector::parse(query.text("fieldSelector")).map_err(|error| bad(error.to_string()))?;
    let limit = query.int("limit").map_err(|error| bad(error.to_string()))?;
    let timeout_seconds = query.int("timeoutSeconds").map_err(|error| bad(error.to_string()))?;
    let mut raw = RawList {
        resource_version: query.text("resourceVersion"),
        matching: query.text("resourceVersionMatch"),
        continue_token: query.text("continue"),
        send_initial_events: query.flag("sendInitialEvents"),
        watch,
    };
    raw.default();
    refuse_if_any("ListOptions", raw.check())?;
    let field_selector = name_selector(convert_fields(&field_selector, definition)?, name)?;
    let list = ListOptions {
        label_selector,
        field_selector,
        resource_version: ResourceVersion(raw.resource_version.to_owned()),
        resource_version_match: match raw.matching {
            "Exact" => ResourceVersionMatch::Exact,
            "NotOlderThan" => ResourceVersionMatch::NotOlderThan,
            _ => ResourceVersionMatch::Unset,
        },
        limit: limit.and_then(|limit| u64::try_from(limit).ok()).unwrap_or(0),
        continue_token: raw.continue_token.to_owned(),
        allow_watch_bookmarks: query.flag("allowWatchBookmarks").unwrap_or(false),
        send_initial_events: raw.send_initial_events,
        watch_lifetime: None,
    };
    Ok(ReadOptions { list, timeout_seconds })
}

/// Reads the options of a delete from the query. Without `unsafe_deletion` the option to ignore read errors is
/// forgotten, as if nobody had given it.
pub fn delete_options_of_query(query: &Query, unsafe_deletion: bool) -> Result<DeleteOptions, Failure> {
    let grace = query.int("gracePeriodSeconds").map_err(|error| Failure::bad_request(error.to_string()))?;
    let dry_run: Vec<&str> = query.all("dryRun").collect();
    let options = DeleteOptions {
        grace_period_seconds: grace,
        orphan_dependents: query.flag("orphanDependents"),
        ignore_store_read_error: unsafe_deletion && query.flag(IGNORE_STORE_READ_ERROR).unwrap_or(false),
        ..DeleteOptions::default()
    };
    check_delete(options, query.get("propagationPolicy"), &dry_run, false)
}

/// Reads the options of a delete from a decoded `DeleteOptions`, `unsafe_deletion` as above.
pub fn delete_options_of_body(body: &Value, unsafe_deletion: bool) -> Result<DeleteOptions, Failure> {
    let text = |path: &[&str]| body.str_at(path).map(str::to_owned);
    let dry_run: Vec<&str> = body.list_at(&["dryRun"]).iter().filter_map(Value::as_str).collect();
    let options = DeleteOptions {
        grace_period_seconds: body.int_at(&["gracePeriodSeconds"]),
        preconditions: Preconditions {
            uid: text(&["preconditions", "uid"]),
            resource_version: text(&["preconditions", "resourceVersion"]),
        },
        orphan_dependents: body.bool_at(&["orphanDependents"]),
        ignore_store_read_error: unsafe_deletion && body.bool_at(&[IGNORE_STORE_READ_ERROR]).unwrap_or(false),
        ..DeleteOptions::default()
    };
    let preconditions = body.at(&["preconditions"]).is_some();
    check_delete(options, body.str_at(&["propagationPolicy"]), &dry_run, preconditions)
}

/// Options of a list as they came, for the rules on which go together (F-LST-1).
struct RawList<'a> {
    resource_version: &'a str,
    matching: &'a str,
    continue_token: &'a str,
    send_initial_events: Option<bool>,
    watch: bool,
}

impl RawList<'_> {
    /// A watch from nowhere in particular begins with a consistent state (F-WATCH-2).
    fn default(&mut self) {
        let from_anywhere = matches!(self.resource_version, "" | "0");
        if self.watch && from_anywhere && self.send_initial_events.is_none() && self.matching.is_empty() {
            self.send_initial_events = Some(true);
            self.matching = "NotOlderThan";
        }
    }

    fn check(&self) -> FieldErrors {
        let mut errors = FieldErrors::new();
        if self.watch {
            self.check_watch(&mut errors)
        } else {
            self.check_list(&mut errors)
        }
        errors
    }

    fn check_list(&self, errors: &mut FieldErrors) {
        let path = FieldPath::root("resourceVersionMatch");
        let mut forbid = |detail: &str| errors.push(FieldError::forbidden(&path, detail));
        if !self.matching.is_empty() {
            if self.resource_version.is_empty() {
                forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if !self.continue_token.is_empty() {
                forbid("resourceVersionMatch is forbidden when continue is provided");
            }
            if !matches!(self.matching, "Exact" | "NotOlderThan") {
                let supported = ["Exact", "NotOlderThan", ""];
                errors.push(FieldError::not_supported(&path, &Value::from(self.matching), &supported));
            }
            if self.matching == "Exact" && self.resource_version == "0" {
                let detail = r#"resourceVersionMatch "exact" is forbidden for resourceVersion "0""#;
                errors.push(FieldError::forbidden(&path, detail));
            }
        }
        if self.send_initial_events.is_some() {
            let path = FieldPath::root("sendInitialEvents");
            errors.push(FieldError::forbidden(&path, "sendInitialEvents is forbidden for list"));
        }
    }

    fn check_watch(&self, errors: &mut FieldErrors) {
        let path = FieldPath::root("resourceVersionMatch");
        let mut forbid = |detail: &str| errors.push(FieldError::forbidden(&path, detail));
        if self.send_initial_events.is_some() && self.matching != "NotOlderThan" {
            forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        if self.matching.is_empty() {
            return;
        }
        if self.send_initial_events.is_none() {
            forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        }
        if self.matching != "NotOlderThan" {
            errors.push(FieldError::not_supported(&path, &Value::from(self.matching), &["NotOlderThan"]));
        }
        if !self.continue_token.is_empty() {
            let detail = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
}

/// Refuses fields the kind does not let select on, and replaces aliases (F-LST-2).
fn convert_fields(selector: &FieldSelector, definition: &ResourceDef) -> Result<FieldSelector, Failure> {
    selector.transform(|label, value| {
        let label = match (definition.kind.as_ref(), label) {
            ("Pod", "spec.host") => "spec.nodeName",
            (_, label) => label,
        };
        let common = label == "metadata.name" || label == "metadata.namespace";
        if common || definition.selectable_fields.iter().any(|field| field == label) {
            Ok(Some((label.to_owned(), value.to_owned())))
        } else {
            Err(Failure::bad_request(unknown_field(label, definition)))
        }
    })
}

fn unknown_field(label: &str, definition: &ResourceDef) -> String {
    // Kinds with selectable fields of their own have a conversion function of
    // their own in the original, and with it a text of their own.
    let custom = schema::builtin().kind(&definition.group, &definition.version, &definition.kind).is_none();
    match definition.kind.as_ref() {
        "Job" => format!("field label {} not supported for Job", meta::field::quoted(label)),
        "ResourceSlice" => format!("field label not supported for {}: {label}", definition.gvk()),
        _ if custom || !definition.selectable_fields.is_empty() => {
            format!("field label not supported: {label}")
        }
        _ => {
            let label = meta::field::quoted(label);
            format!(r#"{label} is not a known field selector: only "metadata.name", "metadata.namespace""#)
        }
    }
}

/// A name in the path selects, and must not contradict the selector (F-LST-3).
fn name_selector(selector: FieldSelector, name: &str) -> Result<FieldSelector, Failure> {
    if name.is_empty() {
        return Ok(selector);
    }
    if selector.is_empty() {
        return Ok(FieldSelector::equals("metadata.name", name));
    }
    if selector.requires_exact("metadata.name") == Some(name) {
        return Ok(selector);
    }
    Err(Failure::bad_request("fieldSelector metadata.name doesn't match requested name"))
}

fn check_delete(
    mut options: DeleteOptions,
    policy: Option<&str>,
    dry_run: &[&str],
    preconditions: bool,
) -> Result<DeleteOptions, Failure> {
    let mut errors = FieldErrors::new();
    let path = FieldPath::root("propagationPolicy");
    if let Some(policy) = policy.filter(|_| options.orphan_dependents.is_some()) {
        let detail = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid_str(&path, policy, detail));
    }
    options.propagation_policy = match policy {
        None => None,
        Some("Foreground") => Some(PropagationPolicy::Foreground),
        Some("Background") => Some(PropagationPolicy::Background),
        Some("Orphan") => Some(PropagationPolicy::Orphan),
        Some(other) => {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported(&path, &Value::from(other), &supported));
            None
        }
    };
    check_dry_run(dry_run, &mut errors);
    options.dry_run = !dry_run.is_empty();
    if options.ignore_store_read_error {
        let others = [
            (".dryRun", options.dry_run),
            (".propagationPolicy", policy.is_some()),
            (".orphanDependents", options.orphan_dependents.is_some()),
            (".gracePeriodSeconds", options.grace_period_seconds.is_some()),
            (".preconditions", preconditions),
        ];
        for (other, _) in others.into_iter().filter(|(_, given)| *given) {
            errors.push(unsafe_deletion_error(&format!("cannot be set together with {other}")));
        }
    }
    refuse_if_any("DeleteOptions", errors)?;
    Ok(options)
}

/// What is wrong with the option to ignore read errors.
fn unsafe_deletion_error(detail: &str) -> FieldError {
    FieldError::invalid(&FieldPath::root(IGNORE_STORE_READ_ERROR), &Value::Bool(true), detail)
}

/// Refuses to delete a collection of objects that cannot be read (D-COL-4).
pub fn refuse_unsafe_collection(options: &DeleteOptions) -> Result<(), Failure> {
    let detail = "is not allowed with DELETECOLLECTION, try again after removing the option";
    let wrong = options.ignore_store_read_error.then(|| unsafe_deletion_error(detail));
    refuse_if_any("DeleteOptions", wrong.into_iter().collect())
}

fn check_field_manager(manager: &str, errors: &mut FieldErrors) {
    let path = FieldPath::root("fieldManager");
    if manager.len() > FIELD_MANAGER_BYTES_MAX {
        errors.push(FieldError::too_long(&path, FIELD_MANAGER_BYTES_MAX));
    }
    if let Some((at, c)) = manager.char_indices().find(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(FieldError::invalid_str(&path, manager, detail));
    }
}

fn check_dry_run(values: &[&str], errors: &mut FieldErrors) {
    if values.iter().any(|value| *value != "All") {
        let shown = Value::from(values.to_vec());
        errors.push(FieldError::not_supported(&FieldPath::root("dryRun"), &shown, &["All"]));
    }
}

fn check_field_validation(value: &str, errors: &mut FieldErrors) -> FieldValidation {
    match value {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            let supported = ["", "Ignore", "Strict", "Warn"];
            let path = FieldPath::root("fieldValidation");
            errors.push(FieldError::not_supported(&path, &Value::from(other), &supported));
            FieldValidation::Warn
        }
    }
}

/// Who writes when the client does not say: the first word of its agent.
fn manager_of_agent(headers: &http::HeaderMap) -> String {
    let agent = header(headers, http::header::USER_AGENT);
    let word: String =
        agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    if word.is_empty() { "unknown".to_owned() } else { word.chars().take(FIELD_MANAGER_BYTES_MAX).collect() }
}

fn refuse_if_any(kind: &'static str, errors: FieldErrors) -> Result<(), Failure> {
    if errors.is_empty() {
        return Ok(());
    }
    let kind = GroupKind { group: "meta.k8s.io".into(), kind: kind.into() };
    Err(ApiError::invalid(kind, "", errors).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;
    use registry::Strategy;

    struct Plain;
    impl Strategy for Plain {}

    fn refusal(result: Result<impl std::fmt::Debug, Failure>) -> String {
        Status::of_failure(&result.expect_err("refused")).expect("a Status").message
    }

    fn config_maps() -> ResourceDef {
        ResourceDef::stored("", "v1", "configmaps", "ConfigMap", Plain)
    }

    fn list(query: &str) -> Result<ReadOptions, Failure> {
        read_options(&Query::parse(query), &config_maps(), "", false)
    }

    #[test]
    fn contradicting_list_options_are_refused_with_the_texts_of_the_original() {
        assert_eq!(
            refusal(list("resourceVersionMatch=Exact&continue=x")),
            "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden \
             unless resourceVersion is provided, resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when \
             continue is provided]"
        );
        assert_eq!(refusal(list("limit=")), "strconv.ParseInt: parsing \"\": invalid syntax");
        assert_eq!(
            refusal(list("fieldSelector=data%3Dx")),
            "\"data\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }

    #[test]
    fn a_watch_from_anywhere_begins_with_the_state() {
        let watch =
            |query| read_options(&Query::parse(query), &config_maps(), "", true).expect("allowed").list;
        assert_eq!(watch("resourceVersion=0").send_initial_events, Some(true));
        assert_eq!(watch("resourceVersion=5").send_initial_events, None);
        assert_eq!(list("resourceVersion=0").expect("allowed").list.send_initial_events, None);
    }

    #[test]
    fn write_options_are_checked() {
        let read =
            |query: &str| write_options(WriteKind::Patch, &Query::parse(query), &http::HeaderMap::new());
        assert_eq!(
            refusal(read("dryRun=")),
            "PatchOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"\"]: supported values: \"All\""
        );
        assert_eq!(
            refusal(read("fieldManager=a%0Ab")),
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\nb\": invalid character U+000A \
             (at position 1)"
        );
        let (options, validation) = read("dryRun=All&fieldValidation=Strict").expect("allowed");
        assert_eq!((options.dry_run, options.field_manager.as_str()), (true, "unknown"));
        assert_eq!(validation, FieldValidation::Strict);
    }

    #[test]
    fn delete_options_refuse_unknown_policies() {
        assert_eq!(
            refusal(delete_options_of_query(&Query::parse("propagationPolicy="), false)),
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"\": supported values: \
             \"Foreground\", \"Background\", \"Orphan\", \"nil\""
        );
    }
}
