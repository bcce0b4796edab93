//! Finds what was lost on the way: addresses and ports that are held for
//! services that do not have them (a server ended between taking and writing),
//! and those that services have and nothing holds (data from elsewhere).
//!
//! Runs at the start and from time to time. A lost address must be some time
//! old, a lost port must have been lost for some rounds: a service may be
//! about to be written that has it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use meta::options::ListOptions;
use meta::{ApiError, ObjectMeta, ResourceVersion};
use schema::Value;
use storage::ListRequest;
use tokio::sync::watch;

use super::cluster_ips::{IpError, MANAGED_BY, Owner};
use super::node_ports::ports_of;
use super::port_bitmap::PortBitmap;
use super::{Inner, ServiceAllocator, addresses_of, internal_context};

/// Time between repairs.
const INTERVAL: Duration = Duration::from_secs(180);
/// Age at which an address that no service has counts as lost.
const ADDRESS_AGE_SECONDS: i64 = 60;
/// Repairs that must find a port lost before it is given back.
const PORT_ROUNDS: u32 = 3;

/// What repairs remember of each other: how often each port was found lost.
#[derive(Debug, Default)]
pub struct Leaks {
    ports: HashMap<i64, u32>,
}

/// Ends the repairs when dropped.
pub struct Repairs {
    /// Closed by being dropped.
    _alive: watch::Sender<()>,
}

impl ServiceAllocator {
    /// Makes sure that there is a record of the node ports in the range that
    /// is given out. Must be called before services are written.
    pub async fn prepare(&self) -> Result<(), ApiError> {
        let ports = &self.inner.ports;
        if ports.read().await?.0 == ports.range().to_string() {
            return Ok(());
        }
        let services = self.inner.services().await?;
        self.inner.repair_ports(&services, &mut Leaks::default()).await
    }

    /// Brings records and services together, once.
    pub async fn repair(&self, leaks: &mut Leaks) -> Result<(), ApiError> {
        let services = self.inner.services().await?;
        self.inner.repair_ports(&services, leaks).await?;
        self.inner.repair_addresses(&services).await
    }

    /// Repairs now and from time to time, until what is returned is dropped.
    pub fn start_repairs(&self) -> Repairs {
        let (alive, mut dropped) = watch::channel(());
        let this = self.clone();
        let task = async move {
            let clock = this.inner.environment.clock.clone();
            let mut leaks = Leaks::default();
            loop {
                if let Err(error) = this.repair(&mut leaks).await {
                    tracing::warn!(%error, "addresses and ports of services are not repaired");
                }
                let (stop, wait) = (std::pin::pin!(dropped.changed()), clock.sleep(INTERVAL));
                if let futures::future::Either::Left(_) = futures::future::select(stop, wait).await {
                    return;
                }
            }
        };
        self.inner.environment.tasks.spawn("service repairs", Box::pin(task));
        Repairs { _alive: alive }
    }
}

impl Inner {
    async fn services(&self) -> Result<Vec<Value>, ApiError> {
        let request = ListRequest { recursive: true, ..ListRequest::default() };
        let list = self.services.list("/services/specs", request).await.map_err(api_error)?;
        list.items.map(|object| self.services.decode(&object).map_err(api_error)).collect()
    }

    async fn repair_ports(&self, services: &[Value], leaks: &mut Leaks) -> Result<(), ApiError> {
        let used: HashSet<i64> = services.iter().flat_map(ports_of).collect();
        leaks.ports.retain(|port, _| !used.contains(port));
        let range = self.ports.range();
        let seen = self.ports.read().await?.1;
        let lost: Vec<i64> = seen.ports().filter(|port| !used.contains(port)).collect();
        for port in &lost {
            *leaks.ports.entry(*port).or_default() += 1;
        }
        leaks.ports.retain(|port, _| lost.contains(port));
        let given_back = |port: i64| leaks.ports.get(&port).is_some_and(|rounds| *rounds > PORT_ROUNDS);
        self.ports
            .rebuild(|stored| {
                let mut rebuilt = PortBitmap::new(range);
                let kept = stored.ports().filter(|port| used.contains(port) || !given_back(*port));
                for port in kept.chain(used.iter().copied()) {
                    // In the range it is free or taken already; outside of it nobody gives it out.
                    drop(rebuilt.take(port));
                }
                rebuilt
            })
            .await?;
        leaks.ports.retain(|_, rounds| *rounds <= PORT_ROUNDS);
        Ok(())
    }

