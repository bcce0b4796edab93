//! `/healthz`, `/livez`, `/readyz`: named checks, `?verbose`, `?exclude=`, and
//! one path per check (F-X-7).
//!
//! Owns how checks are asked and shown, not what they check: those are handed
//! in by the wiring.

use std::borrow::Cow;
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use http::{Response, StatusCode};

use crate::query::Query;
use crate::respond::{self, Body};

/// Something that can be well or not.
#[derive(Clone)]
pub struct HealthCheck {
    /// Its name, e.g. `etcd`.
    pub name: Cow<'static, str>,
    /// Which of the three paths ask it.
    pub asked_by: AskedBy,
    /// Asks. The text of an error goes to the log; the client learns only that it failed.
    pub check: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

/// Which of the three paths ask a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    /// All three.
    All,
    /// `/readyz` only: failing says "send no requests", not "restart me".
    Readyz,
    /// All but `/livez`: a restart would not help.
    HealthzAndReadyz,
}

impl AskedBy {
    fn asks(self, endpoint: &str) -> bool {
        match self {
            AskedBy::All => true,
            AskedBy::Readyz => endpoint == "readyz",
            AskedBy::HealthzAndReadyz => endpoint != "livez",
        }
    }
}

impl HealthCheck {
    /// A check that always succeeds: that it answers is the check.
    pub fn ping(name: &'static str) -> HealthCheck {
        HealthCheck {
            name: name.into(),
            asked_by: AskedBy::All,
            check: Arc::new(|| Box::pin(async { Ok(()) })),
        }
    }
}

/// Answers `/healthz`, `/livez`, `/readyz` and what lies below; none if `path` is not one of them.
pub async fn answer(checks: &[HealthCheck], path: &str, query: &Query) -> Option<Response<Body>> {
    let (endpoint, below) = match path.trim_start_matches('/').split_once('/') {
        Some((endpoint, below)) => (endpoint, below.trim_end_matches('/')),
        None => (path.trim_start_matches('/'), ""),
    };
    if !matches!(endpoint, "healthz" | "livez" | "readyz") {
        return None;
    }
    let asked: Vec<&HealthCheck> = checks.iter().filter(|check| check.asked_by.asks(endpoint)).collect();
    if below.is_empty() {
        return Some(all(endpoint, &asked, query).await);
    }
    let check = asked.iter().find(|check| check.name == below);
    Some(match check {
        Some(check) => one(check).await,
        None => respond::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    })
}

async fn one(check: &HealthCheck) -> Response<Body> {
    match ask(check).await {
        true => respond::text(StatusCode::OK, "ok"),
        false => respond::text(StatusCode::INTERNAL_SERVER_ERROR, "internal server error: reason withheld\n"),
    }
}

async fn all(endpoint: &str, checks: &[&HealthCheck], query: &Query) -> Response<Body> {
    let mut excluded: Vec<&str> =
        query.all("exclude").flat_map(|names| names.split(',')).filter(|n| !n.is_empty()).collect();
    let results = join_all(checks.iter().map(|check| {
        let skip = excluded.contains(&check.name.as_ref());
        async move { if skip { None } else { Some(ask(check).await) } }
    }))
    .await;
    let mut text = String::new();
    let mut failed = Vec::new();
    for (check, result) in checks.iter().zip(&results) {
        match result {
            None => text += &format!("[+]{} excluded: ok\n", check.name),
            Some(true) => text += &format!("[+]{} ok\n", check.name),
            Some(false) => {
                text += &format!("[-]{} failed: reason withheld\n", check.name);
                failed.push(check.name.as_ref());
            }
        }
    }
    excluded.retain(|name| !checks.iter().any(|check| check.name == *name));
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| meta::field::quoted(name)).collect();
        text += &format!("warn: some health checks cannot be excluded: no matches for {}\n", names.join(","));
    }
    if !failed.is_empty() {
        tracing::warn!(endpoint, ?failed, "health checks failed");
        return respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{text}{endpoint} check failed\n"));
    }
    if query.get("verbose").is_none() {
        return respond::text(StatusCode::OK, "ok");
    }
    respond::text(StatusCode::OK, format!("{text}{endpoint} check passed\n"))
}

async fn ask(check: &HealthCheck) -> bool {
    match (check.check)().await {
        Ok(()) => true,
        Err(reason) => {
            tracing::warn!(check = check.name.as_ref(), reason, "not healthy");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn checks() -> Vec<HealthCheck> {
        let sick = HealthCheck {
            name: "etcd-readiness".into(),
            asked_by: AskedBy::Readyz,
            check: Arc::new(|| Box::pin(async { Err("gone".to_owned()) })),
        };
        vec![HealthCheck::ping("ping"), HealthCheck::ping("log"), sick]
    }

    async fn get(path: &str, query: &str) -> (u16, String) {
        let response = answer(&checks(), path, &Query::parse(query)).await.expect("a health path");
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (code, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn checks_are_listed_when_asked_to_be_verbose_and_when_one_fails() {
        assert_eq!(get("/livez", "").await, (200, "ok".into()));
        assert_eq!(
            get("/livez", "verbose").await,
            (200, "[+]ping ok\n[+]log ok\nlivez check passed\n".into())
        );
        let failed =
            "[+]ping ok\n[+]log ok\n[-]etcd-readiness failed: reason withheld\nreadyz check failed\n";
        assert_eq!(get("/readyz", "").await, (500, failed.into()));
    }

    #[tokio::test]
    async fn excluded_checks_are_not_asked_and_unknown_ones_are_named() {
        let text = "[+]ping ok\n[+]log excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"x\"\nlivez check passed\n";
        assert_eq!(get("/livez", "verbose&exclude=log&exclude=x").await, (200, text.into()));
        assert_eq!(get("/readyz", "exclude=etcd-readiness").await.0, 200);
    }

    #[tokio::test]
    async fn a_check_has_a_path_of_its_own() {
        assert_eq!(get("/livez/ping", "verbose").await, (200, "ok".into()));
        assert_eq!(get("/readyz/etcd-readiness", "").await.0, 500);
        assert_eq!(get("/livez/etcd-readiness", "").await.0, 404);
    }
}
