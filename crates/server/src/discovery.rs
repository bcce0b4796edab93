//! Discovery: what is served, in the legacy documents (one per level) and in
//! the aggregated one (F-DIS). All are made from [`Served`] alone.
//!
//! Owns the shape of the documents, not how they travel: negotiation and
//! encoding are the caller's.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::{GroupVersion, GroupVersionKind};
use registry::{ResourceDef, Served, ServedGroup, ServedVersion, Subresource};
use schema::{Map, Value};

/// `GET /api`: `APIVersions`. `address` is what clients inside the cluster may use.
pub fn api_versions(served: &Served, address: &str) -> Value {
    let versions: Vec<String> =
        served.group("").into_iter().flat_map(|core| core.versions.iter().map(|v| v.name.clone())).collect();
    let address = Map::from([("clientCIDR", "0.0.0.0/0"), ("serverAddress", address)]);
    let mut document = Value::map();
    // The original's oldest documents carry a kind and no apiVersion.
    document.set(&["kind"], "APIVersions");
    document.set(&["versions"], versions);
    document.set(&["serverAddressByClientCIDRs"], [address]);
    document
}

/// `GET /apis`: `APIGroupList`.
pub fn api_group_list(served: &Served) -> Value {
    let groups = served.groups().iter().filter(|group| !group.name.is_empty()).map(group_document);
    let mut document = head("APIGroupList");
    document.set(&["groups"], groups.collect::<Vec<Value>>());
    document
}

/// `GET /apis/<group>`: `APIGroup`.
pub fn api_group(group: &ServedGroup) -> Value {
    let mut document = group_document(group);
    document.set(&["kind"], "APIGroup");
    document.set(&["apiVersion"], "v1");
    document
}

/// `GET /api/v1` and `GET /apis/<group>/<version>`: `APIResourceList`.
pub fn api_resource_list(group: &str, version: &ServedVersion) -> Value {
    let mut document = Value::map();
    document.set(&["kind"], "APIResourceList");
    if !group.is_empty() {
        document.set(&["apiVersion"], "v1");
    }
    document.set(&["groupVersion"], GroupVersion::new(group.to_owned(), version.name.clone()).to_string());
    let resources = version.resources.iter().flat_map(|resource| {
        let def = &resource.definition;
        let own = std::iter::once(resource_document(def));
        own.chain(def.subresources.iter().map(|sub| subresource_document(def, sub)))
    });
    document.set(&["resources"], resources.collect::<Vec<Value>>());
    document
}

/// `GET /api` or `/apis` as `APIGroupDiscoveryList`, version `v2`.
pub fn aggregated(served: &Served, core: bool) -> Value {
    let groups = served.groups().iter().filter(|group| group.name.is_empty() == core);
    let mut document = Value::map();
    document.set(&["kind"], "APIGroupDiscoveryList");
    document.set(&["apiVersion"], "apidiscovery.k8s.io/v2");
    document.ensure_map(&["metadata"]);
    document.set(&["items"], groups.map(aggregated_group).collect::<Vec<Value>>());
    document
}

fn head(kind: &str) -> Value {
    let mut document = Value::map();
    document.set(&["kind"], kind);
    document.set(&["apiVersion"], "v1");
    document
}

fn group_document(group: &ServedGroup) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            let group_version = GroupVersion::new(group.name.clone(), version.name.clone()).to_string();
            Value::Map(Map::from([("groupVersion", group_version), ("version", version.name.clone())]))
        })
        .collect();
    let mut document = Value::map();
    document.set(&["name"], group.name.as_str());
    if let Some(preferred) = versions.first() {
        document.set(&["preferredVersion"], preferred.clone());
    }
    document.set(&["versions"], versions);
    document
}

fn resource_document(def: &ResourceDef) -> Value {
    let mut document = Value::map();
    document.set(&["name"], def.resource.as_ref());
    document.set(&["singularName"], def.singular.as_ref());
    document.set(&["namespaced"], def.namespaced);
    document.set(&["kind"], def.kind.as_ref());
    document.set(&["verbs"], texts(&def.verbs));
    if !def.short_names.is_empty() {
        document.set(&["shortNames"], texts(&def.short_names));
    }
    if !def.categories.is_empty() {
        document.set(&["categories"], texts(&def.categories));
    }
    if let Some(stored) = def.storage() {
        document.set(&["storageVersionHash"], storage_version_hash(&stored.kind));
    }
    document
}

