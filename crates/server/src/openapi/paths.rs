//! The paths of served resources as OpenAPI operations: enough for clients to
//! find the operation of a kind and the query parameters it takes.

use meta::GroupVersionKind;
use registry::{ResourceDef, ServedResource, Subresource, SubresourceKind};
use schema::{Map, Schema, Value};

use super::schemas::Dialect;
use crate::discovery::body_kind;

/// Media types of bodies and answers.
const MEDIA_TYPES: [&str; 3] =
    ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAM_TYPES: [&str; 2] =
    ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCH_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

const WRITE_PARAMETERS: [(&str, &str); 3] =
    [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const LIST_PARAMETERS: [(&str, &str); 10] = [
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const DELETE_PARAMETERS: [(&str, &str); 5] = [
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];

/// Adds the paths of one resource and its subresources.
pub fn add(paths: &mut Map, table: &Schema, dialect: Dialect, resource: &ServedResource) {
    let def = &resource.definition;
    let writer = Writer { table, dialect, def };
    let root = match def.group.as_ref() {
        "" => format!("/api/{}", def.version),
        group => format!("/apis/{group}/{}", def.version),
    };
    let scoped = if def.namespaced { format!("{root}/namespaces/{{namespace}}") } else { root.clone() };
    let collection = format!("{scoped}/{}", def.resource);
    paths.insert(collection.clone(), writer.collection());
    if def.namespaced && def.serves("list") {
        paths.insert(format!("{root}/{}", def.resource), writer.all_namespaces());
    }
    let item = format!("{collection}/{{name}}");
    if ["get", "update", "patch", "delete"].iter().any(|verb| def.serves(verb)) {
        paths.insert(item.clone(), writer.item());
    }
    for sub in &def.subresources {
        paths.insert(format!("{item}/{}", sub.name), writer.subresource(sub));
    }
}

struct Writer<'a> {
    table: &'a Schema,
    dialect: Dialect,
    def: &'a ResourceDef,
}

/// One operation of a path.
struct Operation<'a> {
    method: &'static str,
    verb: &'static str,
    /// First word of the operation's id.
    word: &'static str,
    kind: &'a GroupVersionKind,
    /// Name of the body's kind, if there is a body.
    body: Option<Body<'a>>,
    parameters: &'a [(&'static str, &'static str)],
    suffix: &'a str,
    /// Kind of the answer, if not `kind`.
    answer: Option<&'static str>,
}

enum Body<'a> {
    Kind(&'a GroupVersionKind),
    Patch,
    DeleteOptions,
}

