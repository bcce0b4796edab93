//! The door: [`Encryption`], its transformers and health checks, and the
//! reload of its file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use environment::{Disk, Environment};
use meta::GroupResource;
use storage::{Identity, TransformError, Transformed, Transformer};
use tokio::sync::mpsc;

use crate::cipher::failure;
use crate::load::{LoadError, Loaded, hash, load};
use crate::metrics::EncryptionMetrics;

/// Between looks at the file.
const RELOAD_INTERVAL: Duration = Duration::from_secs(60);
/// New plugins have at least so long to become healthy before a reload is given up.
const HEALTHY_WITHIN_MIN: Duration = Duration::from_secs(10);
const HEALTHY_POLL: Duration = Duration::from_secs(1);
/// Waiting contents of the file; while one is being loaded the next is not read.
const RELOADS_WAITING: usize = 1;

/// Where the configuration is and how it is used.
#[derive(Clone, Debug)]
pub struct EncryptionOptions {
    /// `--encryption-provider-config`.
    pub path: PathBuf,
    /// `--encryption-provider-config-automatic-reload`.
    pub reload: bool,
    /// Feature gate KMSv1.
    pub kms_v1: bool,
}

/// Encryption at rest as configured now.
pub struct Encryption {
    current: Arc<ArcSwap<Loaded>>,
    reload: bool,
    metrics: Arc<EncryptionMetrics>,
}

/// One health check of `/healthz` and `/readyz`; the original has none in `/livez`.
pub struct HealthCheck {
    /// `kms-providers`, or `kms-provider-<i>`.
    pub name: String,
    current: Arc<ArcSwap<Loaded>>,
    /// None asks all plugins.
    index: Option<usize>,
}

impl Encryption {
    /// Reads the file, which blocks like any file: call it before serving.
    /// With plugins it needs a tokio runtime around it. A plugin that does not
    /// answer yet is no error; a wrong file is.
    pub async fn load(environment: Environment, options: EncryptionOptions) -> Result<Encryption, LoadError> {
        let content = read(&*environment.disk, &options.path)
            .await
            .map_err(|error| LoadError::Read { path: options.path.clone(), error })?;
        if content.is_empty() {
            return Err(LoadError::Empty(options.path));
        }
        let metrics = Arc::new(EncryptionMetrics::new(environment.clock.clone()));
        let loaded = load(&environment, &content, options.reload, options.kms_v1, &metrics).await?;
        metrics.reloads.set_in_effect(&loaded.hash);
        let current = Arc::new(ArcSwap::from_pointee(loaded));
        if options.reload {
            start_reload(&environment, &options, &current, &metrics);
        }
        Ok(Encryption { current, reload: options.reload, metrics })
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<EncryptionMetrics> {
        &self.metrics
    }

    /// The transformer of a resource, which follows reloads. A resource the
    /// configuration does not speak of is stored as it is.
    pub fn transformer(&self, resource: GroupResource) -> Arc<dyn Transformer> {
        Arc::new(ResourceTransformer { resource, current: self.current.clone() })
    }

    /// None if there are no plugins and never will be.
    pub fn health_checks(&self) -> Vec<HealthCheck> {
        let loaded = self.current.load();
        let check = |name: String, index| HealthCheck { name, current: self.current.clone(), index };
        if loaded.checks_together(self.reload) {
            return vec![check("kms-providers".into(), None)];
        }
        (0..loaded.probes.len()).map(|i| check(format!("kms-provider-{i}"), Some(i))).collect()
    }
}

impl HealthCheck {
    /// Asks the plugins; an answer is remembered for some seconds. The error is what the endpoint shows.
    pub async fn check(&self) -> Result<(), String> {
        let loaded = self.current.load_full();
        match self.index.and_then(|index| loaded.probes.get(index)) {
            Some(probe) => probe.check().await,
            None => loaded.check().await,
        }
    }
}

struct ResourceTransformer {
    resource: GroupResource,
    current: Arc<ArcSwap<Loaded>>,
}

impl Transformer for ResourceTransformer {
    fn to_storage(&self, data: Bytes, context: &[u8]) -> Result<Bytes, TransformError> {
        self.to_storage_or_wait(data, context).now().unwrap_or_else(must_wait)
    }

