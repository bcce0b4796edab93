//! The built-in resources, one file each: `<group>/<resource>.rs`.
//!
//! A file says what its resource is for and what is odd about it, defines it
//! as data, and holds its strategy. Owns no storage and no HTTP. Adding a
//! resource is one file and one line in its group.

pub mod addresses;
pub mod admissionregistration;
pub mod apiextensions;
pub mod apiregistration;
pub mod apiserverinternal;
pub mod apps;
pub mod authentication;
pub mod authorization;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
pub mod conditions;
pub mod coordination;
pub mod core;
pub mod defaults;
pub mod discovery;
pub mod events;
pub mod flowcontrol;
pub mod networking;
pub mod node;
pub mod policy;
pub mod print;
pub mod rbac;
pub mod resource;
pub mod scheduling;
pub mod storage;
pub mod storagemigration;
pub mod validation;
pub mod workload;

mod check;
mod diff;
mod go_form;
#[cfg(test)]
mod testing;

use std::borrow::Cow;
use std::sync::Arc;

use registry::{Backing, Conversion, RequestContext, ResourceDef, StorageDef};

use crate::authentication::{TokenAuthenticator, TokenIssuer};
use crate::authorization::RuleResolver;

/// What resources that answer on the spot need from the wiring.
#[derive(Clone)]
pub struct Dependencies {
    /// Issues tokens, for `serviceaccounts/token`.
    pub token_issuer: Arc<dyn TokenIssuer>,
    /// Says whose token a token is, for `tokenreviews`.
    pub tokens: Arc<dyn TokenAuthenticator>,
    /// Lists what a user may do, for `selfsubjectrulesreviews`.
    pub rules: Arc<dyn RuleResolver>,
}

/// The built-in resources that are served by default, in the order of [`all_definitions`].
pub fn definitions(dependencies: &Dependencies) -> Vec<ResourceDef> {
    all_definitions(dependencies).into_iter().filter(|definition| definition.enabled_by_default).collect()
}

/// Every built-in resource, groups and versions in the order of discovery:
/// by the priorities the original gives them, not by name.
pub fn all_definitions(dependencies: &Dependencies) -> Vec<ResourceDef> {
    let groups = [
        core::definitions(dependencies),
        apiregistration::definitions(),
        apps::definitions(),
        events::definitions(),
        authentication::definitions(&dependencies.tokens),
        authorization::definitions(&dependencies.rules),
        autoscaling::definitions(),
        batch::definitions(),
        certificates::definitions(),
        networking::definitions(),
        policy::definitions(),
        rbac::definitions(),
        storage::definitions(),
        admissionregistration::definitions(),
        apiextensions::definitions(),
        scheduling::definitions(),
        coordination::definitions(),
        node::definitions(),
        discovery::definitions(),
        resource::definitions(),
        flowcontrol::definitions(),
        apiserverinternal::definitions(),
        storagemigration::definitions(),
    ];
    groups.into_iter().flatten().collect()
}

/// The resource in one more version, which is off by default. Its objects lie
/// with those of the other versions.
pub(crate) fn in_version(resource: ResourceDef, version: &'static str) -> ResourceDef {
    ResourceDef { version: Cow::Borrowed(version), enabled_by_default: false, ..resource }
}

/// The resource in a version whose objects are stored in another form.
pub(crate) fn converted(mut resource: ResourceDef, conversion: impl Conversion + 'static) -> ResourceDef {
    if let Backing::Stored(stored) = &mut resource.backing {
        stored.conversion = Some(Arc::new(conversion));
    }
    resource
}

/// The resource, stored under a prefix that is not its name.
pub(crate) fn with_prefix(mut resource: ResourceDef, prefix: &'static str) -> ResourceDef {
    if let Backing::Stored(StorageDef { prefix: stored, .. }) = &mut resource.backing {
        *stored = Cow::Borrowed(prefix);
    }
    resource
}

/// Now, as RFC 3339 in seconds, the precision of timestamps in objects.
pub(crate) fn now(context: &RequestContext) -> String {
    let seconds = context.environment.clock.now().as_second();
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
