//! From a configuration to transformers: makes ciphers, connects plugins, and
//! finds out which provider a resource has.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use environment::Environment;
use meta::GroupResource;
use tokio::sync::watch;

use crate::aes::{Cbc, Gcm};
use crate::cipher::{BadKey, Cipher};
use crate::config::{
    ConfigError, EncryptionConfiguration, Key, KmsConfiguration, ProviderConfiguration, decode_secret,
    validate,
};
use crate::kms::client::Client;
use crate::kms::{v1, v2};
use crate::metrics::EncryptionMetrics;
use crate::prefix::{Body, Keys, Provider, Providers};
use crate::resource::{ANY, Pattern, patterns_of};
use crate::secretbox::Secretbox;

/// Why a configuration does not take effect.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(
        "error while parsing file: error while loading file: error reading encryption provider configuration file {path:?}: {error}"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file has no content.
    #[error(
        "error while parsing file: error while loading file: encryption provider configuration file {0:?} is empty"
    )]
    Empty(PathBuf),
    /// The content breaks rules.
    #[error("error while parsing file: {0}")]
    Config(#[from] ConfigError),
    /// Nothing can be made of the content.
    #[error("error while building transformers: {0}")]
    Build(String),
    /// The new plugins are not healthy.
    #[error("the KMS plugins of the new configuration are not healthy: {0}")]
    Unhealthy(String),
}

/// A configuration in effect. Dropping it ends the watch over its plugins.
pub(crate) struct Loaded {
    by_pattern: BTreeMap<(String, String), Arc<Providers>>,
    pub(crate) probes: Vec<Probe>,
    /// Enough for calls that are on their way to end.
    pub(crate) close_grace: Duration,
    pub(crate) hash: Vec<u8>,
    uses_v1: bool,
    _closer: watch::Sender<()>,
}

/// A plugin to be asked for its health.
#[derive(Clone)]
pub(crate) enum Probe {
    V1(Arc<v1::Envelope>),
    V2(Arc<v2::Envelope>),
}

impl Probe {
    pub(crate) async fn check(&self) -> Result<(), String> {
        match self {
            Probe::V1(envelope) => envelope.check().await,
            Probe::V2(envelope) => envelope.check().await,
        }
    }
}

impl Loaded {
    /// What a resource is stored with; none if the configuration does not speak of it.
    pub(crate) fn providers(&self, resource: &GroupResource) -> Option<&Arc<Providers>> {
        patterns_of(resource)
            .iter()
            .find_map(|pattern| self.by_pattern.get(&(pattern.group.to_owned(), pattern.resource.to_owned())))
    }

    /// All plugins are checked as one, which the original does when it reloads and when no plugin is of version 1.
    pub(crate) fn checks_together(&self, reload: bool) -> bool {
        reload || (!self.uses_v1 && !self.probes.is_empty())
    }

    /// The first failure of all plugins, asked one after the other.
    pub(crate) async fn check(&self) -> Result<(), String> {
        for probe in &self.probes {
            probe.check().await?;
        }
        Ok(())
    }
}

/// Makes a file's content work. Asks each KMS v2 plugin once; a plugin that
/// does not answer is no error here.
pub(crate) async fn load(
    environment: &Environment,
    content: &[u8],
    reload: bool,
    kms_v1: bool,
    metrics: &Arc<EncryptionMetrics>,
) -> Result<Loaded, LoadError> {
    let configuration = EncryptionConfiguration::parse(content)?;
    let errors = validate(&configuration, reload);
    if !errors.is_empty() {
        return Err(ConfigError::Invalid(errors).into());
    }
    let (closer, closed) = watch::channel(());
    let (probes, timeouts) = (Vec::new(), Duration::ZERO);
    let mut builder = Builder { environment, kms_v1, closed, probes, timeouts, metrics };
    let mut lists: BTreeMap<(String, String), Vec<Arc<Provider>>> = BTreeMap::new();
    for element in &configuration.resources {
        let mut providers = Vec::new();
        for provider in &element.providers {
            providers.push(Arc::new(builder.provider(provider).await.map_err(LoadError::Build)?));
        }
        for name in &element.resources {
            let pattern = Pattern::parse(name);
            check_masked(&lists, &pattern)?;
            lists.entry(key(&pattern)).or_default().extend(providers.iter().cloned());
        }
    }
    let by_pattern =
        lists.into_iter().map(|(key, list)| (key, Arc::new(Providers::new(list, metrics)))).collect();
    Ok(Loaded {
        by_pattern,
        uses_v1: builder.probes.iter().any(|probe| matches!(probe, Probe::V1(_))),
        probes: builder.probes,
        close_grace: builder.timeouts * 2,
        hash: hash(content),
        _closer: closer,
    })
}

