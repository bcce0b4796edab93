//! The request path: every filter a request passes, in order, each with the
//! reason why it stands where it stands (F-X-6). No body is read or decoded
//! before the request is authenticated and authorized.
//!
//! ```text
//! request -> panics -> audit id -> request info -> deadline -> authentication
//!         -> authorization -> routing -> verb
//! answer  <- cache control <- warnings <- Status of a failure <-'
//! ```

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use auth::Credentials;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{Either, select};
use http::header::{AUTHORIZATION, CACHE_CONTROL, WARNING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use meta::{ApiError, GroupResource};
use parking_lot::Mutex;
use registry::{AuthorizationAttributes, Decision, RequestContext, UserInfo};
use rustls_pki_types::CertificateDer;

use crate::body;
use crate::duration::parse_go_duration;
use crate::impersonation::impersonated;
use crate::negotiation::{error_output, header};
use crate::query::{Query, decode};
use crate::request_info::RequestInfo;
use crate::respond::{self, Body};
use crate::router;
use crate::services::ApiServices;
use crate::status::Failure;
use crate::warnings;

/// Body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// What is known of the connection a request came over.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// The client's certificate chain, leaf first; empty if it showed none.
    pub peer_certificates: Vec<CertificateDer<'static>>,
    /// Where the client is; none if there is no socket.
    pub peer: Option<SocketAddr>,
}

/// A request on its way through the filters.
pub struct Exchange {
    /// Everything a request may need.
    pub services: Arc<ApiServices>,
    /// Method, headers, URL.
    pub parts: Parts,
    /// The query, read.
    pub query: Query,
    /// What is asked for.
    pub info: RequestInfo,
    /// Who asks and what comes with the request; the user is set by authentication.
    pub context: RequestContext,
    /// The body, until somebody reads it. Behind a lock only because a body
    /// must not be shared and an exchange is.
    body: Mutex<Option<RequestBody>>,
    connection: Arc<Connection>,
}

/// Serves one request. Always answers.
pub async fn handle(
    services: Arc<ApiServices>,
    connection: Arc<Connection>,
    request: Request<RequestBody>,
) -> Response<Body> {
    let start = services.environment.clock.monotonic();
    let mut exchange = Exchange::new(services, connection, request);
    let audit_id = exchange.audit_id();
    // Outermost: whatever panics below costs one answer, not the server.
    let served = AssertUnwindSafe(column(&mut exchange)).catch_unwind().await;
    let mut response = match served {
        Ok(Ok(response)) => response,
        Ok(Err(failure)) => exchange.refuse(&failure),
        Err(_) => exchange.panicked(),
    };
    if let Some(unread) = exchange.take_body().filter(|body| !http_body::Body::is_end_stream(body)) {
        crate::body::drain(unread, &exchange.services).await;
    }
    for value in warnings::headers(&exchange.context.take_warnings()) {
        response.headers_mut().append(WARNING, value);
    }
    // Answers are private unless a handler (discovery, OpenAPI) said otherwise.
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    response.headers_mut().insert(AUDIT_ID, audit_id);
    exchange.count(response.status(), start);
    // Only known users have their unwanted bodies read.
    if let Some(body) = exchange.take_body()
        && !http_body::Body::is_end_stream(&body)
        && exchange.context.user != UserInfo::default()
    {
        body::discard(body, &exchange.services).await;
    }
    response
}

async fn column(exchange: &mut Exchange) -> Result<Response<Body>, Failure> {
    // Everything below asks what the request is for.
    exchange.read_info()?;
    // Before anything that waits, so that nothing waits longer than the client was promised.
    let deadline = exchange.deadline()?;
    let clock = exchange.services.environment.clock.clone();
    let served = async {
        // Before authorization, which judges the user.
        exchange.authenticate().await?;
        // Before routing: who may not ask does not learn what exists.
        exchange.authorize().await?;
        let _running = exchange.services.metrics.running(&exchange.info);
        router::route(exchange).await
    };
    let Some(deadline) = deadline else { return served.await };
    match select(std::pin::pin!(served), clock.sleep(deadline)).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => Err(timed_out()),
    }
}

