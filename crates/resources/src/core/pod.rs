//! `pods`: containers that run together on one node.
//!
//! Odd in many ways. A delete waits for the node. Most of the spec is fixed
//! from the start; some of it changes through subresources only. A pod held
//! back by scheduling gates says so in its conditions at once.

use std::sync::Arc;

use meta::options::DeleteOptions;
use meta::{FieldErrors, GroupVersionKind};
use registry::{
    Column, PrintContext, RequestContext, ResourceDef, RowCondition, StatusMetadata, Strategy, Subresource,
    UpdateKind,
};
use schema::{Map, Value};

use super::binding::Bind;
use super::{
    pod_condition, pod_print, pod_resources, pod_security, pod_spec_merge, pod_status, pod_update,
    pod_validation, pod_warnings,
};
use crate::policy::eviction::Evict;
use crate::{check, defaults, print};

/// `pods`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["po".into()],
        categories: vec!["all".into()],
        subresources: subresources(),
        actions: vec![("binding", Arc::new(Bind)), ("eviction", Arc::new(Evict))],
        columns: vec![
            Column::name(),
            Column::string("Ready"),
            Column::string("Status"),
            Column::string("Restarts"),
            Column::string("Age"),
            Column::string("IP").wide(),
            Column::string("Node").wide(),
            Column::string("Nominated Node").wide(),
            Column::string("Readiness Gates").wide(),
        ],
        selectable_fields: SELECTABLE.iter().map(|label| (*label).into()).collect(),
        generation: true,
        returns_deleted_object: true,
        repeats_metadata_validation: true,
        status_metadata: StatusMetadata::OwnersKept,
        ..ResourceDef::stored("", "v1", "pods", "Pod", Pod)
    }
}

fn subresources() -> Vec<Subresource> {
    let core = |kind: &'static str| GroupVersionKind::new("", "v1", kind);
    let part: &[&str] = &["get", "patch", "update"];
    let any: &[&str] = &["create", "delete", "get", "patch", "update"];
    vec![
        Subresource::connect("attach", core("PodAttachOptions"), &["create", "get"]),
        Subresource::action("binding", core("Binding")),
        Subresource::part("ephemeralcontainers", part),
        Subresource::action("eviction", GroupVersionKind::new("policy", "v1", "Eviction")),
        Subresource::connect("exec", core("PodExecOptions"), &["create", "get"]),
        Subresource::connect("log", core("Pod"), &["get"]),
        Subresource::connect("portforward", core("PodPortForwardOptions"), &["create", "get"]),
        Subresource::connect("proxy", core("PodProxyOptions"), any),
        Subresource::part("resize", part),
        Subresource::status(),
    ]
}

