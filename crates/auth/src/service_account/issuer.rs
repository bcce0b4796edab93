//! Writes tokens.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use environment::Environment;

use super::claims::{Claims, Header, KubernetesClaims};
use super::keyset::Keyset;
use super::user_name;

/// Issues tokens under one issuer's name.
pub struct TokenIssuer {
    issuer: String,
    keys: Arc<Keyset>,
    environment: Environment,
}

/// What a token is to say.
#[derive(Clone, Debug, Default)]
pub struct TokenSubject {
    /// For whom.
    pub audiences: Vec<String>,
    /// How long it lives.
    pub lifetime: Duration,
    /// After which time the client should have fetched a new one.
    pub warn_after: Option<Duration>,
    /// The account and what the token is bound to; `warnafter` is filled in from `warn_after`.
    pub claims: KubernetesClaims,
}

impl TokenIssuer {
    /// Issues as `issuer`, signing with the key of `keys`.
    pub fn new(issuer: String, keys: Arc<Keyset>, environment: Environment) -> TokenIssuer {
        TokenIssuer { issuer, keys, environment }
    }

    /// A token. The error says in words why there is no key to sign it with.
    pub async fn issue(&self, subject: TokenSubject) -> Result<String, String> {
        let key = self.keys.signing().await?;
        let now = self.environment.clock.now().as_second();
        let after = |wait: Duration| now.saturating_add(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
        let mut kubernetes = subject.claims;
        kubernetes.warnafter = subject.warn_after.map(after);
        let claims = Claims {
            aud: subject.audiences,
            exp: Some(after(subject.lifetime)),
            iat: Some(now),
            iss: self.issuer.clone(),
            jti: self.environment.random.uuid(),
            sub: user_name(&kubernetes.namespace, &kubernetes.serviceaccount.name),
            kubernetes,
            nbf: Some(now),
        };
        let header = Header { alg: key.public().algorithm().to_owned(), kid: key.public().id().to_owned() };
        let mut token = format!("{}.{}", part(&header)?, part(&claims)?);
        let signature = key.sign(token.as_bytes()).map_err(|error| error.to_string())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

fn part(value: &impl serde::Serialize) -> Result<String, String> {
    let json = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}
