//! The suite that every backend and every object storage passes.
//!
//! One function per clause group of the contract; two macros turn them into
//! tests of the calling crate, which needs `tokio` (features `macros`, `rt`)
//! and this crate's feature `conformance` among its dev-dependencies.
//!
//! ```ignore
//! async fn backend() -> storage::conformance::BackendSuite { /* an empty backend */ }
//! async fn store() -> storage::conformance::Suite {
//!     let BackendSuite { backend, environment, guard } = backend().await;
//!     storage::conformance::Suite::new(backend, environment, guard)
//! }
//! mod contract { storage::conformance::backend_suite!(super::backend); }
//! mod objects { storage::conformance::suite!(super::store); }
//! ```
//!
//! `make` is an async function of no arguments, called anew for each test. In
//! a simulated world, which runs its futures itself, the macros take two: `make`,
//! an async function of a reference to the world, and `world`, which makes a world with a method
//! `run` for a future.
//!
//! Tests wait with the environment's clock, and for events, not for times:
//! what does not come within [`PATIENCE`] counts as lost.

#![allow(clippy::unwrap_used, reason = "a suite of tests: what is wrong must panic")]

mod backend;
mod backend_watch;
mod fixture;
mod list_history;
mod lists;
mod reads;
mod recorder;
mod updates;
mod watches;
mod writes;

pub use backend::*;
pub use backend_watch::*;
pub use fixture::{BackendSuite, PATIENCE, Suite, TestTransformer, pod};
pub use list_history::*;
pub use lists::*;
pub use reads::*;
pub use recorder::{Read, Recorder};
pub use updates::*;
pub use watches::*;
pub use writes::*;

/// Makes a test of each function named. For the two macros below.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ([$make:path, $world:path] $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let world = $world();
                world.run(async {
                    let suite = $make(&world).await;
                    $crate::conformance::$name(&suite).await;
                });
            }
        )*
    };
    ([$make:path] $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let suite = $make().await;
                $crate::conformance::$name(&suite).await;
            }
        )*
    };
}

/// Makes one test per clause of the key-value contract (A.13).
#[macro_export]
macro_rules! __backend_suite {
    ($($make:path),+) => {
        $crate::__conformance_tests! { [$($make),+]
            a_writing_transaction_moves_the_revision_by_one
            a_key_knows_its_history
            a_transaction_runs_one_branch
            a_transaction_sees_its_own_writes
            a_range_is_ordered_limited_and_counted
            a_range_reads_the_past
            compacted_and_future_revisions_are_refused
            compaction_keeps_what_is_needed
            of_concurrent_swaps_one_wins
            an_acknowledged_write_is_read_at_once
            an_expired_lease_takes_its_keys
            a_revoked_lease_takes_its_keys
            a_put_changes_the_lease
            a_put_with_an_unknown_lease_does_nothing
            a_watch_delivers_every_change_once
            a_watch_sees_its_range_only
            a_revision_is_not_split
            a_watch_may_start_in_the_future
            a_watch_from_zero_starts_after_now
            a_watch_below_the_compaction_ends
            a_watch_without_previous_values_has_none
            requested_progress_is_answered_when_idle
            progress_never_overtakes_events
            progress_is_not_owed_before_the_start
            a_dropped_wait_loses_nothing
            a_reader_that_comes_late_misses_nothing
        }
    };
}

/// Makes one test per clause group of object storage (T.1, T.2).
#[macro_export]
macro_rules! __storage_suite {
    ($($make:path),+) => {
        $crate::__conformance_tests! { [$($make),+]
            create
            create_with_ttl
            create_with_key_exist
            stored_bytes_carry_no_resource_version
            get
            unconditional_delete
            conditional_delete
            delete_with_suggestion
            delete_with_suggestion_and_conflict
            delete_with_conflict
            delete_with_suggestion_of_deleted_object
            validate_deletion_with_suggestion
            validate_deletion_with_only_suggestion_valid
            preconditional_delete_with_suggestion
            preconditional_delete_with_only_suggestion_pass
            list
            list_after_a_compaction
            list_tokens_survive_new_writes
            list_selects_and_limits
            list_resolves_resource_versions
            list_refuses_bad_options
            consistent_list
            get_list_non_recursive
            get_list_recursive_prefix
            list_continuation
            list_pagination_rare_object
            list_continuation_with_filter
            list_inconsistent_continuation
            list_resource_version_match
            list_paging
            namespace_scoped_list
            compact_revision
            key_schema
            guaranteed_update
            guaranteed_update_with_ttl
            guaranteed_update_without_ttl_keeps_for_ever
            guaranteed_update_checks_stored_data
            guaranteed_update_with_conflict
            guaranteed_update_with_suggestion_and_conflict
            transformation_failure
            unsafe_delete_is_for_what_cannot_be_read
            stats
            reads_do_not_move_the_revision
            watch
            watch_from_zero
            delete_trigger_watch
            watch_from_non_zero
            delayed_watch_delivery
            watch_error
            watch_context_cancel
            progress_notify
            watch_with_unsafe_delete
            watcher_timeout
            watch_dispatch_bookmark_events
            watch_bookmarks_with_correct_resource_version
            watch_delete_event_object_have_latest_rv
            cluster_scoped_watch
            namespace_scoped_watch
            send_initial_events_backward_compatibility
            watch_semantics
            watch_semantic_initial_events_extended
            watch_list_match_single
            watch_list_from_the_future
            watch_error_is_blocking_further_events
            watch_refuses_bad_resource_versions
            live_events_follow_initial_events_without_gap
            a_list_and_its_watch_add_up_to_a_later_list
        }
    };
}

pub use crate::__backend_suite as backend_suite;
pub use crate::__storage_suite as suite;
