//! Which provider and which key a value belongs to: by its prefix
//! (E-ENC-3). The first provider and its first key write; all read; what any
//! but the first has read is stale.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use environment::{Clock, Random};
use storage::{Identity, TransformError, Transformed, Transformer};

use crate::cipher::{Cipher, failure, join};
use crate::kms::{v1, v2};
use crate::metrics::{Direction, EncryptionMetrics, PrefixMetrics};

/// Data and whether it is stale.
pub(crate) type Read = Result<(Bytes, bool), TransformError>;

/// What a resource is stored with: providers in configured order, at least one.
pub(crate) struct Providers {
    pub(crate) list: Vec<Arc<Provider>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Counts what no provider could read.
    pub(crate) unknown: Arc<PrefixMetrics>,
}

/// One provider and what its values begin with.
pub(crate) struct Provider {
    pub(crate) prefix: String,
    pub(crate) body: Body,
    pub(crate) metrics: ProviderMetrics,
}

/// Where a provider counts. The identity goes by two names.
pub(crate) struct ProviderMetrics {
    pub(crate) read: Arc<PrefixMetrics>,
    pub(crate) written: Arc<PrefixMetrics>,
}

/// How a provider works.
pub(crate) enum Body {
    /// Nothing, under an empty prefix.
    Identity,
    /// Keys that stand in the configuration.
    Keys(Keys),
    /// Keys wrapped by a plugin, one for many values.
    KmsV2(Arc<v2::Envelope>),
    /// Keys wrapped by a plugin, one for each value.
    KmsV1(Arc<v1::Envelope>),
}

/// Named keys of one cipher; a value says which by `<name>:`.
pub(crate) struct Keys {
    pub(crate) keys: Vec<(String, Box<dyn Cipher>)>,
    pub(crate) random: Arc<dyn Random>,
    /// Said of a value whose key is not here.
    pub(crate) no_match: &'static str,
}

impl Providers {
    /// Writes with the first provider.
    pub(crate) fn write(&self, data: Bytes, context: &[u8]) -> Transformed<Bytes> {
        let Some(first) = self.list.first() else {
            return Transformed::Now(Err(failure("no provider to write with")));
        };
        let start = self.clock.monotonic();
        let result = match first.write(data, context) {
            Transformed::Now(result) => result,
            Transformed::Later(result) => {
                let (clock, metrics) = (self.clock.clone(), first.metrics.written.clone());
                return Transformed::Later(Box::pin(async move {
                    let result = result.await;
                    let took = clock.monotonic().saturating_sub(start);
                    metrics.transformed(Direction::ToStorage, took, &result);
                    result
                }));
            }
        };
        first.metrics.written.transformed(Direction::ToStorage, self.since(start), &result);
        Transformed::Now(result)
    }

    fn since(&self, start: Duration) -> Duration {
        self.clock.monotonic().saturating_sub(start)
    }

    /// Reads with the providers whose prefix the value has, in order.
    pub(crate) fn read(self: &Arc<Self>, value: Bytes, context: &[u8]) -> Transformed<(Bytes, bool)> {
        self.read_from(0, Vec::new(), self.clock.monotonic(), value, context)
    }

    fn read_from(
        self: &Arc<Self>,
        first: usize,
        mut errors: Vec<TransformError>,
        start: Duration,
        value: Bytes,
        context: &[u8],
    ) -> Transformed<(Bytes, bool)> {
        for (i, provider) in self.list.iter().enumerate().skip(first) {
            if !value.starts_with(provider.prefix.as_bytes()) {
                continue;
            }
            let result = match provider.read(value.slice(provider.prefix.len()..), context) {
                Transformed::Now(result) => result,
                Transformed::Later(result) => {
                    let (this, context) = (self.clone(), context.to_vec());
                    return Transformed::Later(Box::pin(async move {
                        let result = result.await;
                        this.list[i].metrics.read.transformed(
                            Direction::FromStorage,
                            this.since(start),
                            &result,
                        );
                        match result {
                            Ok((data, stale)) => Ok((data, stale || i != 0)),
                            Err(error) => {
                                errors.push(error);
                                this.read_from(i + 1, errors, start, value, &context).wait().await
                            }
                        }
                    }));
                }
            };
            // The identity says no to encrypted values; whoever can read them may come later.
            if provider.prefix.is_empty() && result.is_err() {
                continue;
            }
            provider.metrics.read.transformed(Direction::FromStorage, self.since(start), &result);
            match result {
                Ok((data, stale)) => return Transformed::Now(Ok((data, stale || i != 0))),
                Err(error) => errors.push(error),
            }
        }
        let error = join(&errors).unwrap_or_else(|| {
            let error = failure("no matching prefix found");
            let result: Read = Err(error.clone());
            self.unknown.transformed(Direction::FromStorage, self.since(start), &result);
            error
        });
        Transformed::Now(Err(error))
    }
}

