//! What encryption counts, in plain numbers that the server shows under the
//! original's names. Owns the counting, not the text.
//!
//! Numbers outlive the configuration they were counted under: a reload goes on
//! with those of the same prefix or plugin. Counting a value that could be
//! transformed takes no lock; failures, calls of plugins and new keys do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use environment::Clock;
use parking_lot::Mutex;
use storage::TransformError;
use storage::metrics::{Counter, Histogram};

/// All that one server counts about encryption at rest.
pub struct EncryptionMetrics {
    pub(crate) clock: Arc<dyn Clock>,
    prefixes: Mutex<BTreeMap<String, Arc<PrefixMetrics>>>,
    plugins: Mutex<BTreeMap<String, Arc<PluginMetrics>>>,
    /// Automatic reloads of the configuration.
    pub reloads: ReloadMetrics,
}

/// `apiserver_encryption_config_controller_*`.
#[derive(Default)]
pub struct ReloadMetrics {
    /// Configurations taken into use while running.
    pub successes: Outcome,
    /// Looks at the file that did not lead to a configuration.
    pub failures: Outcome,
    /// Hash of the configuration in effect.
    in_effect: Mutex<String>,
}

/// How often something came to an end, and when last.
#[derive(Default)]
pub struct Outcome {
    /// How often.
    pub count: Counter,
    /// Unix time in milliseconds, 0 for never.
    last_ms: AtomicU64,
}

/// Where a value goes: label `transformation_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// `from_storage`
    FromStorage,
    /// `to_storage`
    ToStorage,
}

/// Transformations under one prefix, by direction.
pub struct PrefixMetrics {
    directions: [DirectionMetrics; 2],
}

/// Transformations under one prefix in one direction.
pub struct DirectionMetrics {
    /// `apiserver_storage_transformation_duration_seconds`, of those that succeeded; their number is its count.
    pub durations: Histogram,
    /// Failed ones by label `status`.
    failures: Mutex<BTreeMap<String, u64>>,
}

/// What is counted of one KMS plugin: `apiserver_envelope_encryption_*` and some others.
pub struct PluginMetrics {
    /// `apiserver_storage_envelope_transformation_cache_misses_total`: the plugin had to be asked for a key.
    pub cache_misses: Counter,
    /// `apiserver_storage_data_key_generation_duration_seconds`.
    pub key_generations: Histogram,
    /// `..._dek_source_cache_size` of version 2: opened keys held.
    pub keys_held: AtomicU64,
    /// The most that may be held, of version 1; `..._dek_cache_fill_percent` is the share.
    pub keys_held_max: AtomicU64,
    calls: Mutex<BTreeMap<(&'static str, String), Arc<Histogram>>>,
    uses: [Uses; 2],
    status_keys: Mutex<BTreeMap<String, u64>>,
    invalid_key_ids: Mutex<BTreeMap<&'static str, u64>>,
    clock: Arc<dyn Clock>,
}

/// Keys used in one direction.
#[derive(Default)]
struct Uses {
    /// The one used last, so that using it again takes no lock.
    last: ArcSwapOption<KeyUse>,
    known: Mutex<Vec<Arc<KeyUse>>>,
}

/// `..._key_id_hash_total` and `..._key_id_hash_last_timestamp_seconds` of one key.
struct KeyUse {
    key_id: String,
    uses: Outcome,
}

/// Upper bounds of `apiserver_storage_transformation_duration_seconds`, in seconds.
const TRANSFORMATION_SECONDS: &[f64] = &powers_of_two::<25>(5e-6);
/// Of `apiserver_storage_data_key_generation_duration_seconds`.
pub const KEY_GENERATION_SECONDS: &[f64] = &powers_of_two::<14>(5e-6);
/// Of `apiserver_envelope_encryption_kms_operations_latency_seconds`.
const CALL_SECONDS: &[f64] = &powers_of_two::<20>(1e-4);
/// Keys of which uses are told, per plugin and direction: a plugin that changes its key all the time must not fill
/// the memory.
const KEYS_TOLD_MAX: usize = 10;

const fn powers_of_two<const N: usize>(first: f64) -> [f64; N] {
    let mut bounds = [first; N];
    let mut n = 1;
    while n < N {
        bounds[n] = bounds[n - 1] * 2.0;
        n += 1;
    }
    bounds
}

impl EncryptionMetrics {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> EncryptionMetrics {
        EncryptionMetrics {
            clock,
            prefixes: Mutex::default(),
            plugins: Mutex::default(),
            reloads: ReloadMetrics::default(),
        }
    }

