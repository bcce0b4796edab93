//! Custom resource definitions make resources at run time. This file owns the
//! object; what serves its resources, and the checks of its schemas, live
//! with custom resources. Stored under its group.
//!
//! A deleted definition stays until its objects are gone: deletion begins by
//! adding a finalizer, which a controller takes off.

use meta::validation::{NameValidation, is_dns1035_label, is_dns1123_subdomain};
use meta::{FieldError, FieldErrors, FieldPath, GroupVersionKind, ObjectMeta, ObjectMetaMut};
use registry::{
    Backing, Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, StorageDef, Strategy,
    Subresource,
};
use schema::{Map, Value};

use crate::apiextensions::GROUP;
use crate::check::{self, at, text};
use crate::defaults;
use crate::print as show;

/// Keeps a definition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Custom resource definitions as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        short_names: vec!["crd".into(), "crds".into()],
        categories: vec!["api-extensions".into()],
        subresources: vec![Subresource::status()],
        columns: vec![Column::name(), show::date_column("Created At")],
        backing: Backing::Stored(StorageDef {
            kind: GroupVersionKind::new(GROUP, "v1", "CustomResourceDefinition"),
            prefix: "apiextensions.k8s.io/customresourcedefinitions".into(),
            conversion: None,
        }),
        name_validation: NameValidation::None,
        generation: true,
        unconditional_update: false,
        status_metadata: StatusMetadata::Kept,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            CrdStrategy,
        )
    }
}

struct CrdStrategy;

impl Strategy for CrdStrategy {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        default_names(spec);
        defaults::pointer(spec, "conversion", Map::from([("strategy", "None")]));
        let webhook = spec.at_mut(&["conversion", "webhook", "clientConfig"]);
        if let Some(service) = webhook.and_then(|config| defaults::object(config, "service")) {
            defaults::pointer(service, "port", 443);
        }
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        remember_storage_version(object);
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, _: &Value) {
        remember_storage_version(object);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = validate(object);
        if is_established(old) {
            for field in ["spec.group", "spec.scope", "spec.names.kind", "spec.names.plural"] {
                check::immutable(&mut errors, field, object, old);
            }
        } else {
            for field in ["spec.group", "spec.names.plural"] {
                check::immutable(&mut errors, field, object, old);
            }
        }
        let changed = |path: &str| errors.iter().any(|error| error.field.as_str() == path);
        if changed("spec.group") || changed("spec.names.plural") {
            errors.retain(|error| error.field.as_str() != "metadata.name");
        }
        errors
    }

    fn begin_deletion(&self, object: &mut Value) {
        let mut meta = ObjectMetaMut::of(object);
        let mut finalizers: Vec<String> = meta.view().finalizers().map(str::to_owned).collect();
        if !finalizers.iter().any(|finalizer| finalizer == CLEANUP_FINALIZER) {
            finalizers.push(CLEANUP_FINALIZER.to_owned());
            meta.set_finalizers(finalizers);
        }
        mark_terminating(object);
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        show::name_and_creation(object, print)
    }
}

fn default_names(spec: &mut Value) {
    let kind = spec.str_at(&["names", "kind"]).unwrap_or_default().to_owned();
    let Some(names) = defaults::object(spec, "names") else { return };
    if !kind.is_empty() {
        defaults::text(names, "singular", &kind.to_lowercase());
        defaults::text(names, "listKind", &format!("{kind}List"));
    }
}

/// Objects may lie in storage in every version that ever was the one stored.
fn remember_storage_version(object: &mut Value) {
    let stored = storage_versions(object).next().map(str::to_owned).map(Value::from);
    let mut known = object.list_at(&["status", "storedVersions"]).to_vec();
    if let Some(stored) = stored.filter(|stored| !known.contains(stored)) {
        known.push(stored);
        object.set(&["status", "storedVersions"], known);
    }
}

/// Names of the versions marked as the one stored; of a valid definition there is one.
fn storage_versions(object: &Value) -> impl Iterator<Item = &str> {
    let versions = object.list_at(&["spec", "versions"]).iter();
    let stored = versions.filter(|version| version.bool_at(&["storage"]).unwrap_or_default());
    stored.map(|version| text(version, &["name"]))
}

fn mark_terminating(object: &mut Value) {
    let since = ObjectMeta::of(object).deletion_timestamp().unwrap_or_default().to_owned();
    let condition = Value::from(Map::from([
        ("type", "Terminating"),
        ("status", "True"),
        ("reason", "InstanceDeletionPending"),
        ("message", "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"),
        ("lastTransitionTime", &since),
    ]));
    let mut conditions = object.list_at(&["status", "conditions"]).to_vec();
    conditions.retain(|condition| text(condition, &["type"]) != "Terminating");
    conditions.push(condition);
    object.set(&["status", "conditions"], conditions);
}

