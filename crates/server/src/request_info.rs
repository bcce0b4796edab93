//! What a request asks for, read from method, path and query alone (F-RTE-1).
//! Does not know which resources exist.

use crate::query::{Query, truthy};

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// False for paths like `/healthz` or `/apis/apps`.
    pub resource_request: bool,
    /// Path as it came.
    pub path: String,
    /// Verb as authorization names it, e.g. `list`; the lower-case method for other paths.
    pub verb: String,
    /// `api` or `apis`.
    pub api_prefix: String,
    /// API group, empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace, empty for cluster scope and all namespaces.
    pub namespace: String,
    /// Resource.
    pub resource: String,
    /// Subresource, empty if none.
    pub subresource: String,
    /// Object name, empty for collections. A collection selected by an exact
    /// `metadata.name` carries that name too, for authorization.
    pub name: String,
    /// Parts of the path from the resource on.
    pub parts: Vec<String>,
    /// The path has the deprecated `/watch/` in front of the resource.
    pub watch_prefix: bool,
}

/// The path names a special verb and nothing it could apply to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to determine kind and namespace from url, {path}")]
pub struct RequestInfoError {
    path: String,
}

impl RequestInfo {
    /// Reads a request line. `path` is percent-decoded.
    pub fn parse(method: &str, path: &str, query: &Query) -> Result<RequestInfo, RequestInfoError> {
        let mut info =
            RequestInfo { path: path.to_owned(), verb: method.to_ascii_lowercase(), ..Default::default() };
        let parts: Vec<&str> = match path.trim_matches('/') {
            "" => Vec::new(),
            path => path.split('/').collect(),
        };
        let Some(parts) = info.take_group_version(&parts) else { return Ok(info) };
        info.resource_request = true;
        let parts = info.take_verb(method, parts)?;
        let parts = info.take_namespace(parts);
        info.parts = parts.iter().map(|part| (*part).to_owned()).collect();
        info.resource = part(parts, 0);
        info.name = part(parts, 1);
        info.subresource = if info.verb == "proxy" { String::new() } else { part(parts, 2) };
        if info.name.is_empty() {
            info.refine_collection(query);
        }
        Ok(info)
    }

    /// True for requests that are streams to other servers and take as long as they take.
    pub fn is_stream(&self) -> bool {
        const STREAMS: &[&str] = &["attach", "exec", "log", "portforward", "proxy"];
        self.resource_request && STREAMS.contains(&self.subresource.as_str())
    }

    /// Takes prefix, group and version; none for a path above resources.
    fn take_group_version<'a>(&mut self, parts: &'a [&'a str]) -> Option<&'a [&'a str]> {
        let (group, version, rest) = match parts {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, version, rest),
            _ => return None,
        };
        self.api_prefix = parts[0].to_owned();
        self.group = group.to_owned();
        self.version = (*version).to_owned();
        Some(rest)
    }

    fn take_verb<'a>(
        &mut self,
        method: &str,
        parts: &'a [&'a str],
    ) -> Result<&'a [&'a str], RequestInfoError> {
        if let [special @ ("watch" | "proxy"), rest @ ..] = parts {
            if rest.is_empty() {
                return Err(RequestInfoError { path: self.path.clone() });
            }
            self.verb = (*special).to_owned();
            self.watch_prefix = *special == "watch";
            return Ok(rest);
        }
        self.verb = match method {
            "POST" => "create",
            "GET" | "HEAD" => "get",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => "",
        }
        .to_owned();
        Ok(parts)
    }

    /// A namespace is a place and a resource: `namespaces/a/pods` are pods in
    /// it, `namespaces/a` and `namespaces/a/status` are itself.
    fn take_namespace<'a>(&mut self, parts: &'a [&'a str]) -> &'a [&'a str] {
        let ["namespaces", namespace, rest @ ..] = parts else { return parts };
        self.namespace = (*namespace).to_owned();
        match rest {
            [] | ["status" | "finalize", ..] => parts,
            _ => rest,
        }
    }

    fn refine_collection(&mut self, query: &Query) {
        match self.verb.as_str() {
            "get" => {
                self.verb = if query.get("watch").is_some_and(truthy) { "watch" } else { "list" }.to_owned();
                let selector = query.get("fieldSelector").unwrap_or_default();
                if let Ok(selector) = meta::selector::FieldSelector::parse(selector)
                    && let Some(name) = selector.requires_exact("metadata.name")
                    && !matches!(name, "." | "..")
                    && !name.contains(['/', '%'])
                {
                    self.name = name.to_owned();
                }
            }
            "delete" => self.verb = "deletecollection".to_owned(),
            _ => {}
        }
    }
}

