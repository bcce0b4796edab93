//! GuaranteedUpdate (A.6): an optimistic loop over three states that must not
//! be confused: what the caller believed, what is stored, and what is wanted.

use std::sync::Arc;

use crate::Error;
use crate::interface::{Object, UpdateRequest, Updated};
use crate::metrics::Operation;
use crate::store::{Inner, State, check_preconditions};

/// Runs the loop. Unbounded: each turn means that somebody else's write won.
pub(crate) async fn guaranteed_update(
    store: &Inner,
    key: &str,
    request: UpdateRequest<'_>,
) -> Result<Updated, Error> {
    let UpdateRequest { ignore_not_found, preconditions, hint, try_update } = request;
    let mut state = match hint {
        Some(hint) => store.hinted(&hint)?,
        None => fresh(store, key, ignore_not_found).await?,
    };
    loop {
        if let Err(error) = check_preconditions(&preconditions, key, &state.tree) {
            if state.live {
                return Err(error);
            }
            state = fresh(store, key, ignore_not_found).await?;
            continue;
        }
        let tree = std::mem::take(&mut state.tree);
        let (new, ttl_seconds) = match try_update.try_update(tree, state.revision).await {
            Ok(done) => done,
            Err(error) if state.live => return Err(error),
            Err(error) => {
                // The error may come from stale data. If the data was not stale, it is the answer (A-UPD-5).
                let believed = state.revision;
                state = fresh(store, key, ignore_not_found).await?;
                if state.revision == believed {
                    return Err(error);
                }
                continue;
            }
        };
        let data = store.encode(&new)?;
        if !state.stale && data == state.data {
            if !state.live {
                // Only stored bytes can prove that there is nothing to write (A-UPD-7).
                state = fresh(store, key, ignore_not_found).await?;
                if data != state.data {
                    continue;
                }
            }
            if !state.stale {
                return Ok(Updated { object: object(key, &state), written: false });
            }
        }
        let lease = store.lease(key, ttl_seconds.unwrap_or(0)).await?;
        let response = store.put_if(Operation::Update, key, state.revision, data.clone(), lease).await?;
        if response.succeeded {
            let object = Object::new(key.to_owned().into(), response.revision, data);
            return Ok(Updated { object: Arc::new(object), written: true });
        }
        let found = match response.gets.into_iter().next() {
            Some(found) => found,
            None => store.read(key).await?,
        };
        state = store.state(key, found, ignore_not_found).await?;
    }
}

async fn fresh(store: &Inner, key: &str, ignore_not_found: bool) -> Result<State, Error> {
    store.state(key, store.read(key).await?, ignore_not_found).await
}

fn object(key: &str, state: &State) -> Arc<Object> {
    Arc::new(Object::new(key.to_owned().into(), state.revision, state.data.clone()))
}
