//! Nothing but tests (`tests/it`): kube-rs, written against the original,
//! against a Pintle server. A crate of its own because kube is slow to build.
