//! What a client finds out by itself.

use kube::api::{Api, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::discovery::{Discovery, Scope, verbs};
use serde_json::json;

use crate::start;

#[tokio::test]
async fn the_version_is_that_of_the_api_served() {
    let (_server, client) = start().await;
    let version = client.apiserver_version().await.unwrap();
    assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "36"));
    assert_eq!(version.git_version.split('.').nth(1), Some("36"), "{}", version.git_version);
}

#[tokio::test]
async fn every_collection_that_is_discovered_can_be_listed() {
    let (_server, client) = start().await;
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let mut listed = 0;
    for group in discovery.groups() {
        for version in group.versions() {
            for (resource, capabilities) in group.versioned_resources(version) {
                if capabilities.supports_operation(verbs::LIST) {
                    let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
                    let result = objects.list(&ListParams::default()).await;
                    assert!(result.is_ok(), "{}/{}: {result:?}", resource.api_version, resource.plural);
                    listed += 1;
                }
            }
        }
    }
    assert!(listed > 50, "only {listed} collections were discovered");
}

#[tokio::test]
async fn aggregated_discovery_tells_the_same() {
    let (_server, client) = start().await;
    let plain = Discovery::new(client.clone()).run().await.unwrap();
    let aggregated = Discovery::new(client).run_aggregated().await.unwrap();
    let told = |discovery: &Discovery| -> Vec<String> {
        let mut told = Vec::new();
        for group in discovery.groups() {
            for version in group.versions() {
                for (resource, capabilities) in group.versioned_resources(version) {
                    let mut operations = capabilities.operations.clone();
                    operations.sort();
                    told.push(format!(
                        "{}/{} {} {operations:?}",
                        resource.api_version, resource.plural, resource.kind
                    ));
                }
            }
        }
        told.sort();
        told
    };
    assert!(!told(&plain).is_empty());
    assert_eq!(told(&plain), told(&aggregated));
}

#[tokio::test]
async fn an_object_can_be_made_of_a_kind_the_client_does_not_know() {
    let (_server, client) = start().await;
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let kind = GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease");
    let (resource, capabilities) = discovery.resolve_gvk(&kind).unwrap();
    assert_eq!(resource.plural, "leases");
    assert_eq!(capabilities.scope, Scope::Namespaced);
    let leases: Api<DynamicObject> = Api::default_namespaced_with(client, &resource);
    let lease = DynamicObject::new("l", &resource).data(json!({"spec": {"holderIdentity": "me"}}));
    leases.create(&PostParams::default(), &lease).await.unwrap();
    assert_eq!(leases.get("l").await.unwrap().data["spec"]["holderIdentity"], "me");
}
