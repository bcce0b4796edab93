//! KMS version 1: every value has a key of its own, which stands sealed in
//! front of it: its length (2 bytes), itself, then AES-GCM.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use environment::Environment;
use storage::{TransformError, Transformed};
use tokio::sync::Mutex;

use super::cache::Cache;
use super::{CallError, HEALTH_BAD, HEALTH_GOOD, KmsV1};
use crate::aes::{Cbc, Gcm};
use crate::cipher::{BadKey, Cipher, failure, join, split};
use crate::metrics::PluginMetrics;
use crate::prefix::Read;

const KEY_BYTES: usize = 32;

/// Seals values with keys that a plugin seals.
pub(crate) struct Envelope {
    name: String,
    plugin: Arc<dyn KmsV1>,
    environment: Environment,
    cache: Cache<Union>,
    metrics: Arc<PluginMetrics>,
    /// The last health check and until when it is good.
    health: Mutex<Option<(Duration, Result<(), String>)>>,
}

impl Envelope {
    /// `cache_size` below zero keeps no keys.
    pub(crate) fn new(
        environment: Environment,
        name: &str,
        plugin: Arc<dyn KmsV1>,
        cache_size: i64,
        metrics: Arc<PluginMetrics>,
    ) -> Arc<Envelope> {
        let entries_max = usize::try_from(cache_size).unwrap_or(0);
        metrics.keys_held_max.store(entries_max as u64, Ordering::Relaxed);
        let cache = Cache::new(environment.clock.clone(), entries_max, None);
        let (name, health) = (name.to_owned(), Mutex::default());
        Arc::new(Envelope { name, plugin, environment, cache, metrics, health })
    }

    fn keep(&self, sealed: &[u8], union: Arc<Union>) {
        self.cache.set(sealed, union);
        self.metrics.keys_held.store(self.cache.len() as u64, Ordering::Relaxed);
    }

    pub(crate) fn write(self: &Arc<Self>, prefix: &str, data: Bytes, context: &[u8]) -> Transformed<Bytes> {
        let (this, prefix, context) = (self.clone(), prefix.to_owned(), context.to_vec());
        Transformed::Later(Box::pin(async move { this.seal(&prefix, &data, &context).await }))
    }

    async fn seal(&self, prefix: &str, data: &[u8], context: &[u8]) -> Result<Bytes, TransformError> {
        let mut key = [0; KEY_BYTES];
        let start = self.environment.clock.monotonic();
        self.environment.random.fill(&mut key);
        self.metrics.key_generations.observe(self.environment.clock.monotonic().saturating_sub(start));
        let sealed = self.plugin.encrypt(&key).await.map_err(|error| TransformError(error.0))?;
        let length = u16::try_from(sealed.len())
            .map_err(|_| failure("the plugin returned an encrypted key that is too long"))?;
        let union = Union::new(&key).map_err(|error| failure(&error.to_string()))?;
        let mut out = prefix.as_bytes().to_vec();
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&sealed);
        union.gcm.seal(self.environment.random.as_ref(), data, context, &mut out)?;
        self.keep(&sealed, Arc::new(union));
        Ok(out.into())
    }

    /// `value` without the prefix.
    pub(crate) fn read(self: &Arc<Self>, value: Bytes, context: &[u8]) -> Transformed<(Bytes, bool)> {
        let Some((sealed, data)) = parts(&value) else {
            return Transformed::Now(Err(failure(
                "invalid data encountered by envelope transformer: failed to read uint16 length prefixed data",
            )));
        };
        if let Some(union) = self.cache.get(sealed) {
            return Transformed::Now(union.open(data, context));
        }
        self.metrics.cache_misses.add(1);
        let (this, sealed, context) = (self.clone(), sealed.to_vec(), context.to_vec());
        let data = value.slice(2 + sealed.len()..);
        Transformed::Later(Box::pin(async move {
            let key = this.plugin.decrypt(&sealed).await.map_err(|error| TransformError(error.0))?;
            let union = Union::new(&key).map_err(|error| failure(&format!("crypto/aes: {error}")))?;
            let union = Arc::new(union);
            this.keep(&sealed, union.clone());
            union.open(&data, &context)
        }))
    }

    /// Seals and opens a ping; an answer is good for 20 s, a failure for 3 s.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let mut health = self.health.lock().await;
        if let Some((until, result)) = &*health
            && self.environment.clock.monotonic() < *until
        {
            return result.clone();
        }
        let result = self.ping().await;
        let good_for = if result.is_ok() { HEALTH_GOOD } else { HEALTH_BAD };
        *health = Some((self.environment.clock.monotonic() + good_for, result.clone()));
        result
    }

    async fn ping(&self) -> Result<(), String> {
        let failed = |section: &str, error: CallError| {
            let name = &self.name;
            format!(
                "failed to perform {section} section of the healthz check for KMS Provider {name}, error: {error}"
            )
        };
        let sealed = self.plugin.encrypt(b"ping").await.map_err(|error| failed("encrypt", error))?;
        self.plugin.decrypt(&sealed).await.map_err(|error| failed("decrypt", error))?;
        Ok(())
    }
}

