//! Streams to kubelets and proxies, over real sockets, to a kubelet that
//! really runs what it is told to.

mod kubectl;
mod wire;

use kubelet_client::KubeletOptions;
use serde_json::{Value, json};
use test_server::TestServer;
use test_server::kubelet::Kubelet;

/// A server, a kubelet, and a pod `p` with a container `c` on its node `n`.
struct Cluster {
    server: TestServer,
    kubelet: Kubelet,
}

impl Cluster {
    async fn start(features: &[&str]) -> anyhow::Result<Cluster> {
        Cluster::start_with(features, |_, _| {}).await
    }

    /// The same after `configure` has changed how kubelets are reached.
    async fn start_with(
        features: &[&str],
        configure: impl FnOnce(&mut KubeletOptions, &Kubelet),
    ) -> anyhow::Result<Cluster> {
        let kubelet = Kubelet::start().await?;
        let server = TestServer::start_with(|flags| configure(&mut flags.kubelet.options, &kubelet)).await?;
        let cluster = Cluster { server, kubelet };
        cluster.create("nodes", &node("n", &cluster.kubelet, features)).await?;
        cluster.create("namespaces/default/pods", &pod("p", &["c"], "n")).await?;
        Ok(cluster)
    }

    async fn create(&self, path: &str, object: &Value) -> anyhow::Result<()> {
        let answer = self.server.client()?.post(&format!("/api/v1/{path}"), object.to_string()).await?;
        anyhow::ensure!(answer.status == 201, "{}", answer.text());
        Ok(())
    }
}

fn node(name: &str, kubelet: &Kubelet, features: &[&str]) -> Value {
    json!({
        "metadata": {"name": name},
        "status": {
            "addresses": [{"type": "InternalIP", "address": kubelet.address().ip().to_string()}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.address().port()}},
            "declaredFeatures": features,
        },
    })
}

fn pod(name: &str, containers: &[&str], node: &str) -> Value {
    let containers: Vec<Value> = containers.iter().map(|name| json!({"name": name, "image": "i"})).collect();
    json!({
        "metadata": {"name": name},
        "spec": {"nodeName": node, "containers": containers, "automountServiceAccountToken": false},
    })
}
