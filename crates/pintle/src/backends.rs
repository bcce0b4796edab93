//! The stores behind one server: the embedded one, or etcd clusters, of which
//! some may hold single resources only.
//!
//! Owns opening and closing them, their compactors and their health checks;
//! which resource lies where is the storage factory's to say.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::server::services::{Download, OpenDownload};
use ::server::{AskedBy, HealthCheck};
use anyhow::{Context, anyhow, bail};
use environment::Environment;
use meta::Revision;
use storage::Compactor;
use storage::backend::{Backend, RangeRequest};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions};
use storage_etcd::{EtcdBackend, EtcdOptions, EtcdTls, HealthProbe, TlsRenewal};

use crate::flags::{EtcdFlags, StorageFlags};

/// Time a cluster has to answer when a server starts.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);
/// Revision of a store without writes.
const FIRST_REVISION: Revision = Revision(1);
/// Pause between two attempts meanwhile.
const CONNECT_PAUSE: Duration = Duration::from_millis(200);

/// All stores of a server.
pub struct Backends {
    main: Place,
    /// Clusters of single resources, by their sorted URLs.
    others: BTreeMap<Vec<String>, Place>,
    /// Closed when the server ends; etcd needs no goodbye.
    embedded: Option<Arc<EmbeddedBackend>>,
    healthcheck_timeout: Duration,
    readycheck_timeout: Duration,
    path_prefix: String,
    environment: Environment,
}

/// A store with its compactor.
#[derive(Clone)]
pub struct Place {
    /// The store.
    pub backend: Arc<dyn Backend>,
    /// Compacts it.
    pub compactor: Arc<Compactor>,
    /// The same store, where it is a cluster whose members can be asked one by one.
    pub etcd: Option<Arc<EtcdBackend>>,
}

impl Backends {
    /// True for an embedded store that nobody has written to yet.
    pub async fn holds_nothing(&self) -> bool {
        let Some(embedded) = &self.embedded else { return false };
        embedded.status().await.is_ok_and(|status| status.revision <= FIRST_REVISION)
    }

    /// Compacts a new embedded store up to now. Its first revisions were made
    /// before anybody could ask, so nobody has a claim to them; a client that
    /// names one brings it from another cluster and must hear that it is too old.
    pub async fn forget_beginnings(&self) -> anyhow::Result<()> {
        let Some(embedded) = &self.embedded else { return Ok(()) };
        let revision = embedded.status().await?.revision;
        Ok(embedded.compact(revision).await?)
    }

    /// Opens what the flags name; the embedded store lies in `folder`. Waits
    /// a while for clusters that do not answer yet.
    pub async fn open(
        environment: &Environment,
        folder: &Path,
        flags: &StorageFlags,
    ) -> anyhow::Result<Backends> {
        let (main, embedded) = match &flags.backend.etcd {
            None => {
                let opened =
                    EmbeddedBackend::open(environment.clone(), folder, EmbeddedOptions::default()).await?;
                let backend = Arc::new(opened);
                let compactor = Compactor::start(backend.clone(), environment, flags.compaction_interval);
                (Place { backend: backend.clone(), compactor, etcd: None }, Some(backend))
            }
            Some(etcd) => (connect(environment, etcd, &etcd.servers, flags.compaction_interval).await?, None),
        };
        let mut backends = Backends {
            main,
            others: BTreeMap::new(),
            embedded,
            healthcheck_timeout: flags.backend.healthcheck_timeout,
            readycheck_timeout: flags.backend.readycheck_timeout,
            path_prefix: flags.backend.path_prefix.clone(),
            environment: environment.clone(),
        };
        let Some(etcd) = &flags.backend.etcd else { return Ok(backends) };
        for servers in flags.backend.servers_overrides.iter().map(|over| &over.servers) {
            let name = cluster_name(servers);
            if backends.others.contains_key(&name) {
                continue;
            }
            let place = if name == cluster_name(&etcd.servers) {
                backends.main.clone()
            } else {
                connect(environment, etcd, servers, flags.compaction_interval).await?
            };
            backends.others.insert(name, place);
        }
        Ok(backends)
    }

    /// The store of a resource that lies in the cluster of these URLs; none is the main store.
    pub fn place(&self, servers: &[String]) -> anyhow::Result<&Place> {
        if servers.is_empty() {
            return Ok(&self.main);
        }
        let found = self.others.get(&cluster_name(servers));
        found.ok_or_else(|| anyhow!("the cluster {} was not opened", servers.join(", ")))
    }

    /// Every store once, the main one first.
    pub fn places(&self) -> Vec<&Place> {
        let others = self.others.values().filter(|place| !Arc::ptr_eq(&place.backend, &self.main.backend));
        [&self.main].into_iter().chain(others).collect()
    }

