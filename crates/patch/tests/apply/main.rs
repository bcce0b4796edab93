//! Server-side apply through its door: sequences of writes to one object.

mod harness;
mod kinds;
mod managers;
mod model;