/// Tells contents apart without keeping the keys that stand in them.
pub(crate) fn hash(content: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, content).as_ref().to_vec()
}

fn key(pattern: &Pattern<'_>) -> (String, String) {
    (pattern.group.to_owned(), pattern.resource.to_owned())
}

/// An earlier wildcard leaves nothing to a later element.
fn check_masked<T>(lists: &BTreeMap<(String, String), T>, pattern: &Pattern<'_>) -> Result<(), LoadError> {
    match [pattern.any_in_group(), ANY].iter().find(|earlier| lists.contains_key(&key(earlier))) {
        None => Ok(()),
        Some(earlier) => {
            let (pattern, earlier) = (pattern.to_string(), earlier.to_string());
            Err(LoadError::Build(format!("resource {pattern:?} is masked by earlier rule {earlier:?}")))
        }
    }
}

struct Builder<'e> {
    environment: &'e Environment,
    kms_v1: bool,
    closed: watch::Receiver<()>,
    probes: Vec<Probe>,
    timeouts: Duration,
    metrics: &'e Arc<EncryptionMetrics>,
}

impl Builder<'_> {
    async fn provider(&mut self, config: &ProviderConfiguration) -> Result<Provider, String> {
        const NO_AES_KEY: &str = "no matching key was found for the provided AES transformer";
        const NO_SECRETBOX_KEY: &str = "no matching key was found for the provided Secretbox transformer";
        let ProviderConfiguration { aesgcm, aescbc, secretbox, identity: _, kms } = config;
        if let Some(keys) = aesgcm {
            return self.keys("k8s:enc:aesgcm:v1:", keys, |key| Ok(Box::new(Gcm::new(key)?)), NO_AES_KEY);
        }
        if let Some(keys) = aescbc {
            return self.keys("k8s:enc:aescbc:v1:", keys, |key| Ok(Box::new(Cbc::new(key)?)), NO_AES_KEY);
        }
        if let Some(keys) = secretbox {
            let make = |key: &[u8]| Ok(Box::new(Secretbox::new(key)?) as Box<dyn Cipher>);
            return self.keys("k8s:enc:secretbox:v1:", keys, make, NO_SECRETBOX_KEY);
        }
        if let Some(kms) = kms {
            return self.kms(kms).await;
        }
        Ok(Provider::new(String::new(), Body::Identity, self.metrics))
    }

    fn keys(
        &self,
        prefix: &str,
        keys: &[Key],
        make: impl Fn(&[u8]) -> Result<Box<dyn Cipher>, BadKey>,
        no_match: &'static str,
    ) -> Result<Provider, String> {
        let mut made = Vec::new();
        for Key { name, secret } in keys {
            let secret = decode_secret(secret)
                .ok_or_else(|| format!("could not obtain secret for named key {name}"))?;
            let cipher = make(&secret)
                .map_err(|error| format!("error while creating cipher for named key {name}: {error}"))?;
            made.push((name.clone(), cipher));
        }
        let body = Body::Keys(Keys { keys: made, random: self.environment.random.clone(), no_match });
        Ok(Provider::new(prefix.to_owned(), body, self.metrics))
    }

    async fn kms(&mut self, config: &KmsConfiguration) -> Result<Provider, String> {
        let KmsConfiguration { api_version, name, cache_size, endpoint, .. } = config;
        if api_version == "v1" && !self.kms_v1 {
            return Err("KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature.".into());
        }
        let environment = self.environment.clone();
        let metrics = self.metrics.plugin(name);
        let plugin = Client::new(environment.clone(), endpoint, config.timeout(), metrics.clone());
        let plugin = Arc::new(plugin.map_err(|error| {
            format!("could not configure KMS{api_version}-Plugin's probe {name:?}, error: {error}")
        })?);
        let prefix = format!("k8s:enc:kms:{api_version}:{name}:");
        if api_version == "v1" {
            tracing::warn!(
                "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead."
            );
            let envelope =
                v1::Envelope::new(environment, name, plugin, cache_size.unwrap_or_default(), metrics);
            self.probes.push(Probe::V1(envelope.clone()));
            // A health check of version 1 is two calls.
            self.timeouts += config.timeout() * 2;
            return Ok(Provider::new(prefix, Body::KmsV1(envelope), self.metrics));
        }
        let envelope = v2::Envelope::new(environment.clone(), name, plugin, metrics);
        if let Err(error) = envelope.check().await {
            tracing::error!(provider = name, error, "the KMS plugin failed its first health check");
        }
        environment.tasks.spawn("kms-v2-poll", Box::pin(envelope.clone().poll(self.closed.clone())));
        self.probes.push(Probe::V2(envelope.clone()));
        self.timeouts += config.timeout();
        Ok(Provider::new(prefix, Body::KmsV2(envelope), self.metrics))
    }
}