/// The sealed key and the sealed data.
fn parts(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = split::<2>(value)?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Writes GCM and reads GCM or, of values from before Kubernetes 1.25, CBC.
struct Union {
    gcm: Gcm,
    cbc: Cbc,
}

impl Union {
    fn new(key: &[u8]) -> Result<Union, BadKey> {
        Ok(Union { gcm: Gcm::new(key)?, cbc: Cbc::new(key)? })
    }

    /// What CBC opens is stale.
    fn open(&self, sealed: &[u8], context: &[u8]) -> Read {
        let gcm = match self.gcm.open(sealed, context) {
            Ok(data) => return Ok((data.into(), false)),
            Err(error) => error,
        };
        match self.cbc.open(sealed, context) {
            Ok(data) => Ok((data.into(), true)),
            Err(cbc) => Err(join(&[gcm.clone(), cbc]).unwrap_or(gcm)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use async_trait::async_trait;
    use simulation::Simulation;

    use super::*;

    /// Seals by turning bits over; counts calls.
    #[derive(Default)]
    struct Flipping {
        calls: AtomicUsize,
        down: std::sync::atomic::AtomicBool,
    }

    impl Flipping {
        fn flip(&self, bytes: &[u8]) -> Result<Vec<u8>, CallError> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if self.down.load(Ordering::SeqCst) {
                return Err(CallError("down".into()));
            }
            Ok(bytes.iter().map(|byte| !byte).collect())
        }
    }

    #[async_trait]
    impl KmsV1 for Flipping {
        async fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, CallError> {
            self.flip(plain)
        }

        async fn decrypt(&self, cipher: &[u8]) -> Result<Vec<u8>, CallError> {
            self.flip(cipher)
        }
    }

    fn envelope(simulation: &Simulation, cache_size: i64) -> (Arc<Flipping>, Arc<Envelope>) {
        let plugin = Arc::new(Flipping::default());
        let metrics = Arc::new(PluginMetrics::new(simulation.environment().clock));
        (plugin.clone(), Envelope::new(simulation.environment(), "p", plugin, cache_size, metrics))
    }

    #[test]
    fn a_value_is_length_key_and_gcm() {
        let simulation = Simulation::new(1);
        let (plugin, envelope) = envelope(&simulation, 10);
        simulation.run(async {
            let value = envelope.write("kms:", Bytes::from_static(b"data"), b"/a").wait().await.unwrap();
            assert_eq!(value[..6], *b"kms:\0\x20");
            assert_eq!(value.len(), 4 + 2 + 32 + 12 + 4 + 16);
            let key: Vec<u8> = value[6..38].iter().map(|byte| !byte).collect();
            assert_eq!(Gcm::new(&key).unwrap().open(&value[38..], b"/a").unwrap(), b"data");

            let read = envelope.read(value.slice(4..), b"/a").now().expect("the key is known").unwrap();
            assert_eq!(read, (Bytes::from_static(b"data"), false));
            assert!(envelope.read(value.slice(4..), b"/b").wait().await.is_err());
            assert_eq!(plugin.calls.load(Ordering::SeqCst), 1);
        });
    }

    #[test]
    fn without_a_cache_every_read_asks_and_old_cbc_values_are_stale() {
        let simulation = Simulation::new(1);
        let (plugin, envelope) = envelope(&simulation, -1);
        let mut value = b"\0\x20".to_vec();
        value.extend([!7; 32]);
        Cbc::new(&[7; 32]).unwrap().seal(&*simulation.environment().random, b"old", b"", &mut value).unwrap();
        let value = Bytes::from(value);
        simulation.run(async {
            for calls in 1..3 {
                let read = envelope.read(value.clone(), b"/a").wait().await.unwrap();
                assert_eq!(read, (Bytes::from_static(b"old"), true));
                assert_eq!(plugin.calls.load(Ordering::SeqCst), calls);
            }
        });
        for short in [&b""[..], b"\0", b"\0\x05abcd"] {
            assert!(envelope.read(Bytes::from_static(short), b"").now().unwrap().is_err());
        }
    }

    #[test]
    fn health_is_remembered_longer_when_it_is_good() {
        let simulation = Simulation::new(1);
        let (plugin, envelope) = envelope(&simulation, 1);
        let clock = simulation.environment().clock;
        simulation.run(async {
            assert_eq!(envelope.check().await, Ok(()));
            plugin.down.store(true, Ordering::SeqCst);
            clock.sleep(Duration::from_secs(19)).await;
            assert_eq!(envelope.check().await, Ok(()));
            clock.sleep(Duration::from_secs(2)).await;
            let expect =
                "failed to perform encrypt section of the healthz check for KMS Provider p, error: down";
            assert_eq!(envelope.check().await, Err(expect.into()));
            plugin.down.store(false, Ordering::SeqCst);
            assert_eq!(envelope.check().await, Err(expect.into()));
            clock.sleep(Duration::from_secs(4)).await;
            assert_eq!(envelope.check().await, Ok(()));
        });
    }
}
