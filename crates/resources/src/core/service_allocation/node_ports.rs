//! The node ports of all services, in one RangeAllocation as kube-apiserver
//! keeps it, and which of them a service needs.
//!
//! Any number of servers may share the object: every change is an optimistic
//! update of it. Within a server changes take turns, because all but one of
//! several at once would have to be tried again.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use environment::Environment;
use meta::options::Preconditions;
use meta::{ApiError, FieldError, FieldPath, GroupKind, ObjectMeta, ResourceVersion, Revision};
use schema::Value;
use storage::{Error, Storage, UpdateRequest};
use tokio::sync::Mutex;

use super::families::{has_node_ports, kind};
use super::port_bitmap::{PortBitmap, PortError, PortRange};
use crate::core::service::needs_health_check;
use crate::{defaults, print};

/// Key of the RangeAllocation.
const KEY: &str = "/ranges/servicenodeports";

/// The ports of all services.
pub(super) struct NodePorts {
    storage: Arc<dyn Storage>,
    range: PortRange,
    environment: Environment,
    turn: Mutex<()>,
}

/// The ports one write takes and gives up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PortChange {
    /// Taken for the new state.
    pub(super) taken: Vec<i64>,
    /// No longer used once the new state is written.
    pub(super) given_up: Vec<i64>,
}

impl NodePorts {
    pub(super) fn new(storage: Arc<dyn Storage>, range: PortRange, environment: Environment) -> NodePorts {
        NodePorts { storage, range, environment, turn: Mutex::new(()) }
    }

    /// Fills in the ports a service needs and takes those it did not have.
    pub(super) async fn reserve(
        &self,
        service: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<PortChange, ApiError> {
        if !uses_ports(service) && !old.is_some_and(uses_ports) {
            return Ok(PortChange::default());
        }
        if dry_run {
            let mut picker = self.picker(self.read().await?.1, true);
            plan(service, old, &mut picker)?;
            return Ok(PortChange::default());
        }
        let submitted = service.clone();
        let change = |bitmap: PortBitmap| {
            let mut picker = self.picker(bitmap, false);
            // Each attempt begins with what was submitted.
            *service = submitted.clone();
            plan(service, old, &mut picker)?;
            Ok((picker.bitmap, picker.change))
        };
        self.change(change).await
    }

    /// Gives ports back. A failure is logged: a later repair finds them.
    pub(super) async fn release(&self, ports: &[i64]) {
        if ports.is_empty() {
            return;
        }
        let released = self.change(|mut bitmap: PortBitmap| {
            ports.iter().for_each(|port| bitmap.release(*port));
            Ok((bitmap, ()))
        });
        if let Err(error) = released.await {
            tracing::warn!(?ports, %error, "node ports are not given back");
        }
    }

    /// Range and ports as they are stored; no range if there is no object yet.
    pub(super) async fn read(&self) -> Result<(String, PortBitmap), ApiError> {
        let stored = self.storage.get(KEY, &ResourceVersion::default()).await.map_err(api_error)?;
        let Some(stored) = stored else { return Ok((String::new(), PortBitmap::new(self.range))) };
        let tree = self.storage.decode(&stored).map_err(api_error)?;
        Ok((print::text(&tree, &["range"]), self.bitmap(&tree)?))
    }

    /// Writes what `rebuild` makes of the ports stored; makes the object where it is missing.
    pub(super) async fn rebuild(
        &self,
        mut rebuild: impl FnMut(&PortBitmap) -> PortBitmap + Send,
    ) -> Result<(), ApiError> {
        let _turn = self.turn.lock().await;
        let mut try_update = |current: Value, _: Revision| {
            let rebuilt = rebuild(&self.bitmap(&current)?);
            Ok((self.with(current, &rebuilt), None))
        };
        self.update(&mut try_update).await
    }

    async fn change<T: Send>(
        &self,
        mut change: impl FnMut(PortBitmap) -> Result<(PortBitmap, T), ApiError> + Send,
    ) -> Result<T, ApiError> {
        let _turn = self.turn.lock().await;
        let mut outcome = None;
        let mut try_update = |current: Value, revision: Revision| {
            if revision == Revision(0) {
                let text = "cannot allocate resources of type servicenodeportallocations at this time";
                return Err(Error::from(ApiError::Unknown(text.to_owned())));
            }
            if print::text(&current, &["range"]) != self.range.to_string() {
                let text = "the provided range does not match the current range";
                return Err(ApiError::Unknown(text.to_owned()).into());
            }
            let (bitmap, value) = change(self.bitmap(&current)?)?;
            outcome = Some(value);
            Ok((self.with(current, &bitmap), None))
        };
        self.update(&mut try_update).await?;
        outcome.ok_or_else(|| ApiError::Internal("node ports were changed without a change".to_owned()))
    }

    async fn update(
        &self,
        try_update: &mut (impl FnMut(Value, Revision) -> Result<(Value, Option<i64>), Error> + Send),
    ) -> Result<(), ApiError> {
        let request = UpdateRequest {
            ignore_not_found: true,
            preconditions: Preconditions::default(),
            hint: None,
            try_update,
        };
        self.storage.guaranteed_update(KEY, request).await.map(drop).map_err(api_error)
    }

    fn bitmap(&self, allocation: &Value) -> Result<PortBitmap, ApiError> {
        let data = STANDARD.decode(allocation.str_at(&["data"]).unwrap_or_default());
        let data = data.map_err(|error| ApiError::Internal(format!("the node ports stored: {error}")))?;
        let range = match allocation.str_at(&["range"]).unwrap_or_default() {
            "" => Some(self.range),
            stored => PortRange::parse(stored),
        };
        let range = range.ok_or_else(|| ApiError::Internal("the range of node ports stored".to_owned()))?;
        let stored = PortBitmap::from_data(range, &data);
        if range == self.range {
            return Ok(stored);
        }
        // The flag has changed: ports outside of the new range are nobody's to give out any more.
        let mut bitmap = PortBitmap::new(self.range);
        for port in stored.ports() {
            drop(bitmap.take(port));
        }
        Ok(bitmap)
    }

    fn with(&self, mut allocation: Value, bitmap: &PortBitmap) -> Value {
        allocation.set(&["range"], self.range.to_string());
        allocation.set(&["data"], STANDARD.encode(bitmap.to_data()));
        allocation
    }

    fn picker(&self, bitmap: PortBitmap, dry_run: bool) -> Picker<'_> {
        Picker { bitmap, change: PortChange::default(), dry_run, environment: &self.environment }
    }

