//! `EncryptionConfiguration` as a file: reading it and filling in what may be
//! left out. `validate` says what is wrong with it.

mod duration;
mod validate;

use std::fmt;
use std::time::Duration;

use meta::FieldErrors;
use schema::{Map, Value};

pub(crate) use validate::decode_secret;
pub use validate::validate;

/// API version of the file.
const API_VERSION: &str = "apiserver.config.k8s.io/v1";
const KIND: &str = "EncryptionConfiguration";
const KMS_TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);
const KMS_V1_CACHE_DEFAULT: i64 = 1000;

/// What is stored how.
#[derive(Clone, Debug, PartialEq)]
pub struct EncryptionConfiguration {
    /// In the order of the file.
    pub resources: Vec<ResourceConfiguration>,
}

/// Providers for some resources.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceConfiguration {
    /// `secrets`, `deployments.apps`, `*.apps`, `*.` (core) or `*.*`.
    pub resources: Vec<String>,
    /// The first writes, all read.
    pub providers: Vec<ProviderConfiguration>,
}

/// One element of `providers`; valid if exactly one field is set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProviderConfiguration {
    /// AES-GCM with these keys.
    pub aesgcm: Option<Vec<Key>>,
    /// AES-CBC with these keys.
    pub aescbc: Option<Vec<Key>>,
    /// Secretbox with these keys.
    pub secretbox: Option<Vec<Key>>,
    /// No encryption.
    pub identity: bool,
    /// A plugin.
    pub kms: Option<KmsConfiguration>,
}

/// A key of the file.
#[derive(Clone, PartialEq)]
pub struct Key {
    /// Stands in front of values written with it.
    pub name: String,
    /// Base64.
    pub secret: String,
}

impl fmt::Debug for Key {
    // The secret is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A KMS plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct KmsConfiguration {
    /// `v1` (the default) or `v2`.
    pub api_version: String,
    /// Stands in front of values written with it.
    pub name: String,
    /// Keys kept in memory, of v1 only; negative keeps none.
    pub cache_size: Option<i64>,
    /// `unix:///path/of/the/socket`.
    pub endpoint: String,
    /// Of one call, nanoseconds; may be wrong until validated.
    pub timeout_nanos: i64,
}

impl KmsConfiguration {
    /// Of one call.
    pub fn timeout(&self) -> Duration {
        Duration::from_nanos(self.timeout_nanos.max(0).unsigned_abs())
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// Not YAML, or not of the right shape.
    #[error("{0}")]
    Decode(String),
    /// Breaks rules, in the order of the file.
    #[error("{}", join(.0))]
    Invalid(FieldErrors),
}

fn join(errors: &FieldErrors) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) }
}

impl EncryptionConfiguration {
    /// Reads YAML or JSON and fills in defaults. Unknown and repeated fields
    /// are errors. Rules are checked by [`validate`].
    pub fn parse(bytes: &[u8]) -> Result<EncryptionConfiguration, ConfigError> {
        let mut strict = Vec::new();
        let value = codec::yaml::decode_any_strict(bytes, &mut strict)
            .map_err(|error| ConfigError::Decode(error.to_string()))?;
        check_type(&value)?;
        let mut reader = Reader { problems: strict.iter().map(ToString::to_string).collect(), failure: None };
        let configuration = reader.configuration(&value);
        if let Some(failure) = reader.failure {
            return Err(ConfigError::Decode(failure));
        }
        if !reader.problems.is_empty() {
            return Err(ConfigError::Decode(format!(
                "strict decoding error: {}",
                reader.problems.join(", ")
            )));
        }
        Ok(configuration)
    }
}

fn check_type(value: &Value) -> Result<(), ConfigError> {
    let text = |field| value.str_at(&[field]).unwrap_or_default();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    // The original repeats the file here, and the secrets in it.
    let complaint = match (kind, api_version) {
        ("", _) => "Object 'Kind' is missing".to_owned(),
        (_, "") => "Object 'apiVersion' is missing".to_owned(),
        (KIND, API_VERSION) => return Ok(()),
        _ => format!("no kind {kind:?} is registered for version {api_version:?}"),
    };
    Err(ConfigError::Decode(complaint))
}

