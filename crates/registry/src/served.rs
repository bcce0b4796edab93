//! The set of resources a server serves: an immutable table, looked up by
//! group, version and resource, and walked by discovery in priority order.
//! Whoever changes the set (custom resources come and go) makes a new one.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use schema::{Schema, TypeId};

use crate::definition::{Backing, ResourceDef};
use crate::store::Store;

/// Every resource served, by group, version and name.
#[derive(Clone, Default)]
pub struct Served {
    groups: Vec<ServedGroup>,
    by_name: HashMap<String, Arc<ServedResource>>,
}

/// A group with the versions served, the preferred one first.
#[derive(Clone)]
pub struct ServedGroup {
    /// Group; empty for core.
    pub name: String,
    /// Versions in order of preference.
    pub versions: Vec<ServedVersion>,
}

impl ServedGroup {
    /// True unless the group came with a custom resource.
    pub fn is_built_in(&self) -> bool {
        let mut resources = self.versions.iter().flat_map(|version| &version.resources);
        resources.any(|resource| matches!(resource.schema, SchemaRef::Static(_)))
    }
}

/// A version of a group with its resources.
#[derive(Clone)]
pub struct ServedVersion {
    /// Version, e.g. `v1`.
    pub name: String,
    /// Resources, sorted by name.
    pub resources: Vec<Arc<ServedResource>>,
}

/// A resource as served, with what is needed to decode, store and encode its objects.
pub struct ServedResource {
    /// What it is.
    pub definition: Arc<ResourceDef>,
    /// Where its objects are; none for virtual resources.
    pub store: Option<Arc<Store>>,
    /// The table its types stand in.
    pub schema: SchemaRef,
    /// Type of the kind served.
    pub ty: TypeId,
    /// Type of the kind stored; `ty` if they are the same or nothing is stored.
    pub stored_ty: TypeId,
}

/// A schema: the built-in one, or that of a custom resource.
#[derive(Clone, Debug)]
pub enum SchemaRef {
    /// Lives as long as the program.
    Static(&'static Schema),
    /// Made at run time.
    Shared(Arc<Schema>),
}

impl Deref for SchemaRef {
    type Target = Schema;
    fn deref(&self) -> &Schema {
        match self {
            SchemaRef::Static(schema) => schema,
            SchemaRef::Shared(schema) => schema,
        }
    }
}

impl From<&'static Schema> for SchemaRef {
    fn from(schema: &'static Schema) -> SchemaRef {
        SchemaRef::Static(schema)
    }
}

impl From<Arc<Schema>> for SchemaRef {
    fn from(schema: Arc<Schema>) -> SchemaRef {
        SchemaRef::Shared(schema)
    }
}

impl Served {
    /// The table of `resources`. Groups and versions are listed in the order
    /// in which they first appear; resources of a version by name.
    pub fn new(resources: impl IntoIterator<Item = Arc<ServedResource>>) -> Served {
        let mut served = Served::default();
        for resource in resources {
            served.insert(resource);
        }
        served
    }

    /// Adds one resource, in place of one with the same name.
    pub fn insert(&mut self, resource: Arc<ServedResource>) {
        let def = &resource.definition;
        let group = match self.groups.iter().position(|group| group.name == def.group) {
            Some(i) => &mut self.groups[i],
            None => {
                self.groups.push(ServedGroup { name: def.group.to_string(), versions: Vec::new() });
                self.groups.last_mut().expect("just pushed")
            }
        };
        let version = match group.versions.iter().position(|version| version.name == def.version) {
            Some(i) => &mut group.versions[i],
            None => {
                group.versions.push(ServedVersion { name: def.version.to_string(), resources: Vec::new() });
                group.versions.last_mut().expect("just pushed")
            }
        };
        match version.resources.binary_search_by(|other| other.definition.resource.cmp(&def.resource)) {
            Ok(i) => version.resources[i] = resource.clone(),
            Err(i) => version.resources.insert(i, resource.clone()),
        }
        self.by_name.insert(key(&def.group, &def.version, &def.resource), resource);
    }

    /// The resource with a name; none if it is not served.
    pub fn lookup(&self, group: &str, version: &str, resource: &str) -> Option<Arc<ServedResource>> {
        self.by_name.get(&key(group, version, resource)).cloned()
    }

    /// The served resource whose objects are of a kind; virtual ones last.
    pub fn lookup_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<ServedResource>> {
        let resources = &self.version(group, version)?.resources;
        let of_kind = || resources.iter().filter(|resource| resource.definition.kind == kind);
        let stored = of_kind().find(|resource| matches!(resource.definition.backing, Backing::Stored(_)));
        stored.or_else(|| of_kind().next()).cloned()
    }

    /// Groups in priority order.
    pub fn groups(&self) -> &[ServedGroup] {
        &self.groups
    }

    /// A group; none if nothing of it is served.
    pub fn group(&self, name: &str) -> Option<&ServedGroup> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// A version of a group; none if nothing of it is served.
    pub fn version(&self, group: &str, version: &str) -> Option<&ServedVersion> {
        self.group(group)?.versions.iter().find(|served| served.name == version)
    }

    /// All resources, by group, version and name.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<ServedResource>> {
        self.groups.iter().flat_map(|group| &group.versions).flat_map(|version| &version.resources)
    }
}

fn key(group: &str, version: &str, resource: &str) -> String {
    format!("{group}/{version}/{resource}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::Plain;
    use schema::builtin;

    fn served(group: &'static str, version: &'static str, resource: &'static str) -> Arc<ServedResource> {
        let definition = Arc::new(ResourceDef::stored(group, version, resource, "Kind", Plain));
        let schema = SchemaRef::from(builtin());
        Arc::new(ServedResource { definition, store: None, schema, ty: TypeId(0), stored_ty: TypeId(0) })
    }

    #[test]
    fn groups_and_versions_keep_their_order_and_resources_are_sorted() {
        let names = [("", "v1", "pods"), ("apps", "v1", "b"), ("", "v1", "events"), ("apps", "v1beta1", "a")];
        let table = Served::new(names.map(|(group, version, resource)| served(group, version, resource)));
        let listed: Vec<(&str, &str, &str)> = table
            .resources()
            .map(|resource| &resource.definition)
            .map(|def| (def.group.as_ref(), def.version.as_ref(), def.resource.as_ref()))
            .collect();
        assert_eq!(
            listed,
            [("", "v1", "events"), ("", "v1", "pods"), ("apps", "v1", "b"), ("apps", "v1beta1", "a")]
        );
        assert!(table.lookup("apps", "v1beta1", "a").is_some());
        assert!(table.lookup("apps", "v1", "a").is_none());
        assert!(table.group("batch").is_none());
    }

    #[test]
    fn a_resource_served_again_takes_the_place_of_the_first() {
        let second = served("", "v1", "pods");
        let table = Served::new([served("", "v1", "pods"), second.clone()]);
        assert_eq!(table.resources().count(), 1);
        assert!(Arc::ptr_eq(&table.lookup("", "v1", "pods").expect("served"), &second));
    }
}
