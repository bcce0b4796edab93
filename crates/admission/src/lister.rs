//! How plugins look at other objects: each declares the small [`View`] it
//! needs of a kind and asks a [`Lister`] of it. [`StoreLister`] is the one over
//! the registry; tests have another.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use meta::{ApiError, Revision};
use parking_lot::RwLock;
use registry::Store;
use schema::Value;

/// Views one lister remembers; at the limit it forgets them all and begins anew.
const VIEWS_MAX: usize = 4096;

/// What a plugin wants to know of an object.
pub trait View: Send + Sync + 'static {
    /// Reads it from the tree, which has its defaults.
    fn of(object: &Value) -> Self;
}

/// Looks objects of one resource up.
#[async_trait]
pub trait Lister<V>: Send + Sync {
    /// The object with a name; none if there is none. `namespace` is empty for
    /// cluster-scoped resources. Sees an object as soon as its creation has
    /// been acknowledged.
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Arc<V>>, ApiError>;

    /// All objects, ordered by namespace and name.
    async fn all(&self) -> Result<Vec<Arc<V>>, ApiError>;
}

/// Reads a registry Store, without a cache that could lag: an answer is as
/// fresh as storage. What costs is decoding, so a view is kept for as long as
/// its object has the same revision, which stands for the same content.
pub struct StoreLister<V> {
    store: Arc<Store>,
    /// By storage key.
    seen: RwLock<HashMap<Box<[u8]>, Seen<V>>>,
}

struct Seen<V> {
    revision: Revision,
    view: Arc<V>,
}

impl<V: View> StoreLister<V> {
    /// A lister of the store's resource.
    pub fn new(store: Arc<Store>) -> StoreLister<V> {
        StoreLister { store, seen: RwLock::default() }
    }

    /// The view of the object at a key, which is decoded only if its revision is new.
    fn view(
        &self,
        key: &[u8],
        revision: Revision,
        decode: impl FnOnce() -> Result<Value, ApiError>,
    ) -> Result<Arc<V>, ApiError> {
        if let Some(seen) = self.seen.read().get(key).filter(|seen| seen.revision == revision) {
            return Ok(seen.view.clone());
        }
        let view = Arc::new(V::of(&decode()?));
        let mut seen = self.seen.write();
        if seen.len() >= VIEWS_MAX {
            seen.clear();
        }
        seen.insert(key.into(), Seen { revision, view: view.clone() });
        Ok(view)
    }
}

#[async_trait]
impl<V: View> Lister<V> for StoreLister<V> {
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Arc<V>>, ApiError> {
        let Some(object) = self.store.find_object(namespace, name).await? else { return Ok(None) };
        self.view(&object.key, object.revision, || self.store.decode(&object)).map(Some)
    }

    async fn all(&self) -> Result<Vec<Arc<V>>, ApiError> {
        let objects = self.store.find_all().await?;
        objects
            .iter()
            .map(|object| self.view(&object.key, object.revision, || self.store.decode(object)))
            .collect()
    }
}