impl Providers {
    pub(crate) fn new(list: Vec<Arc<Provider>>, metrics: &EncryptionMetrics) -> Providers {
        Providers { list, clock: metrics.clock.clone(), unknown: metrics.prefix("unknown") }
    }
}

impl Provider {
    pub(crate) fn new(prefix: String, body: Body, metrics: &EncryptionMetrics) -> Provider {
        let read = metrics.prefix(if prefix.is_empty() { "identity" } else { &prefix });
        let metrics = ProviderMetrics { read, written: metrics.prefix(&prefix) };
        Provider { prefix, body, metrics }
    }

    fn write(&self, data: Bytes, context: &[u8]) -> Transformed<Bytes> {
        match &self.body {
            Body::Identity => Transformed::Now(Ok(data)),
            Body::Keys(keys) => Transformed::Now(keys.write(&self.prefix, &data, context)),
            Body::KmsV2(envelope) => Transformed::Now(envelope.write(&self.prefix, &data, context)),
            Body::KmsV1(envelope) => envelope.write(&self.prefix, data, context),
        }
    }

    /// `value` without the prefix.
    fn read(&self, value: Bytes, context: &[u8]) -> Transformed<(Bytes, bool)> {
        match &self.body {
            Body::Identity => Transformed::Now(Identity.from_storage(value, context)),
            Body::Keys(keys) => Transformed::Now(keys.read(&value, context)),
            Body::KmsV2(envelope) => envelope.read(value, context),
            Body::KmsV1(envelope) => envelope.read(value, context),
        }
    }
}

impl Keys {
    fn write(&self, prefix: &str, data: &[u8], context: &[u8]) -> Result<Bytes, TransformError> {
        let (name, cipher) = self.keys.first().ok_or_else(|| failure(self.no_match))?;
        let mut out = Vec::with_capacity(prefix.len() + name.len() + 1 + data.len() + 64);
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        cipher.seal(self.random.as_ref(), data, context, &mut out)?;
        Ok(out.into())
    }

