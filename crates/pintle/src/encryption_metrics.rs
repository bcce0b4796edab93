//! What encryption at rest counts, for `/metrics`, under the original's names.
//! Owns the text only.

use std::sync::atomic::Ordering;

use aws_lc_rs::digest;
use storage::metrics::{Counter, Histogram};
use storage_encryption::EncryptionMetrics;
use storage_encryption::metrics::{Direction, KEY_GENERATION_SECONDS, Outcome, PluginMetrics};

use crate::exposition::{Exposition, Kind};

/// Appends what was counted. `server` is [`server_label`]'s.
pub fn write(metrics: &EncryptionMetrics, server: &str, out: &mut Vec<u8>) {
    let text = &mut Exposition::new(out);
    write_transformations(metrics, text);
    write_plugins(metrics, server, text);
    write_reloads(metrics, server, text);
}

/// Label `apiserver_id_hash` of a server on this host: the hash of the ID the original has there.
pub fn server_label(host: &str) -> String {
    let digest = digest::digest(&digest::SHA256, host.as_bytes());
    sha256(&format!("apiserver-{}", base32(&digest.as_ref()[..16])))
}

fn write_transformations(metrics: &EncryptionMetrics, text: &mut Exposition<'_>) {
    let prefixes = metrics.prefixes();
    let help = "[ALPHA] Latencies in seconds of value transformation operations.";
    text.family(Kind::Histogram, "apiserver_storage_transformation_duration_seconds", help);
    for (prefix, counted) in &prefixes {
        for direction in Direction::ALL {
            let durations = &counted.direction(direction).durations;
            if durations.count() > 0 {
                text.histogram(
                    &[("transformation_type", direction.name()), ("transformer_prefix", prefix)],
                    durations,
                );
            }
        }
    }
    let help = "[ALPHA] Total number of transformations.";
    text.family(Kind::Counter, "apiserver_storage_transformation_operations_total", help);
    for (prefix, counted) in &prefixes {
        for direction in Direction::ALL {
            let counted = counted.direction(direction);
            let mut outcomes = counted.failures();
            outcomes.insert(0, ("OK".to_owned(), counted.durations.count()));
            for (status, count) in outcomes.iter().filter(|(_, count)| *count > 0) {
                let labels = [
                    ("transformation_type", direction.name()),
                    ("transformer_prefix", prefix),
                    ("status", status),
                ];
                text.number(&labels, *count as f64);
            }
        }
    }
}

fn write_plugins(metrics: &EncryptionMetrics, server: &str, text: &mut Exposition<'_>) {
    let plugins = metrics.plugins();
    let all =
        |number: fn(&PluginMetrics) -> u64| plugins.iter().map(|(_, plugin)| number(plugin)).sum::<u64>();
    let help = "[ALPHA] Total number of cache misses while accessing key decryption key(KEK).";
    text.family(Kind::Counter, "apiserver_storage_envelope_transformation_cache_misses_total", help);
    text.number(&[], all(|plugin| plugin.cache_misses.get()) as f64);
    let generations = Histogram::new(KEY_GENERATION_SECONDS);
    plugins.iter().for_each(|(_, plugin)| generations.add(&plugin.key_generations));
    let help = "[ALPHA] Latencies in seconds of data encryption key(DEK) generation operations.";
    text.family(Kind::Histogram, "apiserver_storage_data_key_generation_duration_seconds", help);
    text.histogram(&[], &generations);
    let help = "[ALPHA] Total number of failed data encryption key(DEK) generation operations.";
    text.family(Kind::Counter, "apiserver_storage_data_key_generation_failures_total", help);
    // Randomness does not fail here.
    text.number(&[], 0.0);

    let help = "[ALPHA] KMS operation duration with gRPC error code status total.";
    text.family(Kind::Histogram, "apiserver_envelope_encryption_kms_operations_latency_seconds", help);
    for (name, plugin) in &plugins {
        for (method, code, times) in plugin.calls() {
            let labels =
                [("provider_name", name.as_str()), ("method_name", method), ("grpc_status_code", &code)];
            text.histogram(&labels, &times);
        }
    }
    write_keys(&plugins, server, text);
    let help = "[ALPHA] Percent of the cache slots currently occupied by cached DEKs.";
    text.family(Kind::Gauge, "apiserver_envelope_encryption_dek_cache_fill_percent", help);
    let held_max = all(|plugin| plugin.keys_held_max.load(Ordering::Relaxed));
    // Only version 1 has a bound; without one there is no share of it.
    let held = all(|plugin| match plugin.keys_held_max.load(Ordering::Relaxed) {
        0 => 0,
        _ => plugin.keys_held.load(Ordering::Relaxed),
    });
    text.number(&[], if held_max == 0 { 0.0 } else { held as f64 / held_max as f64 });
    let help = "[ALPHA] Number of records in data encryption key (DEK) source cache. On a restart, this value is an approximation of the number of decrypt RPC calls the server will make to the KMS plugin.";
    text.family(Kind::Gauge, "apiserver_envelope_encryption_dek_source_cache_size", help);
    for (name, plugin) in
        plugins.iter().filter(|(_, plugin)| plugin.keys_held_max.load(Ordering::Relaxed) == 0)
    {
        text.number(&[("provider_name", name)], plugin.keys_held.load(Ordering::Relaxed) as f64);
    }
}

