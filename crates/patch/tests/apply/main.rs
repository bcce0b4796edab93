//! Server-side apply through its door: sequences of writes to one object.

mod custom;
mod harness;
mod items;
mod kinds;
mod managers;
mod model;
