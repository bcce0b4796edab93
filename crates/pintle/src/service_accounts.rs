//! Tokens of service accounts as this server issues and judges them: its keys,
//! and where accounts and bound objects are looked up.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use admission::lister::{Lister, StoreLister, View};
use anyhow::{Context, anyhow};
use async_trait::async_trait;
use auth::service_account::{
    self as tokens, BoundObject, BoundObjects, Keyset, KubernetesClaims, Reference, ServiceAccountTokens,
    SigningKey, TokenObject, TokenSubject,
};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use environment::Environment;
use meta::{ApiError, ObjectMeta};
use registry::Served;
use resources::authentication::{IssuedToken, TokenIssuer, TokenPolicy};
use schema::Value;

use crate::data_folder;
use crate::flags::ServiceAccountFlags;

/// Everything about tokens of service accounts.
pub struct ServiceAccounts {
    /// Keys, for discovery.
    pub keys: Arc<Keyset>,
    /// Issues tokens.
    pub issuer: Arc<dyn TokenIssuer>,
    /// Judges tokens.
    pub authenticator: Arc<ServiceAccountTokens>,
    objects: Arc<Objects>,
}

impl ServiceAccounts {
    /// As the flags say. `kept` is where a generated key is kept.
    pub fn new(
        environment: &Environment,
        flags: &ServiceAccountFlags,
        kept: PathBuf,
    ) -> anyhow::Result<ServiceAccounts> {
        let keys = Arc::new(keyset(flags, kept)?);
        let objects = Arc::new(Objects::default());
        let issuer = flags.issuers.first().cloned().unwrap_or_default();
        let max = flags.max_token_expiration;
        let issuer = Issuer {
            issuer: tokens::TokenIssuer::new(issuer, keys.clone(), environment.clone()),
            policy: TokenPolicy {
                audiences: flags.audiences.clone(),
                max_expiration_seconds: max.and_then(|most| i64::try_from(most.as_secs()).ok()),
                extend_expiration: flags.extend_token_expiration,
            },
        };
        let authenticator = ServiceAccountTokens::new(
            keys.clone(),
            flags.issuers.clone(),
            flags.audiences.clone(),
            objects.clone(),
            environment.clock.clone(),
        );
        Ok(ServiceAccounts {
            keys,
            issuer: Arc::new(issuer),
            authenticator: Arc::new(authenticator),
            objects,
        })
    }

    /// Says where objects are; until then nobody's token is good.
    pub fn look_up_in(&self, served: &Served) -> anyhow::Result<()> {
        self.objects.look_up_in(served)
    }
}

fn keyset(flags: &ServiceAccountFlags, kept: PathBuf) -> anyhow::Result<Keyset> {
    let read = |flag: &str, path: &Path| {
        let shown = || format!("--{flag}: cannot use {}", path.display());
        std::fs::read_to_string(path).with_context(shown)
    };
    let mut others = Vec::new();
    for path in &flags.key_files {
        let text = read("service-account-key-file", path)?;
        let shown = || format!("--service-account-key-file: cannot use {}", path.display());
        others.extend(tokens::public_keys(&text).with_context(shown)?);
    }
    let own = match &flags.signing_key_file {
        Some(path) => {
            let text = read("service-account-signing-key-file", path)?;
            let shown = || format!("--service-account-signing-key-file: cannot use {}", path.display());
            Some(SigningKey::from_pem(&text).with_context(shown)?)
        }
        None => match data_folder::read(&kept)? {
            Some(text) => {
                let shown = || format!("cannot use {}: remove it to have a new key made", kept.display());
                Some(SigningKey::from_pem(&text).with_context(shown)?)
            }
            None => None,
        },
    };
    let make = move || make_key(&kept).map_err(|error| format!("{error:#}"));
    let keys = Keyset::new(Box::new(make), others);
    Ok(match own {
        Some(own) => keys.with_signing_key(own),
        None => keys,
    })
}

/// Makes an RSA key, the kind every consumer of tokens understands, and keeps it.
fn make_key(kept: &Path) -> anyhow::Result<SigningKey> {
    let broken = || anyhow!("cannot make a key to sign tokens of service accounts with");
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| broken())?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| broken())?;
    let key = SigningKey::from_pkcs8(der.as_ref())?;
    data_folder::write_secret(kept, &pem("PRIVATE KEY", der.as_ref()))?;
    Ok(key)
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

struct Issuer {
    issuer: tokens::TokenIssuer,
    policy: TokenPolicy,
}

#[async_trait]
impl TokenIssuer for Issuer {
    fn policy(&self) -> &TokenPolicy {
        &self.policy
    }

    async fn issue(&self, token: IssuedToken) -> Result<String, String> {
        let reference = |(name, uid): (String, String)| Reference { name, uid };
        let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let claims = KubernetesClaims {
            namespace: token.namespace,
            serviceaccount: reference(token.service_account),
            pod: token.pod.map(reference),
            secret: token.secret.map(reference),
            node: token.node.map(reference),
            warnafter: None,
        };
        let subject = TokenSubject {
            audiences: token.audiences,
            lifetime: seconds(token.expiration_seconds),
            warn_after: token.warn_after_seconds.map(seconds),
            claims,
        };
        self.issuer.issue(subject).await
    }
}

/// Looks objects up in the registry; decoded facts are remembered by revision.
#[derive(Default)]
struct Objects(OnceLock<Vec<(BoundObject, StoreLister<Facts>)>>);

struct Facts(TokenObject);

impl View for Facts {
    fn of(object: &Value) -> Facts {
        let deletion = object.str_at(&["metadata", "deletionTimestamp"]);
        Facts(TokenObject {
            uid: ObjectMeta::of(object).uid().to_owned(),
            deletion: deletion.and_then(|time| time.parse().ok()),
        })
    }
}

const RESOURCES: [(BoundObject, &str); 4] = [
    (BoundObject::ServiceAccount, "serviceaccounts"),
    (BoundObject::Pod, "pods"),
    (BoundObject::Secret, "secrets"),
    (BoundObject::Node, "nodes"),
];

impl Objects {
    fn look_up_in(&self, served: &Served) -> anyhow::Result<()> {
        let mut listers = Vec::new();
        for (object, resource) in RESOURCES {
            let found = served.lookup("", "v1", resource).and_then(|found| found.store.clone());
            let store = found.with_context(|| format!("{resource} are not served"))?;
            listers.push((object, StoreLister::new(store)));
        }
        self.0.set(listers).map_err(|_| anyhow!("objects of tokens are looked up in one place only"))
    }
}

#[async_trait]
impl BoundObjects for Objects {
    async fn get(&self, object: BoundObject, namespace: &str, name: &str) -> Result<TokenObject, String> {
        let listers = self.0.get().ok_or("the server is starting")?;
        let (_, lister) =
            listers.iter().find(|(own, _)| *own == object).expect("there is a lister for each of RESOURCES");
        let namespace = if object == BoundObject::Node { "" } else { namespace };
        let found = lister.find(namespace, name).await.map_err(|error| error.to_string())?;
        let (_, resource) =
            RESOURCES.iter().find(|(own, _)| *own == object).expect("RESOURCES names every object");
        let missing = || {
            let resource = meta::GroupResource::new("", *resource);
            ApiError::not_found(&resource, name).to_string()
        };
        found.map(|facts| facts.0.clone()).ok_or_else(missing)
    }
}
