//! Resource lists: requests follow limits, amounts are held in thousandths.

use schema::quantity::Quantity;
use schema::{Key, Value};

/// Rounds every amount of a resource list up to thousandths, as the original does on every read.
pub fn round(list: Option<&mut Value>) {
    let Some(map) = list.and_then(Value::as_map_mut) else { return };
    for (_, value) in map.iter_mut() {
        // Only these two suffixes name less than a thousandth; the text is canonical.
        let Some(text) = value.as_str().filter(|text| text.ends_with(['n', 'u'])) else { continue };
        if let Ok(quantity) = Quantity::parse(text) {
            *value = Quantity::from_milli(quantity.milli_value()).to_string().into();
        }
    }
}

/// Rounds `requests` and `limits` of a requirements object.
pub fn round_requirements(requirements: Option<&mut Value>) {
    let Some(requirements) = requirements else { return };
    round(requirements.get_mut("limits"));
    round(requirements.get_mut("requests"));
}

/// A limit without a request is requested as well.
pub fn requests_from_limits(requirements: &mut Value) {
    let Some(limits) = requirements.map_at(&["limits"]).filter(|limits| !limits.is_empty()).cloned() else {
        return;
    };
    let requests = requirements.ensure_map(&["requests"]);
    for (key, limit) in limits {
        let name: Key = key;
        if !requests.contains_key(name.as_str()) {
            requests.insert(name, limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn a_limit_is_requested_unless_a_request_stands() {
        let mut requirements = Value::from(Map::from([
            ("limits", Map::from([("cpu", "2"), ("memory", "1Gi")])),
            ("requests", Map::from([("cpu", "1")])),
        ]));
        requests_from_limits(&mut requirements);
        assert_eq!(requirements.str_at(&["requests", "cpu"]), Some("1"));
        assert_eq!(requirements.str_at(&["requests", "memory"]), Some("1Gi"));
    }

    #[test]
    fn less_than_a_thousandth_is_rounded_up() {
        let mut list = Value::from(Map::from([("cpu", "1500u"), ("memory", "1Gi")]));
        round(Some(&mut list));
        assert_eq!(list, Value::from(Map::from([("cpu", "2m"), ("memory", "1Gi")])));
    }
}
