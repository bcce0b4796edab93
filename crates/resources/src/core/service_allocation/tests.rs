//! Services over a store in memory: what they are given, what is refused, and
//! what comes back.

use std::collections::BTreeSet;

use futures::future::join_all;
use meta::ResourceVersion;
use meta::options::{ListOptions, Preconditions};
use registry::{Deleted, Outcome, ResourceDef, StoreConfig, UpdateKind, UpdatedObject};
use storage::{BuiltinCodec, Identity, LeaseOptions, Model, ObjectStore, ObjectStoreConfig, UpdateRequest};

use super::repair::Leaks;
use super::*;
use crate::testing::object;
use crate::{core, networking};

/// A server's services, and what they are made of.
struct Server {
    services: Arc<Store>,
    addresses: Arc<Store>,
    allocator: ServiceAllocator,
    environment: Environment,
}

fn storage_of(
    backend: &Arc<Model>,
    environment: &Environment,
    kind: [&str; 3],
    prefix: &str,
) -> Arc<dyn Storage> {
    let [group, version, kind] = kind;
    let codec = BuiltinCodec::new(schema::builtin(), group, version, kind).expect("a built-in kind");
    let config = ObjectStoreConfig {
        backend: backend.clone(),
        environment: environment.clone(),
        path_prefix: "/registry".into(),
        resource_prefix: format!("/{prefix}"),
        group_resource: meta::GroupResource::new("", ""),
        codec: Arc::new(codec),
        transformer: Arc::new(Identity),
        leases: LeaseOptions::default(),
        compactor: None,
        allow_unsafe_deletion: false,
    };
    Arc::new(ObjectStore::new(config).expect("a good prefix"))
}

fn store(backend: &Arc<Model>, environment: &Environment, definition: ResourceDef) -> Arc<Store> {
    let stored = definition.storage().expect("a stored resource").clone();
    let names = [&*stored.kind.group, &*stored.kind.version, &*stored.kind.kind];
    Arc::new(Store::new(StoreConfig {
        storage: storage_of(backend, environment, names, &stored.prefix),
        schema: schema::builtin().into(),
        stored_ty: schema::builtin().kind(names[0], names[1], names[2]).expect("a built-in kind"),
        delete_collection_workers: 1,
        garbage_collection: false,
        definition: Arc::new(definition),
    }))
}

impl Server {
    async fn start(ranges: &[&str], ports: &str) -> Server {
        let environment = environment::real::environment();
        let backend = Arc::new(Model::new(&environment));
        Server::start_on(&backend, environment, ranges, ports).await
    }

    async fn start_on(
        backend: &Arc<Model>,
        environment: Environment,
        ranges: &[&str],
        ports: &str,
    ) -> Server {
        let addresses = store(backend, &environment, networking::ip_address::definition());
        let range_allocations = storage_of(backend, &environment, ["", "v1", "RangeAllocation"], "ranges");
        let allocator = ServiceAllocator::new(ServiceAllocatorConfig {
            cluster_ip_ranges: ranges.iter().map(|range| range.parse().expect("a range")).collect(),
            node_port_range: PortRange::parse(ports).expect("a range"),
            ip_addresses: addresses.clone(),
            service_cidrs: store(backend, &environment, networking::service_cidr::definition()),
            endpoints: store(backend, &environment, core::endpoints::definition()),
            services: storage_of(backend, &environment, ["", "v1", "Service"], "services/specs"),
            range_allocations,
            environment: environment.clone(),
        });
        let definition =
            ResourceDef { allocator: Some(Arc::new(allocator.clone())), ..core::service::definition() };
        let services = store(backend, &environment, definition);
        allocator.make_default_range().await.expect("a default range");
        allocator.report_default_range().await.expect("a status");
        allocator.prepare().await.expect("a port range");
        Server { services, addresses, allocator, environment }
    }

    fn context(&self, name: &str) -> RequestContext {
        internal_context(&self.environment, &self.services, "ns", name)
    }

    async fn create(&self, name: &str, spec: &str) -> Result<Value, ApiError> {
        self.create_with(name, spec, &WriteOptions::default()).await
    }

