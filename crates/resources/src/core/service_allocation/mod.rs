//! Addresses and node ports of services: [`ServiceAllocator`], which takes
//! them before a service is written and gives them back when it is not, no
//! longer needs them, or is gone.
//!
//! What is taken: cluster IPs as IPAddress objects (`cluster_ips`), node ports
//! in one RangeAllocation (`node_ports`). `families` decides what a service is
//! for, `repair` finds what was lost on the way.

mod address_range;
mod cluster_ips;
mod default_range;
mod families;
mod node_ports;
mod port_bitmap;
mod repair;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use environment::Environment;
use ipnet::IpNet;
use meta::options::{DeleteOptions, WriteOptions};
use meta::{ApiError, FieldError, FieldPath, GroupKind, ObjectMeta};
use registry::{
    Allocation, Allocator, AuthorizationAttributes, Authorizer, Decision, NoAdmission, RequestContext, Store,
    UserInfo,
};
use schema::Value;
use storage::Storage;

use self::address_range::AddressRange;
use self::cluster_ips::{ClusterIps, IpError, Owner};
use self::node_ports::{NodePorts, PortChange, ports_of};

pub use self::families::Family;
pub use self::port_bitmap::PortRange;
pub use self::repair::Repairs;

/// What a [`ServiceAllocator`] is made of.
pub struct ServiceAllocatorConfig {
    /// `--service-cluster-ip-range`: one range, or one of each family, the default family first.
    pub cluster_ip_ranges: Vec<IpNet>,
    /// `--service-node-port-range`
    pub node_port_range: PortRange,
    /// IPAddresses.
    pub ip_addresses: Arc<Store>,
    /// ServiceCIDRs.
    pub service_cidrs: Arc<Store>,
    /// Endpoints, which are deleted with their service.
    pub endpoints: Arc<Store>,
    /// Services, read by repairs.
    pub services: Arc<dyn Storage>,
    /// RangeAllocations, below `/ranges`.
    pub range_allocations: Arc<dyn Storage>,
    /// Clock, randomness, tasks.
    pub environment: Environment,
}

/// Hands out addresses and node ports. Cheap to clone.
#[derive(Clone)]
pub struct ServiceAllocator {
    inner: Arc<Inner>,
}

struct Inner {
    cluster_ip_ranges: Vec<IpNet>,
    families: Vec<Family>,
    ips: ClusterIps,
    ports: NodePorts,
    endpoints: Arc<Store>,
    services: Arc<dyn Storage>,
    environment: Environment,
}

impl ServiceAllocator {
    /// Touches nothing yet: before services are written, [`ServiceAllocator::prepare`] must have been called.
    pub fn new(config: ServiceAllocatorConfig) -> ServiceAllocator {
        let environment = config.environment;
        let inner = Inner {
            families: config.cluster_ip_ranges.iter().map(|range| Family::of(range.addr())).collect(),
            cluster_ip_ranges: config.cluster_ip_ranges,
            ips: ClusterIps {
                addresses: config.ip_addresses,
                ranges: config.service_cidrs,
                environment: environment.clone(),
            },
            ports: NodePorts::new(config.range_allocations, config.node_port_range, environment.clone()),
            endpoints: config.endpoints,
            services: config.services,
            environment,
        };
        ServiceAllocator { inner: Arc::new(inner) }
    }

    /// The first address of the default range: the API server's own.
    pub fn first_ip(&self) -> Option<IpAddr> {
        let range = self.inner.cluster_ip_ranges.first()?;
        AddressRange::new(*range).map(|range| range.first())
    }
}

#[async_trait]
impl Allocator for ServiceAllocator {
    async fn begin_create(
        &self,
        _: &RequestContext,
        object: &mut Value,
        dry_run: bool,
    ) -> Result<Box<dyn Allocation>, ApiError> {
        families::normalize_new(object);
        self.inner.initialize(object, None)?;
        let mut taken = self.inner.allocation(Owner::of(object), dry_run);
        let result = taken.take_for_new(object).await;
        taken.or_rollback(result).await
    }

