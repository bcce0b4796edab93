//! The minimal authorizer: `system:masters` may do everything; everybody may
//! what the original's default roles let everybody do: look at health and
//! version, and, with a credential, at discovery and at themselves. Nobody may
//! anything else. Stands where RBAC will stand beside it.

use async_trait::async_trait;
use registry::{AuthorizationAttributes, Authorizer, Decision};

use crate::{SYSTEM_AUTHENTICATED, SYSTEM_MASTERS};

/// Paths a group may get, as one of the original's default roles has them.
/// A path that ends in `/*` stands for everything below.
struct PublicPaths {
    role: &'static str,
    /// Empty: everybody.
    group: &'static str,
    paths: &'static [&'static str],
}

const PUBLIC: &[PublicPaths] = &[
    PublicPaths {
        role: "system:public-info-viewer",
        group: "",
        paths: &["/healthz", "/livez", "/readyz", "/version", "/version/"],
    },
    PublicPaths {
        role: "system:discovery",
        group: SYSTEM_AUTHENTICATED,
        paths: &["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"],
    },
    PublicPaths {
        role: "system:service-account-issuer-discovery",
        group: "system:serviceaccounts",
        paths: &[
            "/.well-known/openid-configuration",
            "/.well-known/openid-configuration/",
            "/openid/v1/jwks",
            "/openid/v1/jwks/",
        ],
    },
];

/// What everybody with a credential may create: questions about themselves (`system:basic-user`).
const SELF_REVIEWS: &[(&str, &str)] = &[
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];

/// Allows `system:masters` everything and others what the default roles give everybody.
pub struct SuperuserAuthorizer;

#[async_trait]
impl Authorizer for SuperuserAuthorizer {
    async fn authorize(&self, attributes: &AuthorizationAttributes<'_>) -> Decision {
        let in_group = |group: &str| attributes.user.groups.iter().any(|own| own == group);
        if in_group(SYSTEM_MASTERS) {
            return Decision::Allow(format!("group {SYSTEM_MASTERS}"));
        }
        if attributes.resource_request {
            let about_self = attributes.verb == "create"
                && attributes.subresource.is_empty()
                && SELF_REVIEWS.contains(&(attributes.group, attributes.resource));
            if about_self && in_group(SYSTEM_AUTHENTICATED) {
                return Decision::Allow("system:basic-user".to_owned());
            }
            return Decision::NoOpinion(String::new());
        }
        let allowed = PUBLIC.iter().find(|public| {
            attributes.verb == "get"
                && (public.group.is_empty() || in_group(public.group))
                && public.paths.iter().any(|path| stands_for(path, attributes.path))
        });
        match allowed {
            Some(public) => Decision::Allow(public.role.to_owned()),
            None => Decision::NoOpinion(String::new()),
        }
    }
}

fn stands_for(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use registry::UserInfo;

    fn decide(groups: &[&str], resource_request: bool, verb: &str, path: &str) -> bool {
        let (group, resource) = path.split_once('/').unwrap_or_default();
        let user =
            UserInfo { groups: groups.iter().map(|g| (*g).to_owned()).collect(), ..UserInfo::default() };
        let attributes = AuthorizationAttributes {
            user: &user,
            verb,
            resource_request,
            namespace: "",
            group,
            version: "v1",
            resource,
            subresource: "",
            name: "",
            path,
        };
        matches!(block_on(SuperuserAuthorizer.authorize(&attributes)), Decision::Allow(_))
    }

    #[test]
    fn masters_may_everything_and_others_only_look_at_health_and_version() {
        assert!(decide(&["system:masters"], true, "delete", ""));
        assert!(decide(&["system:unauthenticated"], false, "get", "/readyz"));
        assert!(!decide(&["system:unauthenticated"], false, "get", "/metrics"));
        assert!(!decide(&["system:unauthenticated"], false, "post", "/readyz"));
        assert!(!decide(&["system:authenticated"], true, "get", "/version"));
    }

    #[test]
    fn whoever_is_known_may_discover_and_ask_about_himself() {
        let known = ["system:authenticated"];
        assert!(decide(&known, false, "get", "/apis/apps/v1"));
        assert!(!decide(&["system:unauthenticated"], false, "get", "/apis"));
        assert!(decide(&known, true, "create", "authentication.k8s.io/selfsubjectreviews"));
        assert!(!decide(&known, true, "create", "authentication.k8s.io/tokenreviews"));
        assert!(!decide(&known, false, "get", "/openid/v1/jwks"));
        assert!(decide(&["system:serviceaccounts"], false, "get", "/openid/v1/jwks"));
    }
}
