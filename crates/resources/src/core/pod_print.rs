//! Printed columns of a pod. The status column sums up the states of all
//! containers in one word, by rules that have grown over years.

use meta::ObjectMeta;
use registry::{PrintContext, RowCondition};
use schema::Value;

use super::pod_resources::is_sidecar;
use crate::print;

/// The cells of a pod.
pub(super) fn cells(object: &Value, print: &PrintContext) -> Vec<Value> {
    let summary = Summary::of(object);
    vec![
        print.name(object).into(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.status.into(),
        restarts(summary.restarts, &summary.last_restart, print).into(),
        print.age(object).into(),
        print::or_none(first_ip(object)).into(),
        print::or_none(object.str_at(&["spec", "nodeName"]).unwrap_or_default()).into(),
        print::or_none(object.str_at(&["status", "nominatedNodeName"]).unwrap_or_default()).into(),
        readiness_gates(object).into(),
    ]
}

/// The pod's first address, empty if it has none.
pub(super) fn first_ip(object: &Value) -> &str {
    let first = object.list_at(&["status", "podIPs"]).first().and_then(|ip| ip.str_at(&["ip"]));
    first.or_else(|| object.str_at(&["status", "podIP"])).unwrap_or_default()
}

fn restarts(count: i64, last: &str, print: &PrintContext) -> String {
    match last {
        "" => count.to_string(),
        _ if count == 0 => count.to_string(),
        last => format!("{count} ({} ago)", print.since(last)),
    }
}

fn readiness_gates(object: &Value) -> String {
    let gates = object.list_at(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return print::NONE.to_owned();
    }
    let met = |gate: &&Value| {
        let kind = gate.str_at(&["conditionType"]).unwrap_or_default();
        condition(object, kind).is_some_and(|condition| condition.str_at(&["status"]) == Some("True"))
    };
    format!("{}/{}", gates.iter().filter(met).count(), gates.len())
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object.list_at(&["status", "conditions"]);
    conditions.iter().find(|condition| condition.str_at(&["type"]) == Some(kind))
}

fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition.str_at(&["status"]) == Some("True"))
}

struct Summary {
    status: String,
    ready: usize,
    total: usize,
    restarts: i64,
    /// When a container last ended before it was restarted, RFC 3339; empty for never.
    last_restart: String,
}

impl Summary {
    fn of(object: &Value) -> Summary {
        let sidecars = object
            .list_at(&["spec", "initContainers"])
            .iter()
            .filter(|container| is_sidecar(container))
            .count();
        let mut summary = Summary {
            status: initial_status(object),
            ready: 0,
            total: object.list_at(&["spec", "containers"]).len() + sidecars,
            restarts: 0,
            last_restart: String::new(),
        };
        let sidecar_restarts = summary.add_init_containers(object);
        if sidecar_restarts.finished || is_true(object, "Initialized") {
            summary.restarts = sidecar_restarts.count;
            summary.last_restart = sidecar_restarts.last;
            summary.add_containers(object);
        }
        summary.add_deletion(object);
        summary
    }

    /// Counts init containers; the first that is not done decides the status.
    fn add_init_containers(&mut self, object: &Value) -> SidecarRestarts {
        let mut sidecars = SidecarRestarts { finished: true, count: 0, last: String::new() };
        let specs = object.list_at(&["spec", "initContainers"]);
        for (i, status) in object.list_at(&["status", "initContainerStatuses"]).iter().enumerate() {
            self.restarts += print::int(status, &["restartCount"]);
            later(&mut self.last_restart, status);
            let name = status.str_at(&["name"]);
            let sidecar = specs.iter().any(|spec| spec.str_at(&["name"]) == name && is_sidecar(spec));
            if sidecar {
                sidecars.count += print::int(status, &["restartCount"]);
                later(&mut sidecars.last, status);
            }
            if status.int_at(&["state", "terminated", "exitCode"]) == Some(0) {
                continue;
            }
            if sidecar && status.bool_at(&["started"]) == Some(true) {
                self.ready += usize::from(status.bool_at(&["ready"]) == Some(true));
                continue;
            }
            self.status = format!("Init:{}", init_state(status, i, specs.len()));
            sidecars.finished = false;
            break;
        }
        sidecars
    }

    fn add_containers(&mut self, object: &Value) {
        let mut running = false;
        for status in object.list_at(&["status", "containerStatuses"]).iter().rev() {
            self.restarts += print::int(status, &["restartCount"]);
            later(&mut self.last_restart, status);
            if let Some(reason) = waiting_reason(status) {
                self.status = reason.to_owned();
            } else if let Some(ended) = status.at(&["state", "terminated"]).filter(|ended| !ended.is_null()) {
                self.status = ended_text(ended);
            } else if status.bool_at(&["ready"]) == Some(true) && status.at(&["state", "running"]).is_some() {
                running = true;
                self.ready += 1;
            }
        }
        if self.status == "Completed" && running {
            self.status = if is_true(object, "Ready") { "Running" } else { "NotReady" }.to_owned();
        }
    }