/// Walks the tree and notes what does not belong there.
struct Reader {
    problems: Vec<String>,
    failure: Option<String>,
}

impl Reader {
    fn configuration(&mut self, value: &Value) -> EncryptionConfiguration {
        self.known(value, "", &["apiVersion", "kind", "resources"]);
        let resources = self.list(value, "", "resources");
        let resources = resources.iter().map(|(path, value)| self.resource(value, path)).collect();
        EncryptionConfiguration { resources }
    }

    fn resource(&mut self, value: &Value, path: &str) -> ResourceConfiguration {
        self.known(value, path, &["resources", "providers"]);
        let names = self.list(value, path, "resources");
        let resources = names.iter().map(|(path, name)| self.text_of(name, path)).collect();
        let providers = self.list(value, path, "providers");
        let providers = providers.iter().map(|(path, value)| self.provider(value, path)).collect();
        ResourceConfiguration { resources, providers }
    }

    fn provider(&mut self, value: &Value, path: &str) -> ProviderConfiguration {
        self.known(value, path, &["aesgcm", "aescbc", "secretbox", "identity", "kms"]);
        let identity = present(value, "identity");
        if let Some(identity) = identity {
            self.known(identity, &format!("{path}.identity"), &[]);
        }
        ProviderConfiguration {
            aesgcm: self.keys(value, path, "aesgcm"),
            aescbc: self.keys(value, path, "aescbc"),
            secretbox: self.keys(value, path, "secretbox"),
            identity: identity.is_some(),
            kms: present(value, "kms").map(|kms| self.kms(kms, &format!("{path}.kms"))),
        }
    }

    fn keys(&mut self, value: &Value, path: &str, field: &str) -> Option<Vec<Key>> {
        let provider = present(value, field)?;
        let path = format!("{path}.{field}");
        self.known(provider, &path, &["keys"]);
        let keys = self.list(provider, &path, "keys");
        Some(keys.iter().map(|(path, key)| self.key(key, path)).collect())
    }

    fn key(&mut self, value: &Value, path: &str) -> Key {
        self.known(value, path, &["name", "secret"]);
        Key { name: self.text(value, path, "name"), secret: self.text(value, path, "secret") }
    }

    fn kms(&mut self, value: &Value, path: &str) -> KmsConfiguration {
        self.known(value, path, &["apiVersion", "name", "cachesize", "endpoint", "timeout"]);
        let mut api_version = self.text(value, path, "apiVersion");
        if api_version.is_empty() {
            api_version = "v1".to_owned();
        }
        let default = (api_version == "v1").then_some(KMS_V1_CACHE_DEFAULT);
        KmsConfiguration {
            name: self.text(value, path, "name"),
            cache_size: self.number(value, path, "cachesize").or(default),
            endpoint: self.text(value, path, "endpoint"),
            timeout_nanos: self.duration(value, path, "timeout"),
            api_version,
        }
    }

    fn duration(&mut self, value: &Value, path: &str, field: &str) -> i64 {
        if present(value, field).is_none() {
            return i64::try_from(KMS_TIMEOUT_DEFAULT.as_nanos()).expect("three seconds fit");
        }
        let text = self.text(value, path, field);
        duration::parse(&text).unwrap_or_else(|| {
            self.fail(format!("{path}.{field}: time: invalid duration {text:?}"));
            0
        })
    }

    fn number(&mut self, value: &Value, path: &str, field: &str) -> Option<i64> {
        let number = present(value, field)?.as_int();
        if number.is_none() {
            self.fail(format!("{path}.{field}: not an integer"));
        }
        number
    }

    fn text(&mut self, value: &Value, path: &str, field: &str) -> String {
        let Some(value) = present(value, field) else { return String::new() };
        self.text_of(value, &format!("{path}.{field}"))
    }

