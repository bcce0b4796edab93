//! Version 2 over a plugin without a socket, under a clock that tests move.

use std::collections::BTreeMap;

use async_trait::async_trait;
use proptest::prelude::*;
use simulation::Simulation;

use super::*;
use crate::kms::CallError;
use crate::kms::wire::v2::EncryptResponse;

/// Seals by turning bits over, under the key ID it is told to have.
#[derive(Default)]
struct Flipping {
    inner: parking_lot::Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    key_id: String,
    encrypt_key_id: Option<String>,
    healthz: String,
    version: String,
    decrypts: usize,
}

impl Flipping {
    fn new() -> Arc<Flipping> {
        let inner =
            Inner { key_id: "1".into(), healthz: "ok".into(), version: "v2".into(), ..Inner::default() };
        Arc::new(Flipping { inner: parking_lot::Mutex::new(inner) })
    }

    fn set(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.lock());
    }
}

fn flip(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

#[async_trait]
impl KmsV2 for Flipping {
    async fn status(&self) -> Result<StatusResponse, CallError> {
        let inner = self.inner.lock();
        if inner.healthz == "gone" {
            return Err(CallError("gone".into()));
        }
        let (version, healthz) = (inner.version.clone(), inner.healthz.clone());
        Ok(StatusResponse { version, healthz, key_id: inner.key_id.clone() })
    }

    async fn encrypt(&self, _uid: &str, plaintext: &[u8]) -> Result<EncryptResponse, CallError> {
        let inner = self.inner.lock();
        let key_id = inner.encrypt_key_id.clone().unwrap_or_else(|| inner.key_id.clone());
        let annotations = BTreeMap::from([("kms.example.com".to_owned(), b"x".to_vec())]);
        Ok(EncryptResponse { ciphertext: flip(plaintext), key_id, annotations })
    }

    async fn decrypt(&self, _uid: &str, sealed: &SealedKey) -> Result<Vec<u8>, CallError> {
        self.inner.lock().decrypts += 1;
        if !sealed.annotations.contains_key("kms.example.com") {
            return Err(CallError("annotations are missing".into()));
        }
        Ok(flip(&sealed.ciphertext))
    }
}

fn envelope_of(environment: Environment, plugin: Arc<dyn KmsV2>) -> Arc<Envelope> {
    let metrics = Arc::new(PluginMetrics::new(environment.clock.clone()));
    Envelope::new(environment, "p", plugin, metrics)
}

fn write(envelope: &Envelope) -> Result<Bytes, TransformError> {
    envelope.write("", b"data", b"/a")
}

#[test]
fn a_value_is_the_original_s_message_and_says_how_to_open_it() {
    let simulation = Simulation::new(1);
    let envelope = envelope_of(simulation.environment(), Flipping::new());
    simulation.run(async {
        assert_eq!(write(&envelope).unwrap_err().0, "got unexpected nil transformer");
        envelope.check().await.unwrap();
        let value = envelope.write("kms:", b"data", b"/a").unwrap();
        // Field 1, length-delimited: info, nonce, data and tag.
        assert_eq!(value[..6], [b'k', b'm', b's', b':', 0x0a, 32 + 12 + 4 + 16]);
        let object = decode(&value[4..]).unwrap();
        assert_eq!((&object.key_id[..], object.encrypted_dek_source_type), ("1", SOURCE_SEED));
        let seed = SeededGcm::new(&flip(&object.encrypted_dek_source)).unwrap();
        assert_eq!(seed.open(&object.encrypted_data, b"/a").unwrap(), b"data");
        // Field 5, varint 1.
        assert_eq!(value[value.len() - 2..], [0x28, 1]);
        assert!(envelope.read(value.slice(4..), b"/b").now().unwrap().is_err());
    });
}

#[test]
fn another_server_asks_the_plugin_once_for_each_seed() {
    let simulation = Simulation::new(1);
    let plugin = Flipping::new();
    let make = || envelope_of(simulation.environment(), plugin.clone());
    let (writer, reader) = (make(), make());
    simulation.run(async {
        writer.check().await.unwrap();
        reader.check().await.unwrap();
        let value = write(&writer).unwrap();
        assert!(writer.read(value.clone(), b"/a").now().is_some(), "its own seed is known");
        for _ in 0..3 {
            let read = reader.read(value.clone(), b"/a").wait().await.unwrap();
            assert_eq!(read, (Bytes::from_static(b"data"), false));
        }
        assert_eq!(plugin.inner.lock().decrypts, 1);
    });
}

#[test]
fn a_new_key_of_the_plugin_makes_old_values_stale() {
    let simulation = Simulation::new(1);
    let plugin = Flipping::new();
    let envelope = envelope_of(simulation.environment(), plugin.clone());
    let (sender, closed) = watch::channel(());
    let environment = simulation.environment();
    simulation.run(async {
        envelope.check().await.unwrap();
        environment.tasks.spawn("poll", Box::pin(envelope.clone().poll(closed)));
        let old = write(&envelope).unwrap();
        assert!(!envelope.read(old.clone(), b"/a").wait().await.unwrap().1);
        plugin.set(|inner| inner.key_id = "2".into());
        environment.clock.sleep(Duration::from_secs(70)).await;
        assert!(envelope.read(old, b"/a").wait().await.unwrap().1);
        let new = write(&envelope).unwrap();
        assert!(!envelope.read(new, b"/a").wait().await.unwrap().1);
        drop(sender);
    });
}

#[test]
fn values_under_a_plain_key_are_read_and_stale() {
    let simulation = Simulation::new(1);
    let environment = simulation.environment();
    let envelope = envelope_of(environment.clone(), Flipping::new());
    let mut sealed = Vec::new();
    Gcm::new(&[9; 32]).unwrap().seal(&*environment.random, b"data", b"/a", &mut sealed).unwrap();
    let object = EncryptedObject {
        encrypted_data: sealed,
        key_id: "1".into(),
        encrypted_dek_source: flip(&[9; 32]),
        annotations: BTreeMap::from([("kms.example.com".to_owned(), Vec::new())]),
        encrypted_dek_source_type: SOURCE_KEY,
    };
    simulation.run(async {
        envelope.check().await.unwrap();
        let read = envelope.read(object.encode_to_vec().into(), b"/a").wait().await.unwrap();
        assert_eq!(read, (Bytes::from_static(b"data"), true));
    });
}

#[test]
fn writes_coast_for_three_minutes_and_reads_for_ever() {
    let simulation = Simulation::new(1);
    let plugin = Flipping::new();
    let envelope = envelope_of(simulation.environment(), plugin.clone());
    let clock = simulation.environment().clock;
    simulation.run(async {
        envelope.check().await.unwrap();
        let value = write(&envelope).unwrap();
        plugin.set(|inner| inner.healthz = "gone".into());
        clock.sleep(Duration::from_secs(170)).await;
        assert!(envelope.check().await.unwrap_err().ends_with("error: gone"));
        write(&envelope).unwrap();
        clock.sleep(Duration::from_secs(20)).await;
        assert!(write(&envelope).unwrap_err().0.contains("expired 10 seconds ago"));
        assert!(envelope.read(value, b"/a").wait().await.is_ok());
        plugin.set(|inner| inner.healthz = "ok".into());
        envelope.check().await.unwrap();
        write(&envelope).unwrap();
    });
}

#[test]
fn an_unhealthy_plugin_is_described() {
    let check = |change: fn(&mut Inner), expect: &str| {
        let simulation = Simulation::new(1);
        let plugin = Flipping::new();
        plugin.set(change);
        let envelope = envelope_of(simulation.environment(), plugin);
        let error = simulation.run(async { envelope.check().await.unwrap_err() });
        assert!(error.contains(expect), "{error:?} does not say {expect:?}");
    };
    check(
        |inner| inner.healthz = "ill".into(),
        "kmsv2 Provider p is not healthy, error: got unexpected healthz status: ill",
    );
    check(|inner| inner.version = "v3".into(), "expected KMSv2 API version v2, got v3");
    check(|inner| inner.key_id = String::new(), "got invalid KMSv2 KeyID hash \"\": keyID is empty");
    check(|inner| inner.key_id = "x".repeat(1025), "keyID is 1025 bytes, which exceeds the max size of 1024");
    check(|inner| inner.encrypt_key_id = Some("other".into()), "failed to rotate DEK");
}

#[test]
fn annotations_have_qualified_names() {
    for (name, expect) in
        [("a.b", true), ("kms.example.com", true), ("a", false), ("A.b", false), ("a..b", false), ("", false)]
    {
        assert_eq!(is_qualified_domain(name), expect, "{name:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let simulation = Simulation::new(1);
        let envelope = envelope_of(simulation.environment(), Flipping::new());
        simulation.run(async {
            envelope.check().await.unwrap();
            let _ = envelope.read(bytes.into(), b"/a").wait().await;
        });
    }
}