    fn add_deletion(&mut self, object: &Value) {
        if ObjectMeta::of(object).deletion_timestamp().is_none() {
            return;
        }
        if object.str_at(&["status", "reason"]) == Some("NodeLost") {
            self.status = "Unknown".to_owned();
        } else if !matches!(object.str_at(&["status", "phase"]), Some("Failed" | "Succeeded")) {
            self.status = "Terminating".to_owned();
        }
    }
}

struct SidecarRestarts {
    /// All init containers are done or running beside the others.
    finished: bool,
    count: i64,
    last: String,
}

fn initial_status(object: &Value) -> String {
    let gated = condition(object, "PodScheduled")
        .is_some_and(|condition| condition.str_at(&["reason"]) == Some("SchedulingGated"));
    if gated {
        return "SchedulingGated".to_owned();
    }
    let reason = print::text(object, &["status", "reason"]);
    if reason.is_empty() { print::text(object, &["status", "phase"]) } else { reason }
}

fn init_state(status: &Value, index: usize, count: usize) -> String {
    if let Some(ended) = status.at(&["state", "terminated"]).filter(|ended| !ended.is_null()) {
        return ended_text(ended);
    }
    match waiting_reason(status) {
        Some(reason) if reason != "PodInitializing" => reason.to_owned(),
        _ => format!("{index}/{count}"),
    }
}

fn waiting_reason(status: &Value) -> Option<&str> {
    status.str_at(&["state", "waiting", "reason"]).filter(|reason| !reason.is_empty())
}

/// How a container ended: its reason, else its signal, else its exit code.
fn ended_text(ended: &Value) -> String {
    match (ended.str_at(&["reason"]).unwrap_or_default(), print::int(ended, &["signal"])) {
        ("", 0) => format!("ExitCode:{}", print::int(ended, &["exitCode"])),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// Keeps the later of `last` and the time at which the container last ended.
/// RFC 3339 in UTC and whole seconds sorts as text.
fn later(last: &mut String, status: &Value) {
    let ended = status.str_at(&["lastState", "terminated", "finishedAt"]).unwrap_or_default();
    if ended > last.as_str() {
        *last = ended.to_owned();
    }
}

/// Finished pods say so beside their cells.
pub(super) fn row_condition(object: &Value) -> Option<RowCondition> {
    let (reason, message) = match object.str_at(&["status", "phase"])? {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(RowCondition { kind: "Completed", reason, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    fn pod(phase: &str, container: Option<Map>) -> Value {
        let mut object = Value::map();
        object.set(&["spec", "containers"], vec![Map::from([("name", "c")])]);
        object.set(&["status", "phase"], phase);
        if let Some(state) = container {
            let ready = state.contains_key("running");
            let status = Map::from([("state", Value::from(state)), ("ready", ready.into())]);
            object.set(&["status", "containerStatuses"], vec![status]);
        }
        object
    }

    fn state(name: &'static str, facts: Map) -> Option<Map> {
        Some(Map::from([(name, facts)]))
    }

    #[test]
    fn the_status_says_what_the_containers_do() {
        for (object, status) in [
            (pod("Pending", None), "Pending"),
            (pod("Running", state("running", Map::new())), "Running"),
            (
                pod("Pending", state("waiting", Map::from([("reason", "ImagePullBackOff")]))),
                "ImagePullBackOff",
            ),
            (pod("Succeeded", state("terminated", Map::from([("reason", "Completed")]))), "Completed"),
            (pod("Failed", state("terminated", Map::from([("exitCode", 3)]))), "ExitCode:3"),
            (pod("Failed", state("terminated", Map::from([("signal", 9)]))), "Signal:9"),
        ] {
            assert_eq!(Summary::of(&object).status, status);
        }
    }

    #[test]
    fn an_unfinished_init_container_comes_first() {
        let mut object = pod("Pending", None);
        object.set(&["spec", "initContainers"], vec![Map::from([("name", "i")])]);
        let running =
            Map::from([("name", Value::from("i")), ("state", Map::from([("running", Map::new())]).into())]);
        object.set(&["status", "initContainerStatuses"], vec![running]);
        assert_eq!(Summary::of(&object).status, "Init:0/1");
    }

    #[test]
    fn a_pod_that_goes_is_terminating() {
        let mut object = pod("Running", state("running", Map::new()));
        object.set(&["metadata", "deletionTimestamp"], "2024-01-01T00:00:00Z");
        let summary = Summary::of(&object);
        assert_eq!((summary.status.as_str(), summary.ready, summary.total), ("Terminating", 1, 1));
    }

    #[test]
    fn only_finished_pods_have_completed() {
        let reason = |phase| row_condition(&pod(phase, None)).map(|condition| condition.reason);
        assert_eq!(["Succeeded", "Failed", "Running"].map(reason), [Some("Succeeded"), Some("Failed"), None]);
    }

    #[test]
    fn gates_are_counted() {
        let mut object = pod("Running", None);
        let gate = |name| Map::from([("conditionType", name)]);
        object.set(&["spec", "readinessGates"], vec![gate("g"), gate("h")]);
        object.set(&["status", "conditions"], vec![Map::from([("type", "g"), ("status", "True")])]);
        assert_eq!(readiness_gates(&object), "1/2");
    }
}
