//! Judges tokens: signature, issuer, audience, time, and whether the account
//! and what the token is bound to are still what they were.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use environment::Clock;
use jiff::Timestamp;
use registry::UserInfo;

use super::claims::{Claims, Header, Reference};
use super::keyset::Keyset;
use super::user_name;
use crate::{Authenticated, Authenticator, Credentials, InvalidCredential};

/// How far the clocks of servers may be apart, and how long a deletion may go unnoticed.
const LEEWAY: Duration = Duration::from_secs(60);
/// A token is short; what is longer is not looked at. Bytes.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Reads the objects tokens speak of.
#[async_trait]
pub trait BoundObjects: Send + Sync {
    /// The object's facts. The error is the text a client of the API would get.
    async fn get(&self, object: BoundObject, namespace: &str, name: &str) -> Result<TokenObject, String>;
}

/// What a token may speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundObject {
    /// The account itself.
    ServiceAccount,
    /// A pod.
    Pod,
    /// A secret.
    Secret,
    /// A node; its namespace is ignored.
    Node,
}

/// What is asked of such an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenObject {
    /// Uid.
    pub uid: String,
    /// When it is to go, if it is to go.
    pub deletion: Option<Timestamp>,
}

/// Knows service accounts by their tokens.
pub struct ServiceAccountTokens {
    keys: Arc<Keyset>,
    issuers: Vec<String>,
    /// Audiences of this server.
    audiences: Vec<String>,
    objects: Arc<dyn BoundObjects>,
    clock: Arc<dyn Clock>,
}

impl ServiceAccountTokens {
    /// Accepts tokens of any of `issuers`, signed by one of `keys`, for one of `audiences`.
    pub fn new(
        keys: Arc<Keyset>,
        issuers: Vec<String>,
        audiences: Vec<String>,
        objects: Arc<dyn BoundObjects>,
        clock: Arc<dyn Clock>,
    ) -> ServiceAccountTokens {
        ServiceAccountTokens { keys, issuers, audiences, objects, clock }
    }

    async fn judge(&self, claims: &Claims) -> Result<UserInfo, String> {
        let now = self.clock.now();
        let leeway = i64::try_from(LEEWAY.as_secs()).expect("a minute");
        if claims.exp.is_some_and(|end| now.as_second() - leeway > end) {
            return Err("service account token has expired".to_owned());
        }
        let early = |start: Option<i64>| start.is_some_and(|start| now.as_second() + leeway < start);
        if early(claims.nbf) {
            return Err("service account token is not valid yet".to_owned());
        }
        if early(claims.iat) {
            return Err(
                "service account token claims could not be validated due to unexpected validation error"
                    .to_owned(),
            );
        }
        let gone_before = now - LEEWAY;
        let gone = |object: &TokenObject| object.deletion.is_some_and(|deletion| deletion < gone_before);
        let kubernetes = &claims.kubernetes;
        let (namespace, account) = (kubernetes.namespace.as_str(), &kubernetes.serviceaccount);
        let found = self.objects.get(BoundObject::ServiceAccount, namespace, &account.name).await?;
        if gone(&found) {
            return Err(format!("service account {namespace}/{} has been deleted", account.name));
        }
        if found.uid != account.uid {
            return Err(format!(
                "service account UID ({}) does not match claim ({})",
                found.uid, account.uid
            ));
        }
        let mut bound = vec![(BoundObject::Secret, "secret", &kubernetes.secret)];
        bound.push((BoundObject::Pod, "pod", &kubernetes.pod));
        if kubernetes.pod.is_none() {
            // The node of a pod is told for information only; it goes and comes with the pod.
            bound.push((BoundObject::Node, "node", &kubernetes.node));
        }
        for (kind, word, reference) in bound {
            let Some(Reference { name, uid }) = reference else { continue };
            let invalidated = || "service account token has been invalidated".to_owned();
            let found = self.objects.get(kind, namespace, name).await.map_err(|_| invalidated())?;
            if gone(&found) {
                return Err(invalidated());
            }
            if found.uid != *uid {
                let capital = if word == "secret" { "Secret" } else { word };
                return Err(format!(
                    "{capital} UID ({}) does not match service account {word} ref claim ({uid})",
                    found.uid
                ));
            }
        }
        Ok(user(claims))
    }

