//! A running server, from its flags to its end.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::server::{
    ApiServices, AskedBy, ConnectionLimits, HealthCheck, Metrics, RequestLimits, Stopper, TokenDiscovery,
    stopper,
};
use anyhow::Context;
use arc_swap::ArcSwap;
use auth::{Authenticator, ClientCertificates, SuperuserAuthorizer, TokenFile, Union};
use environment::Environment;
use kubelet_client::Kubelets;
use registry::{RequestContext, UserInfo};
use resources::core::service_allocation::Repairs;
use storage_encryption::Encryption;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::backends::Backends;
use crate::bootstrap::bootstrap;
use crate::certificates::ServingNames;
use crate::data_folder::{Credentials, DataFolder};
use crate::dependencies::dependencies;
use crate::flags::{KubeletFlags, ServeFlags};
use crate::kubernetes_endpoints::{advertised, reconcile};
use crate::service_accounts::ServiceAccounts;
use crate::wiring::RuntimeResource;
use crate::{cache_metrics, encryption_metrics, store_metrics, tls, wiring};

/// A server that serves until it is shut down or dropped.
pub struct Server {
    address: SocketAddr,
    folder: DataFolder,
    credentials: Credentials,
    stop: StopOnDrop,
    serving: JoinHandle<()>,
    backends: Arc<Backends>,
    repairs: Repairs,
    /// Its file is watched and its plugins are asked as long as the server is there.
    _encryption: Option<Encryption>,
}

/// Says what differs from the defaults; see [`Server::builder`].
pub struct Builder {
    flags: ServeFlags,
    environment: Environment,
    made_at_run_time: Vec<RuntimeResource>,
}

impl Builder {
    /// Over flags as `pintle serve` reads them.
    pub fn new(flags: ServeFlags) -> Builder {
        Builder { flags, environment: environment::real::environment(), made_at_run_time: Vec::new() }
    }

    /// Folder of store, certificates and kubeconfig.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.flags.storage.data_dir = folder.into();
        self
    }

    /// Address to listen on; port 0 is any free one.
    pub fn address(mut self, address: SocketAddr) -> Builder {
        self.flags.serving.bind_address = address.ip();
        self.flags.serving.secure_port = address.port();
        self
    }

    /// Every flag of `pintle serve`, for what has no method of its own here.
    pub fn flags(&mut self) -> &mut ServeFlags {
        &mut self.flags
    }

    /// Clock, randomness, tasks and disk instead of the real ones.
    pub fn environment(mut self, environment: Environment) -> Builder {
        self.environment = environment;
        self
    }

    /// Serves one more resource, in one version.
    pub fn serve(mut self, resource: RuntimeResource) -> Builder {
        self.made_at_run_time.push(resource);
        self
    }

    /// Starts the server; it answers when this returns.
    pub async fn start(self) -> anyhow::Result<Server> {
        Server::start_in(self.environment, self.flags, self.made_at_run_time).await
    }
}

impl Server {
    /// A server with default flags on any free port of the loopback address.
    pub fn builder() -> Builder {
        let mut flags = ServeFlags::default();
        flags.serving.secure_port = 0;
        Builder::new(flags)
    }

    /// Starts a server as `pintle serve` with these flags does.
    pub async fn start(flags: ServeFlags) -> anyhow::Result<Server> {
        Builder::new(flags).start().await
    }

