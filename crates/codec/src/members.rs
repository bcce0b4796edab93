//! The members of an object by the fields of its type.
//!
//! Writers walk fields in an order of their own; looking each up by name would
//! compare names hundreds of times per object. Owns the one pass that sorts
//! members to fields.

use schema::{Kind, Map, Type, Value};

/// Structs with more fields than this are looked up by name. The largest one
/// of the built-in types has fewer.
const FIELDS_MAX: usize = 64;

/// Members of a map, to be asked for by index of the field.
pub struct Members<'v, 't> {
    slots: [Option<&'v Value>; FIELDS_MAX],
    /// Where the slots do not suffice.
    large: Option<(&'v Map, &'t Type)>,
}

impl<'v, 't> Members<'v, 't> {
    pub fn new(ty: &'t Type, map: &'v Map) -> Members<'v, 't> {
        let mut members = Members { slots: [None; FIELDS_MAX], large: None };
        let Kind::Struct { fields, by_name, .. } = &ty.kind else { return members };
        if fields.len() > FIELDS_MAX {
            members.large = Some((map, ty));
            return members;
        }
        // Both are sorted by name. Most keys are borrowed from the table, so
        // that names that are the same are so at the same address.
        let mut rest = by_name.iter();
        for (key, value) in map.iter() {
            let same = |i: &&u16| std::ptr::eq(fields[usize::from(**i)].name.as_ref(), key);
            let ahead = rest.clone().position(|i| same(&i));
            let index = match ahead {
                Some(ahead) => rest.nth(ahead).map(|i| usize::from(*i)),
                None => ty.field_index(key),
            };
            if let Some(index) = index {
                members.slots[index] = Some(value).filter(|value| !value.is_null());
            }
        }
        members
    }

    /// The value of a field; none if it is absent or null.
    pub fn get(&self, index: usize) -> Option<&'v Value> {
        match self.large {
            None => self.slots[index],
            Some((map, ty)) => map.get(&ty.fields()[index].name).filter(|value| !value.is_null()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_whoever_owns_their_names() {
        let schema = schema::builtin();
        let pod = schema.ty(schema.kind("", "v1", "Pod").expect("served"));
        let spec = pod.field_index("spec").expect("a field");
        let status = pod.field_index("status").expect("a field");
        let borrowed = (pod.fields()[spec].name.clone(), Value::from(1));
        let map: Map = [borrowed, ("status".to_owned().into(), 2.into()), ("zzz".into(), 3.into())]
            .into_iter()
            .collect();
        let members = Members::new(pod, &map);
        assert_eq!(members.get(spec), Some(&Value::Int(1)));
        assert_eq!(members.get(status), Some(&Value::Int(2)));
        assert_eq!(members.get(pod.field_index("metadata").expect("a field")), None);
    }

    #[test]
    fn every_built_in_struct_fits() {
        assert!(schema::builtin().types.iter().all(|ty| ty.fields().len() <= FIELDS_MAX));
    }
}