fn part(parts: &[&str], index: usize) -> String {
    parts.get(index).copied().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, url: &str, expect: [&str; 7]) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let info = RequestInfo::parse(method, path, &Query::parse(query)).expect("well-formed");
        let got = [
            &info.verb,
            &info.group,
            &info.version,
            &info.namespace,
            &info.resource,
            &info.name,
            &info.subresource,
        ];
        assert_eq!(got.map(String::as_str), expect, "{method} {url}");
        assert!(info.resource_request, "{method} {url}");
    }

    #[test]
    fn paths_of_resources_are_read() {
        check("GET", "/api/v1/namespaces", ["list", "", "v1", "", "namespaces", "", ""]);
        check("GET", "/api/v1/namespaces/other", ["get", "", "v1", "other", "namespaces", "other", ""]);
        check(
            "PUT",
            "/api/v1/namespaces/a/finalize",
            ["update", "", "v1", "a", "namespaces", "a", "finalize"],
        );
        check("GET", "/api/v1/namespaces/other/pods", ["list", "", "v1", "other", "pods", "", ""]);
        check("GET", "/api/v1/namespaces/other/pods/x/log", ["get", "", "v1", "other", "pods", "x", "log"]);
        check("HEAD", "/api/v1/namespaces/other/pods/x", ["get", "", "v1", "other", "pods", "x", ""]);
        check("GET", "/api/v1/namespaces//configmaps", ["list", "", "v1", "", "configmaps", "", ""]);
        check(
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments/",
            ["deletecollection", "apps", "v1", "a", "deployments", "", ""],
        );
        check("POST", "/api/v1/watch/namespaces/a/pods/p", ["watch", "", "v1", "a", "pods", "p", ""]);
        check("GET", "/api/v1/watch/namespaces/a", ["watch", "", "v1", "a", "namespaces", "a", ""]);
    }

    #[test]
    fn the_query_tells_watch_from_list_and_names_a_selected_object() {
        check("GET", "/api/v1/pods?watch=", ["watch", "", "v1", "", "pods", "", ""]);
        check("GET", "/api/v1/pods?watch=yes", ["watch", "", "v1", "", "pods", "", ""]);
        check("GET", "/api/v1/pods?watch=False", ["list", "", "v1", "", "pods", "", ""]);
        check("GET", "/api/v1/pods?watch=0", ["list", "", "v1", "", "pods", "", ""]);
        check("GET", "/api/v1/pods?fieldSelector=metadata.name%3Da", ["list", "", "v1", "", "pods", "a", ""]);
        check("GET", "/api/v1/pods?fieldSelector=metadata.name%3D..", ["list", "", "v1", "", "pods", "", ""]);
    }

    #[test]
    fn paths_above_resources_are_no_resource_requests() {
        for path in [
            "/",
            "/healthz",
            "/api",
            "/api/",
            "/api/v1",
            "/apis/apps",
            "/apis/apps/v1",
            "/apis/apps/v1/",
            "/x/y/z",
        ] {
            let info = RequestInfo::parse("PATCH", path, &Query::default()).expect("well-formed");
            assert!(!info.resource_request, "{path}");
            assert_eq!(info.verb, "patch");
        }
    }

    #[test]
    fn a_special_verb_alone_is_an_error() {
        let error =
            RequestInfo::parse("GET", "/api/v1/watch", &Query::default()).expect_err("nothing to watch");
        assert_eq!(error.to_string(), "unable to determine kind and namespace from url, /api/v1/watch");
    }
}