    async fn begin_update(
        &self,
        _: &RequestContext,
        object: &mut Value,
        old: &Value,
        dry_run: bool,
    ) -> Result<Box<dyn Allocation>, ApiError> {
        families::normalize_changed(object, old);
        self.inner.initialize(object, Some(old))?;
        let mut taken = self.inner.allocation(Owner::of(old), dry_run);
        let result = taken.take_for_changed(object, old).await;
        taken.or_rollback(result).await
    }

    async fn after_delete(&self, _: &RequestContext, object: &Value) {
        let inner = &self.inner;
        let owner = Owner::of(object);
        // The name may be given to another service at once, which must not find these.
        inner.delete_endpoints(&owner).await;
        for address in addresses_of(object) {
            inner.ips.release(address, &owner).await;
        }
        inner.ports.release(&ports_of(object)).await;
    }
}

impl Inner {
    fn initialize(&self, object: &mut Value, old: Option<&Value>) -> Result<(), ApiError> {
        let errors = families::initialize(object, old, &self.families);
        if errors.is_empty() {
            return Ok(());
        }
        let named = ObjectMeta::of(old.unwrap_or(object)).name();
        Err(ApiError::invalid(service_kind(), named, errors))
    }

    fn allocation(self: &Arc<Self>, owner: Owner, dry_run: bool) -> Box<Taken> {
        Box::new(Taken {
            inner: self.clone(),
            owner,
            dry_run,
            addresses: Vec::new(),
            given_up: Vec::new(),
            ports: PortChange::default(),
        })
    }

    async fn delete_endpoints(&self, owner: &Owner) {
        let context = internal_context(&self.environment, &self.endpoints, &owner.namespace, &owner.name);
        match self.endpoints.delete(&context, &owner.name, DeleteOptions::default()).await {
            Ok(_) | Err(ApiError::NotFound { .. }) => {}
            Err(error) => tracing::warn!(?owner, %error, "endpoints of a deleted service stay"),
        }
    }
}

/// What one write takes, and what it gives up.
struct Taken {
    inner: Arc<Inner>,
    owner: Owner,
    dry_run: bool,
    addresses: Vec<IpAddr>,
    given_up: Vec<IpAddr>,
    ports: PortChange,
}

impl Taken {
    async fn take_for_new(&mut self, object: &mut Value) -> Result<(), ApiError> {
        self.take_addresses(object, 0).await?;
        self.ports = self.inner.ports.reserve(object, None, self.dry_run).await?;
        Ok(())
    }

    async fn take_for_changed(&mut self, object: &mut Value, old: &Value) -> Result<(), ApiError> {
        if !families::stays_preferred(object, old) {
            self.change_addresses(object, old).await?;
        }
        self.ports = self.inner.ports.reserve(object, Some(old), self.dry_run).await?;
        Ok(())
    }

    async fn change_addresses(&mut self, object: &mut Value, old: &Value) -> Result<(), ApiError> {
        if families::is_external_name(old) {
            return self.take_addresses(object, 0).await;
        }
        if families::is_headless(old) {
            return Ok(());
        }
        if families::is_external_name(object) {
            self.given_up = addresses_of(old);
            return Ok(());
        }
        match (families::families(old).len(), families::families(object).len()) {
            (1, 2) => self.take_addresses(object, 1).await?,
            (2, 1) => self.given_up = addresses_of(old).into_iter().skip(1).collect(),
            _ => {}
        }
        Ok(())
    }

    /// Takes an address for each family from the `from`th on, those asked for or any.
    async fn take_addresses(&mut self, object: &mut Value, from: usize) -> Result<(), ApiError> {
        if families::is_external_name(object) || families::is_headless(object) {
            return Ok(());
        }
        let mut ips: Vec<String> = families::cluster_ips(object).into_iter().map(str::to_owned).collect();
        for (i, family) in families::families(object).into_iter().enumerate().skip(from) {
            let address = match ips.get(i).filter(|ip| !ip.is_empty()).cloned() {
                Some(asked) => {
                    self.take(&asked, object).await?;
                    continue;
                }
                None => self.take_next(family).await?,
            };
            ips.resize(ips.len().max(i + 1), String::new());
            ips[i] = address.to_string();
        }
        if let Some(first) = ips.first() {
            object.set(&["spec", "clusterIP"], first.as_str());
        }
        families::set_list(object, "clusterIPs", ips);
        Ok(())
    }

