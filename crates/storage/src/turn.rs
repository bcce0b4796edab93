//! Long loops over objects let others run from time to time.

use std::future::poll_fn;
use std::task::Poll;

/// Objects handled before the task steps back in the queue.
const OBJECTS_PER_TURN: usize = 128;

/// Gives way once every [`OBJECTS_PER_TURN`] calls; `n` counts them.
pub(crate) async fn every(n: usize) {
    if !n.is_multiple_of(OBJECTS_PER_TURN) {
        return;
    }
    let mut gave_way = false;
    poll_fn(|context| {
        if gave_way {
            return Poll::Ready(());
        }
        gave_way = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
