//! Group `certificates.k8s.io`: certificates on request.

pub mod certificate_signing_request;
pub mod cluster_trust_bundle;
pub mod pod_certificate_request;

use registry::ResourceDef;

use crate::in_version;

const GROUP: &str = "certificates.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![
        certificate_signing_request::definition(),
        cluster_trust_bundle::definition(),
        pod_certificate_request::definition(),
        in_version(cluster_trust_bundle::definition(), "v1alpha1"),
    ]
}
