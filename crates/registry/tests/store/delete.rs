//! Deleting objects, one and many.

use std::sync::Arc;

use meta::options::{DeleteOptions, ListOptions, Preconditions, PropagationPolicy};
use meta::{ApiError, ObjectMeta};
use registry::{DefaultGarbageCollection, Deleted, Operation, ResourceDef, Strategy};
use schema::Value;

use crate::harness::{
    Harness, Refuses, config_map, config_maps, config_maps_with, deployment, deployments, finalizers,
    with_finalizers,
};

fn state(harness: &Harness, deleted: Deleted) -> (Value, bool) {
    (harness.tree(deleted.outcome).expect("a tree"), deleted.removed)
}

fn propagate(policy: PropagationPolicy) -> DeleteOptions {
    DeleteOptions { propagation_policy: Some(policy), ..DeleteOptions::default() }
}

fn grace(seconds: i64) -> DeleteOptions {
    DeleteOptions { grace_period_seconds: Some(seconds), ..DeleteOptions::default() }
}

#[tokio::test]
async fn what_nothing_holds_goes_at_once() {
    let harness = Harness::new(config_maps());
    let created = harness.create(config_map("a")).await.expect("created");
    let deleted = harness.delete("a", DeleteOptions::default()).await.expect("deleted");
    assert_eq!((deleted.removed, deleted.uid.as_str()), (true, ObjectMeta::of(&created).uid()));
    let missing = ApiError::not_found(&harness.context.resource, "a");
    assert_eq!(harness.get("a").await, Err(missing.clone()));
    assert_eq!(harness.delete("a", DeleteOptions::default()).await.err(), Some(missing));
}

#[tokio::test]
async fn finalizers_hold_an_object_that_is_marked_once() {
    let harness = Harness::new(deployments());
    harness.create(with_finalizers(deployment("a", 1), &["e.com/f"])).await.expect("created");
    for _ in 0..2 {
        let deleted = harness.delete("a", DeleteOptions::default()).await.expect("marked");
        let (object, removed) = state(&harness, deleted);
        let meta = ObjectMeta::of(&object);
        assert!(!removed);
        assert_eq!(meta.deletion_timestamp(), Some("2024-01-01T00:00:00Z"));
        assert_eq!((meta.deletion_grace_period_seconds(), meta.generation()), (Some(0), 2));
        harness.pass_seconds(10);
    }
}

/// Finalizers before, options, default of the resource, finalizers after; none if the object goes.
type Propagation =
    (&'static [&'static str], DeleteOptions, DefaultGarbageCollection, Option<&'static [&'static str]>);

#[tokio::test]
async fn propagation_sets_the_finalizers_of_the_garbage_collector() {
    use PropagationPolicy::{Background, Foreground, Orphan};
    let cases: [Propagation; 9] = [
        (&[], propagate(Orphan), DefaultGarbageCollection::Background, Some(&["orphan"])),
        (&[], propagate(Foreground), DefaultGarbageCollection::Background, Some(&["foregroundDeletion"])),
        (&[], propagate(Background), DefaultGarbageCollection::OrphanDependents, None),
        (&[], DeleteOptions::default(), DefaultGarbageCollection::OrphanDependents, Some(&["orphan"])),
        (&[], propagate(Orphan), DefaultGarbageCollection::Unsupported, None),
        (&["orphan"], DeleteOptions::default(), DefaultGarbageCollection::Background, Some(&["orphan"])),
        (&["orphan"], propagate(Background), DefaultGarbageCollection::Background, None),
        (
            &["e.com/f", "orphan"],
            propagate(Foreground),
            DefaultGarbageCollection::Background,
            Some(&["e.com/f", "foregroundDeletion"]),
        ),
        (
            &[],
            DeleteOptions { orphan_dependents: Some(true), ..DeleteOptions::default() },
            DefaultGarbageCollection::Background,
            Some(&["orphan"]),
        ),
    ];
    for (before, options, garbage_collection, after) in cases {
        let harness = Harness::new(ResourceDef { garbage_collection, ..config_maps() });
        harness.create(with_finalizers(config_map("a"), before)).await.expect("created");
        let deleted = harness.delete("a", options.clone()).await.expect("deleted");
        let (object, removed) = state(&harness, deleted);
        assert_eq!(removed, after.is_none(), "{before:?} {options:?}");
        if let Some(after) = after {
            assert_eq!(finalizers(&object), after, "{before:?} {options:?}");
        }
    }
}

