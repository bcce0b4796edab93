//! The core group, `v1`.

mod addresses;
pub mod binding;
pub mod component_status;
pub mod config_map;
pub mod endpoints;
mod endpoints_validation;
pub mod event;
mod event_validation;
pub mod limit_range;
mod limit_range_validation;
pub mod namespace;
pub mod node;
mod node_validation;
pub mod persistent_volume;
pub mod persistent_volume_claim;
pub mod pod;
mod pod_affinity;
mod pod_amounts;
pub(crate) mod pod_condition;
mod pod_containers;
mod pod_environment;
mod pod_life;
mod pod_os;
mod pod_print;
pub mod pod_resources;
mod pod_security;
mod pod_spec_merge;
mod pod_status;
pub mod pod_template;
mod pod_update;
pub mod pod_validation;
mod pod_volumes;
pub mod pod_warnings;
mod quota_validation;
pub mod replication_controller;
pub mod resource_quota;
mod rules;
pub mod secret;
pub mod service;
pub mod service_account;
mod service_account_token;
pub mod service_allocation;
mod service_validation;
mod volume_sources;
mod volume_validation;

use registry::ResourceDef;

use crate::Dependencies;

/// Resources of the group, one line each.
pub fn definitions(dependencies: &Dependencies) -> Vec<ResourceDef> {
    vec![
        binding::definition(),
        component_status::definition(),
        config_map::definition(),
        endpoints::definition(),
        event::definition(),
        limit_range::definition(),
        namespace::definition(),
        node::definition(),
        persistent_volume::definition(),
        persistent_volume_claim::definition(),
        pod::definition(),
        pod_template::definition(),
        replication_controller::definition(),
        resource_quota::definition(),
        secret::definition(),
        service::definition(),
        service_account::definition(&dependencies.token_issuer),
    ]
}
