//! The addresses of all services. Each is held by an IPAddress object of its
//! name, which storage makes only once: whoever makes it has the address, on
//! any number of servers. Ranges are those of the ServiceCIDRs.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use environment::Environment;
use ipnet::IpNet;
use meta::options::{DeleteOptions, ListOptions, Preconditions};
use meta::{ApiError, ObjectMeta, ResourceVersion};
use registry::Store;
use schema::{Map, Value};

use super::address_range::AddressRange;
use super::families::Family;
use super::{internal_context, internal_write};
use crate::check::text;

/// Label and value of the addresses that are held for services.
pub(super) const MANAGED_BY: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
const FAMILY_LABEL: &str = "ipaddress.kubernetes.io/ip-family";

/// Addresses looked up one by one before all that are taken are listed.
const LOOKUPS_MAX: usize = 16;

/// Takes and gives back addresses.
pub(super) struct ClusterIps {
    pub(super) addresses: Arc<Store>,
    pub(super) ranges: Arc<Store>,
    pub(super) environment: Environment,
}

/// The service an address is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// Why an address cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum IpError {
    #[error("range is full")]
    Full,
    #[error("provided IP is already allocated")]
    Allocated,
    #[error("the provided network does not match the current range")]
    MismatchedNetwork,
    #[error("the provided IP ({0}) is not in the valid range. The range of valid IPs is {1}")]
    NotInRange(IpAddr, IpNet),
    #[error("allocator not ready")]
    NotReady,
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Owner {
    pub(super) fn of(service: &Value) -> Owner {
        let meta = ObjectMeta::of(service);
        Owner { namespace: meta.namespace().to_owned(), name: meta.name().to_owned() }
    }

    /// True if an IPAddress is held for this service.
    pub(super) fn holds(&self, address: &Value) -> bool {
        let parent = |key| text(address, &["spec", "parentRef", key]);
        parent("group").is_empty()
            && parent("resource") == "services"
            && parent("namespace") == self.namespace
            && parent("name") == self.name
    }
}

impl ClusterIps {
    /// Takes a certain address.
    pub(super) async fn take(&self, address: IpAddr, owner: &Owner, dry_run: bool) -> Result<(), IpError> {
        let ranges = self.ranges(Family::of(address)).await?;
        if dry_run {
            // Only the range is looked at, and only one of them, as the original does.
            let range = ranges.first().ok_or(IpError::NotReady)?;
            let contained = range.contains(address);
            return contained.then_some(()).ok_or(IpError::NotInRange(address, range.network()));
        }
        if !ranges.iter().any(|range| range.contains(address)) {
            return Err(IpError::MismatchedNetwork);
        }
        self.hold(address, owner).await
    }

    /// Takes any free address of a family.
    pub(super) async fn take_next(
        &self,
        family: Family,
        owner: &Owner,
        dry_run: bool,
    ) -> Result<IpAddr, IpError> {
        let ranges = self.ranges(family).await?;
        if dry_run {
            // The network's own address stands for the one a real request would get.
            return ranges.first().map(|range| range.network().addr()).ok_or(IpError::NotReady);
        }
        for range in ranges {
            match self.take_from(range, owner).await {
                Err(IpError::Full) => {}
                done => return done,
            }
        }
        Err(IpError::Full)
    }

    /// Gives an address back if it is still held for `owner`. A failure is
    /// logged: a later repair finds the address.
    pub(super) async fn release(&self, address: IpAddr, owner: &Owner) {
        if let Err(error) = self.try_release(address, owner).await {
            tracing::warn!(%address, ?owner, %error, "a cluster IP is not given back");
        }
    }

