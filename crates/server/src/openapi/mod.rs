//! OpenAPI documents, made from the schema table and the served resources
//! (F-OAS-1): one for Swagger 2.0, one per group version for OpenAPI 3.0.
//!
//! A document is made when it is first asked for and kept while the set of
//! served resources is the same. Owns the documents and their hashes, not how
//! they travel.

mod paths;
mod protobuf;
mod schemas;

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA512, digest};
use bytes::Bytes;
use meta::GroupVersion;
use registry::{Served, ServedVersion};
use schema::{Map, TypeId, Value};

use crate::KUBERNETES_VERSION;
use schemas::Dialect;

/// Documents of one set of served resources.
pub struct Documents {
    served: Arc<Served>,
    swagger: OnceLock<Swagger>,
    /// By place below `/openapi/v3/`, e.g. `apis/apps/v1`.
    versions: Vec<(String, OnceLock<Document>)>,
}

/// A document and what identifies it.
#[derive(Clone, Debug)]
pub struct Document {
    /// JSON, or protobuf.
    pub bytes: Bytes,
    /// Upper-case hexadecimal SHA-512 of the JSON, as in `ETag` and `?hash=`.
    pub hash: String,
}

struct Swagger {
    json: Document,
    protobuf: Document,
}

impl Documents {
    /// Nothing is made yet.
    pub fn new(served: Arc<Served>) -> Documents {
        let versions = served.groups().iter().flat_map(|group| {
            group.versions.iter().map(|version| (place(&group.name, &version.name), OnceLock::new()))
        });
        let versions = versions.collect();
        Documents { served, swagger: OnceLock::new(), versions }
    }

    /// True if these are the documents of `served`.
    pub fn describe(&self, served: &Arc<Served>) -> bool {
        Arc::ptr_eq(&self.served, served)
    }

    /// `/openapi/v2` as JSON.
    pub fn swagger_json(&self) -> Document {
        self.swagger().json.clone()
    }

    /// `/openapi/v2` as protobuf.
    pub fn swagger_protobuf(&self) -> Document {
        self.swagger().protobuf.clone()
    }

    /// `/openapi/v3`: where the documents are.
    pub fn index(&self) -> Bytes {
        let paths: Map = self
            .versions
            .iter()
            .filter_map(|(place, _)| {
                let hash = self.version(place)?.hash;
                let url = format!("/openapi/v3/{place}?hash={hash}");
                Some((place.clone(), Map::from([("serverRelativeURL", url)])))
            })
            .collect();
        to_json(&Value::Map(Map::from([("paths", paths)])))
    }

    /// `/openapi/v3/<place>`: the document of a group version, e.g. `apis/apps/v1`.
    pub fn version(&self, place: &str) -> Option<Document> {
        let (_, document) = self.versions.iter().find(|(known, _)| known == place)?;
        let (group, version) = self.served.groups().iter().find_map(|group| {
            let version =
                group.versions.iter().find(|version| self::place(&group.name, &version.name) == place)?;
            Some((group.name.as_str(), version))
        })?;
        Some(document.get_or_init(|| identified(version_document(group, version))).clone())
    }

    fn swagger(&self) -> &Swagger {
        self.swagger.get_or_init(|| {
            let document = swagger_document(&self.served);
            let json = identified(document.clone());
            let protobuf = Document { bytes: protobuf::encode(&document), hash: json.hash.clone() };
            Swagger { json, protobuf }
        })
    }
}

fn place(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn identified(document: Value) -> Document {
    let bytes = to_json(&document);
    let hash = hash(&bytes);
    Document { bytes, hash }
}

/// Upper-case hexadecimal SHA-512, as in `ETag`.
pub fn hash(bytes: &[u8]) -> String {
    digest(&SHA512, bytes).as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

fn to_json(document: &Value) -> Bytes {
    let mut out = Vec::new();
    codec::json::encode_any(document, &mut out);
    out.into()
}

fn info() -> Map {
    Map::from([("title", "Kubernetes"), ("version", KUBERNETES_VERSION)])
}

fn version_document(group: &str, version: &ServedVersion) -> Value {
    let mut paths = Map::new();
    let mut components = Map::new();
    let group_version = GroupVersion::new(group.to_owned(), version.name.clone());
    for resource in &version.resources {
        paths::add(&mut paths, &resource.schema, Dialect::V3, resource);
    }
    // All resources of a version stand in one table.
    if let Some(resource) = version.resources.first() {
        let roots = roots(&resource.schema, |gv| *gv == group_version);
        components = schemas::schemas(&resource.schema, Dialect::V3, roots);
    }
    let mut document = Value::map();
    document.set(&["openapi"], "3.0.0");
    document.set(&["info"], info());
    document.set(&["paths"], paths);
    document.set(&["components", "schemas"], components);
    document
}

fn swagger_document(served: &Served) -> Value {
    let mut paths = Map::new();
    let mut definitions = Map::new();
    for group in served.groups() {
        for version in &group.versions {
            let group_version = GroupVersion::new(group.name.clone(), version.name.clone());
            for resource in &version.resources {
                paths::add(&mut paths, &resource.schema, Dialect::V2, resource);
            }
            // All resources of a version stand in one table.
            let Some(resource) = version.resources.first() else { continue };
            let roots = roots(&resource.schema, |gv| *gv == group_version);
            for (name, schema) in schemas::schemas(&resource.schema, Dialect::V2, roots) {
                definitions.insert(name, schema);
            }
        }
    }
    let mut document = Value::map();
    document.set(&["swagger"], "2.0");
    document.set(&["info"], info());
    document.set(&["paths"], paths);
    document.set(&["definitions"], definitions);
    document
}

/// All kinds of some group versions, and the types that every operation refers to.
fn roots(table: &schema::Schema, wanted: impl Fn(&GroupVersion) -> bool) -> Vec<TypeId> {
    const EVERYWHERE: [&str; 3] = [
        "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
        "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
        "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    ];
    let kinds = table
        .kinds
        .iter()
        .filter(|((group, version, _), _)| wanted(&GroupVersion::new(group.clone(), version.clone())));
    let everywhere = EVERYWHERE.iter().filter_map(|name| table.named(name));
    kinds.map(|(_, id)| *id).chain(everywhere).collect()
}
