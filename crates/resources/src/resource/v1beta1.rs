//! `resource.k8s.io/v1beta1` and `v1` into each other: what is asked for of
//! one device stands in the request itself instead of below `exactly`, and
//! what a device is stands below `basic` instead of in the device itself.

use meta::ApiError;
use registry::Conversion;
use schema::{Key, Map, Value};

use crate::defaults::{self, is_empty};

/// Claims and, with their spec one level deeper, templates of claims.
pub(super) struct ConvertedClaim {
    /// Where the spec of the claim is.
    pub spec: &'static [&'static str],
}

/// Slices.
pub(super) struct ConvertedSlice;

const EXACT: [&str; 7] =
    ["deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity"];

const BASIC: [&str; 12] = [
    "attributes",
    "capacity",
    "consumesCounters",
    "nodeName",
    "nodeSelector",
    "allNodes",
    "taints",
    "bindsToNode",
    "bindingConditions",
    "bindingFailureConditions",
    "allowMultipleAllocations",
    "nodeAllocatableResourceMappings",
];

impl Conversion for ConvertedClaim {
    fn to_stored(&self, mut object: Value) -> Result<Value, ApiError> {
        for request in self.requests(&mut object) {
            move_down(request, &EXACT, "exactly");
        }
        Ok(object)
    }

    fn from_stored(&self, mut object: Value) -> Result<Value, ApiError> {
        self.requests(&mut object).for_each(|request| move_up(request, "exactly"));
        Ok(object)
    }
}

impl ConvertedClaim {
    fn requests<'a>(&self, object: &'a mut Value) -> impl Iterator<Item = &'a mut Value> + use<'a> {
        let devices = object.at_mut(self.spec).and_then(|spec| defaults::object(spec, "devices"));
        devices.into_iter().flat_map(|devices| defaults::items(devices, "requests"))
    }
}

impl Conversion for ConvertedSlice {
    fn to_stored(&self, mut object: Value) -> Result<Value, ApiError> {
        devices(&mut object).for_each(|device| move_up(device, "basic"));
        // Pointers in `v1` only: nothing said is nothing there.
        for field in ["nodeName", "allNodes"] {
            if object.at(&["spec", field]).is_some_and(|value| is_empty(Some(value)) || is_false(value)) {
                object.remove(&["spec", field]);
            }
        }
        Ok(object)
    }

    fn from_stored(&self, mut object: Value) -> Result<Value, ApiError> {
        for device in devices(&mut object) {
            move_down(device, &BASIC, "basic");
            defaults::ensure(device, "basic");
        }
        Ok(object)
    }
}

fn devices(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    let spec = defaults::object(object, "spec");
    spec.into_iter().flat_map(|spec| defaults::items(spec, "devices"))
}

fn is_false(value: &Value) -> bool {
    matches!(value, Value::Bool(false))
}

/// Moves fields into the member `below`, which is made only if one of them says anything.
fn move_down(parent: &mut Value, fields: &[&'static str], below: &'static str) {
    let mut moved = Map::new();
    for field in fields {
        let Some(value) = parent.remove(&[*field]) else { continue };
        if !is_empty(Some(&value)) && value != Value::Int(0) {
            moved.insert(Key::borrowed(field), value);
        }
    }
    if !moved.is_empty() {
        parent.set(&[below], moved);
    }
}

/// Moves the fields of the member `below` beside it.
fn move_up(parent: &mut Value, below: &'static str) {
    if let Some(Value::Map(fields)) = parent.remove(&[below])
        && let Value::Map(parent) = parent
    {
        for (key, value) in fields {
            parent.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn check(conversion: &dyn Conversion, served: &str, stored: &str) {
        let (served, stored) = (object(served), object(stored));
        assert_eq!(conversion.to_stored(served.clone()).expect("cannot fail"), stored);
        assert_eq!(conversion.from_stored(stored).expect("cannot fail"), served);
    }

    #[test]
    fn what_one_device_must_be_stands_below_exactly() {
        check(
            &ConvertedClaim { spec: &["spec"] },
            r#"{"spec":{"devices":{"requests":[{"name":"a","deviceClassName":"c","count":2},
                {"name":"b","firstAvailable":[{"name":"x","deviceClassName":"c"}]}]}}}"#,
            r#"{"spec":{"devices":{"requests":[{"name":"a","exactly":{"deviceClassName":"c","count":2}},
                {"name":"b","firstAvailable":[{"name":"x","deviceClassName":"c"}]}]}}}"#,
        );
    }

    #[test]
    fn zero_values_of_fields_that_are_no_pointers_ask_for_nothing() {
        let claim = object(
            r#"{"spec":{"spec":{"devices":{"requests":[{"name":"a","deviceClassName":"","count":0,
                "firstAvailable":[{"name":"x","deviceClassName":"c"}]}]}}}}"#,
        );
        let stored = ConvertedClaim { spec: &["spec", "spec"] }.to_stored(claim).expect("cannot fail");
        let requests = stored.list_at(&["spec", "spec", "devices", "requests"]);
        assert_eq!(
            requests,
            [object(r#"{"name":"a","firstAvailable":[{"name":"x","deviceClassName":"c"}]}"#)]
        );
    }

    #[test]
    fn what_a_device_is_stands_below_basic() {
        check(
            &ConvertedSlice,
            r#"{"spec":{"driver":"d","devices":[{"name":"a","basic":{"attributes":{"x":{"int":1}}}},
                {"name":"b","basic":{}}]}}"#,
            r#"{"spec":{"driver":"d","devices":[{"name":"a","attributes":{"x":{"int":1}}},{"name":"b"}]}}"#,
        );
    }
}