impl Writer<'_> {
    fn collection(&self) -> Value {
        let kind = self.def.gvk();
        let mut path = self.path(self.def.namespaced, false);
        let answer = Some("List");
        self.add(
            &mut path,
            self.def.serves("list"),
            Operation { answer, ..op("get", "list", "list", &kind, &LIST_PARAMETERS) },
        );
        let body = Some(Body::Kind(&kind));
        self.add(
            &mut path,
            self.def.serves("create"),
            Operation { body, ..op("post", "post", "create", &kind, &WRITE_PARAMETERS) },
        );
        let body = Some(Body::DeleteOptions);
        let delete = Operation {
            body,
            answer: Some("Status"),
            suffix: "Collection",
            ..op("delete", "deletecollection", "delete", &kind, &LIST_PARAMETERS)
        };
        self.add(&mut path, self.def.serves("deletecollection"), delete);
        path
    }

    fn all_namespaces(&self) -> Value {
        let kind = self.def.gvk();
        let mut path = self.path(false, false);
        let list = Operation {
            answer: Some("List"),
            suffix: "ForAllNamespaces",
            ..op("get", "list", "list", &kind, &LIST_PARAMETERS)
        };
        self.add(&mut path, true, list);
        path
    }

    fn item(&self) -> Value {
        let kind = self.def.gvk();
        let mut path = self.path(self.def.namespaced, true);
        self.add(&mut path, self.def.serves("get"), op("get", "get", "read", &kind, &[]));
        self.write_operations(&mut path, &kind, "", &self.def.verbs);
        let body = Some(Body::DeleteOptions);
        let delete = Operation {
            body,
            answer: Some("Status"),
            ..op("delete", "delete", "delete", &kind, &DELETE_PARAMETERS)
        };
        self.add(&mut path, self.def.serves("delete"), delete);
        path
    }

    fn subresource(&self, sub: &Subresource) -> Value {
        let kind = body_kind(self.def, sub);
        let suffix = capitalised(&sub.name);
        let mut path = self.path(self.def.namespaced, true);
        let serves = |verb: &str| sub.verbs.iter().any(|served| served == verb);
        if sub.kind == SubresourceKind::Connect {
            for (method, verb) in [
                ("get", "get"),
                ("post", "create"),
                ("put", "update"),
                ("patch", "patch"),
                ("delete", "delete"),
            ] {
                let connect = Operation { suffix: &suffix, ..op(method, "connect", "connect", &kind, &[]) };
                self.add(&mut path, serves(verb), connect);
            }
            return path;
        }
        self.add(
            &mut path,
            serves("get"),
            Operation { suffix: &suffix, ..op("get", "get", "read", &kind, &[]) },
        );
        let body = Some(Body::Kind(&kind));
        let create =
            Operation { body, suffix: &suffix, ..op("post", "post", "create", &kind, &WRITE_PARAMETERS) };
        self.add(&mut path, serves("create"), create);
        self.write_operations(&mut path, &kind, &suffix, &sub.verbs);
        path
    }

    fn write_operations(
        &self,
        path: &mut Value,
        kind: &GroupVersionKind,
        suffix: &str,
        verbs: &[std::borrow::Cow<'static, str>],
    ) {
        let serves = |verb: &str| verbs.iter().any(|served| served == verb);
        let body = Some(Body::Kind(kind));
        self.add(
            path,
            serves("update"),
            Operation { body, suffix, ..op("put", "put", "replace", kind, &WRITE_PARAMETERS) },
        );
        let body = Some(Body::Patch);
        let parameters: Vec<_> = WRITE_PARAMETERS.into_iter().chain([("force", "boolean")]).collect();
        self.add(
            path,
            serves("patch"),
            Operation { body, suffix, ..op("patch", "patch", "patch", kind, &parameters) },
        );
    }

    fn path(&self, namespace: bool, name: bool) -> Value {
        let mut parameters = Vec::new();
        let mut add = |parameter: &'static str| {
            let mut value = self.parameter("path", parameter, "string");
            value.set(&["required"], true);
            parameters.push(value);
        };
        if name {
            add("name");
        }
        if namespace {
            add("namespace");
        }
        parameters.push(self.parameter("query", "pretty", "string"));
        let mut path = Value::map();
        path.set(&["parameters"], parameters);
        path
    }

    fn parameter(&self, place: &str, name: &str, kind: &str) -> Value {
        let mut parameter = Value::Map(Map::from([("name", name), ("in", place)]));
        parameter.set(&["uniqueItems"], true);
        match self.dialect {
            Dialect::V2 => parameter.set(&["type"], kind),
            Dialect::V3 => {
                parameter.remove(&["uniqueItems"]);
                let mut schema = Value::Map(Map::from([("type", kind)]));
                schema.set(&["uniqueItems"], true);
                parameter.set(&["schema"], schema);
            }
        }
        parameter
    }

    fn add(&self, path: &mut Value, served: bool, operation: Operation<'_>) {
        if served && let Some(path) = path.as_map_mut() {
            path.insert(operation.method, self.operation(&operation));
        }
    }

    fn operation(&self, operation: &Operation<'_>) -> Value {
        let mut out = Value::map();
        out.set(&["operationId"], self.operation_id(operation));
        out.set(&["tags"], [tag(self.def)]);
        out.set(&["x-kubernetes-action"], operation.verb);
        let kind = operation.kind;
        let kind = [
            ("group", kind.group.as_ref()),
            ("version", kind.version.as_ref()),
            ("kind", kind.kind.as_ref()),
        ];
        out.set(&["x-kubernetes-group-version-kind"], Map::from(kind));
        let mut parameters: Vec<Value> =
            operation.parameters.iter().map(|(name, kind)| self.parameter("query", name, kind)).collect();
        self.body(&mut out, &mut parameters, operation);
        if !parameters.is_empty() {
            out.set(&["parameters"], parameters);
        }
        out.set(&["responses"], self.responses(operation));
        out
    }

    fn body(&self, out: &mut Value, parameters: &mut Vec<Value>, operation: &Operation<'_>) {
        let Some(body) = &operation.body else {
            if self.dialect == Dialect::V2 {
                out.set(&["consumes"], ["*/*"]);
            }
            return;
        };
        let (name, required, media_types): (_, _, &[&str]) = match body {
            Body::Kind(kind) => (self.type_name(kind), true, &["*/*"]),
            Body::Patch => {
                (Some("io.k8s.apimachinery.pkg.apis.meta.v1.Patch".to_owned()), true, &PATCH_TYPES)
            }
            Body::DeleteOptions => {
                (Some("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions".to_owned()), false, &["*/*"])
            }
        };
        let schema = name.map_or_else(Value::map, |name| self.dialect.reference(&name));
        match self.dialect {
            Dialect::V2 => {
                out.set(&["consumes"], media_types.to_vec());
                let mut parameter = Value::Map(Map::from([("name", "body"), ("in", "body")]));
                parameter.set(&["required"], required);
                parameter.set(&["schema"], schema);
                parameters.push(parameter);
            }
            Dialect::V3 => out.set(&["requestBody", "content"], content(media_types, &schema)),
        }
    }

    fn responses(&self, operation: &Operation<'_>) -> Value {
        let name = match operation.answer {
            Some("Status") => Some("io.k8s.apimachinery.pkg.apis.meta.v1.Status".to_owned()),
            Some(suffix) => self.type_name(&GroupVersionKind {
                kind: format!("{}{suffix}", operation.kind.kind).into(),
                ..operation.kind.clone()
            }),
            None => self.type_name(operation.kind),
        };
        let schema = name.map_or_else(Value::map, |name| self.dialect.reference(&name));
        let streams: &[&str] = if operation.verb == "list" { &STREAM_TYPES } else { &[] };
        let media_types: Vec<&str> = MEDIA_TYPES.iter().chain(streams).copied().collect();
        let mut ok = Value::Map(Map::from([("description", "OK")]));
        match self.dialect {
            Dialect::V2 => ok.set(&["schema"], schema),
            Dialect::V3 => ok.set(&["content"], content(&media_types, &schema)),
        }
        let mut refused = Value::map();
        refused.set(&["description"], "Unauthorized");
        Value::Map(Map::from([("200", ok), ("401", refused)]))
    }

    fn type_name(&self, kind: &GroupVersionKind) -> Option<String> {
        let id = self.table.kind(&kind.group, &kind.version, &kind.kind)?;
        Some(self.table.ty(id).name.to_string())
    }

    fn operation_id(&self, operation: &Operation<'_>) -> String {
        let scope =
            if self.def.namespaced && operation.suffix != "ForAllNamespaces" { "Namespaced" } else { "" };
        let (place, suffix) =
            if operation.suffix == "Collection" { ("Collection", "") } else { ("", operation.suffix) };
        format!(
            "{}{}{place}{scope}{}{suffix}",
            operation.word,
            capitalised(&tag(self.def)).replace('_', ""),
            self.def.kind
        )
    }
}

