//! SPDY/3.1 as kubelets and clients of Kubernetes speak it: streams over one
//! connection, each with headers, data both ways and an end of its own.
//!
//! What the draft has and nobody here uses is left out: there is no flow
//! control (the peers' library has none, so waiting for a window would be
//! waiting for ever), no priorities and no settings. A stream that is not read
//! holds up the streams beside it, as it does in that library.

mod frame;
mod headers;
mod session;

pub use session::{Incoming, Session, SpdyError, Stream, StreamSender};

/// The value of `Upgrade`.
pub const UPGRADE: &str = "SPDY/3.1";