    fn text_of(&mut self, value: &Value, path: &str) -> String {
        if value.as_str().is_none() {
            self.fail(format!("{path}: not a string"));
        }
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Elements with their paths.
    fn list<'v>(&mut self, value: &'v Value, path: &str, field: &str) -> Vec<(String, &'v Value)> {
        let path = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
        let Some(value) = present(value, field) else { return Vec::new() };
        let Some(list) = value.as_list() else {
            self.fail(format!("{path}: not a list"));
            return Vec::new();
        };
        list.iter().enumerate().map(|(i, value)| (format!("{path}[{i}]"), value)).collect()
    }

    fn known(&mut self, value: &Value, path: &str, fields: &[&str]) {
        let empty = Map::new();
        let map = match value {
            Value::Map(map) => map,
            Value::Null => &empty,
            _ => {
                self.fail(format!("{path}: not an object"));
                &empty
            }
        };
        for key in map.keys().filter(|key| !fields.contains(key)) {
            let dot = if path.is_empty() { "" } else { "." };
            self.problems.push(format!("unknown field \"{path}{dot}{key}\""));
        }
    }

    /// The first failure is reported; those after it may be its consequences.
    fn fail(&mut self, text: String) {
        self.failure.get_or_insert(text);
    }
}

fn present<'v>(value: &'v Value, field: &str) -> Option<&'v Value> {
    value.get(field).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(resources: &str) -> Result<EncryptionConfiguration, String> {
        let text =
            format!("apiVersion: {API_VERSION}\nkind: EncryptionConfiguration\nresources: {resources}\n");
        EncryptionConfiguration::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_provider_is_read_and_defaults_are_filled_in() {
        let parsed = parse(concat!(
            "[{resources: [secrets, '*.apps'], providers: [{aesgcm: {keys: [{name: a, secret: eA==}]}},",
            "{kms: {apiVersion: v2, name: p, endpoint: 'unix:///s', timeout: 1m30s}},",
            "{kms: {name: q, endpoint: 'unix:///s'}}, {identity: {}}]}]",
        ))
        .unwrap();
        let [resource] = &parsed.resources[..] else { panic!("one element") };
        assert_eq!(resource.resources, ["secrets", "*.apps"]);
        let [gcm, v2, v1, identity] = &resource.providers[..] else { panic!("four providers") };
        assert_eq!(gcm.aesgcm.as_ref().unwrap()[0].secret, "eA==");
        let v2 = v2.kms.as_ref().unwrap();
        assert_eq!((v2.timeout(), v2.cache_size), (Duration::from_secs(90), None));
        let v1 = v1.kms.as_ref().unwrap();
        assert_eq!(
            (v1.timeout(), v1.cache_size, &v1.api_version[..]),
            (KMS_TIMEOUT_DEFAULT, Some(1000), "v1")
        );
        assert!(identity.identity && identity.kms.is_none());
    }

    #[test]
    fn what_does_not_belong_there_is_named() {
        let check = |text: &str, expect: &str| assert_eq!(parse(text).unwrap_err(), expect);
        check(
            "[{resources: [secrets], providers: [{identity: {}, rot13: {}}]}]",
            "strict decoding error: unknown field \"resources[0].providers[0].rot13\"",
        );
        check("{}", "resources: not a list");
        check("[{resources: [1]}]", "resources[0].resources[0]: not a string");
        check(
            "[{providers: [{kms: {timeout: soon}}]}]",
            "resources[0].providers[0].kms.timeout: time: invalid duration \"soon\"",
        );
    }

    #[test]
    fn other_kinds_are_refused_without_repeating_their_content() {
        let check = |text: &str, expect: &str| {
            let error = EncryptionConfiguration::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expect);
        };
        check("kind: EncryptionConfiguration", "Object 'apiVersion' is missing");
        check("secret: x", "Object 'Kind' is missing");
        check("{kind: Pod, apiVersion: v1}", "no kind \"Pod\" is registered for version \"v1\"");
    }

    #[test]
    fn secrets_are_not_printed() {
        let parsed = parse("[{providers: [{aescbc: {keys: [{name: a, secret: hidden}]}}]}]").unwrap();
        assert!(!format!("{parsed:?}").contains("hidden"));
    }
}
