//! Reads of a [`Store`] without a request, for plugins and authorizers that
//! look something up. They get stored objects, so that whoever has seen an
//! object at its revision need not decode it again.

use std::sync::Arc;

use meta::{ApiError, ResourceVersion};
use storage::{ListRequest, Object};

use crate::errors::{Verb, interpret};
use crate::store::Store;

impl Store {
    /// An object as it stands now; none if there is none, or if no object
    /// could have such a name.
    pub async fn find_object(&self, namespace: &str, name: &str) -> Result<Option<Arc<Object>>, ApiError> {
        let Ok(key) = self.key(namespace, name) else { return Ok(None) };
        let found = self.storage().get(&key, &ResourceVersion::default()).await;
        found.map_err(|error| interpret(error, Verb::Get, &self.definition().group_resource(), name))
    }

    /// All objects of the resource as they stand now, in key order.
    pub async fn find_all(&self) -> Result<Vec<Arc<Object>>, ApiError> {
        let stored = self.definition().storage().expect("a Store is made for stored resources only");
        let prefix = format!("/{}", stored.prefix.trim_matches('/'));
        let request = ListRequest { recursive: true, ..ListRequest::default() };
        let listed = self.storage().list(&prefix, request).await;
        let resource = self.definition().group_resource();
        Ok(listed.map_err(|error| interpret(error, Verb::List, &resource, ""))?.items.collect())
    }
}
