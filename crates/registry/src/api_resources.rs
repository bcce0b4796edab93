//! Which group versions and resources are served: the defaults of the
//! definitions, changed by `--runtime-config`.

use std::collections::{BTreeMap, BTreeSet};

use meta::{GroupVersion, GroupVersionResource};

use crate::definition::ResourceDef;

/// Switches of group versions and of single resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiResourceConfig {
    versions: BTreeMap<GroupVersion, bool>,
    /// These count more than their version's switch.
    resources: BTreeMap<GroupVersionResource, bool>,
}

/// `--runtime-config` as given: keys with their values, an empty value where none was given.
pub type RuntimeConfig = BTreeMap<String, String>;

/// `--runtime-config` asks for something that does not exist. The texts are the original's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeConfigError {
    /// Nothing would be left to serve.
    #[error("invalid key with only api/all=false")]
    NothingLeft,
    /// A key has not two or three parts.
    #[error("runtime-config invalid key {0}")]
    Key(String),
    /// Groups nobody knows.
    #[error("unknown api groups {}", .0.join(","))]
    UnknownGroups(Vec<String>),
    /// The group is known, the version is not.
    #[error("group version {0} that has not been registered")]
    UnknownVersion(GroupVersion),
    /// A key for many versions has a value that is neither `true` nor `false`.
    #[error("invalid value {key}={value}")]
    Matcher {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// A key for one version or resource has a value that is no boolean.
    #[error("invalid value of {key}: {value}, err: strconv.ParseBool: parsing {value:?}: invalid syntax")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// The resource of a key is not lower case.
    #[error(
        "invalid key {key}: group/version/resource and resource is always lowercase plural, not {resource:?}"
    )]
    Resource {
        /// The key.
        key: String,
        /// Its last part.
        resource: String,
    },
}

