//! Group `certificates.k8s.io`: certificates on request.

pub mod certificate_signing_request;

use registry::ResourceDef;

const GROUP: &str = "certificates.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![certificate_signing_request::definition()]
}
