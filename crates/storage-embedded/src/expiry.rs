//! Ends leases when their time is over. Sleeps until the first deadline, and
//! without a lease it has no timer at all.

use std::pin::pin;
use std::sync::Arc;

use futures::future::select;

use crate::shared::Shared;

/// Runs until the store is closed or takes no writes any more.
pub(crate) async fn run(shared: Arc<Shared>) {
    while !shared.is_closed() {
        let next = shared.head.lock().state.leases.next_deadline();
        let now = shared.environment.clock.monotonic();
        match next {
            None => shared.leases_changed.notified().await,
            Some((deadline, lease)) if deadline <= now => {
                // Gone already if somebody revoked it in between; otherwise only
                // a store without writes refuses, and the queue tells which.
                if shared.end_lease(lease).await.is_err() && shared.head.lock().check_usable().is_err() {
                    return;
                }
            }
            Some((deadline, _)) => {
                let sleep = shared.environment.clock.sleep(deadline - now);
                select(sleep, pin!(shared.leases_changed.notified())).await;
            }
        }
    }
}