impl Exchange {
    fn new(
        services: Arc<ApiServices>,
        connection: Arc<Connection>,
        request: Request<RequestBody>,
    ) -> Exchange {
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let context = RequestContext::new(
            UserInfo::default(),
            services.admission.clone(),
            services.authorizer.clone(),
            services.environment.clone(),
        );
        Exchange {
            services,
            parts,
            query,
            info: RequestInfo::default(),
            context,
            body: Mutex::new(Some(body)),
            connection,
        }
    }

    /// The body, once.
    pub fn take_body(&self) -> Option<RequestBody> {
        self.body.lock().take()
    }

    /// Where the client is, if it came over a socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.connection.peer
    }

    /// What the authorizer was asked about this request.
    pub fn authorization(&self) -> AuthorizationAttributes<'_> {
        attributes(&self.context.user, &self.info)
    }

    /// The client's id of the request, or a new one.
    fn audit_id(&self) -> HeaderValue {
        let given = self.parts.headers.get(&AUDIT_ID).filter(|value| !value.is_empty());
        let made =
            || HeaderValue::from_str(&self.services.environment.random.uuid()).expect("a UUID is ASCII");
        given.cloned().unwrap_or_else(made)
    }

    fn read_info(&mut self) -> Result<(), Failure> {
        let path = self.parts.uri.path();
        let decoded = decode(path, false).ok_or_else(|| {
            Failure::Text(StatusCode::BAD_REQUEST, "400 Bad Request: invalid URL escape\n".to_owned())
        })?;
        self.info =
            RequestInfo::parse(self.parts.method.as_str(), &decoded, &self.query).map_err(|error| {
                let message =
                    format!("Internal Server Error: {path:?}: failed to create RequestInfo: {error}\n");
                Failure::Text(StatusCode::INTERNAL_SERVER_ERROR, message)
            })?;
        self.context.verb = self.info.verb.clone();
        self.context.resource = GroupResource::new(self.info.group.clone(), self.info.resource.clone());
        self.context.version = self.info.version.clone();
        self.context.subresource = self.info.subresource.clone();
        self.context.namespace = self.info.namespace.clone();
        self.context.name = self.info.name.clone();
        Ok(())
    }

    /// How long the request may take; none for watches and streams (F-X-1, F-MUT-8).
    fn deadline(&self) -> Result<Option<Duration>, Failure> {
        let long_running = matches!(self.info.verb.as_str(), "watch" | "proxy") || self.info.is_stream();
        if long_running {
            return Ok(None);
        }
        let limits = &self.services.limits;
        let mut deadline = limits.request_timeout;
        if let Some(text) = self.query.get("timeout").filter(|text| !text.is_empty()) {
            let asked = parse_go_duration(text).map_err(|error| {
                Failure::bad_request(format!("invalid timeout specified in the request URL - {error}"))
            })?;
            deadline = asked.filter(|asked| !asked.is_zero() && *asked < deadline).unwrap_or(deadline);
        }
        if matches!(self.info.verb.as_str(), "create" | "update" | "patch" | "delete") {
            deadline = deadline.min(limits.mutation_timeout);
        }
        Ok(Some(deadline))
    }

    async fn authenticate(&mut self) -> Result<(), Failure> {
        let authorization = header(&self.parts.headers, AUTHORIZATION);
        let credentials = Credentials {
            authorization: Some(authorization).filter(|value| !value.is_empty()),
            peer_certificates: &self.connection.peer_certificates,
            ..Credentials::default()
        };
        match self.services.authenticator.identify(&credentials).await {
            Ok(user) => {
                let (services, headers) = (&self.services, &self.parts.headers);
                // Before authorization, which judges the user acted as.
                let other = impersonated(services, &user, &self.info, headers).await?;
                self.context.user = other.unwrap_or(user);
                Ok(())
            }
            Err(error) => {
                tracing::info!(%error, path = self.info.path, "unauthenticated");
                Err(ApiError::Unauthorized.into())
            }
        }
    }

    async fn authorize(&self) -> Result<(), Failure> {
        authorize(&self.services, &self.context.user, &self.info).await.map_err(Failure::from)
    }

    /// The answer to a failure. What the server did wrong is logged here, once.
    fn refuse(&self, failure: &Failure) -> Response<Body> {
        let response = respond::failure(failure, error_output(&self.parts.headers, &self.query));
        if response.status().is_server_error() {
            let code = response.status().as_u16();
            tracing::warn!(code, verb = self.info.verb, path = self.info.path, ?failure, "request failed");
        }
        response
    }

    /// Counts the answer. Paths of resources that are not served are the
    /// client's to choose, so they have no labels of their own.
    fn count(&self, code: StatusCode, start: Duration) {
        let info = &self.info;
        let served = self.services.served.load().lookup(&info.group, &info.version, &info.resource).is_some();
        let unknown = RequestInfo { verb: info.verb.clone(), ..RequestInfo::default() };
        let labelled = if served { info } else { &unknown };
        let duration = self.services.environment.clock.monotonic().saturating_sub(start);
        self.services.metrics.answered(labelled, self.query.text("dryRun") == "All", code, duration);
    }

    fn panicked(&self) -> Response<Body> {
        self.services.metrics.panics.inc();
        tracing::error!(verb = self.info.verb, path = self.info.path, "serving a request panicked");
        let message = "This request caused apiserver to panic. Look in the logs for details.\n";
        respond::text(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

/// Asks whether `user` may do what `info` says; 403 if not.
pub async fn authorize(services: &ApiServices, user: &UserInfo, info: &RequestInfo) -> Result<(), ApiError> {
    let attributes = attributes(user, info);
    let reason = match services.authorizer.authorize(&attributes).await {
        Decision::Allow(_) => return Ok(()),
        Decision::NoOpinion(reason) | Decision::Deny(reason) => reason,
    };
    Err(forbidden(user, info, &reason))
}

/// What the authorizer is asked about a request.
fn attributes<'a>(user: &'a UserInfo, info: &'a RequestInfo) -> AuthorizationAttributes<'a> {
    AuthorizationAttributes {
        user,
        verb: &info.verb,
        resource_request: info.resource_request,
        namespace: &info.namespace,
        group: &info.group,
        version: &info.version,
        resource: &info.resource,
        subresource: &info.subresource,
        name: &info.name,
        path: &info.path,
    }
}

fn forbidden(user: &UserInfo, info: &RequestInfo, reason: &str) -> ApiError {
    let quoted = meta::field::quoted;
    let user = quoted(&user.name);
    let mut message = if info.resource_request {
        let slash = if info.subresource.is_empty() { "" } else { "/" };
        let resource = quoted(&format!("{}{slash}{}", info.resource, info.subresource));
        let place = match info.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {}", quoted(namespace)),
        };
        format!(
            "User {user} cannot {} resource {resource} in API group {} {place}",
            info.verb,
            quoted(&info.group)
        )
    } else {
        format!("User {user} cannot {} path {}", info.verb, quoted(&info.path))
    };
    if !reason.is_empty() {
        message = format!("{message}: {reason}");
    }
    let resource =
        if info.resource_request { (info.group.clone(), info.resource.clone()) } else { Default::default() };
    let name = if info.resource_request { info.name.clone() } else { String::new() };
    ApiError::Forbidden {
        resource: GroupResource::new(resource.0, resource.1),
        name,
        message,
        causes: Vec::new(),
    }
}

fn timed_out() -> Failure {
    let message = "request did not complete within the allotted timeout".to_owned();
    ApiError::Timeout { message, retry_after_seconds: 0 }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(method: &str, path: &str) -> String {
        let info = RequestInfo::parse(method, path, &Query::default()).expect("well-formed");
        let user = UserInfo { name: "u".into(), ..UserInfo::default() };
        crate::status::Status::of(&forbidden(&user, &info, "")).message
    }

    #[test]
    fn refusals_name_user_verb_resource_and_place() {
        assert_eq!(
            refusal("PATCH", "/apis/apps/v1/namespaces/n/deployments/d/scale"),
            r#"deployments.apps "d" is forbidden: User "u" cannot patch resource "deployments/scale" in API group "apps" in the namespace "n""#
        );
        assert_eq!(
            refusal("GET", "/api/v1/nodes"),
            r#"nodes is forbidden: User "u" cannot list resource "nodes" in API group "" at the cluster scope"#
        );
        assert_eq!(refusal("GET", "/metrics"), r#"forbidden: User "u" cannot get path "/metrics""#);
    }
}