    fn read(&self, value: &[u8], context: &[u8]) -> Read {
        let mut errors = Vec::new();
        for (i, (name, cipher)) in self.keys.iter().enumerate() {
            let rest = value.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b":"));
            let Some(sealed) = rest else { continue };
            match cipher.open(sealed, context) {
                Ok(data) => return Ok((data.into(), i != 0)),
                // Two keys may have one name while they are rotated.
                Err(error) => errors.push(error),
            }
        }
        Err(join(&errors).unwrap_or_else(|| failure(self.no_match)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aes::{Cbc, Gcm};
    use crate::cipher::testing::Counting;
    use crate::secretbox::Secretbox;

    fn metrics() -> EncryptionMetrics {
        EncryptionMetrics::new(environment::real::environment().clock)
    }

    fn keys(prefix: &str, make: fn(&[u8]) -> Box<dyn Cipher>, seeds: &[(&str, u8)]) -> Arc<Provider> {
        let keys = seeds.iter().map(|&(name, seed)| (name.to_owned(), make(&[seed; 32]))).collect();
        let body =
            Body::Keys(Keys { keys, random: Arc::new(Counting::default()), no_match: "no matching key" });
        Arc::new(Provider::new(prefix.to_owned(), body, &metrics()))
    }

    fn cbc(seeds: &[(&str, u8)]) -> Arc<Provider> {
        keys("k8s:enc:aescbc:v1:", |key| Box::new(Cbc::new(key).unwrap()), seeds)
    }

    fn gcm(seeds: &[(&str, u8)]) -> Arc<Provider> {
        keys("k8s:enc:aesgcm:v1:", |key| Box::new(Gcm::new(key).unwrap()), seeds)
    }

    fn secretbox(seeds: &[(&str, u8)]) -> Arc<Provider> {
        keys("k8s:enc:secretbox:v1:", |key| Box::new(Secretbox::new(key).unwrap()), seeds)
    }

    fn identity() -> Arc<Provider> {
        Arc::new(Provider::new(String::new(), Body::Identity, &metrics()))
    }

    fn providers(list: Vec<Arc<Provider>>) -> Arc<Providers> {
        Arc::new(Providers::new(list, &metrics()))
    }

    fn write(providers: &Arc<Providers>) -> Bytes {
        providers.write(Bytes::from_static(b"data"), b"/registry/a").now().unwrap().unwrap()
    }

    fn read(providers: &Arc<Providers>, value: Bytes) -> Result<bool, String> {
        let result = providers.read(value, b"/registry/a").now().unwrap();
        let (data, stale) = result.map_err(|error| error.0)?;
        assert_eq!(data, &b"data"[..]);
        Ok(stale)
    }

    #[test]
    fn whoever_is_first_writes_and_what_others_wrote_is_stale() {
        let all = [identity(), cbc(&[("a", 1)]), gcm(&[("a", 1)]), secretbox(&[("a", 1)])];
        for turn in 0..all.len() {
            let mut list = all.to_vec();
            list.rotate_left(turn);
            let reader = providers(list);
            for (i, writer) in all.iter().enumerate() {
                let value = write(&providers(vec![writer.clone()]));
                assert!(value.starts_with(writer.prefix.as_bytes()));
                assert_eq!(read(&reader, value), Ok(i != turn), "writer {i}, first reader {turn}");
            }
        }
    }

    #[test]
    fn keys_of_one_provider_rotate() {
        let old = write(&providers(vec![cbc(&[("old", 1)])]));
        assert!(old.starts_with(b"k8s:enc:aescbc:v1:old:"));
        let both = providers(vec![cbc(&[("new", 2), ("old", 1)])]);
        assert_eq!(read(&both, old.clone()), Ok(true));
        assert_eq!(read(&both, write(&both)), Ok(false));
        let new = providers(vec![cbc(&[("new", 2)])]);
        assert_eq!(read(&new, old), Err("no matching key".into()));
    }

    #[test]
    fn the_same_provider_may_stand_twice_while_it_is_rotated() {
        let old = write(&providers(vec![gcm(&[("key", 1)])]));
        let overlapping = providers(vec![gcm(&[("key", 2)]), gcm(&[("key", 1)])]);
        assert_eq!(read(&overlapping, old.clone()), Ok(true));
        let wrong = providers(vec![gcm(&[("key", 2)]), gcm(&[("key", 3)]), gcm(&[("other", 3)])]);
        let expect = "[cipher: message authentication failed, no matching key]";
        assert_eq!(read(&wrong, old), Err(expect.into()));
    }

    #[test]
    fn what_nobody_can_read_is_an_error() {
        let expect = Err("no matching prefix found".to_owned());
        assert_eq!(read(&providers(vec![cbc(&[("a", 1)])]), Bytes::from_static(b"{}")), expect);
        let encrypted = write(&providers(vec![cbc(&[("a", 1)])]));
        assert_eq!(read(&providers(vec![identity(), gcm(&[("a", 1)])]), encrypted), expect);
    }

    #[test]
    fn only_gcm_notices_that_a_value_moved() {
        let moved = |provider: Arc<Provider>| {
            let providers = providers(vec![provider]);
            providers.read(write(&providers), b"/registry/b").now().unwrap().is_err()
        };
        assert!(moved(gcm(&[("a", 1)])));
        assert!(!moved(cbc(&[("a", 1)])) && !moved(secretbox(&[("a", 1)])));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(
            prefix in prop::sample::select(vec!["", "k8s:enc:aescbc:v1:a:", "k8s:enc:aesgcm:v1:a:", "k8s:enc:secretbox:v1:a:"]),
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let all = providers(vec![cbc(&[("a", 1)]), gcm(&[("a", 1)]), secretbox(&[("a", 1)]), identity()]);
            let value = Bytes::from([prefix.as_bytes(), &rest].concat());
            let _ = all.read(value, b"/registry/a").now().unwrap();
        }
    }
}