type Plugins = [(String, std::sync::Arc<PluginMetrics>)];

fn write_keys(plugins: &Plugins, server: &str, text: &mut Exposition<'_>) {
    let uses = |of: fn((String, u64, f64)) -> (String, f64), text: &mut Exposition<'_>| {
        for (name, plugin) in plugins {
            for direction in Direction::ALL {
                for (hash, value) in plugin.keys_used(direction).into_iter().map(of) {
                    let labels = [
                        ("transformation_type", direction.name()),
                        ("provider_name", name.as_str()),
                        ("key_id_hash", &hash),
                        ("apiserver_id_hash", server),
                    ];
                    text.number(&labels, value);
                }
            }
        }
    };
    let help = "[ALPHA] Number of times a keyID is used split by transformation type, provider, and apiserver identity.";
    text.family(Kind::Counter, "apiserver_envelope_encryption_key_id_hash_total", help);
    uses(|(hash, count, _)| (hash, count as f64), text);
    let help =
        "[ALPHA] The last time in seconds when a keyID was used, split by provider and apiserver identity.";
    text.family(Kind::Gauge, "apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds", help);
    uses(|(hash, _, last)| (hash, last), text);
    let help = "[ALPHA] The last time in seconds when a keyID was returned by the Status RPC call, split by provider and apiserver identity.";
    text.family(Kind::Gauge, "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds", help);
    for (name, plugin) in plugins {
        for (hash, last) in plugin.keys_in_status() {
            let labels =
                [("provider_name", name.as_str()), ("key_id_hash", &hash), ("apiserver_id_hash", server)];
            text.number(&labels, last);
        }
    }
    let help = "[ALPHA] Number of times an invalid keyID is returned by the Status RPC call split by error.";
    text.family(Kind::Counter, "apiserver_envelope_encryption_invalid_key_id_from_status_total", help);
    for (name, plugin) in plugins {
        for (error, count) in plugin.invalid_key_ids() {
            text.number(&[("provider_name", name), ("error", error)], count as f64);
        }
    }
}

fn write_reloads(metrics: &EncryptionMetrics, server: &str, text: &mut Exposition<'_>) {
    let reloads = &metrics.reloads;
    let outcomes = [("success", &reloads.successes), ("failure", &reloads.failures)];
    let each = |of: fn(&Outcome) -> f64, text: &mut Exposition<'_>| {
        for (status, outcome) in outcomes.iter().filter(|(_, outcome)| outcome.count.get() > 0) {
            text.number(&[("status", status), ("apiserver_id_hash", server)], of(outcome));
        }
    };
    let help = "[ALPHA] Total number of reload successes and failures of encryption configuration split by apiserver identity.";
    text.family(Kind::Counter, "apiserver_encryption_config_controller_automatic_reloads_total", help);
    each(|outcome| Counter::get(&outcome.count) as f64, text);
    let help = "[ALPHA] Timestamp of the last successful or failed automatic reload of encryption configuration split by apiserver identity.";
    let name = "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds";
    text.family(Kind::Gauge, name, help);
    each(Outcome::last_seconds, text);
    let help = "[ALPHA] Information about the last applied encryption configuration with hash as label, split by apiserver identity.";
    text.family(Kind::Gauge, "apiserver_encryption_config_controller_last_config_info", help);
    text.number(&[("apiserver_id_hash", server), ("hash", &reloads.in_effect())], 1.0);
}

/// RFC 4648 in small letters, without padding.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |n: usize| bytes.get(n / 8).map_or(0, |byte| usize::from(byte >> (7 - n % 8) & 1));
    let letter = |first: usize| (first..first + 5).fold(0, |letter, n| letter << 1 | bit(n));
    (0..bytes.len() * 8).step_by(5).map(|first| char::from(LETTERS[letter(first)])).collect()
}

fn sha256(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_the_standard_s() {
        for (bytes, expected) in [("", ""), ("f", "my"), ("fo", "mzxq"), ("foobar", "mzxw6ytboi")] {
            assert_eq!(base32(bytes.as_bytes()), expected);
        }
    }
}