    async fn take(&mut self, asked: &str, object: &Value) -> Result<(), ApiError> {
        let address = asked.parse::<IpAddr>();
        let address =
            address.map_err(|_| ApiError::Internal(format!("failed to parse service IP {asked:?}")))?;
        match self.inner.ips.take(address, &self.owner, self.dry_run).await {
            Ok(()) => {
                self.addresses.push(address);
                Ok(())
            }
            Err(IpError::Api(error)) => Err(error),
            Err(error) => {
                let path = FieldPath::root("spec").child("clusterIPs");
                let shown = object.at(&["spec", "clusterIPs"]).unwrap_or(&Value::Null);
                let detail = format!("failed to allocate IP {asked}: {error}");
                let error = FieldError::invalid(&path, shown, detail);
                Err(ApiError::invalid(service_kind(), &*self.owner.name, error))
            }
        }
    }

    async fn take_next(&mut self, family: Family) -> Result<IpAddr, ApiError> {
        match self.inner.ips.take_next(family, &self.owner, self.dry_run).await {
            Ok(address) => {
                self.addresses.push(address);
                Ok(address)
            }
            Err(IpError::Api(error)) => Err(error),
            Err(error) => Err(ApiError::Internal(format!("failed to allocate a serviceIP: {error}"))),
        }
    }

    /// The allocation if `result` says that everything was taken; else gives back what was.
    async fn or_rollback(
        self: Box<Self>,
        result: Result<(), ApiError>,
    ) -> Result<Box<dyn Allocation>, ApiError> {
        match result {
            Ok(()) => Ok(self),
            Err(error) => {
                self.rollback().await;
                Err(error)
            }
        }
    }

    async fn give_back(&self, addresses: &[IpAddr], ports: &[i64]) {
        if self.dry_run {
            return;
        }
        for address in addresses {
            self.inner.ips.release(*address, &self.owner).await;
        }
        self.inner.ports.release(ports).await;
    }
}

#[async_trait]
impl Allocation for Taken {
    async fn commit(self: Box<Self>) {
        self.give_back(&self.given_up, &self.ports.given_up).await;
    }

    async fn rollback(self: Box<Self>) {
        self.give_back(&self.addresses, &self.ports.taken).await;
    }
}

/// The addresses a service has.
fn addresses_of(service: &Value) -> Vec<IpAddr> {
    if families::is_external_name(service) || families::is_headless(service) {
        return Vec::new();
    }
    families::cluster_ips(service).into_iter().filter_map(|ip| ip.parse().ok()).collect()
}

fn service_kind() -> GroupKind {
    GroupKind { group: "".into(), kind: "Service".into() }
}

/// Options of a write by the server itself.
fn internal_write() -> WriteOptions {
    WriteOptions { field_manager: "kube-apiserver".to_owned(), ..WriteOptions::default() }
}

/// The context of a request of the server itself, past admission: what a
/// service needs is not a client's to refuse.
fn internal_context(environment: &Environment, store: &Store, namespace: &str, name: &str) -> RequestContext {
    let user = UserInfo {
        name: "system:apiserver".to_owned(),
        groups: vec!["system:masters".to_owned()],
        ..UserInfo::default()
    };
    let mut context =
        RequestContext::new(user, Arc::new(NoAdmission), Arc::new(Everything), environment.clone());
    context.resource = store.definition().group_resource();
    context.version = store.definition().version.to_string();
    context.namespace = namespace.to_owned();
    context.name = name.to_owned();
    context
}

struct Everything;

#[async_trait]
impl Authorizer for Everything {
    async fn authorize(&self, _: &AuthorizationAttributes<'_>) -> Decision {
        Decision::Allow(String::new())
    }
}
