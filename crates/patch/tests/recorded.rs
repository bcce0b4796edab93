//! Recorded conversations about patches: what the original answered, this
//! crate must make. Their place is `golden/cases/patch.json` below the folder
//! in `PINTLE_SHARED`; without it the test is left out.
//!
//! Only what a patch alone decides is compared: steps that the original
//! refuses after the patch was applied (validation, identity) are passed over.

use meta::ApiError;
use patch::{JsonPatch, MergePatch, PatchError, StrategicPatch, document};
use schema::{Schema, TypeId, Value};

const KINDS: [(&str, &str, &str, &str); 4] = [
    ("/configmaps", "", "v1", "ConfigMap"),
    ("/deployments", "apps", "v1", "Deployment"),
    ("/services", "", "v1", "Service"),
    ("/pods", "", "v1", "Pod"),
];

#[test]
#[allow(clippy::print_stdout, reason = "says that the test was left out, and how much was compared")]
fn patches_do_what_the_original_did() {
    let Some(shared) = std::env::var_os("PINTLE_SHARED") else {
        println!("PINTLE_SHARED is not set: recorded patches are left out");
        return;
    };
    let path = std::path::Path::new(&shared).join("golden/cases/patch.json");
    let scenarios = codec::json::decode_any(&std::fs::read(path).expect("the recorded cases")).expect("JSON");
    let mut compared = 0;
    for scenario in scenarios.as_list().expect("a list of scenarios") {
        compared += replay(scenario);
    }
    println!("{compared} recorded patches compared");
    assert!(compared > 130, "only {compared} recorded patches could be compared");
}

/// Replays one scenario on one object; returns how many steps it compared.
fn replay(scenario: &Value) -> usize {
    let name = scenario.str_at(&["name"]).unwrap_or_default();
    let schema = schema::builtin();
    let mut object: Option<(TypeId, Value)> = None;
    let mut compared = 0;
    for (at, step) in scenario.list_at(&["steps"]).iter().enumerate() {
        let method = step.str_at(&["method"]).unwrap_or_default();
        let path = step.str_at(&["path"]).unwrap_or_default().split('?').next().unwrap_or_default();
        let status = step.int_at(&["expect", "status"]).unwrap_or_default();
        let main_resource = KINDS.iter().find(|(part, ..)| {
            path.ends_with(part) || path.rsplit_once('/').is_some_and(|(p, _)| p.ends_with(part))
        });
        let Some((_, group, version, kind)) = main_resource else { continue };
        let ty = schema.kind(group, version, kind).expect("a built-in kind");
        match (method, &mut object) {
            ("POST", None) if status == 201 => {
                let mut made = step.get("body").cloned().unwrap_or_default();
                overlay(&mut made, step.at(&["expect", "body"]));
                object = Some((ty, made));
            }
            ("PATCH", Some((ty, object))) if !path.ends_with("/status") => {
                compared += usize::from(compare(&format!("{name} step {at}"), schema, *ty, object, step));
                if status == 200 {
                    overlay(object, step.at(&["expect", "body"]));
                }
            }
            _ => {}
        }
    }
    compared
}

/// Compares one step; false if there is nothing to compare.
fn compare(step_name: &str, schema: &Schema, ty: TypeId, object: &Value, step: &Value) -> bool {
    let raw = step.str_at(&["raw"]).map(str::to_owned);
    let bytes = raw.unwrap_or_else(|| step.get("body").map(json).unwrap_or_default());
    let typed = codec::json::typed(schema, ty, object, None).expect("a recorded object");
    let document = document(schema, ty, &typed).expect("JSON");
    let Some(result) = apply(schema, ty, document, step, bytes.as_bytes()) else { return false };
    let status = step.int_at(&["expect", "status"]).unwrap_or_default();
    let expected = step.at(&["expect", "body"]);
    let message = expected.and_then(|body| body.str_at(&["message"])).unwrap_or_default();
    match (result, status) {
        (Ok(patched), 200) => {
            let patched = codec::json::typed(schema, ty, &patched, None);
            let patched = patched.unwrap_or_else(|error| panic!("{step_name}: {error}"));
            for (dotted, wanted) in user_fields(expected) {
                let path: Vec<&str> = dotted.split('.').collect();
                let absent = wanted.as_str() == Some("<absent>");
                // Defaults are not this crate's: only what both sides can have is compared.
                if dotted.starts_with("data") || dotted.ends_with("finalizers") || dotted.ends_with("labels")
                {
                    let found = patched.at(&path);
                    let same = if absent { found.is_none() } else { found == Some(wanted) };
                    assert!(same, "{step_name}: {dotted} is {found:?}, the original has {wanted:?}");
                }
            }
            true
        }
        (Ok(patched), 422) if is_undecodable(expected) => {
            let refused = codec::json::typed(schema, ty, &patched, None).is_err();
            let other_kind = patched.get("kind") != object.get("kind")
                || patched.get("apiVersion") != object.get("apiVersion");
            assert!(refused || other_kind, "{step_name}: the original cannot decode {patched:?}");
            let words = patch::strategic::unconvertible(schema, ty, &patched).unwrap_or_default();
            assert!(message.ends_with(&words) || message.is_empty(), "{step_name}: {words}");
            true
        }
        (Ok(_), _) => false,
        (Err(error), status) => {
            check_error(step_name, error, status, message);
            true
        }
    }
}