    /// Makes the object that holds an address.
    pub(super) async fn hold(&self, address: IpAddr, owner: &Owner) -> Result<(), IpError> {
        let context = internal_context(&self.environment, &self.addresses, "", &address.to_string());
        match self.addresses.create(&context, object(address, owner), &internal_write()).await {
            Ok(_) => Ok(()),
            Err(ApiError::AlreadyExists { .. }) => Err(IpError::Allocated),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes the object that holds an address, if it is still that one.
    pub(super) async fn drop_address(&self, address: &Value) -> Result<(), ApiError> {
        let meta = ObjectMeta::of(address);
        let context = internal_context(&self.environment, &self.addresses, "", meta.name());
        let preconditions = Preconditions { uid: Some(meta.uid().to_owned()), ..Preconditions::default() };
        let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
        match self.addresses.delete(&context, meta.name(), options).await {
            Ok(_) | Err(ApiError::NotFound { .. } | ApiError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn try_release(&self, address: IpAddr, owner: &Owner) -> Result<(), ApiError> {
        match self.addresses.find("", &address.to_string()).await? {
            Some(held) if owner.holds(&held) => self.drop_address(&held).await,
            _ => Ok(()),
        }
    }

    async fn take_from(&self, range: AddressRange, owner: &Owner) -> Result<IpAddr, IpError> {
        let mut candidates = range.candidates(&*self.environment.random);
        for address in candidates.by_ref().take(LOOKUPS_MAX) {
            if self.try_hold(address, owner).await? {
                return Ok(address);
            }
        }
        // The range is rather full, and may be large.
        let taken = self.taken().await?;
        for address in candidates.filter(|address| !taken.contains(address)) {
            if self.try_hold(address, owner).await? {
                return Ok(address);
            }
        }
        Err(IpError::Full)
    }

    /// False if the address is taken.
    async fn try_hold(&self, address: IpAddr, owner: &Owner) -> Result<bool, IpError> {
        let key = format!("/ipaddresses/{address}");
        let found = self.addresses.storage().get(&key, &ResourceVersion::default()).await;
        // Looking first is cheap, trying to write what is there is not. Only the write decides.
        if let Ok(Some(_)) = found {
            return Ok(false);
        }
        match self.hold(address, owner).await {
            Ok(()) => Ok(true),
            Err(IpError::Allocated) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn taken(&self) -> Result<HashSet<IpAddr>, ApiError> {
        let context = internal_context(&self.environment, &self.addresses, "", "");
        let list = self.addresses.list(&context, &ListOptions::default()).await?;
        let name = |key: &[u8]| {
            let key = std::str::from_utf8(key).ok()?;
            key.rsplit('/').next()?.parse().ok()
        };
        Ok(list.items.filter_map(|object| name(&object.key)).collect())
    }

    /// The ranges of a family that are ready, by name of their ServiceCIDR.
    async fn ranges(&self, family: Family) -> Result<Vec<AddressRange>, ApiError> {
        let context = internal_context(&self.environment, &self.ranges, "", "");
        let list = self.ranges.list(&context, &ListOptions::default()).await?;
        let mut ranges = Vec::new();
        for object in list.items {
            let range = self.ranges.decode(&object)?;
            if is_ready(&range) {
                ranges.extend(networks(&range).filter_map(AddressRange::new));
            }
        }
        ranges.retain(|range| range.family() == family);
        Ok(ranges)
    }
}

/// `spec.cidrs` of a ServiceCIDR.
pub(super) fn networks(range: &Value) -> impl Iterator<Item = IpNet> {
    range.list_at(&["spec", "cidrs"]).iter().filter_map(|cidr| cidr.as_str()?.parse().ok())
}

/// A range counts as ready unless it is said not to be, or is going away.
fn is_ready(range: &Value) -> bool {
    let mut conditions = range.list_at(&["status", "conditions"]).iter();
    let ready = conditions.find(|condition| text(condition, &["type"]) == "Ready");
    ObjectMeta::of(range).deletion_timestamp().is_none()
        && ready.is_none_or(|condition| text(condition, &["status"]) == "True")
}

fn object(address: IpAddr, owner: &Owner) -> Value {
    let mut object = Value::map();
    object.set(&["apiVersion"], "networking.k8s.io/v1");
    object.set(&["kind"], "IPAddress");
    object.set(&["metadata", "name"], address.to_string());
    let labels = Map::from([
        (FAMILY_LABEL, Value::from(Family::of(address).to_string())),
        (MANAGED_BY.0, MANAGED_BY.1.into()),
    ]);
    object.set(&["metadata", "labels"], labels);
    let parent = Map::from([
        ("resource", Value::from("services")),
        ("namespace", owner.namespace.as_str().into()),
        ("name", owner.name.as_str().into()),
    ]);
    object.set(&["spec", "parentRef"], parent);
    object
}
