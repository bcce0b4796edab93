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
/// fresh as storage. What costs is decoding, so views are kept.
pub struct StoreLister<V> {
    store: Arc<Store>,
    views: Views<V>,
}

impl<V: View> StoreLister<V> {
    /// A lister of the store's resource.
    pub fn new(store: Arc<Store>) -> StoreLister<V> {
        StoreLister { store, views: Views(RwLock::default()) }
    }
}

#[async_trait]
impl<V: View> Lister<V> for StoreLister<V> {
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Arc<V>>, ApiError> {
        let Some(object) = self.store.find_object(namespace, name).await? else { return Ok(None) };
        self.views.view(&object.key, object.revision, || self.store.decode(&object)).map(Some)
    }

    async fn all(&self) -> Result<Vec<Arc<V>>, ApiError> {
        let objects = self.store.find_all().await?;
        objects
            .iter()
            .map(|object| self.views.view(&object.key, object.revision, || self.store.decode(object)))
            .collect()
    }
}

/// Views by storage key, each for as long as its object has the same revision,
/// which stands for the same content.
struct Views<V>(RwLock<HashMap<Box<[u8]>, Seen<V>>>);

struct Seen<V> {
    revision: Revision,
    view: Arc<V>,
}

impl<V: View> Views<V> {
    /// The view of the object at a key, which is decoded only if its revision is new.
    fn view(
        &self,
        key: &[u8],
        revision: Revision,
        decode: impl FnOnce() -> Result<Value, ApiError>,
    ) -> Result<Arc<V>, ApiError> {
        if let Some(seen) = self.0.read().get(key).filter(|seen| seen.revision == revision) {
            return Ok(seen.view.clone());
        }
        let view = Arc::new(V::of(&decode()?));
        let mut views = self.0.write();
        if views.len() >= VIEWS_MAX && !views.contains_key(key) {
            views.clear();
        }
        views.insert(key.into(), Seen { revision, view: view.clone() });
        Ok(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(i64);

    impl View for Number {
        fn of(object: &Value) -> Number {
            Number(object.as_int().expect("tests hold numbers"))
        }
    }

    fn views() -> Views<Number> {
        Views(RwLock::default())
    }

    fn view(views: &Views<Number>, key: &str, revision: u64, number: i64) -> i64 {
        let view = views.view(key.as_bytes(), Revision(revision), || Ok(Value::Int(number)));
        view.expect("a number").0
    }

    #[test]
    fn an_object_is_decoded_once_per_revision() {
        let views = views();
        assert_eq!(view(&views, "a", 1, 10), 10);
        assert_eq!(view(&views, "a", 1, 11), 10, "the same revision is the same content");
        assert_eq!(view(&views, "a", 2, 12), 12);
        assert_eq!(view(&views, "b", 2, 13), 13);
        // An older object, read before a newer one was seen, is not mistaken for it.
        assert_eq!(view(&views, "a", 1, 14), 14);
    }

    #[test]
    fn an_object_that_cannot_be_decoded_is_not_remembered() {
        let views = views();
        let failure = ApiError::Internal("damaged".to_owned());
        let failed = views.view(b"a", Revision(1), || Err(failure.clone()));
        assert_eq!(failed.err(), Some(failure));
        assert_eq!(view(&views, "a", 1, 1), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let views = views();
        for i in 0..=VIEWS_MAX {
            view(&views, &i.to_string(), 1, 0);
        }
        assert_eq!(views.0.read().len(), 1);
    }
}