/// True if the answer says that the patched object fits no type.
fn is_undecodable(answer: Option<&Value>) -> bool {
    let causes = answer.map(|body| body.list_at(&["details", "causes"])).unwrap_or_default();
    causes.iter().any(|cause| cause.str_at(&["field"]) == Some("patch"))
}

fn check_error(step_name: &str, error: PatchError, status: i64, message: &str) {
    const GENERIC: &str = "the server rejected our request due to an error in our request";
    let (found_status, found) = match ApiError::from(error.clone()) {
        ApiError::BadRequest(text) => (400, text),
        ApiError::TooLarge(text) => (413, format!("Request entity too large: {text}")),
        ApiError::Unprocessable { .. } => (422, GENERIC.to_owned()),
        ApiError::Unknown(text) => (500, text),
        other => panic!("{step_name}: {other:?}"),
    };
    assert_eq!((found_status, found.as_str()), (status, message), "{step_name}: {error}");
}

fn apply(
    schema: &Schema,
    ty: TypeId,
    document: Value,
    step: &Value,
    bytes: &[u8],
) -> Option<Result<Value, PatchError>> {
    let media_type = step.str_at(&["headers", "Content-Type"])?;
    Some(match media_type.split(';').next()? {
        "application/json-patch+json" => {
            JsonPatch::parse(bytes, None).and_then(|patch| patch.apply(document))
        }
        "application/merge-patch+json" => MergePatch::parse(bytes, None).map(|patch| patch.apply(document)),
        "application/strategic-merge-patch+json" => {
            StrategicPatch::parse(bytes, None).and_then(|patch| patch.apply(schema, ty, document))
        }
        _ => return None,
    })
}

/// Fields of an answer with their dotted paths, one level into `metadata` and `spec`.
fn user_fields(body: Option<&Value>) -> Vec<(String, &Value)> {
    let mut fields = Vec::new();
    for (key, value) in body.and_then(Value::as_map).into_iter().flat_map(schema::Map::iter) {
        match (key, value) {
            ("metadata" | "spec", Value::Map(map)) => {
                fields.extend(map.iter().map(|(inner, value)| (format!("{key}.{inner}"), value)));
            }
            _ => fields.push((key.to_owned(), value)),
        }
    }
    fields
}

/// Brings an object to what an answer says of it.
fn overlay(object: &mut Value, answer: Option<&Value>) {
    let server_owned =
        ["metadata.managedFields", "metadata.uid", "metadata.resourceVersion", "metadata.creationTimestamp"];
    for (dotted, value) in user_fields(answer) {
        if server_owned.contains(&dotted.as_str()) {
            continue;
        }
        let path: Vec<&str> = dotted.split('.').collect();
        let (last, parents) = path.split_last().expect("never empty");
        let Some(map) = parents
            .iter()
            .try_fold(&mut *object, |value, key| value.get_mut(key))
            .and_then(Value::as_map_mut)
        else {
            continue;
        };
        if value.as_str() == Some("<absent>") {
            map.remove(last);
        } else {
            map.insert(*last, value.clone());
        }
    }
}

fn json(value: &Value) -> String {
    let mut out = Vec::new();
    codec::json::encode_any(value, &mut out);
    String::from_utf8(out).expect("JSON is text")
}