fn is_established(object: &Value) -> bool {
    let established = |condition: &Value| {
        text(condition, &["type"]) == "Established" && text(condition, &["status"]) == "True"
    };
    object.list_at(&["status", "conditions"]).iter().any(established)
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let (group, plural) = (text(object, &["spec", "group"]), text(object, &["spec", "names", "plural"]));
    let name = ObjectMeta::of(object).name();
    if name.is_empty() {
        errors.push(FieldError::required(&at("metadata.name"), check::NAME_REQUIRED));
    } else if name != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid_str(&at("metadata.name"), name, detail));
    }
    validate_group(&mut errors, group);
    let scope = text(object, &["spec", "scope"]);
    check::required_one_of(&mut errors, &at("spec.scope"), scope, &["Cluster", "Namespaced"]);
    if object.bool_at(&["spec", "preserveUnknownFields"]) == Some(true) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                      spec.versions[*].schema instead";
        errors.push(FieldError::invalid(&at("spec.preserveUnknownFields"), &true.into(), detail));
    }
    validate_versions(&mut errors, object);
    validate_names(&mut errors, object);
    validate_conversion(&mut errors, object);
    validate_stored_versions(&mut errors, object);
    errors
}

fn validate_stored_versions(errors: &mut FieldErrors, object: &Value) {
    let path = at("status.storedVersions");
    let stored = object.list_at(&["status", "storedVersions"]);
    if stored.is_empty() {
        let detail = "must have at least one stored version";
        errors.push(check::invalid_shown(&path, "null".to_owned(), detail));
        return;
    }
    let versions = object.list_at(&["spec", "versions"]);
    for (i, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| version.get("name") == Some(name)) {
            errors.push(FieldError::invalid(&path.index(i), name, "must appear in spec.versions"));
        }
    }
    for name in storage_versions(object).filter(|name| !stored.contains(&(*name).into())) {
        let detail = format!("must have the storage version {name}");
        errors.push(FieldError::invalid(&path, &Value::List(stored.to_vec()), detail));
    }
}

fn validate_group(errors: &mut FieldErrors, group: &str) {
    let path = at("spec.group");
    if !check::required(errors, &path, group) {
        return;
    }
    let messages = is_dns1123_subdomain(group);
    if !messages.is_empty() {
        check::messages(errors, &path, group, messages);
    } else if !group.contains('.') {
        errors.push(FieldError::invalid_str(&path, group, "should be a domain with at least one dot"));
    }
}

fn validate_versions(errors: &mut FieldErrors, object: &Value) {
    const VERSION: &str =
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion";
    let path = at("spec.versions");
    let versions = object.list_at(&["spec", "versions"]);
    let mut names = std::collections::BTreeSet::new();
    let mut unique = true;
    let mut stored = 0;
    for (i, version) in versions.iter().enumerate() {
        let name = text(version, &["name"]);
        unique &= names.insert(name);
        stored += usize::from(version.bool_at(&["storage"]).unwrap_or_default());
        check::messages(errors, &path.index(i).child("name"), name, is_dns1035_label(name));
        validate_version(errors, &path.index(i), version);
    }
    let shown = || crate::go_form::show_list(VERSION, &as_older_form(versions));
    if !unique {
        errors.push(check::invalid_shown(&path, shown(), "must contain unique version names"));
    }
    if stored != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(check::invalid_shown(&path, shown(), detail));
    }
    // The older form the original checks names the first version once more.
    if let Some(first) = versions.first().map(|version| text(version, &["name"])) {
        check::messages(errors, &at("spec.version"), first, is_dns1035_label(first));
    }
}

/// In the older form the original checks, what all versions have in common stands beside them.
fn as_older_form(versions: &[Value]) -> Vec<Value> {
    let mut versions = versions.to_vec();
    for key in ["schema", "subresources", "additionalPrinterColumns", "selectableFields"] {
        if versions.windows(2).all(|pair| check::same(pair[0].get(key), pair[1].get(key))) {
            versions.iter_mut().for_each(|version| drop(version.remove(&[key])));
        }
    }
    versions
}

fn validate_version(errors: &mut FieldErrors, path: &FieldPath, version: &Value) {
    if version.at(&["schema", "openAPIV3Schema"]).is_none() {
        errors.push(FieldError::required(&path.child("schema.openAPIV3Schema"), ""));
    }
    if let Some(warning) = version.str_at(&["deprecationWarning"])
        && !version.bool_at(&["deprecated"]).unwrap_or_default()
    {
        let detail = "can only be set for deprecated versions";
        errors.push(FieldError::invalid_str(&path.child("deprecationWarning"), warning, detail));
    }
}