    /// Header, claims and signature of a token one of our issuers seems to
    /// have written; none for anything else, which is somebody else's.
    fn read(&self, token: &str) -> Option<(Header, Claims, Vec<u8>)> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let mut parts = token.split('.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let claims: Claims = serde_json::from_slice(&bytes(payload)?).ok()?;
        if !self.issuers.contains(&claims.iss) {
            return None;
        }
        let header: Header = serde_json::from_slice(&bytes(header)?).ok()?;
        Some((header, claims, bytes(signature)?))
    }
}

#[async_trait]
impl Authenticator for ServiceAccountTokens {
    async fn authenticate(
        &self,
        credentials: &Credentials<'_>,
    ) -> Result<Option<Authenticated>, InvalidCredential> {
        let Some(token) = credentials.bearer_token() else { return Ok(None) };
        let Some((header, claims, signature)) = self.read(token) else { return Ok(None) };
        let message = token.rsplit_once('.').map(|(message, _)| message).unwrap_or_default();
        if !self.keys.verifies(&header.kid, message.as_bytes(), &signature) {
            return Err(InvalidCredential("invalid signature, no keys found".to_owned()));
        }
        let asked = if credentials.audiences.is_empty() { &self.audiences } else { credentials.audiences };
        let audiences: Vec<String> =
            claims.aud.iter().filter(|audience| asked.contains(audience)).cloned().collect();
        if audiences.is_empty() {
            let text = format!(
                "token audiences {} is invalid for the target audiences {}",
                quoted(&claims.aud),
                quoted(asked)
            );
            return Err(InvalidCredential(text));
        }
        let user = self.judge(&claims).await.map_err(InvalidCredential)?;
        Ok(Some(Authenticated { user, audiences }))
    }
}

fn user(claims: &Claims) -> UserInfo {
    let kubernetes = &claims.kubernetes;
    let namespace = &kubernetes.namespace;
    let mut extra = Vec::new();
    let mut tell = |key: &str, value: &str| {
        if !value.is_empty() {
            extra.push((format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]));
        }
    };
    if !claims.jti.is_empty() {
        tell("credential-id", &format!("JTI={}", claims.jti));
    }
    if let Some(node) = &kubernetes.node {
        tell("node-name", &node.name);
        tell("node-uid", &node.uid);
    }
    if let Some(pod) = &kubernetes.pod {
        tell("pod-name", &pod.name);
        tell("pod-uid", &pod.uid);
    }
    UserInfo {
        name: user_name(namespace, &kubernetes.serviceaccount.name),
        uid: kubernetes.serviceaccount.uid.clone(),
        groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
        extra,
    }
}

