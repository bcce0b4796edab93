//! KMS version 2: one seed seals many values; the plugin seals the seed, which
//! stands in every value. When the plugin's key changes there is a new seed,
//! and what was sealed under the old key is stale.
//!
//! ```text
//! status ok, same key   -> the seed may be written with for 3 min more
//! status ok, other key  -> new seed, sealed by the plugin
//! status fails          -> writes go on until the 3 min are over, reads go on for ever
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use environment::Environment;
use futures::future::{Either, select};
use prost::Message;
use storage::{TransformError, Transformed};
use tokio::sync::{Mutex, watch};

use super::cache::Cache;
use super::wire::v2::{EncryptedObject, SOURCE_KEY, SOURCE_SEED, StatusResponse};
use super::{HEALTH_BAD, HEALTH_GOOD, KmsV2, SealedKey};
use crate::aes::{Gcm, SeededGcm};
use crate::cipher::{Cipher, failure};
use crate::metrics::{Direction, PluginMetrics, key_id_hash as hash};
use crate::prefix::Read;

const SEED_BYTES: usize = 32;
/// How long after the last good status a seed may be written with.
const WRITE_AGE_MAX: Duration = Duration::from_secs(180);
/// Between status calls.
const POLL_GOOD: Duration = Duration::from_secs(60);
const POLL_BAD: Duration = Duration::from_secs(10);
const CACHE_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Seeds kept: one for each change of the plugin's key and start of a server; more would be an attack on memory.
const CACHE_ENTRIES_MAX: usize = 100_000;
const KEY_ID_BYTES_MAX: usize = 1024;
const SOURCE_BYTES_MAX: usize = 1024;
const ANNOTATIONS_BYTES_MAX: usize = 32 * 1024;

/// Seals values with seeds that a plugin seals.
pub(crate) struct Envelope {
    name: String,
    plugin: Arc<dyn KmsV2>,
    environment: Environment,
    state: ArcSwapOption<State>,
    cache: Cache<dyn Cipher>,
    metrics: Arc<PluginMetrics>,
    probe: Mutex<Probe>,
}

/// What is written with.
struct State {
    cipher: Arc<dyn Cipher>,
    sealed: SealedKey,
    /// Of the environment's monotonic clock.
    writable_until: Duration,
}

#[derive(Default)]
struct Probe {
    /// What the plugin called itself first.
    version: String,
    /// The last health check and until when it is good.
    health: Option<(Duration, Result<(), String>)>,
}

impl Envelope {
    /// Without a seed until the first [`Envelope::check`].
    pub(crate) fn new(
        environment: Environment,
        name: &str,
        plugin: Arc<dyn KmsV2>,
        metrics: Arc<PluginMetrics>,
    ) -> Arc<Envelope> {
        let cache = Cache::new(environment.clock.clone(), CACHE_ENTRIES_MAX, Some(CACHE_AGE_MAX));
        let (state, probe) = (ArcSwapOption::empty(), Mutex::default());
        Arc::new(Envelope { name: name.to_owned(), plugin, environment, state, cache, metrics, probe })
    }

    fn keep(&self, key: &[u8], cipher: Arc<dyn Cipher>) {
        self.cache.set(key, cipher);
        self.metrics.keys_held.store(self.cache.len() as u64, Ordering::Relaxed);
    }

    pub(crate) fn write(&self, prefix: &str, data: &[u8], context: &[u8]) -> Result<Bytes, TransformError> {
        let state = self.state()?;
        let now = self.environment.clock.monotonic();
        if now > state.writable_until {
            let (hash, ago) = (hash(&state.sealed.key_id), (now - state.writable_until).as_secs());
            return Err(TransformError(format!(
                "encryptedDEKSource with keyID hash {hash:?} expired {ago} seconds ago"
            )));
        }
        self.metrics.key_used(Direction::ToStorage, &state.sealed.key_id);
        let mut sealed = Vec::new();
        state.cipher.seal(self.environment.random.as_ref(), data, context, &mut sealed)?;
        let object = EncryptedObject {
            encrypted_data: sealed,
            key_id: state.sealed.key_id.clone(),
            encrypted_dek_source: state.sealed.ciphertext.clone(),
            annotations: state.sealed.annotations.clone(),
            encrypted_dek_source_type: SOURCE_SEED,
        };
        let mut out = Vec::with_capacity(prefix.len() + object.encoded_len());
        out.extend_from_slice(prefix.as_bytes());
        object.encode_raw(&mut out);
        Ok(out.into())
    }

