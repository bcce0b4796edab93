//! Who is let in, and as whom.

use std::fs;

use serde_json::json;
use test_server::TestServer;
use test_server::client::Client;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SELF_SUBJECT_REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

#[tokio::test]
async fn the_certificate_of_the_kubeconfig_is_the_admins() {
    let server = TestServer::start().await.unwrap();
    let admin = Client::from_kubeconfig(&server.kubeconfig()).unwrap();
    let user = admin.post(SELF_SUBJECT_REVIEWS, "{}").await.unwrap().json()["status"]["userInfo"].clone();
    assert_eq!(user["username"], "admin");
    assert_eq!(user["groups"], json!(["system:masters", "system:authenticated"]));
    let created = admin.post(CONFIG_MAPS, r#"{"metadata":{"name":"mine"}}"#).await.unwrap();
    assert_eq!(created.status, 201, "{}", created.text());
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (server, other) = (TestServer::start().await.unwrap(), TestServer::start().await.unwrap());
    // The other's admin, pointed at this server.
    let ours = fs::read_to_string(server.kubeconfig()).unwrap();
    let theirs = fs::read_to_string(other.kubeconfig()).unwrap();
    let mixed: Vec<&str> = ours
        .lines()
        .zip(theirs.lines())
        .map(|(ours, theirs)| if theirs.contains("client-") { theirs } else { ours })
        .collect();
    let path = server.data_folder().join("mixed");
    fs::write(&path, mixed.join("\n")).unwrap();
    let stranger = Client::from_kubeconfig(&path).unwrap();
    assert_eq!(stranger.get(CONFIG_MAPS).await.unwrap().status, 401);
}

#[tokio::test]
async fn a_user_of_the_token_file_is_known_but_may_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.csv");
    fs::write(&tokens, "alices-token,alice,uid-1,\"dev,ops\"\n").unwrap();
    let server =
        TestServer::start_with(|flags| flags.authentication.token_auth_file = Some(tokens)).await.unwrap();
    let alice = server.anonymous().unwrap().with_token("alices-token");
    let answer = alice.get(CONFIG_MAPS).await.unwrap();
    assert_eq!((answer.status, answer.reason().as_str()), (403, "Forbidden"));
    assert_eq!(
        answer.message(),
        r#"configmaps is forbidden: User "alice" cannot list resource "configmaps" in API group "" in the namespace "default""#
    );
}

#[tokio::test]
async fn an_unknown_token_is_refused_everywhere() {
    let server = TestServer::start().await.unwrap();
    let stranger = server.anonymous().unwrap().with_token("wrong");
    for path in [CONFIG_MAPS, "/healthz", "/version", "/api"] {
        let answer = stranger.get(path).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (401, "Unauthorized"), "{path}");
    }
}

#[tokio::test]
async fn anonymous_may_ask_for_health_and_version_only() {
    let server = TestServer::start().await.unwrap();
    let anonymous = server.anonymous().unwrap();
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        let answer = anonymous.get(path).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    for (path, message) in [
        ("/api", r#"forbidden: User "system:anonymous" cannot get path "/api""#),
        ("/metrics", r#"forbidden: User "system:anonymous" cannot get path "/metrics""#),
        (
            "/apis/bogus.example.com/v1/things",
            r#"things.bogus.example.com is forbidden: User "system:anonymous" cannot list resource "things" in API group "bogus.example.com" at the cluster scope"#,
        ),
    ] {
        let answer = anonymous.get(path).await.unwrap();
        assert_eq!((answer.status, answer.message().as_str()), (403, message), "{path}");
    }
}