/// A list of texts as Go prints one with `%q`.
fn quoted(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service_account::claims::KubernetesClaims;
    use crate::service_account::{SigningKey, TokenIssuer, TokenSubject};
    use futures::executor::block_on;

    const ISSUER: &str = "https://issuer";

    /// Objects whose uid is their name and `-uid`; what is called `gone` is not there.
    struct Objects;

    #[async_trait]
    impl BoundObjects for Objects {
        async fn get(&self, _: BoundObject, _: &str, name: &str) -> Result<TokenObject, String> {
            if name == "gone" {
                return Err(format!("{name} not found"));
            }
            let deletion = (name == "deleted").then_some(Timestamp::UNIX_EPOCH);
            Ok(TokenObject { uid: format!("{name}-uid"), deletion })
        }
    }

    fn keyset() -> Arc<Keyset> {
        let pem = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        let key = SigningKey::from_pem(&pem).expect("usable");
        Arc::new(Keyset::new(Box::new(|| Err("never asked".to_owned())), Vec::new()).with_signing_key(key))
    }

    fn reference(name: &str) -> Reference {
        Reference { name: name.to_owned(), uid: format!("{name}-uid") }
    }

    fn claims(account: &str) -> KubernetesClaims {
        let serviceaccount = reference(account);
        KubernetesClaims { namespace: "ns".to_owned(), serviceaccount, ..KubernetesClaims::default() }
    }

    fn subject(claims: KubernetesClaims) -> TokenSubject {
        let audiences = vec!["api".to_owned(), "vault".to_owned()];
        TokenSubject { audiences, lifetime: Duration::from_secs(600), warn_after: None, claims }
    }

    fn ask(
        keys: &Arc<Keyset>,
        issuer: &str,
        subject: TokenSubject,
        audiences: &[&str],
    ) -> Result<Option<Authenticated>, InvalidCredential> {
        let environment = environment::real::environment();
        let issuer = TokenIssuer::new(issuer.to_owned(), keys.clone(), environment.clone());
        let token = block_on(issuer.issue(subject)).expect("issued");
        judge(keys, &token, audiences)
    }

    fn judge(
        keys: &Arc<Keyset>,
        token: &str,
        audiences: &[&str],
    ) -> Result<Option<Authenticated>, InvalidCredential> {
        let tokens = ServiceAccountTokens::new(
            keys.clone(),
            vec![ISSUER.to_owned()],
            vec!["api".to_owned()],
            Arc::new(Objects),
            environment::real::environment().clock,
        );
        let header = format!("Bearer {token}");
        let audiences: Vec<String> = audiences.iter().map(|it| (*it).to_owned()).collect();
        block_on(tokens.authenticate(&Credentials {
            authorization: Some(&header),
            audiences: &audiences,
            ..Credentials::default()
        }))
    }

    #[test]
    fn a_token_names_the_account_and_what_it_is_bound_to() {
        let bound = KubernetesClaims {
            pod: Some(reference("pod")),
            node: Some(Reference { name: "node".into(), uid: String::new() }),
            ..claims("robot")
        };
        let found = ask(&keyset(), ISSUER, subject(bound), &[]).expect("valid").expect("known");
        assert_eq!(found.audiences, ["api"]);
        let user = found.user;
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:ns:robot", "robot-uid"));
        assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns"]);
        let keys: Vec<&str> =
            user.extra.iter().map(|(key, _)| key.rsplit('/').next().unwrap_or_default()).collect();
        assert_eq!(keys, ["credential-id", "node-name", "pod-name", "pod-uid"]);
    }

    #[test]
    fn a_token_for_others_of_others_or_changed_on_the_way_is_no_users() {
        let keys = keyset();
        let refused = ask(&keys, ISSUER, subject(claims("robot")), &["mail"]).expect_err("refused");
        assert_eq!(
            refused.0,
            r#"token audiences ["api" "vault"] is invalid for the target audiences ["mail"]"#
        );
        assert_eq!(ask(&keys, "https://other", subject(claims("robot")), &[]), Ok(None));
        let environment = environment::real::environment();
        let issuer = TokenIssuer::new(ISSUER.to_owned(), keyset(), environment);
        let foreign = block_on(issuer.issue(subject(claims("robot")))).expect("issued");
        assert!(judge(&keys, &foreign, &[]).is_err());
        for nonsense in ["", "a", "a.b", "a.b.c", "a.b.c.d", "e30.e30.e30"] {
            assert_eq!(judge(&keys, nonsense, &[]), Ok(None), "{nonsense:?}");
        }
    }

    #[test]
    fn a_token_ends_with_its_time_its_account_and_what_it_is_bound_to() {
        let keys = keyset();
        let text = |subject| ask(&keys, ISSUER, subject, &[]).expect_err("refused").0;
        assert_eq!(text(subject(claims("gone"))), "gone not found");
        assert_eq!(text(subject(claims("deleted"))), "service account ns/deleted has been deleted");
        let mut other = claims("robot");
        other.serviceaccount.uid = "old".to_owned();
        assert_eq!(text(subject(other)), "service account UID (robot-uid) does not match claim (old)");
        for name in ["gone", "deleted"] {
            let bound = KubernetesClaims { secret: Some(reference(name)), ..claims("robot") };
            assert_eq!(text(subject(bound)), "service account token has been invalidated");
        }
    }

    #[test]
    fn a_token_is_good_until_a_minute_after_its_end() {
        let keys = keyset();
        let key = block_on(keys.signing()).expect("there");
        let token = |end: i64| {
            let claims = Claims {
                aud: vec!["api".to_owned()],
                exp: Some(environment::real::environment().clock.now().as_second() + end),
                iss: ISSUER.to_owned(),
                kubernetes: claims("robot"),
                ..Claims::default()
            };
            let part = |json: String| URL_SAFE_NO_PAD.encode(json);
            let message = format!(
                "{}.{}",
                part(r#"{"alg":"ES256"}"#.to_owned()),
                part(serde_json::to_string(&claims).expect("JSON"))
            );
            let signature = key.sign(message.as_bytes()).expect("signed");
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        assert!(judge(&keys, &token(-30), &[]).expect("within the leeway").is_some());
        assert_eq!(
            judge(&keys, &token(-90), &[]),
            Err(InvalidCredential("service account token has expired".to_owned()))
        );
    }
}
