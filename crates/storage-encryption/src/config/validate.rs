//! The rules of an encryption configuration, with the original's texts (E-ENC-6).

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::{EncryptionConfiguration, Key, KmsConfiguration, ProviderConfiguration};
use crate::resource::{ANY, Pattern};

const AES_KEY_BYTES: &[usize] = &[16, 24, 32];
const SECRETBOX_KEY_BYTES: &[usize] = &[32];
/// Stored, but not served: nobody could rewrite them after a rotation.
const NOT_SERVED: &[&str] = &["apiserveripinfo", "serviceipallocations", "servicenodeportallocations"];

/// All that is wrong, in the order of the file. With `reload`, names of KMS
/// v1 plugins must be unique, too.
pub fn validate(configuration: &EncryptionConfiguration, reload: bool) -> FieldErrors {
    let root = FieldPath::root("resources");
    let mut errors = FieldErrors::new();
    if configuration.resources.is_empty() {
        errors.push(at_least_one(&root));
    }
    let mut names = BTreeSet::new();
    for (i, element) in configuration.resources.iter().enumerate() {
        let resources = root.index(i).child("resources");
        let providers = root.index(i).child("providers");
        if element.resources.is_empty() {
            errors.push(at_least_one(&resources));
        }
        overlap(&element.resources, &resources, &mut errors);
        for (j, name) in element.resources.iter().enumerate() {
            resource_name(name, &resources.index(j), &mut errors);
        }
        if element.providers.is_empty() {
            errors.push(at_least_one(&providers));
        }
        for (j, config) in element.providers.iter().enumerate() {
            provider(config, &providers.index(j), &mut names, reload, &mut errors);
        }
    }
    errors
}

fn at_least_one(path: &FieldPath) -> FieldError {
    FieldError::required(path, format!("at least one {} is required", path.as_str()))
}

fn invalid(path: &FieldPath, value: impl Into<Value>, detail: impl Into<String>) -> FieldError {
    FieldError::invalid(path, &value.into(), detail)
}

fn overlap(resources: &[String], path: &FieldPath, errors: &mut FieldErrors) {
    let patterns: Vec<Pattern<'_>> = resources.iter().map(|name| Pattern::parse(name)).collect();
    let (mut twice, mut masked) = (false, false);
    for (i, a) in patterns.iter().enumerate() {
        for b in &patterns[i + 1..] {
            twice |= a == b;
            masked |= *a == ANY || *b == ANY;
            masked |= a.group == b.group && (a.resource == "*" || b.resource == "*");
        }
    }
    let list = || Value::List(resources.iter().map(|name| Value::from(name.as_str())).collect());
    if twice {
        errors.push(invalid(path, list(), "the same resource cannot be specified multiple times"));
    }
    if masked {
        let detail = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked";
        errors.push(invalid(path, list(), detail));
    }
}

fn resource_name(name: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let pattern = Pattern::parse(name);
    let detail = if name.to_lowercase() != name {
        "resource name should not contain capital letters"
    } else if name == "*" {
        "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
    } else if NOT_SERVED.contains(&name) {
        "resources which do not have REST API/s cannot be encrypted"
    } else if pattern.group == "events.k8s.io" {
        "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file"
    } else if pattern.group == "extensions" {
        "'extensions' group has been removed and cannot be used for encryption"
    } else if pattern.group == "*" && pattern.resource != "*" {
        "encrypting the same resource across groups is not supported"
    } else {
        return;
    };
    errors.push(FieldError::invalid_str(path, name, detail));
}

fn provider<'c>(
    config: &'c ProviderConfiguration,
    path: &FieldPath,
    names: &mut BTreeSet<&'c str>,
    reload: bool,
    errors: &mut FieldErrors,
) {
    let ProviderConfiguration { aesgcm, aescbc, secretbox, identity, kms } = config;
    let kinds = [aesgcm.is_some(), aescbc.is_some(), secretbox.is_some(), *identity, kms.is_some()];
    // The value would show keys, so it is not shown.
    match kinds.iter().filter(|is_set| **is_set).count() {
        0 => errors.push(invalid(path, Value::map(), "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity")),
        1 => {}
        _ => errors.push(FieldError::invalid_str(path, "REDACTED", "more than one provider specified in a single element, should split into different list elements")),
    }
    if let Some(kms) = kms {
        plugin(kms, &path.child("kms"), names, reload, errors);
        names.insert(&kms.name);
    } else if let Some(list) = aesgcm {
        keys(list, &path.child("aesgcm").child("keys"), AES_KEY_BYTES, errors);
    } else if let Some(list) = aescbc {
        keys(list, &path.child("aescbc").child("keys"), AES_KEY_BYTES, errors);
    } else if let Some(list) = secretbox {
        keys(list, &path.child("secretbox").child("keys"), SECRETBOX_KEY_BYTES, errors);
    }
}

