//! What every cluster has from its first moment: the system namespaces, the
//! Service `default/kubernetes`, the system priority classes, priority levels and
//! flow schemas, and an APIService per group version.
//!
//! Runs at every start and makes only what is missing, so that an
//! administrator's changes stay.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use futures::try_join;
use meta::ApiError;
use meta::options::{GetOptions, Preconditions, WriteOptions};
use registry::{RequestContext, Served, ServedResource, UpdateKind, UpdatedObject};
use resources::core::service_allocation::ServiceAllocator;
use resources::flowcontrol;
use schema::{Map, Value};

/// Owner of the fields of what the server makes itself.
const FIELD_MANAGER: &str = "kube-apiserver";

/// Namespaces that are always there.
pub const SYSTEM_NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Makes what is missing. `context` makes the context of each request.
pub async fn bootstrap(
    served: &Served,
    services: &ServiceAllocator,
    address: SocketAddr,
    context: impl Fn() -> RequestContext,
) -> Result<(), ApiError> {
    let namespaces = SYSTEM_NAMESPACES.map(|name| ("", "v1", "namespaces", "", namespace(name)));
    // Services need namespaces, a range and a record of ports.
    try_join!(make(served, &context, namespaces), services.make_default_range(), services.prepare())?;
    let rest = [
        ("", "v1", "services", "default", kubernetes_service(address.port(), services.first_ip())),
        (
            "scheduling.k8s.io",
            "v1",
            "priorityclasses",
            "",
            priority_class("system-cluster-critical", 2_000_000_000, CLUSTER_CRITICAL),
        ),
        (
            "scheduling.k8s.io",
            "v1",
            "priorityclasses",
            "",
            priority_class("system-node-critical", 2_000_001_000, NODE_CRITICAL),
        ),
    ];
    let levels = flowcontrol::bootstrap::priority_levels()
        .map(|level| (FLOW_CONTROL, "v1", "prioritylevelconfigurations", "", level));
    let schemas = flowcontrol::bootstrap::flow_schemas();
    let wanted = schemas.iter().map(|schema| (FLOW_CONTROL, "v1", "flowschemas", "", schema.clone()));
    let rest = rest.into_iter().chain(api_services(served)).chain(levels).chain(wanted);
    try_join!(make(served, &context, rest), services.report_default_range())?;
    report_found(served, &context, &schemas).await
}

const FLOW_CONTROL: &str = "flowcontrol.apiserver.k8s.io";

