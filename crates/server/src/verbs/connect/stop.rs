//! Streams end with the server: whoever waits for the last one would wait for ever.

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::filters::Exchange;
use crate::respond::{Body, BodyError};

/// Waits until the server is told to stop. A stopper that is gone never stops it.
pub async fn stopped(mut stopping: watch::Receiver<bool>) {
    if stopping.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A body of another server as ours, piece by piece, until the server stops.
/// Counted as a stream as long as it is there.
pub fn relayed(body: Incoming, exchange: &Exchange) -> Body {
    let open = exchange.services.metrics.streaming(&exchange.info);
    let stopping = exchange.services.stopping.clone();
    let size = http_body::Body::size_hint(&body).exact();
    let frames =
        BodyStream::new(body.map_err(|error| BodyError(format!("the other server broke off: {error}"))));
    let frames = frames.inspect(move |_| {
        // Only to be held.
        let _ = &open;
    });
    if size.is_some_and(|size| size <= AT_ONCE_BYTES_MAX) {
        return StreamBody::new(frames).boxed_unsync();
    }
    StreamBody::new(frames.take_until(stopped(stopping))).boxed_unsync()
}

/// A body that was read in part, and the rest of it.
pub fn continued(read: Bytes, rest: Incoming, exchange: &Exchange) -> Body {
    let first = stream::iter([Ok(Frame::data(read))]);
    StreamBody::new(first.chain(BodyStream::new(relayed(rest, exchange)))).boxed_unsync()
}

/// Bodies of known length up to this are let finish, in bytes.
const AT_ONCE_BYTES_MAX: u64 = 1024 * 1024;
