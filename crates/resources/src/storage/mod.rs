//! Group `storage.k8s.io`: kinds of storage, their drivers, and which volume
//! is attached where. Deletes answer with the object, capacities apart.

pub mod csi_driver;
pub mod csi_node;
pub mod csi_storage_capacity;
pub mod storage_class;
pub mod volume_attachment;
pub mod volume_attributes_class;

use registry::ResourceDef;

use crate::in_version;

const GROUP: &str = "storage.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![
        csi_driver::definition(),
        csi_node::definition(),
        csi_storage_capacity::definition(),
        storage_class::definition(),
        volume_attachment::definition(),
        volume_attributes_class::definition(),
        in_version(volume_attributes_class::definition(), "v1beta1"),
    ]
}
