//! The priority levels and flow schemas a cluster begins with: those it cannot
//! do without, whose spec is fixed, and those suggested. Each carries the
//! annotation by which the original knows that it may bring them up to date.

use schema::{Map, Value};

use crate::check;

const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
/// Says that the server may overwrite the object.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// Requests that wait in one queue at most.
const QUEUE_LENGTH_MAX: i64 = 50;

/// Every priority level.
pub fn priority_levels() -> impl Iterator<Item = Value> {
    let limited = [
        ("system", 30, 64, 6),
        ("node-high", 40, 64, 6),
        ("leader-election", 10, 16, 4),
        ("workload-high", 40, 128, 6),
        ("workload-low", 100, 128, 6),
        ("global-default", 20, 128, 6),
    ]
    .map(|(name, shares, queues, hand)| {
        let queuing =
            Map::from([("handSize", hand), ("queueLengthLimit", QUEUE_LENGTH_MAX), ("queues", queues)]);
        let response = Map::from([("queuing", Value::from(queuing)), ("type", "Queue".into())]);
        level(name, shares, response)
    });
    let mut exempt = annotated("PriorityLevelConfiguration", "exempt");
    exempt.set(&["spec", "type"], "Exempt");
    let catch_all = level("catch-all", 5, Map::from([("type", "Reject")]));
    [exempt, catch_all].into_iter().chain(limited)
}

fn level(name: &str, shares: i64, response: Map) -> Value {
    let mut level = annotated("PriorityLevelConfiguration", name);
    level.set(&["spec", "type"], "Limited");
    level.set(&["spec", "limited", "nominalConcurrencyShares"], shares);
    level.set(&["spec", "limited", "limitResponse"], response);
    level
}

/// Every flow schema.
pub fn flow_schemas() -> Vec<Value> {
    const EVERYONE: [Subject; 2] = [Group("system:unauthenticated"), Group("system:authenticated")];
    const MANAGER: Subject = User("system:kube-controller-manager");
    const SCHEDULER: Subject = User("system:kube-scheduler");
    const NODES: Subject = Group("system:nodes");
    const SYSTEM_ACCOUNTS: Subject = SystemAccounts;
    let everything = || vec![resources(&["*"], &["*"], &["*"], true)];
    let any_url = || vec![urls("*", &["*"])];
    let leases = |verbs| resources(verbs, &["coordination.k8s.io"], &["leases"], false);
    let elections: &[&str] = &["get", "create", "update"];
    let on_nodes = resources(&["*"], &[""], &["nodes", "nodes/status"], true);
    let probes = vec![urls("get", &["/healthz", "/readyz", "/livez"])];
    let schema = |name, level, precedence, by, subjects: &[Subject], rules, urls| {
        flow_schema(Place { name, level, precedence, by }, subjects, rules, urls)
    };
    let in_general = |name, level, precedence, by, subjects: &[Subject]| {
        flow_schema(Place { name, level, precedence, by }, subjects, everything(), any_url())
    };
    vec![
        in_general("exempt", "exempt", 1, "", &[Group("system:masters")]),
        in_general("catch-all", "catch-all", 10_000, BY_USER, &EVERYONE),
        in_general("system-nodes", "system", 500, BY_USER, &[NODES]),
        schema(
            "system-node-high",
            "node-high",
            400,
            BY_USER,
            &[NODES],
            vec![on_nodes, leases(&["*"])],
            Vec::new(),
        ),
        schema("probes", "exempt", 2, "", &EVERYONE, Vec::new(), probes),
        schema(
            "system-leader-election",
            "leader-election",
            100,
            BY_USER,
            &[MANAGER, SCHEDULER, SYSTEM_ACCOUNTS],
            vec![leases(elections)],
            Vec::new(),
        ),
        schema(
            "workload-leader-election",
            "leader-election",
            200,
            BY_USER,
            &[SYSTEM_ACCOUNTS],
            vec![leases(elections)],
            Vec::new(),
        ),
        in_general("kube-controller-manager", "workload-high", 800, BY_NAMESPACE, &[MANAGER]),
        in_general("kube-scheduler", "workload-high", 800, BY_NAMESPACE, &[SCHEDULER]),
        in_general("kube-system-service-accounts", "workload-high", 900, BY_NAMESPACE, &[SYSTEM_ACCOUNTS]),
        in_general("service-accounts", "workload-low", 9000, BY_USER, &[Group("system:serviceaccounts")]),
        in_general("global-default", "global-default", 9900, BY_USER, &EVERYONE),
    ]
}