fn subresource_document(def: &ResourceDef, sub: &Subresource) -> Value {
    let mut document = Value::map();
    document.set(&["name"], format!("{}/{}", def.resource, sub.name));
    document.set(&["singularName"], "");
    document.set(&["namespaced"], def.namespaced);
    let kind = body_kind(def, sub);
    if kind.group_version() != def.group_version() {
        document.set(&["group"], kind.group.as_ref());
        document.set(&["version"], kind.version.as_ref());
    }
    document.set(&["kind"], kind.kind.as_ref());
    document.set(&["verbs"], texts(&sub.verbs));
    document
}

/// Kind of the bodies of a subresource: its own, or the resource's.
pub fn body_kind(def: &ResourceDef, sub: &Subresource) -> GroupVersionKind {
    sub.body.clone().unwrap_or_else(|| def.gvk())
}

fn texts<'a>(list: &'a [std::borrow::Cow<'static, str>]) -> Vec<&'a str> {
    list.iter().map(AsRef::as_ref).collect()
}

fn aggregated_group(group: &ServedGroup) -> Value {
    let mut document = Value::map();
    document.set(&["metadata", "creationTimestamp"], Value::Null);
    if !group.name.is_empty() {
        document.set(&["metadata", "name"], group.name.as_str());
    }
    let versions = group.versions.iter().map(|version| {
        let mut document = Value::map();
        document.set(&["version"], version.name.as_str());
        document.set(&["freshness"], "Current");
        let resources = version.resources.iter().map(|resource| aggregated_resource(&resource.definition));
        document.set(&["resources"], resources.collect::<Vec<Value>>());
        document
    });
    document.set(&["versions"], versions.collect::<Vec<Value>>());
    document
}

fn aggregated_resource(def: &ResourceDef) -> Value {
    let mut document = Value::map();
    document.set(&["resource"], def.resource.as_ref());
    document.set(&["responseKind"], response_kind(&def.gvk()));
    document.set(&["scope"], if def.namespaced { "Namespaced" } else { "Cluster" });
    document.set(&["singularResource"], def.singular.as_ref());
    document.set(&["verbs"], texts(&def.verbs));
    if !def.short_names.is_empty() {
        document.set(&["shortNames"], texts(&def.short_names));
    }
    if !def.categories.is_empty() {
        document.set(&["categories"], texts(&def.categories));
    }
    let subresources = def.subresources.iter().map(|sub| {
        let mut document = Value::map();
        document.set(&["subresource"], sub.name.as_ref());
        document.set(&["responseKind"], response_kind(&body_kind(def, sub)));
        document.set(&["verbs"], texts(&sub.verbs));
        document
    });
    let subresources: Vec<Value> = subresources.collect();
    if !subresources.is_empty() {
        document.set(&["subresources"], subresources);
    }
    document
}

fn response_kind(kind: &GroupVersionKind) -> Map {
    Map::from([
        ("group", kind.group.as_ref()),
        ("version", kind.version.as_ref()),
        ("kind", kind.kind.as_ref()),
    ])
}

/// The first eight bytes of the SHA-256 of `group/version/kind`, as base64.
fn storage_version_hash(kind: &GroupVersionKind) -> String {
    let text = format!("{}/{}/{}", kind.group, kind.version, kind.kind);
    STANDARD.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry::ResourceDef;
    use registry::Strategy;

    struct Plain;
    impl Strategy for Plain {}

    #[test]
    fn hashes_are_those_every_cluster_shows() {
        assert_eq!(storage_version_hash(&GroupVersionKind::new("", "v1", "Pod")), "xPOwRZ+Yhw8=");
        assert_eq!(storage_version_hash(&GroupVersionKind::new("apps", "v1", "Deployment")), "8aSe+NMegvE=");
    }

    #[test]
    fn a_subresource_names_its_group_only_where_it_differs() {
        let def = ResourceDef {
            subresources: vec![Subresource::scale(), Subresource::status()],
            ..ResourceDef::stored("apps", "v1", "deployments", "Deployment", Plain)
        };
        let scale = subresource_document(&def, &def.subresources[0]);
        assert_eq!((scale.str_at(&["group"]), scale.str_at(&["kind"])), (Some("autoscaling"), Some("Scale")));
        let status = subresource_document(&def, &def.subresources[1]);
        assert_eq!((status.str_at(&["group"]), status.str_at(&["kind"])), (None, Some("Deployment")));
    }
}
