//! The objects of the scenarios: what they look like, and making, reading and
//! removing them one by one.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{Load, NAMESPACE};
use crate::client::{JSON, MERGE_PATCH};
use crate::report::Report;

/// Kind of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pods as small workloads have them.
    Pods,
    /// Config maps with a payload and nothing else.
    ConfigMaps,
}

impl Kind {
    /// As in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Pods => "pods",
            Kind::ConfigMaps => "configmaps",
        }
    }

    /// Path of the collection.
    pub fn collection(self) -> String {
        format!("/api/v1/namespaces/{NAMESPACE}/{}", self.plural())
    }

    /// Path of an object.
    pub fn path(self, name: &str) -> String {
        format!("{}/{name}", self.collection())
    }

    /// An object of this name, with `payload` to make it larger.
    pub fn object(self, name: &str, node: &str, payload: &str) -> Value {
        let metadata = json!({
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"app": "bench", "pod-template-hash": "7d4b9c6f5"},
            "annotations": {"bench/sequence": "0", "bench/payload": payload},
        });
        match self {
            Kind::ConfigMaps => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}),
            Kind::Pods => json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {
                "nodeName": node,
                "containers": [{
                    "name": "main",
                    "image": "registry.example/team/service:v1.2.3",
                    "env": [{"name": "REGION", "value": "eu-1"}],
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                }],
            }}),
        }
    }
}

/// Name of the object with this number.
pub fn name(i: usize) -> String {
    format!("object-{i}")
}

/// A merge patch that gives an object a sequence number, by which its event is known again.
pub fn sequence_patch(sequence: usize) -> Bytes {
    json!({"metadata": {"annotations": {"bench/sequence": sequence.to_string()}}}).to_string().into()
}

/// The sequence numbers in a piece of a watch's JSON. Looked up as text, because parsing
/// thousands of events would measure the client.
pub fn sequences(text: &[u8]) -> impl Iterator<Item = usize> {
    const MARK: &[u8] = b"\"bench/sequence\":\"";
    memchr::memmem::find_iter(text, MARK).filter_map(|at| {
        let digits = text.get(at + MARK.len()..)?;
        let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        std::str::from_utf8(&digits[..count]).ok()?.parse().ok()
    })
}

impl Load {
    /// Creates the objects, each once.
    pub async fn create(&self) -> anyhow::Result<Vec<Report>> {
        let payload: Arc<str> = "x".repeat(self.bytes).into();
        let (kind, watchers) = (self.kind, self.watchers.max(1));
        let created = move |mut connection: crate::client::Connection, i: usize| {
            let object = kind.object(&name(i), &format!("node-{}", i % watchers), &payload);
            async move {
                let size = connection.call(Method::POST, &kind.collection(), JSON, body(&object)).await;
                (connection, size)
            }
        };
        let mut reports = self.requests("create", self.objects, created).await?;
        reports.iter_mut().for_each(|report| report.per_object = true);
        Ok(reports)
    }

    /// Reads objects by name, all in turn.
    pub async fn get(&self) -> anyhow::Result<Vec<Report>> {
        let (kind, objects) = (self.kind, self.objects.max(1));
        self.requests("get", self.gets, move |mut connection, i| async move {
            // A stride that shares no factor with usual counts visits them all out of order.
            let path = kind.path(&name((i * 7919) % objects));
            let size = connection.call(Method::GET, &path, JSON, Bytes::new()).await;
            (connection, size)
        })
        .await
    }

    /// Changes objects, each in turn.
    pub async fn update(&self) -> anyhow::Result<Vec<Report>> {
        self.updates_of_many("update").await
    }

    /// Changes distinct objects from all workers at once.
    pub async fn updates_of_many(&self, scenario: &str) -> anyhow::Result<Vec<Report>> {
        let (kind, objects) = (self.kind, self.objects.max(1));
        self.requests(scenario, self.updates, move |mut connection, i| async move {
            let path = kind.path(&name((i * 7919) % objects));
            let size = connection.call_as(Method::PATCH, &path, MERGE_PATCH, sequence_patch(i)).await;
            (connection, size)
        })
        .await
    }

    /// Removes the objects.
    pub async fn delete(&self) -> anyhow::Result<Vec<Report>> {
        let kind = self.kind;
        self.requests("delete", self.objects, move |mut connection, i| async move {
            let path = format!("{}?gracePeriodSeconds=0", kind.path(&name(i)));
            let size = connection.call(Method::DELETE, &path, JSON, Bytes::new()).await;
            (connection, size)
        })
        .await
    }
}

pub(super) fn body(object: &Value) -> Bytes {
    object.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_found_in_events_and_not_in_bookmarks() {
        let text = concat!(
            r#"{"type":"MODIFIED","object":{"metadata":{"annotations":{"bench/sequence":"17"},"#,
            r#""managedFields":[{"fieldsV1":{"f:bench/sequence":{}}}]}}}"#,
            r#"{"type":"MODIFIED","object":{"metadata":{"annotations":{"bench/sequence":"18"}}}}"#,
            r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"5"}}}"#
        );
        assert_eq!(sequences(text.as_bytes()).collect::<Vec<_>>(), [17, 18]);
    }

    #[test]
    fn a_patch_carries_the_number_that_is_looked_for() {
        let patch = sequence_patch(5);
        assert_eq!(sequences(&patch).collect::<Vec<_>>(), [5]);
    }
}