/// Says in the status of flow schemas that their priority levels are there, unless it says something already.
async fn report_found(
    served: &Served,
    context: &impl Fn() -> RequestContext,
    schemas: &[Value],
) -> Result<(), ApiError> {
    let Some(resource) = served.lookup(FLOW_CONTROL, "v1", "flowschemas") else { return Ok(()) };
    let Some(store) = &resource.store else { return Ok(()) };
    let updates = schemas.iter().map(|schema| {
        let mut context = context();
        context.resource = resource.definition.group_resource();
        context.version = resource.definition.version.to_string();
        context.verb = "update".to_owned();
        context.name = schema.str_at(&["metadata", "name"]).unwrap_or_default().to_owned();
        async move {
            let mut found = Found { status: found(schema, &context) };
            let options =
                WriteOptions { field_manager: FLOW_CONTROL_MANAGER.to_owned(), ..WriteOptions::default() };
            let name = context.name.clone();
            match store.update(&context, &name, UpdateKind::Status, &mut found, &options, false).await {
                Ok(_) | Err(ApiError::NotFound { .. } | ApiError::Conflict { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        }
    });
    try_join_all(updates).await.map(drop)
}

/// Owner of the status of flow schemas.
const FLOW_CONTROL_MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

/// The status of a flow schema whose priority level is there, as it was made just now.
fn found(schema: &Value, context: &RequestContext) -> Value {
    let level = schema.str_at(&["spec", "priorityLevelConfiguration", "name"]).unwrap_or_default();
    let now = meta::time::rfc3339(context.environment.clock.now());
    let message = format!(
        "This FlowSchema references the PriorityLevelConfiguration object named \"{level}\" and it exists"
    );
    let condition = Map::from([
        ("lastTransitionTime", Value::from(now)),
        ("message", message.into()),
        ("reason", "Found".into()),
        ("status", "False".into()),
        ("type", "Dangling".into()),
    ]);
    Map::from([("conditions", vec![condition])]).into()
}

/// A status for an object that has none yet.
struct Found {
    status: Value,
}

#[async_trait]
impl UpdatedObject for Found {
    fn preconditions(&self) -> Preconditions {
        Preconditions::default()
    }

    async fn updated(&mut self, _: &RequestContext, old: &Value) -> Result<Value, ApiError> {
        let mut object = old.clone();
        if object.list_at(&["status", "conditions"]).is_empty() {
            object.set(&["status"], self.status.clone());
        }
        Ok(object)
    }
}

/// How clients that look for the best group and version rank those served:
/// group priority and version priority, as the original's aggregator has them.
const API_SERVICE_PRIORITIES: &[(&str, &str, i64, i64)] = &[
    ("", "v1", 18000, 1),
    ("admissionregistration.k8s.io", "v1", 16700, 15),
    ("admissionregistration.k8s.io", "v1alpha1", 16700, 9),
    ("admissionregistration.k8s.io", "v1beta1", 16700, 12),
    ("apiextensions.k8s.io", "v1", 16700, 15),
    ("apps", "v1", 17800, 15),
    ("authentication.k8s.io", "v1", 17700, 15),
    ("authorization.k8s.io", "v1", 17600, 15),
    ("autoscaling", "v1", 17500, 15),
    ("autoscaling", "v2", 17500, 30),
    ("batch", "v1", 17400, 15),
    ("certificates.k8s.io", "v1", 17300, 15),
    ("certificates.k8s.io", "v1alpha1", 17300, 1),
    ("certificates.k8s.io", "v1beta1", 17300, 9),
    ("coordination.k8s.io", "v1", 16500, 15),
    ("coordination.k8s.io", "v1alpha2", 16500, 12),
    ("coordination.k8s.io", "v1beta1", 16500, 13),
    ("discovery.k8s.io", "v1", 16200, 15),
    ("events.k8s.io", "v1", 17750, 15),
    ("flowcontrol.apiserver.k8s.io", "v1", 16100, 21),
    ("internal.apiserver.k8s.io", "v1alpha1", 16000, 9),
    ("networking.k8s.io", "v1", 17200, 15),
    ("networking.k8s.io", "v1beta1", 17200, 9),
    ("node.k8s.io", "v1", 16300, 15),
    ("policy", "v1", 17100, 15),
    ("rbac.authorization.k8s.io", "v1", 17000, 15),
    ("resource.k8s.io", "v1", 16200, 15),
    ("resource.k8s.io", "v1alpha3", 16200, 1),
    ("resource.k8s.io", "v1beta1", 16200, 9),
    ("resource.k8s.io", "v1beta2", 16200, 12),
    ("scheduling.k8s.io", "v1", 16600, 15),
    ("scheduling.k8s.io", "v1alpha2", 16600, 9),
    ("storage.k8s.io", "v1", 16800, 15),
    ("storage.k8s.io", "v1beta1", 16800, 12),
    ("storagemigration.k8s.io", "v1beta1", 15800, 9),
];

/// One APIService per group version that this server answers itself, except
/// the aggregator's own.
fn api_services(served: &Served) -> impl Iterator<Item = Wanted> {
    let known =
        API_SERVICE_PRIORITIES.iter().filter(|(group, version, ..)| served.version(group, version).is_some());
    known.map(|&(group, version, group_priority, version_priority)| {
        let mut service = object("apiregistration.k8s.io/v1", "APIService", &format!("{version}.{group}"));
        service.set(
            &["metadata", "labels"],
            Map::from([("kube-aggregator.kubernetes.io/automanaged", "onstart")]),
        );
        if !group.is_empty() {
            service.set(&["spec", "group"], group);
        }
        service.set(&["spec", "version"], version);
        service.set(&["spec", "groupPriorityMinimum"], group_priority);
        service.set(&["spec", "versionPriority"], version_priority);
        ("apiregistration.k8s.io", "v1", "apiservices", "", service)
    })
}

const CLUSTER_CRITICAL: &str = "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.";
const NODE_CRITICAL: &str = "Used for system critical pods that must not be moved from their current node.";

/// Group, version, resource, namespace, object.
type Wanted = (&'static str, &'static str, &'static str, &'static str, Value);

/// All at once, so that they share a sync.
async fn make(
    served: &Served,
    context: &impl Fn() -> RequestContext,
    wanted: impl IntoIterator<Item = Wanted>,
) -> Result<(), ApiError> {
    let creates = wanted.into_iter().filter_map(|(group, version, resource, namespace, object)| {
        let resource = served.lookup(group, version, resource)?;
        let mut context = context();
        context.namespace = namespace.to_owned();
        context.resource = resource.definition.group_resource();
        context.version = version.to_owned();
        Some(make_one(resource, context, object))
    });
    try_join_all(creates).await.map(drop)
}

async fn make_one(
    resource: Arc<ServedResource>,
    mut context: RequestContext,
    mut object: Value,
) -> Result<(), ApiError> {
    let Some(store) = &resource.store else { return Ok(()) };
    let name = object.str_at(&["metadata", "name"]).unwrap_or_default().to_owned();
    context.name.clone_from(&name);
    context.verb = "create".to_owned();
    match store.get(&context, &name, &GetOptions::default()).await {
        Err(ApiError::NotFound { .. }) => {}
        other => return other.map(drop),
    }
    schema::defaults::apply(&resource.schema, resource.stored_ty, &mut object);
    resource.definition.strategy.default(&mut object);
    let options = WriteOptions {
        field_manager: "kube-apiserver".to_owned(),
        ..WriteOptions { field_manager: FIELD_MANAGER.to_owned(), ..WriteOptions::default() }
    };
    match store.create(&context, object, &options).await {
        // Another server on the same store was faster.
        Err(ApiError::AlreadyExists { .. }) => Ok(()),
        other => other.map(drop),
    }
}

fn object(api_version: &str, kind: &str, name: &str) -> Value {
    let mut object = Value::map();
    object.set(&["apiVersion"], api_version);
    object.set(&["kind"], kind);
    object.set(&["metadata", "name"], name);
    object
}

fn namespace(name: &str) -> Value {
    object("v1", "Namespace", name)
}

/// `address` is the first of the range; policy and families follow from it.
fn kubernetes_service(port: u16, address: Option<IpAddr>) -> Value {
    let mut service = object("v1", "Service", "kubernetes");
    service.set(&["metadata", "namespace"], "default");
    service.set(&["metadata", "labels"], Map::from([("component", "apiserver"), ("provider", "kubernetes")]));
    let https = Map::from([
        ("name", Value::from("https")),
        ("port", 443.into()),
        ("protocol", "TCP".into()),
        ("targetPort", i32::from(port).into()),
    ]);
    service.set(&["spec", "ports"], [https]);
    if let Some(address) = address {
        service.set(&["spec", "clusterIP"], address.to_string());
    }
    service.set(&["spec", "type"], "ClusterIP");
    service.set(&["spec", "sessionAffinity"], "None");
    service
}

fn priority_class(name: &str, value: i64, description: &str) -> Value {
    let mut class = object("scheduling.k8s.io/v1", "PriorityClass", name);
    class.set(&["value"], value);
    class.set(&["description"], description);
    class
}