    /// The range given out.
    pub(super) fn range(&self) -> PortRange {
        self.range
    }
}

/// The node ports a service has, with that of its health check.
pub(super) fn ports_of(service: &Value) -> Vec<i64> {
    let mut ports = node_ports(service);
    let health = print::int(service, &["spec", "healthCheckNodePort"]);
    if health > 0 && needs_health_check(service) {
        ports.push(health);
    }
    ports
}

fn node_ports(service: &Value) -> Vec<i64> {
    let ports = service.list_at(&["spec", "ports"]).iter();
    ports.map(|port| print::int(port, &["nodePort"])).filter(|port| *port != 0).collect()
}

fn uses_ports(service: &Value) -> bool {
    has_node_ports(service) || needs_health_check(service)
}

/// Picks ports for one service.
struct Picker<'a> {
    bitmap: PortBitmap,
    change: PortChange,
    /// Nothing is taken: a port asked for is compared with those that are
    /// taken, any other is a number that stands for one.
    dry_run: bool,
    environment: &'a Environment,
}

impl Picker<'_> {
    fn take(&mut self, port: i64) -> Result<(), PortError> {
        if !self.dry_run {
            self.bitmap.take(port)?;
        } else if self.bitmap.has(port) || self.change.taken.contains(&port) {
            return Err(PortError::Allocated);
        }
        self.change.taken.push(port);
        Ok(())
    }

    fn take_next(&mut self) -> Result<i64, PortError> {
        /// What a dry run counts from, the first port above those nodes usually give out.
        const DRY_RUN_BASE: i64 = 32768;
        let port = match self.dry_run {
            true => self.change.taken.iter().copied().max().unwrap_or(DRY_RUN_BASE) + 1,
            false => self.bitmap.take_next(&*self.environment.random)?,
        };
        self.change.taken.push(port);
        Ok(port)
    }

    fn give_up(&mut self, port: i64) {
        self.change.given_up.push(port);
    }
}

fn plan(service: &mut Value, old: Option<&Value>, picker: &mut Picker<'_>) -> Result<(), ApiError> {
    let Some(old) = old else {
        if has_node_ports(service) {
            plan_new(service, picker)?;
        }
        return if needs_health_check(service) { plan_health_check(service, picker) } else { Ok(()) };
    };
    if has_node_ports(old) && matches!(kind(service), "ExternalName" | "ClusterIP") {
        node_ports(old).into_iter().for_each(|port| picker.give_up(port));
    }
    if has_node_ports(service) {
        plan_changed(service, old, picker)?;
    }
    match (needs_health_check(old), needs_health_check(service)) {
        (false, true) => plan_health_check(service, picker)?,
        (true, false) => picker.give_up(print::int(old, &["spec", "healthCheckNodePort"])),
        _ => {}
    }
    Ok(())
}

