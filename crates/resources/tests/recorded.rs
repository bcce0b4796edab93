//! Recorded conversations of the original are replayed against definitions and
//! strategies alone: creates (defaults, initial status, refusals), merge
//! patches (what may change) and rows of tables.
//!
//! Owns no server: names that are taken, admission, quotas and managed fields
//! are not looked at. The recordings are found through `PINTLE_SHARED`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use meta::validation::{validate_object_meta, validate_object_meta_update};
use meta::{FieldErrors, FieldPath, ObjectMeta};
use registry::{
    AuthorizationAttributes, Authorizer, Backing, Decision, NoAdmission, PrintContext, RequestContext,
    ResourceDef, UserInfo,
};
use resources::Dependencies;
use resources::authentication::{NoTokenIssuer, NoTokens};
use resources::authorization::NoRules;
use schema::{Schema, TypeId, Value};

const NAMESPACE: &str = "recorded";
/// Areas in which steps depend on what only a server does.
const AREAS: &[&str] = &[
    "admission",
    "admissionregistration",
    "apply",
    "auth",
    "bootstrap",
    "content",
    "coordination",
    "delete",
    "errors",
    "flowcontrol",
    "immutable",
    "list",
    "matrix",
    "matrix-status",
    "metadata",
    "patch",
    "subresource",
    "watch",
    "networking",
    "nodes",
    "pods",
    "policy",
    "rbac",
    "resource",
    "scheduling",
    "secrets",
    "serviceaccounts",
    "services",
    "storage",
    "validation",
    "workloads",
];

/// Cases in which admission changes objects.
const ADMITTED: &[&str] = &["admission/default-ingress-class"];