fn op<'a>(
    method: &'static str,
    verb: &'static str,
    word: &'static str,
    kind: &'a GroupVersionKind,
    parameters: &'a [(&'static str, &'static str)],
) -> Operation<'a> {
    Operation { method, verb, word, kind, body: None, parameters, suffix: "", answer: None }
}

fn content(media_types: &[&str], schema: &Value) -> Map {
    media_types.iter().map(|name| (*name, Map::from([("schema", schema.clone())]))).collect()
}

/// `core_v1`, `apps_v1`, `rbacAuthorization_v1`.
fn tag(def: &ResourceDef) -> String {
    let group = match def.group.as_ref() {
        "" => "core",
        group => group.trim_end_matches(".k8s.io"),
    };
    let mut words = group.split('.');
    let first = words.next().unwrap_or_default().to_owned();
    let name = words.fold(first, |name, word| name + &capitalised(word));
    format!("{name}_{}", def.version)
}

fn capitalised(word: &str) -> String {
    word.split('_')
        .map(|part| {
            let mut letters = part.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
                .unwrap_or_default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry::{ResourceDef, Served, Strategy};
    use std::sync::Arc;

    struct Plain;
    impl Strategy for Plain {}

    #[test]
    fn a_patch_tells_which_kind_it_is_for_and_that_fields_are_validated() {
        let table = schema::builtin();
        let def = Arc::new(ResourceDef::stored("apps", "v1", "deployments", "Deployment", Plain));
        let ty = table.kind("apps", "v1", "Deployment").expect("in the table");
        let resource =
            ServedResource { definition: def, store: None, schema: table.into(), ty, stored_ty: ty };
        let served = Served::new([Arc::new(resource)]);
        for dialect in [Dialect::V2, Dialect::V3] {
            let mut paths = Map::new();
            served.resources().for_each(|resource| add(&mut paths, table, dialect, resource));
            let path = paths
                .get("/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
                .expect("the item's path");
            let patch = path.get("patch").expect("served");
            assert_eq!(patch.str_at(&["operationId"]), Some("patchAppsV1NamespacedDeployment"));
            assert_eq!(patch.str_at(&["x-kubernetes-group-version-kind", "kind"]), Some("Deployment"));
            let names: Vec<_> =
                patch.list_at(&["parameters"]).iter().filter_map(|p| p.str_at(&["name"])).collect();
            assert!(names.contains(&"fieldValidation") && names.contains(&"dryRun"), "{names:?}");
        }
    }
}