    /// The numbers of a prefix.
    pub(crate) fn prefix(&self, prefix: &str) -> Arc<PrefixMetrics> {
        let make =
            || Arc::new(PrefixMetrics { directions: [DirectionMetrics::new(), DirectionMetrics::new()] });
        self.prefixes.lock().entry(prefix.to_owned()).or_insert_with(make).clone()
    }

    /// The numbers of a plugin.
    pub(crate) fn plugin(&self, name: &str) -> Arc<PluginMetrics> {
        let make = || Arc::new(PluginMetrics::new(self.clock.clone()));
        self.plugins.lock().entry(name.to_owned()).or_insert_with(make).clone()
    }

    pub(crate) fn reloaded(&self, outcome: &Outcome) {
        outcome.happened(&*self.clock);
    }

    /// Every prefix that was written or looked for, with its numbers.
    pub fn prefixes(&self) -> Vec<(String, Arc<PrefixMetrics>)> {
        self.prefixes.lock().iter().map(|(prefix, metrics)| (prefix.clone(), metrics.clone())).collect()
    }

    /// Every plugin by its name.
    pub fn plugins(&self) -> Vec<(String, Arc<PluginMetrics>)> {
        self.plugins.lock().iter().map(|(name, metrics)| (name.clone(), metrics.clone())).collect()
    }
}

impl ReloadMetrics {
    pub(crate) fn set_in_effect(&self, content_hash: &[u8]) {
        *self.in_effect.lock() = format!("sha256:{}", hex(content_hash));
    }

    /// Hash of the configuration in effect.
    pub fn in_effect(&self) -> String {
        self.in_effect.lock().clone()
    }
}

impl Outcome {
    fn happened(&self, clock: &dyn Clock) {
        self.count.add(1);
        self.last_ms.store(unix_ms(clock), Ordering::Relaxed);
    }

    /// When last, as Unix time in seconds.
    pub fn last_seconds(&self) -> f64 {
        self.last_ms.load(Ordering::Relaxed) as f64 / 1000.0
    }
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::FromStorage, Direction::ToStorage];

    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Direction::FromStorage => "from_storage",
            Direction::ToStorage => "to_storage",
        }
    }
}

impl PrefixMetrics {
    /// Transformations in one direction.
    pub fn direction(&self, direction: Direction) -> &DirectionMetrics {
        &self.directions[direction as usize]
    }

    pub(crate) fn transformed<T>(
        &self,
        direction: Direction,
        took: Duration,
        result: &Result<T, TransformError>,
    ) {
        let metrics = self.direction(direction);
        match result {
            Ok(_) => metrics.durations.observe(took),
            Err(error) => *metrics.failures.lock().entry(status_of(&error.0).to_owned()).or_default() += 1,
        }
    }
}

impl DirectionMetrics {
    fn new() -> DirectionMetrics {
        DirectionMetrics { durations: Histogram::new(TRANSFORMATION_SECONDS), failures: Mutex::default() }
    }

    /// Failures by their status.
    pub fn failures(&self) -> Vec<(String, u64)> {
        self.failures.lock().iter().map(|(status, count)| (status.clone(), *count)).collect()
    }
}

impl PluginMetrics {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> PluginMetrics {
        PluginMetrics {
            cache_misses: Counter::default(),
            key_generations: Histogram::new(KEY_GENERATION_SECONDS),
            keys_held: AtomicU64::default(),
            keys_held_max: AtomicU64::default(),
            calls: Mutex::default(),
            uses: Default::default(),
            status_keys: Mutex::default(),
            invalid_key_ids: Mutex::default(),
            clock,
        }
    }

    pub(crate) fn called(&self, method: &'static str, code: &str, took: Duration) {
        let make = || Arc::new(Histogram::new(CALL_SECONDS));
        self.calls.lock().entry((method, code.to_owned())).or_insert_with(make).observe(took);
    }

    pub(crate) fn key_used(&self, direction: Direction, key_id: &str) {
        let uses = &self.uses[direction as usize];
        if let Some(last) = uses.last.load().as_ref().filter(|last| last.key_id == key_id) {
            return last.uses.happened(&*self.clock);
        }
        let mut known = uses.known.lock();
        let found = match known.iter().find(|known| known.key_id == key_id) {
            Some(found) => found.clone(),
            None => {
                if known.len() == KEYS_TOLD_MAX {
                    let oldest = |known: &Arc<KeyUse>| known.uses.last_ms.load(Ordering::Relaxed);
                    let (at, _) = known.iter().enumerate().min_by_key(|(_, known)| oldest(known)).unzip();
                    known.swap_remove(at.unwrap_or_default());
                }
                known.push(Arc::new(KeyUse { key_id: key_id.to_owned(), uses: Outcome::default() }));
                known[known.len() - 1].clone()
            }
        };
        found.uses.happened(&*self.clock);
        uses.last.store(Some(found));
    }