    async fn repair_addresses(&self, services: &[Value]) -> Result<(), ApiError> {
        let mut used: HashMap<IpAddr, Owner> = HashMap::new();
        for service in services {
            let owner = Owner::of(service);
            for address in addresses_of(service) {
                if let Some(other) = used.insert(address, owner.clone()) {
                    tracing::warn!(%address, ?owner, ?other, "two services have one cluster IP");
                }
            }
        }
        let held = self.held_addresses().await?;
        let mut missing = used.clone();
        for address in held {
            let name = ObjectMeta::of(&address).name().to_owned();
            let Ok(ip) = name.parse::<IpAddr>() else { continue };
            match missing.remove(&ip) {
                Some(owner) if owner.holds(&address) => {}
                Some(owner) => tracing::warn!(%ip, ?owner, "a cluster IP is held for another object"),
                None => self.drop_if_lost(ip, &address).await?,
            }
        }
        for (ip, owner) in missing {
            if self.still_has(ip, &owner).await? {
                match self.ips.hold(ip, &owner).await {
                    Ok(()) => tracing::info!(%ip, ?owner, "the cluster IP of a service is held again"),
                    Err(IpError::Api(error)) => return Err(error),
                    Err(error) => tracing::warn!(%ip, ?owner, %error, "a cluster IP cannot be held"),
                }
            }
        }
        Ok(())
    }

    async fn held_addresses(&self) -> Result<Vec<Value>, ApiError> {
        let context = internal_context(&self.environment, &self.ips.addresses, "", "");
        let list = self.ips.addresses.list(&context, &ListOptions::default()).await?;
        list.items.map(|object| self.ips.addresses.decode(&object)).collect()
    }

    async fn drop_if_lost(&self, ip: IpAddr, address: &Value) -> Result<(), ApiError> {
        let managed = address.str_at(&["metadata", "labels", MANAGED_BY.0]) == Some(MANAGED_BY.1);
        let since = ObjectMeta::of(address).creation_timestamp().parse::<jiff::Timestamp>();
        let now = self.environment.clock.now();
        let old = since.is_ok_and(|since| now.as_second() - since.as_second() > ADDRESS_AGE_SECONDS);
        let parent = |key| crate::print::text(address, &["spec", "parentRef", key]);
        let owner = Owner { namespace: parent("namespace"), name: parent("name") };
        if !managed || !old || self.still_has(ip, &owner).await? {
            return Ok(());
        }
        tracing::info!(%ip, ?owner, "a cluster IP that no service has is given back");
        self.ips.drop_address(address).await
    }

    /// True if the service has the address by now, whatever was listed.
    async fn still_has(&self, ip: IpAddr, owner: &Owner) -> Result<bool, ApiError> {
        if owner.namespace.is_empty() || owner.name.is_empty() {
            return Ok(false);
        }
        let key = format!("/services/specs/{}/{}", owner.namespace, owner.name);
        let found = self.services.get(&key, &ResourceVersion::default()).await.map_err(api_error)?;
        let Some(found) = found else { return Ok(false) };
        let service = self.services.decode(&found).map_err(api_error)?;
        Ok(addresses_of(&service).contains(&ip))
    }
}

fn api_error(error: storage::Error) -> ApiError {
    match error {
        storage::Error::Api(error) => error,
        other => ApiError::Internal(other.to_string()),
    }
}