#[tokio::test]
async fn background_ends_a_foreground_deletion() {
    let harness = Harness::new(config_maps());
    harness.create(config_map("a")).await.expect("created");
    let deleted = harness.delete("a", propagate(PropagationPolicy::Foreground)).await.expect("marked");
    assert!(!deleted.removed);
    let deleted = harness.delete("a", propagate(PropagationPolicy::Background)).await.expect("removed");
    assert!(deleted.removed);
}

#[tokio::test]
async fn failed_preconditions_name_kind_and_record() {
    let harness = Harness::new(deployments());
    let created = harness.create(deployment("a", 1)).await.expect("created");
    let (uid, version) = (ObjectMeta::of(&created).uid(), ObjectMeta::of(&created).resource_version().0);
    let cases = [
        (
            Preconditions { uid: Some("wrong".into()), resource_version: None },
            format!(
                "the UID in the precondition (wrong) does not match the UID in record ({uid}). The object might have \
                 been deleted and then recreated"
            ),
        ),
        (
            Preconditions { uid: Some(uid.into()), resource_version: Some("99".into()) },
            format!(
                "the ResourceVersion in the precondition (99) does not match the ResourceVersion in record \
                 ({version}). The object might have been modified"
            ),
        ),
    ];
    for (preconditions, text) in cases {
        let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
        let Err(ApiError::Conflict { resource, name, message }) = harness.delete("a", options).await else {
            panic!("a conflict")
        };
        assert_eq!((resource.to_string().as_str(), name.as_str()), ("Deployment.apps", "a"));
        assert_eq!(message, text);
    }
    let preconditions = Preconditions { uid: Some(uid.into()), resource_version: Some(version) };
    let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
    assert!(harness.delete("a", options).await.expect("deleted").removed);
}

/// Waits 30 seconds, or as long as the options say.
struct Graceful;

impl Strategy for Graceful {
    fn check_graceful_delete(&self, _: &Value, options: &mut DeleteOptions) -> bool {
        options.grace_period_seconds.get_or_insert(30);
        true
    }
}

#[tokio::test]
async fn a_grace_period_can_be_shortened_but_not_prolonged() {
    let harness = Harness::new(config_maps_with(Graceful));
    harness.create(config_map("a")).await.expect("created");
    let steps: [(DeleteOptions, i64, i64, &str); 6] = [
        (DeleteOptions::default(), 0, 30, "2024-01-01T00:00:30Z"),
        (DeleteOptions::default(), 0, 30, "2024-01-01T00:00:30Z"),
        (grace(60), 0, 30, "2024-01-01T00:00:30Z"),
        (grace(20), 0, 20, "2024-01-01T00:00:20Z"),
        // Ten seconds later, a period of five would have ended already: it ends now, with one second as the least.
        (grace(5), 10, 1, "2024-01-01T00:00:10Z"),
        (grace(1), 0, 1, "2024-01-01T00:00:10Z"),
    ];
    for (options, seconds, period, deadline) in steps {
        harness.pass_seconds(seconds);
        let deleted = harness.delete("a", options.clone()).await.expect("pending");
        let (object, removed) = state(&harness, deleted);
        assert!(!removed, "{options:?}");
        let meta = ObjectMeta::of(&object);
        assert_eq!(meta.deletion_grace_period_seconds(), Some(period), "{options:?}");
        assert_eq!(meta.deletion_timestamp(), Some(deadline), "{options:?}");
    }
    let deleted = harness.delete("a", grace(0)).await.expect("removed");
    let (last, removed) = state(&harness, deleted);
    assert!(removed);
    assert_eq!(ObjectMeta::of(&last).deletion_grace_period_seconds(), Some(0));
}

#[tokio::test]
async fn a_negative_grace_period_is_one_second_and_a_revision_survives_the_mark() {
    let harness = Harness::new(config_maps_with(Graceful));
    harness.create(config_map("a")).await.expect("created");
    let (object, _) = state(&harness, harness.delete("a", grace(-1)).await.expect("marked"));
    assert_eq!(ObjectMeta::of(&object).deletion_grace_period_seconds(), Some(1));

    let created = harness.create(config_map("b")).await.expect("created");
    let version = Some(ObjectMeta::of(&created).resource_version().0);
    let preconditions = Preconditions { uid: None, resource_version: version };
    let deleted = harness.delete("b", DeleteOptions { preconditions, ..grace(0) }).await.expect("removed");
    assert!(deleted.removed);
}

/// Goes in two steps, as namespaces do.
struct Steps;

impl Strategy for Steps {
    fn begin_deletion(&self, object: &mut Value) {
        object.set(&["data", "phase"], "Terminating");
    }

