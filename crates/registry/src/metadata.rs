//! What all objects share: system fields, generated names, namespaces, owner
//! references, and which parts of an object an update may touch.

use std::time::Duration;

use environment::Random;
use jiff::Timestamp;
use meta::ApiError;
use meta::object::{ObjectMeta, ObjectMetaMut};
use meta::time::rfc3339;
use schema::{Key, Value};

use crate::context::RequestContext;
use crate::definition::{ResourceDef, StatusMetadata};

/// Letters and digits of generated names: no vowels and none of `0 1 3`, so no words arise.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Length of the random part.
const SUFFIX_LENGTH: usize = 5;
/// Longest base of a generated name in bytes: a label of 63 minus the suffix.
const BASE_LENGTH_MAX: usize = 63 - SUFFIX_LENGTH;

const DUPLICATE_OWNERS: &str = ".metadata.ownerReferences contains duplicate entries";
const DUPLICATE_OWNERS_ADVICE: &str = "API server dedups owner references in 1.20+, and may reject such requests as \
     early as 1.24; please fix your requests; duplicate UID(s) observed:";

/// Drops what only the server may set (D-CRE-7).
pub(crate) fn wipe_system_fields(object: &mut Value) {
    let mut meta = ObjectMetaMut::of(object);
    for field in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        meta.map().remove(field);
    }
}

/// Gives a new object its identity.
pub(crate) fn fill_system_fields(context: &RequestContext, object: &mut Value) {
    let mut meta = ObjectMetaMut::of(object);
    meta.set_uid(context.environment.random.uuid());
    meta.set_creation_timestamp(rfc3339(context.environment.clock.now()));
}

