//! Where and how each resource is stored: cluster, keys, media type, version.
//!
//! [`StorageFactory`] holds the rules (cohabitation, special prefixes,
//! overrides) and answers with a [`StorageConfig`] for a resource. Owns no
//! connection, no codec and no transformer: the wiring makes those of the answer.

mod overrides;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use meta::GroupResource;
use storage::StorageMedia;

pub use overrides::{OverrideError, ServersOverride, parse_servers_overrides};
pub use versions::{RegisteredVersion, StorageVersions};

/// How one resource is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// The resource whose storage it is; another one's where two cohabit.
    /// Encryption rules and storage versions are those of this resource.
    pub resource: GroupResource,
    /// URLs of the cluster it lies in; empty is the server's default store.
    pub servers: Vec<String>,
    /// Put before every key of the store, e.g. `/registry`.
    pub path_prefix: String,
    /// Below it, without slashes around, e.g. `services/specs`.
    pub resource_prefix: String,
    /// How new values are encoded.
    pub media: StorageMedia,
}

/// What holds where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageDefaults {
    /// URLs of the default cluster; empty where the store is no cluster (`--etcd-servers`).
    pub servers: Vec<String>,
    /// `--etcd-prefix`
    pub path_prefix: String,
    /// `--storage-media-type`
    pub media: StorageMedia,
}

/// Rules of where and how resources are stored.
#[derive(Clone, Debug)]
pub struct StorageFactory {
    defaults: StorageDefaults,
    /// By resource; the resource `*` stands for all of a group.
    overrides: BTreeMap<GroupResource, Override>,
    special_prefixes: BTreeMap<GroupResource, String>,
    /// Resources that share storage, the one it belongs to first.
    cohabitants: Vec<Vec<GroupResource>>,
    /// Groups of which anything is served; none: all of them.
    enabled_groups: Option<BTreeSet<String>>,
}

/// What differs from the defaults; nothing where empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Override {
    servers: Vec<String>,
    path_prefix: Option<String>,
    resource_prefix: Option<String>,
    media: Option<StorageMedia>,
}

/// Stands for every resource of a group in an override.
const ALL_RESOURCES: &str = "*";

/// Key prefixes that are not the plural name, for history's sake (E-FAC-3).
const SPECIAL_PREFIXES: [(&str, &str, &str); 7] = [
    ("", "endpoints", "services/endpoints"),
    ("", "nodes", "minions"),
    // Not served: what allocators keep.
    ("", "rangeallocations", "ranges"),
    ("", "replicationcontrollers", "controllers"),
    ("", "services", "services/specs"),
    ("extensions", "ingresses", "ingress"),
    ("networking.k8s.io", "ingresses", "ingress"),
];

/// Resource, the group it belongs to, the group that shares its storage (E-FAC-2).
const COHABITANTS: [(&str, &str, &str); 8] = [
    ("networkpolicies", "networking.k8s.io", "extensions"),
    ("deployments", "apps", "extensions"),
    ("daemonsets", "apps", "extensions"),
    ("replicasets", "apps", "extensions"),
    ("events", "", "events.k8s.io"),
    ("replicationcontrollers", "", "extensions"),
    ("podsecuritypolicies", "policy", "extensions"),
    ("ingresses", "networking.k8s.io", "extensions"),
];

/// The groups the original serves with the machinery of custom resources:
/// always JSON, keys with the group in them (E-FAC-4, E-FAC-8).
const EXTENSION_RESOURCES: [(&str, &str); 2] =
    [("apiextensions.k8s.io", "customresourcedefinitions"), ("apiregistration.k8s.io", "apiservices")];

impl StorageFactory {
    /// The rules kube-apiserver has for its built-in resources.
    pub fn builtin(defaults: StorageDefaults) -> StorageFactory {
        let mut factory = StorageFactory::new(defaults);
        for (group, resource, prefix) in SPECIAL_PREFIXES {
            factory.special_prefixes.insert(GroupResource::new(group, resource), prefix.to_owned());
        }
        for (resource, owner, guest) in COHABITANTS {
            factory
                .add_cohabitants([GroupResource::new(owner, resource), GroupResource::new(guest, resource)]);
        }
        for (group, resource) in EXTENSION_RESOURCES {
            let resource = GroupResource::new(group, resource);
            factory.set_resource_prefix(resource.clone(), format!("{}/{}", group, resource.resource));
            factory.set_media(resource, StorageMedia::Json);
        }
        factory
    }

