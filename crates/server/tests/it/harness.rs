//! A server of two resources, and a client of one function.

use std::sync::Arc;

use arc_swap::ArcSwap;
use auth::service_account::Keyset;
use auth::{SYSTEM_MASTERS, SuperuserAuthorizer, TokenFile, Union};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use registry::{
    Column, NoAdmission, RequestContext, ResourceDef, Served, ServedResource, Store, StoreConfig, Strategy,
    Subresource, UserInfo,
};
use schema::Value;
use server::services::Download;
use server::{
    ApiServices, Connection, Metrics, RequestBody, RequestLimits, Stopper, TokenDiscovery, handle, stopper,
};
use storage::{
    BuiltinCodec, Compactor, Identity, LeaseOptions, Model, ObjectStore, ObjectStoreConfig, Storage,
};

/// Token of a user who may do everything.
const ADMIN: &str = "admin";
/// Token of a user who may do nothing.
const NOBODY: &str = "nobody";

/// A name that makes validation panic.
pub const POISON: &str = "poison";

/// A server without sockets.
pub struct Api {
    pub services: Arc<ApiServices>,
    pub stopper: Stopper,
}

/// An answer, its body read.
#[derive(Debug)]
pub struct Answer {
    pub code: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// `message` of a Status.
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl Api {
    /// A server with default limits.
    pub fn new() -> Api {
        Api::with_limits(RequestLimits::default())
    }

    /// A server with other limits.
    pub fn with_limits(limits: RequestLimits) -> Api {
        Api::over(|_, storage| storage, limits)
    }

    /// A server whose resources are stored in what `wrap` makes of their storage, by resource.
    pub fn over(
        wrap: impl Fn(&ResourceDef, Arc<dyn Storage>) -> Arc<dyn Storage>,
        limits: RequestLimits,
    ) -> Api {
        let environment = environment::real::environment();
        let backend = Arc::new(Model::new(&environment));
        let compactor = Compactor::start(backend.clone(), &environment, storage::DEFAULT_COMPACTION_INTERVAL);
        let serve = |definition: ResourceDef| {
            let schema = schema::builtin();
            let ty = schema.kind(&definition.group, &definition.version, &definition.kind).unwrap();
            let gvk = definition.gvk();
            let codec = BuiltinCodec::new(schema, &gvk.group, &gvk.version, &gvk.kind).unwrap();
            let storage: Arc<dyn Storage> = Arc::new(
                ObjectStore::new(ObjectStoreConfig {
                    backend: backend.clone(),
                    environment: environment.clone(),
                    path_prefix: "/registry".to_owned(),
                    resource_prefix: format!("/{}", definition.resource),
                    group_resource: definition.group_resource(),
                    codec: Arc::new(codec),
                    transformer: Arc::new(Identity),
                    leases: LeaseOptions::default(),
                    compactor: Some(compactor.clone()),
                    allow_unsafe_deletion: false,
                })
                .unwrap(),
            );
            let storage = wrap(&definition, storage);
            let definition = Arc::new(definition);
            let store = Store::new(StoreConfig {
                definition: definition.clone(),
                storage,
                schema: schema.into(),
                stored_ty: ty,
                delete_collection_workers: 1,
                garbage_collection: true,
            });
            Arc::new(ServedResource {
                definition,
                store: Some(Arc::new(store)),
                schema: schema.into(),
                ty,
                stored_ty: ty,
            })
        };
        let served = Served::new([serve(config_maps()), serve(deployments())]);
        let mut tokens = TokenFile::default();
        let user = |name: &str, groups: Vec<String>| UserInfo {
            name: name.to_owned(),
            groups,
            ..UserInfo::default()
        };
        tokens.insert(ADMIN, user("admin", vec![SYSTEM_MASTERS.to_owned()]));
        tokens.insert(NOBODY, user("nobody", Vec::new()));
        let (stopper, stopping) = stopper();
        let services = ApiServices {
            served: ArcSwap::from_pointee(served),
            authenticator: Arc::new(Union::new(vec![Arc::new(tokens)], Vec::new())),
            authorizer: Arc::new(SuperuserAuthorizer),
            admission: Arc::new(NoAdmission),
            kubelets: kubelet_client::Kubelets::new(Default::default(), &environment).unwrap(),
            environment,
            limits,
            stopping,
            metrics: Metrics::new(),
            openapi: Default::default(),
            token_discovery: TokenDiscovery {
                issuer: String::new(),
                jwks_uri: String::new(),
                keys: Arc::new(Keyset::new(Box::new(|| Err("no key".to_owned())), Vec::new())),
            },
            health_checks: Vec::new(),
            downloads: vec![Download {
                path: "/download",
                open: Arc::new(|| Ok(Box::new(["a", "b"].map(Bytes::from).into_iter()))),
            }],
        };
        Api { services: Arc::new(services), stopper }
    }

    /// Sends a request as the admin.
    pub async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send_body(ADMIN, method, url, headers, body_of(body)).await
    }