    pub(crate) fn key_in_status(&self, key_id: &str) {
        let mut keys = self.status_keys.lock();
        keys.insert(key_id_hash(key_id), unix_ms(&*self.clock));
        if keys.len() > KEYS_TOLD_MAX {
            let oldest = keys.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            oldest.map(|oldest| keys.remove(&oldest));
        }
    }

    pub(crate) fn invalid_key_id(&self, code: &'static str) {
        *self.invalid_key_ids.lock().entry(code).or_default() += 1;
    }

    /// Calls by full method name and gRPC status.
    pub fn calls(&self) -> Vec<(&'static str, String, Arc<Histogram>)> {
        let calls = self.calls.lock();
        calls.iter().map(|((method, code), times)| (*method, code.clone(), times.clone())).collect()
    }

    /// Uses of keys: hash of the key's ID, how often, and when last in Unix seconds.
    pub fn keys_used(&self, direction: Direction) -> Vec<(String, u64, f64)> {
        let known = self.uses[direction as usize].known.lock();
        let told = |known: &Arc<KeyUse>| {
            (key_id_hash(&known.key_id), known.uses.count.get(), known.uses.last_seconds())
        };
        known.iter().map(told).collect()
    }

    /// Hashes of the IDs the plugin said its key has, and when last in Unix seconds.
    pub fn keys_in_status(&self) -> Vec<(String, f64)> {
        self.status_keys.lock().iter().map(|(hash, at)| (hash.clone(), *at as f64 / 1000.0)).collect()
    }

    /// Key IDs that cannot be, by what is wrong with them.
    pub fn invalid_key_ids(&self) -> Vec<(&'static str, u64)> {
        self.invalid_key_ids.lock().iter().map(|(code, count)| (*code, *count)).collect()
    }
}

/// Label `status` of a failed transformation: the gRPC status in its text, if a plugin had a part in it.
fn status_of(error: &str) -> &str {
    let code = error.split_once("rpc error: code = ").and_then(|(_, rest)| rest.split_once(" desc"));
    code.map_or("unknown-non-grpc", |(code, _)| code)
}

/// How a key ID stands in messages and labels: it may be a secret of the plugin.
pub(crate) fn key_id_hash(key_id: &str) -> String {
    if key_id.is_empty() {
        return String::new();
    }
    format!("sha256:{}", hex(digest::digest(&digest::SHA256, key_id.as_bytes()).as_ref()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unix_ms(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.now().as_millisecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use simulation::Simulation;

    use super::*;

    #[test]
    fn keys_are_told_up_to_a_bound_and_the_oldest_is_forgotten() {
        let simulation = Simulation::new(1);
        let clock = simulation.environment().clock;
        let metrics = PluginMetrics::new(clock.clone());
        simulation.run(async {
            for n in 0..=KEYS_TOLD_MAX {
                for _ in 0..2 {
                    metrics.key_used(Direction::ToStorage, &n.to_string());
                }
                metrics.key_in_status(&n.to_string());
                clock.sleep(Duration::from_secs(1)).await;
            }
        });
        let used = metrics.keys_used(Direction::ToStorage);
        assert_eq!((used.len(), metrics.keys_in_status().len()), (KEYS_TOLD_MAX, KEYS_TOLD_MAX));
        assert!(used.iter().all(|(hash, count, _)| *count == 2 && *hash != key_id_hash("0")), "{used:?}");
        assert!(metrics.keys_used(Direction::FromStorage).is_empty());
    }

    #[test]
    fn the_status_of_a_failure_is_the_plugin_s() {
        let text = "failed to decrypt DEK, error: rpc error: code = Unavailable desc = gone";
        assert_eq!(status_of(text), "Unavailable");
        assert_eq!(status_of("no matching prefix found"), "unknown-non-grpc");
    }

    #[test]
    fn bounds_double() {
        assert_eq!(CALL_SECONDS[..4], [1e-4, 2e-4, 4e-4, 8e-4]);
        assert_eq!((TRANSFORMATION_SECONDS.len(), TRANSFORMATION_SECONDS[24]), (25, 83.88608));
    }
}