fn keys(list: &[Key], path: &FieldPath, lengths: &[usize], errors: &mut FieldErrors) {
    if list.is_empty() {
        errors.push(FieldError::required(path, "at least one keys is required"));
    }
    for (i, key) in list.iter().enumerate() {
        let path = path.index(i);
        if key.name.is_empty() {
            errors.push(mandatory(&path.child("name"), "name", "key"));
        }
        if key.secret.is_empty() {
            errors.push(mandatory(&path.child("secret"), "secret", "key"));
        } else if let Some(detail) = bad_secret(&key.secret, lengths) {
            errors.push(FieldError::invalid_str(&path.child("secret"), "REDACTED", detail));
        }
    }
}

fn mandatory(path: &FieldPath, field: &str, of: &str) -> FieldError {
    FieldError::required(path, format!("{field} is a mandatory field for a {of}"))
}

fn bad_secret(secret: &str, lengths: &[usize]) -> Option<String> {
    let Some(bytes) = decode_secret(secret) else { return Some("secrets must be base64 encoded".into()) };
    if lengths.contains(&bytes.len()) {
        return None;
    }
    let expected: Vec<String> = lengths.iter().map(usize::to_string).collect();
    let (length, expected) = (bytes.len(), expected.join(" "));
    Some(format!("secret is not of the expected length, got {length}, expected one of [{expected}]"))
}

/// The bytes of a key; line breaks inside do not count, as in Go.
pub(crate) fn decode_secret(secret: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(secret.replace(['\r', '\n'], "")).ok()
}

fn plugin(
    kms: &KmsConfiguration,
    path: &FieldPath,
    names: &BTreeSet<&str>,
    reload: bool,
    errors: &mut FieldErrors,
) {
    let is_v1 = kms.api_version == "v1";
    let name = path.child("name");
    if kms.name.is_empty() {
        errors.push(mandatory(&name, "name", "provider"));
    }
    if !is_v1 && kms.name.contains(':') {
        let detail = format!("invalid KMS provider name {}, must not contain ':'", kms.name);
        errors.push(FieldError::invalid_str(&name, &kms.name, detail));
    }
    if (reload || !is_v1) && names.contains(kms.name.as_str()) {
        let detail = format!("duplicate KMS provider name {}, names must be unique", kms.name);
        errors.push(FieldError::invalid_str(&name, &kms.name, detail));
    }
    if kms.timeout_nanos <= 0 {
        let shown = if kms.timeout_nanos == 0 {
            "0s".to_owned()
        } else {
            format!("-{:?}", std::time::Duration::from_nanos(kms.timeout_nanos.unsigned_abs()))
        };
        errors.push(FieldError::invalid_str(
            &path.child("timeout"),
            &shown,
            "timeout should be a positive value",
        ));
    }
    endpoint(&kms.endpoint, &path.child("endpoint"), errors);
    match kms.cache_size {
        Some(size) if !is_v1 => {
            errors.push(invalid(&path.child("cachesize"), size, "cachesize is not supported in v2"));
        }
        Some(0) => {
            let detail = "cachesize should be a positive value, or negative to disable";
            errors.push(invalid(&path.child("cachesize"), 0, detail));
        }
        _ => {}
    }
    if !is_v1 && kms.api_version != "v2" {
        let detail = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported";
        errors.push(FieldError::invalid_str(&path.child("apiVersion"), &kms.api_version, detail));
    }
}

