//! In which version each kind is stored (E-FAC-5, E-FAC-6).
//!
//! A release stores what the release before it can read, so that a server can
//! be rolled back. So a version that is new in this release is served, not stored.

use std::collections::BTreeMap;

use meta::{GroupKind, GroupResource};

/// A version in which a kind is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredVersion {
    /// E.g. `v1beta1`.
    pub version: String,
    /// Minor release that introduced the kind in it; 0 if it is older than anybody can roll back to.
    pub introduced_minor: u32,
}

/// Storage versions of all kinds.
#[derive(Clone, Debug)]
pub struct StorageVersions {
    /// Versions of each kind, the most preferred first.
    registered: BTreeMap<GroupKind, Vec<RegisteredVersion>>,
    overrides: BTreeMap<GroupResource, String>,
    min_compatible_minor: u32,
}

/// Minor release whose behaviour is built.
const MINOR: u32 = 36;

/// Versions of kinds that this release introduced; one before it cannot read them.
const INTRODUCED: [(&str, &str, &str, u32); 3] = [
    ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy", MINOR),
    ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding", MINOR),
    ("resource.k8s.io", "v1beta2", "DeviceTaintRule", MINOR),
];

/// Said outright by the release (E-FAC-6). The odd name `storagemigrations` is the original's.
const OVERRIDES: [(&str, &str, &str); 11] = [
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies", "v1beta1"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings", "v1beta1"),
    ("certificates.k8s.io", "clustertrustbundles", "v1beta1"),
    ("certificates.k8s.io", "podcertificaterequests", "v1beta1"),
    ("coordination.k8s.io", "leasecandidates", "v1beta1"),
    ("resource.k8s.io", "devicetaintrules", "v1alpha3"),
    ("resource.k8s.io", "resourcepoolstatusrequests", "v1alpha3"),
    ("scheduling.k8s.io", "podgroups", "v1alpha2"),
    ("scheduling.k8s.io", "workloads", "v1alpha2"),
    ("storagemigration.k8s.io", "storagemigrations", "v1beta1"),
    ("storagemigration.k8s.io", "storageversionmigrations", "v1beta1"),
];

impl StorageVersions {
    /// What this release stores; kinds are added with [`StorageVersions::register`].
    pub fn builtin() -> StorageVersions {
        let overrides = OVERRIDES
            .map(|(group, resource, version)| (GroupResource::new(group, resource), version.to_owned()));
        StorageVersions { overrides: overrides.into(), ..StorageVersions::new(MINOR - 1) }
    }

    /// No kinds yet, no overrides; what is stored can be read by minor release
    /// `min_compatible_minor`.
    pub fn new(min_compatible_minor: u32) -> StorageVersions {
        StorageVersions { registered: BTreeMap::new(), overrides: BTreeMap::new(), min_compatible_minor }
    }

    /// Adds a version of a kind; those added first are preferred. Adding one again changes nothing.
    pub fn register(&mut self, kind: GroupKind, version: &str) {
        let introduced = INTRODUCED.iter().find(|(group, introduced, name, _)| {
            *group == kind.group && *introduced == version && *name == kind.kind
        });
        let introduced_minor = introduced.map_or(0, |(.., minor)| *minor);
        self.register_introduced(kind, RegisteredVersion { version: version.to_owned(), introduced_minor });
    }

    /// [`StorageVersions::register`] with the release that introduced it.
    pub fn register_introduced(&mut self, kind: GroupKind, version: RegisteredVersion) {
        let versions = self.registered.entry(kind).or_default();
        if versions.iter().all(|known| known.version != version.version) {
            versions.push(version);
        }
    }

    /// Fixes the version of a resource.
    pub fn set(&mut self, resource: GroupResource, version: impl Into<String>) {
        self.overrides.insert(resource, version.into());
    }

    /// The version a kind is stored in; none if the kind is not registered.
    pub fn version(&self, resource: &GroupResource, kind: &str) -> Option<&str> {
        if let Some(version) = self.overrides.get(resource) {
            return Some(version);
        }
        let kind = GroupKind { group: resource.group.clone(), kind: kind.to_owned().into() };
        let versions = self.registered.get(&kind)?;
        let readable = versions.iter().find(|known| known.introduced_minor <= self.min_compatible_minor);
        // A kind that is wholly new is stored nevertheless: there is nothing to roll back to.
        readable.or(versions.first()).map(|known| known.version.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(registered: &[(&str, u32)]) -> StorageVersions {
        let mut versions = StorageVersions::new(35);
        for (version, introduced_minor) in registered {
            let kind = GroupKind { group: "g".into(), kind: "Kind".into() };
            let version = (*version).to_owned();
            versions.register_introduced(
                kind,
                RegisteredVersion { version, introduced_minor: *introduced_minor },
            );
        }
        versions
    }

    /// TestStorageFactoryCompatibilityVersion.
    #[test]
    fn the_best_version_the_release_before_can_read_is_stored() {
        let resource = GroupResource::new("g", "kinds");
        for (registered, stored) in [
            (&[("v1", 0), ("v1beta1", 0)][..], Some("v1")),
            (&[("v1", 35), ("v1beta1", 30)], Some("v1")),
            (&[("v1", 36), ("v1beta1", 35)], Some("v1beta1")),
            (&[("v1", 36), ("v1beta1", 36)], Some("v1")),
            (&[], None),
        ] {
            assert_eq!(versions(registered).version(&resource, "Kind"), stored, "{registered:?}");
        }
    }

    #[test]
    fn what_is_said_outright_counts_most() {
        let resource = GroupResource::new("g", "kinds");
        let mut versions = versions(&[("v1", 0), ("v1beta1", 0)]);
        versions.set(resource.clone(), "v1beta1");
        assert_eq!(versions.version(&resource, "Kind"), Some("v1beta1"));
    }

    /// TestDefaultStorageEncoding, the built-in part.
    #[test]
    fn this_release_stores_new_versions_in_the_form_of_the_one_before() {
        let versions = StorageVersions::builtin();
        for (group, resource, version) in OVERRIDES {
            assert_eq!(versions.version(&GroupResource::new(group, resource), "Any"), Some(version));
        }
    }
}
