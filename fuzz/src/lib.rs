//! What every fuzz target does with its bytes: read them as a patch, apply it
//! to an object, and check what must hold whatever the bytes are. A panic is a
//! find.
//!
//! The tests of `patch` include this file and feed it mutated examples, so that
//! the targets are run without a fuzzer, too.

use std::borrow::Cow;

use meta::{ApiError, ObjectMeta};
use patch::apply::{FieldManager, FieldSet, Managers, Typed, Versions, Writer};
use patch::{JsonPatch, MergePatch, StrategicPatch};
use schema::{TypeId, Value, builtin};

/// A Deployment with some of everything: scalars, maps, sets, keyed lists in keyed lists, atomic lists.
pub const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment",
    "metadata":{"name":"d","labels":{"a":"1","b/c":"2"},"finalizers":["e.com/x","e.com/y"]},
    "spec":{"replicas":2,"selector":{"matchLabels":{"a":"1"}},"template":{"metadata":{"labels":{"a":"1"}},
    "spec":{"containers":[{"name":"c","image":"i","args":["x","y"],"env":[{"name":"A","value":"1"}],
    "ports":[{"containerPort":80,"protocol":"TCP"},{"containerPort":80,"protocol":"UDP"}]},{"name":"s","image":"j"}],
    "volumes":[{"name":"v","emptyDir":{}}],"tolerations":[{"key":"k","operator":"Exists"}]}}}}"#;

/// Reads a JSON patch and applies it.
pub fn json_patch(data: &[u8]) {
    if let Ok(patch) = JsonPatch::parse(data, Some(&mut Vec::new()))
        && let Ok(patched) = patch.apply(document())
    {
        typed_again(&patched);
    }
}

/// Reads a merge patch and applies it until it changes nothing, which is soon:
/// only nulls in a list that takes the place of an object outlive the first time.
pub fn merge_patch(data: &[u8]) {
    if let Ok(patch) = MergePatch::parse(data, Some(&mut Vec::new())) {
        let once = patch.apply(document());
        typed_again(&once);
        let twice = patch.apply(once);
        assert_eq!(patch.apply(twice.clone()), twice);
    }
}

/// Reads a strategic merge patch and applies it to kinds with different lists.
pub fn strategic_patch(data: &[u8]) {
    let Ok(patch) = StrategicPatch::parse(data, Some(&mut Vec::new())) else { return };
    if let Ok(patched) = patch.apply(builtin(), deployment(), document()) {
        typed_again(&patched);
        patch::strategic::unconvertible(builtin(), deployment(), &patched);
    }
    for (version, kind) in [("v1", "Service"), ("v1", "Pod"), ("v1", "ConfigMap"), ("v1", "Node")] {
        if let Some(ty) = builtin().kind("", version, kind) {
            _ = patch.apply(builtin(), ty, Value::map());
        }
    }
    patch.go_text();
}

/// Applies a configuration twice: the second time changes nothing.
pub fn apply_configuration(data: &[u8]) {
    let Ok(configuration) = codec::yaml::decode_any_strict(data, &mut Vec::new()) else { return };
    let live = stored(DEPLOYMENT);
    for force in [false, true] {
        let Some(once) = applied(&live, &configuration, force) else { continue };
        if has_null_key(&once) {
            // Decoded it is an item without a name, which no validation lets pass.
            continue;
        }
        let twice = applied(&once, &configuration, false);
        assert_eq!(twice.as_ref(), Some(&once), "applying twice is applying once");
    }
}