    async fn start_in(
        environment: Environment,
        flags: ServeFlags,
        made_at_run_time: Vec<RuntimeResource>,
    ) -> anyhow::Result<Server> {
        let encryption = encryption(&environment, &flags).await?;
        let folder = DataFolder::open(&flags.storage.data_dir)?;
        // The store's lock keeps a second server out before anything else of the folder is touched.
        let backends = Arc::new(Backends::open(&environment, &folder.store(), &flags.storage).await?);
        let bind = SocketAddr::new(flags.serving.bind_address, flags.serving.secure_port);
        let listener = TcpListener::bind(bind).await.with_context(|| {
            format!("cannot listen on {bind}: choose another port with --secure-port (0 is any free one)")
        })?;
        let address = listener.local_addr()?;
        let credentials = folder.credentials(&environment, &ServingNames::new(bind.ip(), host_name()))?;
        let tls = match &flags.serving.tls {
            Some((certificate, key)) => {
                let identity = tls::read_identity(certificate, key)?;
                tls::server_config(&identity).with_context(|| {
                    format!("cannot serve with {} and {}", certificate.display(), key.display())
                })?
            }
            None => tls::server_config(&credentials.serving).with_context(|| {
                format!("the certificates below {} cannot be used", folder.path().display())
            })?,
        };
        let service_accounts =
            ServiceAccounts::new(&environment, &flags.service_accounts, folder.service_account_key())?;
        let authenticator = authenticator(&environment, &flags, &credentials, &service_accounts)?;
        let dependencies = dependencies(authenticator.clone(), service_accounts.issuer.clone());
        let definitions = resources::all_definitions(&dependencies);
        let wired = wiring::wire(
            backends.clone(),
            &environment,
            &flags,
            encryption.as_ref(),
            definitions,
            made_at_run_time,
        )?;
        service_accounts.look_up_in(&wired.served)?;
        let metrics = Metrics::new();
        let (caches, stores) = (wired.caches, wired.stores);
        let encrypted = encryption.as_ref().map(|encryption| encryption.metrics().clone());
        let server = encryption_metrics::server_label(&host_name().unwrap_or_default());
        metrics.append(Box::new(move |out| {
            cache_metrics::write(&caches, out);
            store_metrics::write(&stores, out);
            if let Some(encrypted) = &encrypted {
                encryption_metrics::write(encrypted, &server, out);
            }
        }));
        store_metrics::register(&metrics, &flags.storage.backend, &wired.served, &backends)?;
        let (stopper, stopping) = stopper();
        let services = Arc::new(ApiServices {
            served: ArcSwap::new(wired.served.clone()),
            authenticator,
            authorizer: Arc::new(SuperuserAuthorizer),
            admission: wired.admission.clone(),
            kubelets: kubelets(&environment, &flags.kubelet)?,
            environment: environment.clone(),
            limits: RequestLimits {
                request_timeout: flags.serving.request_timeout,
                min_request_timeout: flags.serving.min_request_timeout,
                ..RequestLimits::default()
            },
            stopping: stopping.clone(),
            metrics,
            openapi: Default::default(),
            token_discovery: TokenDiscovery {
                issuer: flags.service_accounts.issuers.first().cloned().unwrap_or_default(),
                jwks_uri: jwks_uri(&flags, address),
                keys: service_accounts.keys.clone(),
            },
            health_checks: health_checks(&backends, encryption.as_ref(), stopping.clone()),
            downloads: backends.snapshots(),
        });
        let context = || system_context(&services);
        let fresh = backends.holds_nothing().await;
        bootstrap(&wired.served, &wired.services, address, context)
            .await
            .context("cannot make what every cluster has")?;
        if let Some(address) = advertised(flags.serving.advertise_address, address) {
            reconcile(&wired.served, address, context)
                .await
                .context("cannot tell the cluster where it is")?;
        }
        if fresh {
            backends.forget_beginnings().await.context("cannot compact the new store")?;
        }
        let http = Arc::new(::server::Server::new(services, ConnectionLimits::default(), Some(tls)));
        let serving = tokio::spawn(http.serve(listener));
        // Written last: whoever waits for the file finds a server that answers.
        folder.write_kubeconfig(&credentials, reachable(address))?;
        Ok(Server {
            address: reachable(address),
            folder,
            credentials,
            repairs: wired.services.start_repairs(),
            stop: StopOnDrop(stopper),
            serving,
            backends,
            _encryption: encryption,
        })
    }

    /// Where clients on this machine reach the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The data folder, absolute.
    pub fn data_folder(&self) -> &Path {
        self.folder.path()
    }

    /// A kubeconfig of the admin.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.kubeconfig()
    }

    /// The admin's bearer token.
    pub fn admin_token(&self) -> &str {
        &self.credentials.admin_token
    }

    /// The authority that signed the serving certificate, PEM.
    pub fn authority_pem(&self) -> &str {
        &self.credentials.authority.certificate_pem
    }

    /// Ends watches, lets other requests finish, and closes the store. When
    /// this returns the data folder can be opened again.
    pub async fn shutdown(self) {
        self.stop.0.stop();
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "serving ended badly");
        }
        drop(self.repairs);
        self.backends.close().await;
    }
}

/// A server nobody holds any more must not go on serving: its folder would stay locked.
struct StopOnDrop(Stopper);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What the flags say about encryption at rest. A plugin may come later, a wrong file may not be overlooked.
async fn encryption(environment: &Environment, flags: &ServeFlags) -> anyhow::Result<Option<Encryption>> {
    let Some(options) = flags.encryption.options.clone() else { return Ok(None) };
    let shown = format!("--encryption-provider-config: cannot use {}", options.path.display());
    Ok(Some(Encryption::load(environment.clone(), options).await.context(shown)?))
}

