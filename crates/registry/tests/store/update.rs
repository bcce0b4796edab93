//! Updating objects.

use std::sync::Arc;

use meta::options::WriteOptions;
use meta::{ApiError, ObjectMeta};
use registry::{Operation, ResourceDef, StatusMetadata, UpdateKind};

use crate::harness::{
    Harness, Refuses, config_map, config_maps, deployment, deployments, finalizers, with_data,
    with_finalizers,
};

#[tokio::test]
async fn an_update_without_a_resource_version_wins_where_that_is_allowed() {
    let harness = Harness::new(config_maps());
    let created = harness.create(config_map("a")).await.expect("created");
    let (updated, was_created) = harness.put(with_data(config_map("a"), "k", "v")).await.expect("updated");
    assert!(!was_created);
    assert_eq!(updated.str_at(&["data", "k"]), Some("v"));
    let (old, new) = (ObjectMeta::of(&created), ObjectMeta::of(&updated));
    assert_eq!((old.uid(), old.creation_timestamp()), (new.uid(), new.creation_timestamp()));
    assert_ne!(old.resource_version(), new.resource_version());

    let demanding = ResourceDef { unconditional_update: false, ..config_maps() };
    let harness = Harness::new(demanding);
    harness.create(config_map("a")).await.expect("created");
    let Err(ApiError::Invalid { kind, errors, .. }) = harness.put(config_map("a")).await else {
        panic!("invalid")
    };
    assert_eq!(kind.kind, "configmaps", "the resource stands where the kind should");
    assert_eq!(
        errors[0].to_string(),
        "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
}

#[tokio::test]
async fn a_stale_resource_version_is_a_conflict_and_no_number_has_no_reason() {
    let harness = Harness::new(config_maps());
    let created = harness.create(config_map("a")).await.expect("created");
    harness.put(with_data(config_map("a"), "k", "v")).await.expect("updated");
    let stale = harness.put(with_data(created, "k", "w")).await;
    assert_eq!(stale, Err(ApiError::object_modified(&harness.context.resource, "a")));

    let mut odd = config_map("a");
    odd.set(&["metadata", "resourceVersion"], "abc");
    let text = "strconv.ParseUint: parsing \"abc\": invalid syntax";
    assert_eq!(harness.put(odd).await, Err(ApiError::Unknown(text.into())));
}

#[tokio::test]
async fn another_uid_is_a_conflict_and_a_missing_object_is_404_whatever_its_uid() {
    let harness = Harness::new(config_maps());
    let created = harness.create(config_map("a")).await.expect("created");
    let mut other = config_map("a");
    other.set(&["metadata", "uid"], "other");
    for dry_run in [false, true] {
        let options = WriteOptions { dry_run, ..WriteOptions::default() };
        let put = harness.put_with(UpdateKind::Main, other.clone(), &options).await;
        let Err(ApiError::Conflict { message, .. }) = put else { panic!("a conflict") };
        let uid = ObjectMeta::of(&created).uid();
        assert_eq!(
            message,
            format!(
                "StorageError: invalid object, Code: 4, Key: /registry/configmaps/ns/a, ResourceVersion: 0, \
                 AdditionalErrorMsg: Precondition failed: UID in precondition: other, UID in object meta: {uid}"
            )
        );
    }
    let mut missing = config_map("nope");
    missing.set(&["metadata", "uid"], "other");
    let not_found = Err(ApiError::not_found(&harness.context.resource, "nope"));
    assert_eq!(harness.put(missing).await, not_found);
    assert_eq!(harness.put(config_map("nope")).await, not_found);
}

#[tokio::test]
async fn an_update_cannot_rename() {
    let harness = Harness::new(ResourceDef { create_on_update: true, ..config_maps() });
    let text = "the name of the object (b) does not match the name on the URL (a)";
    let rename = || harness.put_at("a", config_map("b"));
    assert_eq!(rename().await, Err(ApiError::BadRequest(text.into())), "while creating");
    harness.create(config_map("a")).await.expect("created");
    assert_eq!(rename().await, Err(ApiError::BadRequest(text.into())), "while updating");
}

#[tokio::test]
async fn a_missing_object_is_created_where_the_resource_allows_it() {
    let harness = Harness::new(ResourceDef { create_on_update: true, ..config_maps() });
    let (created, was_created) = harness.put(config_map("a")).await.expect("created");
    assert!(was_created);
    assert_eq!(ObjectMeta::of(&created).creation_timestamp(), "2024-01-01T00:00:00Z");
    let (_, was_created) = harness.put(config_map("a")).await.expect("updated");
    assert!(!was_created);
}

#[tokio::test]
async fn generation_counts_the_desired_state_and_nothing_else() {
    let harness = Harness::new(deployments());
    harness.create(deployment("a", 1)).await.expect("created");
    let mut labelled = deployment("a", 1);
    labelled.set(&["metadata", "labels", "x"], "y");
    labelled.set(&["metadata", "generation"], 99);
    let mut with_status = deployment("a", 2);
    with_status.set(&["status", "replicas"], 5);
    for (object, generation) in
        [(labelled, 1), (deployment("a", 2), 2), (with_status, 2), (deployment("a", 3), 3)]
    {
        let (updated, _) = harness.put(object).await.expect("updated");
        assert_eq!(ObjectMeta::of(&updated).generation(), generation);
        assert_eq!(updated.int_at(&["status", "replicas"]), None, "status is kept from the old object");
    }
}

#[tokio::test]
async fn status_changes_status_and_metadata_but_not_the_spec() {
    let harness = Harness::new(deployments());
    harness.create(deployment("a", 1)).await.expect("created");
    let mut object = deployment("a", 9);
    object.set(&["status", "replicas"], 5);
    object.set(&["metadata", "labels", "x"], "y");
    object.set(&["bogus"], 1);
    let (updated, _) = harness.put_through(UpdateKind::Status, object).await.expect("updated");
    assert_eq!(updated.int_at(&["spec", "replicas"]), Some(1));
    assert_eq!(updated.int_at(&["status", "replicas"]), Some(5));
    assert_eq!(updated.str_at(&["metadata", "labels", "x"]), Some("y"));
    assert_eq!(updated.get("bogus"), None);
    assert_eq!(ObjectMeta::of(&updated).generation(), 1);
}

#[tokio::test]
async fn a_resource_may_keep_metadata_from_status_updates() {
    let def = ResourceDef { status_metadata: StatusMetadata::Kept, ..deployments() };
    let harness = Harness::new(def);
    harness.create(with_finalizers(deployment("a", 1), &["e.com/f"])).await.expect("created");
    let mut object = deployment("a", 1);
    object.set(&["metadata", "labels", "x"], "y");
    object.set(&["status", "replicas"], 5);
    let (updated, _) = harness.put_through(UpdateKind::Status, object).await.expect("updated");
    assert_eq!(ObjectMeta::of(&updated).labels().len(), 0);
    assert_eq!(finalizers(&updated), ["e.com/f"]);
    assert_eq!(updated.int_at(&["status", "replicas"]), Some(5));
}

#[tokio::test]
async fn an_update_that_changes_nothing_writes_nothing() {
    let harness = Harness::new(config_maps());
    let created = harness.create(with_data(config_map("a"), "k", "v")).await.expect("created");
    let (updated, _) = harness.put(with_data(config_map("a"), "k", "v")).await.expect("updated");
    assert_eq!(ObjectMeta::of(&created).resource_version(), ObjectMeta::of(&updated).resource_version());
}

#[tokio::test]
async fn faults_of_metadata_are_listed_as_often_as_the_original_finds_them() {
    let harness = Harness::new(config_maps());
    harness.create(config_map("a")).await.expect("created");
    let mut object = config_map("a");
    object.set(&["metadata", "labels", "bad key!"], "x");
    let Err(ApiError::Invalid { errors, .. }) = harness.put(object).await else { panic!("invalid") };
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert!(errors.iter().all(|error| error == &errors[0] && error.field.as_str() == "metadata.labels"));
}

#[tokio::test]
async fn taking_the_last_finalizer_off_a_terminating_object_removes_it() {
    let harness = Harness::new(config_maps());
    harness.create(with_finalizers(config_map("a"), &["e.com/f"])).await.expect("created");
    harness.delete("a", Default::default()).await.expect("marked");
    let dry_run = WriteOptions { dry_run: true, ..WriteOptions::default() };
    harness.put_with(UpdateKind::Main, config_map("a"), &dry_run).await.expect("would go");
    harness.get("a").await.expect("a dry run removes nothing");

    let (last, created) = harness.put(with_data(config_map("a"), "x", "z")).await.expect("removed");
    assert!(!created);
    assert_eq!(last.str_at(&["data", "x"]), Some("z"));
    assert_eq!(ObjectMeta::of(&last).deletion_timestamp(), Some("2024-01-01T00:00:00Z"));
    assert!(!ObjectMeta::of(&last).resource_version().is_unset());
    assert!(matches!(harness.get("a").await, Err(ApiError::NotFound { .. })));
}

#[tokio::test]
async fn finalizers_cannot_be_added_once_deletion_has_begun() {
    let harness = Harness::new(config_maps());
    harness.create(with_finalizers(config_map("a"), &["e.com/f"])).await.expect("created");
    harness.delete("a", Default::default()).await.expect("marked");
    let put = harness.put(with_finalizers(config_map("a"), &["e.com/f", "e.com/g"])).await;
    let Err(ApiError::Invalid { errors, .. }) = put else { panic!("invalid") };
    let text = "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers \
                []string{\"e.com/g\"}";
    let found: Vec<String> = errors.iter().map(|error| error.body()).collect();
    assert_eq!(found, [text, text]);
}

#[tokio::test]
async fn a_dry_run_of_an_update_shows_the_change_and_leaves_the_object() {
    let harness = Harness::new(config_maps());
    let created = harness.create(config_map("a")).await.expect("created");
    let options = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let put = harness.put_with(UpdateKind::Main, with_data(config_map("a"), "k", "v"), &options).await;
    let (shown, _) = put.expect("would do");
    assert_eq!(shown.str_at(&["data", "k"]), Some("v"));
    assert_eq!(ObjectMeta::of(&shown).resource_version(), ObjectMeta::of(&created).resource_version());
    assert_eq!(harness.get("a").await, Ok(created));

    let missing = harness.put_with(UpdateKind::Main, config_map("b"), &options).await;
    assert!(matches!(missing, Err(ApiError::NotFound { .. })), "{missing:?}");
    let mut other = config_map("a");
    other.set(&["metadata", "uid"], "other");
    let refused = harness.put_with(UpdateKind::Main, other, &options).await;
    assert!(matches!(refused, Err(ApiError::Conflict { .. })), "{refused:?}");
}

#[tokio::test]
async fn admission_judges_updates_too() {
    let mut harness = Harness::new(config_maps());
    harness.create(config_map("a")).await.expect("created");
    harness.context.admission = Arc::new(Refuses(Operation::Update));
    let refused = Err(ApiError::BadRequest("refused by admission".into()));
    assert_eq!(harness.put(with_data(config_map("a"), "k", "v")).await, refused);
    assert_eq!(harness.get("a").await.expect("there").get("data"), None);
}