/// Ports of one number over several protocols share their node port.
fn plan_new(service: &mut Value, picker: &mut Picker<'_>) -> Result<(), ApiError> {
    let allocates = allocates_node_ports(service);
    let asked: Vec<(i64, i64)> = port_numbers(service);
    let mut given: Vec<(i64, i64)> = Vec::new();
    for (i, (port, requested)) in asked.iter().copied().enumerate() {
        if requested == 0 && !allocates {
            continue;
        }
        match given.iter().find(|(number, _)| *number == port) {
            None => {
                let wanted = asked.iter().find(|(number, node)| *number == port && *node != 0);
                let taken = match wanted {
                    Some((_, wanted)) => take(service, i, *wanted, picker)?,
                    None => take_next(picker)?,
                };
                set_node_port(service, i, taken);
                given.push((port, taken));
            }
            Some((_, shared)) if requested == 0 => set_node_port(service, i, *shared),
            Some((_, shared)) if requested == *shared => {}
            Some(_) => drop(take(service, i, requested, picker)?),
        }
    }
    Ok(())
}

fn plan_changed(service: &mut Value, old: &Value, picker: &mut Picker<'_>) -> Result<(), ApiError> {
    let allocates = allocates_node_ports(service);
    let before = node_ports(old);
    let mut fresh = Vec::new();
    let mut seen = Vec::new();
    for (i, (_, requested)) in port_numbers(service).into_iter().enumerate() {
        let port = match requested {
            0 if !allocates => continue,
            0 => {
                let taken = take_next(picker)?;
                set_node_port(service, i, taken);
                taken
            }
            kept if before.contains(&kept) || fresh.contains(&kept) => kept,
            asked => {
                fresh.push(asked);
                take(service, i, asked, picker)?
            }
        };
        let protocol = print::text(&service.list_at(&["spec", "ports"])[i], &["protocol"]);
        if seen.contains(&(protocol.clone(), port)) {
            return Err(ApiError::Unknown(format!("duplicate nodePort: {{{protocol} {port}}}")));
        }
        seen.push((protocol, port));
    }
    let now = node_ports(service);
    before.into_iter().filter(|port| !now.contains(port)).for_each(|port| picker.give_up(port));
    Ok(())
}

fn plan_health_check(service: &mut Value, picker: &mut Picker<'_>) -> Result<(), ApiError> {
    let asked = print::int(service, &["spec", "healthCheckNodePort"]);
    if asked != 0 {
        let failed = |error| format!("failed to allocate requested HealthCheck NodePort {asked}: {error}");
        return picker.take(asked).map_err(|error| ApiError::Internal(failed(error)));
    }
    let failed = |error| format!("failed to allocate a HealthCheck NodePort 0: {error}");
    let port = picker.take_next().map_err(|error| ApiError::Internal(failed(error)))?;
    service.set(&["spec", "healthCheckNodePort"], port);
    Ok(())
}

fn allocates_node_ports(service: &Value) -> bool {
    kind(service) == "NodePort" || service.bool_at(&["spec", "allocateLoadBalancerNodePorts"]).unwrap_or(true)
}

/// Port and node port of each port.
fn port_numbers(service: &Value) -> Vec<(i64, i64)> {
    let ports = service.list_at(&["spec", "ports"]).iter();
    ports.map(|port| (print::int(port, &["port"]), print::int(port, &["nodePort"]))).collect()
}

fn set_node_port(service: &mut Value, index: usize, number: i64) {
    let spec = defaults::object(service, "spec");
    if let Some(port) = spec.and_then(|spec| defaults::items(spec, "ports").nth(index)) {
        port.set(&["nodePort"], number);
    }
}

fn take(service: &Value, index: usize, port: i64, picker: &mut Picker<'_>) -> Result<i64, ApiError> {
    picker.take(port).map(|()| port).map_err(|error| {
        let path = FieldPath::root("spec").child("ports").index(index).child("nodePort");
        let name = ObjectMeta::of(service).name();
        let error = FieldError::invalid(&path, &port.into(), error.to_string());
        ApiError::invalid(GroupKind { group: "".into(), kind: "Service".into() }, name, error)
    })
}

fn take_next(picker: &mut Picker<'_>) -> Result<i64, ApiError> {
    picker.take_next().map_err(|error| ApiError::Internal(format!("failed to allocate a nodePort: {error}")))
}

fn api_error(error: Error) -> ApiError {
    match error {
        Error::Api(error) => error,
        other => ApiError::Internal(other.to_string()),
    }
}
