//! The keys of a server: one that signs, made or read when it is first needed,
//! and those that verify.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tokio::sync::OnceCell;

use super::keys::{PublicKey, SigningKey};

/// Makes or reads the signing key. An RSA key takes a good part of a second to
/// make, so nobody pays for one before a token is asked for.
pub type KeyMaker = Box<dyn Fn() -> Result<SigningKey, String> + Send + Sync>;

/// Signing key and verifying keys.
pub struct Keyset {
    signing: OnceCell<Arc<SigningKey>>,
    make: KeyMaker,
    others: Vec<PublicKey>,
}

impl Keyset {
    /// Signs with what `make` makes; verifies with that and with `others`.
    pub fn new(make: KeyMaker, others: Vec<PublicKey>) -> Keyset {
        Keyset { signing: OnceCell::new(), make, others }
    }

    /// The same with a signing key that is there already.
    pub fn with_signing_key(self, key: SigningKey) -> Keyset {
        Keyset { signing: OnceCell::from(Arc::new(key)), ..self }
    }

    /// The signing key; made if there is none yet. The error says in words why it cannot be had.
    pub async fn signing(&self) -> Result<Arc<SigningKey>, String> {
        let make = || async { (self.make)().map(Arc::new) };
        self.signing.get_or_try_init(make).await.cloned()
    }

    /// The JSON Web Key Set of all keys; makes the signing key if there is none yet.
    pub async fn jwks(&self) -> Result<Json, String> {
        self.signing().await?;
        let keys: Vec<Json> = self.verifying().map(|key| key.jwk().clone()).collect();
        Ok(json!({ "keys": keys }))
    }

    /// Algorithms of all keys, sorted, each once.
    pub async fn algorithms(&self) -> Result<Vec<&'static str>, String> {
        self.signing().await?;
        let mut names: Vec<&str> = self.verifying().map(PublicKey::algorithm).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// True if one of the keys made `signature` over `message`. The key the
    /// token names is tried first and the others after it, as the original does.
    pub(super) fn verifies(&self, id: &str, message: &[u8], signature: &[u8]) -> bool {
        let named = |key: &&PublicKey| key.id() == id;
        let first = self.verifying().filter(named);
        let rest = self.verifying().filter(|key| !named(key));
        first.chain(rest).any(|key| key.verifies(message, signature))
    }

    /// Keys, the signing one first; a key nobody made yet has signed nothing.
    fn verifying(&self) -> impl Iterator<Item = &PublicKey> {
        let own = self.signing.get().map(|key| key.public());
        let repeated = own.map(PublicKey::id);
        own.into_iter().chain(self.others.iter().filter(move |key| Some(key.id()) != repeated))
    }
}
