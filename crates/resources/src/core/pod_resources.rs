//! What a pod asks for: sums over its containers and the class that follows.

use schema::Value;
use schema::quantity::Quantity;

use crate::validation::quantity;

/// Resources that decide about the class.
const COMPUTE: [&str; 2] = ["cpu", "memory"];

/// The sum of the containers' requests for one resource, as canonical text;
/// none if no container asks for it. Init containers run one after another,
/// before the others: the largest of them counts, if it is more than the sum.
pub fn requested(spec: &Value, resource: &str) -> Option<String> {
    let of = |container: &Value| container.at(&["resources", "requests", resource]).and_then(quantity);
    let mut sum: Option<Quantity> = None;
    let mut add = |quantity: Quantity| {
        sum = Some(match sum.take() {
            Some(sum) => sum.add(&quantity),
            None => quantity,
        });
    };
    spec.list_at(&["containers"]).iter().filter_map(of).for_each(&mut add);
    let init = spec.list_at(&["initContainers"]);
    init.iter().filter(|container| is_sidecar(container)).filter_map(of).for_each(&mut add);
    let largest = init.iter().filter(|container| !is_sidecar(container)).filter_map(of).max();
    let total = match (sum, largest) {
        (Some(sum), Some(largest)) => Some(sum.max(largest)),
        (sum, largest) => sum.or(largest),
    };
    total.map(|total| total.to_string())
}

/// An init container that is restarted runs beside the others.
pub fn is_sidecar(container: &Value) -> bool {
    container.str_at(&["restartPolicy"]) == Some("Always")
}

/// Quality of service: `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_class(spec: Option<&Value>) -> &'static str {
    let Some(spec) = spec else { return "BestEffort" };
    let whole = spec.at(&["resources"]).filter(|resources| {
        ["requests", "limits"].iter().any(|list| resources.map_at(&[list]).is_some_and(|map| !map.is_empty()))
    });
    let owners: Vec<&Value> = match whole {
        Some(resources) => vec![resources],
        None => spec
            .list_at(&["containers"])
            .iter()
            .chain(spec.list_at(&["initContainers"]))
            .filter_map(|container| container.get("resources"))
            .collect(),
    };
    let containers = match whole {
        Some(_) => 1,
        None => spec.list_at(&["containers"]).len() + spec.list_at(&["initContainers"]).len(),
    };
    let positive = |resources: &Value, list: &str, name: &str| {
        resources.at(&[list, name]).and_then(quantity).filter(|quantity| !quantity.is_zero())
    };
    let says_anything = |resources: &&Value| {
        ["requests", "limits"]
            .iter()
            .any(|list| COMPUTE.iter().any(|name| positive(resources, list, name).is_some()))
    };
    if !owners.iter().any(says_anything) {
        return "BestEffort";
    }
    let guaranteed = |resources: &&Value| {
        COMPUTE.iter().all(|name| {
            let limit = positive(resources, "limits", name);
            let request = positive(resources, "requests", name).or_else(|| limit.clone());
            limit.is_some() && limit == request
        })
    };
    if owners.len() == containers && owners.iter().all(guaranteed) { "Guaranteed" } else { "Burstable" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    fn resources(requests: &[(&'static str, &str)], limits: &[(&'static str, &str)]) -> Value {
        let list = |entries: &[(&'static str, &str)]| {
            entries.iter().map(|(name, amount)| (*name, *amount)).collect::<Map>()
        };
        Value::from(Map::from([("requests", list(requests)), ("limits", list(limits))]))
    }

    fn spec(containers: Vec<Value>) -> Value {
        let containers: Vec<Map> = containers.into_iter().map(|it| Map::from([("resources", it)])).collect();
        Value::from(Map::from([("containers", containers)]))
    }

    #[test]
    fn the_class_follows_from_requests_and_limits() {
        let full: &[(&'static str, &str)] = &[("cpu", "1"), ("memory", "1Gi")];
        let guaranteed = resources(full, full);
        let nothing = resources(&[], &[]);
        for (containers, class) in [
            (vec![nothing.clone()], "BestEffort"),
            (vec![guaranteed.clone()], "Guaranteed"),
            (vec![resources(&[], full)], "Guaranteed"),
            (vec![guaranteed, nothing], "Burstable"),
            (vec![resources(&[("cpu", "1")], &[])], "Burstable"),
            (vec![resources(&[("cpu", "500m"), ("memory", "1Gi")], full)], "Burstable"),
        ] {
            assert_eq!(qos_class(Some(&spec(containers.clone()))), class, "{containers:?}");
        }
    }

    #[test]
    fn requests_are_summed_and_the_largest_init_container_counts() {
        let cpu = |amount| resources(&[("cpu", amount)], &[]);
        let mut spec = spec(vec![cpu("500m"), cpu("1")]);
        assert_eq!(requested(&spec, "cpu").as_deref(), Some("1500m"));
        assert_eq!(requested(&spec, "memory"), None);
        spec.set(&["initContainers"], vec![Map::from([("resources", cpu("4"))])]);
        assert_eq!(requested(&spec, "cpu").as_deref(), Some("4"));
    }
}
