//! Deleting objects that cannot be read, and no others.

use std::sync::Arc;

use async_trait::async_trait;
use meta::ApiError;
use meta::options::{DeleteOptions, GetOptions, ListOptions};
use parking_lot::Mutex;
use registry::{AuthorizationAttributes, Authorizer, Decision, Operation};
use storage::backend::{Backend, LeaseId, Op, Txn};

use crate::harness::{Harness, Refuses, config_map, config_maps};

/// Refuses everything, and remembers what was asked.
#[derive(Default)]
struct Refusing(Mutex<Vec<String>>);

#[async_trait]
impl Authorizer for Refusing {
    async fn authorize(&self, asked: &AuthorizationAttributes<'_>) -> Decision {
        let AuthorizationAttributes { verb, group, resource, namespace, name, .. } = asked;
        self.0.lock().push(format!("{verb} {group}/{resource} {namespace}/{name}"));
        Decision::NoOpinion("nobody may".into())
    }
}

/// Puts a value that nobody can read in the place of an object.
async fn damage(harness: &Harness, name: &str) {
    let key = format!("/registry/configmaps/ns/{name}");
    let put = Op::Put { key: key.into(), value: "nonsense".into(), lease: LeaseId(0) };
    harness.backend.txn(Txn { success: vec![put], ..Txn::default() }).await.expect("a write");
}

async fn delete_unseen(harness: &Harness, name: &str) -> Result<(), ApiError> {
    harness.store.delete_unreadable(&harness.context, name).await
}

fn message(error: ApiError) -> String {
    match error {
        ApiError::Forbidden { message, .. } => message,
        ApiError::Invalid { errors, .. } => errors[0].to_string(),
        other => other.to_string(),
    }
}

/// TestUnsafeDeleteWithCorruptObject, TestUnsafeDeleteWithAdmissionShouldBeSkipped.
#[tokio::test]
async fn an_unreadable_object_goes_whatever_admission_says() {
    let mut harness = Harness::new(config_maps());
    harness.context.admission = Arc::new(Refuses(Operation::Delete));
    harness.create(config_map("a")).await.expect("created");
    damage(&harness, "a").await;
    let corrupt = "Internal error occurred: StorageError: corrupt object, Code: 7, Key: /configmaps/ns/a, \
                   ResourceVersion: 0, AdditionalErrorMsg: object not decodable revision=3: ";
    let found = harness.store.get(&harness.context, "a", &GetOptions::default()).await;
    let error = message(found.expect_err("unreadable"));
    assert!(error.starts_with(corrupt), "{error}");
    let error = message(harness.delete("a", DeleteOptions::default()).await.expect_err("unreadable"));
    assert!(error.starts_with(corrupt), "{error}");
    delete_unseen(&harness, "a").await.expect("deleted");
    assert_eq!(
        harness.get("a").await,
        Err(ApiError::not_found(&harness.context.resource, "a")),
        "it is still there"
    );
}

/// TestUnsafeDeletePrecondition.
#[tokio::test]
async fn what_can_be_read_or_is_not_there_is_refused() {
    let harness = Harness::new(config_maps());
    harness.create(config_map("a")).await.expect("created");
    for name in ["a", "missing"] {
        let error = message(delete_unseen(&harness, name).await.expect_err("refused"));
        assert_eq!(
            error,
            "ignoreStoreReadErrorWithClusterBreakingPotential: Invalid value: true: is exclusively used to delete \
             corrupt object(s), try again by removing this option"
        );
    }
    harness.get("a").await.expect("it is still there");
}

/// TestAuthorizeUnsafeDelete.
#[tokio::test]
async fn it_needs_a_permission_of_its_own() {
    let mut harness = Harness::new(config_maps());
    harness.create(config_map("a")).await.expect("created");
    damage(&harness, "a").await;
    let authorizer = Arc::new(Refusing::default());
    harness.context.authorizer = authorizer.clone();
    let error = message(delete_unseen(&harness, "a").await.expect_err("refused"));
    assert_eq!(error, "not permitted to do \"unsafe-delete-ignore-read-errors\", reason: nobody may");
    assert_eq!(*authorizer.0.lock(), ["unsafe-delete-ignore-read-errors /configmaps ns/a"]);
    harness.context.subresource = "status".into();
    let error = message(delete_unseen(&harness, "a").await.expect_err("refused"));
    assert!(error.ends_with("is not allowed on a subresource or non-resource request"), "{error}");
    assert!(harness.get("a").await.is_err(), "it was removed");
}

#[tokio::test]
async fn a_list_names_what_cannot_be_read_up_to_a_hundred_objects() {
    let harness = Harness::new(config_maps());
    harness.create(config_map("good")).await.expect("created");
    let options = ListOptions::default();
    let list = || harness.store.list(&harness.context, &options);
    for (damaged, named, more) in [(2, 2, false), (100, 100, false), (101, 100, true)] {
        for n in 0..damaged {
            damage(&harness, &format!("bad-{n:03}")).await;
        }
        let Err(ApiError::StorageRead { name, message, causes, .. }) = list().await else {
            panic!("it was listed")
        };
        assert_eq!(
            (name.as_str(), message.as_str()),
            ("list", "failed to read one or more configmaps from the storage")
        );
        assert_eq!(causes.iter().filter(|cause| cause.0 == "UnexpectedServerResponse").count(), named);
        let (_, text, key) = &causes[1];
        assert_eq!(key, "/registry/configmaps/ns/bad-001");
        assert!(
            text.starts_with("StorageError: corrupt object, Code: 7, Key: /registry/configmaps/ns/bad-001, "),
            "{text}"
        );
        let last = causes.last().expect("causes");
        let truncated =
            ("FieldValueTooMany".into(), "too many errors, the list is truncated".into(), String::new());
        assert_eq!(*last == truncated, more);
    }
}
