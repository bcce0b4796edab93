//! Creating objects.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use meta::options::WriteOptions;
use meta::{ApiError, ObjectMeta};
use registry::{Operation, ResourceDef, Subresource};
use schema::Value;

use crate::harness::{
    Counting, Harness, Refuses, config_map, config_maps, deployment, deployments, with_data, with_finalizers,
};

const DRY_RUN: WriteOptions = WriteOptions { dry_run: true, field_manager: String::new(), force: false };

#[tokio::test]
async fn a_new_object_gets_its_identity_from_the_server_alone() {
    let harness = Harness::new(config_maps());
    let mut object = with_data(config_map("a"), "k", "v");
    for (field, value) in [("uid", "mine"), ("creationTimestamp", "1999-01-01T00:00:00Z"), ("selfLink", "/x")]
    {
        object.set(&["metadata", field], value);
    }
    let created = harness.create(object).await.expect("created");
    let meta = ObjectMeta::of(&created);
    assert_eq!((meta.namespace(), meta.creation_timestamp()), ("ns", "2024-01-01T00:00:00Z"));
    assert_eq!(meta.uid().len(), 36);
    assert_eq!(created.str_at(&["metadata", "selfLink"]), None);
    assert!(!meta.resource_version().is_unset());
    assert_eq!(harness.get("a").await, Ok(created));
}

#[tokio::test]
async fn a_taken_name_is_refused_and_says_so_when_its_owner_is_going() {
    let harness = Harness::new(config_maps());
    harness.create(with_finalizers(config_map("a"), &["e.com/f"])).await.expect("created");
    let again = |prefix| ApiError::AlreadyExists {
        resource: harness.context.resource.clone(),
        name: "a".into(),
        prefix,
    };
    assert_eq!(harness.create(config_map("a")).await, Err(again("")));
    harness.delete("a", Default::default()).await.expect("marked");
    assert_eq!(harness.create(config_map("a")).await, Err(again("object is being deleted: ")));
}

#[tokio::test]
async fn a_generated_name_is_its_prefix_and_five_letters() {
    let harness = Harness::new(config_maps());
    let mut object = config_map("");
    object.set(&["metadata", "generateName"], format!("{}-", "x".repeat(70)));
    // A base that long is cut, so that the whole is a label of 63.
    let created = harness.create(object).await.expect("created");
    let name = ObjectMeta::of(&created).name().to_owned();
    assert_eq!(name.len(), 63);
    assert!(name.starts_with(&"x".repeat(58)));
    assert!(name[58..].bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b)), "{name}");
}

#[tokio::test]
async fn a_taken_generated_name_is_drawn_anew_eight_times_in_all() {
    for (taken, lucky) in [(7, true), (8, false)] {
        let harness = Harness::with_random(config_maps(), Arc::new(Counting(AtomicI64::new(0))));
        for letter in b"bcdfghjklm".iter().take(taken) {
            let name = format!("g-{}", String::from(*letter as char).repeat(5));
            harness.create(config_map(&name)).await.expect("created");
        }
        let mut object = config_map("");
        object.set(&["metadata", "generateName"], "g-");
        match harness.create(object).await {
            Ok(created) => {
                assert!(lucky);
                assert_eq!(ObjectMeta::of(&created).name(), "g-kkkkk");
            }
            Err(error) => {
                assert!(!lucky);
                let (resource, name) = (harness.context.resource.clone(), "g-kkkkk".to_owned());
                assert_eq!(error, ApiError::GenerateNameConflict { resource, name });
            }
        }
    }
}

#[tokio::test]
async fn a_name_is_required_and_must_be_well_formed() {
    let harness = Harness::new(config_maps());
    let cases = [
        (config_map(""), "metadata.name: Required value: name or generateName is required"),
        (
            config_map("Not_Valid"),
            "metadata.name: Invalid value: \"Not_Valid\": a lowercase RFC 1123 subdomain",
        ),
    ];
    for (object, text) in cases {
        let Err(ApiError::Invalid { kind, errors, .. }) = harness.create(object).await else {
            panic!("{text}")
        };
        assert_eq!(kind.to_string(), "ConfigMap");
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].to_string().starts_with(text), "{}", errors[0]);
    }
}