    /// `value` without the prefix.
    pub(crate) fn read(self: &Arc<Self>, value: Bytes, context: &[u8]) -> Transformed<(Bytes, bool)> {
        let (object, state) = match decode(&value).and_then(|object| Ok((object, self.state()?))) {
            Ok(both) => both,
            Err(error) => return Transformed::Now(Err(error)),
        };
        let stale = object.key_id != state.sealed.key_id || object.encrypted_dek_source_type != SOURCE_SEED;
        self.metrics.key_used(Direction::FromStorage, &object.key_id);
        let key = cache_key(&object);
        if let Some(cipher) = self.cache.get(&key) {
            return Transformed::Now(open(cipher.as_ref(), &object.encrypted_data, context, stale));
        }
        self.metrics.cache_misses.add(1);
        let (this, context) = (self.clone(), context.to_vec());
        Transformed::Later(Box::pin(async move {
            let cipher = this.fetch(&key, &object).await?;
            open(cipher.as_ref(), &object.encrypted_data, &context, stale)
        }))
    }

    async fn fetch(&self, key: &[u8], object: &EncryptedObject) -> Result<Arc<dyn Cipher>, TransformError> {
        let sealed = SealedKey {
            ciphertext: object.encrypted_dek_source.clone(),
            key_id: object.key_id.clone(),
            annotations: object.annotations.clone(),
        };
        let opened = self.plugin.decrypt(&self.environment.random.uuid(), &sealed).await;
        let opened =
            opened.map_err(|error| TransformError(format!("failed to decrypt DEK, error: {error}")))?;
        let unusable =
            |_| TransformError(format!("invalid seed length {} used for key generation", opened.len()));
        let cipher: Arc<dyn Cipher> = if object.encrypted_dek_source_type == SOURCE_SEED {
            Arc::new(SeededGcm::new(&opened).map_err(unusable)?)
        } else {
            Arc::new(Gcm::new(&opened).map_err(|error| failure(&format!("crypto/aes: {error}")))?)
        };
        self.keep(key, cipher.clone());
        Ok(cipher)
    }

    fn state(&self) -> Result<Arc<State>, TransformError> {
        // The original's text for a plugin that has not answered since the start.
        self.state.load_full().ok_or_else(|| failure("got unexpected nil transformer"))
    }