const SELECTABLE: [&str; 10] = [
    "spec.host",
    "spec.hostNetwork",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.nominatedNodeName",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];

struct Pod;

impl Strategy for Pod {
    fn only_fields(&self, kind: &UpdateKind) -> &'static [&'static [&'static str]] {
        match kind {
            UpdateKind::Part(part) if part == "ephemeralcontainers" => &[&["spec", "ephemeralContainers"]],
            UpdateKind::Part(part) if part == "resize" => &[
                &["spec", "containers", "*", "resources"],
                &["spec", "containers", "*", "resizePolicy"],
                &["spec", "initContainers", "*", "resources"],
                &["spec", "initContainers", "*", "resizePolicy"],
            ],
            UpdateKind::Main | UpdateKind::Status | UpdateKind::Part(_) => &[],
        }
    }

    fn default(&self, object: &mut Value) {
        defaults::pod::pod(defaults::ensure(object, "spec"));
        if let Some(status) = defaults::object(object, "status") {
            pod_ips(status);
        }
    }

    fn prepare_for_create(&self, context: &RequestContext, object: &mut Value) {
        let class = pod_resources::qos_class(object.at(&["spec"]));
        object.set(&["status"], Map::from([("phase", "Pending"), ("qosClass", class)]));
        if !object.list_at(&["spec", "schedulingGates"]).is_empty() {
            gated_condition(object, &check::now(context));
        }
        if let Some(spec) = defaults::object(object, "spec") {
            pod_spec_merge::drop_disabled_fields(spec);
        }
        pod_spec_merge::label_keys(object);
        pod_security::sync_apparmor(context, object);
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        pod_warnings::create(object)
    }

    fn prepare_for_status_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        // What the kubelet is told stays; deletion is not for a status to change.
        if let Some(class) = old.at(&["status", "qosClass"])
            && object.str_at(&["status", "qosClass"]).is_none_or(str::is_empty)
        {
            object.set(&["status", "qosClass"], class.clone());
        }
    }

    fn prepare_for_part_update(&self, part: &str, _: &RequestContext, object: &mut Value, old: &Value) {
        match part {
            "ephemeralcontainers" => pod_spec_merge::ephemeral_containers(object, old),
            "resize" => pod_spec_merge::resized(object, old),
            _ => {}
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        pod_validation::create(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        pod_update::update(object, old)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        pod_status::update(object, old)
    }

    fn validate_part_update(
        &self,
        part: &str,
        _: &RequestContext,
        object: &Value,
        old: &Value,
    ) -> FieldErrors {
        match part {
            "ephemeralcontainers" => pod_update::ephemeral_containers_update(object, old),
            "resize" => pod_update::resize(object, old),
            _ => Vec::new(),
        }
    }

    fn check_graceful_delete(&self, object: &Value, options: &mut DeleteOptions) -> bool {
        let asked = options.grace_period_seconds;
        let own = object.int_at(&["spec", "terminationGracePeriodSeconds"]);
        let mut seconds = asked.or(own).unwrap_or_default();
        // Nobody would ever report such a pod as gone.
        let nobody_waits = object.str_at(&["spec", "nodeName"]).is_none_or(str::is_empty)
            || matches!(object.str_at(&["status", "phase"]), Some("Failed" | "Succeeded"));
        if nobody_waits {
            seconds = 0;
        }
        if seconds < 0 {
            seconds = 1;
        }
        options.grace_period_seconds = Some(seconds);
        true
    }

    fn field(&self, object: &Value, label: &str) -> String {
        match label {
            "spec.nodeName" | "spec.host" => print::text(object, &["spec", "nodeName"]),
            "spec.restartPolicy" => print::text(object, &["spec", "restartPolicy"]),
            "spec.schedulerName" => print::text(object, &["spec", "schedulerName"]),
            "spec.serviceAccountName" => print::text(object, &["spec", "serviceAccountName"]),
            "spec.hostNetwork" => object.bool_at(&["spec", "hostNetwork"]).unwrap_or_default().to_string(),
            "status.phase" => print::text(object, &["status", "phase"]),
            "status.nominatedNodeName" => print::text(object, &["status", "nominatedNodeName"]),
            "status.podIP" => pod_print::first_ip(object).to_owned(),
            _ => String::new(),
        }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        pod_print::cells(object, print)
    }

    fn row_condition(&self, object: &Value) -> Option<RowCondition> {
        pod_print::row_condition(object)
    }
}

/// The single and the plural form of the pod's address name the same first address.
fn pod_ips(status: &mut Value) {
    let single = print::text(status, &["podIP"]);
    let first = status.list_at(&["podIPs"]).first().map(|ip| print::text(ip, &["ip"]));
    match first {
        None if !single.is_empty() => status.set(&["podIPs"], vec![Map::from([("ip", single)])]),
        Some(first) if single.is_empty() => status.set(&["podIP"], first),
        Some(first) if first != single => status.set(&["podIPs"], vec![Map::from([("ip", single)])]),
        _ => {}
    }
}

fn gated_condition(object: &mut Value, now: &str) {
    let condition = Map::from([
        ("type", "PodScheduled"),
        ("status", "False"),
        ("reason", "SchedulingGated"),
        ("message", "Scheduling is blocked due to non-empty scheduling gates"),
    ]);
    pod_condition::update(object, condition, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(node: &str, phase: &str) -> Value {
        let mut object = Value::map();
        object.set(&["spec", "nodeName"], node);
        object.set(&["spec", "terminationGracePeriodSeconds"], 30);
        object.set(&["status", "phase"], phase);
        object
    }

    /// A pod as a Deployment makes it: a side container, probes, amounts, volumes.
    const ORDINARY: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"ns","labels":{"app":"a"}},
        "spec":{"initContainers":[{"name":"i","image":"i:1","command":["sh","-c","true"]}],
        "containers":[{"name":"a","image":"a:1","ports":[{"name":"http","containerPort":8080}],
        "env":[{"name":"A","value":"1"},{"name":"N","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}],
        "resources":{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"cpu":"1","memory":"256Mi"}},
        "readinessProbe":{"httpGet":{"path":"/","port":"http"}},"livenessProbe":{"tcpSocket":{"port":8080}},
        "volumeMounts":[{"name":"c","mountPath":"/c"},{"name":"t","mountPath":"/t"}],
        "securityContext":{"runAsNonRoot":true,"capabilities":{"drop":["ALL"]}}},
        {"name":"b","image":"b:1","resources":{"requests":{"cpu":"10m"}}}],
        "volumes":[{"name":"c","configMap":{"name":"c"}},{"name":"t","emptyDir":{}}],
        "tolerations":[{"key":"k","operator":"Exists","effect":"NoSchedule"}],
        "affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"podAffinityTerm":
        {"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"a"}}}}]}}}}"#;

    /// `cargo test --release -p resources --lib -- --ignored --nocapture what_a_new_pod_costs`
    #[test]
    #[ignore = "prints a measurement, which needs a release build"]
    fn what_a_new_pod_costs() {
        const ROUNDS: u32 = 20_000;
        let ty = schema::builtin().kind("", "v1", "Pod").expect("a kind of the table");
        let context = crate::testing::context();
        let given = crate::testing::object(ORDINARY);
        let mut spent = [std::time::Duration::ZERO; 3];
        for _ in 0..ROUNDS {
            let mut object = given.clone();
            let start = std::time::Instant::now();
            schema::defaults::apply(schema::builtin(), ty, &mut object);
            Pod.default(&mut object);
            let defaulted = std::time::Instant::now();
            Pod.prepare_for_create(&context, &mut object);
            let prepared = std::time::Instant::now();
            let errors = Pod.validate(&context, &object);
            assert!(errors.is_empty(), "{errors:?}");
            assert!(Pod.warnings_on_create(&context, &object).is_empty());
            spent[0] += defaulted - start;
            spent[1] += prepared - defaulted;
            spent[2] += prepared.elapsed();
        }
        let [defaults, preparation, validation] = spent.map(|it| it / ROUNDS);
        println!(
            "defaults {defaults:?}, preparation {preparation:?}, validation and warnings {validation:?}"
        );
    }

    #[test]
    fn a_delete_waits_only_for_a_node_that_runs_the_pod() {
        for (node, phase, asked, seconds) in [
            ("n", "Running", None, 30),
            ("n", "Running", Some(5), 5),
            ("n", "Running", Some(-5), 1),
            ("", "Pending", None, 0),
            ("n", "Succeeded", Some(5), 0),
        ] {
            let mut options = DeleteOptions { grace_period_seconds: asked, ..DeleteOptions::default() };
            assert!(Pod.check_graceful_delete(&pod(node, phase), &mut options));
            assert_eq!(options.grace_period_seconds, Some(seconds), "{node} {phase} {asked:?}");
        }
    }

    #[test]
    fn one_address_and_the_list_of_addresses_agree() {
        let mut status = Value::from(Map::from([("podIP", "10.1.1.1")]));
        pod_ips(&mut status);
        assert_eq!(status.list_at(&["podIPs"])[0].str_at(&["ip"]), Some("10.1.1.1"));
    }
}
