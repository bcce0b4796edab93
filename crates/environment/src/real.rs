//! The real outside world.
