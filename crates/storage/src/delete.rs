//! Delete (A.5): a hint is tried first, but only the live object's verdict counts.

use std::sync::Arc;

use bytes::Bytes;
use meta::Revision;

use crate::Error;
use crate::backend::{KeyValue, Op, TxnResponse};
use crate::interface::{DeleteRequest, Object};
use crate::metrics::Operation;
use crate::store::{Inner, State, check_preconditions};

/// Deletes under an optimistic lock, again and again until no one interfered.
pub(crate) async fn delete(
    store: &Inner,
    key: &str,
    request: DeleteRequest<'_>,
) -> Result<Arc<Object>, Error> {
    if request.ignore_read_error {
        return delete_unreadable(store, key, &request).await;
    }
    let mut state = match &request.hint {
        Some(hint) => store.hinted(hint)?,
        None => store.state(key, store.read(key).await?, false).await?,
    };
    loop {
        if let Err(error) = allowed(key, &request, &state).await {
            if state.live {
                return Err(error);
            }
            // The hint may be stale. If it was not, its error is the answer (A-DEL-5).
            let believed = state.revision;
            state = store.state(key, store.read(key).await?, false).await?;
            if state.revision == believed {
                return Err(error);
            }
            continue;
        }
        let mut response = delete_if(store, key, state.revision).await?;
        if response.succeeded {
            let key = Bytes::copy_from_slice(key.as_bytes());
            return Ok(Arc::new(Object::new(key, response.revision, state.data)));
        }
        state = store.state(key, take_found(&mut response), false).await?;
    }
}

async fn allowed(key: &str, request: &DeleteRequest<'_>, state: &State) -> Result<(), Error> {
    check_preconditions(&request.preconditions, key, &state.tree)?;
    request.validate.validate(&state.tree).await
}

/// A-DEL-10, A-DEL-11: only what cannot be read is deleted so, judged on the
/// very state that goes. Nobody else can judge it, and there is nothing to
/// return but the key and the delete's revision.
async fn delete_unreadable(
    store: &Inner,
    key: &str,
    request: &DeleteRequest<'_>,
) -> Result<Arc<Object>, Error> {
    if !request.preconditions.is_empty() {
        return Err(Error::Internal("can't enforce preconditions on un-introspectable object".into()));
    }
    let mut found = store.read(key).await?;
    loop {
        let Some(kv) = found else {
            return Err(Error::KeyNotFound { key: key.to_owned(), revision: Revision(0) });
        };
        if is_readable(store, &kv).await {
            let message = "the object can be read and is to be deleted like any other".to_owned();
            return Err(Error::InvalidObject { key: key.to_owned(), message });
        }
        let mut response = delete_if(store, key, kv.mod_revision).await?;
        if response.succeeded {
            return Ok(Arc::new(Object::new(kv.key, response.revision, Bytes::new())));
        }
        found = take_found(&mut response);
    }
}

async fn is_readable(store: &Inner, kv: &KeyValue) -> bool {
    match store.transform(kv).await {
        Ok((data, _)) => store.decode(&kv.key, &data, kv.mod_revision).is_ok(),
        Err(_) => false,
    }
}

async fn delete_if(store: &Inner, key: &str, expected: Revision) -> Result<TxnResponse, Error> {
    let bytes = Bytes::copy_from_slice(key.as_bytes());
    let failure = vec![Op::Get { key: bytes.clone() }];
    store.txn(Operation::Delete, key, expected, Op::Delete { key: bytes }, failure).await
}

fn take_found(response: &mut TxnResponse) -> Option<KeyValue> {
    response.gets.pop().flatten()
}

#[cfg(test)]
mod tests {
    use schema::Value;

    use super::*;
    use crate::Storage;
    use crate::testing::{Pods, put};

    #[tokio::test]
    async fn what_can_be_read_is_not_deleted_unseen() {
        let pods = Pods::new();
        pods.create("ns", "a").await;
        let accept = |_: &Value| Ok(());
        let delete = async || {
            let request = DeleteRequest {
                preconditions: Default::default(),
                validate: &accept,
                hint: None,
                ignore_read_error: true,
            };
            pods.store.delete("/pods/ns/a", request).await.map(|gone| gone.revision)
        };
        assert!(matches!(delete().await, Err(Error::InvalidObject { .. })));
        let damaged = put(&pods.model, "/registry/pods/ns/a", "nonsense").await;
        assert_eq!(delete().await, Ok(Revision(damaged.0 + 1)));
        assert!(matches!(delete().await, Err(Error::KeyNotFound { .. })));
        assert_eq!(pods.store.metrics().decode_errors.get(), 1);
    }
}
