//! Options of the verbs, as they stand after parsing. How they are read from a
//! query or a body, and which combinations are refused with which words, is the
//! server's business: the words show what the client wrote.

use std::time::Duration;

use crate::revision::ResourceVersion;
use crate::selector::{FieldSelector, LabelSelector};

/// Options of get.
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// Lower bound on freshness; none means newest.
    pub resource_version: ResourceVersion,
}

/// `resourceVersionMatch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResourceVersionMatch {
    /// Not given.
    #[default]
    Unset,
    /// `Exact`
    Exact,
    /// `NotOlderThan`
    NotOlderThan,
}

/// Options of list and watch.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Which labels.
    pub label_selector: LabelSelector,
    /// Which fields.
    pub field_selector: FieldSelector,
    /// See the contract, A.7.
    pub resource_version: ResourceVersion,
    /// See the contract, A.7.
    pub resource_version_match: ResourceVersionMatch,
    /// Objects per page; 0 is no limit.
    pub limit: u64,
    /// Token of the page before.
    pub continue_token: String,
    /// Watch: wants bookmarks.
    pub allow_watch_bookmarks: bool,
    /// Watch: wants (or not) the state before the changes; see B.3.
    pub send_initial_events: Option<bool>,
    /// Watch: how long it will be read, if that is known.
    pub watch_lifetime: Option<Duration>,
}

/// What a write must find, else it fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// `metadata.uid`
    pub uid: Option<String>,
    /// `metadata.resourceVersion`
    pub resource_version: Option<String>,
}

impl Preconditions {
    /// True if nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.uid.is_none() && self.resource_version.is_none()
    }
}

/// `propagationPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropagationPolicy {
    /// Dependents stay.
    Orphan,
    /// Dependents go afterwards.
    Background,
    /// Dependents go first.
    Foreground,
}

/// Options of delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds to wait; none is the kind's default.
    pub grace_period_seconds: Option<i64>,
    /// What the object must be.
    pub preconditions: Preconditions,
    /// Deprecated form of the policy.
    pub orphan_dependents: Option<bool>,
    /// What happens to dependents.
    pub propagation_policy: Option<PropagationPolicy>,
    /// Nothing is stored.
    pub dry_run: bool,
    /// Deletes what cannot be read.
    pub ignore_store_read_error: bool,
}

/// Options common to create, update and patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Nothing is stored.
    pub dry_run: bool,
    /// Who writes, for managed fields.
    pub field_manager: String,
    /// Server-side apply: take fields from others.
    pub force: bool,
}