/// Groups whose recorded answers are all given again; the list may only grow.
const HELD: &[&str] = &[
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

#[test]
fn recorded_answers_are_given_again() {
    let Some(shared) = std::env::var_os("PINTLE_SHARED") else {
        eprintln!("left out: PINTLE_SHARED does not name the folder of recordings");
        return;
    };
    let mut replay = Replay::new();
    for area in AREAS {
        let path = PathBuf::from(&shared).join("golden/cases").join(format!("{area}.json"));
        let text =
            std::fs::read_to_string(&path).expect("recordings are readable").replace("{ns}", NAMESPACE);
        let cases = codec::json::decode_any(text.as_bytes()).expect("recordings are JSON");
        for case in cases.as_list().unwrap_or_default() {
            replay.case(case);
        }
    }
    let only = std::env::var("PINTLE_RECORDED_GROUP").ok();
    let mut differences = 0;
    for (group, lines) in &replay.differences {
        if only.as_ref().is_some_and(|only| only != group) {
            continue;
        }
        for line in lines {
            eprintln!("[{group}] {line}");
        }
        differences += lines.len();
    }
    eprintln!("{} of {} recorded answers were given again", replay.same, replay.same + differences);
    let held: Vec<&String> =
        replay.differences.keys().filter(|group| HELD.contains(&group.as_str())).collect();
    assert!(held.is_empty(), "answers differ in {held:?}, see above");
}

/// Objects as they stand while a conversation is replayed.
struct Replay {
    definitions: HashMap<String, ResourceDef>,
    objects: HashMap<String, Value>,
    differences: BTreeMap<String, Vec<String>>,
    same: usize,
}

/// What a step asks about.
struct Target {
    definition: ResourceDef,
    /// Path of the object, empty name for a collection.
    collection: String,
    name: String,
    subresource: String,
}

impl Replay {
    fn new() -> Replay {
        let definitions = resources::definitions(&dependencies()).into_iter();
        let path = |def: &ResourceDef| match def.group.as_ref() {
            "" => format!("/api/{}/{}", def.version, def.resource),
            group => format!("/apis/{group}/{}/{}", def.version, def.resource),
        };
        Replay {
            definitions: definitions.map(|def| (path(&def), def)).collect(),
            objects: HashMap::new(),
            differences: BTreeMap::new(),
            same: 0,
        }
    }

    fn case(&mut self, case: &Value) {
        self.objects.clear();
        let name = case.str_at(&["name"]).unwrap_or_default();
        if ADMITTED.contains(&name) {
            return;
        }
        for step in case.list_at(&["steps"]) {
            self.step(name, step);
        }
    }

    fn step(&mut self, case: &str, step: &Value) {
        let Some(target) = self.target(step.str_at(&["path"]).unwrap_or_default()) else { return };
        let answer = match (step.str_at(&["method"]), target.subresource.as_str()) {
            (Some("POST"), "") if target.name.is_empty() => self.create(&target, step),
            (Some("PATCH"), "" | "status") => self.patch(&target, step),
            (Some("GET"), "") => self.table(&target, step),
            (Some("GET"), _) => None,
            _ => {
                // What this step made of the object is not known.
                self.objects.remove(&format!("{}/{}", target.collection, target.name));
                None
            }
        };
        if step.at(&["drop"]).is_some() {
            // The recording left out parts of the answer.
            return;
        }
        let what = format!(
            "{case} {} {}",
            step.str_at(&["method"]).unwrap_or_default(),
            step.str_at(&["path"]).unwrap_or_default()
        );
        match answer {
            None => {}
            Some(Ok(())) => self.same += 1,
            Some(Err(text)) => {
                let group = target.definition.group.to_string();
                self.differences.entry(group).or_default().push(format!("{what}\n    {text}"));
            }
        }
    }

    fn target(&self, path: &str) -> Option<Target> {
        let path = path.split('?').next()?;
        let (root, rest) = match path.strip_prefix("/apis/") {
            Some(rest) => {
                let mut parts = rest.splitn(3, '/');
                (format!("/apis/{}/{}", parts.next()?, parts.next()?), parts.next()?)
            }
            None => ("/api/v1".to_owned(), path.strip_prefix("/api/v1/")?),
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let (scope, parts) = match parts[..] {
            ["namespaces", namespace, _, ..]
                if self.definitions.contains_key(&format!("{root}/{}", parts[2])) =>
            {
                (format!("namespaces/{namespace}/"), &parts[2..])
            }
            _ => (String::new(), &parts[..]),
        };
        let definition = self.definitions.get(&format!("{root}/{}", parts[0]))?.clone();
        matches!(definition.backing, Backing::Stored(_)).then(|| Target {
            definition,
            collection: format!("{root}/{scope}{}", parts[0]),
            name: parts.get(1).unwrap_or(&"").to_string(),
            subresource: parts.get(2).unwrap_or(&"").to_string(),
        })
    }

    fn create(&mut self, target: &Target, step: &Value) -> Option<Result<(), String>> {
        let body = step.get("body").filter(|body| body.as_map().is_some())?;
        let expect = step.get("expect")?;
        let def = &target.definition;
        let mut object = decode(def, body)?;
        let context = context();
        let mut meta = meta::ObjectMetaMut::of(&mut object);
        if def.namespaced && meta.view().namespace().is_empty() {
            meta.set_namespace(NAMESPACE);
        }
        if meta.view().name().is_empty() && !meta.view().generate_name().is_empty() {
            let name = format!("{}xxxxx", meta.view().generate_name());
            meta.set_name(name);
        }
        if def.generation {
            meta.set_generation(1);
        }
        if def.has_status() {
            object.remove(&["status"]);
        }
        def.strategy.prepare_for_create(&context, &mut object);
        let mut errors = validate_object_meta(
            ObjectMeta::of(&object),
            def.namespaced,
            def.name_validation,
            &FieldPath::root("metadata"),
        );
        errors.extend(def.strategy.validate(&context, &object));
        def.strategy.canonicalize(&mut object);
        let result = judge(def, step, 201, errors, &object)?;
        if expect.int_at(&["status"]) == Some(201) && !step.str_at(&["path"])?.contains("dryRun") {
            let name = ObjectMeta::of(&object).name().to_owned();
            meta::ObjectMetaMut::of(&mut object).set_resource_version(meta::Revision(1));
            self.objects.insert(format!("{}/{name}", target.collection), object);
        }
        Some(result)
    }

    fn patch(&mut self, target: &Target, step: &Value) -> Option<Result<(), String>> {
        let key = format!("{}/{}", target.collection, target.name);
        let merge = step.str_at(&["headers", "Content-Type"]) == Some("application/merge-patch+json");
        if !merge || step.str_at(&["path"])?.contains("dryRun") {
            if step.int_at(&["expect", "status"]) == Some(200) && !step.str_at(&["path"])?.contains("dryRun")
            {
                // The object is no longer known.
                self.objects.remove(&key);
            }
            return None;
        }
        let old = self.objects.get(&key)?.clone();
        let def = &target.definition;
        let (schema, ty) = type_of(def);
        let mut json = Vec::new();
        codec::json::encode(schema, ty, &old, &mut json);
        let document = codec::json::decode_any(&json).ok()?;
        let mut patch = Vec::new();
        codec::json::encode_any(step.get("body")?, &mut patch);
        let patched = patch::merge_patch::apply(&document, &patch).ok()?;
        let mut object = decode(def, &patched)?;
        let context = context();
        let path = FieldPath::root("metadata");
        let mut errors = validate_object_meta_update(ObjectMeta::of(&object), ObjectMeta::of(&old), &path);
        if target.subresource == "status" {
            let status = object.remove(&["status"]);
            object = old.clone();
            match status {
                Some(status) => object.set(&["status"], status),
                None => drop(object.remove(&["status"])),
            }
            def.strategy.prepare_for_status_update(&context, &mut object, &old);
            errors.extend(def.strategy.validate_status_update(&context, &object, &old));
        } else {
            if def.has_status() {
                match old.get("status") {
                    Some(status) => object.set(&["status"], status.clone()),
                    None => drop(object.remove(&["status"])),
                }
            }
            let generation = ObjectMeta::of(&old).generation();
            meta::ObjectMetaMut::of(&mut object).set_generation(generation);
            def.strategy.prepare_for_update(&context, &mut object, &old);
            let counted = ObjectMeta::of(&object).generation() != generation;
            if def.generation && !counted && desired_state(&object) != desired_state(&old) {
                meta::ObjectMetaMut::of(&mut object).set_generation(generation + 1);
            }
            errors.extend(def.strategy.validate_update(&context, &object, &old));
        }
        let result = judge(def, step, 200, errors, &object)?;
        if step.int_at(&["expect", "status"]) == Some(200) {
            self.objects.insert(key, object);
        }
        Some(result)
    }

    fn table(&mut self, target: &Target, step: &Value) -> Option<Result<(), String>> {
        let body = step.at(&["expect", "body"])?;
        if body.str_at(&["kind"]) != Some("Table") {
            return None;
        }
        let def = &target.definition;
        let columns: Vec<(&str, &str, &str, i64)> = body
            .list_at(&["columnDefinitions"])
            .iter()
            .map(|column| {
                let of = |key| column.str_at(&[key]).unwrap_or_default();
                (of("name"), of("type"), of("format"), column.int_at(&["priority"]).unwrap_or_default())
            })
            .collect();
        let own: Vec<_> =
            def.columns.iter().map(|c| (c.name.as_ref(), c.kind, c.format, i64::from(c.wide))).collect();
        if !columns.is_empty() && columns != own {
            return Some(Err(format!("columns {own:?}, recorded {columns:?}")));
        }
        let [row] = body.list_at(&["rows"]) else { return None };
        let name = row.str_at(&["object", "metadata", "name"])?;
        let object = self.objects.get(&format!("{}/{name}", target.collection))?;
        let cells = def.strategy.cells(object, &PrintContext { now: jiff::Timestamp::UNIX_EPOCH });
        let recorded = row.list_at(&["cells"]);
        let placeholder = |value: &Value| value.as_str().is_some_and(|text| text.starts_with('<'));
        let same = cells.len() == recorded.len()
            && cells.iter().zip(recorded).all(|(cell, recorded)| {
                cell == recorded
                    || placeholder(recorded) && placeholder(cell)
                    || matches!(recorded.as_str(), Some("<age>" | "<time>" | "0s"))
            });
        Some(if same { Ok(()) } else { Err(format!("cells {cells:?}\n    recorded {recorded:?}")) })
    }
}

/// Compares what was decided with what is recorded; none if the recording says nothing on it.
fn judge(
    def: &ResourceDef,
    step: &Value,
    success: i64,
    errors: FieldErrors,
    object: &Value,
) -> Option<Result<(), String>> {
    let expect = step.get("expect")?;
    let status = expect.int_at(&["status"])?;
    let body = expect.get("body")?;
    let partly = step.get("keep").is_some();
    if status == 422 {
        let recorded = body.str_at(&["message"])?;
        let own = message(def, object, &errors);
        // Expressions are compiled elsewhere.
        if ["compilation failed", "must evaluate to"].iter().any(|text| recorded.contains(text)) {
            return None;
        }
        // Refusals of the verb itself name the resource, not the kind.
        let about_kind = recorded.starts_with(&format!("{} ", def.group_kind()));
        return about_kind.then(|| {
            if recorded == own { Ok(()) } else { Err(format!("refused: {own}\n    recorded: {recorded}")) }
        });
    }
    if status != success {
        return None;
    }
    if !errors.is_empty() {
        return Some(Err(format!("refused, recorded as accepted: {}", message(def, object, &errors))));
    }
    let (schema, ty) = type_of(def);
    let mut json = Vec::new();
    codec::json::encode(schema, ty, object, &mut json);
    let own = codec::json::decode_any(&json).ok()?;
    let mut wrong = Vec::new();
    if partly {
        for (path, recorded) in body.as_map()?.iter() {
            compare(path, recorded, pick(&own, path), &mut wrong);
        }
        return Some(if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n    ")) });
    }
    for (key, recorded) in
        body.as_map()?.iter().filter(|(key, _)| !matches!(*key, "metadata" | "apiVersion" | "kind"))
    {
        compare(key, recorded, own.get(key), &mut wrong);
    }
    for key in own.as_map()?.keys().filter(|key| !matches!(*key, "metadata" | "apiVersion" | "kind")) {
        if body.get(key).is_none() && key != "status" {
            wrong.push(format!("{key}: not recorded"));
        }
    }
    let generation = |value: &Value| value.int_at(&["metadata", "generation"]);
    if generation(body) != generation(&own) {
        wrong.push(format!("metadata.generation: {:?}, recorded {:?}", generation(&own), generation(body)));
    }
    Some(if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n    ")) })
}

/// The value at a path of members and indices joined by dots.
fn pick<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, step| match value {
        Value::List(items) => items.get(step.parse::<usize>().ok()?),
        value => value.get(&step.replace('~', ".")),
    })
}

fn compare(path: &str, recorded: &Value, own: Option<&Value>, wrong: &mut Vec<String>) {
    match (recorded, own) {
        (Value::Map(recorded), Some(Value::Map(own))) => {
            for (key, value) in recorded.iter() {
                compare(&format!("{path}.{key}"), value, own.get(key), wrong);
            }
            for key in own.keys().filter(|key| !recorded.contains_key(key)) {
                wrong.push(format!("{path}.{key}: {:?}, not recorded", own.get(key)));
            }
        }
        (Value::List(recorded), Some(Value::List(own))) if recorded.len() == own.len() => {
            for (i, (recorded, own)) in recorded.iter().zip(own).enumerate() {
                compare(&format!("{path}[{i}]"), recorded, Some(own), wrong);
            }
        }
        (Value::String(text), own) if text == "<absent>" => {
            if own.is_some() {
                wrong.push(format!("{path}: {own:?}, recorded as absent"));
            }
        }
        // Storage in protobuf does not tell an empty list from none.
        (Value::Null, Some(Value::List(items))) if items.is_empty() => {}
        (Value::String(text), _) if text.starts_with('<') || text.contains("<uid>") => {}
        (recorded, own) if Some(recorded) == own => {}
        (recorded, own) => wrong.push(format!("{path}: {own:?}, recorded {recorded:?}")),
    }
}

/// The object without what does not count a generation.
fn desired_state(object: &Value) -> Value {
    let mut object = object.clone();
    object.remove(&["metadata"]);
    object.remove(&["status"]);
    object
}

/// The message of a 422.
fn message(def: &ResourceDef, object: &Value, errors: &FieldErrors) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let all = if texts.len() == 1 { texts[0].clone() } else { format!("[{}]", texts.join(", ")) };
    format!("{} {:?} is invalid: {all}", def.group_kind(), ObjectMeta::of(object).name())
}

fn type_of(def: &ResourceDef) -> (&'static Schema, TypeId) {
    let schema = schema::builtin();
    (schema, schema.kind(&def.group, &def.version, &def.kind).expect("kinds served are in the table"))
}

/// As the server would read it: typed, with the defaults of schema and kind. None if it cannot be read.
fn decode(def: &ResourceDef, body: &Value) -> Option<Value> {
    let (schema, ty) = type_of(def);
    let mut json = Vec::new();
    codec::json::encode_any(body, &mut json);
    let mut object = codec::json::decode(schema, ty, &json, None).ok()?;
    let conversion = def.storage().and_then(|stored| stored.conversion.clone());
    // Converted kinds are another file's test: strategies see the stored form.
    if conversion.is_some() {
        return None;
    }
    schema::defaults::apply(schema, ty, &mut object);
    def.strategy.default(&mut object);
    Some(object)
}

fn context() -> RequestContext {
    let groups = ["system:masters", "system:authenticated"].map(str::to_owned).to_vec();
    let user = UserInfo { name: "admin".to_owned(), groups, ..UserInfo::default() };
    RequestContext::new(user, Arc::new(NoAdmission), Arc::new(AllowAll), environment::real::environment())
}

struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    async fn authorize(&self, _: &AuthorizationAttributes<'_>) -> Decision {
        Decision::Allow(String::new())
    }
}

fn dependencies() -> Dependencies {
    Dependencies {
        tokens: Arc::new(NoTokens),
        token_issuer: Arc::new(NoTokenIssuer),
        rules: Arc::new(NoRules),
    }
}