/// Where clients outside find the keys of tokens.
fn jwks_uri(flags: &ServeFlags, address: SocketAddr) -> String {
    let given = flags.service_accounts.jwks_uri.clone();
    given.unwrap_or_else(|| {
        let address = advertised(flags.serving.advertise_address, address).unwrap_or(reachable(address));
        format!("https://{address}{}", ::server::JWKS_PATH)
    })
}

fn authenticator(
    environment: &Environment,
    all_flags: &ServeFlags,
    credentials: &Credentials,
    service_accounts: &ServiceAccounts,
) -> anyhow::Result<Arc<Union>> {
    let flags = &all_flags.authentication;
    let mut authorities = tls::certificates(&credentials.authority.certificate_pem)?;
    if let Some(path) = &flags.client_ca_file {
        let shown = || format!("--client-ca-file: cannot use {}", path.display());
        let pem = std::fs::read_to_string(path).with_context(shown)?;
        authorities.extend(tls::certificates(&pem).with_context(shown)?);
    }
    let mut tokens = match &flags.token_auth_file {
        Some(path) => {
            let shown = || format!("--token-auth-file: cannot use {}", path.display());
            TokenFile::parse(&std::fs::read_to_string(path).with_context(shown)?).with_context(shown)?
        }
        None => TokenFile::default(),
    };
    let admin = UserInfo {
        name: "admin".to_owned(),
        groups: vec![auth::SYSTEM_MASTERS.to_owned()],
        ..UserInfo::default()
    };
    tokens.insert(&credentials.admin_token, admin);
    let certificates = ClientCertificates::new(authorities, environment.clock.clone())?;
    let authenticators: Vec<Arc<dyn Authenticator>> =
        vec![Arc::new(certificates), Arc::new(tokens), service_accounts.authenticator.clone()];
    Ok(Arc::new(Union::new(authenticators, all_flags.service_accounts.audiences.clone())))
}

fn kubelets(environment: &Environment, flags: &KubeletFlags) -> anyhow::Result<Kubelets> {
    let read = |flag: &str, path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("--{flag}: cannot read {}", path.display()))
    };
    let mut options = flags.options.clone();
    if let Some(path) = &flags.certificate_authority {
        options.tls.authorities_pem = Some(read("kubelet-certificate-authority", path)?);
    }
    if let Some((certificate, key)) = &flags.client_certificate {
        let certificate = read("kubelet-client-certificate", certificate)?;
        options.tls.identity_pem = Some((certificate, read("kubelet-client-key", key)?));
    }
    Kubelets::new(options, environment).context("cannot prepare TLS to kubelets")
}

fn health_checks(
    backends: &Backends,
    encryption: Option<&Encryption>,
    stopping: watch::Receiver<bool>,
) -> Vec<HealthCheck> {
    let shutdown = move || {
        let stopping = *stopping.borrow();
        let answer =
            async move { if stopping { Err("process is shutting down".to_owned()) } else { Ok(()) } };
        Box::pin(answer) as futures::future::BoxFuture<'static, Result<(), String>>
    };
    let mut checks = vec![HealthCheck::ping("ping"), HealthCheck::ping("log")];
    checks.extend(backends.health_checks());
    checks.extend(encryption.into_iter().flat_map(Encryption::health_checks).map(plugin_check));
    checks.push(HealthCheck {
        name: "shutdown".into(),
        asked_by: AskedBy::Readyz,
        check: Arc::new(shutdown),
    });
    checks
}

/// A plugin that is away says nothing about whether this process should be restarted.
fn plugin_check(check: storage_encryption::HealthCheck) -> HealthCheck {
    let name = check.name.clone().into();
    let check = Arc::new(check);
    let ask = move || {
        let check = check.clone();
        Box::pin(async move { check.check().await })
            as futures::future::BoxFuture<'static, Result<(), String>>
    };
    HealthCheck { name, asked_by: AskedBy::HealthzAndReadyz, check: Arc::new(ask) }
}

/// The server's own requests, made before anybody else's.
fn system_context(services: &ApiServices) -> RequestContext {
    let user = UserInfo {
        name: "system:apiserver".to_owned(),
        groups: vec![auth::SYSTEM_MASTERS.to_owned()],
        ..UserInfo::default()
    };
    let (admission, authorizer) = (services.admission.clone(), services.authorizer.clone());
    RequestContext::new(user, admission, authorizer, services.environment.clone())
}

/// An unspecified address is no address to connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_ascii_lowercase())
}
