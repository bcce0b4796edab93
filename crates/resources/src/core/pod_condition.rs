//! Conditions in a pod's status: found by type, their time of transition kept
//! while their status stays.

use schema::{Map, Value};

/// True if the condition of a type stands at `True`.
pub(crate) fn is_true(pod: &Value, kind: &str) -> bool {
    let conditions = pod.list_at(&["status", "conditions"]).iter();
    conditions
        .filter(|condition| condition.str_at(&["type"]) == Some(kind))
        .any(|condition| condition.str_at(&["status"]) == Some("True"))
}

/// Puts a condition in the place of that of its type, or behind the others.
/// `now` is when its status changed, if it did.
pub(crate) fn update(pod: &mut Value, mut condition: Map, now: &str) {
    let kind = condition.str("type").unwrap_or_default().to_owned();
    let mut conditions = pod.list_at(&["status", "conditions"]).to_vec();
    let found = conditions.iter_mut().find(|old| old.str_at(&["type"]) == Some(&kind));
    let since = found
        .as_ref()
        .filter(|old| old.str_at(&["status"]) == condition.str("status"))
        .and_then(|old| old.get("lastTransitionTime"));
    let since = since.cloned().unwrap_or_else(|| now.into());
    condition.insert("lastTransitionTime", since);
    match found {
        Some(old) => *old = condition.into(),
        None => conditions.push(condition.into()),
    }
    pod.set(&["status", "conditions"], conditions);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(pod: &Value) -> Vec<&str> {
        let conditions = pod.list_at(&["status", "conditions"]).iter();
        conditions.filter_map(|condition| condition.str_at(&["lastTransitionTime"])).collect()
    }

    #[test]
    fn a_condition_remembers_since_when_it_holds() {
        let condition = |status: &str| Map::from([("type", "Ready"), ("status", status)]);
        let mut pod = Value::map();
        update(&mut pod, condition("True"), "1");
        update(&mut pod, condition("True"), "2");
        assert_eq!(since(&pod), ["1"]);
        assert!(is_true(&pod, "Ready"));
        update(&mut pod, condition("False"), "3");
        assert_eq!(since(&pod), ["3"]);
        assert!(!is_true(&pod, "Ready"));
        update(&mut pod, Map::from([("type", "Other"), ("status", "True")]), "4");
        assert_eq!(since(&pod), ["3", "4"]);
    }
}