    async fn create_with(&self, name: &str, spec: &str, options: &WriteOptions) -> Result<Value, ApiError> {
        let mut service = object(&format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{spec}}}"#));
        self.services.fill_defaults(&mut service);
        self.tree(self.services.create(&self.context(name), service, options).await?)
    }

    async fn change(&self, name: &str, set: &[(&'static str, Value)]) -> Result<Value, ApiError> {
        let mut change = Change(set.to_vec(), self.services.clone());
        let (context, options) = (self.context(name), WriteOptions::default());
        let update = self.services.update(&context, name, UpdateKind::Main, &mut change, &options, false);
        self.tree(update.await?.0)
    }

    async fn delete(&self, name: &str) -> Deleted {
        self.services.delete(&self.context(name), name, DeleteOptions::default()).await.expect("deleted")
    }

    fn tree(&self, outcome: Outcome) -> Result<Value, ApiError> {
        match outcome {
            Outcome::Stored(object) => self.services.decode(&object),
            Outcome::Tree(tree) => Ok(tree),
        }
    }

    async fn held(&self) -> BTreeSet<String> {
        let context = internal_context(&self.environment, &self.addresses, "", "");
        let list = self.addresses.list(&context, &ListOptions::default()).await.expect("a list");
        let name = |address: Value| ObjectMeta::of(&address).name().to_owned();
        list.items.map(|address| name(self.addresses.decode(&address).expect("decodes"))).collect()
    }

    async fn ports(&self) -> Vec<i64> {
        self.allocator.inner.ports.read().await.expect("a range").1.ports().collect()
    }
}

/// Sets fields of the spec; null removes one.
struct Change(Vec<(&'static str, Value)>, Arc<Store>);

#[async_trait]
impl UpdatedObject for Change {
    fn preconditions(&self) -> Preconditions {
        Preconditions::default()
    }

    async fn updated(&mut self, _: &RequestContext, old: &Value) -> Result<Value, ApiError> {
        let mut object = old.clone();
        for (field, value) in &self.0 {
            match value {
                Value::Null => drop(object.remove(&["spec", field])),
                value => object.set(&["spec", field], value.clone()),
            }
        }
        self.1.fill_defaults(&mut object);
        Ok(object)
    }
}

fn node_ports(service: &Value) -> Vec<i64> {
    let ports = service.list_at(&["spec", "ports"]).iter();
    ports.filter_map(|port| port.int_at(&["nodePort"])).collect()
}

fn faults(error: ApiError) -> Vec<String> {
    match error {
        ApiError::Invalid { errors, .. } => errors.iter().map(ToString::to_string).collect(),
        other => vec![other.to_string()],
    }
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

const PLAIN: &str = r#"{"ports":[{"port":80}]}"#;
const NODE_PORT: &str = r#"{"type":"NodePort","ports":[{"port":80}]}"#;

#[tokio::test]
async fn a_service_gets_an_address_and_the_object_that_holds_it() {
    let server = Server::start(&["10.0.0.0/24"], "30000-32767").await;
    let service = server.create("a", PLAIN).await.expect("created");
    let ip = service.str_at(&["spec", "clusterIP"]).expect("an address").to_owned();
    assert_eq!(families::cluster_ips(&service), [&*ip]);
    assert_eq!(service.str_at(&["spec", "ipFamilyPolicy"]), Some("SingleStack"));
    let held = server.addresses.find("", &ip).await.expect("read").expect("held");
    assert!(Owner { namespace: "ns".into(), name: "a".into() }.holds(&held));
    let label = |key| held.str_at(&["metadata", "labels", key]);
    assert_eq!(label("ipaddress.kubernetes.io/ip-family"), Some("IPv4"));
    assert_eq!(label("ipaddress.kubernetes.io/managed-by"), Some("ipallocator.k8s.io"));
    server.delete("a").await;
    assert_eq!(server.held().await, set(&[]));
}

#[tokio::test]
async fn addresses_asked_for_are_given_once_and_from_the_range() {
    let server = Server::start(&["10.0.0.0/24"], "30000-32767").await;
    let spec = |ip: &str| format!(r#"{{"clusterIP":"{ip}","ports":[{{"port":80}}]}}"#);
    server.create("a", &spec("10.0.0.12")).await.expect("free");
    for (ip, reason) in [
        ("10.0.0.12", "provided IP is already allocated"),
        ("10.0.0.255", "the provided network does not match the current range"),
        ("10.7.0.1", "the provided network does not match the current range"),
    ] {
        let error = server.create("b", &spec(ip)).await.expect_err("refused");
        let expected =
            format!("spec.clusterIPs: Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: {reason}");
        assert_eq!(faults(error), [expected]);
    }
    let dry = WriteOptions { dry_run: true, ..WriteOptions::default() };
    server.create_with("b", &spec("10.0.0.12"), &dry).await.expect("a dry run does not look");
    assert_eq!(server.held().await, set(&["10.0.0.12"]));
}

#[tokio::test]
async fn a_failed_create_gives_back_what_it_took() {
    let server = Server::start(&["10.0.0.0/24"], "30000-32767").await;
    server.create("a", r#"{"clusterIP":"10.0.0.5","ports":[{"port":80}]}"#).await.expect("created");
    server.create("a", NODE_PORT).await.expect_err("the name is taken");
    let invalid = r#"{"type":"NodePort","ports":[{"port":0}]}"#;
    server.create("b", invalid).await.expect_err("no such port");
    let taken = r#"{"type":"NodePort","ports":[{"port":80,"nodePort":1}]}"#;
    server.create("b", taken).await.expect_err("outside of the range");
    assert_eq!(server.held().await, set(&["10.0.0.5"]));
    assert_eq!(server.ports().await, Vec::<i64>::new());
}

#[tokio::test]
async fn many_creates_at_once_get_each_their_own() {
    let server = Server::start(&["10.0.0.0/26"], "30000-30059").await;
    let names: Vec<String> = (0..60).map(|i| format!("s{i}")).collect();
    let created = join_all(names.iter().map(|name| server.create(name, NODE_PORT))).await;
    let created: Vec<Value> = created.into_iter().map(|service| service.expect("created")).collect();
    let ips: BTreeSet<&str> = created.iter().flat_map(families::cluster_ips).collect();
    let ports: BTreeSet<i64> = created.iter().flat_map(node_ports).collect();
    assert_eq!((ips.len(), ports.len()), (60, 60));
    let error = server.create("more", NODE_PORT).await.expect_err("no port is left");
    assert_eq!(error.to_string(), "Internal error occurred: failed to allocate a nodePort: range is full");
    assert_eq!(server.held().await.len(), 60, "the address of the refused service is given back");
    server.create("x", PLAIN).await.expect("62 addresses");
    server.create("y", PLAIN).await.expect("62 addresses");
    let error = server.create("z", PLAIN).await.expect_err("no address is left");
    assert_eq!(error.to_string(), "Internal error occurred: failed to allocate a serviceIP: range is full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_one_store_never_give_out_the_same() {
    let environment = environment::real::environment();
    let backend = Arc::new(Model::new(&environment));
    let mut tasks = Vec::new();
    for server in 0..2 {
        let started = Server::start_on(&backend, environment.clone(), &["10.0.0.0/24"], "30000-30100").await;
        let started = Arc::new(started);
        for i in 0..25 {
            let this = started.clone();
            tasks.push(tokio::spawn(async move { this.create(&format!("s{server}-{i}"), NODE_PORT).await }));
        }
    }
    let created: Vec<Value> =
        join_all(tasks).await.into_iter().map(|done| done.expect("ended").expect("created")).collect();
    let ips: BTreeSet<&str> = created.iter().flat_map(families::cluster_ips).collect();
    let ports: BTreeSet<i64> = created.iter().flat_map(node_ports).collect();
    assert_eq!((ips.len(), ports.len()), (50, 50));
}

#[tokio::test]
async fn ports_over_several_protocols_share_a_number_others_do_not() {
    let server = Server::start(&["10.0.0.0/24"], "30000-32767").await;
    let spec = |first: i64, second: i64, protocol: &str| {
        format!(
            r#"{{"type":"NodePort","ports":[{{"name":"a","port":53,"protocol":"UDP","nodePort":{first}}},
            {{"name":"b","port":{second},"protocol":"{protocol}","nodePort":{first}}}]}}"#
        )
    };
    let shared = server.create("a", &spec(0, 53, "TCP")).await.expect("created");
    let ports = node_ports(&shared);
    assert_eq!(ports[0], ports[1]);
    let error = server.create("b", &spec(30023, 81, "UDP")).await.expect_err("one port twice");
    assert_eq!(
        faults(error),
        ["spec.ports[1].nodePort: Invalid value: 30023: provided port is already allocated"]
    );
    server.delete("a").await;
    assert_eq!(server.ports().await, Vec::<i64>::new());
}

#[tokio::test]
async fn a_change_of_type_takes_and_gives_back() {
    let server = Server::start(&["10.0.0.0/24"], "30000-32767").await;
    let service = server.create("a", NODE_PORT).await.expect("created");
    assert_eq!(server.ports().await, node_ports(&service));
    let plain = server.change("a", &[("type", "ClusterIP".into())]).await.expect("changed");
    assert_eq!(node_ports(&plain), Vec::<i64>::new());
    assert_eq!(server.ports().await, Vec::<i64>::new());

    let named = [("type", "ExternalName".into()), ("externalName", "x.example".into())];
    server.change("a", &named).await.expect("changed");
    assert_eq!(server.held().await, set(&[]));

    let balanced = [("type", "LoadBalancer".into()), ("externalTrafficPolicy", "Local".into())];
    let balanced = server.change("a", &balanced).await.expect("changed");
    let health = balanced.int_at(&["spec", "healthCheckNodePort"]).expect("a port for health checks");
    let mut taken = node_ports(&balanced);
    taken.push(health);
    taken.sort_unstable();
    assert_eq!(server.ports().await, taken);
    assert_eq!(server.held().await.len(), 1);

    let cluster = server.change("a", &[("externalTrafficPolicy", "Cluster".into())]).await.expect("changed");
    assert_eq!(cluster.int_at(&["spec", "healthCheckNodePort"]), None);
    assert_eq!(server.ports().await, node_ports(&cluster));
}

#[tokio::test]
async fn a_refused_change_takes_nothing_and_gives_up_nothing() {
    let server = Server::start(&["10.0.0.0/24"], "30000-32767").await;
    let service = server.create("a", NODE_PORT).await.expect("created");
    let before = (server.held().await, server.ports().await);
    let port =
        |number: i64, node: i64| -> Value { object(&format!(r#"[{{"port":{number},"nodePort":{node}}}]"#)) };
    server.change("a", &[("ports", port(0, 30500))]).await.expect_err("no such port");
    server.change("a", &[("clusterIP", "None".into())]).await.expect_err("it stays");
    assert_eq!((server.held().await, server.ports().await), before);
    let kept = server.change("a", &[("ports", object(r#"[{"port":81}]"#))]).await.expect("changed");
    assert_eq!(node_ports(&kept), node_ports(&service), "left out, it is kept");
    server.change("a", &[("ports", port(81, 30500))]).await.expect("changed");
    assert_eq!(server.ports().await, [30500]);
}

#[tokio::test]
async fn two_families_are_two_addresses_that_come_and_go() {
    let server = Server::start(&["10.0.0.0/24", "fd00::/112"], "30000-32767").await;
    let service = server.create("a", PLAIN).await.expect("created");
    assert_eq!(server.held().await.len(), 1);
    let both = server.change("a", &[("ipFamilyPolicy", "RequireDualStack".into())]).await.expect("changed");
    let ips = families::cluster_ips(&both);
    assert_eq!(ips[0], families::cluster_ips(&service)[0]);
    assert!(ips[1].starts_with("fd00::"));
    assert_eq!(server.held().await, set(&ips));
    let one = server.change("a", &[("ipFamilyPolicy", "SingleStack".into())]).await.expect("changed");
    assert_eq!(families::cluster_ips(&one), families::cluster_ips(&service));
    assert_eq!(server.held().await, set(&families::cluster_ips(&one)));

    let asked = r#"{"clusterIP":"fd00::5","clusterIPs":["fd00::5","10.0.0.5"],"ipFamilyPolicy":"RequireDualStack",
        "ports":[{"port":80}]}"#;
    let asked = server.create("b", asked).await.expect("created");
    assert_eq!(families::families(&asked), [Family::V6, Family::V4]);
    let half = r#"{"clusterIP":"fd00::6","clusterIPs":["fd00::6","10.0.0.5"],"ipFamilyPolicy":"RequireDualStack",
        "ports":[{"port":80}]}"#;
    server.create("c", half).await.expect_err("the second is taken");
    assert!(!server.held().await.contains("fd00::6"), "then the first is given back");
}

#[tokio::test]
async fn a_dry_run_takes_nothing() {
    let server = Server::start(&["10.0.0.0/24"], "30000-32767").await;
    let dry = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let service = server.create_with("a", NODE_PORT, &dry).await.expect("would be created");
    assert_eq!((families::cluster_ips(&service), node_ports(&service)), (vec!["10.0.0.0"], vec![32769]));
    assert_eq!((server.held().await, server.ports().await), (set(&[]), Vec::new()));
}

#[tokio::test]
async fn a_repair_holds_what_services_have_and_lets_go_what_was_long_lost() {
    let server = Server::start(&["10.0.0.0/24"], "30000-32767").await;
    let service = server.create("a", NODE_PORT).await.expect("created");
    let ip = families::cluster_ips(&service)[0].to_owned();
    let held = server.addresses.find("", &ip).await.expect("read").expect("held");
    server.allocator.inner.ips.drop_address(&held).await.expect("dropped");
    server.allocator.inner.ports.release(&node_ports(&service)).await;
    let lost = Owner { namespace: "ns".into(), name: "gone".into() };
    server.allocator.inner.ips.hold([10, 0, 0, 9].into(), &lost).await.expect("held");
    let leaked = object(r#"{"spec":{"type":"NodePort","ports":[{"port":1,"nodePort":30007}]}}"#);
    server.allocator.inner.ports.reserve(&mut leaked.clone(), None, false).await.expect("taken");

    let mut leaks = Leaks::default();
    let mut both = node_ports(&service);
    both.push(30007);
    both.sort_unstable();
    for _ in 0..3 {
        server.allocator.repair(&mut leaks).await.expect("repaired");
        assert_eq!(server.ports().await, both);
    }
    server.allocator.repair(&mut leaks).await.expect("repaired");
    assert_eq!(server.ports().await, node_ports(&service));
    assert_eq!(server.held().await, set(&["10.0.0.9", &ip]), "what is lost may be on its way yet");

    let key = "/ipaddresses/10.0.0.9";
    let mut age = |mut address: Value, _: meta::Revision| {
        address.set(&["metadata", "creationTimestamp"], "2020-01-01T00:00:00Z");
        Ok((address, None))
    };
    let request = UpdateRequest {
        ignore_not_found: false,
        preconditions: Preconditions::default(),
        hint: None,
        try_update: &mut age,
    };
    server.addresses.storage().guaranteed_update(key, request).await.expect("aged");
    server.allocator.repair(&mut leaks).await.expect("repaired");
    assert_eq!(server.held().await, set(&[&ip]));
}

#[tokio::test]
async fn another_range_of_ports_keeps_those_that_services_have() {
    let environment = environment::real::environment();
    let backend = Arc::new(Model::new(&environment));
    let ranges = ["10.0.0.0/24"];
    let server = Server::start_on(&backend, environment.clone(), &ranges, "30000-30100").await;
    let spec = |port: i64| format!(r#"{{"type":"NodePort","ports":[{{"port":80,"nodePort":{port}}}]}}"#);
    server.create("a", &spec(30001)).await.expect("created");
    server.create("b", &spec(30090)).await.expect("created");
    let server = Server::start_on(&backend, environment, &ranges, "30050-30200").await;
    assert_eq!(server.ports().await, [30090]);
    server.create("c", &spec(30090)).await.expect_err("taken");
    server.create("c", &spec(30150)).await.expect("in the new range");
}

#[tokio::test]
async fn the_default_range_is_told_to_be_ready() {
    let server = Server::start(&["10.0.0.0/24"], "30000-32767").await;
    let ranges = &server.allocator.inner.ips.ranges;
    let range = ranges.storage().get("/servicecidrs/kubernetes", &ResourceVersion::default()).await;
    let range = ranges.decode(&range.expect("read").expect("there")).expect("decodes");
    let condition = &range.list_at(&["status", "conditions"])[0];
    assert_eq!(condition.str_at(&["type"]), Some("Ready"));
    assert_eq!(condition.str_at(&["message"]), Some("Kubernetes default Service CIDR is ready"));
    assert_eq!(server.allocator.first_ip(), Some([10, 0, 0, 1].into()));
}