/// `base` with a random suffix of five letters (D-CRE-1), cut to the length of a label.
pub fn generate_name(random: &(dyn Random + 'static), base: &str) -> String {
    let mut end = base.len().min(BASE_LENGTH_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_owned();
    for _ in 0..SUFFIX_LENGTH {
        let letter = random.below(SUFFIX_ALPHABET.len() as u64) as usize;
        name.push(SUFFIX_ALPHABET[letter] as char);
    }
    name
}

/// Makes the object's namespace that of the request (D-CRE-5): an empty one is
/// filled, a cluster-scoped object has none, a different one is refused.
pub(crate) fn match_namespace(
    context: &RequestContext,
    def: &ResourceDef,
    object: &mut Value,
) -> Result<(), ApiError> {
    let mut meta = ObjectMetaMut::of(object);
    if !def.namespaced {
        meta.set_namespace("");
        return Ok(());
    }
    if meta.view().namespace().is_empty() {
        meta.set_namespace(context.namespace.clone());
    }
    if meta.view().namespace() == context.namespace {
        return Ok(());
    }
    let text = "the namespace of the provided object does not match the namespace sent on the request";
    Err(ApiError::BadRequest(text.to_owned()))
}

/// Removes owner references with a uid that stood before, with a warning (F-MUT-6).
pub(crate) fn deduplicate_owners(context: &RequestContext, object: &mut Value, after_admission: bool) {
    let Some(Value::List(owners)) = object.at_mut(&["metadata", "ownerReferences"]) else { return };
    let mut seen: Vec<Value> = Vec::with_capacity(owners.len());
    let mut duplicates: Vec<String> = Vec::new();
    for owner in owners.drain(..) {
        // Only whole repetitions are dropped; the same uid in another role stays for validation to judge.
        if seen.contains(&owner) {
            let uid = owner.str_at(&["uid"]).unwrap_or_default().to_owned();
            if !duplicates.contains(&uid) {
                duplicates.push(uid);
            }
        } else {
            seen.push(owner);
        }
    }
    *owners = seen;
    if !duplicates.is_empty() {
        let when = if after_admission { " after mutating admission happens" } else { "" };
        context
            .warn(format!("{DUPLICATE_OWNERS}{when}; {DUPLICATE_OWNERS_ADVICE} {}", duplicates.join(", ")));
    }
}

/// Takes every top-level field but `metadata` and `status` from `old`: what an
/// update through `status` may not touch.
pub(crate) fn keep_all_but_status(object: &mut Value, old: &Value) {
    let (Some(new_map), Some(old_map)) = (object.as_map_mut(), old.as_map()) else { return };
    new_map.retain(|key, _| is_common(key) || old_map.contains_key(key));
    for (key, value) in old_map.iter().filter(|(key, _)| !is_common(key)) {
        new_map.insert(key, value.clone());
    }
}

/// Takes `field` from `old`, also when it is absent there.
pub(crate) fn keep_field(object: &mut Value, old: &Value, field: &'static str) {
    let Some(map) = object.as_map_mut() else { return };
    match old.get(field) {
        Some(value) => {
            map.insert(Key::borrowed(field), value.clone());
        }
        None => {
            map.remove(field);
        }
    }
}

/// Takes what an update through `status` may not change of the metadata from `old`.
pub(crate) fn keep_metadata_for_status(def: &ResourceDef, object: &mut Value, old: &Value) {
    let fields: &[&str] = match def.status_metadata {
        StatusMetadata::Writable => &[],
        StatusMetadata::LabelsKept => &["labels"],
        StatusMetadata::OwnersKept => &["ownerReferences"],
        StatusMetadata::Kept => &[
            "deletionTimestamp",
            "generation",
            "selfLink",
            "labels",
            "annotations",
            "finalizers",
            "ownerReferences",
        ],
    };
    let Some(old) = old.get("metadata") else { return };
    let Some(new) = object.get_mut("metadata") else { return };
    for field in fields {
        keep_field(new, old, field);
    }
    for annotation in &def.field_annotations {
        if let Some(value) = old.str_at(&["annotations", annotation]) {
            new.ensure_map(&["annotations"]).insert(annotation.clone(), value);
        }
    }
}

/// True if anything but metadata and status differs: what `generation` counts.
pub(crate) fn desired_state_differs(new: &Value, old: &Value) -> bool {
    let fields =
        |value: &'_ Value| value.as_map().map(|map| map.iter().filter(|(key, _)| !is_common(key)).count());
    let same = |key: &str, value: &Value| is_common(key) || old.get(key) == Some(value);
    fields(new) != fields(old)
        || new.as_map().is_some_and(|map| !map.iter().all(|(key, value)| same(key, value)))
}

fn is_common(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata" | "status")
}

/// `deletionTimestamp` as a time; none if absent or no time.
pub(crate) fn deletion_time(meta: ObjectMeta<'_>) -> Option<Timestamp> {
    meta.deletion_timestamp()?.parse().ok()
}

/// `time` plus (or minus) seconds, held at the end of time instead of overflowing.
pub(crate) fn add_seconds(time: Timestamp, seconds: i64) -> Timestamp {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 { time.saturating_sub(distance) } else { time.saturating_add(distance) };
    moved.unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_desired_state_is_everything_but_metadata_and_status() {
        let object = |path: &[&'static str], value: i64| {
            let mut object = Value::map();
            object.set(&["spec", "replicas"], 1);
            object.set(path, value);
            object
        };
        let old = object(&["status", "replicas"], 1);
        for (new, differs) in [
            (object(&["status", "replicas"], 2), false),
            (object(&["metadata", "generation"], 9), false),
            (object(&["spec", "replicas"], 2), true),
            (object(&["data"], 1), true),
            (Value::map(), true),
        ] {
            assert_eq!(desired_state_differs(&new, &old), differs, "{new:?}");
        }
    }

    #[test]
    fn a_generated_base_is_cut_between_characters() {
        let environment = environment::real::environment();
        let name = generate_name(&*environment.random, &"ä".repeat(40));
        assert_eq!(name.len(), 58 + SUFFIX_LENGTH);
        let odd = generate_name(&*environment.random, &format!("a{}", "ä".repeat(40)));
        assert_eq!(odd.len(), 57 + SUFFIX_LENGTH);
    }
}
