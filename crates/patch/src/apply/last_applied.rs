//! From client-side to server-side apply: the annotation in which kubectl
//! keeps what it applied last.

use meta::object::ObjectMeta;
use schema::Value;

use super::compare::compare;
use super::conflict::Conflict;
use super::owned_fields;
use super::shape::Typed;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// All annotations of an object together, in bytes.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// The conflicts that are not about fields which kubectl itself applied on the
/// client's side and nobody has changed since.
pub(crate) fn not_excused(
    typed: Typed<'_>,
    api_version: &str,
    live: &Value,
    mut conflicts: Vec<Conflict>,
) -> Vec<Conflict> {
    let typed = Typed { zeros: false, ..typed };
    let Some(applied) = ObjectMeta::of(live).annotations().str(ANNOTATION).filter(|text| !text.is_empty())
    else {
        return conflicts;
    };
    let Ok(applied) = codec::json::decode_any(applied.as_bytes()) else { return conflicts };
    if applied.get("apiVersion").and_then(Value::as_str) != Some(api_version)
        || super::validate(typed, &applied).is_err()
    {
        return conflicts;
    }
    let differences = compare(typed, &applied, live);
    let excused = owned_fields(typed, &applied)
        .difference(&differences.modified)
        .difference(&differences.added)
        .difference(&differences.removed);
    conflicts.retain_mut(|conflict| {
        conflict.fields = std::mem::take(&mut conflict.fields).difference(&excused);
        !conflict.fields.is_empty()
    });
    conflicts
}

/// Keeps the annotation true where the object has one, so that client-side
/// apply can go on. `changed` is the new object, none if it is `live` still.
pub(crate) fn renew(changed: &mut Option<Value>, live: &Value, configuration: &Value) {
    let object = changed.as_ref().unwrap_or(live);
    if ObjectMeta::of(object).annotations().str(ANNOTATION).is_none_or(str::is_empty) {
        return;
    }
    let mut applied = configuration.clone();
    if let Some(Value::Map(annotations)) = applied.at_mut(&["metadata", "annotations"]) {
        annotations.remove(ANNOTATION);
    }
    let mut text = Vec::new();
    codec::json::encode_any(&applied, &mut text);
    text.push(b'\n');
    let text = String::from_utf8_lossy(&text).into_owned();
    let annotations = changed.get_or_insert_with(|| live.clone()).ensure_map(&["metadata", "annotations"]);
    annotations.insert(ANNOTATION, text);
    let size: usize =
        annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if size > ANNOTATIONS_BYTES_MAX {
        annotations.remove(ANNOTATION);
    }
}
