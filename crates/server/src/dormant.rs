//! [`Dormant`]: a future beside the work of a connection that almost never
//! completes, such as the end of the server or of a watch's time.
//!
//! A task that waits for several things asks all of them whenever one wakes
//! it. For a thousand watches woken together that is mostly memory fetched to
//! learn nothing. A dormant future is asked only after it has called.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::BoxFuture;
use futures::task::AtomicWaker;

/// Polls the future within only when it has woken, not when others have.
pub struct Dormant<T> {
    future: BoxFuture<'static, T>,
    call: Arc<Call>,
    /// The waker that `call` has.
    task: Option<Waker>,
}

/// What the future within wakes.
struct Call {
    called: AtomicBool,
    task: AtomicWaker,
}

impl<T> Dormant<T> {
    /// Wraps a future.
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Dormant<T> {
        // Called, so that it is asked once to begin with.
        let call = Arc::new(Call { called: AtomicBool::new(true), task: AtomicWaker::new() });
        Dormant { future: Box::pin(future), call, task: None }
    }
}

impl<T> Future for Dormant<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            self.call.task.register(context.waker());
            self.task = Some(context.waker().clone());
        }
        if !self.call.called.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.call.called.store(false, Ordering::Release);
        let waker = Waker::from(self.call.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.called.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::FutureExt;
    use futures::channel::oneshot;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn it_is_asked_only_when_it_has_called_and_wakes_the_task_that_asked_last() {
        let (sender, receiver) = oneshot::channel();
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = polls.clone();
        let mut receiver = receiver;
        let mut dormant = Dormant::new(futures::future::poll_fn(move |context| {
            counted.fetch_add(1, Ordering::SeqCst);
            receiver.poll_unpin(context)
        }));
        let (first, second) = (Arc::new(Counted::default()), Arc::new(Counted::default()));
        for task in [&first, &first, &second, &second] {
            let waker = Waker::from(task.clone());
            assert!(dormant.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(polls.load(Ordering::SeqCst), 1);
        sender.send(7).expect("somebody listens");
        assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (0, 1));
        let waker = Waker::from(second);
        assert_eq!(dormant.poll_unpin(&mut Context::from_waker(&waker)), Poll::Ready(Ok(7)));
    }
}