/// Reads entries of `managedFields` and writes them stably; has an update track over them.
pub fn managed_fields(data: &[u8]) {
    let Ok(tree) = codec::json::decode_any(data) else { return };
    let mut object = stored(DEPLOYMENT);
    if let Ok(managers) = Managers::decode(tree.as_list().unwrap_or_default())
        && let Some(entries) = managers.clone().encode()
    {
        let entries = entries.as_list().unwrap_or_default().to_vec();
        assert_eq!(Managers::decode(&entries).as_ref(), Ok(&managers), "what is written is what was read");
    }
    let mut submitted = object.clone();
    submitted.set(&["spec", "replicas"], 7);
    submitted.set(&["metadata", "managedFields"], tree.clone());
    writer("updater", |manager| manager.update(&object, &mut submitted));
    assert!(Managers::decode(ObjectMeta::of(&submitted).managed_fields()).is_ok(), "our own entries");
    // A store may hold anything, if another server wrote it.
    object.set(&["metadata", "managedFields"], tree);
    let configuration = codec::json::decode_any(DEPLOYMENT.as_bytes()).unwrap_or_default();
    _ = writer("applier", |manager| manager.apply(&object, &configuration, true));
}

/// Reads an object of a type made at run time; its form in memory is final.
pub fn custom_object(data: &[u8]) {
    for read in [codec::custom::decode_json(data, None), codec::custom::decode_yaml(data, None)] {
        let Ok(object) = read else { continue };
        assert_eq!(codec::custom::normal(object.clone(), None).as_ref(), Ok(&object));
        assert_eq!(codec::custom::normal_lenient(object.clone()), object);
    }
}

struct Deployments;

impl Versions for Deployments {
    fn typed(&self, api_version: &str) -> Option<Typed<'_>> {
        (api_version == "apps/v1").then(|| Typed { schema: builtin(), ty: deployment(), zeros: true })
    }

    fn from_stored<'v>(&self, _: &str, object: &'v Value) -> Result<Cow<'v, Value>, ApiError> {
        Ok(Cow::Borrowed(object))
    }

    fn to_stored(&self, _: &str, object: Value) -> Result<Value, ApiError> {
        Ok(object)
    }
}

fn writer<R>(name: &str, work: impl FnOnce(FieldManager<'_>) -> R) -> R {
    let reset = FieldSet::of_path(&["status"]);
    let writer = Writer {
        manager: name,
        api_version: "apps/v1",
        kind: "Deployment",
        subresource: "",
        now: "2026-01-01T00:00:00Z",
        reset: &reset,
        only: &[],
    };
    work(FieldManager::new(&Deployments, writer))
}

/// The object after the configuration; none if it cannot be applied.
fn applied(live: &Value, configuration: &Value, force: bool) -> Option<Value> {
    let applied = writer("applier", |manager| manager.apply(live, configuration, force)).ok()?;
    let mut object = match applied.object {
        None => live.clone(),
        Some(document) => codec::json::typed(builtin(), deployment(), &document, None).ok()?,
    };
    if let Some(entries) = applied.managed_fields {
        object.set(&["metadata", "managedFields"], entries);
    }
    Some(object)
}

fn has_null_key(object: &Value) -> bool {
    let entries = ObjectMeta::of(object).managed_fields().iter();
    entries.filter_map(|entry| entry.get("fieldsV1")).any(|fields| match fields {
        Value::Raw(text) => text.contains(":null"),
        _ => false,
    })
}

/// A document, as a server stores it, with an owner.
fn stored(text: &str) -> Value {
    let mut object = codec::json::decode(builtin(), deployment(), text.as_bytes(), None).unwrap_or_default();
    writer("creator", |manager| manager.update(&Value::map(), &mut object));
    object.set(&["metadata", "uid"], "u");
    object
}

fn document() -> Value {
    patch::document(builtin(), deployment(), &stored(DEPLOYMENT)).unwrap_or_default()
}

fn deployment() -> TypeId {
    builtin().kind("apps", "v1", "Deployment").unwrap_or(TypeId(0))
}

/// What a patch makes is read by its type, or refused, as a server does.
fn typed_again(patched: &Value) {
    if let Ok(object) = codec::json::typed(builtin(), deployment(), patched, Some(&mut Vec::new())) {
        let mut json = Vec::new();
        codec::json::encode(builtin(), deployment(), &object, &mut json);
        assert_eq!(codec::json::decode(builtin(), deployment(), &json, None).as_ref(), Ok(&object));
    }
}