    /// A factory without rules: every resource lies under its own name.
    pub fn new(defaults: StorageDefaults) -> StorageFactory {
        StorageFactory {
            defaults,
            overrides: BTreeMap::new(),
            special_prefixes: BTreeMap::new(),
            cohabitants: Vec::new(),
            enabled_groups: None,
        }
    }

    /// Says of which groups anything is served; others own no storage that is shared.
    pub fn set_enabled_groups(&mut self, groups: impl IntoIterator<Item = String>) {
        self.enabled_groups = Some(groups.into_iter().collect());
    }

    /// Resources that share storage. It belongs to the first whose group is served.
    pub fn add_cohabitants(&mut self, resources: impl Into<Vec<GroupResource>>) {
        self.cohabitants.push(resources.into());
    }

    /// Puts a resource (or with the resource `*` a group) into another cluster.
    pub fn set_servers(&mut self, resource: GroupResource, servers: Vec<String>) {
        self.overrides.entry(resource).or_default().servers = servers;
    }

    /// Puts a resource (or group) under another path than the default one.
    pub fn set_path_prefix(&mut self, resource: GroupResource, prefix: impl Into<String>) {
        self.overrides.entry(resource).or_default().path_prefix = Some(prefix.into());
    }

    /// Gives a resource another place below the path prefix.
    pub fn set_resource_prefix(&mut self, resource: GroupResource, prefix: impl Into<String>) {
        self.overrides.entry(resource).or_default().resource_prefix = Some(prefix.into());
    }

    /// Fixes how a resource (or group) is encoded, whatever the default.
    pub fn set_media(&mut self, resource: GroupResource, media: StorageMedia) {
        self.overrides.entry(resource).or_default().media = Some(media);
    }

    /// How a resource is stored: the owner of its storage, then what is said of
    /// its group, then what is said of itself (E-FAC-1).
    pub fn config(&self, resource: &GroupResource) -> StorageConfig {
        let owner = self.owner(resource);
        let group = GroupResource::new(owner.group.clone(), ALL_RESOURCES);
        let mut config = StorageConfig {
            resource_prefix: self.default_prefix(&owner),
            resource: owner.clone(),
            servers: self.defaults.servers.clone(),
            path_prefix: self.defaults.path_prefix.clone(),
            media: self.defaults.media,
        };
        for said in [group, owner].iter().filter_map(|key| self.overrides.get(key)) {
            said.apply(&mut config);
        }
        config
    }

    /// The distinct clusters in use, the default one first. Order within a
    /// cluster's list does not make it another cluster (E-HLT-1).
    pub fn clusters(&self) -> Vec<Vec<String>> {
        let mut clusters = vec![self.defaults.servers.clone()];
        let mut seen = BTreeSet::from([sorted(&self.defaults.servers)]);
        for said in self.overrides.values().filter(|said| !said.servers.is_empty()) {
            if seen.insert(sorted(&said.servers)) {
                clusters.push(said.servers.clone());
            }
        }
        clusters
    }

    fn owner(&self, resource: &GroupResource) -> GroupResource {
        let enabled = |owner: &&GroupResource| match &self.enabled_groups {
            Some(groups) => groups.contains(owner.group.as_ref()),
            None => true,
        };
        let shared = self.cohabitants.iter().find(|cohabitants| cohabitants.contains(resource));
        shared.and_then(|cohabitants| cohabitants.iter().find(enabled)).unwrap_or(resource).clone()
    }

    fn default_prefix(&self, resource: &GroupResource) -> String {
        let special = self.special_prefixes.get(resource).cloned();
        special.unwrap_or_else(|| resource.resource.to_lowercase())
    }
}

impl Override {
    fn apply(&self, config: &mut StorageConfig) {
        if !self.servers.is_empty() {
            config.servers.clone_from(&self.servers);
        }
        if let Some(prefix) = &self.path_prefix {
            config.path_prefix.clone_from(prefix);
        }
        if let Some(prefix) = &self.resource_prefix {
            config.resource_prefix.clone_from(prefix);
        }
        if let Some(media) = self.media {
            config.media = media;
        }
    }
}

