//! Server-side apply through its door: sequences of writes to one object.

mod custom;
mod harness;
mod kinds;
mod managers;
mod model;