/// A key, and whether it stands for a version.
type Matcher = (&'static str, fn(&str) -> bool);

/// Keys that stand for many versions, in the order in which they are applied.
const MATCHERS: [Matcher; 4] = [
    ("api/all", |_| true),
    ("api/ga", |version| stability(version) == Some("")),
    ("api/beta", |version| stability(version) == Some("beta")),
    ("api/alpha", |version| stability(version) == Some("alpha")),
];

/// Versions that the original knows of but does not serve any more. Asking for them changes nothing.
const NOT_SERVED: [(&str, &[&str]); 15] = [
    ("admissionregistration.k8s.io", &["v1beta1"]),
    ("apps", &["v1beta1", "v1beta2"]),
    ("authentication.k8s.io", &["v1alpha1", "v1beta1"]),
    ("authorization.k8s.io", &["v1beta1"]),
    ("batch", &["v1beta1"]),
    ("discovery.k8s.io", &["v1beta1"]),
    ("events.k8s.io", &["v1beta1"]),
    ("extensions", &["v1beta1"]),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1", "v1beta2", "v1beta3"]),
    ("imagepolicy.k8s.io", &["v1alpha1"]),
    ("node.k8s.io", &["v1alpha1", "v1beta1"]),
    ("policy", &["v1beta1"]),
    ("rbac.authorization.k8s.io", &["v1alpha1", "v1beta1"]),
    ("scheduling.k8s.io", &["v1beta1"]),
    ("storage.k8s.io", &["v1alpha1"]),
];

impl ApiResourceConfig {
    /// What is served when nothing is said: every version a definition of which
    /// is on by default, less the resources that are off nevertheless.
    pub fn new<'a>(definitions: impl IntoIterator<Item = &'a ResourceDef>) -> ApiResourceConfig {
        let mut config = ApiResourceConfig { versions: BTreeMap::new(), resources: BTreeMap::new() };
        let mut off = Vec::new();
        for definition in definitions {
            let enabled = config.versions.entry(definition.group_version()).or_default();
            *enabled |= definition.enabled_by_default;
            if !definition.enabled_by_default {
                off.push(definition.gvr());
            }
        }
        for resource in off {
            if config.versions.get(&version_of(&resource)) == Some(&true) {
                config.resources.insert(resource, false);
            }
        }
        config
    }

    /// Applies `--runtime-config`: keys for many versions first, then versions, then resources.
    pub fn apply(&mut self, runtime: &RuntimeConfig) -> Result<(), RuntimeConfigError> {
        self.validate(runtime)?;
        for (key, matches) in MATCHERS {
            if let Some(value) = runtime.get(key) {
                let enabled = match value.as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(RuntimeConfigError::Matcher { key, value: value.clone() }),
                };
                self.set_matching(matches, enabled);
            }
        }
        let mut resources = Vec::new();
        for (key, value) in runtime.iter().filter(|(key, _)| !is_matcher(key)) {
            let (version, resource) = parse_key(key)?;
            self.check_version(&version)?;
            let enabled = parse_value(key, value)?;
            match resource {
                None => self.set_version(version, enabled),
                Some(resource) if resource.to_lowercase() == resource => {
                    let resource = GroupVersionResource::new(version.group, version.version, resource);
                    resources.push((resource, enabled));
                }
                Some(resource) => {
                    return Err(RuntimeConfigError::Resource { key: key.clone(), resource });
                }
            }
        }
        self.resources.extend(resources);
        Ok(())
    }

    /// True if the resource is served.
    pub fn resource_enabled(&self, resource: &GroupVersionResource) -> bool {
        let switch = self.resources.get(resource).or_else(|| self.versions.get(&version_of(resource)));
        switch.copied().unwrap_or(false)
    }

    fn validate(&self, runtime: &RuntimeConfig) -> Result<(), RuntimeConfigError> {
        if runtime.len() == 1 && runtime.get("api/all").is_some_and(|value| value == "false") {
            return Err(RuntimeConfigError::NothingLeft);
        }
        let mut unknown = BTreeSet::new();
        for key in runtime.keys().filter(|key| !is_matcher(key)) {
            let (version, _) = parse_key(key)?;
            if !self.knows_group(&version.group) {
                unknown.insert(version.group.into_owned());
            }
        }
        if unknown.is_empty() {
            Ok(())
        } else {
            Err(RuntimeConfigError::UnknownGroups(unknown.into_iter().collect()))
        }
    }

    fn knows_group(&self, group: &str) -> bool {
        self.versions.keys().any(|known| known.group == group)
            || NOT_SERVED.iter().any(|(known, _)| *known == group)
    }

    fn check_version(&self, version: &GroupVersion) -> Result<(), RuntimeConfigError> {
        let not_served = NOT_SERVED
            .iter()
            .any(|(group, versions)| *group == version.group && versions.contains(&version.version.as_ref()));
        if not_served || self.versions.contains_key(version) {
            Ok(())
        } else {
            Err(RuntimeConfigError::UnknownVersion(version.clone()))
        }
    }

    fn set_matching(&mut self, matches: fn(&str) -> bool, enabled: bool) {
        for (version, switch) in &mut self.versions {
            if matches(&version.version) {
                *switch = enabled;
            }
        }
        self.resources.retain(|resource, _| !matches(&resource.version));
    }

    /// A version's switch ends what was said of its resources before.
    fn set_version(&mut self, version: GroupVersion, enabled: bool) {
        self.resources.retain(|resource, _| version_of(resource) != version);
        if let Some(switch) = self.versions.get_mut(&version) {
            *switch = enabled;
        }
    }
}

fn version_of(resource: &GroupVersionResource) -> GroupVersion {
    GroupVersion::new(resource.group.clone(), resource.version.clone())
}

fn is_matcher(key: &str) -> bool {
    MATCHERS.iter().any(|(matcher, _)| *matcher == key)
}

/// `group/version` or `group/version/resource`; the core group is empty.
fn parse_key(key: &str) -> Result<(GroupVersion, Option<String>), RuntimeConfigError> {
    let parts: Vec<&str> = key.split('/').collect();
    let (group, version, resource) = match parts[..] {
        [group, version] => (group, version, None),
        [group, version, resource] => (group, version, Some(resource.to_owned())),
        _ => return Err(RuntimeConfigError::Key(key.to_owned())),
    };
    Ok((GroupVersion::new(group.to_owned(), version.to_owned()), resource))
}

/// A boolean as Go reads it; nothing is true.
fn parse_value(key: &str, value: &str) -> Result<bool, RuntimeConfigError> {
    match value {
        "" | "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(RuntimeConfigError::Value { key: key.to_owned(), value: value.to_owned() }),
    }
}