fn endpoint(endpoint: &str, path: &FieldPath, errors: &mut FieldErrors) {
    if endpoint.is_empty() {
        errors.push(FieldError::invalid_str(path, "", "endpoint is a mandatory field for a kms"));
        return;
    }
    let scheme = endpoint.split_once("://").map_or("", |(scheme, _)| scheme);
    if scheme != "unix" {
        let detail = format!("unsupported scheme {scheme:?} for KMS provider, only unix is supported");
        errors.push(FieldError::invalid_str(path, endpoint, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(element: &str, reload: bool, expect: &[&str]) {
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{element}]\n"
        );
        let parsed = EncryptionConfiguration::parse(text.as_bytes()).unwrap();
        let found: Vec<String> = validate(&parsed, reload).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{element}");
    }

    #[test]
    fn lists_must_not_be_empty() {
        check("", false, &["resources: Required value: at least one resources is required"]);
        check(
            "{}",
            false,
            &[
                "resources[0].resources: Required value: at least one resources[0].resources is required",
                "resources[0].providers: Required value: at least one resources[0].providers is required",
            ],
        );
    }

    #[test]
    fn names_of_resources_follow_the_rules() {
        let one = |name: &str, expect: &str| {
            let element = format!("{{resources: ['{name}'], providers: [{{identity: {{}}}}]}}");
            let expect = format!("resources[0].resources[0]: Invalid value: \"{name}\": {expect}");
            check(&element, false, &[&expect]);
        };
        one("Secrets", "resource name should not contain capital letters");
        one("*", "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources");
        one("apiserveripinfo", "resources which do not have REST API/s cannot be encrypted");
        one("ingresses.extensions", "'extensions' group has been removed and cannot be used for encryption");
        one("secrets.*", "encrypting the same resource across groups is not supported");
        for fine in ["secrets", "*.", "*.*", "*.apps", "events"] {
            check(&format!("{{resources: ['{fine}'], providers: [{{identity: {{}}}}]}}"), false, &[]);
        }
    }

    #[test]
    fn resources_of_one_list_must_not_overlap() {
        let list = |names: &str| format!("{{resources: {names}, providers: [{{identity: {{}}}}]}}");
        let path = "resources[0].resources: Invalid value: ";
        let twice = format!("{path}[\"a\",\"a\"]: the same resource cannot be specified multiple times");
        check(&list("[a, a]"), false, &[&twice]);
        for masked in ["[a, '*.']", "['*.*', b.c]", "['*.apps', deployments.apps]"] {
            let text = list(masked);
            let parsed = format!(
                "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{text}]\n"
            );
            let parsed = EncryptionConfiguration::parse(parsed.as_bytes()).unwrap();
            let errors = validate(&parsed, false);
            assert_eq!(errors.len(), 1, "{masked}");
            assert!(errors[0].detail.starts_with("using overlapping resources"), "{masked}");
        }
        check(&list("['*.', '*.apps', a.b]"), false, &[]);
    }

    #[test]
    fn keys_are_checked_without_being_shown() {
        let with = |provider: &str| format!("{{resources: [secrets], providers: [{provider}]}}");
        let path = "resources[0].providers[0]";
        check(
            &with("{aescbc: {keys: [{}]}}"),
            false,
            &[
                &format!("{path}.aescbc.keys[0].name: Required value: name is a mandatory field for a key"),
                &format!(
                    "{path}.aescbc.keys[0].secret: Required value: secret is a mandatory field for a key"
                ),
            ],
        );
        check(
            &with(
                "{secretbox: {keys: [{name: a, secret: AAAAAAAAAAAAAAAAAAAAAA==}, {name: b, secret: '-'}]}}",
            ),
            false,
            &[
                &format!(
                    "{path}.secretbox.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 16, expected one of [32]"
                ),
                &format!(
                    "{path}.secretbox.keys[1].secret: Invalid value: \"REDACTED\": secrets must be base64 encoded"
                ),
            ],
        );
        check(
            &with("{aesgcm: {keys: []}}"),
            false,
            &[&format!("{path}.aesgcm.keys: Required value: at least one keys is required")],
        );
        check(
            &with("{}"),
            false,
            &[&format!(
                "{path}: Invalid value: {{}}: provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
            )],
        );
    }

    #[test]
    fn plugins_are_checked() {
        let with = |kms: &str| format!("{{resources: [secrets], providers: [{kms}]}}");
        let path = "resources[0].providers[0].kms";
        check(
            &with("{kms: {apiVersion: v2, name: 'a:b', endpoint: 'tcp://x', timeout: 0s, cachesize: 5}}"),
            false,
            &[
                &format!(
                    "{path}.name: Invalid value: \"a:b\": invalid KMS provider name a:b, must not contain ':'"
                ),
                &format!("{path}.timeout: Invalid value: \"0s\": timeout should be a positive value"),
                &format!(
                    "{path}.endpoint: Invalid value: \"tcp://x\": unsupported scheme \"tcp\" for KMS provider, only unix is supported"
                ),
                &format!("{path}.cachesize: Invalid value: 5: cachesize is not supported in v2"),
            ],
        );
        check(
            &with("{kms: {apiVersion: v3, name: a}}"),
            false,
            &[
                &format!("{path}.endpoint: Invalid value: \"\": endpoint is a mandatory field for a kms"),
                &format!(
                    "{path}.apiVersion: Invalid value: \"v3\": unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"
                ),
            ],
        );
        let twice = with("{kms: {name: a, endpoint: 'unix:///s'}}, {kms: {name: a, endpoint: 'unix:///s'}}");
        check(&twice, false, &[]);
        check(
            &twice,
            true,
            &[
                "resources[0].providers[1].kms.name: Invalid value: \"a\": duplicate KMS provider name a, names must be unique",
            ],
        );
    }
}