    /// The checks of `/healthz`, `/livez` and `/readyz` (E-HLT-1).
    pub fn health_checks(&self) -> Vec<HealthCheck> {
        let kinds = [
            ("", AskedBy::All, self.healthcheck_timeout),
            ("-readiness", AskedBy::Readyz, self.readycheck_timeout),
        ];
        let mut checks = Vec::new();
        for (suffix, asked_by, timeout) in kinds {
            checks.push(self.health_check(&self.main, format!("etcd{suffix}"), asked_by, timeout));
            for (n, place) in self.places().into_iter().skip(1).enumerate() {
                checks.push(self.health_check(
                    place,
                    format!("etcd-override{suffix}-{n}"),
                    asked_by,
                    timeout,
                ));
            }
        }
        checks
    }

    fn health_check(&self, place: &Place, name: String, asked_by: AskedBy, timeout: Duration) -> HealthCheck {
        let backend = place.backend.clone();
        let name = name.into();
        if self.embedded.is_some() {
            let check = move || {
                let backend = backend.clone();
                let answer = async move {
                    match tokio::time::timeout(timeout, backend.status()).await {
                        Ok(Ok(_)) => Ok(()),
                        Ok(Err(error)) => Err(error.to_string()),
                        Err(_) => Err("the store did not answer in time".to_owned()),
                    }
                };
                Box::pin(answer) as futures::future::BoxFuture<'static, Result<(), String>>
            };
            return HealthCheck { name, asked_by, check: Arc::new(check) };
        }
        let probe = HealthProbe::new(backend, self.environment.clone(), &self.path_prefix, timeout);
        let probe = Arc::new(probe);
        let check = move || {
            let probe = probe.clone();
            let answer = async move { probe.check().await.map_err(|error| error.to_string()) };
            Box::pin(answer) as futures::future::BoxFuture<'static, Result<(), String>>
        };
        HealthCheck { name, asked_by, check: Arc::new(check) }
    }

    /// The embedded store as admins may save it while it serves.
    pub fn snapshots(&self) -> Vec<Download> {
        let Some(embedded) = self.embedded.clone() else { return Vec::new() };
        let open: OpenDownload = Arc::new(move || match embedded.snapshot() {
            Ok(pieces) => Ok(Box::new(pieces)),
            Err(error) => Err(error.to_string()),
        });
        vec![Download { path: crate::SNAPSHOT_PATH, open }]
    }

    /// Closes the embedded store; its folder can be opened again when this returns.
    pub async fn close(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.close().await;
        }
    }
}

/// The same for the same cluster, whatever the order of its URLs.
fn cluster_name(servers: &[String]) -> Vec<String> {
    let mut name = servers.to_vec();
    name.sort_unstable();
    name.dedup();
    name
}

async fn connect(
    environment: &Environment,
    flags: &EtcdFlags,
    servers: &[String],
    compaction_interval: Duration,
) -> anyhow::Result<Place> {
    let tls = etcd_tls(flags)?;
    // As with the original, certificates may be renewed while the server runs.
    let tls_renewal = tls.is_some().then(|| {
        let flags = flags.clone();
        let read =
            move || etcd_tls(&flags).map(Option::unwrap_or_default).map_err(|error| format!("{error:#}"));
        TlsRenewal(Arc::new(read))
    });
    let endpoints = servers.to_vec();
    let options = EtcdOptions { endpoints, tls, tls_renewal, ..EtcdOptions::default() };
    let backend = Arc::new(EtcdBackend::open(environment.clone(), options).await?);
    await_answer(environment, backend.as_ref(), servers).await?;
    let compactor = Compactor::start_shared(backend.clone(), environment, compaction_interval);
    Ok(Place { backend: backend.clone(), compactor, etcd: Some(backend) })
}

/// The certificates that the flags name; none if they name none.
pub(crate) fn etcd_tls(flags: &EtcdFlags) -> anyhow::Result<Option<EtcdTls>> {
    if flags.authorities_file.is_none() && flags.identity_files.is_none() {
        return Ok(None);
    }
    let read = |flag: &str, path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("{flag}: cannot read {}", path.display()))
    };
    let authorities =
        flags.authorities_file.as_deref().map(|path| read("--etcd-cafile", path)).transpose()?;
    let identity = match &flags.identity_files {
        Some((certificate, key)) => {
            Some((read("--etcd-certfile", certificate)?, read("--etcd-keyfile", key)?))
        }
        None => None,
    };
    Ok(Some(EtcdTls { authorities, identity }))
}

/// A control plane starts its parts together: etcd may need a moment more.
async fn await_answer(
    environment: &Environment,
    backend: &dyn Backend,
    servers: &[String],
) -> anyhow::Result<()> {
    let deadline = environment.clock.monotonic() + CONNECT_PATIENCE;
    let mut told = false;
    loop {
        let request = RangeRequest { key: "/".into(), count_only: true, ..RangeRequest::default() };
        let error = match tokio::time::timeout(CONNECT_PATIENCE, backend.range(request)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if environment.clock.monotonic() >= deadline {
            let (servers, patience) = (servers.join(", "), CONNECT_PATIENCE.as_secs());
            bail!("etcd at {servers} does not answer within {patience} s: {error}");
        }
        if !told {
            tracing::warn!(servers = servers.join(", "), error, "etcd does not answer yet, waiting for it");
            told = true;
        }
        environment.clock.sleep(CONNECT_PAUSE).await;
    }
}