#[cfg(test)]
mod tests {
    use storage::Transformed;

    use super::*;

    fn build(resources: &str) -> Result<Loaded, String> {
        let content = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: {resources}\n"
        );
        let environment = simulation::Simulation::new(1).environment();
        let metrics = Arc::new(EncryptionMetrics::new(environment.clock.clone()));
        let loading = load(&environment, content.as_bytes(), false, false, &metrics);
        futures::executor::block_on(loading).map_err(|error| error.to_string())
    }

    fn element(resource: &str, key: &str) -> String {
        let secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        format!(
            "{{resources: ['{resource}'], providers: [{{aesgcm: {{keys: [{{name: {key}, secret: {secret}}}]}}}}]}}"
        )
    }

    fn prefix(loaded: &Loaded, group: &str, resource: &str) -> String {
        let resource = GroupResource::new(group.to_owned(), resource.to_owned());
        let Some(providers) = loaded.providers(&resource) else { return "none".into() };
        let Transformed::Now(Ok(value)) = providers.write("".into(), b"") else { panic!("not written") };
        String::from_utf8_lossy(&value).split(':').nth(4).expect("the name of a key").to_owned()
    }

    #[test]
    fn the_most_particular_element_counts() {
        let elements =
            ["secrets", "*.apps", "*.", "*.*"].map(|name| element(name, &name.replace(['*', '.'], "x")));
        let loaded = build(&format!("[{}]", elements.join(", "))).unwrap();
        assert_eq!(prefix(&loaded, "", "secrets"), "secrets");
        assert_eq!(prefix(&loaded, "", "pods"), "xx");
        assert_eq!(prefix(&loaded, "apps", "deployments"), "xxapps");
        assert_eq!(prefix(&loaded, "batch", "jobs"), "xxx");
        let only = build(&format!("[{}]", element("secrets", "a"))).unwrap();
        assert_eq!(prefix(&only, "", "pods"), "none");
        assert_eq!(prefix(&only, "apps", "secrets"), "none");
    }

    #[test]
    fn what_an_earlier_wildcard_masks_is_refused() {
        let check = |first: &str, second: &str| {
            let Err(error) = build(&format!("[{}, {}]", element(first, "a"), element(second, "b"))) else {
                panic!("{second} is not masked by {first}")
            };
            let expect = format!(
                "error while building transformers: resource {second:?} is masked by earlier rule {first:?}"
            );
            assert_eq!(error, expect);
        };
        check("*.", "secrets");
        check("*.apps", "deployments.apps");
        check("*.*", "deployments.apps");
        check("*.*", "*.");
    }

    #[test]
    fn kms_v1_needs_its_gate() {
        let plugin = "[{resources: [secrets], providers: [{kms: {name: p, endpoint: 'unix:///s'}}]}]";
        let Err(error) = build(plugin) else { panic!("accepted") };
        assert!(error.starts_with("error while building transformers: KMSv1 is deprecated"), "{error}");
    }
}
