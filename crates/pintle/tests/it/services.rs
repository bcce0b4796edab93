//! Services from outside: addresses and ports are given out, held, and given
//! back; ranges come from flags.

use http::Request;
use pintle::flags::ServeFlags;
use serde_json::{Value, json};
use test_server::TestServer;
use test_server::client::Client;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";

async fn send(client: &Client, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("Content-Type", "application/json");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.request(request.body(body.into()).unwrap()).await.unwrap();
    (answer.status, answer.json())
}

fn service(name: &str, spec: Value) -> Value {
    let mut service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    service["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    service
}

#[tokio::test]
async fn the_first_service_and_the_default_range_are_there_from_the_start() {
    let server = TestServer::start().await.unwrap();
    let client = server.client().unwrap();
    let (_, kubernetes) = send(&client, "GET", &format!("{SERVICES}/kubernetes"), Value::Null).await;
    assert_eq!(kubernetes["spec"]["clusterIPs"], json!(["10.0.0.1"]));
    assert_eq!(kubernetes["spec"]["ipFamilies"], json!(["IPv4"]));
    let (_, held) = send(&client, "GET", &format!("{ADDRESSES}/10.0.0.1"), Value::Null).await;
    let parent = json!({"resource": "services", "namespace": "default", "name": "kubernetes"});
    assert_eq!(held["spec"]["parentRef"], parent);
    let path = "/apis/networking.k8s.io/v1/servicecidrs/kubernetes";
    let (_, range) = send(&client, "GET", path, Value::Null).await;
    assert_eq!(range["spec"]["cidrs"], json!(["10.0.0.0/24"]));
    assert_eq!(range["status"]["conditions"][0]["status"], "True");
}

#[tokio::test]
async fn what_a_service_has_survives_a_restart_and_goes_with_it() {
    let mut server = TestServer::start().await.unwrap();
    let wanted =
        json!({"type": "NodePort", "clusterIP": "10.0.0.20", "ports": [{"port": 80, "nodePort": 30123}]});
    let (status, made) =
        send(&server.client().unwrap(), "POST", SERVICES, service("a", wanted.clone())).await;
    assert_eq!(status, 201, "{made}");
    server.restart().await.unwrap();
    let client = server.client().unwrap();
    let (status, refused) =
        send(&client, "POST", SERVICES, service("b", json!({"clusterIP": "10.0.0.20"}))).await;
    assert_eq!((status, &refused["reason"]), (422, &json!("Invalid")));
    let ports = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30123}]});
    let (status, refused) = send(&client, "POST", SERVICES, service("b", ports)).await;
    assert_eq!(status, 422);
    assert_eq!(refused["details"]["causes"][0]["field"], "spec.ports[0].nodePort");

    let (status, _) = send(&client, "DELETE", &format!("{SERVICES}/a"), Value::Null).await;
    assert_eq!(status, 200);
    let (status, made) = send(&client, "POST", SERVICES, service("b", wanted)).await;
    assert_eq!(status, 201, "{made}");
}

#[tokio::test]
async fn two_ranges_make_dual_stack_services() {
    let configure = |flags: &mut ServeFlags| {
        flags.services.cluster_ip_ranges =
            ["10.3.0.0/24", "fd03::/112"].map(|range| range.parse().unwrap()).into();
    };
    let server = TestServer::start_with(configure).await.unwrap();
    let client = server.client().unwrap();
    let both = service("a", json!({"ipFamilyPolicy": "PreferDualStack"}));
    let (status, made) = send(&client, "POST", SERVICES, both).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    let second = made["spec"]["clusterIPs"][1].as_str().unwrap();
    assert!(second.starts_with("fd03::"), "{second}");
    let (status, _) = send(&client, "GET", &format!("{ADDRESSES}/{second}"), Value::Null).await;
    assert_eq!(status, 200);
    let (_, kubernetes) = send(&client, "GET", &format!("{SERVICES}/kubernetes"), Value::Null).await;
    assert_eq!(kubernetes["spec"]["clusterIP"], "10.3.0.1");
}

#[tokio::test]
async fn the_first_service_leads_to_the_address_the_server_is_known_at() {
    let configure = |flags: &mut ServeFlags| {
        flags.serving.advertise_address = Some([192, 0, 2, 7].into());
    };
    let mut server = TestServer::start_with(configure).await.unwrap();
    for _ in 0..2 {
        let client = server.client().unwrap();
        let port = json!([{"name": "https", "port": server.address().port(), "protocol": "TCP"}]);
        let path = "/api/v1/namespaces/default/endpoints/kubernetes";
        let (_, endpoints) = send(&client, "GET", path, Value::Null).await;
        assert_eq!(endpoints["subsets"], json!([{"addresses": [{"ip": "192.0.2.7"}], "ports": port}]));
        assert_eq!(
            endpoints["metadata"]["labels"],
            json!({"endpointslice.kubernetes.io/skip-mirror": "true"})
        );
        let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
        let (_, slice) = send(&client, "GET", path, Value::Null).await;
        assert_eq!((&slice["addressType"], &slice["ports"]), (&json!("IPv4"), &port));
        assert_eq!(slice["endpoints"], json!([{"addresses": ["192.0.2.7"], "conditions": {"ready": true}}]));
        server.restart().await.unwrap();
    }
}