    fn from_storage(&self, value: Bytes, context: &[u8]) -> Result<(Bytes, bool), TransformError> {
        self.from_storage_or_wait(value, context).now().unwrap_or_else(must_wait)
    }

    fn to_storage_or_wait(&self, data: Bytes, context: &[u8]) -> Transformed<Bytes> {
        match self.current.load().providers(&self.resource) {
            Some(providers) => providers.write(data, context),
            None => Transformed::Now(Identity.to_storage(data, context)),
        }
    }

    fn from_storage_or_wait(&self, value: Bytes, context: &[u8]) -> Transformed<(Bytes, bool)> {
        match self.current.load().providers(&self.resource) {
            Some(providers) => providers.read(value, context),
            None => Transformed::Now(Identity.from_storage(value, context)),
        }
    }
}

fn must_wait<T>() -> Result<T, TransformError> {
    Err(failure("the KMS plugin must be asked for the key of this value first"))
}

async fn read(disk: &dyn Disk, path: &Path) -> io::Result<Bytes> {
    let file = disk.open_to_read(path).await?;
    let length = usize::try_from(file.len().await?).map_err(io::Error::other)?;
    file.read_at(0, length).await
}

/// One task looks at the file, on a thread that may block; another loads what
/// is new. Both end when nobody uses the transformers any more.
fn start_reload(
    environment: &Environment,
    options: &EncryptionOptions,
    current: &Arc<ArcSwap<Loaded>>,
    metrics: &Arc<EncryptionMetrics>,
) {
    let (sender, receiver) = mpsc::channel(RELOADS_WAITING);
    let current = Arc::downgrade(current);
    let watching =
        watch_file(environment.clone(), options.path.clone(), current.clone(), metrics.clone(), sender);
    environment.tasks.spawn_with_disk("encryption-config-watch", Box::pin(watching));
    let loading = reload(environment.clone(), options.kms_v1, current, metrics.clone(), receiver);
    environment.tasks.spawn("encryption-config-reload", Box::pin(loading));
}

/// Sends on what differs from the configuration in effect; a content that was
/// refused is sent again, since its plugins may have recovered.
async fn watch_file(
    environment: Environment,
    path: PathBuf,
    current: Weak<ArcSwap<Loaded>>,
    metrics: Arc<EncryptionMetrics>,
    changed: mpsc::Sender<Bytes>,
) {
    loop {
        environment.clock.sleep(RELOAD_INTERVAL).await;
        let Some(current) = current.upgrade() else { return };
        let in_effect = current.load().hash.clone();
        drop(current);
        match read(&*environment.disk, &path).await {
            Ok(content) if hash(&content) == in_effect => {}
            Ok(content) => {
                if changed.send(content).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                metrics.reloaded(&metrics.reloads.failures);
                tracing::error!(?path, %error, "the encryption configuration cannot be read, keeping the old one");
            }
        }
    }
}

async fn reload(
    environment: Environment,
    kms_v1: bool,
    current: Weak<ArcSwap<Loaded>>,
    metrics: Arc<EncryptionMetrics>,
    mut changed: mpsc::Receiver<Bytes>,
) {
    while let Some(content) = changed.recv().await {
        let loaded = match load_healthy(&environment, &content, kms_v1, &metrics).await {
            Ok(loaded) => loaded,
            Err(error) => {
                metrics.reloaded(&metrics.reloads.failures);
                tracing::error!(%error, "the encryption configuration is not reloaded, keeping the old one");
                continue;
            }
        };
        let Some(current) = current.upgrade() else { return };
        metrics.reloads.set_in_effect(&loaded.hash);
        let old = current.swap(Arc::new(loaded));
        drop(current);
        metrics.reloaded(&metrics.reloads.successes);
        tracing::info!("the encryption configuration was reloaded");
        // Calls to the old plugins may be on their way.
        environment.clock.sleep(old.close_grace).await;
    }
}

/// Loads, and waits for the plugins to be healthy: a configuration that cannot write must not replace one that can.
async fn load_healthy(
    environment: &Environment,
    content: &[u8],
    kms_v1: bool,
    metrics: &Arc<EncryptionMetrics>,
) -> Result<Loaded, LoadError> {
    let loaded = load(environment, content, true, kms_v1, metrics).await?;
    let deadline = environment.clock.monotonic() + loaded.close_grace.max(HEALTHY_WITHIN_MIN);
    loop {
        let Err(error) = loaded.check().await else { return Ok(loaded) };
        if environment.clock.monotonic() >= deadline {
            return Err(LoadError::Unhealthy(error));
        }
        environment.clock.sleep(HEALTHY_POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use simulation::Simulation;

    use super::*;

    const A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const B: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn content(keys: &[(&str, &str)]) -> String {
        let keys: Vec<_> =
            keys.iter().map(|(name, secret)| format!("{{name: {name}, secret: {secret}}}")).collect();
        let keys = keys.join(", ");
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{{resources: [secrets], providers: [{{aesgcm: {{keys: [{keys}]}}}}]}}]\n"
        )
    }

    async fn put(environment: &Environment, content: &str) {
        let file = environment.disk.open(Path::new("/e.yaml"), true).await.unwrap();
        file.set_len(0).await.unwrap();
        file.write_at(0, &[Bytes::copy_from_slice(content.as_bytes())]).await.unwrap();
    }

    fn options(reload: bool) -> EncryptionOptions {
        EncryptionOptions { path: "/e.yaml".into(), reload, kms_v1: false }
    }

    fn secrets() -> GroupResource {
        GroupResource::new("", "secrets")
    }

    #[test]
    fn a_changed_file_takes_effect_and_a_wrong_one_does_not() {
        let simulation = Simulation::new(3);
        let environment = simulation.environment();
        let clock = environment.clock.clone();
        simulation.run(async {
            put(&environment, &content(&[("a", A)])).await;
            let encryption = Encryption::load(environment.clone(), options(true)).await.unwrap();
            let transformer = encryption.transformer(secrets());
            let old = transformer.to_storage("data".into(), b"/a").unwrap();
            assert!(old.starts_with(b"k8s:enc:aesgcm:v1:a:"));

            put(&environment, &content(&[("b", B), ("a", A)])).await;
            clock.sleep(2 * RELOAD_INTERVAL).await;
            assert_eq!(transformer.from_storage(old, b"/a").unwrap(), ("data".into(), true));
            let new = transformer.to_storage("data".into(), b"/a").unwrap();
            assert!(new.starts_with(b"k8s:enc:aesgcm:v1:b:"));

            put(&environment, "nonsense").await;
            clock.sleep(2 * RELOAD_INTERVAL).await;
            assert_eq!(transformer.from_storage(new, b"/a").unwrap(), ("data".into(), false));
            let reloads = &encryption.metrics().reloads;
            assert_eq!(reloads.successes.count.get(), 1);
            assert!(reloads.failures.count.get() >= 1, "what is refused is tried again");
            let names: Vec<_> = encryption.health_checks().into_iter().map(|check| check.name).collect();
            assert_eq!(names, ["kms-providers"]);
        });
    }

    #[test]
    fn resources_that_are_not_named_stay_as_they_are() {
        let simulation = Simulation::new(3);
        let environment = simulation.environment();
        simulation.run(async {
            put(&environment, &content(&[("a", A)])).await;
            let encryption = Encryption::load(environment.clone(), options(false)).await.unwrap();
            let pods = encryption.transformer(GroupResource::new("", "pods"));
            assert_eq!(pods.to_storage("data".into(), b"/a").unwrap(), "data");
            let sealed = encryption.transformer(secrets()).to_storage("data".into(), b"/a").unwrap();
            let error = pods.from_storage(sealed, b"/a").unwrap_err();
            assert_eq!(error.0, "identity transformer tried to read encrypted data");
            assert!(encryption.health_checks().is_empty());
        });
    }

    #[test]
    fn a_missing_and_an_empty_file_are_errors() {
        let simulation = Simulation::new(3);
        let environment = simulation.environment();
        simulation.run(async {
            let load = || Encryption::load(environment.clone(), options(false));
            let error = load().await.err().expect("there is no file").to_string();
            assert!(
                error.contains("error reading encryption provider configuration file \"/e.yaml\""),
                "{error}"
            );
            put(&environment, "").await;
            let error = load().await.err().expect("the file is empty").to_string();
            assert!(
                error.ends_with("encryption provider configuration file \"/e.yaml\" is empty"),
                "{error}"
            );
        });
    }
}