#[tokio::test]
async fn the_namespace_of_the_object_is_that_of_the_request() {
    let harness = Harness::new(config_maps());
    let mut object = config_map("a");
    object.set(&["metadata", "namespace"], "other");
    let text = "the namespace of the provided object does not match the namespace sent on the request";
    assert_eq!(harness.create(object).await, Err(ApiError::BadRequest(text.into())));

    let nodes =
        ResourceDef { namespaced: false, ..ResourceDef::stored("", "v1", "nodes", "Node", registry::Plain) };
    let harness = Harness::new(nodes);
    let mut object = config_map("a");
    object.set(&["metadata", "namespace"], "other");
    let created = harness.create(object).await.expect("created");
    assert_eq!(ObjectMeta::of(&created).namespace(), "");
}

#[tokio::test]
async fn status_is_cleared_and_generation_starts_unless_the_resource_says_otherwise() {
    let object = || {
        let mut object = deployment("a", 1);
        object.set(&["status", "replicas"], 7);
        object
    };
    let created = Harness::new(deployments()).create(object()).await.expect("created");
    assert_eq!(created.int_at(&["status", "replicas"]), None);
    assert_eq!(ObjectMeta::of(&created).generation(), 1);

    let keeps = ResourceDef {
        keeps_status_on_create: true,
        generation: false,
        subresources: vec![Subresource::status()],
        ..deployments()
    };
    let created = Harness::new(keeps).create(object()).await.expect("created");
    assert_eq!(created.int_at(&["status", "replicas"]), Some(7));
    assert_eq!(ObjectMeta::of(&created).generation(), 0);
}

#[tokio::test]
async fn a_resource_version_is_refused_only_if_it_is_one() {
    for (version, accepted) in [("1", false), ("0", true), ("abc", true), ("", true)] {
        let harness = Harness::new(config_maps());
        let mut object = config_map("a");
        object.set(&["metadata", "resourceVersion"], version);
        let created = harness.create(object).await;
        match created {
            Ok(_) => assert!(accepted, "{version}"),
            Err(error) => {
                assert!(!accepted, "{version}: {error}");
                let text = "resourceVersion should not be set on objects to be created";
                assert_eq!(error, ApiError::Unknown(text.into()));
            }
        }
    }
}

#[tokio::test]
async fn a_dry_run_answers_as_if_but_stores_nothing() {
    let harness = Harness::new(config_maps());
    let outcome = harness.store.create(&harness.context, config_map("a"), &DRY_RUN).await.expect("would do");
    let tree = harness.tree(outcome).expect("a tree");
    assert_eq!(ObjectMeta::of(&tree).uid().len(), 36);
    assert!(ObjectMeta::of(&tree).resource_version().is_unset());
    assert!(matches!(harness.get("a").await, Err(ApiError::NotFound { .. })));

    harness.create(config_map("a")).await.expect("created");
    let outcome = harness.store.create(&harness.context, config_map("a"), &DRY_RUN).await;
    assert!(matches!(outcome, Err(ApiError::AlreadyExists { .. })));
}

#[tokio::test]
async fn admission_has_the_last_word() {
    let mut harness = Harness::new(config_maps());
    harness.context.admission = Arc::new(Refuses(Operation::Create));
    let refused = Err(ApiError::BadRequest("refused by admission".into()));
    assert_eq!(harness.create(config_map("a")).await, refused);
    assert!(matches!(harness.get("a").await, Err(ApiError::NotFound { .. })));
}

#[tokio::test]
async fn repeated_owner_references_are_dropped_with_a_warning() {
    let harness = Harness::new(config_maps());
    let owner = |uid: &str| {
        let mut owner = Value::map();
        owner.set(&["apiVersion"], "v1");
        owner.set(&["kind"], "Pod");
        owner.set(&["name"], "p");
        owner.set(&["uid"], uid);
        owner
    };
    let mut object = config_map("a");
    object.set(&["metadata", "ownerReferences"], vec![owner("u1"), owner("u2"), owner("u1")]);
    let created = harness.create(object).await.expect("created");
    assert_eq!(ObjectMeta::of(&created).owner_references().len(), 2);
    let warnings = harness.context.take_warnings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with(".metadata.ownerReferences contains duplicate entries; API server dedups")
    );
    assert!(warnings[0].ends_with("duplicate UID(s) observed: u1"), "{}", warnings[0]);
}
