//! Ownership of `spec.replicas` seen through the `scale` subresource: there it
//! is a field of a `Scale`, in the object one of its own.

use schema::Value;

use super::field_set::FieldSet;
use super::managers::{ManagedFieldsError, Manager, Managers};

/// The version a `Scale` is of.
const SCALE_VERSION: &str = "autoscaling/v1";

/// Where an object keeps the number of replicas.
#[derive(Clone, Copy, Debug)]
pub struct ReplicasPath<'a> {
    /// Path of fields in the object.
    pub path: &'a [&'static str],
    /// Version of the object that the scale endpoint belongs to.
    pub api_version: &'a str,
}

/// `managedFields` of the `Scale` of an object: whoever owns the replicas.
pub fn to_scale(entries: &[Value], replicas: ReplicasPath<'_>) -> Result<Option<Value>, ManagedFieldsError> {
    let mut owners = Managers::default();
    for manager in Managers::decode(entries)?.iter() {
        if manager.fields.set().has_fields(replicas.path) {
            owners.put(Manager {
                fields: FieldSet::of_path(&["spec", "replicas"]).into(),
                fields_version: SCALE_VERSION.to_owned(),
                ..manager.clone()
            });
        }
    }
    Ok(owners.encode())
}

/// `managedFields` of the object after those of its `Scale` have become `scale_entries`.
pub fn to_parent(
    entries: &[Value],
    scale_entries: &[Value],
    replicas: ReplicasPath<'_>,
) -> Result<Option<Value>, ManagedFieldsError> {
    // In the entries of a `Scale` the version is that of the Scale, but who a
    // manager is has not changed by being shown there.
    let mut owners = Managers::decode(scale_entries)?;
    let replicas_set = FieldSet::of_path(replicas.path);
    let mut merged = Managers::default();
    for parent in Managers::decode(entries)?.iter() {
        if !parent.fields.set().has_fields(replicas.path) {
            merged.put(parent.clone());
            continue;
        }
        let shown = Manager { api_version: shown_version(parent), ..parent.clone() };
        if owners.take(&shown).is_some() {
            merged.put(parent.clone());
            continue;
        }
        let fields = parent.fields.set().clone().difference(&replicas_set);
        if !fields.is_empty() {
            merged.put(Manager { fields: fields.into(), ..parent.clone() });
        }
    }
    for owner in owners.iter().filter(|owner| owner.fields.set().has_fields(&["spec", "replicas"])) {
        let api_version =
            if owner.api_version.is_empty() { String::new() } else { replicas.api_version.to_owned() };
        merged.put(Manager {
            fields: replicas_set.clone().into(),
            fields_version: replicas.api_version.to_owned(),
            api_version,
            // As the original has it: what comes from a Scale comes without its time.
            time: None,
            ..owner.clone()
        });
    }
    Ok(merged.encode())
}

/// The version by which a manager of the object is known among those of the `Scale`.
fn shown_version(manager: &Manager) -> String {
    if manager.api_version.is_empty() { String::new() } else { SCALE_VERSION.to_owned() }
}