    /// Asks the plugin how it is, and makes a new seed when its key has
    /// changed. An answer is good for 20 s, a failure for 3 s.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let mut probe = self.probe.lock().await;
        if let Some((until, result)) = &probe.health
            && self.environment.clock.monotonic() < *until
        {
            return result.clone();
        }
        let result = self.ask(&mut probe.version).await;
        let good_for = if result.is_ok() { HEALTH_GOOD } else { HEALTH_BAD };
        probe.health = Some((self.environment.clock.monotonic() + good_for, result.clone()));
        result
    }

    async fn ask(&self, version: &mut String) -> Result<(), String> {
        let name = &self.name;
        let status = self.plugin.status().await.map_err(|error| {
            format!("failed to perform status section of the healthz check for KMS Provider {name}, error: {error}")
        })?;
        let mut problems = problems_of(&status, version);
        match check_key_id(&status.key_id) {
            Err(error) => {
                self.metrics.invalid_key_id(if status.key_id.is_empty() { "empty" } else { "too_long" });
                problems.push(format!("got invalid KMSv2 KeyID hash {:?}: {error}", hash(&status.key_id)));
            }
            Ok(()) => {
                self.metrics.key_in_status(&status.key_id);
                problems.extend(self.rotate(&status.key_id).await.err());
            }
        }
        match &problems[..] {
            [] => Ok(()),
            [problem] => Err(format!("kmsv2 Provider {name} is not healthy, error: {problem}")),
            _ => Err(format!("kmsv2 Provider {name} is not healthy, error: [{}]", problems.join(", "))),
        }
    }

    /// Lets the seed be written with for longer, or makes another.
    async fn rotate(&self, key_id: &str) -> Result<(), String> {
        // Counted from before the calls, so that the age is an upper bound.
        let writable_until = self.environment.clock.monotonic() + WRITE_AGE_MAX;
        let current = self.state.load_full();
        if let Some(state) = current.as_deref().filter(|state| state.sealed.key_id == key_id) {
            let (cipher, sealed) = (state.cipher.clone(), state.sealed.clone());
            self.state.store(Some(Arc::new(State { cipher, sealed, writable_until })));
            return Ok(());
        }
        let uid = self.environment.random.uuid();
        let failed = |why: String, theirs: &str| {
            let ours = current.as_deref().map_or("", |state| &state.sealed.key_id);
            let [status, encrypt, state] = [key_id, theirs, ours].map(hash);
            format!(
                "failed to rotate DEK uid={uid:?}, useSeed=true, errGen={why}, statusKeyIDHash={status:?}, encryptKeyIDHash={encrypt:?}, stateKeyIDHash={state:?}"
            )
        };
        let (cipher, object) = self.generate(&uid).await.map_err(|error| failed(error, ""))?;
        if object.key_id != key_id {
            // The key changed between the calls; the next round will agree.
            return Err(failed("<nil>".into(), &object.key_id));
        }
        self.keep(&cache_key(&object), cipher.clone());
        let EncryptedObject { encrypted_dek_source: ciphertext, key_id, annotations, .. } = object;
        let sealed = SealedKey { ciphertext, key_id, annotations };
        self.state.store(Some(Arc::new(State { cipher, sealed, writable_until })));
        tracing::info!(provider = self.name, "new seed for encryption at rest");
        Ok(())
    }

    /// A seed and its sealed form, as an object without data.
    async fn generate(&self, uid: &str) -> Result<(Arc<dyn Cipher>, EncryptedObject), String> {
        let mut seed = [0; SEED_BYTES];
        let start = self.environment.clock.monotonic();
        self.environment.random.fill(&mut seed);
        self.metrics.key_generations.observe(self.environment.clock.monotonic().saturating_sub(start));
        let cipher = SeededGcm::new(&seed).map_err(|error| error.to_string())?;
        let answer = self.plugin.encrypt(uid, &seed).await;
        let answer = answer.map_err(|error| format!("failed to encrypt DEK, error: {error}"))?;
        let object = EncryptedObject {
            encrypted_data: Vec::new(),
            key_id: answer.key_id,
            encrypted_dek_source: answer.ciphertext,
            annotations: answer.annotations,
            encrypted_dek_source_type: SOURCE_SEED,
        };
        check_source(&object)?;
        Ok((Arc::new(cipher), object))
    }

    /// Checks every minute, every 10 s while it fails, until `closed` has no sender any more.
    pub(crate) async fn poll(self: Arc<Self>, mut closed: watch::Receiver<()>) {
        let mut pause = if self.state.load().is_some() { POLL_GOOD } else { POLL_BAD };
        loop {
            let closing = std::pin::pin!(closed.changed());
            if let Either::Left(_) = select(closing, self.environment.clock.sleep(pause)).await {
                return;
            }
            pause = POLL_GOOD;
            if let Err(error) = self.check().await {
                tracing::error!(provider = self.name, error, "the KMS plugin failed its health check");
                pause = POLL_BAD;
            }
        }
    }
}

