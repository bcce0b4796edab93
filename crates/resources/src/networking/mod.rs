//! Group `networking.k8s.io`: what reaches what, and under which addresses.

pub mod ingress;
pub mod ingress_class;
pub mod ip_address;
pub mod network_policy;
pub mod service_cidr;

use registry::ResourceDef;

use crate::in_version;

const GROUP: &str = "networking.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![
        ingress::definition(),
        ingress_class::definition(),
        ip_address::definition(),
        network_policy::definition(),
        service_cidr::definition(),
        in_version(ip_address::definition(), "v1beta1"),
        in_version(service_cidr::definition(), "v1beta1"),
    ]
}
