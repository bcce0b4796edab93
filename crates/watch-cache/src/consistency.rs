//! The consistency check (C-CON-1): from time to time the cache is compared
//! with the storage below by a digest; a difference is logged and counted, and
//! the cache is filled anew.

use std::sync::atomic::Ordering;
use std::time::Duration;

use environment::Environment;
use futures::future::BoxFuture;
use meta::options::ResourceVersionMatch;
use meta::{ApiError, Revision};
use storage::{Error, ListRequest, Object};

use crate::shared::{Generation, Shared};

/// Time between checks, to which up to half of it is added.
const CHECK_INTERVAL: Duration = Duration::from_secs(300);
/// Objects read from the storage at once.
const PAGE_OBJECTS: u64 = 10_000;
/// What nothing digests to: the offset of 64-bit FNV-1.
const EMPTY_DIGEST: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// When the next check is due.
pub(crate) struct Schedule {
    timer: BoxFuture<'static, ()>,
    /// Revision of the state that was last found to be right.
    checked: Option<Revision>,
}

impl Schedule {
    pub(crate) fn new(environment: &Environment) -> Schedule {
        Schedule { timer: timer(environment), checked: None }
    }

    /// Completes when a check is due. Cancel-safe.
    pub(crate) fn due(&mut self) -> &mut BoxFuture<'static, ()> {
        &mut self.timer
    }
}

fn timer(environment: &Environment) -> BoxFuture<'static, ()> {
    let spread = CHECK_INTERVAL.as_millis() as u64 / 2;
    environment.clock.sleep(CHECK_INTERVAL + Duration::from_millis(environment.random.below(spread)))
}

/// Compares; fails if the cache is wrong. A state that was checked is not checked again.
pub(crate) async fn check(
    shared: &Shared,
    generation: &Generation,
    schedule: &mut Schedule,
) -> Result<(), ApiError> {
    schedule.timer = timer(&shared.environment);
    let (view, revision) = generation.newest();
    if schedule.checked == Some(view.revision) {
        return Ok(());
    }
    let mut cached = EMPTY_DIGEST;
    view.objects.iter().for_each(|entry| digest(entry.object(), shared.extractor.root.len(), &mut cached));
    let metrics = &shared.metrics;
    match stored(shared, revision).await {
        Ok(stored) if stored == cached => {
            metrics.consistency_checks_success_total.fetch_add(1, Ordering::Relaxed);
            schedule.checked = Some(view.revision);
            Ok(())
        }
        Ok(stored) => {
            metrics.consistency_checks_failure_total.fetch_add(1, Ordering::Relaxed);
            let resource = &shared.resource_prefix;
            tracing::error!(resource, %revision, cached, stored, "the watch cache differs from the storage");
            Err(ApiError::Internal("the watch cache differs from the storage".to_owned()))
        }
        Err(error) => {
            metrics.consistency_checks_error_total.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "the watch cache could not be compared with the storage");
            Ok(())
        }
    }
}

async fn stored(shared: &Shared, revision: Revision) -> Result<u64, Error> {
    let mut stored = EMPTY_DIGEST;
    let mut request = ListRequest {
        resource_version: revision.into(),
        resource_version_match: ResourceVersionMatch::Exact,
        recursive: true,
        limit: PAGE_OBJECTS,
        ..ListRequest::default()
    };
    loop {
        let page = shared.inner.list(&shared.resource_prefix, request.clone()).await?;
        page.items.for_each(|object| digest(&object, shared.extractor.root.len(), &mut stored));
        if page.continue_token.is_empty() {
            return Ok(stored);
        }
        request = ListRequest {
            recursive: true,
            limit: PAGE_OBJECTS,
            continue_token: page.continue_token,
            ..ListRequest::default()
        };
    }
}

/// Namespace, name and revision of an object, slashes between them; `root`
/// bytes of the key stand before the namespace.
fn digest(object: &Object, root: usize, state: &mut u64) {
    let names = object.key.get(root..).unwrap_or_default();
    let revision = object.revision.to_string();
    for byte in names.iter().chain(b"/").chain(revision.as_bytes()) {
        *state = state.wrapping_mul(FNV_PRIME) ^ u64::from(*byte);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn digest_of(objects: &[(&'static str, u64)]) -> u64 {
        let mut state = EMPTY_DIGEST;
        for (key, revision) in objects {
            let object = Object::new(Bytes::from_static(key.as_bytes()), Revision(*revision), Bytes::new());
            digest(&object, "/registry/pods/".len(), &mut state);
        }
        state
    }

    #[test]
    fn a_digest_tells_names_revisions_and_order_and_nothing_else() {
        let one = ("/registry/pods/ns/a", 5);
        let two = ("/registry/pods/ns/b", 6);
        assert_eq!(digest_of(&[]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(digest_of(&[one, two]), digest_of(&[one, two]));
        let others = [vec![one], vec![two, one], vec![one, ("/registry/pods/ns/b", 7)]];
        assert!(others.iter().all(|other| digest_of(other) != digest_of(&[one, two])));
        // The prefix is no part of it.
        assert_eq!(digest_of(&[("/elsewhat/pods/ns/a", 5)]), digest_of(&[one]));
    }
}