/// The object of those given that has the name of `object`, if that is one a cluster cannot do without.
pub(super) fn mandatory(object: &Value, all: impl IntoIterator<Item = Value>) -> Option<Value> {
    let name = check::text(object, &["metadata", "name"]);
    let mut all = all.into_iter().filter(|_| matches!(name, "exempt" | "catch-all"));
    all.find(|known| check::text(known, &["metadata", "name"]) == name)
}

const BY_USER: &str = "ByUser";
const BY_NAMESPACE: &str = "ByNamespace";

/// Where a flow schema stands and how it tells flows apart.
struct Place {
    name: &'static str,
    level: &'static str,
    precedence: i64,
    by: &'static str,
}

#[derive(Clone, Copy)]
enum Subject {
    Group(&'static str),
    User(&'static str),
    /// All service accounts of `kube-system`.
    SystemAccounts,
}
use Subject::{Group, SystemAccounts, User};

fn flow_schema(place: Place, subjects: &[Subject], resources: Vec<Map>, urls: Vec<Map>) -> Value {
    let mut schema = annotated("FlowSchema", place.name);
    schema.set(&["spec", "priorityLevelConfiguration", "name"], place.level);
    schema.set(&["spec", "matchingPrecedence"], place.precedence);
    if !place.by.is_empty() {
        schema.set(&["spec", "distinguisherMethod", "type"], place.by);
    }
    let subjects: Vec<Map> = subjects.iter().map(|subject| subject.object()).collect();
    let mut rule = Map::from([("subjects", subjects)]);
    for (key, rules) in [("resourceRules", resources), ("nonResourceRules", urls)] {
        if !rules.is_empty() {
            rule.insert(key, rules);
        }
    }
    schema.set(&["spec", "rules"], [rule]);
    schema
}

impl Subject {
    fn object(self) -> Map {
        let (kind, key, fields) = match self {
            Group(name) => ("Group", "group", Map::from([("name", name)])),
            User(name) => ("User", "user", Map::from([("name", name)])),
            SystemAccounts => {
                ("ServiceAccount", "serviceAccount", Map::from([("name", "*"), ("namespace", "kube-system")]))
            }
        };
        Map::from([("kind", Value::from(kind)), (key, fields.into())])
    }
}

fn resources(verbs: &[&str], groups: &[&str], resources: &[&str], cluster_scope: bool) -> Map {
    let mut rule = Map::from([
        ("apiGroups", list(groups)),
        ("namespaces", list(&["*"])),
        ("resources", list(resources)),
        ("verbs", list(verbs)),
    ]);
    if cluster_scope {
        rule.insert("clusterScope", true);
    }
    rule
}

fn urls(verb: &str, urls: &[&str]) -> Map {
    Map::from([("nonResourceURLs", list(urls)), ("verbs", list(&[verb]))])
}

fn list(texts: &[&str]) -> Value {
    texts.to_vec().into()
}

fn annotated(kind: &str, name: &str) -> Value {
    let mut made = Value::map();
    made.set(&["apiVersion"], API_VERSION);
    made.set(&["kind"], kind);
    made.set(&["metadata", "name"], name);
    made.set(&["metadata", "annotations"], Map::from([(AUTO_UPDATE, "true")]));
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_schema_leads_to_a_priority_level() {
        let name = |object: &Value| object.str_at(&["metadata", "name"]).unwrap_or_default().to_owned();
        let levels: Vec<String> = priority_levels().map(|level| name(&level)).collect();
        for schema in flow_schemas() {
            let level = schema.str_at(&["spec", "priorityLevelConfiguration", "name"]).expect("always set");
            assert!(levels.iter().any(|known| known == level), "{} leads to {level}", name(&schema));
        }
    }
}