fn validate_names(errors: &mut FieldErrors, object: &Value) {
    let path = at("spec.names");
    for key in ["plural", "singular", "kind", "listKind"] {
        let name = text(object, &["spec", "names", key]);
        if check::required(errors, &path.child(key), name) {
            let lower = name.to_lowercase();
            check::messages(errors, &path.child(key), name, is_dns1035_label(&lower));
        }
    }
    for key in ["shortNames", "categories"] {
        let names = object.list_at(&["spec", "names", key]).iter().filter_map(Value::as_str);
        for (i, name) in names.enumerate() {
            check::messages(errors, &path.child(key).index(i), name, is_dns1035_label(name));
        }
    }
    let kind = text(object, &["spec", "names", "kind"]);
    if !kind.is_empty() && kind == text(object, &["spec", "names", "listKind"]) {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid_str(&path.child("listKind"), kind, detail));
    }
}

/// The original checks an older form, in which the webhook's fields stand one step higher.
fn validate_conversion(errors: &mut FieldErrors, object: &Value) {
    const ONLY_WEBHOOK: &str = "should not be set when strategy is not set to Webhook";
    let Some(conversion) = object.at(&["spec", "conversion"]) else { return };
    let path = at("spec.conversion");
    let strategy = text(conversion, &["strategy"]);
    let config = conversion.at(&["webhook", "clientConfig"]);
    let versions = conversion.at(&["webhook", "conversionReviewVersions"]);
    check::required_one_of(errors, &path.child("strategy"), strategy, &["None", "Webhook"]);
    let (config_path, versions_path) =
        (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    if strategy != "Webhook" {
        if config.is_some() {
            errors.push(FieldError::forbidden(&config_path, ONLY_WEBHOOK));
        }
        if !defaults::is_empty(versions) {
            errors.push(FieldError::forbidden(&versions_path, ONLY_WEBHOOK));
        }
        return;
    }
    match config {
        None => errors.push(FieldError::required(&config_path, "required when strategy is set to Webhook")),
        Some(config) => crate::admissionregistration::validate_client_config(errors, &config_path, config),
    }
    if defaults::is_empty(versions) {
        errors.push(FieldError::required(&versions_path, ""));
    }
    let versions = versions.and_then(Value::as_list).unwrap_or_default();
    for (i, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        check::messages(errors, &versions_path.index(i), version, is_dns1035_label(version));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, defaulted, problems, update_problems};

    const THINGS: &str = r#"{"metadata":{"name":"things.golden.example"},"spec":{"group":"golden.example",
        "scope":"Namespaced","names":{"plural":"things","kind":"Thing"},
        "versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}"#;

    fn created(json: &str) -> Value {
        let mut value = defaulted(&definition(), json);
        definition().strategy.prepare_for_create(&context(), &mut value);
        value
    }

    #[test]
    fn names_follow_from_the_kind_and_the_stored_version_is_remembered() {
        let things = created(THINGS);
        assert_eq!(things.str_at(&["spec", "names", "singular"]), Some("thing"));
        assert_eq!(things.str_at(&["spec", "names", "listKind"]), Some("ThingList"));
        assert_eq!(things.str_at(&["spec", "conversion", "strategy"]), Some("None"));
        assert_eq!(things.at(&["status", "storedVersions"]), Some(&Value::from(vec!["v1"])));
        assert!(problems(&definition(), &things).is_empty());
    }

    #[test]
    fn name_and_versions_are_checked() {
        let other = created(&THINGS.replace("\"things.golden", "\"thingz.golden"));
        assert_eq!(
            problems(&definition(), &other),
            [
                "metadata.name: Invalid value: \"thingz.golden.example\": must be spec.names.plural+\".\"+spec.group"
            ]
        );
        let unstored = created(&THINGS.replace("\"storage\":true", "\"storage\":false"));
        assert_eq!(problems(&definition(), &unstored).len(), 2);
    }

    #[test]
    fn what_is_served_cannot_change_its_scope() {
        let mut old = created(THINGS);
        let established = Map::from([("type", "Established"), ("status", "True")]);
        old.set(&["status", "conditions"], vec![established]);
        let mut new = old.clone();
        new.set(&["spec", "scope"], "Cluster");
        assert_eq!(
            update_problems(&definition(), &new, &old),
            ["spec.scope: Invalid value: \"Cluster\": field is immutable"]
        );
    }

    #[test]
    fn deletion_waits_for_the_objects() {
        let mut things = created(THINGS);
        definition().strategy.begin_deletion(&mut things);
        assert_eq!(ObjectMeta::of(&things).finalizers().collect::<Vec<_>>(), [CLEANUP_FINALIZER]);
        assert_eq!(text(&things.list_at(&["status", "conditions"])[0], &["type"]), "Terminating");
    }
}