fn sorted(servers: &[String]) -> Vec<String> {
    let mut servers = servers.to_vec();
    servers.sort();
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> StorageDefaults {
        let servers = vec!["http://127.0.0.1:1".to_owned()];
        StorageDefaults { servers, path_prefix: "/registry".to_owned(), media: StorageMedia::Protobuf }
    }

    fn factory() -> StorageFactory {
        StorageFactory::builtin(defaults())
    }

    fn config(factory: &StorageFactory, group: &'static str, resource: &'static str) -> StorageConfig {
        factory.config(&GroupResource::new(group, resource))
    }

    /// TestConfigurableStorageFactory, TestUpdateEtcdOverrides.
    #[test]
    fn what_is_said_of_a_resource_counts_more_than_what_is_said_of_its_group() {
        let mut factory = factory();
        let group = GroupResource::new("apps", "*");
        factory.set_path_prefix(group.clone(), "/elsewhere");
        factory.set_servers(group, vec!["http://group:1".to_owned()]);
        factory.set_servers(GroupResource::new("apps", "deployments"), vec!["http://exact:1".to_owned()]);
        let deployments = config(&factory, "apps", "deployments");
        assert_eq!(deployments.servers, ["http://exact:1"]);
        assert_eq!(deployments.path_prefix, "/elsewhere");
        assert_eq!(config(&factory, "apps", "statefulsets").servers, ["http://group:1"]);
        assert_eq!(config(&factory, "batch", "jobs").servers, ["http://127.0.0.1:1"]);
        assert_eq!(config(&factory, "batch", "jobs").path_prefix, "/registry");
    }

    /// TestConfigs.
    #[test]
    fn every_cluster_is_named_once_whatever_the_order_of_its_servers() {
        let mut factory = factory();
        let servers = |list: &[&str]| list.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        factory.set_servers(GroupResource::new("", "events"), servers(&["http://b", "http://a"]));
        factory.set_servers(GroupResource::new("", "pods"), servers(&["http://a", "http://b"]));
        factory.set_servers(GroupResource::new("", "nodes"), servers(&["http://127.0.0.1:1"]));
        let clusters = factory.clusters();
        assert_eq!(clusters, [servers(&["http://127.0.0.1:1"]), servers(&["http://b", "http://a"])]);
    }

    /// TestCrossGroupStorage.
    #[test]
    fn cohabiting_resources_lie_with_the_first_whose_group_is_served() {
        let mut factory = factory();
        for group in ["", "events.k8s.io"] {
            assert_eq!(config(&factory, group, "events").resource, GroupResource::new("", "events"));
        }
        factory.set_enabled_groups(["events.k8s.io".to_owned()]);
        assert_eq!(config(&factory, "", "events").resource.group, "events.k8s.io");
        assert_eq!(config(&factory, "extensions", "ingresses").resource.group, "extensions");
        assert_eq!(config(&factory, "", "events").resource_prefix, "events");
    }

    #[test]
    fn an_override_of_a_cohabiting_resource_is_that_of_the_owner() {
        let mut factory = factory();
        factory.set_servers(GroupResource::new("", "events"), vec!["http://events".to_owned()]);
        factory.set_servers(GroupResource::new("events.k8s.io", "events"), vec!["http://unused".to_owned()]);
        assert_eq!(config(&factory, "events.k8s.io", "events").servers, ["http://events"]);
    }

    /// TestEtcdStoragePath covers the rest with every resource served.
    #[test]
    fn special_prefixes_are_kept_and_built_in_groups_stay_out_of_keys() {
        for (group, resource, prefix) in [
            ("", "replicationcontrollers", "controllers"),
            ("", "endpoints", "services/endpoints"),
            ("", "nodes", "minions"),
            ("", "services", "services/specs"),
            ("networking.k8s.io", "ingresses", "ingress"),
            ("extensions", "ingresses", "ingress"),
            ("apps", "deployments", "deployments"),
            (
                "apiextensions.k8s.io",
                "customresourcedefinitions",
                "apiextensions.k8s.io/customresourcedefinitions",
            ),
            ("apiregistration.k8s.io", "apiservices", "apiregistration.k8s.io/apiservices"),
        ] {
            assert_eq!(config(&factory(), group, resource).resource_prefix, prefix);
        }
    }

    #[test]
    fn definitions_of_custom_resources_are_json_whatever_the_default() {
        let factory = StorageFactory::builtin(StorageDefaults { media: StorageMedia::Yaml, ..defaults() });
        assert_eq!(config(&factory, "", "pods").media, StorageMedia::Yaml);
        for (group, resource) in EXTENSION_RESOURCES {
            assert_eq!(factory.config(&GroupResource::new(group, resource)).media, StorageMedia::Json);
        }
    }
}