/// `alpha`, `beta` or nothing of a version such as `v2beta1`; none if it has another form.
fn stability(version: &str) -> Option<&str> {
    let rest = version.strip_prefix('v')?;
    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let name = after.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = name.is_empty() || name.len() < after.len();
    (rest.len() > after.len() && numbered).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::Plain;

    fn definitions() -> Vec<ResourceDef> {
        let def = |group, version, resource, enabled_by_default| ResourceDef {
            enabled_by_default,
            ..ResourceDef::stored(group, version, resource, "Kind", Plain)
        };
        vec![
            def("", "v1", "pods", true),
            def("", "v1", "events", true),
            def("apps", "v1", "deployments", true),
            def("resource.k8s.io", "v1", "deviceclasses", true),
            def("resource.k8s.io", "v1beta1", "deviceclasses", false),
            def("resource.k8s.io", "v1alpha3", "devicetaintrules", false),
        ]
    }

    fn served(runtime: &str) -> Result<Vec<String>, String> {
        let definitions = definitions();
        let mut config = ApiResourceConfig::new(&definitions);
        let pairs = runtime.split(',').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let runtime = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        config.apply(&runtime).map_err(|error| error.to_string())?;
        let on = definitions.iter().filter(|def| config.resource_enabled(&def.gvr()));
        Ok(on.map(|def| format!("{}/{}/{}", def.group, def.version, def.resource)).collect())
    }

    const STABLE: [&str; 4] =
        ["/v1/pods", "/v1/events", "apps/v1/deployments", "resource.k8s.io/v1/deviceclasses"];
    const BETA: &str = "resource.k8s.io/v1beta1/deviceclasses";
    const ALPHA: &str = "resource.k8s.io/v1alpha3/devicetaintrules";

    #[test]
    fn only_stable_versions_are_served_by_default() {
        assert_eq!(served("").unwrap(), STABLE);
    }

    /// TestParseRuntimeConfig.
    #[test]
    fn versions_and_resources_are_switched_from_the_widest_key_to_the_narrowest() {
        let stable_and = |more: &[&'static str]| [&STABLE[..], more].concat();
        for (runtime, expected) in [
            ("api/all=true", stable_and(&[BETA, ALPHA])),
            ("api/all=false,apps/v1=true", vec!["apps/v1/deployments"]),
            ("api/beta=true", stable_and(&[BETA])),
            ("api/alpha=true", stable_and(&[ALPHA])),
            ("api/ga=false,api/beta=true", vec![BETA]),
            ("api/all=true,api/alpha=false", stable_and(&[BETA])),
            ("resource.k8s.io/v1beta1", stable_and(&[BETA])),
            ("resource.k8s.io/v1beta1/deviceclasses=true", stable_and(&[BETA])),
            ("/v1=false", STABLE[2..].to_vec()),
            ("/v1/events=false", vec![STABLE[0], STABLE[2], STABLE[3]]),
            ("/v1=false,/v1/pods=true", vec![STABLE[0], STABLE[2], STABLE[3]]),
            ("apps/v1beta1=true", stable_and(&[])),
        ] {
            assert_eq!(served(runtime).unwrap(), expected, "{runtime}");
        }
    }

    /// TestAPIEnablementOptionsValidate and the errors of TestParseRuntimeConfig.
    #[test]
    fn what_does_not_exist_is_refused() {
        for (runtime, expected) in [
            ("api/all=false", "invalid key with only api/all=false"),
            ("apiall=false", "runtime-config invalid key apiall"),
            ("v1=false", "runtime-config invalid key v1"),
            ("api/v1=true", "unknown api groups api"),
            ("apps/v7=true", "group version apps/v7 that has not been registered"),
            ("api/all=yes", "invalid value api/all=yes"),
            (
                "apps/v1=x",
                "invalid value of apps/v1: x, err: strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
            (
                "apps/v1/Deployments=true",
                "invalid key apps/v1/Deployments: group/version/resource and resource is always lowercase plural, \
                 not \"Deployments\"",
            ),
        ] {
            assert_eq!(served(runtime).unwrap_err(), expected, "{runtime}");
        }
    }
}