    fn may_be_removed(&self, object: &Value) -> bool {
        object.str_at(&["data", "holds"]).is_none()
    }
}

#[tokio::test]
async fn what_goes_in_steps_is_marked_first_and_stays_while_it_is_held() {
    let harness = Harness::new(config_maps_with(Steps));
    let mut object = config_map("a");
    object.set(&["data", "holds"], "yes");
    harness.create(object.clone()).await.expect("created");
    for _ in 0..2 {
        let preconditions = Preconditions { uid: Some("other".into()), resource_version: None };
        let refused = harness.delete("a", DeleteOptions { preconditions, ..DeleteOptions::default() }).await;
        let Err(ApiError::Conflict { message, .. }) = refused else { panic!("a conflict") };
        assert!(message.starts_with("Precondition failed: UID in precondition: other, "), "{message}");
        let (object, removed) =
            state(&harness, harness.delete("a", DeleteOptions::default()).await.expect("kept"));
        assert!(!removed);
        assert_eq!(object.str_at(&["data", "phase"]), Some("Terminating"));
        let meta = ObjectMeta::of(&object);
        assert_eq!(meta.deletion_timestamp(), Some("2024-01-01T00:00:00Z"));
        assert_eq!(meta.deletion_grace_period_seconds(), None);
    }
    object.remove(&["data", "holds"]);
    harness.put(object).await.expect("released, and so removed");
    assert!(matches!(harness.get("a").await, Err(ApiError::NotFound { .. })));

    harness.create(config_map("b")).await.expect("created");
    assert!(!harness.delete("b", DeleteOptions::default()).await.expect("marked").removed);
    assert!(harness.delete("b", DeleteOptions::default()).await.expect("removed").removed);
}

#[tokio::test]
async fn a_dry_run_of_a_delete_removes_nothing_and_checks_everything() {
    let dry_run = || DeleteOptions { dry_run: true, ..DeleteOptions::default() };
    for def in [config_maps(), config_maps_with(Graceful), config_maps_with(Steps)] {
        let mut harness = Harness::new(def);
        let created = harness.create(config_map("a")).await.expect("created");
        let shown = harness.delete("a", dry_run()).await.expect("would go");
        assert_eq!(shown.uid, ObjectMeta::of(&created).uid());
        assert_eq!(harness.get("a").await, Ok(created));
        assert!(matches!(harness.delete("b", dry_run()).await, Err(ApiError::NotFound { .. })));
        let preconditions = Preconditions { uid: Some("other".into()), resource_version: None };
        let refused = harness.delete("a", DeleteOptions { preconditions, ..dry_run() }).await;
        assert!(matches!(refused, Err(ApiError::Conflict { .. })));
        harness.context.admission = Arc::new(Refuses(Operation::Delete));
        assert!(matches!(harness.delete("a", dry_run()).await, Err(ApiError::BadRequest(_))));
        assert!(matches!(harness.delete("a", DeleteOptions::default()).await, Err(ApiError::BadRequest(_))));
        harness.get("a").await.expect("still there");
    }
}

#[tokio::test]
async fn a_collection_goes_page_by_page_and_answers_with_what_was() {
    let harness = Harness::new(config_maps());
    for name in ["a", "b", "c", "d", "e"] {
        harness.create(config_map(name)).await.expect("created");
    }
    let limited = ListOptions { limit: 2, ..ListOptions::default() };
    let list = harness.store.delete_collection(&harness.context, DeleteOptions::default(), &limited).await;
    let list = list.expect("deleted");
    assert_eq!((list.remaining_item_count, list.continue_token.is_empty()), (Some(3), false));
    assert_eq!(list.items.count(), 2);

    let everything = ListOptions::default();
    let list = harness.store.delete_collection(&harness.context, DeleteOptions::default(), &everything).await;
    let list = list.expect("deleted");
    assert_eq!((list.remaining_item_count, list.continue_token.as_str()), (None, ""));
    assert_eq!(list.items.count(), 3);
    let left = harness.store.list(&harness.context, &everything).await.expect("listed");
    assert_eq!(left.items.count(), 0);
}

#[tokio::test]
async fn a_collection_stops_at_the_first_refusal() {
    let harness = Harness::new(config_maps());
    harness.create(config_map("a")).await.expect("created");
    let preconditions = Preconditions { uid: Some("other".into()), resource_version: None };
    let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
    let deleted = harness.store.delete_collection(&harness.context, options, &ListOptions::default()).await;
    assert!(matches!(deleted, Err(ApiError::Conflict { .. })));
}