fn open(cipher: &dyn Cipher, sealed: &[u8], context: &[u8], stale: bool) -> Read {
    Ok((cipher.open(sealed, context)?.into(), stale))
}

fn decode(value: &[u8]) -> Result<EncryptedObject, TransformError> {
    let object = EncryptedObject::decode(value)
        .map_err(|error| TransformError(format!("cannot parse invalid wire-format data: {error}")))?;
    if !matches!(object.encrypted_dek_source_type, SOURCE_KEY | SOURCE_SEED) {
        let unknown = object.encrypted_dek_source_type;
        return Err(TransformError(format!("unknown encryptedDEKSourceType: {unknown}")));
    }
    if object.encrypted_data.is_empty() {
        return Err(failure("encrypted data is empty"));
    }
    check_source(&object).map_err(TransformError)?;
    Ok(object)
}

fn check_source(object: &EncryptedObject) -> Result<(), String> {
    let source = &object.encrypted_dek_source;
    if source.is_empty() {
        return Err("failed to validate encrypted DEK source: encrypted DEK source is empty".into());
    }
    if source.len() > SOURCE_BYTES_MAX {
        let length = source.len();
        return Err(format!(
            "failed to validate encrypted DEK source: encrypted DEK source is {length} bytes, which exceeds the max size of {SOURCE_BYTES_MAX}"
        ));
    }
    check_key_id(&object.key_id).map_err(|error| format!("failed to validate key id: {error}"))?;
    check_annotations(object).map_err(|error| format!("failed to validate annotations: {error}"))
}

fn check_key_id(key_id: &str) -> Result<(), String> {
    match key_id.len() {
        0 => Err("keyID is empty".into()),
        length if length > KEY_ID_BYTES_MAX => {
            Err(format!("keyID is {length} bytes, which exceeds the max size of {KEY_ID_BYTES_MAX}"))
        }
        _ => Ok(()),
    }
}

fn check_annotations(object: &EncryptedObject) -> Result<(), String> {
    let total: usize = object.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if total > ANNOTATIONS_BYTES_MAX {
        return Err(format!(
            "total size of annotations is {total}, which exceeds the max size of {ANNOTATIONS_BYTES_MAX}"
        ));
    }
    match object.annotations.keys().find(|key| !is_qualified_domain(key)) {
        Some(key) => Err(format!(
            "annotations: Invalid value: {key:?}: should be a domain with at least two segments separated by dots"
        )),
        None => Ok(()),
    }
}

/// A lower-case domain name of at least two labels.
fn is_qualified_domain(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(is_word)
            && label.ends_with(is_word)
            && label.chars().all(|c| is_word(c) || c == '-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(is_label)
}

/// What is wrong with the plugin's account of itself, its key apart.
fn problems_of(status: &StatusResponse, first_version: &mut String) -> Vec<String> {
    let mut problems = Vec::new();
    let StatusResponse { version, healthz, .. } = status;
    if healthz != "ok" {
        problems.push(format!("got unexpected healthz status: {healthz}"));
    }
    if version != "v2" && version != "v2beta1" {
        problems.push(format!("expected KMSv2 API version v2, got {version}"));
        return problems;
    }
    if first_version.is_empty() {
        first_version.clone_from(version);
    }
    if first_version != version {
        problems.push(format!(
            "KMSv2 API version should not change after the initial status response version {first_version}, got {version}"
        ));
    }
    problems
}

/// Everything that tells one seed from another, each part with its length.
fn cache_key(object: &EncryptedObject) -> Vec<u8> {
    let mut key = object.encrypted_dek_source_type.to_be_bytes().to_vec();
    let mut add = |part: &[u8]| {
        key.extend_from_slice(&(part.len() as u64).to_be_bytes());
        key.extend_from_slice(part);
    };
    add(&object.encrypted_dek_source);
    add(object.key_id.as_bytes());
    for (name, value) in &object.annotations {
        add(name.as_bytes());
        add(value);
    }
    key
}

#[cfg(test)]
#[path = "v2_tests.rs"]
mod tests;
