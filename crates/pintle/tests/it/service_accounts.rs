//! Tokens of service accounts: asked for, used, reviewed, verified by others, and ended.

use http::{HeaderName, HeaderValue, Method, Request};
use serde_json::{Value, json};
use test_server::TestServer;
use test_server::client::Client;

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const PODS: &str = "/api/v1/namespaces/default/pods";
const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const SELF_SUBJECT_REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

async fn with_account() -> (TestServer, Client) {
    let server = TestServer::start().await.unwrap();
    let admin = server.client().unwrap();
    let created = admin.post(ACCOUNTS, r#"{"metadata":{"name":"robot"}}"#).await.unwrap();
    assert_eq!(created.status, 201, "{}", created.text());
    (server, admin)
}

async fn token(admin: &Client, spec: Value) -> String {
    let body = json!({ "spec": spec }).to_string();
    let answer = admin.post(&format!("{ACCOUNTS}/robot/token"), body).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["status"]["token"].as_str().unwrap().to_owned()
}

async fn review(admin: &Client, token: &str) -> Value {
    let body = json!({"spec": {"token": token}}).to_string();
    admin.post(TOKEN_REVIEWS, body).await.unwrap().json()["status"].clone()
}

async fn delete(admin: &Client, path: &str) {
    let answer = admin.send(Method::DELETE, path, "", "").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_token_says_who_one_is_and_survives_a_restart() {
    let (mut server, admin) = with_account().await;
    let token = token(&admin, json!({})).await;
    server.restart().await.unwrap();
    let robot = server.anonymous().unwrap().with_token(&token);
    let answer = robot.post(SELF_SUBJECT_REVIEWS, "{}").await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let user = &answer.json()["status"]["userInfo"];
    assert_eq!(user["username"], "system:serviceaccount:default:robot");
    assert_eq!(
        user["groups"],
        json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
    );
    assert_eq!(robot.get(PODS).await.unwrap().status, 403);
}

#[tokio::test]
async fn others_verify_a_token_with_the_keys_told() {
    let (server, admin) = with_account().await;
    let token = token(&admin, json!({"audiences": ["vault"]})).await;
    let configuration = admin.get("/.well-known/openid-configuration").await.unwrap().json();
    assert_eq!(configuration["issuer"], "https://kubernetes.default.svc");
    assert_eq!(configuration["id_token_signing_alg_values_supported"], json!(["RS256"]));
    let address = server.address();
    assert_eq!(configuration["jwks_uri"], format!("https://{address}/openid/v1/jwks"));
    let keys = Request::get("/openid/v1/jwks").header("accept", "*/*").body(bytes::Bytes::new()).unwrap();
    let keys = admin.request(keys).await.unwrap();
    assert_eq!(keys.status, 200, "{}", keys.text());
    let key = keys.json()["keys"][0].clone();
    assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!("RSA"), &json!("RS256"), &json!("sig")));
    let decode = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
    };
    let parts: Vec<&str> = token.split('.').collect();
    let header: Value = serde_json::from_slice(&decode(parts[0])).unwrap();
    assert_eq!(header["kid"], key["kid"]);
    let (n, e) = (decode(key["n"].as_str().unwrap()), decode(key["e"].as_str().unwrap()));
    let message = format!("{}.{}", parts[0], parts[1]);
    aws_lc_rs::signature::RsaPublicKeyComponents { n, e }
        .verify(&aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &decode(parts[2]))
        .expect("the key told is the key that signed");
    // It is for somebody else: the server itself does not take it.
    assert_eq!(server.anonymous().unwrap().with_token(&token).get(PODS).await.unwrap().status, 401);
}

#[tokio::test]
async fn a_token_ends_with_its_pod_and_with_its_account() {
    let (_server, admin) = with_account().await;
    let pod = r#"{"metadata":{"name":"p"},"spec":{"serviceAccountName":"robot","automountServiceAccountToken":false,"containers":[{"name":"c","image":"i"}]}}"#;
    let created = admin.post(PODS, pod).await.unwrap();
    assert_eq!(created.status, 201, "{}", created.text());
    let reference = json!({"kind": "Pod", "apiVersion": "v1", "name": "p"});
    let bound = token(&admin, json!({ "boundObjectRef": reference })).await;
    let free = token(&admin, json!({})).await;
    let status = review(&admin, &bound).await;
    assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    delete(&admin, &format!("{PODS}/p?gracePeriodSeconds=0")).await;
    let status = review(&admin, &bound).await;
    assert_eq!(status["error"], "[invalid bearer token, service account token has been invalidated]");
    assert_eq!(review(&admin, &free).await["authenticated"], true);
    delete(&admin, &format!("{ACCOUNTS}/robot")).await;
    let status = review(&admin, &free).await;
    assert_eq!(status["error"], "[invalid bearer token, serviceaccounts \"robot\" not found]");
}

#[tokio::test]
async fn keys_issuers_and_bounds_come_from_the_flags() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("sa.key");
    std::fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let server = TestServer::start_with(|flags| {
        let flags = &mut flags.service_accounts;
        flags.signing_key_file = Some(key);
        flags.issuers = vec!["https://me".to_owned(), "https://before".to_owned()];
        flags.audiences = vec!["api".to_owned()];
        flags.max_token_expiration = Some(std::time::Duration::from_secs(3600));
    })
    .await
    .unwrap();
    let admin = server.client().unwrap();
    admin.post(ACCOUNTS, r#"{"metadata":{"name":"robot"}}"#).await.unwrap();
    let body = r#"{"spec":{"expirationSeconds":7200}}"#;
    let answer = admin.post(&format!("{ACCOUNTS}/robot/token"), body).await.unwrap();
    assert_eq!(answer.json()["spec"]["expirationSeconds"], 3600);
    assert_eq!(answer.json()["spec"]["audiences"], json!(["api"]));
    let warning = answer.headers["warning"].to_str().unwrap();
    assert!(warning.contains("shortened to 3600 seconds"), "{warning}");
    let token = answer.json()["status"]["token"].as_str().unwrap().to_owned();
    assert_eq!(review(&admin, &token).await["audiences"], json!(["api"]));
    let configuration = admin.get("/.well-known/openid-configuration").await.unwrap().json();
    assert_eq!(configuration["issuer"], "https://me");
    assert_eq!(configuration["id_token_signing_alg_values_supported"], json!(["ES256"]));
}

#[tokio::test]
async fn the_admin_acts_as_others_and_others_do_not() {
    let (server, admin) = with_account().await;
    let token = token(&admin, json!({})).await;
    let ask = async |client: &Client, headers: &[(&'static str, &'static str)]| {
        let mut request = Request::post(SELF_SUBJECT_REVIEWS).body(bytes::Bytes::from("{}")).unwrap();
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        client.request(request).await.unwrap()
    };
    let alice = [("impersonate-user", "alice"), ("impersonate-group", "devs"), ("impersonate-uid", "7")];
    let answer = ask(&admin, &alice).await;
    let user = json!({"username": "alice", "uid": "7", "groups": ["devs", "system:authenticated"]});
    assert_eq!(answer.json()["status"]["userInfo"], user);
    let answer = ask(&admin, &alice[1..]).await;
    assert_eq!((answer.status, answer.reason().as_str()), (400, "BadRequest"));
    let robot = server.anonymous().unwrap().with_token(&token);
    let answer = ask(&robot, &alice).await;
    assert_eq!((answer.status, answer.reason().as_str()), (403, "Forbidden"), "{}", answer.text());
    assert!(
        answer.message().contains("cannot impersonate-on:user-info:create resource"),
        "{}",
        answer.message()
    );
}