    /// Sends a request as the user who may do nothing.
    pub async fn send_as_nobody(&self, method: &str, url: &str, body: RequestBody) -> Answer {
        self.send_body(NOBODY, method, url, &[], body).await
    }

    /// Sends a request with a body of any kind as the admin.
    pub async fn send_stream(&self, method: &str, url: &str, body: RequestBody) -> Answer {
        self.send_body(ADMIN, method, url, &[], body).await
    }

    /// Sends a request and hands over the response with its body still to be read.
    pub async fn open(&self, url: &str, headers: &[(&str, &str)]) -> http::Response<server::respond::Body> {
        self.respond(ADMIN, "GET", url, headers, body_of("")).await
    }

    async fn send_body(
        &self,
        token: &str,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: RequestBody,
    ) -> Answer {
        let response = self.respond(token, method, url, headers, body).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { code: parts.status, headers: parts.headers, body }
    }

    async fn respond(
        &self,
        token: &str,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: RequestBody,
    ) -> http::Response<server::respond::Body> {
        let mut request =
            Request::builder().method(method).uri(url).header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        handle(self.services.clone(), Arc::new(Connection::default()), request.body(body).unwrap()).await
    }

    /// Creates a ConfigMap in namespace `n`.
    pub async fn create_config_map(&self, name: &str, value: &str) -> Answer {
        let body =
            serde_json::json!({"metadata": {"name": name, "labels": {"l": "1"}}, "data": {"k": value}});
        let answer = self.send("POST", "/api/v1/namespaces/n/configmaps", &[], body.to_string()).await;
        assert_eq!(answer.code, StatusCode::CREATED, "{answer:?}");
        answer
    }
}

/// A body in memory.
pub fn body_of(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

struct ConfigMaps;

impl Strategy for ConfigMaps {
    fn validate(&self, _: &RequestContext, object: &Value) -> meta::FieldErrors {
        assert_ne!(object.str_at(&["metadata", "name"]), Some(POISON), "a validation with a bug");
        Vec::new()
    }

    fn cells(&self, object: &Value, print: &registry::PrintContext) -> Vec<Value> {
        let data = object.map_at(&["data"]).map_or(0, |data| data.len() as i64);
        vec![Value::from(print.name(object)), Value::Int(data), Value::from(print.age(object))]
    }
}

fn config_maps() -> ResourceDef {
    ResourceDef {
        columns: vec![Column::name(), Column::integer("Data"), Column::string("Age")],
        ..ResourceDef::stored("", "v1", "configmaps", "ConfigMap", ConfigMaps)
    }
}

struct Deployments;
impl Strategy for Deployments {}

fn deployments() -> ResourceDef {
    ResourceDef {
        generation: true,
        subresources: vec![Subresource::scale(), Subresource::status()],
        ..ResourceDef::stored("apps", "v1", "deployments", "Deployment", Deployments)
    }
}
